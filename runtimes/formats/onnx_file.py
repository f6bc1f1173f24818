"""ONNX files read statically: refusals, tensors, and where a view's score stands in the graph."""

import importlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.formats.onnx_external import embed, external_files
from runtimes.formats.onnx_limits import refuse_crowded, refuse_foreign_operators, refuse_unholdable
from runtimes.formats.signature import refuse_content, require_model_file
from runtimes.powers import NO_POWERS, Powers
from runtimes.target import ModelFileError, TensorFacts

LIMIT_BYTES = 2**31 - 1
"""Protobuf's own limit for one message."""

DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "str", 9: "bool"}
DTYPES |= {10: "float16", 11: "float64", 12: "uint32", 13: "uint64"}
FLOATS = frozenset({"float16", "float32", "float64"})

_EXPECTED = "an ONNX model"


def read_model(path: Path, beside: Mapping[str, Path] | None = None, powers: Powers = NO_POWERS) -> Any:
    """Parse a model, and refuse what must not be opened.

    Args:
        path: the file.
        beside: where its external data is now, by the location that the file says: it is read into the model. Without
            it the data must stand below the model's folder, and stays there.
        powers: what a person has trusted exactly this file to do.

    Returns:
        the ``onnx.ModelProto``.

    Raises:
        ModelFileError: not an ONNX model, damaged, or refused.
    """
    head = require_model_file(path, _EXPECTED, LIMIT_BYTES)
    refuse_content(path, _EXPECTED, head)
    import onnx

    damaged: type[Exception] = importlib.import_module("google.protobuf.message").DecodeError
    model = onnx.ModelProto()
    try:
        content = path.read_bytes()
        refuse_crowded(path, content)
        model.ParseFromString(content)
        del content
    except (damaged, ValueError) as error:
        raise ModelFileError(
            f"`{path.name}` is truncated or not {_EXPECTED}", "export or download the model again"
        ) from error
    if not model.HasField("graph") or not model.graph.output or not model.opset_import:
        raise ModelFileError(f"`{path.name}` holds no complete ONNX graph", "export or download the model again")
    refuse_foreign_operators(path, model, powers)
    if beside:
        embed(path, model, beside)
    else:
        external_files(path, model)
    refuse_unholdable(path, model)
    _refuse_dangling(path, model)
    return model


def _refuse_dangling(path: Path, model: Any) -> None:
    known = {value.name for value in model.graph.input} | {tensor.name for tensor in model.graph.initializer}
    known |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    for node in model.graph.node:
        known.update(node.output)
    for value in model.graph.output:
        if value.name not in known:
            raise ModelFileError(
                f"`{path.name}`: nothing makes the output `{value.name}`", "export or download the model again"
            )


def tensor_facts(value: Any) -> TensorFacts:
    """One input or output; ZipMap outputs have the shape ``(None,)`` and the dtype ``map``."""
    if not value.type.HasField("tensor_type"):
        return TensorFacts(value.name, (None,), "map")
    tensor = value.type.tensor_type
    sizes = (dim.dim_value if dim.HasField("dim_value") else 0 for dim in tensor.shape.dim)
    # Some exporters write an unknown size as 0 or -1.
    shape = tuple(size if size > 0 else None for size in sizes)
    return TensorFacts(value.name, shape, DTYPES.get(tensor.elem_type, f"onnx type {tensor.elem_type}"))


def inputs_of(path: Path, model: Any) -> tuple[TensorFacts, ...]:
    """The model's inputs, without initializers that older files also list.

    Raises:
        ModelFileError: none, or one of a dtype that NumPy does not have.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    found = tuple(tensor_facts(value) for value in model.graph.input if value.name not in weights)
    if not found:
        raise ModelFileError(f"`{path.name}` has no inputs", "export the model with its inputs")
    for tensor in found:
        if tensor.dtype not in DTYPES.values():
            raise ModelFileError(
                f"`{path.name}`: input `{tensor.name}` has the unsupported type {tensor.dtype}",
                "export the model with float32 inputs",
            )
    return found


def attributes(node: Any) -> dict[str, Any]:
    """A node's attributes as plain values; tensors as arrays, bytes as text."""
    import onnx

    found: dict[str, Any] = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = onnx.numpy_helper.to_array(value)
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif attribute.type == onnx.AttributeProto.STRINGS:
            value = [item.decode("utf-8", "replace") for item in value]
        found[attribute.name] = value
    return found


