"""What an ONNX file says of itself, as `ModelFacts`."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.adaptation import ALL, OUTPUTS, Adaptation
from runtimes.capabilities import View
from runtimes.formats.onnx_classifiers import with_logits
from runtimes.formats.onnx_embedding import WhiteBox, white_box
from runtimes.formats.onnx_ends import ends_of
from runtimes.formats.onnx_external import external_files
from runtimes.formats.onnx_file import (
    Tail,
    inputs_of,
    operator_counts,
    read_model,
    tail_of,
    tensor_facts,
    weights_count,
)
from runtimes.formats.onnx_inputs import adapted_inputs
from runtimes.formats.onnx_layers import Inside, inside_of, layer_facts
from runtimes.formats.onnx_linear import Affine, read_linear
from runtimes.formats.onnx_logs import trees_below, with_logs
from runtimes.formats.onnx_metadata import class_names, feature_names
from runtimes.formats.onnx_outputs import OutputFacts, Shape, output_facts, with_rows_joined
from runtimes.formats.onnx_relevance import ways_of
from runtimes.formats.onnx_rounding import first_rounding, is_coarse
from runtimes.formats.onnx_trees import Ensemble, read_ensemble
from runtimes.formats.signature import refusing_disorder
from runtimes.formats.tf_graph_relevance_paths import Ways
from runtimes.target import ModelFacts, TensorFacts

_REACHES_ZERO = frozenset(
    {
        "Relu",
        "LeakyRelu",
        "PRelu",
        "ThresholdedRelu",
        "Elu",
        "Celu",
        "Selu",
        "Gelu",
        "Mish",
        "HardSwish",
        "Tanh",
        "Softsign",
    }
    | {"Sin", "Cos", "Log", "Neg", "Round", "LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier", "Normalizer"}
)
"""Operators whose results are no quantities above 0, whatever comes before them."""

_SMALL_TENSOR = 64
"""Elements. Shapes and axes are smaller than this; weights above it are dropped before shapes are inferred."""


@refusing_disorder("an ONNX model")
def facts_of(path: Path, view: View | None = None) -> ModelFacts:
    """Read a file's facts without running it, as it will answer under a view. Raises `ModelFileError`."""
    view = view or View("value")
    asked = view.adaptation
    own = read_model(path, asked.beside, view.powers)
    model = with_rows_joined(adapted_inputs(path, own, asked.inputs), asked)
    seen = with_logs(with_logits(model))
    tail = tail_of(path, seen, view.output)
    inputs = inputs_of(path, model)
    outputs = tuple(tensor_facts(value) for value in model.graph.output)
    ensemble = ensemble_of(seen, tail)
    shapes = inferred_shapes(seen)
    found = output_facts(model, tail, inputs, shapes, asked)
    if ensemble is not None and not asked.shapes_output:
        found = OutputFacts(ensemble.outputs)
    tail = seen_through(tail, asked, shapes)
    single = tail.activation == "sigmoid" and found.columns == 1
    plain = None if asked.shapes_output else ensemble
    white = white_box(model, tail.scores, inputs) if ensemble is None else WhiteBox(lacks="trees have no slope")
    inside = Inside() if white.lacks else inside_of(path, model, view.output, white.cut)
    ways = Ways() if white.lacks else _ways(seen, tail, inputs, white, shapes)
    capabilities = _capabilities(plain, None if asked.shapes_output else read_linear(seen, tail))
    # why there is no gradient; rules go wherever slopes do
    lacks = dict.fromkeys(("Differentiable", "AttentionReadable"), white.lacks) if white.lacks else {}
    by_rules = frozenset() if lacks else frozenset({"RulePropagating"})
    lacks |= {} if white.lacks else _lacking_inside(inside, first_rounding(model))
    return ModelFacts(
        format="onnx",
        structure=_structure(model, ensemble),
        inputs=inputs,
        outputs=outputs,
        capabilities=capabilities | white.capabilities | inside.capabilities | by_rules,
        scores=scores_of(tail, plain),
        n_outputs=2 if single else found.columns,
        parameters=weights_count(model) + (ensemble.leaves + ensemble.nodes if ensemble else 0),
        operators=dict(sorted(operator_counts(model).items())),
        producer=" ".join(part for part in (model.producer_name, model.producer_version) if part),
        activation=_activation(tail, ensemble),
        layers=layer_facts(inside.layers),
        work_per_row=_tree_work(ensemble) if ensemble else _work(model, shapes),
        classes=() if asked.shapes_output else class_names(model, tail, 2 if single else found.columns),
        feature_names=feature_names(model),
        beside=external_files(path, own),
        problem=found.problem,
        unsaid=found.unsaid,
        lacks=lacks,
        without_rule=ways.without_rule,
        without_rescaling=ways.without_rescaling or first_rounding(model),
        coarse=is_coarse(model),
        ends={} if asked.shapes_output else ends_of(seen, tail, scores_of(tail, plain), single=found.columns == 1),
    )


