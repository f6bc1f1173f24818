"""Pooling over windows and over all of space, with the channels last."""

from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Laid, Unsupported, Use, lasting, operator
from runtimes.formats.tf_operators.windows import Windows, padded, rounded_up, space_of, windows_of


def _asks_indices(use: Use) -> str | None:
    return "its second output, the positions" if len(use.wanted) > 1 and use.wanted[1] else None


def _ready(call: Call, x: Laid) -> tuple[Any, Windows, Windows]:
    """The data, its windows as they are written, and with room for a last one."""
    data = x.channels_last(call.tf)
    sizes = space_of(call, data)
    windows = windows_of(call, call.attribute("kernel_shape"), sizes)
    return data, windows, rounded_up(call, windows, sizes)


def _pooled(call: Call, data: Any, windows: Windows, kind: str) -> Any:
    tf = call.tf
    n = len(windows.kernel)
    if n > 3:
        raise Unsupported(f"it has {n} axes of space")
    kernel, strides = list(windows.kernel), list(windows.strides)
    if max(windows.dilations) == 1:
        return (tf.nn.max_pool if kind == "MAX" else tf.nn.avg_pool)(data, kernel, strides, "VALID")
    every = tf.nn.pool(data, kernel, kind, padding="VALID", dilations=list(windows.dilations))
    return every[(slice(None), *(slice(None, None, step) for step in strides))]


@operator("MaxPool", style="laid", refuses=_asks_indices)
def max_pool(call: Call, x: Laid) -> Laid:
    data, _, windows = _ready(call, x)
    if not data.dtype.is_floating:
        whole = call.tf.cast(data, "float32")
        made = _pooled(call, padded(call, whole, windows, -np.inf), windows, "MAX")
        return lasting(call.tf.cast(made, data.dtype))
    return lasting(_pooled(call, padded(call, data, windows, data.dtype.min), windows, "MAX"))


@operator("AveragePool", style="laid")
def average_pool(call: Call, x: Laid) -> Laid:
    tf = call.tf
    data, written, windows = _ready(call, x)
    made = _pooled(call, padded(call, data, windows), windows, "AVG")
    if not windows.pads:
        return lasting(made)
    # of each window only the numbers that count: not the padding, and never the room beyond it
    one = tf.ones_like(data[:1, ..., :1])
    if call.attribute("count_include_pad", 0):
        room = tuple(a - b for a, b in zip(windows.after, written.after, strict=True))
        beyond = Windows(windows.kernel, windows.strides, windows.dilations, (0,) * len(room), room)
        counted = padded(call, padded(call, one, written, 1), beyond)
    else:
        counted = padded(call, one, windows)
    return lasting(made / _pooled(call, counted, windows, "AVG"))


@operator("LpPool", style="laid")
def lp_pool(call: Call, x: Laid) -> Laid:
    tf, power = call.tf, float(call.attribute("p", 2))
    data, _, windows = _ready(call, x)
    raised = padded(call, tf.pow(tf.abs(data), power), windows)
    mean = _pooled(call, raised, windows, "AVG")
    return lasting(tf.pow(mean * float(np.prod(windows.kernel)), 1.0 / power))


@operator("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool", style="laid")
def over_all_space(call: Call, x: Laid) -> Laid:
    tf = call.tf
    axes = [x.order[axis] for axis in range(2, x.rank)]
    if call.kind == "GlobalAveragePool":
        return Laid(tf.reduce_mean(x.tensor, axes, keepdims=True), x.order)
    if call.kind == "GlobalMaxPool":
        return Laid(tf.reduce_max(x.tensor, axes, keepdims=True), x.order)
    power = float(call.attribute("p", 2))
    raised = tf.reduce_sum(tf.pow(tf.abs(x.tensor), power), axes, keepdims=True)
    return Laid(tf.pow(raised, 1.0 / power), x.order)
