"""The register is whole, and what it names exists."""

import ast
import functools
from pathlib import Path

import pytest

from tests.hostile import bad_data, bad_models, bad_specs
from tests.hostile.register import CASES, CATALOGUE, EXPECTED, SECTIONS, THREATS, Row
from tests.hostile.threats_page import page

TESTS = Path(__file__).parent.parent
ROOT = TESTS.parent
KNOWN = {row.id for row in CATALOGUE}


def test_every_row_of_the_catalogue_and_of_the_threat_model_is_there_once() -> None:
    assert [row.id for row in CATALOGUE] == [
        f"{section}{n}" for section, last in EXPECTED.items() for n in range(1, last + 1)
    ]
    assert [row.id for row in THREATS] == [f"T{number}" for number in range(1, 21)]
    assert list(SECTIONS) == list(EXPECTED)


@functools.cache
def names_in(file: Path) -> frozenset[str]:
    """Tests that a file defines, by function or by assignment, outside of any class."""
    found = set()
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef) and not _skipped_for_good(node):
            found.add(node.name)
        if isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(name for name in found if name.lower().startswith("test"))


def _skipped_for_good(node: ast.FunctionDef) -> bool:
    """Whether a test is expected to fail, or never runs: it proves nothing then."""
    return any(mark in ast.unparse(one) for one in node.decorator_list for mark in ("mark.xfail", "mark.skip("))


@pytest.mark.parametrize("row", [*CATALOGUE, *THREATS], ids=lambda row: row.id)
def test_what_a_row_rests_on_exists(row: Row) -> None:
    assert row.tests or row.rows
    for named in row.tests:
        file, _, name = named.partition("::")
        if name:
            assert name in names_in(TESTS / file), named
        else:
            assert (ROOT / file).is_file(), named
    assert any("::" in named for named in row.tests) or set(row.rows) <= KNOWN
    assert set(row.rows) <= KNOWN


def test_rows_that_are_shown_by_cases_have_one() -> None:
    made = {case.row for case in [*bad_specs.cases(), *bad_models.cases(), *bad_data.cases()]}
    assert {row.id for row in CATALOGUE if CASES in row.tests} == made


def test_every_row_of_the_catalogue_belongs_to_a_threat() -> None:
    held = {name for threat in THREATS for name in threat.rows}
    # of no attacker: what a person on a narrow terminal sees, and that pages come out the same
    assert KNOWN - held == {"B20", "D17", "D21", "D22", "E5", "F9", "F10", "G4", "G5", "G6", "G7"}


def test_the_page_for_readers_says_what_the_register_says() -> None:
    assert (ROOT / "docs" / "threats.md").read_text("utf-8") == page(SECTIONS, THREATS)
