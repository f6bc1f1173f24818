"""From token ids to what is removed at once: words put together from their pieces, single tokens, or sentences."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.features import FIXED
from runtimes.capabilities import Integers

Units = Literal["words", "tokens", "sentences"]

_ENDS = frozenset(".!?…。！？؟।")
_CLOSES = frozenset("\"'”’»)]}」』")
LONGEST_LABEL = 80
"""Letters of a feature's label; a sentence is cut there."""


@dataclass(frozen=True)
class Spelling:
    """How ids are spelled."""

    words: Sequence[str]
    """By id; empty where there is no vocabulary: then the ids are the labels."""
    pieces: str
    """``##``, ``Ġ``, ``▁`` or empty; see `runtimes.texts.vocabulary.Vocabulary`."""

    def token(self, place: int) -> str:
        """A token as the vocabulary writes it."""
        known = self.words[place] if 0 <= place < len(self.words) else ""
        return known or f"#{place}" if self.words else str(place)

    def goes_on(self, place: int) -> bool:
        """Whether a token continues the word of the token before it."""
        token = self.token(place)
        if self.pieces == "##":
            return token.startswith("##") and len(token) > 2
        # what begins a word is marked; signs begin one without a mark: `great.` are two words
        return bool(self.pieces) and not token.startswith(self.pieces) and any(map(str.isalnum, self.plain(place)))

    def plain(self, place: int) -> str:
        """A token as people write it, without the mark of its piece."""
        token = self.token(place)
        if self.pieces == "##":
            return token.removeprefix("##") if self.goes_on(place) else token
        return _unbyted(token) if self.pieces == "Ġ" else token.replace("▁", "") if self.pieces else token

    def joined(self, places: Sequence[int]) -> str:
        """Tokens as one text, for a label."""
        text = ""
        for place in places:
            sign = bool(self.plain(place)) and all(unicodedata.category(c).startswith("P") for c in self.plain(place))
            text += ("" if not text or sign or self.goes_on(place) else " ") + self.plain(place)
        shown = "".join(letter if letter.isprintable() else "·" for letter in text)
        return shown if len(shown) <= LONGEST_LABEL else shown[: LONGEST_LABEL - 1] + "…"


def owners_and_labels(ids: Integers, own: NDArray[np.bool_], units: Units, spelling: Spelling) -> tuple[Any, list[str]]:
    """Cut one text: the owner of each position, `FIXED` where there is no text, and the label of each feature.

    Args:
        ids: ``(length,)`` token ids.
        own: ``(length,)``: which positions are text, neither padding nor framing.
        units: what a feature is.
        spelling: of the ids.
    """
    owners = np.full(len(ids), FIXED, np.int64)
    parts: list[list[int]] = []
    for position in np.flatnonzero(own):
        place = int(ids[position])
        previous = parts[-1][-1] if parts else None
        touches = bool(position > 0 and own[position - 1])
        if previous is None or _begins(place, previous, touches, units, spelling):
            parts.append([])
        parts[-1].append(place)
        owners[position] = len(parts) - 1
    return owners, [spelling.joined(part) for part in parts]


def _begins(place: int, previous: int, touches: bool, units: Units, spelling: Spelling) -> bool:
    if units == "tokens":
        return True
    if units == "words":
        return not (touches and spelling.goes_on(place))
    ended, ends = ends_sentence(spelling.plain(previous)), ends_sentence(spelling.plain(place))
    return ended and not ends


def ends_sentence(token: str) -> bool:
    """A sign that ends a sentence, or closes a quotation after it."""
    return bool(token) and all(letter in _ENDS or letter in _CLOSES for letter in token)


@cache
def _bytes_of_letters() -> dict[str, int]:
    """The letters that stand for bytes in byte-level vocabularies (Radford et al., 2019, GPT-2).

    Printable bytes stand for themselves, the others for the letters from U+0100 on, in order.
    """
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(plain)]
    return {chr(byte): byte for byte in plain} | {chr(256 + n): byte for n, byte in enumerate(others)}


def _unbyted(token: str) -> str:
    """A token of a byte-level vocabulary as text; ``Ġ`` is a space."""
    table = _bytes_of_letters()
    if any(letter not in table for letter in token):
        return token
    return bytes(table[letter] for letter in token).decode("utf-8", "replace").strip()
