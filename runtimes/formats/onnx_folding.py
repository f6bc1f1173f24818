"""Factors and summands of channels that follow a convolution, drawn into its kernel and bias: the same function, less work.

Of a convolution in groups, which is computed group by group, a summand for each place as well: so it stands on each of these sums,
and relevance finds it there.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.formats.tf_operators.declaring import Use

Array = NDArray[Any]


def folded(
    uses: Sequence[Use], constants: Mapping[str, Array], outputs: Sequence[str]
) -> tuple[list[Use], dict[str, Array]]:
    """The nodes without those that a convolution before them can do as well, and all constants."""
    held = dict(constants)
    readers = Counter(name for use in uses for name in use.inputs)
    left: list[Use | None] = list(uses)
    makers = {name: place for place, use in enumerate(uses) for name in use.outputs}
    for place, use in enumerate(uses):
        before = next((makers[name] for name in use.inputs if name in makers), None)
        first = None if before is None else left[before]
        if before is None or first is None or first.kind != "Conv" or first.domain:
            continue
        if readers[first.outputs[0]] != 1 or first.outputs[0] in outputs:
            continue
        kernel = held.get(first.inputs[1])
        bias = held.get(first.inputs[2]) if first.has(2) else None
        if kernel is None or (first.has(2) and bias is None):
            continue
        change = _of_channels(use, first.outputs[0], held, kernel, by_place=in_parts(first, kernel.shape))
        if change is None:
            continue
        joined, arrays = _joined(first, use, kernel, bias, change)
        held |= arrays
        left[before], left[place] = joined, None
        makers[use.outputs[0]] = before
    return [use for use in left if use is not None], held


def _joined(
    first: Use, use: Use, kernel: Array, bias: Array | None, change: tuple[Array, Array]
) -> tuple[Use, dict[str, Array]]:
    factor, added = change
    before = np.zeros(len(kernel)) if bias is None else bias.astype(np.float64)
    rank = max(before.ndim, added.ndim)
    arrays = {
        f"{use.outputs[0]}/kernel": (kernel * _beside(factor, kernel.ndim)).astype(kernel.dtype),
        f"{use.outputs[0]}/bias": (_beside(before, rank) * _beside(factor, rank) + _beside(added, rank)).astype(
            kernel.dtype
        ),
    }
    return replace(first, inputs=(first.inputs[0], *arrays), outputs=use.outputs[:1], wanted=use.wanted[:1]), arrays


def _beside(array: Array, rank: int) -> Array:
    """An array whose axes stand first among as many as there shall be."""
    return array.reshape(*array.shape, *[1] * (rank - array.ndim))


def in_parts(use: Use, kernel: Sequence[int | None]) -> bool:
    """Whether a convolution is computed group by group: one for each channel is one operation of TensorFlow, but not in space."""
    return use.attributes.get("group", 1) > 1 and (kernel[1] != 1 or len(kernel) > 4)


def is_by_place(constant: Sequence[int | None], kernel: Sequence[int | None]) -> bool:
    """Whether the shape of a constant is that of one number or more for each channel, the same for all rows."""
    wide = (*[1] * (len(kernel) - len(constant)), *constant)
    return len(wide) == len(kernel) and wide[0] == 1 and wide[1] in (1, kernel[0])


def is_by_channel(constant: Sequence[int | None], kernel: Sequence[int | None]) -> bool:
    """Whether the shape of a constant is that of one number for each channel, or one for all."""
    return is_by_place(constant, kernel) and all(size == 1 for size in constant[len(constant) - len(kernel) + 2 :])


def _of_channels(
    use: Use, data: str, held: Mapping[str, Array], kernel: Array, *, by_place: bool
) -> tuple[Array, Array] | None:
    """The factor and summand of each channel (of each place, where that is asked for), where that is all that a node is."""
    n = len(kernel)
    if use.domain or not np.issubdtype(kernel.dtype, np.floating):
        return None
    if use.kind == "BatchNormalization" and use.inputs[0] == data and all(name in held for name in use.inputs[1:5]):
        scale, shift, mean, variance = (held[name].astype(np.float64) for name in use.inputs[1:5])
        factor = scale / np.sqrt(variance + use.attributes.get("epsilon", 1e-5))
        return factor, shift - mean * factor
    if use.kind not in ("Add", "Mul", "Sub") or (use.kind == "Sub" and use.inputs[0] != data):
        return None
    other = next((name for name in use.inputs if name != data), "")
    fits = is_by_place if by_place and use.kind != "Mul" else is_by_channel
    if other not in held or not fits(held[other].shape, kernel.shape):
        return None
    value = _channels_first(held[other], kernel)
    if use.kind == "Mul":
        return value, np.zeros(n)
    return np.ones(n), value if use.kind == "Add" else -value


def _channels_first(value: Array, kernel: Array) -> Array:
    """A constant as a number for each channel, or as numbers for each place of each channel."""
    whole = value.reshape((1,) * (kernel.ndim - value.ndim) + value.shape)[0].astype(np.float64)
    channels = np.broadcast_to(whole, (len(kernel), *whole.shape[1:]))
    return channels.reshape(-1).copy() if channels.size == len(kernel) else channels.copy()
