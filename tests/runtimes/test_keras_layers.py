"""Looking into Keras models: names, shapes, activations and gradients of layers; rules for ReLUs; attention."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import AttentionReadable, LayerDifferentiable, Rectified, View
from runtimes.conformance import check, check_layers
from runtimes.frameworks.tensorflow_native import inspect, open_model

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def k() -> Any:
    from runtimes.formats.keras_runtime import keras

    return keras()


@pytest.fixture
def saved(k: Any, tmp_path: Path) -> Callable[..., Path]:
    def save(model: Any, suffix: str = "keras") -> Path:
        path = tmp_path / f"model.{suffix}"
        model.save(path)
        return path

    return save


def functional(k: Any) -> Any:
    x = k.Input((8, 8, 2), name="x")
    first = k.layers.Conv2D(4, 3, padding="same", activation="relu", name="first")(x)
    second = k.layers.Conv2D(4, 3, padding="same", activation="relu", name="second")(first)
    joined = k.layers.Add(name="joined")([first, second])
    pooled = k.layers.GlobalAveragePooling2D(name="pooled")(joined)
    return k.Model(x, k.layers.Dense(3, "softmax", name="end")(pooled))


def sequential(k: Any) -> Any:
    layers = [k.layers.Conv2D(4, 3, name="conv"), k.layers.ReLU(name="on"), k.layers.Flatten(name="flat")]
    return k.Sequential([k.Input((6, 6, 1), name="x"), *layers, k.layers.Dense(2, "softmax", name="end")])


def uncalled(k: Any) -> Any:
    layers = [k.layers.Conv1D(4, 3, activation="relu", name="conv"), k.layers.GlobalAveragePooling1D(name="pooled")]
    model = k.Sequential([*layers, k.layers.Dense(2, "softmax", name="end")])
    model.build((None, 9, 2))
    return model


def nested(k: Any) -> Any:
    inside = k.Input((6, 6, 1))
    body = k.Model(inside, k.layers.Conv2D(4, 3, activation="relu", name="conv")(inside), name="body")
    x = k.Input((6, 6, 1), name="x")
    return k.Model(x, k.layers.Dense(2, "softmax", name="end")(k.layers.Flatten(name="flat")(body(x))))


def sequential_in_functional(k: Any) -> Any:
    body = k.Sequential(
        [k.Input((6, 2)), k.layers.Dense(5, "relu", name="hidden"), k.layers.Dropout(0.5, name="dropout")], name="body"
    )
    x = k.Input((6, 2), name="x")
    return k.Model(x, k.layers.Dense(2, "softmax", name="end")(k.layers.Flatten(name="flat")(body(x))))


def shared(k: Any) -> Any:
    x = k.Input((4,), name="x")
    twice = k.layers.Dense(4, "tanh", name="twice")
    return k.Model(x, k.layers.Dense(2, "softmax", name="end")(twice(twice(x))))


def recurrent(k: Any) -> Any:
    x = k.Input((5, 3), name="x")
    steps = k.layers.LSTM(4, return_sequences=True, name="steps")(x)
    return k.Model(x, k.layers.Dense(2, "softmax", name="end")(k.layers.GRU(3, name="last")(steps)))


def attentive(k: Any) -> Any:
    x = k.Input((5, 8), name="x")
    first = k.layers.MultiHeadAttention(2, 4, name="first")(x, x)
    second = k.layers.MultiHeadAttention(2, 4, name="second")(first, first)
    return k.Model(x, k.layers.Dense(2, "softmax", name="end")(k.layers.GlobalAveragePooling1D(name="pooled")(second)))


def words(k: Any) -> Any:
    ids = k.Input((6,), dtype="int32", name="ids")
    seen = k.layers.Conv1D(4, 3, activation="relu", padding="same", name="conv")(
        k.layers.Embedding(9, 3, name="table")(ids)
    )
    return k.Model(ids, k.layers.Dense(2, "softmax", name="end")(k.layers.GlobalMaxPooling1D(name="top")(seen)))


def mixed(k: Any) -> Any:
    policy = k.dtype_policies.DTypePolicy("mixed_float16")
    x = k.Input((6, 6, 1), name="x")
    seen = k.layers.Flatten(name="flat")(k.layers.Conv2D(4, 3, activation="relu", dtype=policy, name="conv")(x))
    return k.Model(
        x, k.layers.Dense(2, "softmax", name="end")(k.layers.Activation("linear", dtype="float32", name="up")(seen))
    )


def rows_for(handle: Any, facts: Any, rows: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shape = (rows, *facts.inputs[0].shape[1:])
    if facts.inputs[0].dtype.startswith("int"):
        return {facts.inputs[0].name: rng.integers(0, 9, shape).astype(np.int32)}
    return {facts.inputs[0].name: rng.normal(size=shape).astype(np.float32)}


EVERY = {
    functional: ["first", "second", "joined", "pooled", "end"],
    sequential: ["conv", "on", "flat", "end"],
    uncalled: ["conv", "pooled", "end"],
    nested: ["body/conv", "body", "flat", "end"],
    sequential_in_functional: ["body/hidden", "body/dropout", "body", "flat", "end"],
    shared: ["end"],
    recurrent: ["steps", "last", "end"],
    attentive: ["first", "second", "pooled", "end"],
    words: ["table", "conv", "top", "end"],
    mixed: ["conv", "flat", "up", "end"],
}


@pytest.mark.parametrize("build", EVERY, ids=lambda build: build.__name__)
def test_every_layer_that_is_used_once_is_found_and_keeps_the_laws(k: Any, saved: Any, build: Any) -> None:
    k.utils.set_random_seed(1)
    path = saved(build(k))
    facts, handle = inspect(path), open_model(path, View("logit"))
    assert isinstance(handle, LayerDifferentiable)
    assert [layer.name for layer in handle.layers] == EVERY[build]
    inputs = rows_for(handle, facts)
    if build is words:  # no difference can be taken of ids
        assert check_layers(handle, inputs, np.random.default_rng(2)) == []
    elif build is not mixed:  # slopes in 16 bits are not those of differences
        assert check(handle, inputs, np.random.default_rng(2)) == []
    # What the file says without Keras is what is there.
    said = {layer.name: layer for layer in facts.layers if layer.used == 1}
    assert set(said) == set(EVERY[build])
    for layer in handle.layers:
        assert said[layer.name].shape in (None, layer.shape)


@pytest.mark.parametrize("build", [functional, attentive, shared], ids=lambda build: build.__name__)
def test_the_file_says_what_can_be_asked(k: Any, saved: Any, build: Any) -> None:
    capabilities = inspect(saved(build(k))).capabilities
    assert "LayerDifferentiable" in capabilities
    assert ("Rectified" in capabilities) == (build is functional)
    assert ("AttentionReadable" in capabilities) == (build is attentive)


def test_a_file_of_keras_2_says_its_layers(k: Any, saved: Any) -> None:
    path = saved(functional(k), "h5")
    assert [layer.name for layer in inspect(path).layers if layer.used == 1] == EVERY[functional]
    assert [layer.name for layer in open_model(path, View("logit")).layers] == EVERY[functional]


def test_a_shared_layer_says_how_often_it_is_used_and_is_refused(k: Any, saved: Any) -> None:
    path = saved(shared(k))
    assert {layer.name: layer.used for layer in inspect(path).layers} == {"x": 0, "twice": 2, "end": 1}
    with pytest.raises(ValueError, match="no layer `twice` with one output"):
        open_model(path, View("logit")).activations({"x": np.zeros((1, 4), np.float32)}, "twice")


def test_the_gradient_at_a_layer_is_that_of_all_that_follows(k: Any, saved: Any) -> None:
    # Above `joined`: the mean over 64 places, then the dense layer's weights. So each place has weight / 64.
    model = functional(k)
    weights = model.get_layer("end").get_weights()[0]
    handle = open_model(saved(model), View("logit"))
    inputs = {"x": np.random.default_rng(0).normal(size=(3, 8, 8, 2)).astype(np.float32)}
    given, slopes = handle.layer_gradient(inputs, np.array([0, 1, 2]), "joined")
    np.testing.assert_allclose(slopes, np.broadcast_to(weights.T[:, None, None] / 64, given.shape), rtol=1e-5)
    # `first` is read beside `second`: its gradient goes both ways, so it is not that of `joined` alone.
    both = handle.layer_gradient(inputs, np.array([0, 1, 2]), "first")[1]
    alone = handle.layer_gradient(inputs, np.array([0, 1, 2]), "second")[1]
    np.testing.assert_allclose(alone, slopes, rtol=1e-5)
    assert np.abs(both - slopes).max() > 1e-4


def test_a_layer_that_passes_its_input_on_is_not_mistaken_for_it(k: Any, saved: Any) -> None:
    # score = dropout(x) w + x v; when predicting, dropout gives x itself, and its gradient is w, not w + v.
    x = k.Input((3,), name="x")
    left = k.layers.Dense(2, use_bias=False, name="left")(k.layers.Dropout(0.5, name="drop")(x))
    right = k.layers.Dense(2, use_bias=False, name="right")(x)
    model = k.Model(x, k.layers.Add(name="end")([left, right]))
    weights = model.get_layer("left").get_weights()[0]
    handle = open_model(saved(model), View("value", "regression"))
    _, slopes = handle.layer_gradient({"x": np.ones((2, 3), np.float32)}, np.array([0, 1]), "drop")
    np.testing.assert_allclose(slopes, weights.T, rtol=1e-6)


def test_a_layer_of_another_output_has_no_gradient(k: Any, saved: Any) -> None:
    x = k.Input((3,), name="x")
    one = k.layers.Dense(2, "softmax", name="one")(k.layers.Dense(4, "relu", name="mine")(x))
    other = k.layers.Dense(1, name="other")(k.layers.Dense(4, "relu", name="yours")(x))
    handle = open_model(saved(k.Model(x, [one, other])), View("logit", output="one"))
    inputs = {"x": np.ones((2, 3), np.float32)}
    assert handle.layer_gradient(inputs, np.array([0, 1]), "yours")[1].tolist() == np.zeros((2, 4)).tolist()
    assert np.abs(handle.layer_gradient(inputs, np.array([0, 1]), "mine")[1]).max() > 0


def test_the_score_of_the_view_is_what_is_differentiated(k: Any, saved: Any) -> None:
    path = saved(sequential(k))
    inputs = {"x": np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype(np.float32)}
    target = np.array([0, 1])
    given = {}
    for score in ("logit", "probability", "log_odds"):
        handle = open_model(path, View(score))
        given[score] = handle.layer_gradient(inputs, target, "flat")[1]
        p = open_model(path, View("probability")).predict(inputs)[np.arange(2), target]
    # d p / d a = p (1 - p) d log_odds / d a
    np.testing.assert_allclose(given["probability"], (p * (1 - p))[:, None] * given["log_odds"], rtol=1e-4, atol=1e-8)
    assert np.abs(given["logit"] - given["log_odds"]).max() > 1e-4


def test_no_rows_give_arrays_of_no_rows(k: Any, saved: Any) -> None:
    handle = open_model(saved(sequential(k)), View("logit"))
    none = {"x": np.zeros((0, 6, 6, 1), np.float32)}
    assert handle.activations(none, "conv").shape == (0, 4, 4, 4)
    assert [side.shape for side in handle.layer_gradient(none, np.zeros(0, int), "conv")] == [(0, 4, 4, 4)] * 2
    assert handle.rectified_gradient(none, np.zeros(0, int), "guided")["x"].shape == (0, 6, 6, 1)


def test_rows_that_fill_no_whole_call_are_filled_up_and_cut_off_again(k: Any, saved: Any) -> None:
    # Deconvolution is traced for a fixed number of rows: seven rows are five and two of five. Every unit is active, so
    # that by hand it is the positive part of the end's weights, spread over the window that each unit reads.
    conv = k.layers.Conv2D(1, 2, activation="relu", use_bias=False, name="conv")
    model = k.Sequential([k.Input((3, 3, 1), name="x"), conv, k.layers.Flatten(), k.layers.Dense(2, name="end")])
    end = np.array([[1.0, -1.0], [2.0, 3.0], [-3.0, 2.0], [0.0, 1.0]])
    model.set_weights([np.ones((2, 2, 1, 1)), end, np.zeros(2)])
    handle = open_model(saved(model), View("logit"))
    handle.rows_per_call = 5
    rows, target = {"x": np.ones((7, 3, 3, 1), np.float32)}, np.arange(7) % 2
    found = handle.rectified_gradient(rows, target, "deconvolution")["x"][..., 0]
    expected = np.array([[[1, 3, 2], [1, 3, 2], [0, 0, 0]], [[0, 3, 3], [2, 6, 4], [2, 3, 1]]])
    assert found.tolist() == expected[target].tolist()
    assert handle.spent.backward == 7


def test_rules_for_rectifiers_by_hand(k: Any, saved: Any) -> None:
    # z = x W, a = relu6(z), score = a v. With x = (1, 1): z = (2, -1, 7, 1), so that the third is cut off above.
    # By hand, through v = (3, 4, 5, -2):
    #   plain          W (3, 0, 0, -2);  guided  W (3, 0, 0, 0);  deconvolution  W (3, 4, 5, 0)
    first = np.array([[1.0, -1.0, 3.0, 0.5], [1.0, 0.0, 4.0, 0.5]])
    for activation in (k.activations.relu6, k.layers.ReLU(max_value=6.0)):
        on = [activation] if isinstance(activation, k.layers.Layer) else []
        word = None if on else activation
        dense = k.layers.Dense(4, activation=word, use_bias=False, name="hidden")
        end = k.layers.Dense(1, use_bias=False, name="end")
        model = k.Sequential([k.Input((2,), name="x"), dense, *on, end])
        model.set_weights([first, np.array([[3.0], [4.0], [5.0], [-2.0]])])
        handle = open_model(saved(model), View("value", "regression"))
        assert isinstance(handle, Rectified)
        assert "Rectified" in inspect(saved(model)).capabilities
        inputs, target = {"x": np.ones((1, 2), np.float32)}, np.array([0])
        assert handle.gradient(inputs, target)["x"][0].tolist() == (first @ [3, 0, 0, -2]).tolist()
        assert handle.rectified_gradient(inputs, target, "guided")["x"][0].tolist() == (first @ [3, 0, 0, 0]).tolist()
        found = handle.rectified_gradient(inputs, target, "deconvolution")["x"][0]
        assert found.tolist() == (first @ [3, 4, 5, 0]).tolist()
        with pytest.raises(ValueError, match="the rules are"):
            handle.rectified_gradient(inputs, target, "other")


def test_rectifiers_inside_nested_models_cells_and_operations_are_found(k: Any, saved: Any) -> None:
    inside = k.Sequential([k.Input((4, 3)), k.layers.SimpleRNN(3, "relu", name="cell")], name="inside")
    x = k.Input((4, 3), name="x")
    model = k.Model(x, k.layers.Dense(1, name="end")(k.ops.relu(k.layers.Dense(3, name="before")(inside(x)))))
    handle = open_model(saved(model), View("value", "regression"))
    inputs = {"x": np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)}
    plain, guided = (
        handle.gradient(inputs, np.zeros(2, int)),
        handle.rectified_gradient(inputs, np.zeros(2, int), "guided"),
    )
    assert np.abs(plain["x"] - guided["x"]).max() > 0
    from runtimes.formats.keras_rectified import rectifiers

    kinds = {type(thing).__name__ for thing, _, _ in rectifiers(handle._model, "guided")}
    assert kinds == {"SimpleRNNCell", "Relu"}


def test_attention_is_read_where_it_is(k: Any, saved: Any) -> None:
    model = attentive(k)
    handle = open_model(saved(model), View("logit"))
    assert isinstance(handle, AttentionReadable)
    inputs = {"x": np.random.default_rng(1).normal(size=(3, 5, 8)).astype(np.float32)}
    found = handle.attention(inputs)
    assert list(found) == ["first", "second"]
    _, scores = model.get_layer("first")(inputs["x"], inputs["x"], return_attention_scores=True)
    np.testing.assert_allclose(found["first"], scores, atol=1e-6)
    assert handle.spent.forward == 3
