"""Texts that the model reads whole: its own tokens are hidden, so features are words and sentences as people see them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities._text_units import LONGEST_LABEL, ends_sentence
from pgx_compiler.modalities.data import drawn_rows
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, UnfitFeatures
from runtimes.capabilities import Inputs
from runtimes.texts.pieces import gap_of, pieces_of, word_of

_MOST_TEXTS = 10_000
"""Training texts whose words are drawn from, and no more: a word that is not among theirs hardly occurs."""
_ENDS_WITHOUT_SPACE = frozenset("。！？")


def settle(choice: Mapping[str, Any]) -> dict[str, Any]:
    """What a feature is; see `pgx_compiler.modalities.text.settle`.

    `choice` holds ``text`` (the input's name) and ``longest`` (the most words, and the most sentences, of a text).
    """
    units = choice.get("units") or "words"
    if units == "tokens":
        reason = "the model cuts its text itself, and what it cuts is not ours to see"
        raise UnfitFeatures("units", reason, "write `units: words`, or `sentences`")
    return {**choice, "units": units}


def layout_of(described: Mapping[str, Any]) -> dict[str, Any]:
    """How to draw it, and what filling and describing a text must know."""
    return {"kind": "words", "units": described["units"], "text": described["text"]}


def feature_map(shapes: Mapping[str, Sequence[int]], described: Mapping[str, Any]) -> FeatureMap:
    """As many features as the longest text has."""
    owners = {name: np.full(tuple(shape), FIXED, np.int64) for name, shape in shapes.items()}
    owners[described["text"]] = np.zeros_like(owners[described["text"]])
    return FeatureMap(names_of(int(described["longest"][described["units"]]), described), owners, layout_of(described))


def names_of(count: int, described: Mapping[str, Any]) -> tuple[str, ...]:
    """What features are called before a row is known: ``word 1``."""
    unit = described["units"].removesuffix("s")
    return tuple(f"{unit} {number + 1}" for number in range(max(1, count)))


def features_of_rows(inputs: Inputs, described: Mapping[str, Any], empty: str) -> FeatureMap:
    """The words or sentences of each row, whose text is cut in pieces; ``empty`` names the feature of one without any."""
    name, units = described["text"], described["units"]
    pieces = np.asarray(inputs[name])
    names = names_of(int(described["longest"][units]), described)
    cut = [_at_most(len(names), *owners_and_labels(row, units)) for row in pieces.tolist()]
    named = [labels or [empty] for _, labels in cut]
    owners = {other: np.full(np.shape(array), FIXED, np.int64) for other, array in inputs.items() if other != name}
    return FeatureMap(
        names,
        {key: np.array([owner for owner, _ in cut], np.int64) if key == name else owners[key] for key in inputs},
        layout_of(described),
        np.array([len(labels) for labels in named], np.int64),
        np.array([labels + [""] * (len(names) - len(labels)) for labels in named], np.str_),
    )


def _at_most(count: int, owners: list[int], labels: list[str]) -> tuple[list[int], list[str]]:
    """A text that is longer than any that was counted: what is beyond is part of the last feature."""
    if len(labels) <= count:
        return owners, labels
    last = _label(" ".join(labels[count - 1 :]))
    return [min(owner, count - 1) for owner in owners], [*labels[: count - 1], last]


def owners_and_labels(pieces: Sequence[str], units: str) -> tuple[list[int], list[str]]:
    """The owner of each piece, `FIXED` where it is white space or nothing, and the label of each feature."""
    owners, parts = [], list[str]()
    previous = ""
    for piece in pieces:
        word = word_of(piece)
        if not word:
            owners.append(FIXED)
            continue
        if not previous or units == "words" or _begins_sentence(piece, previous):
            parts.append(word)
        else:
            parts[-1] += piece
        previous = word
        owners.append(len(parts) - 1)
    return owners, [_label(part) for part in parts]


def _begins_sentence(piece: str, previous: str) -> bool:
    """After a sign that ends a sentence and a space, or after an empty line."""
    gap = gap_of(piece)
    if gap.count("\n") > 1:
        return True
    if not ends_sentence(previous):
        return False
    return bool(gap) or (previous[-1] in _ENDS_WITHOUT_SPACE and not ends_sentence(piece))


def _label(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " if letter.isspace() else "·" for letter in text)
    return shown if len(shown) <= LONGEST_LABEL else shown[: LONGEST_LABEL - 1] + "…"


def longest(texts: Sequence[str]) -> dict[str, int]:
    """The most words, and the most sentences, that one of some texts has."""
    cut = [pieces_of(text) for text in texts]
    return {
        units: max((len(owners_and_labels(pieces, units)[1]) for pieces in cut), default=0) or 1
        for units in ("words", "sentences")
    }


def references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], layout: Mapping[str, Any], rng: np.random.Generator
) -> References:
    """What stands where a word was removed; white space before it stays where another word takes its place.

    ``delete``: nothing. ``mask``: the word ``token``. ``substitute``: ``size`` draws of words of the training texts, as
    often as they occur there.
    """
    name = layout["text"]
    pieces = np.asarray(rows[name])
    held = {key: np.asarray(array)[:, None] for key, array in rows.items()}
    if fill["kind"] == "delete":
        gone = np.where(np.strings.strip(pieces) == "", pieces, "")
        return References({**held, name: gone[:, None]}, "nothing: the remaining words close up")
    if fill["kind"] == "mask":
        filled = _filled(pieces, [fill["token"]], np.zeros(pieces.shape, np.int64))
        return References({**held, name: filled[:, None]}, f"the word `{fill['token']}` for each removed one")
    size = int(fill.get("size", 10))
    texts = np.asarray(train[name]).reshape(-1)
    texts = texts[drawn_rows(len(texts), _MOST_TEXTS)]
    pool = [word for text in texts.tolist() for word in map(word_of, pieces_of(text)) if word] or [""]
    drawn = [_filled(pieces, pool, rng.integers(0, len(pool), pieces.shape)) for _ in range(size)]
    repeated = {key: np.repeat(array, size, axis=1) for key, array in held.items()}
    filled = np.stack([one.astype(np.result_type(*drawn)) for one in drawn], axis=1)
    return References({**repeated, name: filled}, f"{size} draws from the words of {len(texts)} training texts")


def _filled(pieces: NDArray[Any], words: Sequence[str], chosen: NDArray[np.int64]) -> NDArray[np.str_]:
    """Each piece with another word, ``words[chosen]``; what holds no word stays."""
    rows = zip(pieces.tolist(), chosen.tolist(), strict=True)
    return np.array(
        [
            [gap_of(piece) + words[place] if word_of(piece) else piece for piece, place in zip(*row, strict=True)]
            for row in rows
        ],
        np.str_,
    ).reshape(pieces.shape)


def descriptors(inputs: Inputs, layout: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Plain properties of each text, ``(rows,)`` each; NaN where a text without words has none.

    ``length``: words and signs. ``distinct``: share of different ones, small and capital letters taken as one.
    ``letters``: mean length of them.
    """
    texts = np.asarray(inputs[layout["text"]]).reshape(-1).tolist()
    found = np.full((len(texts), 3), np.nan)
    for row, text in enumerate(texts):
        words = [word for word in map(word_of, pieces_of(text)) if word]
        found[row, 0] = len(words)
        if words:
            found[row, 1] = len({word.lower() for word in words}) / len(words)
            found[row, 2] = sum(map(len, words)) / len(words)
    return dict(zip(("length", "distinct", "letters"), found.T, strict=True))
