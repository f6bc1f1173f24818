"""Whether relevance finds its way through an ONNX graph that is rebuilt in TensorFlow, told from the file."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from runtimes.formats.onnx_differentiable import Graph, named
from runtimes.formats.onnx_rounding import cuts
from runtimes.formats.tf_graph_relevance_paths import Passed, Ways, ways_through
from runtimes.formats.tf_operators.declaring import Use
from runtimes.formats.tf_operators.recurrent import UNROLLED

Shapes = Mapping[str, tuple[int | None, ...]]

_AS: dict[str, str] = {
    **dict.fromkeys(("Conv", "CausalConvWithState"), "Conv2D"),
    "ConvTranspose": "Conv2DBackpropInput",
    **dict.fromkeys(("MatMul", "FusedMatMul", "Gemm"), "MatMul"),
    "Einsum": "Einsum",
    **dict.fromkeys(("Add", "Sum", "Mean"), "AddV2"),
    **{name: name for name in ("Sub", "Mul", "Pow", "Mod", "Softmax", "LogSoftmax", "Sigmoid", "Reciprocal", "Tile")},
    "Div": "RealDiv",
    "Max": "Maximum",
    "Min": "Minimum",
    "Where": "SelectV2",
    **dict.fromkeys(("ReduceMean", "ReduceSum", "AveragePool", "GlobalAveragePool", "CumSum"), "Mean"),
    **dict.fromkeys(("ReduceMax", "ReduceMin", "MaxPool", "GlobalMaxPool"), "Max"),
    **dict.fromkeys(("Shape", "Size", "ConstantOfShape"), "Shape"),
    **dict.fromkeys(("If", "Loop", "Scan", "LinearAttention"), "While"),
}
"""By operator, the operation of TensorFlow that is treated as it is."""

_POINTWISE = """
Relu LeakyRelu PRelu ThresholdedRelu Elu Celu Selu Softplus Softsign HardSigmoid HardSwish Swish Mish Gelu QuickGelu FastGelu Shrink
Clip Tanh Exp Log Sqrt Abs Neg Erf Sin Cos Tan Sinh Cosh Asin Acos Atan Asinh Acosh Atanh Floor Ceil Round Sign
"""
_MOVING = """
Identity StopGradient Dropout Cast CastLike Reshape Flatten Transpose Squeeze Unsqueeze Pad Slice Gather GatherND GatherElements
Concat Split Expand DepthToSpace SpaceToDepth ReverseSequence CenterCropPad BatchNormalization InstanceNormalization
LayerNormalization GroupNormalization RMSNormalization SimplifiedLayerNormalization LRN Resize Upsample Trilu Scaler
"""
_AS |= {**dict.fromkeys(_POINTWISE.split(), "Relu"), **dict.fromkeys(_MOVING.split(), "Identity")}
_SAYING = "Equal Greater GreaterOrEqual Less LessOrEqual And Or Not Xor IsNaN IsInf ArgMax ArgMin"
_AS |= dict.fromkeys(_SAYING.split(), "Equal")

_STEPPING = frozenset({"LSTM", "GRU", "RNN"})
_RESERVED = "Unruled"
"""Of no operation: there is no rule for it."""


def ways_of(model: Any, output: str, inputs: Sequence[str], shapes: Shapes) -> Ways:
    """What stands in the way from an output to the inputs.

    Args:
        model: the ``onnx.ModelProto``, its inputs adapted.
        output: the tensor that is explained.
        inputs: names of tensors of floats that it is explained by.
        shapes: of tensors, as far as they are known.
    """
    makers, dilated = dict.fromkeys(inputs, ""), ""
    found: list[Passed] = []
    uses = Graph.of(model, output, given=inputs).uses
    if any(use.given for use in uses):
        # a row and the size of its steps are no two factors that share
        reason = next(named(use) for use in uses if use.straight)
        return Ways(reason, reason)
    for at, use in enumerate(uses):
        name = f"{at}:{use.name}"
        read = [makers[one] for one in (use.inputs[2:3] if use.kind == "Attention" else use.inputs) if one in makers]
        if not any(one in makers for one in use.inputs) or (cuts(use) and use.kind not in _AS):
            continue
        if (
            not dilated
            and use.kind in ("MaxPool", "LpPool")
            and max(use.attributes.get("dilations", ()), default=1) > 1
        ):
            dilated = f"{named(use)}, whose windows are dilated"
        found.append(Passed(name, _kind(use, shapes), tuple(one for one in read if one), named(use)))
        makers |= {one: name for one in use.outputs if one}
    ways = ways_through(found)
    return Ways(ways.without_rule or _shared_factor(uses, makers, shapes), ways.without_rescaling or dilated)


def _shared_factor(uses: Sequence[Use], live: Container[str], shapes: Shapes) -> str:
    """What stands on all groups of a convolution at once, in words, where it cannot be drawn into each of them."""
    for use in uses:
        if (
            use.kind not in ("Conv", "ConvTranspose")
            or use.attributes.get("group", 1) == 1
            or use.inputs[0] not in live
        ):
            continue
        shape = shapes.get(use.inputs[0], ())
        if use.kind == "Conv" and 1 < len(shape) < 5 and shape[1] == use.attributes["group"]:
            continue  # depthwise: one operation
        readers = [one for one in uses if use.outputs[0] in one.inputs]
        for one in readers:
            others = [name for name in one.inputs if name != use.outputs[0]]
            single = all(name in one.constants and one.constants[name].size == 1 for name in others)
            if one.kind not in _AFFINE or single or any(name in live for name in others):
                continue
            turned = one.kind == "Sub" and one.inputs[0] != use.outputs[0]
            if use.kind != "Conv" or len(readers) > 1 or one.kind == "Div" or turned:
                return f"{named(one)} on a {use.kind} in groups"
    return ""


_AFFINE = frozenset({"BatchNormalization", "Add", "Sub", "Mul", "Div"})


def _kind(use: Use, shapes: Shapes) -> str:
    if use.kind in _STEPPING:
        shape = shapes.get(use.inputs[0], ())
        axis = 1 if use.attributes.get("layout", 0) else 0
        time = shape[axis] if len(shape) > axis else None
        return "While" if time is None or time > UNROLLED else "Identity"
    if use.kind == "Attention":
        return "Identity"
    return _AS.get(use.kind, _RESERVED)