def _ways(model: Any, tail: Tail, inputs: Sequence[TensorFacts], white: WhiteBox, shapes: Mapping[str, Shape]) -> Ways:
    return ways_of(model, tail.logits, white.cut or [one.name for one in inputs], shapes)


def _lacking_inside(inside: Inside, rounding: str) -> dict[str, str]:
    """Why nothing of a graph that has gradients can be looked into, or its ReLU cannot be found; with what to do."""
    found = {"AttentionReadable": inside.without_attention} if inside.without_attention else {}
    if not inside.layers:
        within = f", or holds whole numbers of which it does not say what they stand for ({rounding} rounds)"
        found["LayerDifferentiable"] = (
            "none of the ONNX file's operators weighs, activates, normalises, pools or joins rows of floats"
            f"{within if rounding else ''}; name `model.keras`, or the file that it was exported from"
        )
        found["AttentionReadable"] = found["LayerDifferentiable"]
    if rounding and "Rectified" not in inside.capabilities:
        found["Rectified"] = (
            f"none of the ONNX file's operators is a ReLU: {rounding} rounds to a range, and quantising often leaves a ReLU to"
            " its end; name the file that it was quantised from"
        )
    return found


def _capabilities(ensemble: Ensemble | None, affine: Affine | None) -> frozenset[str]:
    own = {"TreeEnsemble"} if additive_scores(ensemble) else {"LinearModel"} if affine is not None else set()
    return frozenset({"Predictor", *own})


def ensemble_of(model: Any, tail: Tail) -> Ensemble | None:
    """The trees that make the scores; None where there are none, or of a kind that is only asked, never looked into."""
    ensemble = None
    if tail.activation == "trees":
        ensemble = read_ensemble(model, tail)
    elif tail.activation == "exp" and (found := trees_below(model, tail.logits)) is not None:
        ensemble = read_ensemble(model, replace(tail, node=found[0]))
        ensemble = replace(ensemble, link="exp", base=ensemble.base + found[1])
    return None if ensemble is None or ensemble.post == "OTHER" else ensemble


def seen_through(tail: Tail, asked: Adaptation, shapes: Mapping[str, Shape]) -> Tail:
    """The end of the graph, as it still is after an output was selected from and reduced.

    A sigmoid or Exp is one of each number, so that what lies below it can be selected (and its maximum taken) just as well; a
    softmax only where the classes stay together; sums and means of what is linear are linear.
    """
    activation = tail.activation
    trees = activation == "trees" and (asked.shapes_output or tail.node.op_type == "TreeEnsemble")
    if trees or (activation in ("sigmoid", "exp") and asked.reduce in ("mean", "sum")):
        activation = ""
    elif activation == "softmax":
        rank = len(shapes.get(tail.scores, (None, None)))
        axis = tail.axis % rank
        places = [position for position in range(rank) if position != asked.batch_axis]
        entries = [*asked.select, *[ALL] * (rank - 1 - len(asked.select))]
        entry = entries[places.index(axis)] if axis in places and len(entries) == rank - 1 else 0
        whole = entry == OUTPUTS or (entry == ALL and not asked.reduce)
        reduced = asked.reduce and ALL in entries
        # an old softmax over axis 1 flattens what comes after it
        activation = "softmax" if whole and not reduced and axis == rank - 1 else ""
    return tail if activation == tail.activation else replace(tail, activation=activation, logits=tail.scores)


