"""Operators on each number by itself, and on several after broadcasting."""

from functools import reduce
from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Call, Use, operator

_ONE = {"Abs": "abs", "Acos": "acos", "Acosh": "acosh", "Asin": "asin", "Asinh": "asinh", "Atan": "atan"}
_ONE |= {"Atanh": "atanh", "Cos": "cos", "Cosh": "cosh", "Erf": "erf", "Exp": "exp", "Log": "log", "Neg": "negative"}
_ONE |= {"Reciprocal": "reciprocal", "Sigmoid": "sigmoid", "Sin": "sin", "Sinh": "sinh", "Sqrt": "sqrt"}
_ONE |= {"Tan": "tan", "Tanh": "tanh"}
_ONE_FLAT = {"Ceil": "ceil", "Floor": "floor", "IsNaN": "is_nan", "Not": "logical_not", "Round": "rint", "Sign": "sign"}
_TWO = {"Add": "add", "Mul": "multiply", "Sub": "subtract"}
_TWO_FLAT = {"And": "logical_and", "Equal": "equal", "Greater": "greater", "GreaterOrEqual": "greater_equal"}
_TWO_FLAT |= {"Less": "less", "LessOrEqual": "less_equal", "Or": "logical_or", "Xor": "logical_xor"}
_BITS = {"BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or", "BitwiseXor": "bitwise_xor"}


@operator(*_ONE, style="elementwise")
def one(call: Call, x: Any) -> Any:
    return getattr(call.tf.math, _ONE[call.kind])(x)


@operator(*_ONE_FLAT, style="elementwise", flat=True)
def one_flat(call: Call, x: Any) -> Any:
    run = getattr(call.tf.math, _ONE_FLAT[call.kind])
    return call.tf.grad_pass_through(run)(x) if call.use.straight else run(x)


@operator(*_TWO, style="elementwise")
def two(call: Call, x: Any, y: Any) -> Any:
    return getattr(call.tf.math, _TWO[call.kind])(x, y)


@operator(*_TWO_FLAT, style="elementwise", flat=True)
def two_flat(call: Call, x: Any, y: Any) -> Any:
    return getattr(call.tf.math, _TWO_FLAT[call.kind])(x, y)


@operator(*_BITS, style="elementwise", flat=True)
def bits(call: Call, x: Any, y: Any) -> Any:
    return getattr(call.tf.bitwise, _BITS[call.kind])(x, y)


@operator("BitwiseNot", style="elementwise", flat=True)
def bitwise_not(call: Call, x: Any) -> Any:
    return call.tf.bitwise.invert(x)


@operator("BitShift", style="elementwise", flat=True)
def bit_shift(call: Call, x: Any, y: Any) -> Any:
    bitwise = call.tf.bitwise
    return (bitwise.left_shift if call.attribute("direction") == "LEFT" else bitwise.right_shift)(x, y)


@operator("IsInf", style="elementwise", flat=True)
def is_inf(call: Call, x: Any) -> Any:
    tf = call.tf
    up = tf.math.is_inf(x) & (x > 0) & bool(call.attribute("detect_positive", 1))
    down = tf.math.is_inf(x) & (x < 0) & bool(call.attribute("detect_negative", 1))
    return up | down


@operator("Div", style="elementwise")
def divide(call: Call, x: Any, y: Any) -> Any:
    # whole numbers are cut towards 0, as in C
    return x / y if x.dtype.is_floating else call.tf.truncatediv(x, y)


@operator("Mod", style="elementwise")
def remainder(call: Call, x: Any, y: Any) -> Any:
    tf = call.tf
    if not call.attribute("fmod", 0):
        return tf.math.floormod(x, y)
    if x.dtype == tf.float16:
        return tf.cast(tf.truncatemod(tf.cast(x, "float32"), tf.cast(y, "float32")), x.dtype)
    return tf.truncatemod(x, y)


@operator("Pow", style="elementwise")
def power(call: Call, x: Any, y: Any) -> Any:
    tf = call.tf
    exponent = call.values[1]
    # the slope of a whole power by way of its own formula, which is finite at 0 too
    if exponent is not None and exponent.size == 1 and exponent.reshape(-1)[0] == 2:
        return tf.square(x)
    if x.dtype == y.dtype:
        return tf.pow(x, y)
    if x.dtype.is_floating:
        return tf.pow(x, tf.cast(y, x.dtype))
    return tf.cast(tf.pow(tf.cast(x, "float64"), tf.cast(y, "float64")), x.dtype)


@operator("Max", style="elementwise")
def largest(call: Call, *several: Any) -> Any:
    return reduce(call.tf.maximum, several)


@operator("Min", style="elementwise")
def smallest(call: Call, *several: Any) -> Any:
    return reduce(call.tf.minimum, several)


@operator("Sum", style="elementwise")
def total(call: Call, *several: Any) -> Any:
    return reduce(call.tf.add, several)


@operator("Mean", style="elementwise")
def mean(call: Call, *several: Any) -> Any:
    return reduce(call.tf.add, several) / call.scalar(len(several), several[0])


@operator("Where", style="elementwise")
def where(call: Call, chosen: Any, x: Any, y: Any) -> Any:
    return call.tf.where(chosen, x, y)


@operator("Clip", style="elementwise")
def clip(call: Call, x: Any, low: Any = None, high: Any = None) -> Any:
    tf = call.tf
    bounds = [low, high]
    held = [None if bound is None else call.values[place] for place, bound in enumerate(bounds, 1)]
    if call.opset < 11:
        held = [np.array(call.attribute(name)) if name in call.use.attributes else None for name in ("min", "max")]
        bounds = [None if one is None else call.scalar(float(one), x) for one in held]
    if held[0] is not None and held[0].size == 1 and float(held[0].reshape(-1)[0]) == 0.0 and x.dtype.is_floating:
        # the slope at 0 itself is that of a rectifier, 0, and the two are one operation on this runtime
        if bounds[1] is None or (held[1] is not None and not np.isfinite(held[1]).any()):
            return tf.nn.relu(x)
        if held[1] is not None and float(held[1].reshape(-1)[0]) == 6.0:
            return tf.nn.relu6(x)
    x = x if bounds[0] is None else tf.maximum(x, tf.cast(bounds[0], x.dtype))
    return x if bounds[1] is None else tf.minimum(x, tf.cast(bounds[1], x.dtype))


@operator("Identity", "StopGradient", style="elementwise")
def identity(call: Call, x: Any) -> Any:
    return call.tf.identity(x)


def _trains(use: Use) -> str | None:
    return "training mode" if (mode := use.constant(2)) is not None and bool(mode) else None


@operator("Dropout", style="elementwise", refuses=_trains)
def dropout(call: Call, x: Any, *_: Any) -> Any:
    return (call.tf.identity(x), call.tf.ones_like(x, "bool"))
