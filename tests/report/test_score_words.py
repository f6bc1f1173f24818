"""The factsheet says in words what the unit of its values is."""

from pathlib import Path

import pytest

from pgx_compiler.report.formats import html_page
from pgx_compiler.report.words import LANGUAGES
from runtimes.capabilities import SCORES
from tests.report.sample import factsheet


@pytest.mark.parametrize("language", sorted(LANGUAGES))
@pytest.mark.parametrize("score", SCORES)
def test_every_score_is_explained_where_it_is_named(score: str, language: str, tmp_path: Path) -> None:
    sheet = factsheet(image=False)
    sheet = sheet.model_copy(update={"audit": sheet.audit.model_copy(update={"score": score, "language": language})})
    told = LANGUAGES[language][f"score_{score}"]
    html_page.write(sheet, tmp_path / "sheet.html")
    assert f"{score} ({told})" in (tmp_path / "sheet.html").read_text("utf-8")


def test_differences_of_logarithms_are_said_to_be_ratios() -> None:
    assert "differences are ratios, and v multiplies the value by exp(v)" in LANGUAGES["en"]["score_log_value"]
    assert "비율" in LANGUAGES["ko"]["score_log_value"]
