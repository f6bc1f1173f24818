"""docs/versioning.md says what the program does: its sessions are run, its table of migrations is compared."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.versioning.migrations import migrations

PAGE = (Path(__file__).parents[2] / "docs" / "versioning.md").read_text("utf-8")
SESSIONS = re.findall(r"^```console( run)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GIT = ("git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false")


def play(session: str, folder: Path) -> None:
    """Run each command of a session; what the page shows of it must stand in what it says, in that order."""
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
        words = shlex.split(command)
        if words[0] == "pgx":
            words[:1] = [sys.executable, "-m", "pgx_compiler"]
        elif words[0] == "git":
            words[:1] = GIT
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
        # what people read stands below what programs read
        said = f"{done.stdout}\n{done.stderr}"
        assert shown.rstrip("\n") in said, said
        assert done.returncode in (0, 1), said


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = make_project(tmp_path / "project")
    monkeypatch.delenv("PGX_STORE", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    write_spec(folder, "german-credit-trees", SMALL_TREES, "audit.yaml")
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "a draft"]):
        subprocess.run([*GIT, *command], cwd=folder, check=True)
    # so that the page's own commit has something to say
    (folder / "audit.yaml").write_text((folder / "audit.yaml").read_text() + "\n")
    return folder


def test_the_sessions_that_compute_nothing(project: Path) -> None:
    light = [session for runs, session in SESSIONS if not runs]
    assert len(light) == 2
    for session in light:
        play(session, project)


@pytest.mark.frameworks
def test_the_session_that_runs_audits(project: Path) -> None:
    (session,) = (session for runs, session in SESSIONS if runs)
    play(session, project)


def test_the_table_of_migrations_is_the_one_of_the_program() -> None:
    table = PAGE.split("## An older language")[1].split("## ")[0]
    rows = re.findall(r"^\| `(.*?)` \| `(.*?)` \| (.*) \|$", table, re.MULTILINE)
    assert rows == [(m.FROM, m.TO, "; ".join(m.CHANGES)) for m in migrations().values()]
