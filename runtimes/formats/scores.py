"""From a model's raw columns to the columns of a view: two columns for a binary classifier, log-odds, checks."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Floats
from runtimes.target import ModelFileError

_TINY = float(np.finfo(np.float32).tiny)
"""The smallest normal float32, about 1.2e-38: a probability of exactly 0 counts as this, so that log-odds stay
finite (at most 87.3 in size) while every representable probability keeps its own."""

_SUM_TOLERANCE = 1e-3
"""Float16 models and averages of many trees miss 1 by up to a few 1e-4; a forgotten softmax misses by far more."""


def as_columns(raw: NDArray[Any], rows: int) -> Floats:
    """A raw output as ``(rows, columns)`` float64.

    Raises:
        ModelFileError: the output has no row axis, or more than one axis beside it.
    """
    shape = raw.shape
    if rows and (not shape or shape[0] != rows):
        raise ModelFileError(
            f"the output has shape {shape} for {rows} rows: axis 0 is not the rows", "choose another `model.output`"
        )
    if sum(size != 1 for size in shape[1:]) > 1:
        raise ModelFileError(
            f"the output has shape {shape}: more than one axis beside the rows", "select and reduce it in the model"
        )
    return np.asarray(raw, np.float64).reshape(rows, -1) if rows else np.zeros((0, int(np.prod(shape[1:]))))


def two_columns(values: Floats, score: str) -> Floats:
    """A binary classifier's single column as two: probability ``[1 - p, p]``, logit and log-odds ``[-z, z]``."""
    if values.shape[1] != 1:
        return values
    first = 1.0 - values if score == "probability" else -values
    return np.concatenate([first, values], axis=1)


def check_probabilities(values: Floats, sum_to_one: bool) -> None:
    """Check that an output is what the spec calls it.

    Raises:
        ModelFileError: a value outside [0, 1], not finite, or a row that does not sum to 1 where it should.
    """
    advice = "ask for `score: value` or `logit`, or choose the output that holds probabilities"
    bad = ~((values >= -1e-6) & (values <= 1 + 1e-6)).all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise ModelFileError(f"the output is not a probability: row {row} holds {values[row][:4].tolist()}", advice)
    if sum_to_one and values.shape[1] > 1:
        off = np.abs(values.sum(axis=1) - 1.0)
        row = int(np.argmax(off)) if len(off) else 0
        if len(off) and off[row] > _SUM_TOLERANCE:
            raise ModelFileError(f"the output is not a distribution: row {row} sums to {values[row].sum():.6g}", advice)


def log_odds_of_probabilities(values: Floats, exclusive: bool) -> Floats:
    """ln(p / (1 - p)) of each column, ``(rows, columns)``.

    Where the columns are exclusive classes, 1 - p is the sum of the others: exact where p rounds to 1.
    """
    if exclusive and values.shape[1] > 1:
        rest = np.stack([np.delete(values, k, axis=1).sum(axis=1) for k in range(values.shape[1])], axis=1)
    else:
        rest = 1.0 - values
    odds: Floats = np.log(np.maximum(values, _TINY)) - np.log(np.maximum(rest, _TINY))
    return odds


def log_odds_of_softmax(logits: Floats) -> Floats:
    """z_k - ln(sum over j != k of exp z_j): the log-odds of each class of a softmax, without saturation."""
    if logits.shape[1] == 1:
        raise ValueError("a softmax over one column has no log-odds")
    top = logits.max(axis=1, keepdims=True)
    scaled = np.exp(logits - top)
    share = scaled / scaled.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        rest = np.log(scaled.sum(axis=1, keepdims=True)) + np.log1p(-np.minimum(share, 1.0))
    best = np.argmax(logits, axis=1)
    rows = np.arange(len(logits))
    # The largest class's share may round to 1; its rest is summed from the others instead.
    others = logits.copy()
    others[rows, best] = -np.inf
    second = others.max(axis=1)
    rest[rows, best] = second + np.log(np.exp(others - second[:, None]).sum(axis=1)) - top[:, 0]
    odds: Floats = logits - top - rest
    return odds
