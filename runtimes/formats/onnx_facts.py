"""What an ONNX file says of itself, as `ModelFacts`."""

from pathlib import Path
from typing import Any

import numpy as np

from runtimes.formats.onnx_file import (
    Tail,
    attributes,
    inputs_of,
    operator_counts,
    read_model,
    tail_of,
    tensor_facts,
    weights_count,
)
from runtimes.formats.onnx_trees import Ensemble, read_ensemble
from runtimes.formats.signature import refusing_disorder
from runtimes.target import LayerFacts, ModelFacts

_SMALL_TENSOR = 64
"""Elements. Shapes and axes are smaller than this; weights above it are dropped before shapes are inferred."""


@refusing_disorder("an ONNX model")
def facts_of(path: Path) -> ModelFacts:
    """Read a file's facts without running it. Raises `ModelFileError`."""
    model = read_model(path)
    tail = tail_of(path, model)
    inputs = inputs_of(path, model)
    outputs = tuple(tensor_facts(value) for value in model.graph.output)
    ensemble = read_ensemble(model, tail) if tail.activation == "trees" else None
    shapes = _inferred_shapes(model)
    columns = ensemble.outputs if ensemble else _mapped(model, tail)
    columns = columns or _columns(shapes.get(tail.scores) or _shape_of(outputs, tail.output))
    single = tail.activation == "sigmoid" and columns == 1
    layers = tuple(
        LayerFacts(node.name or f"{node.op_type}_{position}", node.op_type)
        for position, node in enumerate(model.graph.node)
    )
    return ModelFacts(
        format="onnx",
        structure=_structure(model, ensemble),
        inputs=inputs,
        outputs=outputs,
        capabilities=frozenset({"Predictor", "TreeEnsemble"} if additive_scores(ensemble) else {"Predictor"}),
        scores=scores_of(tail, ensemble),
        n_outputs=2 if single else columns,
        parameters=weights_count(model) + (ensemble.leaves + ensemble.nodes if ensemble else 0),
        operators=dict(sorted(operator_counts(model).items())),
        producer=" ".join(part for part in (model.producer_name, model.producer_version) if part),
        activation=_activation(tail, ensemble),
        layers=layers,
        work_per_row=_tree_work(ensemble) if ensemble else _work(model, shapes),
    )


def scores_of(tail: Tail, ensemble: Ensemble | None) -> frozenset[str]:
    """The scores that one output of a file can give."""
    if ensemble is not None:
        return ensemble.scores
    if tail.activation == "softmax":
        return frozenset({"logit", "probability", "log_odds"})
    if tail.activation == "sigmoid":
        return frozenset({"logit", "probability", "log_odds", "value"})
    if tail.activation == "linear":
        return frozenset({"logit", "value"})
    return frozenset({"probability", "log_odds", "value"})


def additive_scores(ensemble: Ensemble | None) -> frozenset[str]:
    """The scores in which a handle offers its trees."""
    return ensemble.additive_scores if ensemble else frozenset()


def _activation(tail: Tail, ensemble: Ensemble | None) -> str:
    if ensemble is None:
        return tail.activation
    return {"LOGISTIC": "logistic", "SOFTMAX": "softmax"}.get(ensemble.post, "linear")


def _structure(model: Any, ensemble: Ensemble | None) -> str:
    if ensemble is not None:
        return "tree_ensemble"
    kinds = operator_counts(model)
    products = sum(kinds[kind] for kind in ("MatMul", "Gemm", "LinearRegressor", "LinearClassifier"))
    plain = {"MatMul", "Gemm", "LinearRegressor", "LinearClassifier", "Add", "Sub", "Sigmoid", "Softmax"}
    plain |= {"Identity", "Cast", "ZipMap", "ArgMax", "Flatten", "Normalizer"}
    return "linear" if products == 1 and set(kinds) <= plain else "network"


def _mapped(model: Any, tail: Tail) -> int:
    """How many classes the ZipMap above the scores names; 0 where there is none."""
    for node in model.graph.node:
        if node.op_type == "ZipMap" and node.input[0] == tail.scores:
            named = attributes(node)
            return len(named.get("classlabels_int64s") or named.get("classlabels_strings") or ())
    return 0


def _shape_of(outputs: tuple[Any, ...], name: str) -> tuple[int | None, ...]:
    return next((output.shape for output in outputs if output.name == name), (None,))


def _columns(shape: tuple[int | None, ...]) -> int:
    """Columns of a score tensor; 0 where the file does not say."""
    if len(shape) < 2:
        return len(shape)
    sizes = [size or 0 for size in shape[1:]]
    return int(np.prod(sizes))


def _inferred_shapes(model: Any) -> dict[str, tuple[int | None, ...]]:
    """Tensor name to shape, as far as ONNX's own inference goes; large weights are left out of the copy."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        if int(np.prod(tensor.dims)) > _SMALL_TENSOR:
            for name in ("raw_data", "float_data", "double_data", "int32_data", "int64_data"):
                tensor.ClearField(name)
    try:
        copy = onnx.shape_inference.infer_shapes(copy)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        # Shapes serve the price alone: a model without them has the price "unknown", which the facts say as 0.
        return {}
    values = [*copy.graph.value_info, *copy.graph.output, *copy.graph.input]
    found = {value.name: tensor_facts(value).shape for value in values if value.type.HasField("tensor_type")}
    return found | {tensor.name: tuple(tensor.dims) for tensor in copy.graph.initializer}


def _work(model: Any, shapes: dict[str, tuple[int | None, ...]]) -> int:
    """Multiply-adds of one row: products and convolutions."""
    total = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "MatMul", "Gemm") or len(node.input) < 2:
            continue
        weight, out = shapes.get(node.input[1]), shapes.get(node.output[0])
        if not weight or not out:
            continue
        if node.op_type == "Conv":
            total += int(np.prod([size or 1 for size in weight])) * int(np.prod([size or 1 for size in out[2:]]))
        else:
            inner = shapes.get(node.input[0], (1,))[-1] or 1
            total += inner * int(np.prod([size or 1 for size in out[1:]]))
    return total


def _tree_work(ensemble: Ensemble) -> int:
    """One comparison a level: the depth of balanced trees with this many nodes."""
    return sum(int(np.ceil(np.log2(len(tree.feature) + 1))) for tree in ensemble.trees) or ensemble.nodes
