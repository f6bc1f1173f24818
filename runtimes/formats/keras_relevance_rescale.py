"""DeepLIFT's rescale rule through Keras layers (Shrikumar et al., 2017), https://arxiv.org/abs/1704.02685.

Rows and their references go through the model side by side, in one batch: rows first. Backwards, a nonlinearity hands on
(f(x) - f(r)) / (x - r) in place of its slope; sums, convolutions and all else that is linear need nothing of their own.
What makes a number of several (softmax, layer normalisation, attention, recurrent cells) hands on the mean of its slopes
along the straight line from reference to row, which for one number is the same thing; so differences always add up. The
largest of a window is treated as in SHAP: https://github.com/shap/shap. Through the rounding of a quantised layer's input
differences pass as they are, as Keras has it for slopes; so they add up to the score's but for what is rounded away.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from runtimes.formats import keras_relevance_kinds as kinds
from runtimes.formats.keras_layers import call_of, in_place_of_call
from runtimes.formats.keras_relevance_layers import floats_of, operations_in, routed, with_floats
from runtimes.formats.keras_runtime import keras, tensorflow

Call = Callable[..., Any]

_NODES = 32
"""Points of Gauss-Legendre quadrature where slopes are averaged along a line."""
_CLOSE = 1e-6
"""Nearer than this, row and reference count as the same, and the slope half way is taken."""

_LINEAR = kinds.LINEAR | kinds.MOVED | kinds.SHARED | {"UpSampling2D"} | kinds.AFFINE
_POOLS = kinds.WINNING - {"Maximum", "Minimum"}


class Differences:
    """Propagates multipliers through one traced call of a model on rows and references."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def changes(self) -> list[tuple[Any, str, Any]]:
        """What to replace of the model's layers."""
        found: list[tuple[Any, str, Any]] = []
        for operation in operations_in(self._model):
            kind, call = type(operation).__name__, call_of(operation)
            if getattr(operation, "quantization_mode", None) == "float8":
                found += in_place_of_call(operation, _refused(operation, call))
            elif kind in kinds.ELEMENTWISE and kind != "Activation":
                found += in_place_of_call(operation, elementwise(call))
            elif kind in kinds.LINEAR or kind == "Activation":
                found += [(operation, "activation", _activation(operation))] if operation.activation else []
            elif kind in _POOLS:
                found += in_place_of_call(operation, pooled(call))
            elif kind in ("Maximum", "Minimum"):
                found += in_place_of_call(operation, largest(1.0 if kind == "Maximum" else -1.0))
            elif kind not in _LINEAR:
                # A product of two is straight enough for the middle of the line, of several for a few points.
                found += in_place_of_call(operation, averaged(call, by_product=kind in kinds.GATED))
        return found


def along_the_way(score: Call, columns: Any, *, straight: bool) -> Any:
    """Multipliers of raw columns: of rows and references, ``(2 rows, columns)``, for a score of the rows' columns."""
    return _mean_slope(lambda parts: score(parts[0]), [columns], None, 1 if straight else _NODES)[0]


def _refused(operation: Any, call: Call) -> Call:
    """Keras rounds the slopes of such a layer as well, to two bits: sums of them miss the difference that they are of."""
    said = f"layer `{operation.name}` ({type(operation).__name__} quantised to {operation.quantization_mode})"

    def backwards(_multipliers: Any) -> list[Any]:
        raise ValueError(f"differences cannot be followed through {said}: its slopes are rounded to two bits")

    def called(*args: Any, **kwargs: Any) -> Any:
        return routed(call(*args, **kwargs), floats_of(args), backwards)

    return called


def _activation(operation: Any) -> Call:
    name = str(getattr(operation.activation, "__name__", ""))
    if operation.activation is keras().activations.linear:
        return lambda x: x
    if name in kinds.TOGETHER:
        return averaged(operation.activation)
    return elementwise(operation.activation)


def elementwise(call: Call) -> Call:
    """A function of one number: its change over that of what it is given."""
    tf = tensorflow()

    def called(*args: Any, **kwargs: Any) -> Any:
        given, sources = call(*args, **kwargs), floats_of(args)
        if len(sources) != 1:
            return averaged(call)(*args, **kwargs)

        def backwards(multipliers: Any) -> list[Any]:
            upstream, _ = tf.split(multipliers, 2)
            (x, start), (after, before) = tf.split(sources[0], 2), tf.split(given, 2)
            middle = (x + start) / 2
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(middle)
                there = call(*with_floats(args, [middle]), **kwargs)
            slope = tape.gradient(there, middle)
            apart = x - start
            close = tf.abs(apart) < _CLOSE
            ratio = (after - before) / tf.where(close, tf.ones_like(apart), apart)
            return [_for_rows(upstream * tf.where(close, slope, ratio))]

        return routed(given, sources, backwards)

    return called


