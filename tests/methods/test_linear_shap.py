"""The closed form of linear models: coefficients read from ONNX files, and what they are worth."""

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from runtimes.capabilities import LinearModel, View

METHOD = "linear_shap"


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(300, 6)) * [1, 10, 0.1, 1, 5, 1] + [0, 100, 0, -3, 2, 0]).astype(np.float32)
    y = x[:, 0] + 0.05 * x[:, 1] - 4 * x[:, 2] + 0.3 * rng.normal(size=300)
    return x, y


def open_scikit(model, x, path, score, task="classification"):
    skl2onnx = pytest.importorskip("skl2onnx")
    from runtimes.frameworks import onnx_runtime

    options = {"zipmap": False} if hasattr(model, "predict_proba") else None
    path.write_bytes(skl2onnx.to_onnx(model, x[:1], options=options).SerializeToString())
    return onnx_runtime.inspect(path), onnx_runtime.open_model(path, View(score, task))


def rows_of(x, name, target=0):
    features = FeatureMap(("ab", "c", "d", "e"), {name: np.array([0, 0, 1, 2, 3, FIXED])})
    return Rows({name: x[:4]}, np.full(4, target), References({name: x[None, 50:70]}), features)


def explained(facts, handle, x, score, target=0):
    """Admitted; no model row asked by the method; equal to every coalition asked of ONNX Runtime."""
    method, exact = catalogue()[METHOD], catalogue()["exact_shapley"]
    assert isinstance(handle, LinearModel)
    assert method.admits(facts, Shape(4, 4), score) is None
    rows = rows_of(x, handle.input_name, target)
    before = handle.spent.forward
    values = method.function(handle, rows, method.params()).values
    assert handle.spent.forward == before
    asked = attribute(exact, handle, rows, exact.params())
    np.testing.assert_allclose(values, asked.values, atol=2e-5 * max(1.0, np.abs(asked.values).max()))
    assert np.abs(values).max() > 0.01
    return values


@pytest.mark.frameworks
def test_a_scikit_regression_behind_a_scaler_is_read_from_the_file(table, tmp_path):
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = table
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(x, y)
    facts, handle = open_scikit(model, x, tmp_path / "m.onnx", "value", "regression")
    # On the raw columns the coefficient is that of the scaled ones over the scale.
    expected = model[1].coef_ / model[0].scale_
    np.testing.assert_allclose(handle.coefficients[:, 0], expected, rtol=1e-5)
    found = explained(facts, handle, x, "value")
    # Feature c is column 2: coefficient times (x - mean of the references).
    np.testing.assert_allclose(found[:, 1], expected[2] * (x[:4, 2] - x[50:70, 2].mean()), rtol=1e-4)


@pytest.mark.frameworks
@pytest.mark.parametrize("target", [0, 1])
def test_a_logistic_regression_is_linear_in_log_odds_and_nowhere_else(table, tmp_path, target):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = table
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, y > np.median(y))
    facts, handle = open_scikit(model, x, tmp_path / "m.onnx", "log_odds")
    explained(facts, handle, x, "log_odds", target)
    reason = catalogue()[METHOD].admits(facts, Shape(4, 4), "probability")
    assert reason == "this model is not linear in probability; explain log_odds"
    from runtimes.frameworks import onnx_runtime

    assert not isinstance(onnx_runtime.open_model(tmp_path / "m.onnx", View("probability")), LinearModel)


