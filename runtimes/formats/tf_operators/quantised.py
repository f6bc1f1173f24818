"""Operators of quantised networks: to whole numbers, back again, and products of whole numbers.

Whole numbers are held as floats where `runtimes.formats.onnx_rounding` found that every reader takes them so: slopes then go
straight through the rounding, are 0 where a number was cut off at the end of its range, and take scales as given.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.formats.tf_operators.convolution import convolution
from runtimes.formats.tf_operators.declaring import Call, Laid, Unsupported, operator, positive
from runtimes.formats.tf_operators.pooling import average_pool
from runtimes.formats.tf_operators.small_types import CAST_BY_TENSORFLOW, FLOATS, name_of, on_grid

_MICROSOFT = "com.microsoft"


@operator("DequantizeLinear", wholes=(0,))
def dequantised(call: Call, x: Any, scale: Any, zero: Any = None) -> Any:
    tf = call.tf
    x, zero = _castable(call, 0, x), None if zero is None else _castable(call, 2, zero)
    scale, zero = _blown_up(call, x, scale), None if zero is None else _blown_up(call, x, zero)
    whole = tf.cast(x, "int32") if x.dtype.is_integer else tf.cast(x, scale.dtype)
    whole = whole if zero is None else whole - tf.cast(zero, whole.dtype)
    return tf.cast(whole, scale.dtype) * scale


def _castable(call: Call, position: int, x: Any) -> Any:
    """What the file holds in four bits or in floats of eight, as float32: TensorFlow casts few of them."""
    held = call.values[position]
    return x if held is None or held.dtype.itemsize > 1 else call.tf.constant(held.astype(np.float32))


def _blown_up(call: Call, x: Any, part: Any) -> Any:
    """A scale for the whole, each entry of an axis, or each block of one, in a shape that broadcasts."""
    tf, rank = call.tf, len(x.shape)
    if len(part.shape) == 0:
        return part
    axis = positive(call.attribute("axis", 1), rank)
    block = call.attribute("block_size", 0)
    if block:
        return tf.repeat(part, block, axis=axis)[tuple([slice(None)] * axis + [slice(0, x.shape[axis])])]
    if len(part.shape) == 1 and rank > 0:
        return tf.reshape(part, [-1 if one == axis else 1 for one in range(rank)]) if part.shape[0] != 1 else part[0]
    return part


@operator("QuantizeLinear", rounds=True)
def quantised(call: Call, x: Any, scale: Any, zero: Any = None) -> Any:
    tf = call.tf
    said = call.attribute("output_dtype", 0)
    name = (name_of(said) if said else "uint8") if zero is None else zero.dtype.name
    data, scale = tf.cast(x, call.floats), tf.cast(_blown_up(call, x, scale), call.floats)
    zero = None if zero is None else tf.cast(_blown_up(call, x, _castable(call, 2, zero)), call.floats)
    return _whole(call, data / scale, zero, name)


def _whole(call: Call, steps: Any, zero: Any, kind: str) -> Any:
    """Steps rounded to a type's whole numbers: as floats that slopes go through, or in that type."""
    tf = call.tf
    if "float" in kind:
        return _on_grid(call, steps, kind)
    made = tf.grad_pass_through(tf.math.rint)(steps)
    made = made if zero is None else made + tf.stop_gradient(tf.cast(zero, made.dtype))
    low, high = _range(kind)
    made = tf.clip_by_value(made, float(low), float(high))
    return made if call.use.straight else _typed(call, made, kind)


def _on_grid(call: Call, steps: Any, kind: str) -> Any:
    if kind not in FLOATS.values():
        raise Unsupported(f"it rounds to {kind}")
    made = on_grid(call, steps, kind)
    if not call.use.straight and kind not in CAST_BY_TENSORFLOW:
        raise Unsupported(f"{kind} is read as such")
    return made if call.use.straight else call.tf.cast(made, kind)


@cache
def _range(kind: str) -> tuple[int, int]:
    bits = int(kind.lstrip("uint"))
    return (0, 2**bits - 1) if kind.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _typed(call: Call, made: Any, kind: str) -> Any:
    if int(kind.lstrip("uint")) < 8:
        raise Unsupported(f"{kind} is read as such")
    return call.tf.cast(made, kind)


@operator("DynamicQuantizeLinear", rounds=True)
def quantised_by_its_own_range(call: Call, x: Any) -> Any:
    tf = call.tf
    whole, scale, zero = _by_its_own_range(call, x)
    return whole if call.use.straight else tf.cast(whole, "uint8"), scale, tf.cast(zero, "uint8")


def _by_its_own_range(call: Call, x: Any) -> tuple[Any, Any, Any]:
    """Whole numbers from 0 to 255 as floats, with their scale and zero: the range of all rows together, and 0 in it."""
    tf = call.tf
    high = tf.maximum(tf.reduce_max(x), call.scalar(0.0, x))
    low = tf.minimum(tf.reduce_min(x), call.scalar(0.0, x))
    scale = tf.stop_gradient((high - low) / 255.0)
    divisor = tf.where(tf.equal(scale, 0.0), tf.ones_like(scale), scale)  # all numbers are 0
    zero = tf.stop_gradient(tf.math.rint(tf.clip_by_value(-low / divisor, 0.0, 255.0)))
    steps = tf.grad_pass_through(tf.math.rint)(x / divisor) + zero
    return tf.clip_by_value(steps, 0.0, 255.0), scale, zero


