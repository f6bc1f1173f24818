"""Losses of classes, as training graphs end in them: weighted, with a class that does not count, and reduced."""

from typing import Any

from runtimes.formats.tf_operators.declaring import Call, operator


@operator("NegativeLogLikelihoodLoss")
def negative_log_likelihood(call: Call, x: Any, target: Any, weight: Any = None) -> Any:
    return _lost(call, x, target, weight)


@operator("SoftmaxCrossEntropyLoss")
def softmax_cross_entropy(call: Call, x: Any, target: Any, weight: Any = None) -> tuple[Any, Any]:
    chances = call.tf.nn.log_softmax(x, axis=1)
    return _lost(call, chances, target, weight), chances


def _lost(call: Call, x: Any, target: Any, weight: Any) -> Any:
    """Minus each target's number, times its class's weight, ``(rows, ...)``, reduced as the node says."""
    tf, ignored = call.tf, call.attribute("ignore_index")
    # beyond the classes there is no number, and no weight either
    counts = tf.ones_like(target, "bool") if ignored is None else tf.not_equal(target, tf.cast(ignored, target.dtype))
    place = tf.where(counts, target, tf.zeros_like(target))
    classes_last = tf.transpose(x, (0, *range(2, len(x.shape)), 1))
    mine = tf.gather(classes_last, place, axis=-1, batch_dims=len(target.shape))
    much = tf.ones_like(mine) if weight is None else tf.gather(weight, place)
    much = tf.where(counts, much, tf.zeros_like(much))
    lost = -mine * much
    reduction = call.attribute("reduction", "mean")
    if reduction == "none":
        return lost
    total = tf.reduce_sum(lost)
    return total if reduction == "sum" else total / tf.reduce_sum(much)
