"""Reductions over axes, running sums, and the largest of many."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Laid, operator, positive, without_axes

_DIRECT = {"ReduceMax": "reduce_max", "ReduceMean": "reduce_mean", "ReduceMin": "reduce_min"}
_DIRECT |= {"ReduceProd": "reduce_prod", "ReduceSum": "reduce_sum", "ReduceLogSumExp": "reduce_logsumexp"}


@operator(*_DIRECT, "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceSumSquare", style="laid")
def reduced(call: Call, x: Laid, *_: Any) -> Laid:
    said = call.axes(1, 13 if call.kind == "ReduceSum" else 18)
    if not said and call.attribute("noop_with_empty_axes", 0):
        return Laid(_over(call, x.tensor, [], True), x.order)
    axes = [positive(axis, x.rank) for axis in said] if said else list(range(x.rank))
    keeps = bool(call.attribute("keepdims", 1))
    made = _over(call, x.tensor, [x.order[axis] for axis in axes], keeps)
    return Laid(made, x.order if keeps else without_axes(x.order, axes))


def _over(call: Call, x: Any, axes: list[int], keeps: bool) -> Any:
    tf = call.tf
    if call.kind in _DIRECT:
        if x.dtype == tf.bool:  # the largest of truths is whether any is true
            return (tf.reduce_any if call.kind == "ReduceMax" else tf.reduce_all)(x, axes, keepdims=keeps)
        if call.kind == "ReduceLogSumExp" and not x.dtype.is_floating:
            x = tf.cast(x, "float64")
        return getattr(tf, _DIRECT[call.kind])(x, axes, keepdims=keeps)
    before = tf.abs if call.kind == "ReduceL1" else tf.identity if call.kind == "ReduceLogSum" else tf.square
    total = tf.reduce_sum(before(x), axes, keepdims=keeps)
    if call.kind == "ReduceL2":
        return tf.sqrt(total)
    return tf.math.log(total) if call.kind == "ReduceLogSum" else total


@operator("ArgMax", "ArgMin", flat=True)
def position(call: Call, x: Any) -> Any:
    tf, axis = call.tf, positive(call.attribute("axis", 0), len(x.shape))
    find = tf.argmax if call.kind == "ArgMax" else tf.argmin
    if call.attribute("select_last_index", 0):
        found = tf.cast(tf.shape(x)[axis], "int64") - 1 - find(tf.reverse(x, [axis]), axis)
    else:
        found = find(x, axis)
    return tf.expand_dims(found, axis) if call.attribute("keepdims", 1) else found


@operator("CumSum")
def running_sum(call: Call, x: Any, axis: Any) -> Any:
    exclusive, backwards = (bool(call.attribute(name, 0)) for name in ("exclusive", "reverse"))
    return call.tf.cumsum(x, int(call.known(1, "axis").reshape(-1)[0]), exclusive, backwards)


@operator("CumProd")
def running_product(call: Call, x: Any, axis: Any) -> Any:
    exclusive, backwards = (bool(call.attribute(name, 0)) for name in ("exclusive", "reverse"))
    return call.tf.math.cumprod(x, int(call.known(1, "axis").reshape(-1)[0]), exclusive, backwards)


@operator("TopK")
def top(call: Call, x: Any, k: Any = None) -> Any:
    tf, rank = call.tf, len(x.shape)
    axis = positive(call.attribute("axis", -1), rank)
    number = tf.cast(tf.reshape(k, ()), "int32") if call.opset >= 10 else call.attribute("k")
    last = [*(one for one in range(rank) if one != axis), axis]
    turned = tf.transpose(x, last)
    smallest = not call.attribute("largest", 1)
    # the smallest are the largest of what counts backwards; no number is lost by it, unlike by a change of sign
    order = tf.argsort(turned, direction="ASCENDING" if smallest else "DESCENDING", stable=True)[..., :number]
    values = tf.gather(turned, order, axis=-1, batch_dims=rank - 1)
    back = [int(one) for one in np.argsort(last)]
    return tf.transpose(values, back), tf.transpose(tf.cast(order, "int64"), back)