# products of whole numbers


def _centred(call: Call, position: int, x: Any, zero: Any, axis: int | None = None) -> Any:
    """Whole numbers less their zero, as floats; each entry along an axis has its own where there are several."""
    tf, held = call.tf, call.values[position]
    made = tf.cast(x, call.floats) if held is None else tf.constant(held.astype(call.floats))
    return made if zero is None else made - tf.cast(_along(tf, zero, len(made.shape), axis), made.dtype)


def _along(tf: Any, part: Any, rank: int, axis: int | None) -> Any:
    if len(part.shape) != 1 or axis is None or rank <= 1:
        return part
    place = positive(axis, rank)
    return tf.reshape(part, [-1 if one == place else 1 for one in range(rank)])


def _summed(call: Call, made: Any) -> Any:
    """Sums of products: whole numbers that fit 32 bits."""
    return made if call.use.straight else call.tf.cast(call.tf.math.rint(made), "int32")


@operator("MatMulInteger", rounds=True, wholes=(0, 1))
def matmul_of_whole_numbers(call: Call, x: Any, y: Any, x_zero: Any = None, y_zero: Any = None) -> Any:
    first, second = _centred(call, 0, x, x_zero, -2), _centred(call, 1, y, y_zero, -1)
    return _summed(call, _product(call, first, second))


def _product(call: Call, x: Any, y: Any) -> Any:
    tf = call.tf
    if len(x.shape) > 2 and len(y.shape) == 2:
        return tf.tensordot(x, y, 1)
    return tf.matmul(x, y)


@operator("ConvInteger", style="laid", rounds=True, wholes=(0, 1))
def convolution_of_whole_numbers(
    call: Call, x: Laid, weight: Laid, x_zero: Laid | None = None, weight_zero: Laid | None = None
) -> Laid:
    made = _convolved(call, (0, 1), x, weight, x_zero, weight_zero)
    return Laid(_summed(call, made.tensor), made.order)


def _convolved(
    call: Call, places: tuple[int, int], x: Laid, weight: Laid, x_zero: Laid | None, weight_zero: Laid | None
) -> Laid:
    """The convolution of whole numbers less their zeros: padding is a zero, whatever number stands for it."""
    tf = call.tf
    data = Laid(_centred(call, places[0], x.tensor, None if x_zero is None else x_zero.tensor), x.order)
    zero = None if weight_zero is None else weight_zero.plain(tf)
    held = _held_less_zero(call, places[1], {1: 3, 3: 5}[places[1]])
    kernel = Laid.plainly(_centred(call, places[1], weight.plain(tf), zero, 0))
    made: Laid = convolution(replace(call, values=(None, held, None)), data, kernel)
    return made


def _held_less_zero(call: Call, place: int, zero_place: int) -> NDArray[Any] | None:
    """A kernel that the file holds, less its zero, so that it is turned once."""
    held = call.values[place]
    zero = call.values[zero_place] if zero_place < len(call.values) else None
    if held is None or (zero is None and call.use.has(zero_place)):
        return None
    made = held.astype(call.floats)
    return made if zero is None else made - zero.astype(call.floats).reshape(-1, *[1] * (held.ndim - 1))


# products of numbers that are quantised, with scales, as `QuantFormat.QOperator` writes them


def _scaled(call: Call, place: int, given: Any, axis: int | None = None) -> Any:
    """The numbers that an input, its scale and its zero stand for."""
    tf = call.tf
    x, scale, zero = given
    made = _centred(call, place, x, zero, axis)
    return made * tf.cast(_along(tf, scale, len(made.shape), axis), made.dtype)


def _requantised(call: Call, made: Any, scale: Any, zero: Any, like: Any = None) -> Any:
    kind = zero.dtype if zero is not None else like if like is not None else call.tf.uint8
    return _whole(call, made / call.tf.cast(scale, made.dtype), zero, kind.name)


@operator("QLinearMatMul", rounds=True, wholes=(0, 3))
def quantised_matmul(call: Call, *given: Any) -> Any:
    made = _product(call, _scaled(call, 0, given[:3], -2), _scaled(call, 3, given[3:6], -1))
    return _requantised(call, made, *given[6:8])


@operator("QLinearConv", style="laid", rounds=True, wholes=(0, 3))
def quantised_convolution(call: Call, *given: Laid | None) -> Laid:
    tf = call.tf
    plain = [None if one is None else one.tensor for one in given]
    x, weight = given[0], given[3]
    if x is None or weight is None or plain[1] is None:
        raise Unsupported("it lacks an input")
    made = _convolved(call, (0, 3), x, weight, given[2], given[5])
    tensor = made.tensor  # channels stand last
    if len(given) > 8 and plain[8] is not None:
        tensor = tensor + tf.cast(plain[8], tensor.dtype)
    scales = tf.cast(plain[1], tensor.dtype) * tf.cast(tf.reshape(plain[4], (-1,)), tensor.dtype)
    return Laid(_requantised(call, tensor * scales, plain[6], plain[7]), made.order)