_TRANSPARENT = frozenset({"Identity", "Cast", "Dropout"})
_ROUNDING = frozenset({"QuantizeLinear", "DequantizeLinear"})
"""What quantised models write around every tensor: a pair of them only rounds."""
_AFFINE = frozenset({"MatMul", "Gemm", "Add", "Sub", "Mul", "Conv", "LinearRegressor", "SVMRegressor", "LogSoftmax"})
"""What ends in scores without bounds. Of a LogSoftmax too: they differ from the logits by a constant a row."""
_LABELLED = frozenset({"TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier"})
"""Operators whose first output is the label and whose second is the scores."""
_TREES = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble"})


@dataclass(frozen=True)
class Tail:
    """How the scores leave the graph."""

    output: str
    """The graph output that is looked at."""
    scores: str
    """The tensor that holds the scores: below a ZipMap, else the output itself."""
    activation: str
    """``softmax``, ``sigmoid``, ``exp``, ``linear``, ``trees`` or empty where it is something else."""
    logits: str
    """The tensor below the final softmax, sigmoid or Exp; else `scores`."""
    node: Any = None
    """The node that makes the scores, where there is one."""
    rounded: bool = False
    """Whether the scores are quantised: probabilities then sum to 1 only within their steps."""
    axis: int = -1
    """Of a softmax: the axis that sums to 1."""
    product: bool = False
    """Whether the scores are a product of two tensors that both depend on the row, as of a rate and the row's exposure: without
    bounds like a sum, but no sum, and of one sign where both are."""


def tail_of(path: Path, model: Any, output: str | int | None = None) -> Tail:
    """Find the scores of one output, by name, position, or (None) the one that holds scores.

    Raises:
        ModelFileError: no such output, or none that holds numbers.
    """
    chosen = _choose_output(path, model, output)
    makers: dict[str, Any] = {name: node for node in model.graph.node for name in node.output}
    scores = chosen.name
    while (node := makers.get(scores)) is not None and node.op_type in ("Identity", "ZipMap"):
        # Class positions follow the columns below a ZipMap, so the map itself is never needed.
        scores = node.input[0]
    maker, name, rounded = node, scores, False
    while maker is not None and (maker.op_type in _TRANSPARENT | _ROUNDING or _multiplies_by_one(maker, model)):
        rounded = rounded or maker.op_type in _ROUNDING
        name = maker.input[0]
        maker = makers.get(name)
    if rounded and tensor_facts(chosen).dtype in _STEPS:
        scores = _before_rounding(makers, scores)
    if maker is None:
        return Tail(chosen.name, scores, "", scores, None, rounded)
    kind = maker.op_type
    is_label = kind in _LABELLED and name != maker.output[1]
    if kind in _TREES and not is_label:
        return Tail(chosen.name, scores, "trees", scores, maker, rounded)
    if kind == "Sigmoid":
        return Tail(chosen.name, scores, "sigmoid", maker.input[0], maker, rounded)
    if kind == "Softmax":
        axis = attributes(maker).get("axis", -1)
        return Tail(chosen.name, scores, "softmax", maker.input[0], maker, rounded, axis)
    if kind == "Exp" and getattr(makers.get(maker.input[0]), "op_type", "") != "LogSoftmax":
        return Tail(chosen.name, scores, "exp", maker.input[0], maker, rounded)
    linear = (
        kind in _AFFINE
        or _is_reshaped_sum(maker, makers, model)
        or (kind in _LABELLED and not is_label and not _is_linked(maker))
    )
    product = kind == "Mul" and all(_depends_on_row(operand, makers, model) for operand in maker.input)
    return Tail(chosen.name, scores, "linear" if linear else "", scores, maker, rounded, product=product)


