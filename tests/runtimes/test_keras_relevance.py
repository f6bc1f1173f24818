"""Relevance and DeepLIFT through Keras layers, against zennit, SHAP, the NumPy network and closed forms."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import Rule, RulePropagating, Rules, View
from runtimes.formats.keras_runtime import keras
from runtimes.frameworks import tensorflow_native
from runtimes.frameworks.reference import Network, ReferenceModel

pytestmark = pytest.mark.frameworks

GOLDEN = Path(__file__).parents[1] / "methods" / "golden" / "lrp_zennit.npz"
EPSILON: Rules = (("any", Rule("epsilon", epsilon=1e-7)),)
TARGET = np.array([0, 1, 1])


def opened(model: Any, tmp_path: Path, score: str = "value") -> Any:
    path = tmp_path / "model.keras"
    model.save(path)
    facts = tensorflow_native.inspect(path)
    assert "RulePropagating" in facts.capabilities
    task = "regression" if score == "value" else "classification"
    handle = tensorflow_native.open_model(path, View(score, task))
    assert isinstance(handle, RulePropagating)
    return handle


def drawn(model: Any, *, biases: bool = True) -> Any:
    """Random weights; variances positive, and biases left out where they are not wanted."""
    rng = np.random.default_rng(4)
    for weight in model.weights:
        shift = 0.4 if weight.name == "moving_variance" else 0.0
        size = 0.0 if weight.name in ("bias", "beta", "moving_mean") and not biases else 0.5
        value = size * rng.normal(size=weight.shape)
        weight.assign(np.abs(value) + shift if shift else value)
    return model


def rows_for(model: Any, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {tensor.name: rng.normal(size=(3, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs}


def total(maps: Any) -> Any:
    return sum(values.reshape(len(values), -1).sum(axis=1) for values in maps.values())


def convolutional(k: Any) -> Any:
    x = k.Input((6, 6, 2), name="x")
    y = k.layers.ReLU(6.0)(k.layers.BatchNormalization()(k.layers.Conv2D(4, 3, padding="same")(x)))
    z = k.layers.BatchNormalization()(k.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y))
    joined = k.layers.Add()([y, k.layers.ReLU()(z)])
    pooled = k.layers.MaxPooling2D(2)(k.layers.BatchNormalization()(joined))
    separable = k.layers.SeparableConv2D(3, 2, activation="relu")(pooled)
    return k.Model(x, k.layers.Dense(3)(k.layers.GlobalAveragePooling2D()(separable)))


def nested_and_shared(k: Any) -> Any:
    inner = k.Sequential([k.Input((4,)), k.layers.Dense(5), k.layers.BatchNormalization(), k.layers.ReLU()])
    x, y = k.Input((4,), name="x"), k.Input((4,), name="y")
    return k.Model([x, y], k.layers.Dense(2)(k.layers.Concatenate()([inner(x), inner(y), x])))


def series(k: Any) -> Any:
    layers = [k.layers.ZeroPadding1D(1), k.layers.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="relu")]
    layers += [k.layers.Conv1DTranspose(3, 2, strides=2), k.layers.BatchNormalization(), k.layers.ReLU()]
    layers += [k.layers.Permute((2, 1)), k.layers.EinsumDense("abc,cd->abd", (None, 4), bias_axes="d")]
    return k.Sequential([k.Input((8, 2), name="x"), *layers, k.layers.GlobalMaxPooling1D(), k.layers.Dense(2)])


def volumes(k: Any) -> Any:
    layers = [k.layers.ZeroPadding3D(1), k.layers.Conv3D(3, 3), k.layers.BatchNormalization()]
    layers += [k.layers.ReLU(), k.layers.MaxPooling3D((1, 2, 2)), k.layers.Conv3DTranspose(2, 2, activation="relu")]
    layers += [
        k.layers.UpSampling3D((2, 1, 1)),
        k.layers.AveragePooling3D(2),
        k.layers.Cropping3D(((1, 0), (0, 0), (0, 0))),
    ]
    pooled = [k.layers.GlobalAveragePooling3D(), k.layers.GlobalMaxPooling3D()]
    x = y = k.Input((4, 5, 6, 2), name="x")
    for layer in layers:
        y = layer(y)
    return k.Model(x, k.layers.Dense(2)(k.layers.Concatenate()([layer(y) for layer in pooled])))


def plain_operations(k: Any) -> Any:
    x = k.Input((5,), name="x")
    one, other = k.layers.Dense(4)(x), k.layers.Dense(4)(x)
    return k.Model(x, k.layers.Dense(2)(k.ops.relu(one + other) - k.layers.Maximum()([one, other])))


RECTIFIED = [convolutional, nested_and_shared, series, volumes, plain_operations]


@pytest.mark.parametrize("build", RECTIFIED, ids=lambda build: build.__name__)
def test_with_a_vanishing_epsilon_it_is_gradient_times_input(build: Callable[[Any], Any], tmp_path: Path) -> None:
    # Of networks of ReLU, sums and maxima (Shrikumar et al., 2016), with biases and folded normalisation.
    handle = opened(model := drawn(build(keras())), tmp_path)
    x = rows_for(model)
    slopes, found = handle.gradient(x, TARGET), handle.relevance(x, TARGET, EPSILON)
    for name in x:
        scale = np.abs(slopes[name] * x[name]).max()
        np.testing.assert_allclose(found[name], slopes[name] * x[name], atol=2e-3 * scale)


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "box", "w_squared", "flat"])
def test_without_biases_the_score_is_conserved(rule: str, tmp_path: Path) -> None:
    k = keras()
    layers = [k.layers.Rescaling(2.0), k.layers.Conv2D(4, 3), k.layers.ReLU(), k.layers.AveragePooling2D(2)]
    layers += [k.layers.Flatten(), k.layers.Dense(3)]
    model = drawn(k.Sequential([k.Input((6, 6, 2), name="x"), *layers]), biases=False)
    handle, x = opened(model, tmp_path), rows_for(model)
    rules: Rules = (("first", Rule(rule)), ("any", Rule("epsilon", epsilon=1e-9)))
    bounds = [{"x": np.full_like(x["x"], side)} for side in (-4.0, 4.0)]
    scores = handle.predict(x)[np.arange(3), TARGET]
    np.testing.assert_allclose(total(handle.relevance(x, TARGET, rules, *bounds)), scores, rtol=1e-3)


def test_biases_that_are_left_out_absorb_nothing(tmp_path: Path) -> None:
    k = keras()
    layers = [k.layers.Conv1D(4, 3, activation="tanh"), k.layers.Flatten(), k.layers.Dense(3)]
    handle = opened(model := drawn(k.Sequential([k.Input((6, 2), name="x"), *layers])), tmp_path)
    x = rows_for(model)
    scores = handle.predict(x)[np.arange(3), TARGET]
    with_biases, without = (
        total(handle.relevance(x, TARGET, (("any", Rule("gamma", biases=biases)),))) for biases in (True, False)
    )
    assert np.abs(with_biases - scores).max() > 0.1
    np.testing.assert_allclose(without, scores, rtol=1e-3)


RULES = {
    "epsilon": Rule("epsilon", epsilon=0.01),
    "gamma": Rule("gamma"),
    "z_plus": Rule("alpha_beta", alpha=1.0, beta=0.0),
    "alpha2_beta1": Rule("alpha_beta"),
}


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture(scope="module")
def handle_of_zennit(golden: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    k = keras()
    layers = [k.layers.Conv2D(4, 3, activation="relu"), k.layers.AveragePooling2D(2, 1), k.layers.Conv2D(3, 2)]
    layers += [k.layers.ReLU(), k.layers.MaxPooling2D(2, 1), k.layers.Flatten(), k.layers.Dense(5)]
    model = k.Sequential([k.Input((7, 7, 2), name="x"), *layers])
    model.set_weights([golden[name] for name in ("kernel1", "bias1", "kernel2", "bias2", "kernel3", "bias3")])
    return opened(model, tmp_path_factory.mktemp("zennit"))


@pytest.mark.parametrize("name", [*RULES, "box", "w_squared", "flat"])
def test_relevances_are_those_of_zennit(name: str, golden: dict[str, Any], handle_of_zennit: Any) -> None:
    x = {"x": golden["x"].astype(np.float32)}
    np.testing.assert_allclose(handle_of_zennit.predict(x), golden["scores"], atol=1e-5)
    bounds = [{"x": np.full_like(x["x"], side)} for side in (-4.0, 4.0)]
    rules: Rules = (("any", RULES[name]),) if name in RULES else (("first", Rule(name)), ("any", RULES["epsilon"]))
    wanted = golden[name if name in RULES else f"{name}_then_epsilon"]
    found = handle_of_zennit.relevance(x, golden["target"], rules, *bounds)["x"]
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize(
    "rule", [*RULES.values(), Rule("box"), Rule("flat"), Rule("w_squared"), Rule("gamma", biases=False)]
)
def test_dense_layers_agree_with_every_contribution_written_out(rule: Rule, tmp_path: Path) -> None:
    k = keras()
    model = drawn(k.Sequential([k.Input((6,), name="x"), k.layers.Dense(5, "tanh"), k.layers.Dense(3)]))
    weights = [weight.numpy().astype(np.float64) for weight in model.weights]
    oracle = ReferenceModel(Network((weights[0], weights[2]), (weights[1], weights[3]), ("tanh", "linear")))
    x = rows_for(model)
    bounds = [{"x": np.full_like(x["x"], side)} for side in (-4.0, 4.0)]
    rules: Rules = (("first", rule), ("any", Rule("epsilon", epsilon=0.01) if rule.name == "box" else rule))
    found = opened(model, tmp_path).relevance(x, TARGET, rules, *bounds)["x"]
    wide = [{"x": array["x"].astype(np.float64)} for array in (x, *bounds)]
    wanted = oracle.relevance(wide[0], TARGET, rules, *wide[1:])["x"]
    np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())


def test_a_gate_gets_nothing_and_its_signal_all(tmp_path: Path) -> None:
    # score = 3 (x sigmoid(5 g)): all of it is x's, however much the gate g matters.
    k = keras()
    x, g = k.Input((1,), name="x"), k.Input((1,), name="g")
    gate = k.layers.Dense(1, "sigmoid", use_bias=False)(g)
    model = k.Model([x, g], k.layers.Dense(1, use_bias=False)(k.layers.Multiply()([x, gate])))
    model.set_weights([np.array([[5.0]]), np.array([[3.0]])])
    rows = {"x": np.array([[2.0], [-1.0], [0.5]], np.float32), "g": np.array([[0.1], [0.2], [-0.3]], np.float32)}
    handle = opened(model, tmp_path)
    found = handle.relevance(rows, np.zeros(3, int), EPSILON)
    np.testing.assert_allclose(found["x"][:, 0], handle.predict(rows)[:, 0], rtol=1e-4)
    assert not found["g"].any()


def test_the_first_class_of_two_is_owed_the_opposite(tmp_path: Path) -> None:
    k = keras()
    layers = [k.layers.Dense(5, "relu"), k.layers.Dense(1, "sigmoid")]
    handle = opened(model := drawn(k.Sequential([k.Input((4,), name="x"), *layers])), tmp_path, "logit")
    x = rows_for(model)
    one, other = (handle.relevance(x, np.full(3, column), EPSILON)["x"] for column in (0, 1))
    np.testing.assert_allclose(one, -other, atol=1e-7)
    np.testing.assert_allclose(other, handle.gradient(x, np.ones(3, int))["x"] * x["x"], atol=1e-5)


def smooth(k: Any) -> Any:
    x = k.Input((5, 4), name="x")
    y = k.layers.LayerNormalization()(k.layers.Add()([x, k.layers.MultiHeadAttention(2, 3)(x, x)]))
    gate = k.layers.Dense(4, "softmax")(y)
    return k.Model(x, k.layers.Dense(3, "softmax")(k.layers.LSTM(3)(k.layers.Multiply()([y, gate]))))


@pytest.mark.parametrize("build", [*RECTIFIED, smooth], ids=lambda build: build.__name__)
def test_contributions_add_up_to_the_difference(build: Callable[[Any], Any], tmp_path: Path) -> None:
    # Whatever the layers are: where a rule is not exact, its quadrature is to about 1e-4.
    handle = opened(model := drawn(build(keras())), tmp_path, "logit" if build is smooth else "value")
    x, references = rows_for(model), rows_for(model, seed=9)
    found = handle.rescaled_contributions(x, references, TARGET)
    scores = [handle.predict(rows)[np.arange(3), TARGET] for rows in (x, references)]
    np.testing.assert_allclose(total(found), scores[0] - scores[1], atol=2e-4)


@pytest.mark.parametrize("score", ["probability", "log_odds"])
def test_contributions_explain_probabilities_too(score: str, tmp_path: Path) -> None:
    k = keras()
    model = drawn(k.Sequential([k.Input((4,), name="x"), k.layers.Dense(5, "relu"), k.layers.Dense(3, "softmax")]))
    handle, x, references = opened(model, tmp_path, score), rows_for(model), rows_for(model, seed=9)
    scores = [handle.predict(rows)[np.arange(3), TARGET] for rows in (x, references)]
    found = handle.rescaled_contributions(x, references, TARGET)
    np.testing.assert_allclose(total(found), scores[0] - scores[1], atol=1e-5)
    with pytest.raises(ValueError, match="starts from a logit"):
        handle.relevance(x, TARGET, EPSILON)


def test_contributions_are_those_of_shap(tmp_path: Path) -> None:
    import shap

    k = keras()
    layers = [
        k.layers.Conv2D(4, 3, activation="relu"),
        k.layers.MaxPooling2D(2),
        k.layers.Conv2D(3, 2, activation="tanh"),
    ]
    model = drawn(k.Sequential([k.Input((8, 8, 2), name="x"), *layers, k.layers.Flatten(), k.layers.Dense(2)]))
    handle, x, others = opened(model, tmp_path), rows_for(model)["x"], rows_for(model, seed=9)["x"]
    wanted = np.asarray(shap.DeepExplainer(model, others).shap_values(x, check_additivity=False))
    pairs = {"x": np.repeat(x, 3, axis=0)}, {"x": np.tile(others, (3, 1, 1, 1))}
    for column in (0, 1):
        found = handle.rescaled_contributions(*pairs, np.full(9, column))["x"].reshape(3, 3, 8, 8, 2).mean(axis=1)
        np.testing.assert_allclose(found, wanted[..., column], atol=1e-6)


def test_one_rectified_unit_in_closed_form(tmp_path: Path) -> None:
    # relu(2 a + b - 1): at (1, 1) it is 2, at (0, 0.5) it is 0 with a sum of -0.5; the sums differ by 2.5, of which a has
    # 2 and b 0.5, so that they get 2 * 2 / 2.5 = 1.6 and 0.4.
    k = keras()
    model = k.Sequential([k.Input((2,), name="x"), k.layers.Dense(1, "relu")])
    model.set_weights([np.array([[2.0], [1.0]]), np.array([-1.0])])
    handle = opened(model, tmp_path)
    found = handle.rescaled_contributions({"x": np.array([[1.0, 1.0]])}, {"x": np.array([[0.0, 0.5]])}, np.array([0]))
    np.testing.assert_allclose(found["x"], [[1.6, 0.4]], rtol=1e-6)


def test_work_is_counted_and_rows_are_independent(tmp_path: Path) -> None:
    handle = opened(model := drawn(nested_and_shared(keras())), tmp_path)
    x, references = rows_for(model), rows_for(model, seed=9)
    together = handle.relevance(x, TARGET, EPSILON)
    assert (handle.spent.forward, handle.spent.backward) == (0, 3)
    compared = handle.rescaled_contributions(x, references, TARGET)
    assert (handle.spent.forward, handle.spent.backward) == (3, 6)
    handle.rows_per_call = 2
    np.testing.assert_allclose(handle.relevance(x, TARGET, EPSILON)["x"], together["x"], atol=1e-6)
    np.testing.assert_allclose(handle.rescaled_contributions(x, references, TARGET)["x"], compared["x"], atol=1e-6)
    np.testing.assert_allclose(handle.gradient(x, TARGET)["x"] * x["x"], together["x"], atol=1e-4)


def test_a_layer_without_a_rule_is_named_and_refused(tmp_path: Path) -> None:
    k = keras()
    handle = opened(model := drawn(smooth(k)), tmp_path, "logit")
    assert "(Dense with softmax)" in tensorflow_native.inspect(tmp_path / "model.keras").without_rule
    with pytest.raises(ValueError, match=r"no rule for layer .*Dense"):
        handle.relevance(rows_for(model), TARGET, EPSILON)
    inner = k.Sequential([k.Input((6, 2)), k.layers.GroupNormalization(1, name="group"), k.layers.Flatten()])
    outer = k.Sequential([k.Input((6, 2), name="x"), inner, k.layers.Dense(2, "softmax")])
    opened(outer, tmp_path, "logit")
    assert tensorflow_native.inspect(tmp_path / "model.keras").without_rule == "layer `group` (GroupNormalization)"


def test_tokens_are_traced_above_their_table(tmp_path: Path) -> None:
    k = keras()
    layers = [k.layers.Embedding(7, 3), k.layers.Conv1D(4, 2, activation="relu"), k.layers.GlobalMaxPooling1D()]
    model = drawn(k.Sequential([k.Input((5,), name="ids", dtype="int32"), *layers, k.layers.Dense(2, "softmax")]))
    model.save(tmp_path / "model.keras")
    handle: Any = tensorflow_native.open_model(tmp_path / "model.keras", View("logit"))
    above: Any = handle.above
    inputs = handle.embed({"ids": np.array([[1, 2, 3, 4, 0], [6, 5, 4, 1, 2]], np.int32)})
    found = above.relevance(inputs, np.array([0, 1]), EPSILON)
    slopes = above.gradient(inputs, np.array([0, 1]))
    np.testing.assert_allclose(found["ids"], slopes["ids"] * inputs["ids"], atol=1e-5)
    assert not found["ids.ids"].any()
