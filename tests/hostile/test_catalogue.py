"""Hostile files are refused before they are used: ``pgx check`` on each, in a process of its own, watched.

Rows A1 to A17, B1 to B20 and C1 to C9 are those of the catalogue of faults; the rows that show only when a run goes on have tests
elsewhere. `register` says which, for every row.
"""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import bad_data, bad_models, bad_specs
from tests.hostile.pieces import CANARY, Case

HERE = Path(__file__).parent
TESTS = HERE.parent
CASES = [*bad_specs.cases(), *bad_models.cases(), *bad_data.cases()]
LONGEST = 60.0
"""Seconds: a hang is found by it, a busy machine is not."""
MOST_MEGABYTES = 300


def test_cases_have_names_of_their_own() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


@functools.cache
def _environment(home: Path) -> dict[str, str]:
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    (home / "home").mkdir(exist_ok=True)
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    own = {"HOME": str(home / "home"), "TMPDIR": str(home / "tmp"), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **own}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What was seen of every case, by its name; a process that dies is started again after the case that it died of."""
    root = tmp_path_factory.mktemp("hostile")
    waiting = []
    for case in CASES:
        folder = root / str(case) / "audit"
        folder.mkdir(parents=True)
        (folder.parent / "canary.txt").write_text(CANARY * 100)
        case.make(folder)
        waiting.append({"name": str(case), "folder": str(folder), "options": list(case.options or ("check",))})
    found: dict[str, dict[str, Any]] = {}
    while waiting:
        asked = root / "asked.jsonl"
        asked.write_text("".join(json.dumps(one) + "\n" for one in waiting))
        found |= _run(asked, _environment(root / "private"))
        left = [one for one in waiting if one["name"] not in found]
        assert len(left) < len(waiting)
        waiting = left
    return found


def _run(asked: Path, environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    command = [sys.executable, str(HERE / "runner.py"), str(asked)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=LONGEST * 10, check=False, cwd=asked.parent
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    found = {one["name"]: one for one in lines if "name" in one}
    begun = [one["begun"] for one in lines if "begun" in one]
    if done.returncode != 0:
        assert begun, done.stderr
        found.setdefault(begun[-1], {"status": f"died: {done.returncode}", "said": done.stderr})
    return found


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_hostile_file_is_refused_with_its_place_and_a_way_out(case: Case, told: dict[str, dict[str, Any]]) -> None:
    seen = told[str(case)]
    assert seen["status"] == case.status, seen["said"]
    assert "Traceback" not in seen["said"]
    for word in case.says:
        assert word in seen["said"], seen["said"]
    assert not case.help or "help:" in seen["said"], seen["said"]
    assert CANARY not in seen["said"]
    assert seen["canary"] == []
    assert seen["called"] == []
    assert seen["changed"] == []
    assert seen["heavy"] == []
    assert seen["seconds"] < LONGEST


def test_the_whole_corpus_fits_into_300_megabytes(told: dict[str, dict[str, Any]]) -> None:
    grown, before = [], 0.0
    for seen in told.values():
        if seen.get("megabytes", 0) > before + 10:
            grown.append(f"{seen['name']}: {before:.0f} -> {seen['megabytes']:.0f} MB")
            before = seen["megabytes"]
    assert before < MOST_MEGABYTES, grown
