"""Quantised Keras models: relevance, DeepLIFT and looked-up ids, against NumPy on the weights as numbers again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from runtimes.capabilities import Rule, Rules, View
from runtimes.formats.keras_runtime import keras
from runtimes.frameworks import tensorflow_native

pytestmark = pytest.mark.frameworks

STABILISER = 1e-3
EPSILON: Rules = (("any", Rule("epsilon", epsilon=STABILISER)),)
CONSERVING: Rules = (("any", Rule("epsilon", epsilon=1e-9)),)
TARGET = np.array([0, 1, 1])
SHAPE = Shape(rows=3, features=6, outputs=2, references=3)
IDS = np.array([[1, 2, 3, 0], [4, 4, 0, 0], [5, 1, 2, 6]], np.int32)


def drawn(model: Any, *, biases: bool = True) -> Any:
    rng = np.random.default_rng(4)
    for weight in model.weights:
        value = 0.5 * rng.normal(size=weight.shape)
        if "variance" in weight.name:
            value = np.abs(value) + 0.4
        weight.assign(value if biases or weight.name not in ("bias", "beta", "moving_mean") else 0.0 * value)
    return model


def opened(model: Any, tmp_path: Path, score: str = "value") -> Any:
    path = tmp_path / "model.keras"
    model.save(path)
    return tensorflow_native.open_model(path, View(score, "regression" if score == "value" else "classification"))


def said(model: Any, tmp_path: Path) -> str:
    model.save(tmp_path / "said.keras")
    return str(tensorflow_native.inspect(tmp_path / "said.keras").without_rule)


def rows(*shape: int, seed: int = 0) -> Any:
    return {"x": np.random.default_rng(seed).normal(size=(3, *shape)).astype(np.float32)}


def scores(handle: Any, x: Any) -> Any:
    return handle.predict(x)[np.arange(len(TARGET)), TARGET]


def total(maps: Any) -> Any:
    return maps["x"].reshape(3, -1).sum(axis=1)


def dense(k: Any) -> Any:
    layers = [
        k.layers.Dense(7, "relu", name="low"),
        k.layers.Dense(5, "tanh", name="mid"),
        k.layers.Dense(2, name="top"),
    ]
    return k.Sequential([k.Input((6,), name="x"), *layers])


def on_grid(x: Any) -> Any:
    """Each row in 127 steps either side of zero, the last one its largest number (Keras adds 1e-7 to it)."""
    step = 127 / (np.abs(x).max(axis=-1, keepdims=True) + 1e-7)
    return np.round(x * step) / step


@pytest.mark.parametrize("activations", [True, False])
def test_relevance_is_that_of_weights_made_numbers_again(activations: bool, tmp_path: Path) -> None:
    k = keras()
    model = drawn(dense(k))
    if activations:
        model.quantize("int8")
    else:
        model.quantize(config=k.quantizers.Int8QuantizationConfig(activation_quantizer=None))
    handle, x = opened(model, tmp_path), rows(6)
    kept = []  # of each layer: what its weights are multiplied by, the weights, and the sums
    given = x["x"].astype(np.float64)
    actives: list[Any] = [lambda z: np.maximum(z, 0), np.tanh, lambda z: z]
    for layer, active in zip(model.layers, actives, strict=True):
        given = on_grid(given) if activations else given
        kernel = np.asarray(layer._kernel, np.float64) / np.asarray(layer.kernel_scale, np.float64)
        assert np.abs(kernel).max() < 5 < np.abs(np.asarray(layer._kernel)).max()
        kept.append((given, kernel, given @ kernel + np.asarray(layer.bias)))
        given = active(kept[-1][2])
    np.testing.assert_allclose(handle.predict(x), given, atol=1e-5)
    relevance = np.where(np.arange(2) == TARGET[:, None], given, 0.0)
    for before, kernel, sums in reversed(kept):
        # R_i = sum over j of x_i w_ij / (z_j +- epsilon) R_j, one pair at a time
        handed = np.zeros_like(before)
        for row, i, j in np.ndindex(len(before), *kernel.shape):
            z = sums[row, j]
            owed = relevance[row, j] / (z + STABILISER * (1 if z >= 0 else -1))
            handed[row, i] += before[row, i] * kernel[i, j] * owed
        relevance = handed
    found = handle.relevance(x, TARGET, EPSILON)["x"]
    np.testing.assert_allclose(found, relevance, atol=1e-4 * np.abs(relevance).max())
    plain = handle.gradient(x, TARGET)["x"]
    assert np.abs(found - plain).max() > 0.1 * np.abs(relevance).max()


def axes_and_folds(k: Any) -> Any:
    """Scales of a kernel whose axes are not in the order of what it gives, and a normalisation above a quantised layer."""
    x = k.Input((6, 6, 2), name="x")
    y = k.layers.Reshape((4, 12))(k.layers.Conv2D(3, 3, activation="relu")(x))
    y = k.layers.EinsumDense("abc,dec->aebd", (3, 4, 5), activation="relu", bias_axes="ed")(y)
    y = k.layers.EinsumDense("aebd,edf->abf", (4, 6))(y)
    y = k.layers.ReLU()(k.layers.Dense(5)(k.layers.Flatten()(y)))
    y = k.layers.ReLU()(k.layers.BatchNormalization()(k.layers.Dense(8)(y)))
    return k.Model(x, k.layers.Dense(2)(y))


def test_relevance_is_conserved_down_to_a_convolution_below(tmp_path: Path) -> None:
    # Without biases, and the stabiliser vanishing, each sum hands on all that it was given: the model's own score.
    model = drawn(axes_and_folds(keras()), biases=False)
    float_scores = scores(opened(model, tmp_path), rows(6, 6, 2))
    model.quantize("int8")
    handle, x = opened(model, tmp_path), rows(6, 6, 2)
    found = handle.relevance(x, TARGET, CONSERVING)
    np.testing.assert_allclose(total(found), scores(handle, x), rtol=1e-3)
    # The rounding moves the score by more than the sum of relevance misses it: the score is the quantised model's.
    assert np.all(np.abs(scores(handle, x) - float_scores) > 3 * np.abs(total(found) - scores(handle, x)))


def test_with_a_vanishing_stabiliser_it_is_gradient_times_input(tmp_path: Path) -> None:
    # Of a network of ReLU and sums whose weights alone are codes: the gradient is Keras' own, with biases and folds.
    k = keras()
    model = drawn(axes_and_folds(k))
    model.quantize(config=k.quantizers.Int8QuantizationConfig(activation_quantizer=None))
    handle, x = opened(model, tmp_path), rows(6, 6, 2)
    along = handle.gradient(x, TARGET)["x"] * x["x"]
    assert np.abs(total({"x": along}) - scores(handle, x)).max() > 0.1  # what biases add
    np.testing.assert_allclose(handle.relevance(x, TARGET, CONSERVING)["x"], along, atol=1e-3 * np.abs(along).max())


def test_a_sum_over_two_axes_is_rounded_over_both(tmp_path: Path) -> None:
    k = keras()
    layer = k.layers.EinsumDense("abc,bcd->ad", 2, bias_axes="d", name="top")
    model = drawn(k.Sequential([k.Input((4, 3), name="x"), layer]))
    model.quantize("int8")
    handle, x = opened(model, tmp_path), rows(4, 3)
    kernel = np.asarray(layer._kernel, np.float64) / np.asarray(layer.kernel_scale, np.float64).reshape(1, 1, 2)
    given = on_grid(x["x"].reshape(3, 12).astype(np.float64)).reshape(3, 4, 3)
    z = np.array([(one[..., None] * kernel).sum(axis=(0, 1)) for one in given]) + np.asarray(layer.bias)
    np.testing.assert_allclose(handle.predict(x), z, atol=1e-5)
    expected = []
    for one, sums, column in zip(given, z, TARGET, strict=True):
        stable = sums[column] + (0.5 if sums[column] >= 0 else -0.5)
        expected.append(one * kernel[..., column] * sums[column] / stable)
    found = handle.relevance(x, TARGET, (("any", Rule("epsilon", epsilon=0.5)),))["x"]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rules_act_on_quantised_layers(tmp_path: Path) -> None:
    # Alpha-beta with beta 0 from a positive score, over positive activations, hands on nothing that is negative to them.
    k = keras()
    model = drawn(k.Sequential([k.Input((6,), name="x"), k.layers.Dense(7, "relu"), k.layers.Dense(2)]), biases=False)
    model.quantize("int8")
    handle, x = opened(model, tmp_path), {"x": np.abs(rows(6)["x"])}
    found = handle.relevance(x, TARGET, (("any", Rule("alpha_beta", alpha=1.0, beta=0.0, epsilon=1e-9)),))
    sign = np.sign(scores(handle, x))
    assert np.all(sign[:, None] * found["x"] >= 0)
    np.testing.assert_allclose(total(found), scores(handle, x), rtol=1e-3)
    assert np.any(sign[:, None] * handle.relevance(x, TARGET, CONSERVING)["x"] < 0)


@pytest.mark.parametrize("mode", ["int8", "int4"])
@pytest.mark.parametrize("build", [dense, axes_and_folds], ids=lambda build: build.__name__)
def test_deep_lift_adds_up_to_the_quantised_models_own_difference(build: Any, mode: str, tmp_path: Path) -> None:
    model = drawn(build(keras()))
    model.quantize(mode)
    handle, shape = opened(model, tmp_path), model.input_shape[1:]
    x, start = rows(*shape), rows(*shape, seed=1)
    found = handle.rescaled_contributions(x, start, TARGET)
    # int8 rounds the input of each layer by up to 1 / 254 of the largest element, a few times one above the other: the
    # difference is met to 3 % of what is shared out. int4 leaves inputs as they are: it is met to the digits of float32.
    size = np.abs(found["x"]).reshape(3, -1).sum(axis=1)
    missed = np.abs(total(found) - (scores(handle, x) - scores(handle, start)))
    assert np.all(missed <= (0.03 if mode == "int8" else 1e-4) * size)


@pytest.mark.parametrize("mode", ["int4", "float8"])
def test_relevance_through_other_codes_is_refused_by_name(mode: str, tmp_path: Path) -> None:
    model = drawn(dense(keras()))
    model.quantize(mode, filters="mid")
    assert said(model, tmp_path) == f"layer `mid` (Dense quantised to {mode})"
    with pytest.raises(ValueError, match=rf"no rule for layer `mid` \(Dense quantised to {mode}\)"):
        opened(model, tmp_path).relevance(rows(6), TARGET, EPSILON)


def test_deep_lift_is_refused_where_slopes_are_rounded(tmp_path: Path) -> None:
    model = drawn(dense(keras()))
    model.quantize("float8", filters="mid")
    with pytest.raises(ValueError, match=r"layer `mid` \(Dense quantised to float8\)"):
        opened(model, tmp_path).rescaled_contributions(rows(6), rows(6, seed=1), TARGET)
    # and before anything is run, from the file alone
    facts = tensorflow_native.inspect(tmp_path / "model.keras")
    assert facts.without_rescaling == "layer `mid` (Dense quantised to float8)"
    admits = catalogue()["deep_lift"].admits
    assert admits is not None
    assert "layer `mid` (Dense quantised to float8)" in str(admits(facts, SHAPE, "value"))


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_deep_lift_is_admitted_where_only_weights_are_rounded(mode: str, tmp_path: Path) -> None:
    model = drawn(dense(keras()))
    model.quantize(mode)
    opened(model, tmp_path)
    facts = tensorflow_native.inspect(tmp_path / "model.keras")
    admits = catalogue()["deep_lift"].admits
    assert admits is not None
    assert (facts.without_rescaling, admits(facts, SHAPE, "value")) == ("", None)


def test_a_quantised_layer_is_found_in_what_another_holds(tmp_path: Path) -> None:
    k = keras()
    inner = k.Sequential([k.Input((6,)), k.layers.Dense(4, dtype="float8_from_float32", name="deep")], name="within")
    model = drawn(k.Sequential([k.Input((6,), name="x"), inner, k.layers.Dense(2)]))
    opened(model, tmp_path)
    found = tensorflow_native.inspect(tmp_path / "model.keras").without_rescaling
    assert found == "layer `deep` (Dense quantised to float8)"


def test_bytes_have_a_rule_and_codes_used_as_weights_have_none(tmp_path: Path) -> None:
    k = keras()
    model = drawn(dense(k))
    model.quantize("int8")
    assert said(model, tmp_path) == ""
    at_each = [k.layers.TimeDistributed(k.layers.Dense(3, name="held"), name="each"), k.layers.Flatten()]
    timed = drawn(k.Sequential([k.Input((4, 2), name="x"), *at_each, k.layers.Dense(2)]))
    timed.quantize("int8")
    assert said(timed, tmp_path) == "layer `held` (quantised to int8) in `each`"
    with pytest.raises(ValueError, match=r"no rule for layer `each` \(TimeDistributed quantised to int8\)"):
        opened(timed, tmp_path).relevance(rows(4, 2), TARGET, EPSILON)
    x = k.Input((4, 2), name="x")
    seen = k.layers.MultiHeadAttention(1, 2, name="look")(x, x)
    attentive = k.Model(x, k.layers.Dense(2)(k.layers.Flatten()(seen)))
    assert said(attentive, tmp_path) == ""
    attentive = k.Model(x, k.layers.MultiHeadAttention(1, 2, name="look", dtype="int8_from_float32")(x, x))
    assert said(attentive, tmp_path) == "layer `look` (MultiHeadAttention quantised to int8)"


def test_low_rank_weights_that_a_file_has_merged_change_nothing(tmp_path: Path) -> None:
    # Keras merges them into the codes as it saves, and opens the layer with a product of zero.
    model = drawn(dense(keras()), biases=False)
    model.quantize("int8")
    model.get_layer("mid").enable_lora(2, b_initializer="he_uniform")
    handle, x = opened(model, tmp_path), rows(6)
    at = np.asarray(model(x["x"]))[np.arange(3), TARGET]
    np.testing.assert_allclose(scores(handle, x), at, rtol=0.05, atol=0.02)
    np.testing.assert_allclose(total(handle.relevance(x, TARGET, CONSERVING)), scores(handle, x), rtol=1e-3)


def tokens(k: Any) -> Any:
    ids = k.Input((4,), name="ids", dtype="int32")
    tables = [k.layers.Embedding(7, 12, name="table"), k.layers.Embedding(7, 5, name="other")]
    seen = k.layers.Concatenate()([table(ids) for table in tables])
    hidden = k.layers.Dense(9, "tanh", name="hidden")(k.layers.GlobalAveragePooling1D()(seen))
    return k.Model(ids, k.layers.Dense(2, "softmax", name="top")(hidden))


def path_attributions(handle: Any, ids: Any) -> Any:
    """Integrated gradients from tables of zeros, at the middles of 20 steps: gradient times what is looked up."""
    there = handle.embed({"ids": ids})
    points = [there | {"ids": there["ids"] * np.float32((step + 0.5) / 20)} for step in range(20)]
    return there["ids"] * np.mean([handle.above.gradient(point, TARGET)["ids"] for point in points], axis=0)


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_ids_are_looked_up_as_keras_does(mode: str, tmp_path: Path) -> None:
    model = drawn(tokens(keras()))
    model.quantize(mode)
    handle = opened(model, tmp_path, "logit")
    looked_up = handle.embed({"ids": IDS})
    assert (looked_up["ids"].shape, looked_up["ids"].dtype) == ((3, 4, 17), np.float32)
    np.testing.assert_allclose(handle.above.predict(looked_up), handle.predict({"ids": IDS}), atol=1e-6)
    if mode == "int8":  # a byte a number, and a scale for each id
        for name, columns in (("table", slice(0, 12)), ("other", slice(12, 17))):
            table = model.get_layer(name)
            numbers = np.asarray(table._embeddings, np.float64) / np.asarray(table.embeddings_scale)[:, None]
            np.testing.assert_allclose(looked_up["ids"][..., columns], numbers[IDS], rtol=1e-6)
    # What is given in place of the table is what the model reads.
    moved = looked_up | {"ids": looked_up["ids"] + np.float32(0.5)}
    assert np.abs(handle.above.predict(moved) - handle.above.predict(looked_up)).max() > 0.05


def test_gradients_of_a_quantised_token_model_are_near_those_of_the_model_it_was(tmp_path: Path) -> None:
    model = drawn(tokens(keras()))
    exact = opened(model, tmp_path, "logit")
    slopes, along = exact.gradient({"ids": IDS}, TARGET)["ids"], path_attributions(exact, IDS)
    model.quantize("int8")
    coded = opened(model, tmp_path, "logit")
    found, coded_along = coded.gradient({"ids": IDS}, TARGET)["ids"], path_attributions(coded, IDS)
    assert np.abs(slopes).max() > 0.01
    np.testing.assert_allclose(found, slopes, atol=0.05 * np.abs(slopes).max())
    np.testing.assert_allclose(coded_along, along, atol=0.05 * np.abs(along).max())
    nowhere = coded.embed({"ids": IDS})
    nowhere["ids"] = np.zeros_like(nowhere["ids"])
    difference = scores(coded, {"ids": IDS}) - coded.above.predict(nowhere)[np.arange(3), TARGET]
    np.testing.assert_allclose(coded_along.sum(axis=(1, 2)), difference, atol=0.02 * np.abs(coded_along).sum() / 3)


def test_relevance_above_a_quantised_table_is_conserved(tmp_path: Path) -> None:
    model = drawn(tokens(keras()), biases=False)
    model.quantize("int8")
    handle = opened(model, tmp_path, "logit")
    found = handle.above.relevance(handle.embed({"ids": IDS}), TARGET, CONSERVING)["ids"]
    np.testing.assert_allclose(found.sum(axis=(1, 2)), scores(handle, {"ids": IDS}), rtol=2e-3)
