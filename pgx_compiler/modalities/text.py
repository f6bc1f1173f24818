"""Texts: a feature is a word, a token or a sentence; a removed one is masked, deleted, or replaced by random tokens.

A model that reads token ids is told what each token is by a vocabulary. One that reads the text itself cuts it inside:
`_whole_texts` says what a feature of such a text is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities import _whole_texts
from pgx_compiler.modalities._text_units import Spelling, owners_and_labels
from pgx_compiler.modalities.data import Variable
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, UnfitFeatures
from runtimes.capabilities import Inputs

DRAWING = "words"
PLACES = 1
NUMERIC = False
KEYS = frozenset({"units"})
FILLS: Mapping[str, Mapping[str, Any]] = {
    "delete": {},
    "mask": {"value": None, "token": None},
    "substitute": {"size": 10},
}
DEFAULT_FILL = "mask"
"""`delete` where the vocabulary has no mask. Measured on the sentiment network against 379 words rated by people: occlusion
has their sign in 92.9 % with `mask`, 90.7 % with `delete`, 88.1 % with `substitute`."""
NO_TEXT = "(no text)"
"""The one feature of a row without any token: it owns nothing, so that its value is zero by every method."""


def settle(choice: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """What a feature is, and what the tokens mean; see `pgx_compiler.modalities.Modality`.

    Beside ``units``, `choice` holds what the analysis has found out of the inputs and the vocabulary: ``ids``, ``mask``
    and ``types`` (names of inputs, or None), ``pad``, ``framing``, ``mask_id`` and ``unknown`` (ids), ``pieces`` and
    ``vocabulary`` (digest and suffix of its file, or None). Of a text that the model reads itself: see `_whole_texts`.
    """
    if choice.get("text"):
        return _whole_texts.settle(choice)
    units = choice.get("units") or ("words" if choice.get("pieces") else "tokens")
    if units == "sentences" and not choice.get("vocabulary"):
        reason = "sentences end at full stops, and without a vocabulary nobody knows which tokens those are"
        raise UnfitFeatures("units", reason, "name the vocabulary, or write `units: tokens`")
    if units == "words" and not choice.get("vocabulary"):
        reason = "words are put together from tokens, and without a vocabulary nobody knows how those are written"
        raise UnfitFeatures("units", reason, "name the vocabulary, or write `units: tokens`")
    return {**choice, "units": units}


def varies(described: Mapping[str, Any]) -> bool:
    """Every text has words of its own."""
    return True


def feature_map(shapes: Mapping[str, Sequence[int]], described: Mapping[str, Any]) -> FeatureMap:
    """As many features as a text of the full length may have."""
    if described.get("text"):
        return _whole_texts.feature_map(shapes, described)
    length = int(shapes[described["ids"]][0])
    position = np.arange(length, dtype=np.int64)
    owners = {name: _placed(name, position, shape, described) for name, shape in shapes.items()}
    return FeatureMap(_names(length, described), owners, _layout(described))


def _placed(
    name: str, position: NDArray[np.int64], shape: Sequence[int], described: Mapping[str, Any]
) -> NDArray[np.int64]:
    """Owners of one input: the tokens and their mask belong to features, all else is given."""
    if name in (described["ids"], described.get("mask")):
        return position.reshape((*position.shape[:-1], *shape))
    return np.full((*position.shape[:-1], *shape), FIXED, np.int64)


def _names(count: int, described: Mapping[str, Any]) -> tuple[str, ...]:
    unit = described["units"].removesuffix("s")
    return tuple(f"{unit} {number + 1}" for number in range(max(1, count)))


def _layout(described: Mapping[str, Any]) -> dict[str, Any]:
    """How to draw it, and what filling and describing a text must know."""
    kept = ("units", "ids", "mask", "types", "pad", "framing", "mask_id", "unknown")
    return {"kind": "words", **{key: described.get(key) for key in kept}}


def features_of_rows(inputs: Inputs, described: Mapping[str, Any]) -> FeatureMap:
    """The words of each row; ``described["words"]`` are those of the vocabulary by id, where there is one."""
    if described.get("text"):
        return _whole_texts.features_of_rows(inputs, described, NO_TEXT)
    layout = _layout(described)
    ids, own = np.asarray(inputs[described["ids"]]), _is_text(inputs, layout)
    spelling = Spelling(described.get("words") or (), described.get("pieces") or "")
    cut = [owners_and_labels(row, text, described["units"], spelling) for row, text in zip(ids, own, strict=True)]
    named = [labels or [NO_TEXT] for _, labels in cut]
    names = _names(ids.shape[1], described)
    position = np.stack([owner for owner, _ in cut])
    return FeatureMap(
        names,
        {name: _placed(name, position, array.shape[1:], described) for name, array in inputs.items()},
        layout,
        np.array([len(labels) for labels in named], np.int64),
        np.array([labels + [""] * (len(names) - len(labels)) for labels in named], np.str_),
    )


def _is_text(inputs: Inputs, layout: Mapping[str, Any]) -> NDArray[np.bool_]:
    """``(rows, length)``: which positions hold text, neither padding nor framing, and are not masked away."""
    ids = np.asarray(inputs[layout["ids"]])
    text: NDArray[np.bool_] = (ids != layout["pad"]) & ~np.isin(ids, layout["framing"] or [])
    return text & (np.asarray(inputs[layout["mask"]]) != 0) if layout["mask"] else text


def references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
) -> References:
    """What stands where a word was removed.

    ``delete``: nothing: what remains moves together (`References.packed`), and a mask of attention is 0 behind it.
    ``mask``: one id, ``value`` or what the vocabulary has for it. ``substitute``: ``size`` draws of tokens of the training
    texts, as often as they occur there.
    """
    layout = features.layout
    if layout.get("text"):
        return _whole_texts.references(rows, train, fill, layout, rng)
    name, ids = layout["ids"], np.asarray(rows[layout["ids"]])
    held = {key: np.asarray(array)[:, None] for key, array in rows.items()}
    if fill["kind"] == "mask":
        value = layout["mask_id"] if fill.get("value") is None else fill["value"]
        return References({**held, name: np.full_like(ids, value)[:, None]}, f"the token {value} for each removed one")
    if fill["kind"] == "substitute":
        size = int(fill.get("size", 10))
        pool = np.asarray(train[name])[_is_text(train, layout)]
        if not len(pool):
            pool = np.array([layout["pad"]], ids.dtype)
        drawn = pool[rng.integers(0, len(pool), (len(ids), size, ids.shape[1]))].astype(ids.dtype)
        repeated = {key: np.repeat(array, size, axis=1) for key, array in held.items()}
        return References(
            {**repeated, name: drawn}, f"{size} draws from the tokens of {len(train[name])} training texts"
        )
    gone = {**held, name: np.full_like(ids, layout["pad"])[:, None]}
    if layout["mask"]:
        gone[layout["mask"]] = np.zeros_like(held[layout["mask"]])
    if not _can_close_up(rows, layout):
        return References(gone, "padding in place of each removed token")
    packed = {key: 0 if key == layout["mask"] else layout["pad"] for key in (name, layout["mask"]) if key}
    return References(gone, "nothing: the remaining tokens close up", packed)


def _can_close_up(rows: Inputs, layout: Mapping[str, Any]) -> bool:
    """Whether tokens may move: all padding is at the end, and no row has two types of tokens, which would have to move too."""
    ids = np.asarray(rows[layout["ids"]])
    gone = ids == layout["pad"]
    if layout["mask"]:
        gone_too = np.asarray(rows[layout["mask"]]) == 0
        if (gone != gone_too).any():
            return False
    if (gone[:, :-1] & ~gone[:, 1:]).any():
        return False
    if not layout["types"]:
        return True
    types = np.asarray(rows[layout["types"]])
    return bool(((types == types[:, :1]) | gone).all())


def variables(
    train: Inputs, test: Inputs | None, features: FeatureMap, columns: Sequence[str], roles: Mapping[str, str]
) -> tuple[Variable, ...]:
    """The descriptors of the texts as variables."""
    whole = bool(features.layout.get("text"))
    described = _whole_texts.descriptors if whole else descriptors
    of_train = described(train, features.layout)
    of_test = None if test is None else described(test, features.layout)
    units = {"length": "words" if whole else "tokens"}
    return tuple(
        Variable(
            key,
            "numeric",
            values,
            None if of_test is None else of_test[key],
            is_descriptor=True,
            unit=units.get(key, ""),
        )
        for key, values in of_train.items()
    )


def descriptors(inputs: Inputs, layout: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Plain properties of each text, ``(rows,)`` each; NaN where a text without tokens has none.

    ``length``: tokens. ``unknown``: share of them that the vocabulary has not. ``distinct``: share of different ones.
    """
    ids, text = np.asarray(inputs[layout["ids"]]), _is_text(inputs, layout)
    length = text.sum(axis=1).astype(np.float64)
    some = np.where(length > 0, length, np.nan)
    different = np.array([len(set(row[own].tolist())) for row, own in zip(ids, text, strict=True)], np.float64)
    found = {"length": length, "distinct": different / some}
    if layout["unknown"] is not None:
        found["unknown"] = ((ids == layout["unknown"]) & text).sum(axis=1) / some
    return found


def longest(texts: Sequence[str]) -> dict[str, int]:
    """The most words, and the most sentences, of one of some texts that a model reads whole."""
    return _whole_texts.longest(texts)
