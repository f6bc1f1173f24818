"""ONNX Runtime's views, and tree ensembles against ONNX Runtime's own answers."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from runtimes import datasets
from runtimes.capabilities import Differentiable, TreeEnsemble, View
from runtimes.conformance import check
from runtimes.formats.onnx_trees import predict_trees
from runtimes.frameworks import onnx_runtime
from runtimes.target import ModelFileError

pytestmark = pytest.mark.frameworks

DATA = Path(__file__).parents[2] / "specs" / "data"


@pytest.fixture(scope="module")
def credit() -> np.ndarray:
    arrays = datasets.read(DATA / "german-credit-test.csv").arrays
    return np.stack([array for name, array in arrays.items() if name != "bad_risk"], axis=1).astype(np.float32)


@pytest.mark.parametrize("score", ["logit", "log_odds"])
def test_boosted_trees_add_up_to_the_models_own_scores(models: Path, credit: np.ndarray, score: str) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(models / "german-credit-trees.onnx"))
    p = session.run(["probabilities"], {"X": credit})[0][:, 1].astype(np.float64)
    handle = onnx_runtime.open_model(models / "german-credit-trees.onnx", View(score))
    assert isinstance(handle, TreeEnsemble)
    scores = handle.predict({"X": credit})
    assert scores.shape == (300, 2)
    np.testing.assert_allclose(scores[:, 1], np.log(p / (1 - p)), atol=1e-5)
    np.testing.assert_allclose(scores[:, 0], -scores[:, 1])
    np.testing.assert_allclose(predict_trees(handle.trees, handle.base, credit.astype(np.float64)), scores, atol=1e-5)


def test_boosted_trees_are_not_offered_where_they_do_not_add_up(models: Path) -> None:
    handle = onnx_runtime.open_model(models / "german-credit-trees.onnx", View("probability"))
    assert not isinstance(handle, TreeEnsemble)
    assert not isinstance(handle, Differentiable)


def save(tmp_path: Path, model: Any, rows: np.ndarray, **options: Any) -> Path:
    convert = pytest.importorskip("skl2onnx").to_onnx
    kind = {id(model): options} if options else None
    proto = convert(model, rows[:1].astype(np.float32), options=kind, target_opset={"": 17, "ai.onnx.ml": 3})
    path = tmp_path / "made.onnx"
    onnx.save(proto, path)
    return path


def problem(classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 5)).astype(np.float32)
    y = np.digitize(x[:, 0] + x[:, 1] * x[:, 2] + 0.3 * rng.normal(size=300), np.linspace(-0.7, 0.7, classes - 1))
    return x, y


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("zipmap", [True, False])
def test_forests_add_up_as_probabilities(tmp_path: Path, classes: int, zipmap: bool) -> None:
    from sklearn.ensemble import RandomForestClassifier

    x, y = problem(classes)
    forest = RandomForestClassifier(12, max_depth=5, random_state=0).fit(x, y)
    path = save(tmp_path, forest, x, zipmap=zipmap)
    facts = onnx_runtime.inspect(path)
    assert facts.scores == {"probability", "log_odds"}
    assert (facts.n_outputs, facts.structure) == (classes, "tree_ensemble")
    handle = onnx_runtime.open_model(path, View("probability"))
    assert isinstance(handle, TreeEnsemble)
    name = handle.input_name
    np.testing.assert_allclose(handle.predict({name: x}), forest.predict_proba(x), atol=1e-5)
    np.testing.assert_allclose(
        predict_trees(handle.trees, handle.base, x.astype(np.float64)), handle.predict({name: x}), atol=1e-5
    )
    assert check(handle, {name: x[:9]}, np.random.default_rng(0)) == []
    assert not isinstance(onnx_runtime.open_model(path, View("log_odds")), TreeEnsemble)


def test_boosting_of_three_classes_adds_up_below_the_softmax(tmp_path: Path) -> None:
    from sklearn.ensemble import GradientBoostingClassifier

    x, y = problem(3)
    boosted = GradientBoostingClassifier(n_estimators=10, max_depth=2, random_state=0).fit(x, y)
    path = save(tmp_path, boosted, x, zipmap=False)
    handle = onnx_runtime.open_model(path, View("logit"))
    assert isinstance(handle, TreeEnsemble)
    scores = handle.predict({handle.input_name: x})
    np.testing.assert_allclose(scores, boosted.decision_function(x), atol=1e-5)
    np.testing.assert_allclose(predict_trees(handle.trees, handle.base, x.astype(np.float64)), scores, atol=1e-5)
    odds = onnx_runtime.open_model(path, View("log_odds"))
    assert not isinstance(odds, TreeEnsemble)
    p = boosted.predict_proba(x)
    np.testing.assert_allclose(odds.predict({handle.input_name: x}), np.log(p / (1 - p)), atol=1e-4)


@pytest.mark.parametrize("kind", ["RandomForestRegressor", "GradientBoostingRegressor"])
def test_regressors_add_up_as_values(tmp_path: Path, kind: str) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    x, _ = problem(2)
    target = x[:, 0] ** 2 + x[:, 1]
    model = getattr(ensemble, kind)(n_estimators=8, max_depth=3, random_state=0).fit(x, target)
    handle = onnx_runtime.open_model(save(tmp_path, model, x), View("value", "regression"))
    assert isinstance(handle, TreeEnsemble)
    scores = handle.predict({handle.input_name: x})
    np.testing.assert_allclose(scores[:, 0], model.predict(x), atol=1e-5)
    np.testing.assert_allclose(predict_trees(handle.trees, handle.base, x.astype(np.float64)), scores, atol=1e-5)


def stump(tmp_path: Path, mode: str, missing: int = 0, **more: Any) -> Path:
    """One test `x0 <mode> 0.5`: 10 where it holds, 20 where not."""
    values: dict[str, Any] = {
        "n_targets": 1,
        "nodes_treeids": [0, 0, 0],
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [0, 0, 0],
        "nodes_values": [0.5, 0.0, 0.0],
        "nodes_modes": [mode, "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_missing_value_tracks_true": [missing, 0, 0],
        "target_treeids": [0, 0],
        "target_nodeids": [1, 2],
        "target_ids": [0, 0],
        "target_weights": [10.0, 20.0],
    }
    node = helper.make_node("TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", **{**values, **more})
    graph = helper.make_graph(
        [node],
        "stump",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    path = tmp_path / "stump.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


EDGE = np.array([[0.5], [np.nextafter(np.float32(0.5), np.float32(0))], [0.6], [0.4], [np.nan]], np.float32)


@pytest.mark.parametrize("mode", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"])
@pytest.mark.parametrize("missing", [0, 1])
def test_every_test_and_missing_value_goes_where_onnx_runtime_sends_it(tmp_path: Path, mode: str, missing: int) -> None:
    handle = onnx_runtime.open_model(stump(tmp_path, mode, missing), View("value", "regression"))
    assert isinstance(handle, TreeEnsemble)
    np.testing.assert_array_equal(
        predict_trees(handle.trees, handle.base, EDGE.astype(np.float64)), handle.predict({"x": EDGE})
    )


@pytest.mark.parametrize(
    "more",
    [{"aggregate_function": "MAX"}, {"aggregate_function": "MIN"}, {"post_transform": "LOGISTIC"}],
)
def test_ensembles_that_do_not_add_up_offer_no_trees(tmp_path: Path, more: dict[str, Any]) -> None:
    path = stump(tmp_path, "BRANCH_LEQ", **more)
    assert onnx_runtime.inspect(path).capabilities == {"Predictor"}
    assert not isinstance(onnx_runtime.open_model(path, View("value", "regression")), TreeEnsemble)


def test_averages_and_base_values_add_up(tmp_path: Path) -> None:
    path = stump(tmp_path, "BRANCH_LEQ", aggregate_function="AVERAGE", base_values=[3.0])
    handle = onnx_runtime.open_model(path, View("value", "regression"))
    assert isinstance(handle, TreeEnsemble)
    np.testing.assert_array_equal(handle.predict({"x": EDGE[:3]}), [[13.0], [13.0], [23.0]])
    np.testing.assert_array_equal(predict_trees(handle.trees, handle.base, EDGE[:3].astype(float))[:, 0], [13, 13, 23])


def test_a_fixed_number_of_rows_is_padded(tmp_path: Path, models: Path) -> None:
    model = onnx.load(models / "german-credit.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 8
    path = tmp_path / "fixed.onnx"
    onnx.save(model, path)
    rows = np.random.default_rng(0).normal(size=(13, 61))
    fixed = onnx_runtime.open_model(path, View("logit"))
    free = onnx_runtime.open_model(models / "german-credit.onnx", View("logit"))
    assert fixed.rows_per_call == 8
    np.testing.assert_allclose(fixed.predict({"features": rows}), free.predict({"features": rows}), atol=1e-6)
    assert fixed.spent.forward == 13


def test_logits_are_read_below_the_softmax(models: Path, digits: datasets.RawData) -> None:
    x = {"image": digits.arrays["x"][:50] / 255.0}
    logits, p, odds = (
        onnx_runtime.open_model(models / "digits.onnx", View(score)).predict(x)
        for score in ("logit", "probability", "log_odds")
    )
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(shifted / shifted.sum(axis=1, keepdims=True), p, atol=1e-6)
    middle = (p > 1e-3) & (p < 1 - 1e-3)
    assert middle.any()
    np.testing.assert_allclose(odds[middle], np.log(p[middle] / (1 - p[middle])), atol=1e-3)
    assert np.isfinite(odds).all()


def test_an_output_that_is_no_probability_is_said_so(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"])
    shape = [None, 2]
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    path = tmp_path / "relu.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    handle = onnx_runtime.open_model(path, View("probability"))
    with pytest.raises(ModelFileError, match=r"row 1 holds \[3.0, 0.0\]"):
        handle.predict({"x": np.array([[0.5, 0.5], [3.0, -1.0]])})
    with pytest.raises(ModelFileError, match=r"row 0 sums to 0\.75"):
        handle.predict({"x": np.array([[0.5, 0.25]])})


def test_scores_and_outputs_that_are_not_there_are_named(models: Path) -> None:
    with pytest.raises(ModelFileError) as caught:
        onnx_runtime.open_model(models / "digits.onnx", View("value", "regression"))
    assert caught.value.help == "it can give log_odds, logit, probability"
    with pytest.raises(ModelFileError, match="has no output `nope`"):
        onnx_runtime.open_model(models / "digits.onnx", View("logit", output="nope"))
    with pytest.raises(ModelFileError, match="has no output 3"):
        onnx_runtime.open_model(models / "digits.onnx", View("logit", output=3))


def test_mixed_inputs_of_words_and_numbers(tmp_path: Path) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    import pandas as pd
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(0)
    table = pd.DataFrame({"age": rng.normal(40, 10, 80), "job": rng.choice(["clerk", "smith"], 80)})
    y = np.where((table.age > 40) ^ (table.job == "smith"), "bad", "good")
    columns = ColumnTransformer([("n", StandardScaler(), ["age"]), ("c", OneHotEncoder(), ["job"])])
    model = make_pipeline(columns, LogisticRegression()).fit(table, y)
    types = [("age", FloatTensorType([None, 1])), ("job", StringTensorType([None, 1]))]
    proto = skl2onnx.convert_sklearn(model, initial_types=types, target_opset={"": 17, "ai.onnx.ml": 3})
    path = tmp_path / "mixed.onnx"
    onnx.save(proto, path)
    facts = onnx_runtime.inspect(path)
    assert [tensor.dtype for tensor in facts.inputs] == ["float32", "str"]
    handle = onnx_runtime.open_model(path, View("probability"))
    inputs = {"age": table[["age"]].to_numpy(), "job": table[["job"]].to_numpy(object)}
    np.testing.assert_allclose(handle.predict(inputs), model.predict_proba(table), atol=1e-5)