@operator("QGemm", domain=_MICROSOFT, rounds=True, wholes=(0, 3))
def quantised_gemm(call: Call, *given: Any) -> Any:
    tf = call.tf
    turned = {"transpose_a": bool(call.attribute("transA", 0)), "transpose_b": bool(call.attribute("transB", 0))}
    x, y = _scaled(call, 0, given[:3]), _scaled(call, 3, given[3:6], 0 if turned["transpose_b"] else 1)
    made = tf.cast(call.attribute("alpha", 1.0), x.dtype) * tf.matmul(x, y, **turned)
    added = given[6] if len(given) > 6 else None
    if added is not None:  # in steps of both scales together
        both = tf.cast(given[1], made.dtype) * tf.cast(given[4], made.dtype) * call.attribute("alpha", 1.0)
        made = made + tf.reshape(tf.cast(added, made.dtype), (-1,)) * both
    if len(given) <= 7 or given[7] is None:
        return made
    return _requantised(call, made, given[7], given[8] if len(given) > 8 else None)


@operator("QLinearAdd", "QLinearMul", domain=_MICROSOFT, rounds=True, wholes=(0, 3))
def quantised_pair(call: Call, *given: Any) -> Any:
    x, y = _scaled(call, 0, given[:3]), _scaled(call, 3, given[3:6])
    zero = given[7] if len(given) > 7 else None
    return _requantised(call, x + y if call.kind == "QLinearAdd" else x * y, given[6], zero)


def _softmax(call: Call, x: Any) -> Any:
    axis = positive(call.attribute("axis", -1), len(x.shape))
    if call.attribute("opset", 13) < 13 and axis != len(x.shape) - 1:
        raise Unsupported("it flattens what comes after its axis")
    return call.tf.nn.softmax(x, axis)


_CURVES: dict[str, Callable[[Call, Any], Any]] = {
    "QLinearSigmoid": lambda call, x: call.tf.sigmoid(x),
    "QLinearLeakyRelu": lambda call, x: call.tf.nn.leaky_relu(x, call.attribute("alpha", 0.01)),
    "QLinearSoftmax": _softmax,
}


@operator(*_CURVES, domain=_MICROSOFT, rounds=True, wholes=(0,))
def quantised_curve(call: Call, *given: Any) -> Any:
    made = _CURVES[call.kind](call, _scaled(call, 0, given[:3]))
    return _requantised(call, made, given[3], given[4] if len(given) > 4 else None)


@operator("QLinearGlobalAveragePool", "QLinearAveragePool", domain=_MICROSOFT, style="laid", rounds=True, wholes=(0,))
def quantised_average(call: Call, *given: Laid | None) -> Laid:
    tf = call.tf
    plain = [None if one is None else one.tensor for one in given]
    x = given[0]
    if x is None or call.attribute("channels_last", 0):
        raise Unsupported("its channels stand last")
    data = Laid(_scaled(call, 0, plain[:3]), x.order)
    if call.kind == "QLinearAveragePool":
        data = average_pool(call, data)
    else:
        axes = [data.order[axis] for axis in range(2, data.rank)]
        data = Laid(tf.reduce_mean(data.tensor, axes, keepdims=True), data.order)
    return Laid(_requantised(call, data.tensor, plain[3], plain[4] if len(plain) > 4 else None), data.order)


_MOST_JOINED = 64


@operator("QLinearConcat", domain=_MICROSOFT, rounds=True, wholes=tuple(range(2, 2 + 3 * _MOST_JOINED, 3)))
def quantised_concat(call: Call, *given: Any) -> Any:
    parts = [_scaled(call, place, given[place : place + 3]) for place in range(2, len(given), 3)]
    return _requantised(call, call.tf.concat(parts, call.attribute("axis")), given[0], given[1])


# products that end in floats, as ONNX Runtime's own optimisation writes them


@operator("MatMulIntegerToFloat", domain=_MICROSOFT, wholes=(0, 1))
def matmul_to_floats(call: Call, *given: Any) -> Any:
    more = [*given, *[None] * (7 - len(given))]
    x, y = _scaled(call, 0, (more[0], more[2], more[4]), -2), _scaled(call, 1, (more[1], more[3], more[5]), -1)
    made = _product(call, x, y)
    return made if more[6] is None else made + call.tf.cast(more[6], made.dtype)


@operator("DynamicQuantizeMatMul", domain=_MICROSOFT)
def matmul_by_its_own_range(call: Call, *given: Any) -> Any:
    more = [*given, *[None] * (5 - len(given))]
    whole, scale, zero = _by_its_own_range(call, more[0])
    made = _product(call, (whole - zero) * scale, _scaled(call, 1, (more[1], more[2], more[3]), -1))
    return made if more[4] is None else made + call.tf.cast(more[4], made.dtype)
