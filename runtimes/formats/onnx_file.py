"""ONNX files read statically: refusals, tensors, and where a view's score stands in the graph."""

import importlib
import os
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.formats.signature import refuse_content, require_model_file
from runtimes.target import ModelFileError, TensorFacts

LIMIT_BYTES = 2**31 - 1
"""Protobuf's own limit for one message."""

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Operators of other domains are code that somebody else's library would have to bring."""

DTYPES = {1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "str", 9: "bool"}
DTYPES |= {10: "float16", 11: "float64", 12: "uint32", 13: "uint64"}
FLOATS = frozenset({"float16", "float32", "float64"})

_EXPECTED = "an ONNX model"


def read_model(path: Path) -> Any:
    """Parse a model without its external data, and refuse what must not be opened.

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
        model.ParseFromString(path.read_bytes())
    except damaged as error:
        raise ModelFileError(
            f"`{path.name}` is truncated or not {_EXPECTED}", "export or download the model again"
        ) from error
    if not model.HasField("graph") or not model.graph.output or not model.opset_import:
        raise ModelFileError(f"`{path.name}` holds no complete ONNX graph", "export or download the model again")
    _refuse_foreign_operators(path, model)
    _refuse_external_data(path, model)
    _refuse_dangling(path, model)
    return model


def graphs_of(model: Any) -> Iterator[Any]:
    """The main graph and every graph nested in its nodes or functions."""
    pending = [model.graph, *model.functions]
    while pending:
        graph = pending.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    pending.append(attribute.g)
                pending.extend(attribute.graphs)


def _refuse_foreign_operators(path: Path, model: Any) -> None:
    declared = {(function.domain, function.name) for function in model.functions}
    for graph in graphs_of(model):
        for node in graph.node:
            if node.domain not in DOMAINS and (node.domain, node.op_type) not in declared:
                raise ModelFileError(
                    f"`{path.name}` uses the custom operator {node.domain}::{node.op_type}",
                    "export the model with standard ONNX operators only",
                )


def _tensors(model: Any) -> Iterator[Any]:
    for graph in graphs_of(model):
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield sparse.values
            yield sparse.indices
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _refuse_external_data(path: Path, model: Any) -> None:
    folder = path.parent.resolve()
    for tensor in _tensors(model):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
        target = path.parent / location
        advice = "keep the data file beside the model, or save the model with its weights inside"
        if not location or os.path.isabs(location) or ".." in Path(location).parts:
            raise ModelFileError(f"`{path.name}` reads external data outside its folder: `{location}`", advice)
        try:
            facts = target.lstat()
        except OSError:
            raise ModelFileError(
                f"`{path.name}` needs the external data `{location}`, which is missing", advice
            ) from None
        # A hard link passes every check of its path, and may still be a file from elsewhere.
        plain = stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1
        if not plain or not target.resolve().is_relative_to(folder):
            raise ModelFileError(
                f"`{path.name}` reads external data through a link or special file: `{location}`", advice
            )


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


def has_external_data(model: Any) -> bool:
    """True where some weights stand in files beside the model."""
    return any(tensor.data_location == tensor.EXTERNAL for tensor in _tensors(model))


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
_AFFINE = frozenset({"MatMul", "Gemm", "Add", "Sub", "Mul", "Conv", "LinearRegressor"})


@dataclass(frozen=True)
class Tail:
    """How the scores leave the graph."""

    output: str
    """The graph output that is looked at."""
    scores: str
    """The tensor that holds the scores: below a ZipMap, else the output itself."""
    activation: str
    """``softmax``, ``sigmoid``, ``linear``, ``trees`` or empty where it is something else."""
    logits: str
    """The tensor below the final softmax or sigmoid; else `scores`."""
    node: Any = None
    """The node that makes the scores, where there is one."""


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
    if tensor_facts(chosen).dtype == "map" and scores == chosen.name:
        raise ModelFileError(
            f"`{path.name}`: the output `{chosen.name}` is a map without a ZipMap", "export it as a tensor"
        )
    maker = node
    name = scores
    while maker is not None and maker.op_type in _TRANSPARENT:
        name = maker.input[0]
        maker = makers.get(name)
    if maker is None:
        return Tail(chosen.name, scores, "", scores)
    kind = maker.op_type
    is_label = kind == "TreeEnsembleClassifier" and name != maker.output[1]
    if kind in ("TreeEnsembleClassifier", "TreeEnsembleRegressor", "TreeEnsemble") and not is_label:
        return Tail(chosen.name, scores, "trees", scores, maker)
    if kind == "Sigmoid" or (kind == "Softmax" and attributes(maker).get("axis", -1) in (-1, 1)):
        return Tail(chosen.name, scores, kind.lower(), maker.input[0], maker)
    activation = "linear" if kind in _AFFINE else ""
    return Tail(chosen.name, scores, activation, scores, maker)


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
    holding = [value for value in outputs if tensor_facts(value).dtype in FLOATS | {"map"}]
    if not holding:
        raise ModelFileError(f"`{path.name}` gives labels only, no scores", "export the model with its probabilities")
    return holding[0]


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