@pytest.mark.frameworks
@pytest.mark.parametrize("target", [0, 2])
@pytest.mark.parametrize("zipmap", [True, False])
def test_three_classes_of_one_softmax_are_linear_in_the_logits_that_the_file_hides(table, tmp_path, zipmap, target):
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    from runtimes.frameworks import onnx_runtime

    x, y = table
    x = x / np.float32([1, 10, 0.1, 1, 5, 1])
    model = LogisticRegression(max_iter=500).fit(x, np.digitize(y, [4, 6]))
    path = tmp_path / "m.onnx"
    path.write_bytes(skl2onnx.to_onnx(model, x[:1], options={"zipmap": zipmap}).SerializeToString())
    facts, handle = onnx_runtime.inspect(path), onnx_runtime.open_model(path, View("logit"))
    assert facts.structure == "linear"
    assert facts.scores == {"logit", "probability", "log_odds"}
    assert facts.classes == ("0", "1", "2")
    np.testing.assert_allclose(handle.coefficients, model.coef_.T, rtol=1e-5)
    np.testing.assert_allclose(handle.predict({handle.input_name: x}), model.decision_function(x), atol=1e-4)
    explained(facts, handle, x, "logit", target)
    # Every other score is what it was: probabilities from the file itself, log-odds not linear.
    for score in ("probability", "log_odds"):
        other = onnx_runtime.open_model(path, View(score))
        assert not isinstance(other, LinearModel)
        said = model.predict_proba(x)
        wanted = said if score == "probability" else np.log(said / (1 - said))
        np.testing.assert_allclose(other.predict({handle.input_name: x}), wanted, rtol=1e-3, atol=1e-5)
    assert catalogue()[METHOD].admits(facts, Shape(4, 4), "log_odds") == (
        "this model is not linear in log_odds; explain logit"
    )


def graph(nodes, path, **weights):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    held = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()]
    made = helper.make_graph(
        [helper.make_node(*node[:3], **(node[3] if len(node) > 3 else {})) for node in nodes],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None])],
        held,
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


RNG = np.random.default_rng(4)
WEIGHTS = RNG.normal(size=(6, 3))


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("nodes", "score", "target"),
    [
        ([("Gemm", ["x", "t", "b"], ["y"], {"transB": 1, "alpha": 0.5, "beta": 2.0})], "value", 2),
        ([("Sub", ["x", "m"], ["c"]), ("Div", ["c", "s"], ["d"]), ("MatMul", ["d", "w"], ["e"]),
          ("Add", ["b", "e"], ["y"])], "value", 1),
        ([("Sub", ["m", "x"], ["c"]), ("Mul", ["s", "c"], ["d"]), ("Gemm", ["d", "w", "b"], ["z"]),
          ("Softmax", ["z"], ["y"])], "logit", 2),
        ([("Gemm", ["x", "one"], ["z"]), ("Sigmoid", ["z"], ["y"])], "log_odds", 0),
        ([("Gemm", ["x", "one"], ["z"]), ("Sigmoid", ["z"], ["y"])], "logit", 1),
        ([("Gemm", ["x", "two"], ["z"]), ("Softmax", ["z"], ["y"])], "log_odds", 1),
    ],
)  # fmt: skip
def test_every_affine_step_is_followed(table, tmp_path, nodes, score, target):
    from runtimes.frameworks import onnx_runtime

    held = {"w": WEIGHTS, "t": WEIGHTS.T, "b": [1.0, -2.0, 3.0], "m": np.arange(6.0), "s": np.arange(1.0, 7.0)}
    held |= {"one": WEIGHTS[:, :1] * 0.1, "two": WEIGHTS[:, :2] * 0.1}
    read = {name for node in nodes for name in node[1]}
    path = graph(nodes, tmp_path / "m.onnx", **{name: value for name, value in held.items() if name in read})
    x = table[0] / np.float32([1, 30, 0.1, 1, 5, 1])
    task = "regression" if score == "value" else "classification"
    explained(onnx_runtime.inspect(path), onnx_runtime.open_model(path, View(score, task)), x, score, target)


@pytest.mark.frameworks
@pytest.mark.parametrize(
    "nodes",
    [
        [("Relu", ["x"], ["r"]), ("Gemm", ["r", "w"], ["y"])],
        [("Mul", ["x", "x"], ["r"]), ("MatMul", ["r", "w"], ["y"])],
        [("Gemm", ["x", "w"], ["r"]), ("Clip", ["r"], ["c"]), ("Gemm", ["c", "v"], ["y"])],
    ],
)
def test_a_graph_with_any_other_step_is_not_linear(tmp_path, nodes):
    from runtimes.frameworks import onnx_runtime

    held = {"w": WEIGHTS, "v": np.eye(3)}
    read = {name for node in nodes for name in node[1]}
    path = graph(nodes, tmp_path / "m.onnx", **{name: value for name, value in held.items() if name in read})
    assert "LinearModel" not in onnx_runtime.inspect(path).capabilities
    assert not isinstance(onnx_runtime.open_model(path, View("value", "regression")), LinearModel)
