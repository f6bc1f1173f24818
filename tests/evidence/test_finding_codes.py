"""One list of finding codes, and nothing raised that is not on it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pgx_compiler
from pgx_compiler.evidence.finding_codes import FINDING_CODES
from pgx_compiler.methods.catalogue import catalogue

PACKAGE = Path(pgx_compiler.__file__).parent
MAKERS = {"Finding", "FindingEntry", "_finding"}


def raised() -> Iterator[tuple[str, str]]:
    """Place and code of every finding that the program makes with a code written out."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
                given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "code")]
                written = [value for value in given if not isinstance(value, ast.Subscript)]
                for part in (inner for value in written for inner in ast.walk(value)):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.isidentifier():
                        yield f"{path.relative_to(PACKAGE)}:{node.lineno}", part.value


def test_every_finding_that_is_raised_is_on_the_list() -> None:
    found = list(raised())
    assert len(found) > 20
    # one argument chooses between two codes by the stage of the method: that word is no code
    assert [one for one in found if one[1] not in FINDING_CODES and one[1] != "gradient"] == []


def test_what_a_method_declares_is_on_the_list() -> None:
    assert {code for d in catalogue().values() for code in d.codes} <= set(FINDING_CODES)


def test_reserved_words_are_exactly_those_that_nothing_raises() -> None:
    used = {code for _, code in raised()} | {code for d in catalogue().values() for code in d.codes}
    assert {code for code, known in FINDING_CODES.items() if known.reserved} == set(FINDING_CODES) - used


def test_each_says_its_stage_and_what_it_means() -> None:
    assert {known.stage for known in FINDING_CODES.values()} == {"data", "model", "explanation", "reliance", "tuning"}
    assert [code for code, known in FINDING_CODES.items() if not known.meaning.endswith(".")] == []
