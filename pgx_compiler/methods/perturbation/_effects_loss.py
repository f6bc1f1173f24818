"""The loss of each row: what global importances of features are counted in."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats

LossName = Literal["auto", "log_loss", "error_rate", "squared_error", "absolute_error"]
WORDS = {
    "log_loss": "log loss",
    "error_rate": "share of wrong answers",
    "squared_error": "squared error",
    "absolute_error": "absolute error",
}
_LEAST = 1e-15
"""A probability of 0 for what happened counts as this (scikit-learn's least in ``log_loss`` for float64 was the same)."""

LABELS_MISSING = "the rows that it is measured on have no labels"


@dataclass(frozen=True)
class Loss:
    """A loss, chosen for a table."""

    name: str
    predicted: Callable[[Floats], Floats]
    """Scores ``(rows, outputs)`` to what may be averaged over rows that stand for a removed feature: probabilities of the
    classes, or values."""
    of: Callable[[Floats, NDArray[np.generic]], Floats]
    """Predicted ``(rows, outputs)`` and labels ``(rows,)`` to each row's loss ``(rows,)``."""

    @property
    def words(self) -> str:
        """What the loss is called."""
        return WORDS[self.name]


def loss_of(table: Table, wanted: LossName) -> Loss:
    """The loss asked for, or the usual one of the task: log loss, squared error.

    Raises:
        UnfitParams: the loss does not fit the task, or what the model's scores can say.
    """
    classifies = table.task == "classification"
    name = wanted if wanted != "auto" else "log_loss" if classifies else "squared_error"
    if classifies != (name in ("log_loss", "error_rate")):
        raise UnfitParams(f"the loss `{name}` is not for {table.task}")
    if not classifies:
        if len(table.focus) != 1:
            raise UnfitParams(f"a label is one number, but {len(table.focus)} outputs of the model are explained")
        column = int(table.focus[0])
        power = 2 if name == "squared_error" else 1
        # labels stand beside values, whatever the scale is in which the model is explained
        said_of = np.exp if table.score_name == "log_value" else np.asarray
        return Loss(name, said_of, lambda said, y: np.abs(said[:, column] - y.astype(np.float64)) ** power)
    if table.score_name == "value":
        if name == "log_loss":
            raise UnfitParams("the log loss needs probabilities, and `explain.score` is `value`; ask for `error_rate`")
        return Loss(name, lambda scores: scores, _wrong)
    return Loss(name, lambda scores: probabilities(scores, table.score_name), _wrong if name == "error_rate" else _log)


def probabilities(scores: Floats, score_name: str) -> Floats:
    """Probabilities of the classes from scores of any kind, ``(rows, classes)``, each row summing to 1.

    Two logits that are exactly each other's negatives are what a single output column is seen as (``[-z, z]``): the
    sigmoid of the second is its probability; all others are taken through the softmax.
    """
    if score_name == "logit" and scores.shape[1] == 2 and np.array_equal(scores[:, 0], -scores[:, 1]):
        score_name = "log_odds"
    if score_name == "log_odds":
        scores = 0.5 * (1.0 + np.tanh(0.5 * scores))
    elif score_name == "logit":
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    scores = np.clip(scores, 0.0, None)
    return np.asarray(scores / np.maximum(scores.sum(axis=1, keepdims=True), _LEAST), np.float64)


def _log(said: Floats, y: NDArray[np.generic]) -> Floats:
    own = said[np.arange(len(said)), y.astype(np.int64)]
    return np.asarray(-np.log(np.maximum(own, _LEAST)), np.float64)


def _wrong(said: Floats, y: NDArray[np.generic]) -> Floats:
    return np.asarray(said.argmax(axis=1) != y.astype(np.int64), np.float64)
