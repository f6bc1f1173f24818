"""A text as pieces that are removed one by one: words and signs, each with the white space before it."""

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Ideographs are written without spaces and stand alone, as in the vocabularies of BERT (Devlin et al., 2019)."""
_LETTER = rf"[^\W{_HAN}]"
_PIECE = re.compile(rf"\s*(?:\d+(?:[.,:]\d+)+(?!\w)|[{_HAN}]|{_LETTER}+(?:['’]{_LETTER}+)*|[^\w\s])|\s+")
_IDEOGRAPH = re.compile(f"[{_HAN}]")
_JOINER = "\u200d"
"""Makes one picture of the signs on both its sides."""


def pieces_of(text: str) -> list[str]:
    """Words, numbers and signs in order; joined they are the text again, to the letter.

    White space at the very end is a piece of its own.
    """
    found = _PIECE.findall(text)
    return found if text.isascii() else _whole_letters(found)


def _whole_letters(pieces: Sequence[str]) -> list[str]:
    """Accents, vowel signs and parts of one picture are put to what they belong to; Unicode counts them as signs."""
    found: list[str] = []
    for piece in pieces:
        if found and _goes_on(found[-1], piece):
            found[-1] += piece
        else:
            found.append(piece)
    return found


def _goes_on(before: str, piece: str) -> bool:
    first, last = piece[0], before[-1]
    if first == _JOINER or last == _JOINER or "\U0001f3fb" <= first <= "\U0001f3ff":
        return not first.isspace()
    if unicodedata.category(first).startswith("M"):
        return True
    return _ends_open(before) and _begins_open(piece)


def _ends_open(piece: str) -> bool:
    """Whether a letter or a digit right behind this piece would become a part of it."""
    last = piece[-1:]
    if unicodedata.category(last or " ").startswith("M"):
        return piece.lstrip()[:1].isalnum()
    return _is_letter(last)


def _begins_open(piece: str) -> bool:
    return _is_letter(piece[:1])


def _is_letter(one: str) -> bool:
    return (one.isalnum() or one == "_") and not _IDEOGRAPH.match(one)


def word_of(piece: str) -> str:
    """A piece without the white space before it."""
    return piece.lstrip()


def gap_of(piece: str) -> str:
    """The white space before a piece."""
    return piece[: len(piece) - len(piece.lstrip())]


def as_array(texts: Sequence[Sequence[str]]) -> NDArray[np.str_]:
    """Pieces of several texts, ``(texts, pieces)``, filled with empty ones at the end."""
    most = max(1, *map(len, texts)) if texts else 1
    return np.array([[*pieces, *[""] * (most - len(pieces))] for pieces in texts], np.str_).reshape(len(texts), most)


def joined(pieces: NDArray[Any]) -> NDArray[np.object_]:
    """One text for each row of pieces, ``(rows,)``. Empty pieces are removed ones; what is left closes up.

    White space goes with the word after it. A text that has lost its beginning begins with a word, and words that meet where
    something was removed or replaced stay apart: ``state-of-the-art`` without its first sign is ``state of-the-art``.
    """
    texts = np.empty(len(pieces), object)
    texts[:] = [_joined(row) for row in pieces.tolist()]
    return texts


def _joined(pieces: Sequence[str]) -> str:
    meets = [False, *(_meets(piece) for piece in pieces)]
    text = "".join([_apart(piece) if met else piece for met, piece in zip(meets, pieces, strict=False)])
    return text if pieces[0] else text.lstrip()


def _meets(piece: str) -> bool:
    """Whether what comes after a piece must stay apart, if it begins with a letter: in whole texts nothing of the kind does."""
    return not piece or _ends_open(piece)


def _apart(piece: str) -> str:
    return f" {piece}" if _begins_open(piece) else piece


class Composed:
    """The texts of one row with some of its pieces exchanged, each made in about the time of one join.

    Args:
        row: ``(pieces,)``.
        references: ``(references, pieces)``: what stands where a piece is not kept; empty: nothing does.
    """

    def __init__(self, row: NDArray[np.str_], references: NDArray[np.str_]) -> None:
        length = max([1, *(np.flatnonzero(one != "")[-1:].max(initial=-1) + 1 for one in (row, *references))])
        self._length = int(length)
        row, references = row[:length], references[:, :length]
        tables = [[one.tolist(), row.tolist()] for one in references]
        apart = [[[_apart(piece) for piece in pieces] for pieces in both] for both in tables]
        self._tables = [np.array([*both, *moved], object) for both, moved in zip(tables, apart, strict=True)]
        self._meets = [np.array([[_meets(piece) for piece in pieces] for pieces in both]) for both in tables]
        self._without_beginning = [np.array([one[0] == "", row[0] == ""]) for one in references]

    def texts(self, keep: NDArray[np.bool_]) -> NDArray[np.object_]:
        """One text for each row of ``keep (n, pieces)`` and each reference, references fastest; as `joined` makes them."""
        keep = keep[:, : self._length]
        texts = np.empty((len(keep), len(self._tables)), object)
        place = np.arange(self._length)
        for number, table in enumerate(self._tables):
            code = keep.astype(np.intp)
            gone = self._without_beginning[number][code[:, 0]].tolist()
            code[:, 1:] += 2 * self._meets[number][code, place][:, :-1]
            made = map("".join, table[code, place].tolist())
            texts[:, number] = [one.lstrip() if first else one for one, first in zip(made, gone, strict=True)]
        return texts.reshape(-1)