def _depends_on_row(name: str, makers: Mapping[str, Any], model: Any) -> bool:
    """Whether a tensor is made from an input of the model, and not from constants alone."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = {value.name for value in model.graph.input} - constants
    waiting, seen = [name], {name}
    while waiting:
        at = waiting.pop()
        if at in inputs:
            return True
        further = set(makers[at].input) - seen if at in makers else set()
        waiting += further
        seen |= further
    return False


def _is_reshaped_sum(node: Any, makers: Mapping[str, Any], model: Any) -> bool:
    """Whether a node only shapes what a product with weights, and a sum, have made: one number a row as a column."""
    if node.op_type != "Reshape":
        return False
    shape = next((tensor for tensor in model.graph.initializer if tensor.name == node.input[1]), None)
    if shape is None or not keeps_rows("Reshape", numpy_of(shape)):
        return False
    below = makers.get(node.input[0])
    if below is not None and below.op_type == "Add":
        below = next((makers[name] for name in below.input if name in makers), None)
    return below is not None and below.op_type in ("MatMul", "Gemm", "LinearRegressor")


def numpy_of(tensor: Any) -> Any:
    """The numbers of an initializer; None where they stand beside the file."""
    import onnx

    return None if tensor.data_location == tensor.EXTERNAL else onnx.numpy_helper.to_array(tensor)


def keeps_rows(kind: str, said: Any) -> bool:
    """Whether a Reshape to a shape, or a Squeeze of axes, surely leaves to each row its numbers: one column, or as many."""
    if said is None:
        return False
    numbers = [int(number) for number in np.asarray(said).reshape(-1)]
    if kind == "Squeeze":
        return numbers in ([1], [-1])
    return numbers in ([-1], [0, -1]) or (len(numbers) == 2 and numbers[0] in (-1, 0) and numbers[1] > 0)


def _multiplies_by_one(node: Any, model: Any) -> bool:
    """Whether a node changes nothing: converters of LightGBM end so, to give the probabilities their name."""
    import onnx

    if node.op_type != "Mul":
        return False
    one: Any = next((tensor for tensor in model.graph.initializer if tensor.name == node.input[1]), None)
    if one is None or one.data_location == one.EXTERNAL or int(np.prod(one.dims)) != 1:
        return False
    return bool(onnx.numpy_helper.to_array(one).reshape(-1)[0] == 1)


def _is_linked(node: Any) -> bool:
    """Whether a linear or support-vector classifier answers with probabilities."""
    held = attributes(node)
    return held.get("post_transform", "NONE") != "NONE" or bool(held.get("prob_a"))


_STEPS = frozenset({"int8", "uint8", "int16", "uint16"})
"""Dtypes of quantised scores."""


def _before_rounding(makers: Mapping[str, Any], name: str) -> str:
    """The numbers that a final QuantizeLinear makes whole: without its scale whole numbers say nothing."""
    while (node := makers.get(name)) is not None and node.op_type in (*_TRANSPARENT, "QuantizeLinear"):
        name = node.input[0]
        if node.op_type == "QuantizeLinear":
            break
    return name


def _choose_output(path: Path, model: Any, output: str | int | None) -> Any:
    outputs = list(model.graph.output)
    names = [value.name for value in outputs]
    if isinstance(output, str):
        if output not in names:
            raise ModelFileError(f"`{path.name}` has no output `{output}`", f"its outputs are {', '.join(names)}")
        return outputs[names.index(output)]
    if output is not None:
        if not 0 <= output < len(outputs):
            raise ModelFileError(f"`{path.name}` has no output {output}", f"it has {len(outputs)}, counted from 0")
        return outputs[output]
    for wanted in (FLOATS | {"map"}, _STEPS):
        holding = [value for value in outputs if tensor_facts(value).dtype in wanted]
        if holding:
            return holding[0]
    raise ModelFileError(f"`{path.name}` gives labels only, no scores", "export the model with its probabilities")


def operator_counts(model: Any) -> Counter[str]:
    """Operator kind to how often it stands in the main graph."""
    return Counter(node.op_type for node in model.graph.node)


def weights_count(model: Any) -> int:
    """Numbers in float initializers with at least one axis: trained weights, without scalar constants."""
    return sum(
        int(np.prod(tensor.dims))
        for tensor in model.graph.initializer
        if tensor.dims and DTYPES.get(tensor.data_type) in FLOATS
    )
