"""The distinct numbers of a tensor, and optional tensors, which are there or not as the file says."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Unsupported, Use, operator, positive


@operator("Unique")
def unique(call: Call, x: Any) -> Any:
    """Slopes reach the first place of each distinct number."""
    tf, axis = call.tf, call.attribute("axis")
    data, along = (tf.reshape(x, (-1,)), 0) if axis is None else (x, positive(axis, len(x.shape)))
    found = tf.raw_ops.UniqueWithCountsV2(x=tf.stop_gradient(data), axis=[along], out_idx=tf.int64)
    number = tf.shape(found.count, out_type="int64")[0]
    first = tf.math.unsorted_segment_min(tf.range(tf.shape(found.idx, out_type="int64")[0]), found.idx, number)
    inverse, counts = found.idx, found.count
    if call.attribute("sorted", 1):
        order = _order(call, tf.gather(data, first, axis=along), along)
        first, counts = tf.gather(first, order), tf.gather(counts, order)
        inverse = tf.gather(tf.argsort(order, stable=True), tf.cast(inverse, "int32"))
    return tf.gather(data, first, axis=along), first, tf.cast(inverse, "int64"), counts


def _order(call: Call, distinct: Any, along: int) -> Any:
    """Places in ascending order; of whole slices, by their first entry, then by the next."""
    tf = call.tf
    if len(distinct.shape) == 1:
        return tf.argsort(distinct, stable=True)
    turned = tf.transpose(distinct, [along, *(axis for axis in range(len(distinct.shape)) if axis != along)])
    if None in turned.shape[1:]:
        raise Unsupported("the size of what it compares is only known when it runs")
    flat = tf.reshape(turned, (-1, int(np.prod(turned.shape[1:]))))
    order = tf.range(tf.shape(flat)[0])
    for column in reversed(range(flat.shape[1])):  # a stable sort by each, the most important last
        order = tf.gather(order, tf.argsort(tf.gather(flat[:, column], order), stable=True))
    return order


@operator("Optional", "OptionalGetElement")
def as_it_is(call: Call, x: Any = None) -> Any:
    if x is None:
        raise Unsupported("there is nothing in it")
    return call.tf.identity(x)


@operator("OptionalHasElement", flat=True)
def is_there(call: Call, x: Any = None) -> Any:
    return call.tf.constant(x is not None)


def _draws(use: Use) -> str:
    return "it draws other numbers in every call, and what is drawn has no explanation"


@operator(
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", refuses=_draws
)
def drawn(call: Call, *_: Any) -> Any:
    raise Unsupported(_draws(call.use))
