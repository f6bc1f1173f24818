"""The ends of the range of a quantised output: a score that lies there was cut off, and no slope is left of it."""

from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from runtimes.formats.onnx_file import Tail, attributes, numpy_of

_SHAPES = frozenset({"Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"})
"""What leaves numbers what they are."""
_WIDEST = 16
"""Bits. Sums are held in more, which no number is cut off to."""

Ends = tuple[float, float]


def ends_of(model: Any, tail: Tail, scores: Container[str], *, single: bool) -> dict[str, Ends]:
    """The lowest and highest number that a score can be, by the score, where it is rounded to a type's whole numbers.

    Args:
        model: the ``onnx.ModelProto``.
        tail: how its scores leave it.
        scores: those that it can give.
        single: one column stands for two classes, so that scores are its own and their opposites.
    """
    found: dict[str, Ends] = {}
    for score, tensor in (("value", tail.scores), ("probability", tail.scores), ("logit", tail.logits)):
        ends = None if score not in scores or (single and score != "value") else _ends(model, tensor)
        if ends is not None:
            found[score] = ends
    return found


def _ends(model: Any, name: str) -> Ends | None:
    """The ends of what a tensor can be, where it is whole numbers times one scale."""
    makers = {made: node for node in model.graph.node for made in node.output}
    node = makers.get(name)
    while node is not None and node.op_type in _SHAPES:
        node = makers.get(node.input[0])
    if node is None or node.op_type != "DequantizeLinear":
        return None
    held: Mapping[str, Any] = {one.name: one for one in model.graph.initializer}
    scale, zero = (_number(one, held, makers) for one in (*node.input[1:3], "", "")[:2])
    rounding = makers.get(node.input[0])
    if scale is None or scale.size != 1 or rounding is None:
        return None
    if zero is None and (
        any(node.input[2:]) or rounding.op_type != "QuantizeLinear" or "output_dtype" in attributes(rounding)
    ):
        return None
    kind = np.dtype("uint8") if zero is None else zero.dtype
    if kind.kind not in "iu" or 8 * kind.itemsize > _WIDEST or (zero is not None and zero.size != 1):
        return None
    limits, least = np.iinfo(kind), 0 if zero is None else int(zero.reshape(-1)[0])
    low, high = sorted(float(scale.reshape(-1)[0]) * (end - least) for end in (int(limits.min), int(limits.max)))
    return low, high


def _number(name: str, held: Mapping[str, Any], makers: Mapping[str, Any]) -> Any:
    """A constant's numbers; None where it is none."""
    if name in held:
        return numpy_of(held[name])
    made = makers.get(name)
    return attributes(made).get("value") if made is not None and made.op_type == "Constant" else None
