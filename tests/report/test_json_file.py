"""factsheet.json: strict, whole, the same every time, and written whole or not at all."""

import json
from pathlib import Path

import pytest

from pgx_compiler.report import formats
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats import json_file
from tests.report.sample import factsheet


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


def test_the_formats_are_found_by_walking() -> None:
    assert list(formats.formats()) == ["html", "json", "pdf"]
    assert {word: form.SUFFIX for word, form in formats.formats().items()} == {
        "html": ".html",
        "json": ".json",
        "pdf": ".pdf",
    }


def test_what_is_written_reads_back_as_the_same_factsheet(tmp_path: Path) -> None:
    sheet = factsheet()
    json_file.write(sheet, tmp_path / "factsheet.json")
    text = (tmp_path / "factsheet.json").read_text("utf-8")
    assert Factsheet.model_validate_json(text) == sheet
    assert json.loads(text, parse_constant=refuse)["schema"] == "pgx-factsheet/1"
    assert text.startswith('{\n  "schema"')
    assert [path.name for path in tmp_path.iterdir()] == ["factsheet.json"]  # no temporary file is left


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_none_is_refused_with_its_place(bad: float, tmp_path: Path) -> None:
    sheet = factsheet()
    facts = [*sheet.facts[:2], sheet.facts[2].model_copy(update={"value": bad})]
    path = tmp_path / "factsheet.json"
    path.write_text("before")
    with pytest.raises(ValueError, match=r"facts\[2\]\.value"):
        json_file.write(sheet.model_copy(update={"facts": facts}), path)
    assert path.read_text() == "before"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "factsheet.json"
    path.write_text("before")

    def broken(source: str, target: Path) -> None:
        raise OSError(28, "disk full")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="disk full"):
        formats.write_atomically(path, b"after")
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == ["factsheet.json"]
