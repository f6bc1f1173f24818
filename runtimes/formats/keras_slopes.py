"""The score that a view explains, of what a Keras model or SavedModel answers: in TensorFlow, for the target of each row."""

from typing import Any

import numpy as np

from runtimes.capabilities import View
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.scores import log_with_slopes, of_each_row


def chosen_score(raw: Any, target: Any, view: View, activation: str, *, gives_logits: bool) -> Any:
    """Each row's score of its target column, ``(rows,)``.

    Args:
        raw: what the model answers.
        target: ``(rows,)``.
        view: what is explained.
        activation: of the output, as its file says it.
        gives_logits: whether that activation is taken away, or there is none.
    """
    tf, score = tensorflow(), view.score
    columns = tf.reshape(raw, (tf.shape(raw)[0], int(np.prod(raw.shape[1:]))))
    width = columns.shape[1]
    if width == 1 and score != "value" and view.task == "classification":
        sign = tf.cast(2 * target - 1, columns.dtype)
        picked = columns[:, 0]
        if score == "log_odds" and not gives_logits:
            picked = tf.math.log(picked) - tf.math.log1p(-picked)
        # The first column is 1 - p or -z: the same slope, downwards.
        return sign * picked
    picked = of_each_row(tf, columns, target)
    if score != "log_odds":
        return log_with_slopes(tf, picked) if score == "log_value" and not gives_logits else picked
    others = tf.one_hot(target, width, on_value=False, off_value=True, dtype=tf.bool)
    exclusive = activation != "sigmoid"
    if gives_logits:
        if not exclusive:
            return picked
        masked = tf.where(others, columns, tf.constant(-np.inf, columns.dtype))
        return picked - tf.reduce_logsumexp(masked, axis=1)
    rest = tf.reduce_sum(tf.where(others, columns, tf.zeros_like(columns)), axis=1) if exclusive else 1.0 - picked
    return tf.math.log(picked) - tf.math.log(rest)
