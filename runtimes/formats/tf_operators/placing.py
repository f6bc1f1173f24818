"""Tensors put into larger ones, or cut to a size: patches, caches, centres, and what a pooling has left out."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Laid, Unsupported, operator, positive


@operator("CenterCropPad", style="laid")
def centred(call: Call, x: Laid, *_: Any) -> Laid:
    tf, wanted = call.tf, [int(size) for size in call.known(1, "shape").reshape(-1)]
    axes = [positive(axis, x.rank) for axis in call.attribute("axes") or range(x.rank)]
    tensor = x.tensor
    for axis, size in zip(axes, wanted, strict=True):
        mine, length = x.order[axis], x.sizes()[axis]
        if length is None:
            raise Unsupported("a size that it changes is only known when it runs")
        room, before = size - length, abs(size - length) // 2
        if room > 0:
            tensor = tf.pad(tensor, [(before, room - before) if one == mine else (0, 0) for one in range(x.rank)])
        elif room < 0:
            tensor = tensor[(slice(None),) * mine + (slice(before, before + size),)]
    return Laid(tensor, x.order)


@operator("Col2Im")
def from_columns(call: Call, x: Any, image: Any, block: Any) -> Any:
    tf = call.tf
    sizes, kernel = (call.known(place, what).reshape(-1).tolist() for place, what in ((1, "image"), (2, "block")))
    n, taps = len(sizes), int(np.prod(kernel))
    steps, apart = (call.attribute(name) or [1] * n for name in ("strides", "dilations"))
    pads = call.attribute("pads") or [0] * (2 * n)
    starts = [
        np.arange(0, size + pads[axis] + pads[axis + n] - (kernel[axis] - 1) * apart[axis], steps[axis]) - pads[axis]
        for axis, size in enumerate(sizes)
    ]
    reach = [np.arange(kernel[axis]) * apart[axis] for axis in range(n)]
    grids = (np.stack(np.meshgrid(*of, indexing="ij"), -1).reshape(-1, n) for of in (reach, starts))
    inner, outer = grids
    where = inner[:, None, :] + outer[None, :, :]  # taps, blocks, axes
    inside = ((where >= 0) & (where < sizes)).all(-1)
    index = np.where(inside, np.ravel_multi_index(tuple(np.clip(where, 0, np.array(sizes) - 1).T), sizes).T, -1)
    if x.shape[1] is None:
        raise Unsupported("how many channels it has is only known when it runs")
    channels, rows = x.shape[1] // taps, tf.shape(x)[0]
    apart_ = tf.reshape(x, tf.stack([rows, channels, taps * len(outer)]))
    first = tf.transpose(apart_, (2, 0, 1))
    summed = tf.math.unsorted_segment_sum(first, tf.constant(index.reshape(-1), "int32"), int(np.prod(sizes)))
    return tf.reshape(tf.transpose(summed, (1, 2, 0)), tf.stack([rows, channels, *sizes]))


@operator("TensorScatter")
def into_cache(call: Call, past: Any, update: Any, start: Any = None) -> Any:
    tf, rank = call.tf, len(past.shape)
    axis = positive(call.attribute("axis", -2), rank)
    turn = [0, axis, *(one for one in range(1, rank) if one != axis)]
    held, new = tf.transpose(past, turn), tf.transpose(update, turn)
    size, number = tf.shape(held)[1], tf.shape(new)[1]
    first = tf.zeros(tf.shape(held)[:1], "int32") if start is None else tf.cast(start, "int32")
    which = tf.range(size)[None] - first[:, None]
    which = which % size if call.attribute("mode", "linear") == "circular" else which
    taken = tf.gather(new, tf.clip_by_value(which, 0, number - 1), axis=1, batch_dims=1)
    inside = tf.reshape((which >= 0) & (which < number), tf.concat([tf.shape(which), [1] * (rank - 2)], 0))
    return tf.transpose(tf.where(inside, taken, held), [turn.index(one) for one in range(rank)])


@operator("MaxUnpool")
def unpooled(call: Call, x: Any, index: Any, wanted: Any = None) -> Any:
    tf, kernel = call.tf, call.attribute("kernel_shape")
    n, shape = len(kernel), tf.shape(x, out_type="int64")
    steps, pads = call.attribute("strides") or [1] * n, call.attribute("pads") or [0] * (2 * n)
    space = [(shape[2 + a] - 1) * steps[a] - pads[a] - pads[a + n] + kernel[a] for a in range(n)]
    whole = tf.concat([shape[:2], tf.stack(space)], 0)
    flat = tf.scatter_nd(tf.reshape(index, (-1, 1)), tf.reshape(x, (-1,)), tf.reduce_prod(whole)[None])
    made = tf.reshape(flat, whole)
    if wanted is None:
        return made
    return tf.pad(made, tf.stack([tf.zeros_like(whole), tf.cast(wanted, "int64") - whole], 1))
