"""The layers of an ONNX graph: the nodes that people would call one, where their rows and channels are, and what they give.

The file says no more than nodes. A node is a layer where it weighs, activates, normalises, pools or joins what the inputs
say; what only moves numbers about (Reshape, Transpose, Cast) is none.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.formats.graph_attention import Attention
from runtimes.formats.onnx_attention import Shapes, read_attention
from runtimes.formats.onnx_channels import channel_axes
from runtimes.formats.onnx_classifiers import with_logits
from runtimes.formats.onnx_differentiable import Graph
from runtimes.formats.onnx_file import tail_of
from runtimes.formats.onnx_graphs import written_out
from runtimes.formats.onnx_logs import with_logs
from runtimes.formats.onnx_whole_layers import KINDS as WHOLE
from runtimes.formats.onnx_whole_layers import Steps, scaled_sums, standing_in, steps_of
from runtimes.formats.tf_operators.declaring import Use
from runtimes.target import LayerFacts

Sizes = tuple[int | None, ...]

_WEIGHS = frozenset({"Conv", "ConvTranspose", "DeformConv", "Gemm", "MatMul", "Einsum"})
_ACTIVATES = frozenset(
    {"Relu", "LeakyRelu", "PRelu", "Elu", "Celu", "Selu", "Gelu", "Mish", "Swish", "Clip", "ThresholdedRelu"}
    | {"Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus", "Softsign", "Softmax", "LogSoftmax", "Hardmax"}
)
_NORMALISES = frozenset(
    {"BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"}
    | {"SimplifiedLayerNormalization", "LpNormalization", "MeanVarianceNormalization", "LRN"}
)
_POOLS = frozenset(
    {"MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool"}
    | {"ReduceMean", "ReduceMax", "ReduceSum"}
)
_JOINS = frozenset({"Add", "Sub", "Mul", "Div", "Sum", "Mean", "Max", "Min", "Concat"})
_ATTENDS = frozenset({"Attention", "MultiHeadAttention"})
_RESIZES = frozenset({"Resize", "Upsample", "DepthToSpace", "SpaceToDepth"})
_PRODUCTS = frozenset({"Gemm", "MatMul", "QGemm", "QLinearMatMul"})
_FLATTENS = frozenset({"Flatten", "Reshape", "Squeeze"})
"""Operators that make a layer where a product reads what they give: the features that a last layer decides by."""
KINDS = _WEIGHS | _ACTIVATES | _NORMALISES | _POOLS | _JOINS | _ATTENDS | _RESIZES | WHOLE
"""Operators that make a layer."""
_HOLDS_GRAPHS = frozenset({"If", "Loop", "Scan"})
"""Operators that make a layer of what their own graphs compute, where that is known to be an entry a row: by its shape, or
since it is what is asked for."""

_ROWS = 1009
"""Rows that shapes are inferred for where the file leaves them open: a number that no other size of a network is."""
_SMALL_TENSOR = 64
"""Elements. Shapes and axes are smaller than this; weights above it are dropped before shapes are inferred."""

_FLOAT_CODES = frozenset({1, 10, 11, 16})


@dataclass(frozen=True)
class OnnxLayer:
    """One layer."""

    name: str
    """The node's, where it has one of its own; else that of the tensor that it gives."""
    kind: str
    """Its operator."""
    tensor: str
    """What it gives."""
    channels: int | None
    """The axis of that tensor that holds the channels; None: the last."""
    shape: Sizes | None
    """Without rows, channels last; None: not known."""
    steps: Steps | None = None
    """Of a tensor of whole numbers: what they stand for, which is what is handed out."""

    def order(self, rank: int) -> tuple[int, ...]:
        """For each axis of its tensor, where it is handed out: rows first, channels last."""
        last = rank - 1 if self.channels is None else self.channels
        kept = [axis for axis in range(rank) if axis != last]
        return tuple(rank - 1 if axis == last else kept.index(axis) for axis in range(rank))

    def of_sizes(self, sizes: Sizes) -> "OnnxLayer":
        """The same, with its shape; sizes are those of its tensor, as far as they are known."""
        return self if self.shape is not None else replace(self, shape=_handed_out(sizes, self.channels))


@dataclass(frozen=True)
class Inside:
    """The layers of a graph below one output's final activation."""

    layers: tuple[OnnxLayer, ...] = ()
    """In the order of computation."""
    capabilities: frozenset[str] = frozenset()
    """What can be asked of them."""
    attentions: tuple[Attention, ...] = ()
    """In the order of computation."""
    without_attention: str = ""
    """Why nobody can read what positions look at; empty where it can be read."""


def inside_of(path: Path, model: Any, output: str | int | None, cut: Sequence[str] = ()) -> Inside:
    """The layers below an output's final activation: the same ones, whatever is asked of it.

    Args:
        path: the file, to be named.
        model: the ``onnx.ModelProto``, its inputs adapted.
        output: as `runtimes.capabilities.View.output`.
        cut: tensors that are given as inputs are; nothing below them is a layer.
    """
    seen = written_out(with_logs(with_logits(model)))
    graph = Graph.of(seen, tail_of(path, seen, output).logits, None, cut)
    rows, shapes = _shapes(seen)
    varied = _varied(seen, graph.uses, cut)
    layers = tuple(_layers(graph, rows, shapes, varied))
    if not layers:
        return Inside()
    read = read_attention(graph.uses, varied, shapes)
    rectified = ["Rectified"] if any(map(cuts_at_zero, graph.uses)) else []
    readable = [] if read.lacks else ["AttentionReadable"]
    offered = frozenset({"LayerDifferentiable", *rectified, *readable})
    return Inside(layers, offered, read.attentions, read.lacks)


