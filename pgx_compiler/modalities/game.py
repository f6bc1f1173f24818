"""The cooperative game of one row: features are players, a coalition's worth is the model's mean score.

Perturbation methods see this class alone; the modality, the fill and the runtime are hidden behind it.
"""

import copy
from collections.abc import Callable, Mapping
from functools import cached_property
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.features import FIXED, FeatureMap, References
from runtimes.capabilities import Coalitions, Floats, Inputs, Integers, Predictor

Masks = NDArray[np.bool_]
"""``(n, features)``: True where a feature is present (kept from the row), False where it is removed."""

_ROWS_OF_A_COMPOSER = 512
"""Answers are held for so many rows at once: 4 MiB of scores for a model of a thousand classes."""
_BYTES_COMPOSED = 2**19
"""Rows are composed for several calls of the handle at once where calls are small: 48 images of 28 × 28 a call were composed
and answered in a quarter more time than the model takes, and in a tenth more with half a megabyte at once."""
_LEAST_RUN = 32
"""Bytes. Measured on 224 × 224 × 3: longer runs of one owner are copied whole faster than they are selected bit by bit."""


class Game:
    """v(S) = mean over references r of score(x on S, r elsewhere), for one row x.

    Args:
        model: asked for scores.
        row: each input's array ``(1, *feature shape)``.
        references: each input's array ``(references, *feature shape)``.
        features: who owns which element.
        targets: ``(k,)`` output columns; all are answered by the same model rows.
        packed: inputs in which removed elements leave no gap, with their padding (`References.packed`).
    """

    def __init__(
        self,
        model: Predictor,
        row: Inputs,
        references: Inputs,
        features: FeatureMap,
        targets: Integers,
        packed: Mapping[str, int] | None = None,
    ) -> None:
        self._model = model
        self._row = {name: np.asarray(np.asarray(array)[0]) for name, array in row.items()}
        self._references = references
        self._features = features
        self._packed = packed or {}
        self._targets = np.atleast_1d(targets)
        self.n_features = len(features)
        self.n_targets = len(self._targets)
        self.n_references = len(next(iter(references.values())))

    @property
    def features(self) -> FeatureMap:
        """The players: their names, and the elements that each owns (where masks are drawn in space)."""
        return self._features

    @property
    def coalitions_per_call(self) -> int:
        """How many masks fit one model call; more are answered too, in several calls."""
        return max(1, self._model.rows_per_call // self.n_references)

    def value(self, masks: Masks) -> Floats:
        """The worth of each coalition, ``(n, k)`` float64. Streams to the model's batch size."""
        masks = np.asarray(masks, bool)
        if not len(masks):
            return np.zeros((0, self.n_targets))
        inside = self._composed_inside
        if inside is None:
            return self._streamed(masks, self._scores_of_composed, self._composed_at_once)
        taken = inside.takes(masks)
        if taken.all():
            return self._streamed(masks, inside.scores, _ROWS_OF_A_COMPOSER)
        if not taken.any():
            return self._streamed(masks, self._scores_of_composed, self._composed_at_once)
        out = np.empty((len(masks), self.n_targets))
        out[taken] = self._streamed(masks[taken], inside.scores, _ROWS_OF_A_COMPOSER)
        out[~taken] = self._streamed(masks[~taken], self._scores_of_composed, self._composed_at_once)
        return out

    def value_and_full(self, masks: Masks) -> tuple[Floats, Floats]:
        """The worth of each coalition, ``(n, k)``, and the score of the row itself, ``(k,)``.

        With one reference the row is one more coalition, and a call is saved; of few coalitions it would be half the time.
        """
        if self.n_references > 1 or self._packed:
            return self.value(masks), self.full()
        worth = self.value(np.concatenate([masks, np.ones((1, self.n_features), bool)]))
        return worth[:-1], worth[-1]

    @property
    def _composed_at_once(self) -> int:
        """Rows that are composed for several calls of the handle at once."""
        return int(_BYTES_COMPOSED // max(1, sum(one.nbytes for one in self._row.values())))

    def _streamed(self, masks: Masks, scores: Callable[[Masks], Floats], rows: int) -> Floats:
        """The worth of masks, about ``rows`` model rows at once where more than one call fits them."""
        parts = []
        first = int(self._targets[0])
        asked = slice(first, first + 1) if self.n_targets == 1 else self._targets  # a slice copies nothing
        start, most = 0, len(masks)
        while start < len(masks):
            # Asked anew each time: a handle that runs out of memory goes on with smaller calls.
            step = self.coalitions_per_call
            part = masks[start : start + min(most, step * max(1, rows // (step * self.n_references)))]
            try:
                answered = scores(part)
            except MemoryError:
                if len(part) == 1 and scores == self._scores_of_composed:
                    raise
                # Fewer coalitions at once; where one alone is too many inside the model, its rows in calls as they fit.
                self._model.spent.halved += 1
                if len(part) > 1:
                    most = len(part) // 2
                else:
                    most, scores = len(masks), self._scores_of_composed
                continue
            if self.n_references == 1:
                answered = answered[:, self._targets]
            else:
                answered = answered.reshape(len(part), self.n_references, -1)[:, :, asked]
                answered = np.add.reduce(answered, axis=1)
                answered /= self.n_references
            parts.append(answered)
            start += len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _scores_of_composed(self, masks: Masks) -> Floats:
        together = max(1, self._model.rows_per_call)
        if self.n_references <= together:
            return self._model.predict(self._compose(masks))
        # What is composed at once stays within the handle's call, however many references there are.
        runs = [slice(start, start + together) for start in range(0, self.n_references, together)]
        parts = [self._model.predict(self._compose(mask[None], run)) for mask in masks for run in runs]
        return np.concatenate(parts)

    def full(self) -> Floats:
        """The score of the row itself, ``(k,)``."""
        scores = self._model.predict({name: array[None] for name, array in self._row.items()})
        return np.asarray(scores[0, self._targets], np.float64)

    def empty(self) -> Floats:
        """The worth of the empty coalition: the base value, ``(k,)``."""
        return np.asarray(self.value(np.zeros((1, self.n_features), bool))[0], np.float64)

    def among(self, references: Integers) -> "Game":
        """The game with some of the references alone. The worth of a coalition is the mean of those of all parts' games."""
        row = {name: array[None] for name, array in self._row.items()}
        some = {name: np.asarray(array)[references] for name, array in self._references.items()}
        return Game(self._model, row, some, self._features, self._targets, self._packed)

    def of_all_outputs(self) -> tuple["Game", Floats]:
        """The same game with every output of the model as a target, and the row's scores ``(outputs,)``; asks for the row.

        For methods that speak of decisions: which output leads, whichever is explained.
        """
        whole = copy.copy(self)
        scores = self._model.predict({name: array[None] for name, array in self._row.items()})[0]
        whole._targets = np.arange(len(scores))
        whole.n_targets = len(scores)
        return whole, np.asarray(scores, np.float64)

    @property
    def targets(self) -> Integers:
        """Output columns that are explained, ``(k,)``."""
        return self._targets

    @cached_property
    def _fillings(self) -> dict[str, "_Filling"]:
        """What composes each input, made where it is needed: a handle may have a way of its own."""
        return {
            name: _Filling(one, np.asarray(self._references[name]), _columns(self._features, name))
            for name, one in self._row.items()
        }

    @cached_property
    def _composed_inside(self) -> Coalitions | None:
        """The handle's own way to answer coalitions, where it has one that pays for this game."""
        # by its one method, not by `isinstance`: that looks at all of the protocol, for each of many games
        if self._packed or not hasattr(self._model, "coalitions"):
            return None
        row = {name: one[None] for name, one in self._row.items()}
        found: Coalitions | None = self._model.coalitions(row, self._references, self._features.owners)
        return found

    def _compose(self, masks: Masks, references: slice = slice(None)) -> dict[str, NDArray[Any]]:
        """Model rows for masks: ``(n * references, *feature shape)``, references fastest; for some references alone."""
        padded = np.concatenate([masks, np.ones((len(masks), 1), bool)], axis=1)  # the last column serves what is fixed
        composed = {name: filling.composed(padded, references) for name, filling in self._fillings.items()}
        for name, padding in self._packed.items():
            composed[name] = _packed(composed[name], padding)
        return composed


def _columns(features: FeatureMap, name: str) -> NDArray[np.int64]:
    """The column of a mask padded with ones that each element of an input goes by: that of its owner, or the last."""
    owners = np.asarray(features.owners[name])
    return np.where(owners == FIXED, len(features), owners)


class _Filling:
    """Composes one input: neighbouring elements of one owner are moved together, others selected by their bits.

    Both give the very values of ``np.where``, which takes ten times as long on an image in patches.
    """

    def __init__(self, row: NDArray[Any], references: NDArray[Any], owners: NDArray[np.int64]) -> None:
        self._shape = row.shape
        self._count = len(references)
        # A reference may hold a longer word than any explained row; numbers take the model's own dtype.
        dtype = np.result_type(row, references) if row.dtype.kind in "US" else row.dtype
        with np.errstate(invalid="ignore"):
            self._row = np.ascontiguousarray(row.reshape(-1), dtype)
            self._references = np.ascontiguousarray(references.reshape(self._count, -1), dtype)
        flat = np.asarray(owners).reshape(-1)
        run = max(1, int(np.gcd.reduce(np.append(np.flatnonzero(np.diff(flat)) + 1, flat.size))))
        self._whole = run * dtype.itemsize >= _LEAST_RUN
        word = gcd(run * dtype.itemsize, 8)
        self._bits = f"i{word}" if dtype.kind in "biuf" and word % dtype.itemsize == 0 else ""
        if not self._whole:
            run = word // dtype.itemsize if self._bits else 1
        self._run = run
        self._rooms: dict[str, NDArray[Any]] = {}
        self._owners = np.ascontiguousarray(flat[::run])

    def composed(self, padded: Masks, references: slice) -> NDArray[Any]:
        """``(n * references, *feature shape)``."""
        if self._whole:
            rows = self._moved(padded, references)
        elif self._bits:
            rows = self._selected(padded, references)
        else:
            rows = np.where(padded[:, None, self._owners], self._row, self._references[references])
        return rows.reshape(-1, *self._shape)

    @cached_property
    def _runs(self) -> NDArray[Any]:
        """All runs to choose from: those of the references, then those of the row."""
        return np.concatenate([self._references, self._row[None]]).reshape(-1, self._run)

    def _moved(self, padded: Masks, references: slice) -> NDArray[Any]:
        keep, runs = padded[:, None, self._owners], np.arange(len(self._owners))
        of_reference = np.arange(self._count)[references, None] * len(runs) + runs
        taken: NDArray[Any] = np.take(self._runs, np.where(keep, self._count * len(runs) + runs, of_reference), axis=0)
        return taken

    @cached_property
    def _differing(self) -> NDArray[Any]:
        """Bits in which the row differs from each reference, in words of one owner."""
        differing: NDArray[Any] = self._row.view(self._bits) ^ self._references.view(self._bits)
        return differing

    def _selected(self, padded: Masks, references: slice) -> NDArray[Any]:
        differing, of_references = self._differing[references], self._references.view(self._bits)[references]
        words = self._row.view(self._bits).size
        ones = self._room("ones", padded.shape)
        np.negative(padded.view("i1"), out=ones, casting="unsafe")  # -1 has every bit set
        # Clipping checks nothing, and no position is out of bounds; in place where one array is enough.
        bits = self._room("bits", (len(padded), 1, words))
        np.take(ones, self._owners, axis=1, mode="clip", out=bits[:, 0])
        rows = bits if len(differing) == 1 else self._room("rows", (len(padded), len(differing), words))
        np.bitwise_and(bits, differing, out=rows)
        rows ^= of_references
        return rows.view(self._row.dtype)

    def _room(self, purpose: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """An array to write to, the same again and again: a fresh one would be fetched from the system page by page.

        So what is composed holds until something else is composed.
        """
        held = self._rooms.get(purpose)
        if held is None or len(held) < shape[0] or held.shape[1:] != shape[1:]:
            held = self._rooms[purpose] = np.empty(shape, self._bits)
        return held[: shape[0]]


def _packed(tokens: NDArray[np.generic], padding: int) -> NDArray[np.generic]:
    """Token ids ``(rows, length)`` with all padding moved to the end of each row."""
    order = np.argsort(tokens == padding, axis=1, kind="stable")
    return np.take_along_axis(tokens, order, axis=1)


def game_of_row(
    model: Predictor, inputs: Inputs, row: int, references: References, features: FeatureMap, target: int | Integers
) -> Game:
    """The game of one row of a batch, for its own target or targets ``(k,)``."""
    one = {name: array[row : row + 1] for name, array in inputs.items()}
    own = features.of_row(row)
    return Game(model, one, references.of_row(row), own, np.atleast_1d(target), references.packed)
