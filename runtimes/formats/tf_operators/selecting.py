"""Parts of tensors: cut out, gathered, scattered, padded, reversed."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Laid, Unsupported, Use, operator, positive


@operator("Slice", style="laid")
def cut(call: Call, x: Laid, *_: Any) -> Laid:
    tf = call.tf
    if call.opset < 10:
        starts, ends = call.attribute("starts"), call.attribute("ends")
        axes, steps = call.attribute("axes"), None
    else:
        named = enumerate(("start", "end", "axes", "step"), 1)
        said = [call.values[i] if i < len(call.values) else None for i, _ in named]
        if said[0] is None or said[1] is None:
            return _cut_when_it_runs(call, x, *_)
        starts, ends = said[0].reshape(-1).tolist(), said[1].reshape(-1).tolist()
        axes, steps = (None if one is None else one.reshape(-1).tolist() for one in said[2:])
    axes = list(range(len(starts))) if axes is None else axes
    parts = [slice(None)] * x.rank
    for start, end, axis, step in zip(starts, ends, axes, steps or [1] * len(starts), strict=True):
        parts[x.order[positive(axis, x.rank)]] = _part(start, end, step)
    return Laid(tf.identity(x.tensor)[tuple(parts)], x.order)


_FAR = 2**31 - 1
"""Ends beyond this mean: to the end, as exporters write them."""


def _part(start: int, end: int, step: int) -> slice:
    if step > 0:
        return slice(max(start, -_FAR) or None, None if end >= _FAR else max(end, -_FAR), step)
    return slice(None if start >= _FAR else start, None if end <= -_FAR else end, step)


def _cut_when_it_runs(call: Call, x: Laid, starts: Laid, ends: Laid, *rest: Laid) -> Laid:
    """Bounds that are computed: of any sign, and beyond the ends."""
    tf = call.tf
    axes = call.values[3] if len(rest) > 0 and rest[0] is not None else np.arange(starts.tensor.shape[0])
    steps = call.values[4] if len(rest) > 1 and rest[1] is not None else np.ones(starts.tensor.shape[0], np.int64)
    if axes is None or steps is None or (steps < 0).any():
        raise Unsupported("where it cuts is only known when it runs")
    parts = [slice(None)] * x.rank
    for place, axis in enumerate(axes.tolist()):
        mine = x.order[positive(axis, x.rank)]
        length = tf.shape(x.tensor, out_type="int64")[mine]
        bounds = [tf.cast(one.tensor[place], "int64") for one in (starts, ends)]
        low, high = (tf.clip_by_value(tf.where(b < 0, b + length, b), 0, length) for b in bounds)
        parts[mine] = slice(low, high, int(steps[place]))
    return Laid(x.tensor[tuple(parts)], x.order)


def _counted_from_front(call: Call, index: Any, length: Any) -> Any:
    tf = call.tf
    return tf.where(index < 0, index + tf.cast(length, index.dtype), index)


@operator("Gather", style="laid")
def gather(call: Call, x: Laid, index: Laid) -> Laid:
    tf = call.tf
    axis, value = positive(call.attribute("axis", 0), x.rank), call.values[1]
    if x.rank == 1 and value is not None and value.size == 1:
        # of a shape: as a cut, so that sizes that are known stay known
        return Laid.plainly(tf.reshape(x.tensor[int(value.reshape(-1)[0])], value.shape))
    data = x.plain(tf)
    where = _counted_from_front(call, index.plain(tf), tf.shape(data)[axis])
    return Laid.plainly(tf.gather(data, where, axis=axis))


@operator("GatherElements")
def gather_elements(call: Call, x: Any, index: Any) -> Any:
    tf, axis = call.tf, positive(call.attribute("axis", 0), len(x.shape))
    return tf.gather_nd(x, _places(call, index, axis, tf.shape(x)[axis]))


def _places(call: Call, index: Any, axis: int, length: Any) -> Any:
    """The whole position of each entry of an index along one axis."""
    tf = call.tf
    index = _counted_from_front(call, index, length)
    grid = tf.meshgrid(*[tf.range(size) for size in tf.unstack(tf.shape(index, out_type=index.dtype))], indexing="ij")
    grid[axis] = index
    return tf.stack(grid, axis=-1)


def _positions(call: Call, index: Any, shape: Any) -> Any:
    """Positions of several axes, counted from the front."""
    tf = call.tf
    return tf.where(index < 0, index + tf.cast(shape, index.dtype), index)


@operator("GatherND")
def gather_nd(call: Call, x: Any, index: Any) -> Any:
    tf, batch, width = call.tf, call.attribute("batch_dims", 0), index.shape[-1]
    return tf.gather_nd(x, _positions(call, index, tf.shape(x)[batch : batch + width]), batch_dims=batch)


_ADDING = {"add": "tensor_scatter_nd_add", "max": "tensor_scatter_nd_max", "min": "tensor_scatter_nd_min"}
_ADDING |= {"none": "tensor_scatter_nd_update"}


def _multiplies(use: Use) -> str | None:
    return "`reduction: mul`" if use.attributes.get("reduction") == "mul" else None


@operator("ScatterND", refuses=_multiplies)
def scatter_nd(call: Call, x: Any, index: Any, updates: Any) -> Any:
    tf = call.tf
    how = getattr(tf, _ADDING[call.attribute("reduction", "none")])
    return how(x, _positions(call, index, tf.shape(x)[: index.shape[-1]]), updates)


@operator("ScatterElements", "Scatter", refuses=_multiplies)
def scatter_elements(call: Call, x: Any, index: Any, updates: Any) -> Any:
    tf, axis = call.tf, positive(call.attribute("axis", 0), len(x.shape))
    how = getattr(tf, _ADDING[call.attribute("reduction", "none")])
    return how(x, _places(call, index, axis, tf.shape(x)[axis]), updates)


@operator("Compress")
def compress(call: Call, x: Any, chosen: Any) -> Any:
    tf, axis = call.tf, call.attribute("axis")
    data, along = (tf.reshape(x, (-1,)), 0) if axis is None else (x, positive(axis, len(x.shape)))
    return tf.gather(data, tf.where(chosen)[:, 0], axis=along)


@operator("NonZero", flat=True)
def non_zero(call: Call, x: Any) -> Any:
    return call.tf.transpose(call.tf.where(call.tf.not_equal(x, call.tf.zeros_like(x))))


@operator("OneHot", flat=True)
def one_hot(call: Call, index: Any, depth: Any, values: Any) -> Any:
    tf = call.tf
    number = tf.cast(tf.reshape(depth, ()), "int64")
    # counted from the front, and beyond either end nowhere
    where = tf.cast(index, "int64")
    where = tf.where(where < 0, where + number, where)
    axis = positive(call.attribute("axis", -1), len(index.shape) + 1)
    return tf.one_hot(where, tf.cast(number, "int32"), values[1], values[0], axis=axis)


@operator("ReverseSequence")
def reverse_sequence(call: Call, x: Any, lengths: Any) -> Any:
    rows, time = call.attribute("batch_axis", 1), call.attribute("time_axis", 0)
    return call.tf.reverse_sequence(x, lengths, seq_axis=time, batch_axis=rows)


_MODES = {"constant": "CONSTANT", "reflect": "REFLECT"}


@operator("Pad", style="laid")
def pad(call: Call, x: Laid, *rest: Any) -> Laid:
    tf = call.tf
    if call.opset < 11:
        pads, value = call.attribute("pads"), call.attribute("value", 0.0)
        value = tf.constant(value, x.tensor.dtype)
    else:
        pads = call.known(1, "padding").reshape(-1).tolist()
        given = rest[1] if len(rest) > 1 and rest[1] is not None else None
        value = tf.zeros((), x.tensor.dtype) if given is None else tf.reshape(given.tensor, ())
    axes = call.axes(3, 18) if call.opset >= 18 and call.use.has(3) else None
    axes = list(range(x.rank)) if axes is None else [positive(axis, x.rank) for axis in axes]
    pairs = [(0, 0)] * x.rank
    for place, axis in enumerate(axes):
        pairs[x.order[axis]] = (int(pads[place]), int(pads[place + len(axes)]))
    return Laid(_padded(call, x.tensor, pairs, value), x.order)


def _padded(call: Call, data: Any, pairs: list[tuple[int, int]], value: Any) -> Any:
    tf, mode = call.tf, call.attribute("mode", "constant")
    inwards = tuple(slice(max(-before, 0), -max(-after, 0) or None) for before, after in pairs)
    data = data[inwards] if any(part != slice(0, None) for part in inwards) else data
    pairs = [(max(before, 0), max(after, 0)) for before, after in pairs]
    if not any(any(pair) for pair in pairs):
        return tf.identity(data)
    if mode in _MODES:
        return tf.pad(data, pairs, _MODES[mode], value)
    for axis, (before, after) in enumerate(pairs):  # at the edge, or around it
        if before or after:
            length = tf.shape(data)[axis]
            places = tf.range(-before, length + after)
            places = tf.clip_by_value(places, 0, length - 1) if mode == "edge" else places % length
            data = tf.gather(data, places, axis=axis)
    return data
