"""A handle whose model reads a text whole, where the audit holds pieces of it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Coalitions, Floats, Inputs, Owners, Predictor, Spent
from runtimes.texts.pieces import Composed, joined


class WholeTexts:
    """Pieces ``(rows, pieces)`` become one text a row; texts that are not cut, ``(rows, 1)``, stay as they are.

    It offers scores alone: what else a model may say of a text, such as a slope, says nothing of its pieces.

    Args:
        handle: of the model.
        name: of the input that holds the text.
        axes: of that input, the rows' among them: 1 or 2.
    """

    def __init__(self, handle: Predictor, name: str, axes: int) -> None:
        self._handle = handle
        self._name = name
        self._axes = axes

    @property
    def rows_per_call(self) -> int:
        """As the handle has it."""
        return self._handle.rows_per_call

    @property
    def spent(self) -> Spent:
        """As the handle has it."""
        return self._handle.spent

    def predict(self, inputs: Inputs) -> Floats:
        """See `runtimes.capabilities.Predictor`."""
        pieces = np.asarray(inputs[self._name])
        return self.scores_of(pieces[:, 0] if pieces.shape[1] == 1 else joined(pieces), inputs)

    def scores_of(self, texts: NDArray[Any], beside: Inputs) -> Floats:
        """The scores of texts ``(rows,)``, with what the model reads beside them."""
        return self._handle.predict({**beside, self._name: texts.reshape(len(texts), *[1] * (self._axes - 1))})

    def coalitions(self, row: Inputs, references: Inputs, owners: Owners) -> Coalitions | None:
        """See `runtimes.capabilities.Composer`: to join texts as they are composed takes a third of the time."""
        if any((np.asarray(owned) >= 0).any() for name, owned in owners.items() if name != self._name):
            return None
        return _Coalitions(self, self._name, row, references, np.asarray(owners[self._name]))


class _Coalitions:
    """Coalitions of words of one text; see `runtimes.capabilities.Coalitions`."""

    def __init__(
        self, model: WholeTexts, name: str, row: Inputs, references: Inputs, owners: NDArray[np.int64]
    ) -> None:
        self._model = model
        self._beside: Mapping[str, NDArray[Any]] = {key: np.asarray(one) for key, one in row.items() if key != name}
        self._composed = Composed(np.asarray(row[name])[0], np.asarray(references[name]))
        self._owners = owners

    def takes(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """All of them."""
        return np.ones(len(masks), bool)

    def scores(self, masks: NDArray[np.bool_]) -> Floats:
        """``(n * references, outputs)``, references fastest."""
        keep = masks[:, self._owners] | (self._owners < 0)
        texts = self._composed.texts(keep)
        return self._model.scores_of(
            texts, {name: np.repeat(one, len(texts), axis=0) for name, one in self._beside.items()}
        )
