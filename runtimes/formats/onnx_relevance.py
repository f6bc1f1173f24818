"""Whether relevance finds its way through an ONNX graph that is rebuilt in TensorFlow, told from the file."""

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from runtimes.formats.onnx_differentiable import Graph, named
from runtimes.formats.onnx_folding import is_by_channel, is_by_place
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
        if left := _left_on(use, uses, live, shapes):
            return f"{named(left)} on a {use.kind} in groups"
    return ""


def _left_on(conv: Use, uses: Sequence[Use], live: Container[str], shapes: Shapes) -> Use | None:
    """The first factor or summand on a convolution that `runtimes.formats.onnx_folding` cannot draw into it."""
    kernel = shapes.get(conv.inputs[1], ())
    waiting = [(conv.outputs[0], conv.kind == "Conv")]
    while waiting:
        name, drawn = waiting.pop()
        readers = [one for one in uses if name in one.inputs]
        drawn = drawn and len(readers) == 1
        for one in readers:
            constants = [other for other in one.inputs if other != name]
            if one.kind in _TURNING and one.inputs[0] == name:
                waiting.append((one.outputs[0], False))
                continue
            if one.kind not in _AFFINE or any(other in live for other in constants):
                continue
            fits = drawn and one.kind != "Div" and (one.kind != "Sub" or one.inputs[0] == name)
            if all(other in one.constants and one.constants[other].size == 1 for other in constants):
                waiting.append((one.outputs[0], fits))
            elif fits and one.kind == "Mul" and not _are(is_by_channel, constants, kernel, shapes):
                continue  # a step of its own on any sum
            elif not fits or (one.kind in ("Add", "Sub") and not _are(is_by_place, constants, kernel, shapes)):
                return one
            else:
                waiting.append((one.outputs[0], fits))
    return None


def _are(shaped: Callable[..., bool], names: Sequence[str], kernel: Sequence[int | None], shapes: Shapes) -> bool:
    """Whether constants have a shape that can be drawn into a convolution; where it is not known, they are believed to."""
    return all(name not in shapes or not kernel or shaped(shapes[name], kernel) for name in names)


_AFFINE = frozenset({"BatchNormalization", "Add", "Sub", "Mul", "Div"})
_TURNING = frozenset({"Identity", "Dropout", "Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Slice"})
"""What moves sums and leaves them what they are, so that what is added behind it is a bias all the same."""


def _kind(use: Use, shapes: Shapes) -> str:
    if use.kind in _STEPPING:
        shape = shapes.get(use.inputs[0], ())
        axis = 1 if use.attributes.get("layout", 0) else 0
        time = shape[axis] if len(shape) > axis else None
        return "While" if time is None or time > UNROLLED else "Identity"
    if use.kind == "Attention":
        return "Identity"
    return _AS.get(use.kind, _RESERVED)
