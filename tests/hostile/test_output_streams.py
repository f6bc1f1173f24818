"""A run whose standard streams are closed, full, cut off or elsewhere: the same files, the same exit status (G7)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from pgx_compiler.execute.events import events_schema
from tests.tests_project import SMALL_TREES, make_project, write_spec

pytestmark = pytest.mark.frameworks

FILES = ["events.jsonl", "evidence", "factsheet.json", "pgx.lock", "plan.json", "spec.yaml"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose audit was run once: every run after it takes all from the store."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    write_spec(folder, "german-credit-trees", SMALL_TREES)
    ran = pgx(folder, "text", "first", "> first.out 2> first.err")
    assert ran.returncode == 0, (folder / "first.err").read_text()
    assert pgx(folder, "text", "all-known", "").returncode == 0
    return folder


def pgx(folder: Path, format: str, output: str, redirected: str, **environment: str) -> Any:
    command = f'"{sys.executable}" -m pgx_compiler run german-credit-trees.yaml --engine inline --format {format} -o {output} {redirected}'
    paths = os.pathsep.join(filter(None, sys.path))
    return subprocess.run(
        ["/bin/bash", "-c", command], cwd=folder, timeout=300, capture_output=True,
        env={"PYTHONPATH": paths, "PATH": os.environ["PATH"], **environment},
    )  # fmt: skip


def test_json_is_the_events_as_lines_and_the_answer_last(project: Path) -> None:
    ran = pgx(project, "json", "lines", "")
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    written = (project / "lines" / "events.jsonl").read_bytes().splitlines()
    assert ran.stdout.splitlines()[:-1] == written
    for line in lines:
        jsonschema.validate(line, events_schema())
    answer = lines[-1]
    assert answer["event"] == "answer"
    assert {"run", "verdict", "files", "baseline"} <= set(answer)  # as before there were events
    assert (answer["exit_status"], ran.returncode) == (0, 0)
    assert answer["verdict"]["status"] == lines[-2]["verdict"] == "passed"
    assert [line["sequence"] for line in lines] == list(range(len(lines)))
    assert ran.stderr == b""


CUT_OFF = "| head -c 10 > /dev/null; exit ${PIPESTATUS[0]}"


@pytest.mark.parametrize(
    ("format", "redirected"),
    [
        ("text", "> /dev/full"),
        ("text", "<&- >&- 2>&-"),
        ("text", "> /dev/full 2> /dev/full"),
        ("text", "| true; exit ${PIPESTATUS[0]}"),
        ("json", "> /dev/full"),
        ("json", ">&-"),
        ("json", CUT_OFF),
        ("github", "> /dev/full"),
    ],
)
def test_whatever_becomes_of_the_streams_the_run_is_the_same(project: Path, format: str, redirected: str) -> None:
    if "/dev/full" in redirected and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    output = "run-" + "".join(one for one in f"{format}{redirected}" if one.isalnum())
    ran = pgx(project, format, output, redirected)
    assert ran.returncode == 0, ran.stderr
    assert b"Traceback" not in ran.stderr
    assert b"Exception ignored" not in ran.stderr
    folder = project / output
    assert [name for name in FILES if not (folder / name).exists()] == []
    whole = (project / "all-known" / "factsheet.json").read_bytes()
    assert (folder / "factsheet.json").read_bytes() == whole
    last = json.loads((folder / "events.jsonl").read_bytes().splitlines()[-1])
    assert (last["event"], last["complete"], last["verdict"]) == ("run_ended", True, "passed")
    # nothing that was printed landed in a file that took the number of a closed stream
    for line in (folder / "events.jsonl").read_bytes().splitlines():
        json.loads(line)
    if redirected == "> /dev/full":
        assert b"No space left on device" in ran.stderr or format == "json"  # the fault struck


def test_an_ascii_locale_and_a_narrow_place_change_nothing(project: Path) -> None:
    ran = pgx(project, "text", "ascii", "", LC_ALL="POSIX", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0", COLUMNS="20")
    assert ran.returncode == 0, ran.stderr
    assert b"PASSED" in ran.stderr
    assert b"\x1b" not in ran.stderr + ran.stdout
