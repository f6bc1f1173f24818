"""Every fenced block of the pages here says on its lines what must be said of them; see README.md for the notation."""

import ast
import re
from pathlib import Path

import pytest
from diagnostic_pages import ELSEWHERE, EXPECTED, Block, blocks, make_root, said_of

import pgx_compiler
from pgx_compiler.diagnostics.codes import collect
from pgx_compiler.diagnostics.diagnostic import Diagnostics
from pgx_compiler.diagnostics.render import render_text

TESTS = Path(__file__).parents[1]
CASES = [block for block in blocks() if not block.is_file]


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_root(tmp_path_factory.mktemp("pages"))


@pytest.mark.parametrize("block", CASES, ids=lambda block: block.name)
def test_the_lines_get_what_they_ask_for(block: Block, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    lines = block.text.split("\n")
    wanted = [
        (number + line.lstrip().startswith("#"), *found)
        for number, line in enumerate(lines, 1)
        for found in EXPECTED.findall(line)
    ]
    said, sources = said_of(block, root)
    left = list(said)
    for line, severity, code, words in wanted:
        here = [d for d in left if d.span and (d.span.file == "spec.yaml" or "path" in block.options)]
        met = [d for d in here if d.span and (d.span.line, d.severity, str(d.code)) == (line, severity, code)]
        met = [d for d in met if words in f"{d.message}\n{d.label}\n{d.help}"]
        assert met, f"line {line} lacks {code} {words!r}; said:\n{render_text(said, sources)}"
        left.remove(met[0])
    for severity, file, number, code, words in ELSEWHERE.findall(block.text):
        met = [
            d for d in left if d.span and d.span.file.removeprefix("<").startswith(file) and d.span.line == int(number)
        ]
        met = [d for d in met if (d.severity, str(d.code)) == (severity, code)]
        met = [d for d in met if words in f"{d.message}\n{d.label}\n{d.help}"]
        assert met, f"{file}:{number} lacks {code} {words!r}; said:\n{render_text(said, sources)}"
        left.remove(met[0])
    assert not left or "others" in block.options, f"unasked for:\n{render_text(Diagnostics(left), sources)}"
    assert [d.message for d in said if not d.help.strip()] == []


def on_pages() -> set[str]:
    return {code for block in CASES for code in block.codes}


def named_by_tests() -> set[str]:
    """Codes that a test function elsewhere names in a text beside an assertion."""
    found: set[str] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not (isinstance(node, ast.FunctionDef) and node.name.startswith("test_")):
                continue
            inside = list(ast.walk(node))
            if any(isinstance(part, ast.Assert) for part in inside):
                texts = [
                    part.value for part in inside if isinstance(part, ast.Constant) and isinstance(part.value, str)
                ]
                found.update(re.findall(r"PGX\d{4}", " ".join(texts)))
    return found


def test_every_code_of_the_front_end_stands_on_a_page() -> None:
    ours = {str(c) for package in (pgx_compiler.spec, pgx_compiler.analysis) for c in collect(package).values()}
    assert sorted(ours - on_pages()) == []


def test_every_other_code_has_a_page_or_a_test_that_names_it() -> None:
    assert sorted(set(collect(pgx_compiler)) - on_pages() - named_by_tests()) == []


def test_every_code_of_the_program_has_a_number_of_its_own_and_an_explanation() -> None:
    codes = collect(pgx_compiler)
    assert len({code.number for code in codes.values()}) == len(codes) > 40
    assert [str(code) for code in codes.values() if len(code.explanation) < 60] == []
