"""Convolutions, computed with the channels last: TensorFlow has no others on a CPU."""

from collections.abc import Callable
from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Laid, Unsupported, lasting, operator
from runtimes.formats.tf_operators.windows import Windows, padded, space_of, windows_of


@operator("Conv", style="laid")
def convolution(call: Call, x: Laid, weight: Laid, bias: Laid | None = None) -> Laid:
    n = x.rank - 2
    _refuse_many_axes(n)
    data = x.channels_last(call.tf)
    kernel = call.attribute("kernel_shape") or weight.sizes()[2:]
    if None in kernel:
        raise Unsupported("the size of its kernel is only known when it runs")
    windows = windows_of(call, [int(size or 0) for size in kernel], space_of(call, data))
    groups = call.attribute("group", 1)
    padding = _padding(windows, space_of(call, data))
    if padding == "VALID":
        data = padded(call, data, windows)
    filters = _turned(call, weight, (*range(2, n + 2), 1, 0))
    return lasting(_grouped(call, data, filters, bias, windows, groups, padding))


def _refuse_many_axes(n: int) -> None:
    if n not in (1, 2, 3):
        raise Unsupported(f"it has {n} axes of space")


def _turned(call: Call, weight: Laid, turn: tuple[int, ...]) -> Any:
    """A kernel in TensorFlow's order of axes; one that the file holds is turned once, not in every call."""
    value = call.values[1]
    if value is not None:
        return call.tf.constant(np.ascontiguousarray(np.transpose(value, turn)))
    return call.tf.transpose(weight.plain(call.tf), turn)


