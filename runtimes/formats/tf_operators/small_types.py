"""Casts to types of four and eight bits, which TensorFlow has hardly any of, and from them."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.formats.tf_operators.declaring import DTYPES, Call, Unsupported, operator

FLOATS = {17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 23: "float4_e2m1fn"}
WHOLE = {21: "uint4", 22: "int4", 25: "uint2", 26: "int2"}
_SMALL = FLOATS | WHOLE
CAST_BY_TENSORFLOW = frozenset({"float8_e4m3fn", "float8_e5m2"})


@operator("Cast", style="elementwise")
def cast(call: Call, x: Any) -> Any:
    code = call.attribute("to")
    if code in _SMALL:
        return _to_small(call, x, _SMALL[code])
    if call.use.straight:
        return call.tf.identity(x)  # whole numbers already, and held as floats
    return converted(call, x, call.dtype(code))


@operator("CastLike")
def cast_like(call: Call, x: Any, like: Any) -> Any:
    if like.dtype.name in _SMALL.values():
        return _to_small(call, x, like.dtype.name)
    return converted(call, x, like.dtype)


def converted(call: Call, x: Any, dtype: Any) -> Any:
    """A tensor in another type. Raises `Unsupported` for text, and for small types that are no constants."""
    if x.dtype == call.tf.string:
        raise Unsupported("it reads text")
    held = call.values[0]
    if x.dtype.name in _SMALL.values():
        if held is None:
            raise Unsupported(f"it reads {x.dtype.name}, and not from the file")
        x = call.tf.constant(held.astype(np.float32))  # every small number is one of these
    return call.tf.cast(x, dtype)


def _to_small(call: Call, x: Any, name: str) -> Any:
    """Numbers in a small type: what the file holds at once, and on its way to floats again, as floats on its grid."""
    if not call.attribute("saturate", 1):
        raise Unsupported("`saturate: 0`")
    held = call.values[0]
    if held is not None:
        return call.tf.constant(_of_constants(held, name))
    if name not in FLOATS.values() or not x.dtype.is_floating:
        raise Unsupported(f"it makes {name}")
    made = on_grid(call, call.tf.cast(x, call.floats), name)
    if call.use.straight:
        return made
    if name not in CAST_BY_TENSORFLOW:
        raise Unsupported(f"{name} is read as such")
    return call.tf.cast(made, name)


def _of_constants(held: NDArray[Any], name: str) -> NDArray[Any]:
    import ml_dtypes

    kind = np.dtype(getattr(ml_dtypes, name))
    if name in FLOATS.values():
        ends: Any = ml_dtypes.finfo(kind)  # type: ignore[no-untyped-call]
        held = np.clip(held.astype(np.float32), float(ends.min), float(ends.max))
    return held.astype(kind)


def on_grid(call: Call, x: Any, name: str) -> Any:
    """Floats rounded to those that a small type has, half to even; slopes go straight through, and are 0 beyond its ends."""
    tf = call.tf
    grid = _grid(name)
    between = tf.constant((grid[1:] + grid[:-1]) / 2, x.dtype)
    values, zero = tf.constant(grid, x.dtype), int(np.argmin(np.abs(grid)))

    def rounded(one: Any) -> Any:
        flat = tf.reshape(one, (-1,))
        low = tf.searchsorted(between, flat, side="left")
        high = tf.searchsorted(between, flat, side="right")
        even = tf.equal(tf.math.floormod(low - zero, 2), 0)
        made = tf.gather(values, tf.where(even, low, high))
        return tf.reshape(tf.where(tf.math.is_nan(flat), flat, made), tf.shape(one))

    return tf.grad_pass_through(rounded)(tf.clip_by_value(x, float(grid[0]), float(grid[-1])))


@cache
def _grid(name: str) -> NDArray[Any]:
    """All numbers of a type of floats, in their order; of two neighbours one has an even last bit."""
    import ml_dtypes

    kind = np.dtype(getattr(ml_dtypes, name))
    bits = 4 if "4_" in name else 8
    found = np.arange(2**bits, dtype=np.uint8).view(kind).astype(np.float64)
    return np.unique(found[np.isfinite(found)])


def name_of(code: int) -> str:
    """What an ONNX type is called; empty for one that is not known here."""
    return DTYPES.get(code) or _SMALL.get(code, "")
