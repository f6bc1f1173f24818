"""Relevance through recurrent layers: in a product of a gate and a signal, the signal takes all.

Arras, Montavon, Müller & Samek (2017), https://arxiv.org/abs/1706.07206; Arras et al. (2019), section 11.3.1 of
https://arxiv.org/abs/1909.12114. Of an LSTM, c = f c' + i g and h = o tanh(c): what h is owed is owed to c, which shares it
between f c' and i g in proportion; the gates f, i and o get nothing, and g, a weighted sum of x and h', hands its part on by the
rule of the layer. Of a GRU, h = z h' + (1 - z) g likewise; its reset gate is a factor of what g sums up.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from runtimes.capabilities import Rule
from runtimes.formats.keras_relevance_linear import Sums
from runtimes.formats.keras_relevance_rules import propagated, stabilised
from runtimes.formats.keras_runtime import tensorflow

_SPARED = 1e-6
"""How far the denominators of plain sums (of memory and what is new) are kept away from zero."""

OF_INPUTS = frozenset({"box", "flat", "w_squared"})
"""Rules made for inputs alone: they say nothing of a sum over inputs and memory together."""

Shared = tuple[Any, list[Any]]
"""What the input of one step is owed, and each of the states that it began with."""


class Unrolled:
    """One call of a recurrent layer, step by step."""

    def __init__(self, layer: Any, sequences: Any, states: Sequence[Any], mask: Any) -> None:
        tf = tensorflow()
        self._layer, self._cell = layer, layer.cell
        self._begun = [tf.cast(state, tf.float32) for state in states]
        self._dtype = sequences.dtype
        steps = tf.cast(_time_first(sequences), tf.float32)
        seen = (
            tf.ones_like(steps[:, :, :1], tf.bool) if mask is None else _time_first(tf.cast(mask, tf.bool))[..., None]
        )
        self._steps, self._seen = (self._in_order(array) for array in (steps, seen))
        self._after = tf.scan(self._step, (self._steps, self._seen), tuple(self._begun))

    def relevance(self, rule: Rule, given: Any, final: Sequence[Any]) -> Shared:
        """What the sequences and the states at the beginning are owed.

        Args:
            rule: of the weighted sums.
            given: relevance of what the layer gives: of every step where it returns sequences, else of the last.
            final: relevance of the states at the end, where the layer returns them.
        """
        tf = tensorflow()
        rule = replace(rule, name="epsilon") if rule.name in OF_INPUTS else rule
        count = tf.shape(self._steps)[0]
        given = (
            _time_first(given)
            if self._layer.return_sequences
            else tf.pad(given[None], [[count - 1, 0], [0, 0], [0, 0]])
        )
        if self._layer.zero_output_for_mask:
            given = tf.where(self._seen, given, 0.0)
        before = [
            tf.concat([begun[None], after[:-1]], 0) for begun, after in zip(self._begun, self._after, strict=True)
        ]
        owed = [tf.cast(part, tf.float32) for part in final] or [tf.zeros_like(state) for state in self._begun]
        share = _CELLS[type(self._cell).__name__](self._cell, rule)

        def back(above: Any, step: Any) -> Any:
            _, later = above
            x, seen, now, then, output = step
            later = [later[0] + output, *later[1:]]
            here, earlier = share(x, list(then), list(now), later)
            kept = tuple(tf.where(seen, one, other) for one, other in zip(earlier, later, strict=True))
            return tf.where(seen, here, 0.0), kept

        steps = (self._steps, self._seen, tuple(self._after), tuple(before), tf.cast(given, tf.float32))
        found, states = tf.scan(back, steps, (tf.zeros_like(self._steps[0]), tuple(owed)), reverse=True)
        return tf.cast(_time_first(self._in_order(found)), self._dtype), [state[0] for state in states]

    def _in_order(self, array: Any) -> Any:
        """From time to the order in which steps are taken, and from that order to time."""
        return tensorflow().reverse(array, [0]) if self._layer.go_backwards else array

    def _step(self, states: Any, step: Any) -> Any:
        tf = tensorflow()
        x, seen = step
        _, new = self._cell.call(x, list(states))
        return tuple(tf.where(seen, tf.cast(one, tf.float32), other) for one, other in zip(new, states, strict=True))


def _time_first(array: Any) -> Any:
    return tensorflow().transpose(array, [1, 0, *range(2, array.shape.rank)])


def _weights(cell: Any) -> tuple[Any, Any, Any]:
    tf = tensorflow()
    given = (cell.kernel, cell.recurrent_kernel, cell.bias)
    kernel, recurrent, bias = (None if one is None else tf.cast(tf.convert_to_tensor(one), tf.float32) for one in given)
    return kernel, recurrent, bias


def _summed(rule: Rule, sums: Sums, x: Any, h: Any, owed: Any) -> tuple[Any, Any]:
    """Relevance of the input and of the memory, of one weighted sum of both."""
    tf = tensorflow()
    found = propagated(rule, sums, tf.concat([x, h], axis=-1), owed, None, False)
    return found[:, : x.shape[-1]], found[:, x.shape[-1] :]


def _lstm(cell: Any, rule: Rule) -> Callable[..., Shared]:
    tf = tensorflow()
    kernel, recurrent, bias = _weights(cell)
    new = [part[:, 2 * cell.units : 3 * cell.units] for part in (kernel, recurrent)]
    sums = Sums(tf.matmul, tf.concat(new, 0), None if bias is None else bias[2 * cell.units : 3 * cell.units])

    def share(x: Any, before: list[Any], after: list[Any], owed: list[Any]) -> Shared:
        z = x @ kernel + before[0] @ recurrent
        i, f, g, _ = tf.split(z if bias is None else z + bias, 4, axis=-1)
        part = (owed[0] + owed[1]) / stabilised(after[1], _SPARED)
        of_new = part * cell.recurrent_activation(i) * cell.activation(g)
        here, earlier = _summed(rule, sums, x, before[0], of_new)
        return here, [earlier, part * cell.recurrent_activation(f) * before[1]]

    return share


def _gru(cell: Any, rule: Rule) -> Callable[..., Shared]:
    tf = tensorflow()
    kernel, recurrent, bias = _weights(cell)
    units, columns = cell.units, kernel.shape[0]
    kernels = tf.concat([kernel[:, 2 * units :], recurrent[:, 2 * units :]], 0)
    none = tf.zeros(3 * units)
    of_x, of_h = (none, none) if bias is None else tf.unstack(bias) if cell.reset_after else (bias, none)

    def share(x: Any, before: list[Any], after: list[Any], owed: list[Any]) -> Shared:
        h = before[0]
        gates = x @ kernel[:, : 2 * units] + h @ recurrent[:, : 2 * units] + (of_x + of_h)[: 2 * units]
        z, r = tf.split(cell.recurrent_activation(gates), 2, axis=-1)

        def apply(both: Any, weights: Any) -> Any:
            given, memory = both[:, :columns], both[:, columns:]
            remembered = r * (memory @ weights[columns:]) if cell.reset_after else (r * memory) @ weights[columns:]
            return given @ weights[:columns] + remembered

        sums = Sums(apply, kernels, None if bias is None else of_x[2 * units :] + r * of_h[2 * units :])
        new = cell.activation(sums.forward(tf.concat([x, h], axis=-1)))
        part = owed[0] / stabilised(after[0], _SPARED)
        here, earlier = _summed(rule, sums, x, h, part * (1.0 - z) * new)
        return here, [earlier + part * z * h]

    return share


def _simple(cell: Any, rule: Rule) -> Callable[..., Shared]:
    tf = tensorflow()
    kernel, recurrent, bias = _weights(cell)
    sums = Sums(tf.matmul, tf.concat([kernel, recurrent], 0), bias)

    def share(x: Any, before: list[Any], _after: list[Any], owed: list[Any]) -> Shared:
        here, earlier = _summed(rule, sums, x, before[0], owed[0])
        return here, [earlier]

    return share


_CELLS = {"LSTMCell": _lstm, "GRUCell": _gru, "SimpleRNNCell": _simple}
"""How the relevance of the states after a step is shared, by the kind of the cell: of ``(x, states before, after, owed)``."""
