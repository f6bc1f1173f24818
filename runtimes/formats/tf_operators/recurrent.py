"""LSTM, GRU and RNN, step by step, with lengths, directions, peepholes and clipping."""

from collections.abc import Callable, Sequence
from typing import Any

from runtimes.formats.tf_operators.declaring import GATED, Call, Use, operator

_GIVEN = {"Affine", "Elu", "HardSigmoid", "LeakyRelu", "Relu", "ScaledTanh", "Sigmoid", "Softplus", "Softsign", "Tanh"}
_GIVEN |= {"ThresholdedRelu"}


def _strange(use: Use) -> str | None:
    for name in use.attributes.get("activations", ()):
        if name not in _GIVEN:
            return f"the activation {name}"
    return None


def _activations(call: Call, defaults: Sequence[str], directions: int) -> list[Callable[[Any], Any]]:
    names = call.attribute("activations") or list(defaults) * directions
    alphas, betas = iter(call.attribute("activation_alpha") or ()), iter(call.attribute("activation_beta") or ())
    return [_activation(call.tf, name, alphas, betas) for name in names]


def _activation(tf: Any, name: str, alphas: Any, betas: Any) -> Callable[[Any], Any]:
    simple = {"Sigmoid": tf.sigmoid, "Tanh": tf.tanh, "Relu": tf.nn.relu, "Softplus": tf.math.softplus}
    simple["Softsign"] = tf.nn.softsign
    if name in simple:
        found: Callable[[Any], Any] = simple[name]
        return found
    if name == "LeakyRelu":
        slope = next(alphas, 0.01)
        return lambda x: tf.nn.leaky_relu(x, slope)
    if name == "ThresholdedRelu":
        limit = next(alphas, 1.0)
        return lambda x: tf.where(x > limit, x, tf.zeros_like(x))
    if name == "Elu":
        height = next(alphas, 1.0)
        return lambda x: tf.where(x > 0, x, height * tf.math.expm1(tf.minimum(x, tf.zeros_like(x))))
    if name == "HardSigmoid":
        slope, middle = next(alphas, 0.2), next(betas, 0.5)
        return lambda x: tf.clip_by_value(slope * x + middle, tf.zeros((), x.dtype), tf.ones((), x.dtype))
    first, second = next(alphas, 1.0), next(betas, 1.0 if name == "ScaledTanh" else 0.0)
    if name == "ScaledTanh":
        return lambda x: first * tf.tanh(second * x)
    return lambda x: first * x + second


UNROLLED = 64
"""Moments above which a loop is built instead of as many copies of the cell."""

Step = Callable[[Any, tuple[Any, ...]], tuple[Any, ...]]
"""The input of one moment and the state before it to the state after it; the first of the state is what is given out."""


