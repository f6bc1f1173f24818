"""From a model's raw columns to the columns of a view: two columns for a binary classifier, log-odds, checks."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.adaptation import ALL, Adaptation
from runtimes.capabilities import Floats
from runtimes.target import ModelFileError

_TINY = float(np.finfo(np.float32).tiny)
"""The smallest normal float32, about 1.2e-38: a probability of exactly 0 counts as this, so that log-odds stay
finite (at most 87.3 in size) while every representable probability keeps its own."""

SUM_TOLERANCE = 1e-3
"""Float16 models and averages of many trees miss 1 by up to a few 1e-4; a forgotten softmax misses by far more."""


def as_columns(raw: Any, rows: int, asked: Adaptation | None = None) -> Floats:
    """A raw output as ``(rows, columns)`` float64: selected from and reduced as asked; maps by the order of their keys.

    Raises:
        ModelFileError: the output has no row axis, or more than one axis beside it.
    """
    if type(raw) is np.ndarray and raw.ndim == 2 and len(raw) == rows > 0 and not (asked and asked.shapes_output):
        return raw.astype(np.float64)  # nearly always, and of a small model the checks below would be a tenth
    asked, parts = asked or Adaptation(), 0
    if isinstance(raw, list):
        parts = len(raw)
        raw, asked = _of_list(raw, asked)
    if 0 < asked.batch_axis < raw.ndim:
        raw = np.moveaxis(raw, asked.batch_axis, 0)
    shape = raw.shape
    if rows and parts and (not shape or shape[0] != rows):
        raise ModelFileError(
            f"the output is a list of {parts} tensors for {rows} rows, and the one chosen has shape {shape}: not all rows",
            "where it holds a tensor for each row, export the model with the tensor that the list is made from",
        )
    if rows and (not shape or shape[0] != rows):
        raise ModelFileError(
            f"the output has shape {shape} for {rows} rows: axis {asked.batch_axis} is not the rows",
            "choose another `model.output`",
        )
    if asked.select or asked.reduce:
        raw = _selected(raw, asked)
        shape = raw.shape
    if sum(size != 1 for size in shape[1:]) > 1:
        raise ModelFileError(
            f"the output has shape {shape}: more than one axis beside the rows",
            "say what becomes of each: `model.output: {select: [...], reduce: max}`",
        )
    return np.asarray(raw, np.float64).reshape(rows, -1) if rows else np.zeros((0, int(np.prod(shape[1:]))))


def _of_list(raw: list[Any], asked: Adaptation) -> tuple[NDArray[Any], Adaptation]:
    """A list of maps (one a row, class to score), or of tensors, of which the first entry of `select` takes one."""
    if raw and isinstance(raw[0], dict):
        return np.array([list(row.values()) for row in raw], np.float64), asked
    first = asked.select[0] if asked.select else None
    if not isinstance(first, int) or not -len(raw) <= first < len(raw):
        way = "say which: `model.output: {select: [0]}`; where it holds one for each row, export the tensor it is made from"
        raise ModelFileError(f"the output is a list of {len(raw)} tensors", way)
    return np.asarray(raw[first]), replace(asked, select=asked.select[1:])


def _selected(raw: NDArray[Any], asked: Adaptation) -> NDArray[Any]:
    """Index first, then reduce what is left; the axis that `select` keeps as outputs stays."""
    entries = [*asked.select, *[ALL] * (raw.ndim - 1 - len(asked.select))]
    if len(entries) != raw.ndim - 1:
        raise ModelFileError(
            f"the output has shape {raw.shape}, and `select` says something of {len(asked.select)} axes beside the rows",
            "say one thing for each axis",
        )
    index: list[Any] = [slice(None)]
    reduced: list[int] = []
    axis = 1
    for entry, size in zip(entries, raw.shape[1:], strict=True):
        positions = [entry] if isinstance(entry, int) else list(entry) if isinstance(entry, tuple) else []
        if any(not -size <= position < size for position in positions):
            reason = f"`select` asks for {positions} of an axis of {size}; the output has shape {raw.shape}"
            raise ModelFileError(reason, f"positions are 0 to {size - 1}")
        index.append(entry if isinstance(entry, int) else slice(None))
        if not isinstance(entry, int):
            if entry == ALL and asked.reduce:
                reduced.append(axis)
            axis += 1
    taken = np.asarray(raw[tuple(index)], np.float64)
    axis = 1
    for entry in entries:  # several positions of an axis, one axis after the other
        if isinstance(entry, tuple):
            taken = taken.take(entry, axis=axis)
        axis += not isinstance(entry, int)
    if not reduced:
        return taken
    if not taken.size:
        reason = f"the output has shape {raw.shape}: there is nothing to reduce"
        raise ModelFileError(reason, "choose another output, or rows for which the model answers")
    found: NDArray[Any] = _REDUCTIONS[asked.reduce](taken, tuple(reduced))
    return found


_REDUCTIONS: Mapping[str, Callable[[NDArray[Any], tuple[int, ...]], NDArray[Any]]] = {
    "max": lambda held, axes: np.asarray(held.max(axis=axes)),
    "mean": lambda held, axes: np.asarray(held.mean(axis=axes)),
    "sum": lambda held, axes: np.asarray(held.sum(axis=axes)),
}


def two_columns(values: Floats, score: str) -> Floats:
    """A binary classifier's single column as two: probability ``[1 - p, p]``, logit and log-odds ``[-z, z]``."""
    if values.shape[1] != 1:
        return values
    both = np.empty((len(values), 2))
    both[:, 1:] = values
    if score == "probability":
        np.subtract(1.0, values, out=both[:, :1])
    else:
        np.negative(values, out=both[:, :1])
    return both