def _grouped(
    call: Call, data: Any, filters: Any, bias: Laid | None, windows: Windows, groups: int, padding: str
) -> Any:
    """One convolution, or one for each group with its part of the bias.

    TensorFlow has convolutions in groups, but not their gradient on every processor, nor in double precision.
    """
    if groups == 1:
        return _with_bias(call, _plain(call, data, filters, windows, padding), bias)
    channels, outputs = filters.shape[-2] * groups, filters.shape[-1]
    if filters.shape[-2] == 1 and len(windows.kernel) < 3:
        return _with_bias(call, _depthwise(call, data, filters, windows, outputs // channels, padding), bias)
    return _by_groups(call, data, filters, bias, groups, lambda one, own: _plain(call, one, own, windows, padding))


def _by_groups(
    call: Call, data: Any, filters: Any, bias: Laid | None, groups: int, one: Callable[[Any, Any], Any]
) -> Any:
    """Sums for each group of channels, biases and all, side by side."""
    tf = call.tf
    parts = zip(tf.split(data, groups, axis=-1), tf.split(filters, groups, axis=-1), strict=True)
    made = [one(part, kernel) for part, kernel in parts]
    if bias is not None and bias.rank == 1:
        made = [tf.nn.bias_add(*pair) for pair in zip(made, tf.split(bias.tensor, groups), strict=True)]
    elif bias is not None:  # for each place: see `runtimes.formats.onnx_folding`
        last = tf.transpose(bias.tensor, (*range(1, bias.rank), 0))
        made = [one + part for one, part in zip(made, tf.split(last, groups, axis=-1), strict=True)]
    return tf.concat(made, axis=-1)


def _with_bias(call: Call, made: Any, bias: Laid | None) -> Any:
    return made if bias is None else call.tf.nn.bias_add(made, bias.tensor)


def _plain(call: Call, data: Any, filters: Any, windows: Windows, padding: str) -> Any:
    tf = call.tf
    dilated = max(windows.dilations) > 1
    if dilated and max(windows.strides) > 1:  # no gradient of both at once here: every place, of which some are kept
        every = tf.nn.convolution(data, filters, 1, "VALID", dilations=list(windows.dilations))
        return _every_so_many(every, windows.strides)
    if dilated:
        return tf.nn.convolution(data, filters, 1, "VALID", dilations=list(windows.dilations))
    return tf.nn.convolution(data, filters, list(windows.strides), padding)


def _padding(windows: Windows, sizes: list[Any]) -> str:
    """``SAME`` where the padding is what TensorFlow means by it, which saves a copy of the input; else ``VALID``.

    Padding that is spelled out would do as well, but ends the process where a depthwise convolution is fused (2.21).
    """
    if not windows.pads or max(windows.dilations) > 1:
        return "VALID"
    of = zip(sizes, windows.kernel, windows.strides, windows.before, windows.after, strict=True)
    for size, k, step, before, after in of:
        if not isinstance(size, int):
            return "VALID"
        whole = max((-(-size // step) - 1) * step + k - size, 0)
        if (before, after) != (whole // 2, whole - whole // 2):
            return "VALID"
    return "SAME" if len(windows.kernel) > 1 and len(set(windows.strides)) == 1 else "VALID"


def _depthwise(call: Call, data: Any, filters: Any, windows: Windows, multiple: int, padding: str) -> Any:
    tf = call.tf
    flat = len(windows.kernel) == 1
    if flat:
        data, filters = tf.expand_dims(data, 1), tf.expand_dims(filters, 0)
    strides, dilations = ((1, one[0]) if flat else one for one in (windows.strides, windows.dilations))
    height, width = filters.shape[:2]
    kernels = tf.reshape(filters, (height, width, -1, multiple))
    if max(dilations) > 1:
        made = tf.nn.depthwise_conv2d(data, kernels, (1, 1, 1, 1), "VALID", dilations=list(dilations))
        made = _every_so_many(made, strides)
    elif flat or strides[0] == strides[1]:  # of a height of 1, any stride is one
        made = tf.nn.depthwise_conv2d(data, kernels, (1, strides[1], strides[1], 1), padding)
    else:
        made = _every_so_many(tf.nn.depthwise_conv2d(data, kernels, (1, 1, 1, 1), padding), strides)
    return tf.squeeze(made, 1) if flat else made


def _every_so_many(made: Any, strides: tuple[int, ...]) -> Any:
    if max(strides) == 1:
        return made
    return made[(slice(None), *(slice(None, None, step) for step in strides))]


@operator("ConvTranspose", style="laid")
def transposed_convolution(call: Call, x: Laid, weight: Laid, bias: Laid | None = None) -> Laid:
    n = x.rank - 2
    _refuse_many_axes(n)
    data = x.channels_last(call.tf)
    filters = _spread(call, _turned(call, weight, (*range(2, n + 2), 1, 0)), n)
    strides = list(call.attribute("strides") or [1] * n)
    groups = call.attribute("group", 1)
    margins = _margins(call, data, filters, strides, n)

    def one(part: Any, kernel: Any) -> Any:
        return _cut(call, _spread_out(call, part, kernel, strides), margins)

    if groups > 1:
        return lasting(_by_groups(call, data, filters, bias, groups, one))
    return lasting(_with_bias(call, one(data, filters), bias))


def _spread(call: Call, filters: Any, n: int) -> Any:
    """A kernel with zeros between its entries, for dilations."""
    tf = call.tf
    for axis, dilation in enumerate(call.attribute("dilations") or [1] * n):
        if dilation == 1:
            continue
        size = filters.shape[axis]
        pieces = tf.stack([filters, *[tf.zeros_like(filters)] * (dilation - 1)], axis=axis + 1)
        shape = [*filters.shape[:axis], size * dilation, *filters.shape[axis + 1 :]]
        keep = [slice(None)] * axis + [slice(0, (size - 1) * dilation + 1)]
        filters = tf.reshape(pieces, shape)[tuple(keep)]
    return filters


def _spread_out(call: Call, data: Any, filters: Any, strides: list[int]) -> Any:
    """Every input's kernel added up, nothing cut off: the slope of a convolution without padding."""
    tf = call.tf
    n, sizes = len(strides), space_of(call, data)
    space = [(size - 1) * step + reach for size, step, reach in zip(sizes, strides, filters.shape[:n], strict=True)]
    shape = tf.stack([tf.shape(data)[0], *space, filters.shape[-2]])
    return tf.nn.conv_transpose(data, filters, shape, strides, "VALID")


def _margins(call: Call, data: Any, filters: Any, strides: list[int], n: int) -> list[tuple[Any, Any]]:
    """What is cut off before and after each axis of space; added, where it is less than nothing."""
    more = list(call.attribute("output_padding") or [0] * n)
    auto, wanted = call.attribute("auto_pad", "NOTSET"), call.attribute("output_shape")
    pads = list(call.attribute("pads") or [0] * (2 * n))
    if wanted is None and auto not in ("SAME_UPPER", "SAME_LOWER"):
        pads = [0] * (2 * n) if auto == "VALID" else pads
        return [(pads[axis], pads[axis + n] - more[axis]) for axis in range(n)]
    found = []
    for axis, (size, step) in enumerate(zip(space_of(call, data), strides, strict=True)):
        whole = (size - 1) * step + filters.shape[axis] + more[axis]
        size_wanted = wanted[-n + axis] if wanted is not None else size * step
        cut = whole - size_wanted
        if isinstance(cut, int):
            cut = max(cut, 0) if wanted is None else cut
        small = cut // 2
        before = small if auto == "SAME_UPPER" else cut - small
        found.append((before, cut - before - more[axis]))
    return found


def _cut(call: Call, whole: Any, margins: list[tuple[Any, Any]]) -> Any:
    pairs = [(0, 0), *margins, (0, 0)]
    if any(not isinstance(one, int) for pair in pairs for one in pair):
        raise Unsupported("what it cuts off is only known when it runs")
    added = [(max(-before, 0), max(-after, 0)) for before, after in pairs]
    if any(any(pair) for pair in added):
        whole = call.tf.pad(whole, added)
    return whole[tuple(slice(max(before, 0), -after if after > 0 else None) for before, after in pairs)]
