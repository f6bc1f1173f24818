"""Graphs of any size, shaped like an audit: for tests and benchmarks of what must stay linear."""

from collections.abc import Iterator
from itertools import count, islice

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.passes.context import Context
from runtimes.target import ModelFacts, TensorFacts

COLUMNS = [f"column_{number}" for number in range(20)]
FEATURES = {"modality": "tabular", "groups": {}, "columns": COLUMNS}
METHODS = ("kernel_shap", "occlusion", "shapley_values")
"""One that draws at random, one that does not, and a request: every pass has something to do."""


def graph_of(nodes: int) -> Graph:
    """An audit before the passes with so many nodes: explanations, each judged and compared with the one before."""
    return Graph(islice(_nodes(), nodes))


def context() -> Context:
    """Facts under which `graph_of` compiles."""
    trees = ModelFacts(
        format="onnx",
        structure="tree_ensemble",
        inputs=(TensorFacts("x", (None, 20), "float32"),),
        outputs=(TensorFacts("y", (None, 2), "float32"),),
        capabilities=frozenset({"Predictor", "TreeEnsemble"}),
        scores=frozenset({"log_odds", "probability"}),
        activation="logistic",
        n_outputs=2,
        parameters=100,
        operators={"TreeEnsembleClassifier": 1},
    )
    return Context(
        models={"onnx": trees},
        score="log_odds",
        seed=7,
        rows=10,
        features=20,
        references=5,
        data_rows={"train": 100, "test": 50},
        versions={"numpy": "2.4.6", "onnxruntime": "1.32.0"},
    )


def _nodes() -> Iterator[Node]:
    yield Node("data.train", "data", {}, {"split": "train", "sha256": "t"})
    yield Node("data.test", "data", {}, {"split": "test", "sha256": "d"})
    yield Node("model.onnx", "model", {}, {"format": "onnx", "sha256": "m"})
    asked = {"score": "log_odds", "task": "classification"}
    yield Node("predict.onnx.test", "predict", {"model": "model.onnx", "data": "data.test"}, asked)
    yield Node("rows", "rows", {"data": "data.test", "predictions": "predict.onnx.test"}, {"select": {"sample": 10}})
    yield Node("references", "references", {"train": "data.train", "data": "data.test", "rows": "rows"}, {"fill": {}})
    ground = {"model": "model.onnx", "data": "data.test", "rows": "rows", "references": "references"}
    for number in count():
        step, before = f"s{number}", f"s{number - 1}"
        params = {"with": {}, "score": "log_odds", "features": FEATURES}
        method = METHODS[number % len(METHODS)]
        place = {"source": f"explain.perturbation[{number}]", "line": number + 1}
        yield Node(f"explain.{step}", "attribute", ground, params, method, step, **place)
        judged = {**ground, "attribution": f"explain.{step}"}
        yield Node(f"faithfulness.deletion.{step}", "judge", judged, params, "deletion", "deletion")
        if number:
            pair = {"first": f"explain.{before}", "second": f"explain.{step}"}
            name = f"agreement.rank_correlation.{before}~{step}"
            yield Node(name, "compare", pair, {"with": {}}, "rank_correlation", "rank_correlation")
