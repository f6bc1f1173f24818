"""What is written from the code is current: the pages under docs/, and the examples that `pgx explain` shows."""

import json
from pathlib import Path

import pytest
from diagnostic_pages import blocks, examples_of_pages

import pgx_compiler
from pgx_compiler import reference
from pgx_compiler.cli import main
from pgx_compiler.diagnostics.codes import collect
from pgx_compiler.diagnostics.examples import FILE
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.spec.model import AuditSpec

DOCS = Path(__file__).parents[2] / "docs"
STALE = "stale: run `make docs`"


@pytest.mark.parametrize("name", ["diagnostics.md", "methods.md", "language.md"])
def test_the_generated_pages_are_what_the_code_says_now(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == reference.pages()[name], STALE


def test_the_examples_are_what_the_pages_of_the_tests_give_now() -> None:
    assert json.loads(FILE.read_text("utf-8")) == examples_of_pages(), STALE


def test_every_code_on_a_page_has_an_example_of_itself() -> None:
    wanted = {code for block in blocks() if not block.is_file for code in block.codes}
    found = json.loads(FILE.read_text("utf-8"))
    assert set(found) == wanted
    assert [code for code, shown in found.items() if f"[{code}]" not in shown.split("\n")[0]] == []
    assert not [code for code, shown in found.items() if "PGX" in shown.split("]", 1)[1]]  # the pages' own comments


def test_each_page_holds_all_of_its_subject() -> None:
    diagnostics, methods = reference.diagnostics_page(), reference.methods_page()
    assert [
        str(code) for code in collect(pgx_compiler).values() if f"### {code} {code.name}\n" not in diagnostics
    ] == []
    assert [name for name in catalogue() if f"### {name}\n" not in methods] == []
    for name, declaration in catalogue().items():
        entry = methods.split(f"### {name}\n")[1].split("\n### ")[0]
        assert [key for key in declaration.params.model_fields if f"| `{key}` |" not in entry] == []


def models(model: type, seen: set[type]) -> set[type]:
    """A model of the language and all that its fields hold."""

    def inside(annotation: object) -> None:
        if isinstance(annotation, type) and hasattr(annotation, "model_fields") and annotation not in seen:
            seen.add(annotation)
            for field in annotation.model_fields.values():
                inside(field.annotation)
        for part in getattr(annotation, "__args__", ()):
            inside(part)

    inside(model)
    return seen


def test_the_page_of_the_language_has_every_key_with_its_role_and_its_words() -> None:
    page = reference.language_page()
    rows = [[cell.strip() for cell in line.split(" | ")] for line in page.split("\n") if line.startswith("| `")]
    keys = [field.alias or name for model in models(AuditSpec, set()) for name, field in model.model_fields.items()]
    assert sorted(row[0].strip("| `") for row in rows) == sorted(keys)
    assert {row[3] for row in rows} == {"semantic", "operational", "descriptive"}
    assert [row for row in rows if len(row[4].strip(" |")) < 5] == []


def test_explaining_a_code_shows_name_meaning_and_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "pgx2001"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("PGX2001 unknown-key\n\n")
    assert "For example:\n\n  error[PGX2001]: " in told
    assert "  = help: " in told
    assert max(len(line) for line in told.split("\n\nFor example")[0].split("\n")) <= 100
    assert main(["explain", "PGX2001", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["example"].startswith("error[PGX2001]")


def test_what_is_called_nothing_so_is_a_mistake_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "kernel_shp"]) == 2
    told = capsys.readouterr().err
    assert "error[PGX3090]: there is nothing called `kernel_shp`" in told
    assert "did you mean `kernel_shap`?" in told
