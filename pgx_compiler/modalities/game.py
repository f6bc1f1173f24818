"""The cooperative game of one row: features are players, a coalition's worth is the model's mean score.

Perturbation methods see this class alone; the modality, the fill and the runtime are hidden behind it.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.features import FeatureMap, References
from runtimes.capabilities import Floats, Inputs, Integers, Predictor

Masks = NDArray[np.bool_]
"""``(n, features)``: True where a feature is present (kept from the row), False where it is removed."""


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
        self._row = {name: np.asarray(array)[0] for name, array in row.items()}
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
        out = np.empty((len(masks), self.n_targets))
        step = self.coalitions_per_call
        for start in range(0, len(masks), step):
            part = masks[start : start + step]
            scores = self._model.predict(self._compose(part))[:, self._targets]
            out[start : start + step] = scores.reshape(len(part), self.n_references, self.n_targets).mean(axis=1)
        return out

    def full(self) -> Floats:
        """The score of the row itself, ``(k,)``."""
        scores = self._model.predict({name: array[None] for name, array in self._row.items()})
        return np.asarray(scores[0, self._targets], np.float64)

    def empty(self) -> Floats:
        """The worth of the empty coalition: the base value, ``(k,)``."""
        return np.asarray(self.value(np.zeros((1, self.n_features), bool))[0], np.float64)

    def _compose(self, masks: Masks) -> dict[str, NDArray[np.generic]]:
        """Model rows for masks: ``(n * references, *feature shape)``, references fastest."""
        padded = np.concatenate([masks, np.ones((len(masks), 1), bool)], axis=1)  # the last column serves FIXED = -1
        composed: dict[str, NDArray[np.generic]] = {}
        for name, row in self._row.items():
            keep = padded[:, self._features.owners[name]]
            rows = np.where(keep[:, None], row, self._references[name][None])
            composed[name] = rows.reshape((-1, *row.shape)).astype(row.dtype, copy=False)
        for name, padding in self._packed.items():
            composed[name] = _packed(composed[name], padding)
        return composed


def _packed(tokens: NDArray[np.generic], padding: int) -> NDArray[np.generic]:
    """Token ids ``(rows, length)`` with all padding moved to the end of each row."""
    order = np.argsort(tokens == padding, axis=1, kind="stable")
    return np.take_along_axis(tokens, order, axis=1)


def game_of_row(
    model: Predictor, inputs: Inputs, row: int, references: References, features: FeatureMap, target: int
) -> Game:
    """The game of one row of a batch, for its own target."""
    one = {name: array[row : row + 1] for name, array in inputs.items()}
    own = features.of_row(row)
    return Game(model, one, references.of_row(row), own, np.array([target]), references.packed)