def _walk(
    call: Call, x: Any, lengths: Any, state: tuple[Any, ...], step: Step, backwards: bool
) -> tuple[Any, tuple[Any, ...]]:
    """Every moment's output ``(time, rows, hidden)`` and the last state; rows that have ended keep their state."""
    tf = call.tf

    def live(moment: Any, before: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        after = step(x[moment], before)
        if lengths is None:
            return after[0], after
        lives = (moment < lengths)[:, None]
        kept = tuple(tf.where(lives, new, old) for new, old in zip(after, before, strict=True))
        return tf.where(lives, kept[0], tf.zeros_like(kept[0])), kept

    time = x.shape[0]
    if time is None or time > UNROLLED:
        return _loop(call, x, state, live, backwards)
    outputs: list[Any] = [None] * time
    for moment in reversed(range(time)) if backwards else range(time):
        outputs[moment], state = live(moment, state)
    return tf.stack(outputs), state


def _loop(call: Call, x: Any, state: tuple[Any, ...], live: Any, backwards: bool) -> tuple[Any, tuple[Any, ...]]:
    tf = call.tf
    time = tf.shape(x)[0]

    def body(count: Any, held: Any, before: tuple[Any, ...]) -> tuple[Any, Any, tuple[Any, ...]]:
        moment = time - 1 - count if backwards else count
        made, after = live(moment, before)
        return count + 1, held.write(moment, made), after

    held = tf.TensorArray(x.dtype, time, element_shape=(None, state[0].shape[1]))
    _, held, state = tf.while_loop(lambda count, *_: count < time, body, (tf.constant(0), held, state))
    return held.stack(), state


def _clipped(call: Call) -> Callable[[Any], Any]:
    limit = call.attribute("clip")
    if limit is None:
        return lambda x: x
    return lambda x: call.tf.clip_by_value(x, call.scalar(-limit, x), call.scalar(limit, x))


def _through(call: Call, x: Any, lengths: Any, starts: Sequence[Any], cell: Callable[[int], Step]) -> tuple[Any, ...]:
    """Every direction: outputs ``(time, directions, rows, hidden)``, and the last state ``(directions, rows, hidden)``."""
    tf = call.tf
    rows_first = bool(call.attribute("layout", 0))
    if rows_first:
        x = tf.transpose(x, (1, 0, 2))
        starts = [None if one is None else tf.transpose(one, (1, 0, 2)) for one in starts]
    direction = call.attribute("direction", "forward")
    number = 2 if direction == "bidirectional" else 1
    hidden, rows = call.attribute("hidden_size"), tf.shape(x)[1]
    made, ends = [], []
    for which in range(number):
        zeros = tf.zeros(tf.stack([rows, hidden]), x.dtype)
        state = tuple(zeros if one is None else one[which] for one in starts)
        backwards = direction == "reverse" or which == 1
        outputs, end = _walk(call, x, lengths, state, cell(which), backwards)
        made.append(outputs)
        ends.append(end)
    last = tuple(tf.stack([end[part] for end in ends]) for part in range(len(starts)))
    if rows_first:
        return tf.transpose(tf.stack(made), (2, 1, 0, 3)), *(tf.transpose(one, (1, 0, 2)) for one in last)
    return tf.stack(made, axis=1), *last


def _biases(call: Call, like: Any, bias: Any, which: int, gates: int) -> tuple[Any, Any]:
    """Of the sum over the input, and of the sum over the memory."""
    tf, size = call.tf, gates * call.attribute("hidden_size")
    if bias is None:
        return tf.zeros(size, like.dtype), tf.zeros(size, like.dtype)
    return tuple(tf.split(bias[which], [size, size]))


def _bias(call: Call, like: Any, bias: Any, which: int, gates: int) -> Any:
    first, second = _biases(call, like, bias, which, gates)
    return first + second


def _of_both(call: Call, weight: Any, recurrence: Any, bias: Any) -> Callable[[Any, Any], Any]:
    """The sum over an input and a memory as one product, so that whoever shares it out has one sum to share."""
    tf = call.tf
    kernel = tf.transpose(tf.concat([weight, recurrence], axis=1))
    return lambda now, memory: tf.matmul(tf.concat([now, memory], axis=1), kernel) + bias


@operator("RNN", refuses=_strange)
def rnn(
    call: Call, x: Any, weight: Any, recurrence: Any, bias: Any = None, lengths: Any = None, start: Any = None
) -> Any:
    clipped = _clipped(call)
    functions = _activations(call, ["Tanh"], weight.shape[0])

    def cell(which: int) -> Step:
        summed = _of_both(call, weight[which], recurrence[which], _bias(call, weight, bias, which, 1))

        def step(now: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
            return (functions[which](clipped(summed(now, state[0]))),)

        return step

    return _through(call, x, lengths, [start], cell)


@operator("LSTM", refuses=_strange)
def lstm(
    call: Call,
    x: Any,
    weight: Any,
    recurrence: Any,
    bias: Any = None,
    lengths: Any = None,
    start: Any = None,
    start_cell: Any = None,
    peepholes: Any = None,
) -> Any:
    tf, clipped = call.tf, _clipped(call)
    functions = _activations(call, ["Sigmoid", "Tanh", "Tanh"], weight.shape[0])
    couples = bool(call.attribute("input_forget", 0))

    def cell(which: int) -> Step:
        gate, squash, give = functions[3 * which : 3 * which + 3]
        summed = _of_both(call, weight[which], recurrence[which], _bias(call, weight, bias, which, 4))
        peeps = (0.0, 0.0, 0.0) if peepholes is None else tf.split(peepholes[which], 3)

        def step(now: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden, held = state
            into, out, forget, new = tf.split(summed(now, hidden), 4, axis=1)  # ONNX's order: i, o, f, c
            into = gate(clipped(into + peeps[0] * held))
            forget = 1.0 - into if couples else gate(clipped(forget + peeps[2] * held))
            held = forget * held + into * squash(clipped(new))
            return gate(clipped(out + peeps[1] * held)) * give(held), held

        return step

    return _through(call, x, lengths, [start, start_cell], cell)


@operator("GRU", refuses=_strange)
def gru(
    call: Call, x: Any, weight: Any, recurrence: Any, bias: Any = None, lengths: Any = None, start: Any = None
) -> Any:
    tf, clipped, hidden = call.tf, _clipped(call), call.attribute("hidden_size")
    functions = _activations(call, ["Sigmoid", "Tanh"], weight.shape[0])
    linear_first = bool(call.attribute("linear_before_reset", 0))

    def cell(which: int) -> Step:
        gate, squash = functions[2 * which : 2 * which + 2]
        first, second = (tf.split(one, [2 * hidden, hidden]) for one in _biases(call, weight, bias, which, 3))
        weights, recurred = (tf.split(one[which], [2 * hidden, hidden]) for one in (weight, recurrence))
        of_gates = _of_both(call, weights[0], recurred[0], first[0] + second[0])
        of_new = _of_both(call, weights[1], recurred[1], first[1] + second[1])

        def step(now: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
            before = state[0]
            update, reset = tf.split(gate(clipped(of_gates(now, before))), 2, axis=1)  # ONNX's order: z, r, h
            if linear_first:
                fresh = tf.matmul(now, weights[1], transpose_b=True) + first[1]
                memory = tf.matmul(before, recurred[1], transpose_b=True) + second[1]
                with tf.name_scope(GATED):
                    fresh += reset * memory
            else:
                fresh = of_new(now, reset * before)
            return ((1.0 - update) * squash(clipped(fresh)) + update * before,)

        return step

    return _through(call, x, lengths, [start], cell)
