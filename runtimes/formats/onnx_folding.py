"""Factors and summands of channels that follow a convolution, drawn into its kernel and bias: the same function, less work."""

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
        change = _of_channels(use, first.outputs[0], held, kernel)
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
    wide = factor.reshape(-1, *[1] * (kernel.ndim - 1))
    arrays = {
        f"{use.outputs[0]}/kernel": (kernel * wide).astype(kernel.dtype),
        f"{use.outputs[0]}/bias": (before * factor + added).astype(kernel.dtype),
    }
    return replace(first, inputs=(first.inputs[0], *arrays), outputs=use.outputs[:1], wanted=use.wanted[:1]), arrays


def _of_channels(use: Use, data: str, held: Mapping[str, Array], kernel: Array) -> tuple[Array, Array] | None:
    """The factor and summand of each channel, where that is all that a node is."""
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
    vector = None if other not in held else _vector(held[other], kernel)
    if vector is None:
        return None
    if use.kind == "Mul":
        return vector, np.zeros(n)
    return np.ones(n), vector if use.kind == "Add" else -vector


def _vector(value: Array, kernel: Array) -> Array | None:
    """A constant as a number for each channel, where it is no more than that."""
    if value.ndim > kernel.ndim:
        return None
    shape = (1,) * (kernel.ndim - value.ndim) + value.shape
    if any(size != 1 for axis, size in enumerate(shape) if axis != 1) or shape[1] not in (1, len(kernel)):
        return None
    return np.broadcast_to(value.reshape(-1).astype(np.float64), (len(kernel),)).copy()