def softmax(logits: Floats) -> Floats:
    """Logits of exclusive classes as probabilities, ``(rows, columns)``."""
    scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True))


def sigmoid(logits: Floats) -> Floats:
    """Logits as probabilities, each column by itself, without overflow."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)


def check_probabilities(values: Floats, sum_to_one: bool, tolerance: float = SUM_TOLERANCE) -> None:
    """Check that an output is what the spec calls it.

    Args:
        values: ``(rows, columns)``.
        sum_to_one: whether the columns are exclusive classes.
        tolerance: how far a row's sum may be from 1.

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
        if len(off) and off[row] > tolerance:
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


def log_of_values(values: Floats) -> Floats:
    """The natural logarithm of each answer of a regression, ``(rows, columns)``.

    Raises:
        ModelFileError: an answer that has no logarithm.
    """
    bad = ~((values > 0) & np.isfinite(values)).all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        said = values[row][:4].tolist()
        reason = f"`log_value` needs finite values above 0, and the model answers {said} (row {row} of those asked)"
        raise ModelFileError(reason, "explain `value`; rows that a method makes up may have such answers too")
    logs: Floats = np.log(values)
    return logs


def of_each_row(tf: Any, columns: Any, target: Any) -> Any:
    """Each row's entry of its target column, ``(rows,)``, in TensorFlow.

    By positions of rows and columns: `gather` within rows says the same, but its slope is a hundred operations, which take
    longer to trace than a small model.
    """
    rows = tf.range(tf.shape(columns)[0], dtype=target.dtype)
    return tf.gather_nd(columns, tf.stack([rows, target], axis=1))


def log_with_slopes(tf: Any, values: Any) -> Any:
    """The same in TensorFlow: an answer without a logarithm has no slope either, where ln would give one of either sign."""
    usable = tf.logical_and(values > 0, tf.math.is_finite(values))
    return tf.math.log(values * tf.where(usable, tf.ones_like(values), tf.constant(np.nan, values.dtype)))


def known_slopes(slopes: Mapping[str, Floats]) -> Mapping[str, Floats]:
    """The slopes of logarithms that were taken of answers.

    Raises:
        ModelFileError: the answer of a row, which a method may have made up, has none.
    """
    if any(np.isnan(array).any() for array in slopes.values()):
        reason = "`log_value` has slopes where values are above 0, and the model answers 0 or below to a row on the way"
        raise ModelFileError(reason, "explain `value`; rows that a method makes up may have such answers too")
    return slopes


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