def _layers(graph: Graph, rows: int, shapes: Shapes, varied: set[str]) -> Iterator[OnnxLayer]:
    channels = channel_axes(graph.uses, shapes)
    whole, sums = steps_of(graph.uses), scaled_sums(graph.uses)
    named = Counter(use.name for use in graph.uses)
    multiplied = {use.inputs[0] for use in graph.uses if use.kind in _PRODUCTS}
    for use in graph.uses:
        made = use.outputs[0] if use.outputs else ""
        code, shape = shapes.get(made, (0, None))
        axis, steps = channels.get(made), whole.get(made)
        is_layer = use.kind in KINDS or (use.kind in _FLATTENS and made in multiplied and len(shape or ()) == 2)
        is_layer = is_layer or (use.kind in _HOLDS_GRAPHS and (shape is not None or use is graph.uses[-1]))
        if not is_layer or use.domain not in ("", "com.microsoft") or made not in varied:
            continue
        has_values = steps is not None if made in whole else not code or code in _FLOAT_CODES
        if not has_values or (shape is not None and (len(shape) < 2 or shape[0] != rows)):
            continue
        name = use.name if use.name and named[use.name] == 1 else made
        yield OnnxLayer(name, sums.get(made, use.kind), made, axis, _handed_out(shape, axis), steps)


def layer_facts(layers: Sequence[OnnxLayer]) -> tuple[LayerFacts, ...]:
    """The same, as a model's facts tell them."""
    return tuple(LayerFacts(layer.name, layer.kind, {}, 1, layer.shape) for layer in layers)


def cuts_at_zero(use: Use) -> bool:
    """Whether a node is a rectifier: ReLU, or cut off below at zero and above, if at all, at what the file says."""
    if use.domain or use.kind not in ("Relu", "Clip"):
        return False
    bounded = use.opset < 11 or not use.has(2) or bound_of(use, 2, "max") is not None
    return use.kind == "Relu" or (bounded and bound_of(use, 1, "min") == 0.0)


def bound_of(use: Use, position: int, name: str) -> float | None:
    """A bound of a Clip, an attribute before opset 11 and an input since; None where there is none, or it is not known."""
    if use.opset < 11:
        given = use.attributes.get(name)
        return None if given is None else float(given)
    value = use.constant(position) if use.has(position) else None
    return float(value.reshape(-1)[0]) if value is not None and value.size == 1 else None


def _varied(model: Any, uses: Sequence[Use], cut: Sequence[str]) -> set[str]:
    """The tensors that depend on an input, or on what is given as inputs are."""
    held = {tensor.name for tensor in model.graph.initializer}
    found = {value.name for value in model.graph.input if value.name not in held} | set(cut)
    for use in uses:
        if found.intersection(use.inputs):
            found.update(name for name in use.outputs if name)
    return found


def _shapes(model: Any) -> tuple[int, dict[str, tuple[int, Sizes | None]]]:
    """How many rows there are, and each tensor's type and shape with that many."""
    import onnx

    copy = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    copy.graph.name = model.graph.name
    copy.graph.node.extend(map(standing_in, model.graph.node))
    copy.graph.input.extend(model.graph.input)
    copy.graph.output.extend(onnx.ValueInfoProto(name=value.name) for value in model.graph.output)
    held = {tensor.name for tensor in model.graph.initializer}
    for tensor in model.graph.initializer:
        small = int(np.prod(tensor.dims)) <= _SMALL_TENSOR
        about = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        copy.graph.initializer.append(tensor if small and not tensor.external_data else about)
    rows = _ROWS
    for value in copy.graph.input:
        sizes = value.type.tensor_type.shape.dim
        if value.name in held or not sizes:
            continue
        if sizes[0].HasField("dim_value"):
            rows = sizes[0].dim_value
        else:
            sizes[0].dim_value = _ROWS
    # where inference fails, shapes are not known, and whoever opens the model finds them
    with contextlib.suppress(onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        copy = onnx.shape_inference.infer_shapes(copy, data_prop=True)
    return rows, {value.name: _typed(value) for value in [*copy.graph.value_info, *copy.graph.output]}


def _typed(value: Any) -> tuple[int, Sizes | None]:
    said = value.type.tensor_type
    if not said.HasField("shape"):
        return said.elem_type, None
    return said.elem_type, tuple(size.dim_value if size.HasField("dim_value") else None for size in said.shape.dim)


def _handed_out(shape: Sizes | None, axis: int | None) -> Sizes | None:
    """A shape without rows, its channels last."""
    if shape is None:
        return None
    last = len(shape) - 1 if axis is None else axis
    return (*[size for at, size in enumerate(shape) if at not in (0, last)], shape[last])
