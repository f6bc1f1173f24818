"""Graphs inside nodes: one of two, one again and again, and one over the entries of tensors."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from runtimes.formats.tf_operators.declaring import Body, Call, Unsupported, Use, operator, positive

_UNROLLED = 64
"""Rounds up to which a graph is written out as often as it runs, which TensorFlow runs faster than a loop."""

Round = Callable[[Any, tuple[Any, ...]], tuple[Any, tuple[Any, ...], tuple[Any, ...]]]
"""The number of a round and the state before it to whether to go on, the state after it and what it gives out."""


def _holds_sequences(use: Use) -> str | None:
    if use.kind == "Scan" and use.opset < 9:
        return "its rows as an axis of its own, as in opset 8"
    for graph in use.attributes.values():
        values = [*getattr(graph, "input", ()), *getattr(graph, "output", ())]
        for value in values:
            if value.type.WhichOneof("value") not in (None, "tensor_type"):
                return "its graph reads or makes sequences"
    return None


def _body(call: Call, attribute: str) -> Body:
    assert call.body is not None
    return call.body(attribute)


@operator("If", refuses=_holds_sequences)
def one_of_two(call: Call, condition: Any) -> tuple[Any, ...]:
    known = call.values[0]
    if known is not None:
        return _body(call, "then_branch" if known.reshape(-1)[0] else "else_branch")()
    branches = _body(call, "then_branch"), _body(call, "else_branch")
    return tuple(call.tf.cond(call.tf.reshape(condition, ()), *(lambda run=run: list(run()) for run in branches)))


@operator("Loop", refuses=_holds_sequences)
def again_and_again(call: Call, trips: Any, condition: Any, *state: Any) -> tuple[Any, ...]:
    tf, body = call.tf, _body(call, "body")
    most, starts = call.values[0], call.values[1]

    def once(number: Any, before: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
        lives, *made = body(tf.cast(number, "int64"), tf.constant(True), *before)
        return tf.reshape(lives, ()), tuple(made[: len(state)]), tuple(made[len(state) :])

    last = body.fixed(0)
    always = condition is None or (starts is not None and bool(starts.all()))
    goes_on = body.passes(0) is not None or (last is not None and bool(last.all()))
    if always and goes_on and most is not None and int(most.reshape(-1)[0]) <= _UNROLLED:
        return _written_out(call, once, int(most.reshape(-1)[0]), state)
    limit = tf.constant(2**31 - 1) if trips is None else tf.cast(tf.reshape(trips, ()), "int32")
    first = tf.constant(True) if condition is None else tf.reshape(condition, ())
    return _in_a_loop(call, once, limit, first, state)


def _written_out(call: Call, once: Round, rounds: int, state: Sequence[Any]) -> tuple[Any, ...]:
    tf, held, given = call.tf, tuple(state), []
    for number in range(rounds):
        _, held, out = once(tf.constant(number), held)
        given.append(out)
    if not given and len(call.use.outputs) > len(state):
        raise Unsupported("it gives out what no round makes")
    return *held, *(tf.stack(several) for several in zip(*given, strict=True))


def _in_a_loop(call: Call, once: Round, limit: Any, first: Any, state: Sequence[Any]) -> tuple[Any, ...]:
    tf = call.tf
    # for its shapes alone, of a round of any number: nobody reads it
    _, after, out = once(tf.compat.v1.placeholder_with_default(tf.constant(0), ()), tuple(state))
    shapes = [_common(tf, one, other) for one, other in zip(state, after, strict=True)]
    arrays = [tf.TensorArray(one.dtype, 0, dynamic_size=True, element_shape=one.shape) for one in out]

    def step(number: Any, _: Any, held: Any, kept: Any) -> Any:
        lives, held, made = once(number, tuple(held))
        return number + 1, lives, list(held), [a.write(number, one) for a, one in zip(kept, made, strict=True)]

    def goes_on(number: Any, lives: Any, *_: Any) -> Any:
        return lives & (number < limit)

    invariants = [tf.TensorShape(()), tf.TensorShape(()), shapes, [tf.TensorShape(None)] * len(arrays)]
    start = [tf.constant(0), first, list(state), arrays]
    _, _, held, kept = tf.while_loop(goes_on, step, start, shape_invariants=invariants)
    return *held, *(one.stack() for one in kept)


def _common(tf: Any, one: Any, other: Any) -> Any:
    """The shape that a state has before and after a round."""
    if one.shape.rank is None or one.shape.rank != other.shape.rank:
        return tf.TensorShape(None)
    return tf.TensorShape([a if a == b else None for a, b in zip(one.shape, other.shape, strict=True)])


@operator("Scan", refuses=_holds_sequences)
def over_entries(call: Call, *given: Any) -> tuple[Any, ...]:
    tf, body, number = call.tf, _body(call, "body"), call.attribute("num_scan_inputs")
    state, read = given[: len(given) - number], given[len(given) - number :]
    axes = call.attribute("scan_input_axes") or [0] * number
    backwards = call.attribute("scan_input_directions") or [0] * number
    entries = []
    for one, axis, back in zip(read, axes, backwards, strict=True):
        turned = _first(tf, one, positive(axis, len(one.shape)))
        entries.append(tf.reverse(turned, [0]) if back else turned)
    length = entries[0].shape[0]

    def once(place: Any, before: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...], tuple[Any, ...]]:
        made = body(*before, *(one[place] for one in entries))
        return tf.constant(True), tuple(made[: len(state)]), tuple(made[len(state) :])

    if length is not None and 0 < length <= _UNROLLED:
        made = _written_out(call, once, length, state)
    else:
        made = _in_a_loop(call, once, tf.shape(entries[0])[0], tf.constant(True), state)
    held, outs = made[: len(state)], made[len(state) :]
    axes = call.attribute("scan_output_axes") or [0] * len(outs)
    backwards = call.attribute("scan_output_directions") or [0] * len(outs)
    turned = [tf.reverse(one, [0]) if back else one for one, back in zip(outs, backwards, strict=True)]
    return *held, *(_first_to(tf, one, axis) for one, axis in zip(turned, axes, strict=True))


def _first(tf: Any, x: Any, axis: int) -> Any:
    return x if axis == 0 else tf.transpose(x, [axis, *(one for one in range(len(x.shape)) if one != axis)])


def _first_to(tf: Any, x: Any, axis: int) -> Any:
    rank = len(x.shape)
    axis = positive(axis, rank)
    if axis == 0:
        return x
    turn = [axis, *(one for one in range(rank) if one != axis)]
    return tf.transpose(x, [int(one) for one in np.argsort(turn)])
