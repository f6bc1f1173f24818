"""What README.md promises is there: its spec is a valid one, its files exist, its words are the command's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pgx_compiler.analysis.analyse import analyse
from pgx_compiler.spec.parse import parse

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SPECS = sorted(path.name for path in (ROOT / "specs").glob("*.yaml"))


def told(spec: str, name: str) -> list[str]:
    """Everything the compiler has to say of a spec that lies in the specs' folder."""
    return [item.message for item in analyse(parse(spec, name), ROOT / "specs").diagnostics]


def test_the_spec_of_the_page_is_a_valid_one() -> None:
    (spec,) = re.findall(r"<!-- example: a spec -->\n```yaml\n(.+?)```\n", README, re.DOTALL)
    assert told(spec, "README.md") == []


@pytest.mark.parametrize("name", SPECS)
def test_the_audits_of_the_page_are_valid(name: str) -> None:
    assert f"`specs/{name}`" in README
    assert told((ROOT / "specs" / name).read_text("utf-8"), name) == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    targets = [target for target in re.findall(r"\]\(([^)#\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


def test_the_words_of_the_page_are_those_of_the_command() -> None:
    """The table of words against the words that `pgx --help` names, both ways."""
    ran = subprocess.run(
        [sys.executable, "-c", "from pgx_compiler.cli import main; main(['--help'])"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert ran.returncode == 0, ran.stderr
    offered = set(re.findall(r"^ {2,4}([a-z]+)(?: {2,}|$)", ran.stdout, re.MULTILINE))
    described = set(re.findall(r"^\| `pgx ([a-z]+)", README, re.MULTILINE))
    assert described == offered
