"""Every row of the catalogue of hostile input has a case here or a test that is named here; no case may be missing.

Rows A1 to A17, B1 to B20 and C1 to C9 are those of the threat model's list of faults. What a file shows before it is used
is made here and checked by ``pgx check`` in a process of its own; what shows only when a model runs is contained by the
sandbox of workers, whose tests are named below.
"""

import ast
import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping
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

ELSEWHERE: Mapping[str, str] = {
    "A16": "hostile/test_running.py::test_a_spec_that_is_changed_while_it_runs_is_not_read_again",
    "A17": "hostile/test_mutants.py::test_mutated_specs_get_a_diagnostic",
    "B8": "hostile/test_running.py::test_a_trusted_operation_is_let_through_and_said",
    "B9": "hostile/running_models.py::endless_loop",
    "B10": "hostile/running_models.py::endless_loop",
    "B11": "hostile/running_models.py::dies_of_sigfpe",
    "B13": "hostile/test_running.py::test_external_data_that_is_replaced_after_the_check_is_refused",
    "B17": "hostile/test_running.py::test_answers_that_are_none_are_said_and_never_a_silent_number",
    "B18": "hostile/test_running.py::test_a_model_that_answers_differently_each_time_is_said_to",
    "B19": "hostile/test_mutants.py::test_mutated_files_end_in_a_named_result",
    "C9": "hostile/test_running.py::test_data_that_are_replaced_after_the_check_are_refused",
}
"""Rows without a case here (B15 and B20 have both): the test that holds them, or the model that the sandbox's tests run."""

THREATS: Mapping[str, tuple[str, ...]] = {
    "T1": ("A1", "A2", "A3", "A4", "A14"),
    "T2": ("A5", "A6", "A8", "A10"),
    "T3": ("A13", "B12", "C1"),
    "T4": ("A15",),
    "T5": ("B1", "B2", "B3", "B6", "B7"),
    "T6": ("B3", "B8", "B12"),
    "T7": ("B4", "B9", "B11", "B14", "B15"),
    "T8": ("B17", "B18"),
    "T9": ("B12", "B13", "C9"),
    "T10": ("C1", "C2", "C4", "C5", "C6", "C7"),
    "T19": ("A12",),
}
"""Rows of the threat model to the rows of the catalogue that hold them. T11 to T18 and T20 are about runs, the store and
the report, not about files: their tests stand with the engines, the store and the factsheet."""

ROWS = [f"{section}{number}" for section, last in (("A", 17), ("B", 20), ("C", 9)) for number in range(1, last + 1)]


def test_cases_have_names_of_their_own() -> None:
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_catalogue_has_a_case(row: str) -> None:
    here = [case for case in CASES if case.row == row]
    assert here or row in ELSEWHERE
    if row in ELSEWHERE:
        file, _, name = ELSEWHERE[row].partition("::")
        tree = ast.parse((TESTS / file).read_text("utf-8"))
        assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("threat", THREATS)
def test_every_threat_by_a_file_is_held_by_rows_of_the_catalogue(threat: str) -> None:
    held = {case.row for case in CASES} | set(ELSEWHERE)
    assert THREATS[threat]
    assert set(THREATS[threat]) <= held


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
