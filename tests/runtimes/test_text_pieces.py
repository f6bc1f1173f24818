"""Texts in pieces: together they are the text again, and what is left of a text without some of them can be read."""

import random

import numpy as np
import pytest

from runtimes.texts.pieces import Composed, as_array, gap_of, joined, pieces_of, word_of

TEXTS = [
    "",
    " ",
    "word",
    "The attempt is courageous, even if the result is wildly uneven.",
    "  two  spaces,\nand a line \n",
    "state-of-the-art (really) costs 3.50 at 12:30, don't it?",
    "très été — naïve café",
    "e\u0301te\u0301 and o\u0308l",
    "किताब अच्छी है।",
    "这部电影很好看。I like it",
    "👩\u200d👩\u200d👧 👍🏽 ❤\ufe0f ok",
    "under_score __init__ a_b",
    "\u00a0non breaking\u2003space\x1f",
]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_together_are_the_text(text: str) -> None:
    assert "".join(pieces_of(text)) == text
    assert joined(as_array([pieces_of(text)])).tolist() == [text]


def test_no_text_is_lost_whatever_it_holds() -> None:
    rng = random.Random(1)
    letters = "ab'é\u0301क\u093f书👩\u200d🏽_-. \n\u00a03,5(\ufe0f\ud7a3ก"
    texts = ["".join(rng.choices(letters, k=rng.randrange(12))) for _ in range(2000)]
    cut = [pieces_of(text) for text in texts]
    assert ["".join(pieces) for pieces in cut] == texts
    assert all(piece for pieces in cut for piece in pieces)
    assert joined(as_array(cut)).tolist() == texts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop.", ["Don't", "stop", "."]),
        ("3.50, 1,000 and 4.", ["3.50", ",", "1,000", "and", "4", "."]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("किताब अच्छी", ["किताब", "अच्छी"]),
        ("很好 film", ["很", "好", "film"]),
        ("👩\u200d👧 👍🏽!", ["👩\u200d👧", "👍🏽", "!"]),
        ("snake_case by __init__", ["snake_case", "by", "__init__"]),
        ("end \n", ["end", ""]),
    ],
)
def test_a_piece_is_a_word_or_a_sign(text: str, words: list[str]) -> None:
    assert [word_of(piece) for piece in pieces_of(text)] == words


def test_white_space_goes_with_the_word_after_it() -> None:
    assert [gap_of(piece) for piece in pieces_of(" a  b, c\n")] == [" ", "  ", "", " ", "\n"]


@pytest.mark.parametrize(
    ("text", "removed", "left"),
    [
        ("a good film", [1], "a film"),
        ("a good film", [0], "good film"),
        ("a good film", [2], "a good"),
        ("a good film", [0, 1, 2], ""),
        ("Good, but long.", [0], ", but long."),
        ("Good, but long.", [1], "Good but long."),
        ("state-of-the-art", [1], "state of-the-art"),
        ("so (very) good", [1], "so very) good"),
        ("so (very) good", [1, 2, 3], "so good"),
        ("  indented text", [0], "text"),
        ("很好看", [1], "很看"),
        ("last word \n", [1], "last \n"),
        ("all\n", [0], ""),
    ],
)
def test_what_is_left_closes_up(text: str, removed: list[int], left: str) -> None:
    pieces = as_array([pieces_of(text)])
    pieces[0, removed] = ""
    assert joined(pieces).tolist() == [left]


def test_a_word_in_the_place_of_a_sign_is_a_word_of_its_own() -> None:
    pieces = as_array([pieces_of("good, (bad)e\u0301 好")])
    assert pieces[0].tolist() == ["good", ",", " (", "bad", ")", "e\u0301", " 好"]
    pieces[0, [1, 4]] = "UNK"
    assert joined(pieces).tolist() == ["good UNK (bad UNK e\u0301 好"]
    pieces[0, [2, 5, 6]] = [" UNK", "UNK", " UNK"]
    assert joined(pieces).tolist() == ["good UNK UNK bad UNK UNK UNK"]


def test_texts_that_are_composed_are_those_that_are_joined() -> None:
    rng = np.random.default_rng(3)
    for text in TEXTS:
        row = as_array([pieces_of(text), pieces_of(TEXTS[5])])[0]  # with empty pieces at its end
        words = as_array([["", " x", "y ", " -", "", "z"]])[0]
        fills = np.stack([np.zeros_like(row).astype("U3"), rng.choice(words, row.shape)])
        keep = rng.random((20, len(row))) < 0.5
        wide = np.result_type(row, fills)
        rows = np.where(keep[:, None], row.astype(wide), fills.astype(wide)).reshape(-1, len(row))
        assert Composed(row, fills).texts(keep).tolist() == joined(rows).tolist()
