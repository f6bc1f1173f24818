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
_EXACT = 1e-4
"""Share of what a function changes that its averaged slopes may miss."""
_FINER = 4
"""Times as many pieces a line is cut into where they miss more."""
_MOST_PIECES = 64
"""Two thousand points: what is missed then is left to be seen in the completeness gap."""
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
    """The gradient of ``call`` by its sources, averaged from the references (second half) to the rows (first half).

    Where the function is so steep that the points miss where it changes (a softmax that goes from one position to another),
    the line is cut into more and more pieces, until what the slopes say of it is what the function does.
    """
    tf = tensorflow()
    halves = [tf.split(source, 2) for source in sources]
    if points < 3:
        nodes, weights = np.polynomial.legendre.leggauss(points)
        at = [[start + share * (row - start) for row, start in halves] for share in (nodes + 1) / 2]
        slopes = [_slopes_at(call, one, upstream) for one in at]
        totals = [
            sum(weight / 2 * one for weight, one in zip(weights, each, strict=True))
            for each in zip(*slopes, strict=True)
        ]
        return [_for_rows(total) for total in totals]
    steps = [row - start for row, start in halves]
    changes = call([row for row, _ in halves]) - call([start for _, start in halves])
    changes = changes if upstream is None else upstream * changes
    wanted, size = _of_rows(changes), _of_rows(tf.abs(changes))

    def missed(slopes: list[Any]) -> Any:
        told = tf.add_n([_of_rows(slope * step) for slope, step in zip(slopes, steps, strict=True)])
        return tf.reduce_any(tf.abs(told - wanted) > _EXACT * size)

    def finer(pieces: Any, _: list[Any], __: Any) -> tuple[Any, list[Any], Any]:
        found = _over_pieces(call, halves, upstream, _FINER * pieces)
        return _FINER * pieces, found, missed(found)

    first = _over_pieces(call, halves, upstream, tf.constant(1))
    begun = (tf.constant(1), first, missed(first))
    _, totals, _ = tf.while_loop(
        lambda pieces, _, off: off & (pieces < _MOST_PIECES), finer, begun, parallel_iterations=1
    )
    return [_for_rows(total) for total in totals]


def _over_pieces(call: Call, halves: list[Any], upstream: Any, pieces: Any) -> list[Any]:
    """The gradient averaged over a line of so many pieces; one point at a time, which takes no more memory than one."""
    tf = tensorflow()
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    kind = halves[0][0].dtype

    def added(place: Any, totals: list[Any]) -> tuple[Any, list[Any]]:
        inside, piece = place % _NODES, tf.cast(place // _NODES, kind)
        share = (piece + tf.gather(tf.constant((nodes + 1) / 2, kind), inside)) / tf.cast(pieces, kind)
        slopes = _slopes_at(call, [start + share * (row - start) for row, start in halves], upstream)
        weight = tf.gather(tf.constant(weights / 2, kind), inside) / tf.cast(pieces, kind)
        return place + 1, [total + weight * slope for total, slope in zip(totals, slopes, strict=True)]

    begun = (tf.constant(0), [tf.zeros_like(row) for row, _ in halves])
    totals: list[Any] = tf.while_loop(lambda place, _: place < pieces * _NODES, added, begun, parallel_iterations=1)[1]
    return totals


def _slopes_at(call: Call, at: list[Any], upstream: Any) -> list[Any]:
    tf = tensorflow()
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(at)
        there = call(at)
    none = tf.UnconnectedGradients.ZERO
    slopes: list[Any] = tape.gradient(there, at, output_gradients=upstream, unconnected_gradients=none)
    return slopes


def _of_rows(array: Any) -> Any:
    """Summed over everything but the rows, ``(rows,)``."""
    tf = tensorflow()
    return tf.reduce_sum(tf.reshape(array, (tf.shape(array)[0], -1)), axis=1)
