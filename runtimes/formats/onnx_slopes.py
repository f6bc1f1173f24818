"""The score that a view explains, of what a rebuilt ONNX graph answers: in TensorFlow, for the target of each row."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from runtimes.adaptation import ALL, Adaptation
from runtimes.capabilities import View
from runtimes.formats.scores import log_with_slopes, of_each_row

_TINY = float(np.finfo(np.float32).tiny)
"""As in `runtimes.formats.scores`: a probability of exactly 0 counts as this."""


def chosen_score(tf: Any, raw: Any, target: Any, width: int, view: View, activation: str, gives: str) -> Any:
    """Each row's score of its target column, ``(rows,)``: what `OnnxPredictor` makes of the same answer, with slopes.

    Args:
        tf: TensorFlow.
        raw: what the graph answers.
        target: ``(rows,)``.
        width: how many columns the answer has.
        view: what is explained.
        activation: of the output, as `runtimes.formats.onnx_file.Tail` says it.
        gives: ``logit`` or ``scores``: which tensor the answer is.
    """
    return score_of(tf, columns_of(tf, raw, width, view.adaptation), target, view, activation, gives)


def columns_of(tf: Any, raw: Any, width: int, asked: Adaptation) -> Any:
    """An answer as ``(rows, columns)``: selected from and reduced as asked."""
    return tf.reshape(_selected(tf, raw, asked), (-1, width))


def score_of(tf: Any, columns: Any, target: Any, view: View, activation: str, gives: str) -> Any:
    """Each row's score of its target column, of `columns_of` what the graph answers; see `chosen_score`."""
    width = columns.shape[1]
    score, classifies = view.score, view.task == "classification"
    several = of_each_row(tf, columns, target) if width > 1 else None
    # of a single column the first class is 1 - p or -z: the same slope, downwards
    sign = tf.cast(2 * target - 1, columns.dtype)
    if score == "value" or (score == "logit" and not classifies):
        return columns[:, 0] if several is None else several
    if score == "log_value":
        value = columns[:, 0] if several is None else several
        return value if gives == "logit" else log_with_slopes(tf, value)
    if score == "logit":
        return sign * columns[:, 0] if several is None else several
    exclusive = activation in ("softmax", "linear") and width > 1
    if gives == "logit":
        if several is None:
            return sign * columns[:, 0]
        return several - tf.reduce_logsumexp(_others(tf, columns, target, -np.inf), 1) if exclusive else several
    if activation == "linear":
        if several is None:
            return sign * tf.sigmoid(columns[:, 0])
        return of_each_row(tf, tf.nn.softmax(columns), target)
    if score == "probability":
        return sign * columns[:, 0] if several is None else several
    independent = activation == "sigmoid" or (view.adaptation.shapes_output and activation != "softmax")
    if several is None:
        return sign * (_log(tf, columns[:, 0]) - _log(tf, 1.0 - columns[:, 0]))
    rest = 1.0 - several if independent else tf.reduce_sum(_others(tf, columns, target, 0.0), 1)
    return _log(tf, several) - _log(tf, rest)


def _others(tf: Any, columns: Any, target: Any, instead: float) -> Any:
    """The columns with another number in place of each row's target."""
    mine = tf.one_hot(target, columns.shape[1], on_value=True, off_value=False, dtype=tf.bool)
    return tf.where(mine, tf.constant(instead, columns.dtype), columns)


def _log(tf: Any, values: Any) -> Any:
    return tf.math.log(tf.maximum(values, tf.cast(_TINY, values.dtype)))


def _selected(tf: Any, raw: Any, asked: Adaptation) -> Any:
    """Rows first, then index, then reduce: as `runtimes.formats.scores.as_columns` does."""
    rank = len(raw.shape)
    if asked.batch_axis and asked.batch_axis < rank:
        axis = asked.batch_axis
        raw = tf.transpose(raw, (axis, *(one for one in range(rank) if one != axis)))
    if not asked.select and not asked.reduce:
        return raw
    entries = [*asked.select, *[ALL] * (rank - 1 - len(asked.select))]
    axis, reduced = 1, []
    for entry in entries:
        if isinstance(entry, int):
            raw = tf.gather(raw, entry if entry >= 0 else tf.shape(raw)[axis] + entry, axis=axis)
            continue
        if isinstance(entry, tuple):
            length = tf.shape(raw)[axis]
            raw = tf.gather(raw, [one if one >= 0 else length + one for one in entry], axis=axis)
        elif entry == ALL and asked.reduce:
            reduced.append(axis)
        axis += 1
    reductions: Mapping[str, Any] = {"max": tf.reduce_max, "mean": tf.reduce_mean, "sum": tf.reduce_sum}
    return reductions[asked.reduce](raw, reduced) if reduced else raw