def scores_of(tail: Tail, ensemble: Ensemble | None) -> frozenset[str]:
    """The scores that one output of a file can give."""
    if ensemble is not None:
        return ensemble.scores
    if tail.activation == "softmax":
        return frozenset({"logit", "probability", "log_odds"})
    if tail.activation in ("sigmoid", "linear"):
        logs = {"log_value"} if tail.product else set()
        return frozenset({"logit", "probability", "log_odds", "value"} | logs)
    # A plain sum may be below 0 in the next row, and so is no quantity to take the logarithm of. Of an end that nothing is
    # known of it is taken where it is asked for, and every answer is looked at, as log-odds are of probabilities.
    logs = {"log_value"} if tail.node is not None and tail.node.op_type not in _REACHES_ZERO else set()
    return frozenset({"probability", "log_odds", "value"} | logs)


def additive_scores(ensemble: Ensemble | None) -> frozenset[str]:
    """The scores in which a handle offers its trees."""
    return ensemble.additive_scores if ensemble else frozenset()


def _activation(tail: Tail, ensemble: Ensemble | None) -> str:
    if ensemble is None or ensemble.link:
        return tail.activation
    return {"LOGISTIC": "logistic", "SOFTMAX": "softmax"}.get(ensemble.post, "linear")


def _structure(model: Any, ensemble: Ensemble | None) -> str:
    if ensemble is not None:
        return "tree_ensemble"
    kinds = operator_counts(model)
    products = sum(kinds[kind] for kind in ("MatMul", "Gemm", "LinearRegressor", "LinearClassifier"))
    plain = {"MatMul", "Gemm", "LinearRegressor", "LinearClassifier", "Add", "Sub", "Sigmoid", "Softmax"}
    plain |= {"Identity", "Cast", "ZipMap", "ArgMax", "Flatten", "Normalizer", "Exp", "Reshape"}
    return "linear" if products == 1 and set(kinds) <= plain else "network"


def inferred_shapes(model: Any) -> dict[str, tuple[int | None, ...]]:
    """Tensor name to shape, as far as ONNX's own inference goes; large weights are left out of the copy."""
    import onnx

    copy = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import, functions=model.functions)
    for part in ("node", "input", "output", "value_info"):
        getattr(copy.graph, part).extend(getattr(model.graph, part))
    copy.graph.name = model.graph.name
    for tensor in model.graph.initializer:
        small = int(np.prod(tensor.dims)) <= _SMALL_TENSOR
        about = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)
        copy.graph.initializer.append(tensor if small else about)
    # where inference fails, what the file itself declares is still known
    with contextlib.suppress(onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        copy = onnx.shape_inference.infer_shapes(copy)
    values = [*copy.graph.value_info, *copy.graph.output, *copy.graph.input]
    typed = [value for value in values if value.type.tensor_type.HasField("shape")]
    found = {value.name: tensor_facts(value).shape for value in typed}
    return found | {tensor.name: tuple(tensor.dims) for tensor in copy.graph.initializer}


def widest_row(model: Any, shapes: Mapping[str, Shape]) -> int:
    """Bytes of one row of the widest tensor that a model computes, at four a number, as far as its shapes are known."""
    weights = {tensor.name for tensor in model.graph.initializer}
    computed = (shape for name, shape in shapes.items() if name not in weights and shape and shape[0] is None)
    known = [int(np.prod([size or 1 for size in shape[1:]])) for shape in computed]
    return 4 * max([*known, *_counted_words(model)], default=0)


def _counted_words(model: Any) -> Iterator[int]:
    """How many numbers texts become by counting their words: a shape that is not inferred behind a tokenizer."""
    for node in model.graph.node:
        if node.op_type == "TfIdfVectorizer":
            yield from (max(one.ints, default=0) + 1 for one in node.attribute if one.name == "ngram_indexes")


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
