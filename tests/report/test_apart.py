"""A typesetter that hangs, dies or takes all memory costs the PDF alone; it is missed, and the run is not complete (G6)."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pgx_compiler import deliver, driver
from pgx_compiler.report import apart
from pgx_compiler.report.formats import formats
from tests.report.sample import factsheet

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))
    import drawing_that_fails

    monkeypatch.setattr(deliver, "formats", lambda: {**formats(), "pdf": drawing_that_fails})


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("hangs", "longer than 8 seconds"),
        ("dies", "SIGSEGV"),
        ("eats", "more than 4,096 MiB"),
        ("raises", "RuntimeError: no such font: see above"),
    ],
)
def test_json_and_html_are_there_and_the_pdf_is_missed(
    way: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "SECONDS", 8.0 if way == "hangs" else 60.0)
    (tmp_path / "factsheet.pdf").write_bytes(b"of an earlier run")
    sheet = factsheet(image=False, rows=1, owner=way, name=str(tmp_path / "pid"))
    sheets = deliver.write_factsheet(sheet, tmp_path, ["html", "pdf"])
    assert [path.name for path in sheets.written] == ["factsheet.json", "factsheet.html"]
    assert all(path.stat().st_size > 1000 for path in sheets.written)
    assert sheets.missing == ["factsheet.pdf"]
    assert not (tmp_path / "factsheet.pdf").exists()
    assert said in sheets.problems[0]
    if way == "hangs":  # the fault struck, and nothing of it is left
        with pytest.raises(ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_run_without_its_pdf_is_incomplete_but_a_failed_one_stays_failed() -> None:
    for verdict, status in (("passed", 3), ("failed", 1), ("incomplete", 3)):
        sheet = SimpleNamespace(verdict=SimpleNamespace(status=verdict))
        ran = SimpleNamespace(missing=["factsheet.pdf"], factsheet=sheet, result=SimpleNamespace(outcomes={}))
        assert driver.exit_status(ran) == status  # type: ignore[arg-type]


def test_a_library_that_is_not_installed_is_a_note_and_no_fault(tmp_path: Path) -> None:
    sheets = deliver.write_factsheet(factsheet(rows=1, owner="lacks"), tmp_path, ["pdf"])
    assert (sheets.missing, [path.name for path in sheets.written]) == ([], ["factsheet.json"])
    assert "libpango-1.0-0'; HTML and JSON are complete. On Debian: apt-get install" in sheets.problems[0]


def test_what_draws_is_told_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    sheets = deliver.write_factsheet(factsheet(rows=1, owner="tells"), tmp_path, ["pdf"])
    told = sheets.written[-1].read_text().splitlines()
    assert "PATH" in told
    assert "AWS_SECRET_ACCESS_KEY" not in told


def test_the_program_that_asks_for_a_pdf_does_not_load_the_typesetter() -> None:
    assert "weasyprint" not in vars(sys.modules["pgx_compiler.deliver"])
    assert deliver.module_is_apart(formats()["pdf"])
