"""Layers of quantised ONNX graphs: what their whole numbers stand for, and which node gives a product of them as floats.

A whole number q of a tensor with the scale s and the zero z stands for (q - z) s; see ``QuantizeLinear`` and ``QLinearConv``
in https://onnx.ai/onnx/operators/.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.formats.onnx_rounding import carried
from runtimes.formats.tf_operators import operators
from runtimes.formats.tf_operators.declaring import Use

_CURVES = ("QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax", "QLinearAveragePool", "QLinearGlobalAveragePool")
_SCALES: Mapping[str, int] = {
    "QuantizeLinear": 1,
    **dict.fromkeys(("QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearMul"), 6),
    "QGemm": 7,
    **dict.fromkeys(_CURVES, 3),
    "QLinearConcat": 0,
}
"""Where the scale of a node's result stands; its zero stands behind it."""
KINDS = frozenset(_SCALES) - {"QuantizeLinear"}
"""Operators that make a layer of whole numbers."""
_SUMS = frozenset({"ConvInteger", "MatMulInteger"})


@dataclass(frozen=True)
class Steps:
    """What a whole number of a tensor stands for."""

    scale: float
    zero: float

    def valued(self, whole: Any) -> Any:
        """The numbers that whole ones stand for."""
        return (whole - self.zero) * self.scale

    def counted(self, values: Any) -> Any:
        """The whole numbers that stand for some, not rounded."""
        return values / self.scale + self.zero


def steps_of(uses: Sequence[Use]) -> dict[str, Steps | None]:
    """By tensor of whole numbers: what they stand for; None: not known, or no slope goes through them.

    Args:
        uses: nodes in their order, told whether slopes go straight through.
    """
    found: dict[str, Steps | None] = {}
    for use in uses:
        if not use.outputs:
            continue
        from_ = [name for name in carried(use) if name in found]
        if from_:  # several have scales of their own
            found.update(dict.fromkeys(use.outputs, found[from_[0]] if use.kind != "Concat" else None))
        elif use.kind in _SCALES and (use.kind != "QGemm" or use.has(7)):
            found[use.outputs[0]] = _steps(use, _SCALES[use.kind]) if use.straight else None
        elif use.kind != "QGemm" and _rounds(use):
            found[use.outputs[0]] = None
    return found


def _rounds(use: Use) -> bool:
    operator = operators().get((use.domain, use.kind))
    return operator is not None and operator.rounds


def _steps(use: Use, place: int) -> Steps | None:
    """The scale and the zero of a whole tensor, where the file holds them and whole numbers are what it rounds to."""
    scale, zero = use.constant(place), use.constant(place + 1)
    if scale is None or scale.size != 1 or (zero is None and use.has(place + 1)):
        return None
    if zero is None:
        return Steps(float(scale.reshape(-1)[0]), 0.0) if not use.attributes.get("output_dtype", 0) else None
    if zero.size != 1 or not np.issubdtype(zero.dtype, np.integer):
        return None
    return Steps(float(scale.reshape(-1)[0]), float(zero.reshape(-1)[0]))


def scaled_sums(uses: Sequence[Use]) -> dict[str, str]:
    """By tensor: the operator whose sums of whole numbers it gives as floats, ``Mul(Cast(ConvInteger))``."""
    found: dict[str, str] = {}
    sums: dict[str, str] = {}
    for use in uses:
        read = next((sums[name] for name in use.inputs if name in sums), "")
        if use.kind in _SUMS and use.outputs:
            sums[use.outputs[0]] = use.kind
        elif read and use.kind == "Cast":
            sums[use.outputs[0]] = read
        elif read and use.kind == "Mul":
            found[use.outputs[0]] = read
    return found


def standing_in(node: Any) -> Any:
    """A node whose result has the shape of a quantised one, which ONNX's own inference does not know; itself where it does."""
    import onnx

    plain = {"QLinearAdd": "Add", "QLinearMul": "Mul", "QLinearConcat": "Concat", "QLinearAveragePool": "AveragePool"}
    plain |= {"QLinearGlobalAveragePool": "GlobalAveragePool", "QGemm": "Gemm"}
    plain |= dict.fromkeys(("QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax"), "Identity")
    if node.domain != "com.microsoft" or node.op_type not in plain:
        return node
    if node.op_type == "QGemm" and len(node.input) <= 7:
        return node
    read = {"QLinearConcat": slice(2, None, 3)}.get(node.op_type, slice(0, 1))
    inputs = list(node.input)[read]
    if node.op_type in ("QLinearAdd", "QLinearMul", "QGemm"):
        inputs.append(node.input[3])
    made = onnx.NodeProto(op_type=plain[node.op_type], input=inputs, output=node.output[:1], name=node.name)
    if plain[node.op_type] != "Identity":
        made.attribute.extend(one for one in node.attribute if one.name != "channels_last")
    return made