def _for_rows(found: Any) -> Any:
    """Multipliers of the rows; those of the references are not asked for."""
    return tensorflow().concat([found, tensorflow().zeros_like(found)], axis=0)


def pooled(call: Call) -> Call:
    """The difference of two maxima, to where the larger one of them stands."""
    tf = tensorflow()

    def called(x: Any, *args: Any, **kwargs: Any) -> Any:
        given = call(x, *args, **kwargs)

        def backwards(multipliers: Any) -> list[Any]:
            upstream, _ = tf.split(multipliers, 2)
            (row, start), (after, before) = tf.split(x, 2), tf.split(given, 2)
            larger = tf.maximum(after, before)
            weights = tf.concat([upstream * (larger - before), upstream * (after - larger)], axis=0)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                again = call(x, *args, **kwargs)
            here, there = tf.split(tape.gradient(again, x, output_gradients=weights), 2)
            apart = row - start
            close = tf.abs(apart) < _CLOSE
            return [_for_rows(tf.where(close, tf.zeros_like(apart), (here + there) / tf.where(close, 1.0, apart)))]

        return routed(given, [x], backwards)

    return called


def largest(sign: float) -> Call:
    """The larger (smaller) of several, as y = a + max(b - a, 0): linear but for one number at a time."""
    rectified = elementwise(lambda x: tensorflow().maximum(x, 0.0))

    def called(*args: Any, **_kwargs: Any) -> Any:
        first, *others = (sign * source for source in floats_of(args))
        for other in others:
            first = first + rectified(other - first)
        return sign * first

    return called


def averaged(call: Call, *, by_product: bool = False) -> Call:
    """Anything else: its slopes, averaged along the straight line from reference to row."""

    def called(*args: Any, **kwargs: Any) -> Any:
        given, sources = call(*args, **kwargs), floats_of(args)
        tf = tensorflow()
        if not sources or not tf.is_tensor(given) or not given.dtype.is_floating:
            return given

        def backwards(multipliers: Any) -> list[Any]:
            upstream, _ = tf.split(multipliers, 2)
            halved = [tf.split(part, 2)[0] if _by_row(part) else part for part in tf.nest.flatten((args, kwargs))]

            def again(parts: list[Any]) -> Any:
                left = iter(parts)
                filled = [
                    next(left) if tf.is_tensor(old) and old.dtype.is_floating and place < count else new
                    for place, (old, new) in enumerate(zip(tf.nest.flatten((args, kwargs)), halved, strict=True))
                ]
                own, named = tf.nest.pack_sequence_as((args, kwargs), filled)
                return call(*own, **named)

            count = len(tf.nest.flatten(args))
            return _mean_slope(again, sources, upstream, len(sources) if by_product else _NODES)

        return routed(given, sources, backwards)

    return called


def _by_row(part: Any) -> bool:
    """Whether an argument is an array over rows and references: a mask has no other length."""
    return bool(tensorflow().is_tensor(part) and part.shape.rank)


def _mean_slope(call: Call, sources: list[Any], upstream: Any, points: int) -> list[Any]:
    """The gradient of ``call`` by its sources, averaged from the references (second half) to the rows (first half)."""
    tf = tensorflow()
    nodes, weights = np.polynomial.legendre.leggauss(points)
    halves = [tf.split(source, 2) for source in sources]

    def added(place: Any, totals: list[Any]) -> tuple[Any, list[Any]]:
        share = tf.gather(tf.constant((nodes + 1) / 2, halves[0][0].dtype), place)
        at = [start + share * (row - start) for row, start in halves]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(at)
            there = call(at)
        none = tf.UnconnectedGradients.ZERO
        slopes = tape.gradient(there, at, output_gradients=upstream, unconnected_gradients=none)
        weight = tf.gather(tf.constant(weights / 2, share.dtype), place)
        return place + 1, [total + weight * slope for total, slope in zip(totals, slopes, strict=True)]

    begun = (tf.constant(0), [tf.zeros_like(row) for row, _ in halves])
    if points < 3:
        for _ in range(points):
            begun = added(*begun)
    else:  # One point at a time, so that many cost no more memory than one, and are traced once.
        begun = tf.while_loop(lambda place, _: place < points, added, begun, parallel_iterations=1)
    return [_for_rows(total) for total in begun[1]]
