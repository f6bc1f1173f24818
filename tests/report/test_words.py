"""The fixed words: every language says the same things, with the same places for numbers."""

import re

import pytest

from pgx_compiler.report import templates
from pgx_compiler.report.words import ENGLISH, LANGUAGES, words


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_has_every_word_with_the_same_places(language: str) -> None:
    told = LANGUAGES[language]
    assert set(told) == set(ENGLISH)
    for key, text in told.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", ENGLISH[key])), key


def test_an_unknown_language_is_told_in_english() -> None:
    assert words("xx")["verdict_failed"] == "Failed"


def test_no_word_is_missing_from_or_lost_in_the_templates() -> None:
    sources = "".join(path.read_text("utf-8") for path in templates.folder().glob("*.j2"))
    named = {a or b for a, b in re.findall(r'\bw\.([a-z_]+)|\bw\["([a-z_-]+)"\]', sources)}
    assert named <= set(ENGLISH)
