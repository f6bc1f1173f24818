"""The shape of tensors: what it is, and tensors in another one."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Laid, Unsupported, operator, positive, without_axes


@operator("Shape", style="laid", flat=True)
def shape(call: Call, x: Laid) -> Any:
    tf, sizes = call.tf, x.sizes()
    start, end = call.attribute("start", 0), call.attribute("end")
    part = slice(start, x.rank if end is None else end)
    if None not in sizes[part]:
        return Laid.plainly(tf.constant([int(size or 0) for size in sizes[part]], "int64", shape=(len(sizes[part]),)))
    # one entry at a time: so the sizes that are known stay known when a Reshape is made of them
    found = tf.shape(x.tensor, out_type="int64")
    entries = [found[axis] if size is None else size for axis, size in zip(x.order, sizes, strict=True)]
    return Laid.plainly(tf.stack([tf.cast(one, "int64") for one in entries[part]]))


@operator("Size", flat=True)
def size(call: Call, x: Any) -> Any:
    return call.tf.size(x, out_type="int64")


@operator("Reshape")
def reshape(call: Call, x: Any, wanted: Any) -> Any:
    tf, known = call.tf, call.values[1]
    if call.attribute("allowzero", 0) or (known is not None and not (known == 0).any()):
        return tf.reshape(x, wanted)
    if known is not None:
        entries = [_axis_size(tf, x, i) if size == 0 else int(size) for i, size in enumerate(known)]
        return tf.reshape(x, tf.stack(entries) if any(not isinstance(e, int) for e in entries) else entries)
    length = wanted.shape[0]
    if length is None:
        raise Unsupported("how many axes it makes is only known when it runs")
    likely = tf.reshape(x, wanted).shape.as_list() if length else []
    if likely.count(None) == 1 and 0 not in likely:  # one size is open: what computes it need not run
        return tf.reshape(x, [-1 if size is None else size for size in likely])
    static = tf.get_static_value(wanted, partial=True)
    entries = []
    for i in range(length):
        held = None if static is None else static[i]
        if held is not None:
            entries.append(int(held) if held != 0 else _axis_size(tf, x, i))
            continue
        one = tf.cast(wanted[i], "int32")
        # a size that is only known when it runs may be 0, which means: as it was
        entries.append(tf.where(tf.equal(one, 0), _axis_size(tf, x, i), one) if i < len(x.shape) else one)
    return tf.reshape(x, tf.stack(entries))


def _axis_size(tf: Any, x: Any, axis: int) -> Any:
    return tf.shape(x)[axis] if x.shape[axis] is None else int(x.shape[axis])


@operator("Flatten")
def flatten(call: Call, x: Any) -> Any:
    tf, axis = call.tf, positive(call.attribute("axis", 1), len(x.shape))
    known = x.shape[axis:]
    if known.is_fully_defined() and int(np.prod(known)) > 0:
        return tf.reshape(x, (-1, int(np.prod(known))))
    shape = tf.shape(x)
    return tf.reshape(x, tf.stack([tf.reduce_prod(shape[:axis]), tf.reduce_prod(shape[axis:])]))


@operator("Transpose", style="laid")
def transpose(call: Call, x: Laid) -> Laid:
    turn = call.attribute("perm") or list(reversed(range(x.rank)))
    return Laid(x.tensor, tuple(x.order[axis] for axis in turn))


@operator("Squeeze", style="laid")
def squeeze(call: Call, x: Laid, *_: Any) -> Laid:
    said = call.axes(1, 13)
    if said is None:
        if None in x.sizes():
            raise Unsupported("which axes it drops is only known when it runs")
        said = [axis for axis, size in enumerate(x.sizes()) if size == 1]
    axes = [positive(axis, x.rank) for axis in said]
    if not axes:
        return x
    return Laid(call.tf.squeeze(x.tensor, [x.order[axis] for axis in axes]), without_axes(x.order, axes))


@operator("Unsqueeze", style="laid")
def unsqueeze(call: Call, x: Laid, *_: Any) -> Laid:
    axes = call.axes(1, 13) or []
    rank = x.rank + len(axes)
    axes = sorted(positive(axis, rank) for axis in axes)
    tensor = x.tensor
    # new axes stand behind all others, whatever their place in ONNX's order: nothing has to be turned for them
    old = iter(x.order)
    order: list[int] = []
    added = x.rank
    for place in range(rank):
        if place in axes:
            order.append(added)
            added += 1
        else:
            order.append(next(old))
    if x.is_plain:
        for new in axes:
            tensor = call.tf.expand_dims(tensor, new)
        return Laid.plainly(tensor)
    for _new in axes:
        tensor = call.tf.expand_dims(tensor, -1)
    return Laid(tensor, tuple(order))


@operator("Expand")
def expand(call: Call, x: Any, wanted: Any) -> Any:
    tf = call.tf
    return tf.broadcast_to(x, tf.broadcast_dynamic_shape(tf.shape(x, out_type=wanted.dtype), wanted))


@operator("Tile")
def tile(call: Call, x: Any, repeats: Any) -> Any:
    return call.tf.tile(x, repeats)


@operator("Concat", style="laid")
def concat(call: Call, *several: Laid) -> Laid:
    tf, first = call.tf, several[0]
    axis = positive(call.attribute("axis", 1), first.rank)
    order = next((one.order for one in several if not one.is_plain), first.order)
    return Laid(tf.concat([one.in_order(tf, order) for one in several], order[axis]), order)


@operator("Split", style="laid")
def split(call: Call, x: Laid, *_: Any) -> tuple[Laid, ...]:
    tf = call.tf
    axis = positive(call.attribute("axis", 0), x.rank)
    parts = call.axes(1, 13, "split")
    if parts is None:
        number, size = call.attribute("num_outputs", len(call.use.wanted)), x.sizes()[axis]
        if size is None:
            raise Unsupported("the size that it splits is only known when it runs")
        each = -(-size // number)
        parts = [min(each, size - start) for start in range(0, each * number, each)]
    return tuple(Laid(part, x.order) for part in tf.split(x.tensor, parts, x.order[axis]))


@operator("ConstantOfShape", flat=True)
def constant_of_shape(call: Call, wanted: Any) -> Any:
    value = call.attribute("value")
    value = np.zeros(1, np.float32) if value is None else value
    tf = call.tf
    held = tf.constant(value.reshape(-1)[0])
    return tf.fill(wanted, tf.cast(held, call.floats) if held.dtype == tf.float32 else held)


@operator("Range", flat=True)
def arange(call: Call, start: Any, limit: Any, delta: Any) -> Any:
    return call.tf.range(*(call.tf.reshape(one, ()) for one in (start, limit, delta)))


@operator("EyeLike", flat=True)
def eye_like(call: Call, x: Any) -> Any:
    tf = call.tf
    rows, columns = tf.shape(x)[0], tf.shape(x)[1]
    dtype = call.dtype(call.attribute("dtype")) if call.attribute("dtype") else x.dtype
    shifted = tf.range(columns)[None, :] - tf.range(rows)[:, None]
    return tf.cast(tf.equal(shifted, call.attribute("k", 0)), dtype)


@operator("Trilu")
def triangle(call: Call, x: Any, shift: Any = None) -> Any:
    tf = call.tf
    rows, columns = tf.shape(x)[-2], tf.shape(x)[-1]
    k = tf.constant(0) if shift is None else tf.cast(tf.reshape(shift, ()), "int32")
    across = tf.range(columns)[None, :] - tf.range(rows)[:, None]
    kept = across >= k if call.attribute("upper", 1) else across <= k
    return tf.where(kept, x, tf.zeros_like(x))


@operator("DepthToSpace")
def depth_to_space(call: Call, x: Any) -> Any:
    tf, block = call.tf, call.attribute("blocksize")
    n, c, h, w = (_axis_size(tf, x, axis) for axis in range(4))
    if call.attribute("mode", "DCR") == "DCR":
        apart = tf.reshape(x, tf.stack([n, block, block, c // (block * block), h, w]))
        turned = tf.transpose(apart, (0, 3, 4, 1, 5, 2))
    else:
        apart = tf.reshape(x, tf.stack([n, c // (block * block), block, block, h, w]))
        turned = tf.transpose(apart, (0, 1, 4, 2, 5, 3))
    return tf.reshape(turned, tf.stack([n, c // (block * block), h * block, w * block]))


@operator("SpaceToDepth")
def space_to_depth(call: Call, x: Any) -> Any:
    tf, block = call.tf, call.attribute("blocksize")
    n, c, h, w = (_axis_size(tf, x, axis) for axis in range(4))
    apart = tf.reshape(x, tf.stack([n, c, h // block, block, w // block, block]))
    blocks_first = call.attribute("mode", "DCR") == "DCR"
    turned = tf.transpose(apart, (0, 3, 5, 1, 2, 4) if blocks_first else (0, 1, 3, 5, 2, 4))
    return tf.reshape(turned, tf.stack([n, c * block * block, h // block, w // block]))
