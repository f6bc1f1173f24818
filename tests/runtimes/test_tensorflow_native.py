"""Keras models on TensorFlow: every way to end a network, gradients, and training from the file's declaration."""

import gc
import io
import math
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import Differentiable, Labelled, Recipe, Trainable, View
from runtimes.conformance import check
from runtimes.formats.keras_runtime import keras
from runtimes.frameworks import tensorflow_native
from runtimes.target import ModelFileError

pytestmark = pytest.mark.frameworks

ROWS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def dense_with_activation(k: Any) -> Any:
    return k.Sequential([k.Input((4,), name="x"), k.layers.Dense(3, "tanh"), k.layers.Dense(3, "softmax")])


def softmax_layer(k: Any) -> Any:
    return k.Sequential([k.Input((4,), name="x"), k.layers.Dense(3), k.layers.Softmax()])


def activation_layer(k: Any) -> Any:
    return k.Sequential([k.Input((4,), name="x"), k.layers.Dense(3), k.layers.Activation("softmax")])


def functional(k: Any) -> Any:
    x = k.Input((4,), name="x")
    hidden = k.layers.Dense(4, "softplus")(x)
    return k.Model(x, k.layers.Dense(3, "softmax", name="end")(k.layers.Add()([hidden, x])))


def operation_at_the_end(k: Any) -> Any:
    x = k.Input((4,), name="x")
    return k.Model(x, k.ops.softmax(k.layers.Dense(3)(x) * 2.0))


def nested(k: Any) -> Any:
    x = k.Input((4,), name="x")
    inner = k.Sequential([k.Input((4,)), k.layers.Dense(3, "softmax")])
    return k.Model(x, inner(k.layers.Dense(4, "tanh")(x)))


def sigmoid_column(k: Any) -> Any:
    return k.Sequential([k.Input((4,), name="x"), k.layers.Dense(3, "tanh"), k.layers.Dense(1, "sigmoid")])


def called_once(k: Any) -> Any:
    model = k.Sequential([k.layers.Dense(3, "tanh"), k.layers.Dense(3, "softmax")])
    model(np.zeros((2, 4), np.float32))
    return model


ENDS = [
    dense_with_activation,
    softmax_layer,
    activation_layer,
    functional,
    operation_at_the_end,
    nested,
    sigmoid_column,
    called_once,
]


@pytest.mark.parametrize("build", ENDS, ids=lambda build: build.__name__)
def test_every_end_gives_its_scores(tmp_path: Path, build: Any) -> None:
    keras().utils.set_random_seed(3)
    path = tmp_path / "model.keras"
    model = build(keras())
    model.save(path)
    facts = tensorflow_native.inspect(path)
    assert facts.scores >= {"logit", "probability", "log_odds"}
    assert facts.parameters == model.count_params()
    x = {facts.inputs[0].name: ROWS}
    found = {}
    for score in ("logit", "probability", "log_odds"):
        handle = tensorflow_native.open_model(path, View(score))
        assert isinstance(handle, Differentiable)
        assert check(handle, x, np.random.default_rng(1)) == []
        found[score] = handle.predict(x)
    assert found["logit"].shape == (5, facts.n_outputs)
    own = np.asarray(model(ROWS), np.float64)
    p = found["probability"]
    np.testing.assert_allclose(p[:, -own.shape[1] :], own, atol=1e-6)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(found["log_odds"], np.log(p / (1 - p)), atol=1e-4)
    # A softmax's logits are known up to a constant of the row, a sigmoid's are its log-odds.
    scaled = np.exp(found["logit"]) if own.shape[1] > 1 else 1 / (1 + np.exp(-found["logit"]))
    np.testing.assert_allclose(scaled / scaled.sum(axis=1, keepdims=True), p, atol=1e-5)


def test_a_last_layer_that_is_used_twice_keeps_its_activation(tmp_path: Path) -> None:
    k = keras()
    x = k.Input((4,), name="x")
    twice = k.layers.Dense(4, "sigmoid")
    k.Model(x, twice(twice(x))).save(tmp_path / "twice.keras")
    assert "logit" not in tensorflow_native.inspect(tmp_path / "twice.keras").scores
    with pytest.raises(ModelFileError, match="cannot give the score `logit`"):
        tensorflow_native.open_model(tmp_path / "twice.keras", View("logit"))


def test_regression_values_have_the_gradient_of_a_product(tmp_path: Path) -> None:
    k = keras()
    model = k.Sequential([k.Input((4,), name="x"), k.layers.Dense(1)])
    model.save(tmp_path / "line.keras")
    handle = tensorflow_native.open_model(tmp_path / "line.keras", View("value", "regression"))
    weights, bias = model.get_weights()
    assert isinstance(handle, Differentiable)
    np.testing.assert_allclose(handle.predict({"x": ROWS}), ROWS @ weights + bias, atol=1e-6)
    slopes = handle.gradient({"x": ROWS}, np.zeros(5, np.int64))["x"]
    np.testing.assert_allclose(slopes, np.repeat(weights.T, 5, axis=0), atol=1e-7)


def test_several_inputs_and_outputs_go_by_name(tmp_path: Path) -> None:
    k = keras()
    a, b = k.Input((2,), name="a"), k.Input((3,), name="b")
    joined = k.layers.Concatenate()([a, b])
    first, second = k.layers.Dense(2, "softmax", name="kind")(joined), k.layers.Dense(1, name="size")(joined)
    k.Model([a, b], [first, second]).save(tmp_path / "two.keras")
    rows = {"b": np.ones((3, 3)), "a": np.zeros((3, 2))}
    size = tensorflow_native.open_model(tmp_path / "two.keras", View("value", "regression", "size"))
    kind = tensorflow_native.open_model(tmp_path / "two.keras", View("probability"))
    assert size.predict(rows).shape == (3, 1)
    assert kind.predict(rows).shape == (3, 2)
    assert isinstance(size, Differentiable)
    slopes = size.gradient(rows, np.zeros(3, np.int64))
    assert {name: array.shape for name, array in slopes.items()} == {"a": (3, 2), "b": (3, 3)}


def test_whole_numbers_have_scores_and_no_gradient(tmp_path: Path) -> None:
    k = keras()
    layers = [k.layers.CategoryEncoding(9, output_mode="multi_hot"), k.layers.Dense(2, "softmax")]
    k.Sequential([k.Input((4,), name="ids", dtype="int32"), *layers]).save(tmp_path / "words.keras")
    assert "Differentiable" not in tensorflow_native.inspect(tmp_path / "words.keras").capabilities
    handle = tensorflow_native.open_model(tmp_path / "words.keras", View("logit"))
    assert not isinstance(handle, Differentiable)
    assert handle.predict({"ids": np.ones((3, 4))}).shape == (3, 2)
    with pytest.raises(ValueError, match="is int32 in the model"):
        handle.predict({"ids": np.full((3, 4), 0.5)})


def test_older_hdf5_files_open_too(tmp_path: Path) -> None:
    model = dense_with_activation(keras())
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.save(tmp_path / "old.h5")
    facts = tensorflow_native.inspect(tmp_path / "old.h5")
    assert facts.parameters == model.count_params() == (4 + 1) * 3 + (3 + 1) * 3
    assert facts.tunables["optimizer.learning_rate"] == 0.01
    handle = tensorflow_native.open_model(tmp_path / "old.h5", View("probability"))
    np.testing.assert_allclose(handle.predict({"x": ROWS}), model(ROWS), atol=1e-6)


def test_targets_outside_the_view_are_refused(models: Path) -> None:
    handle = tensorflow_native.open_model(models / "german-credit.keras", View("logit"))
    assert isinstance(handle, Differentiable)
    with pytest.raises(ValueError, match="from 0 to 1"):
        handle.gradient({"features": np.zeros((2, 61))}, np.array([0, 2]))


def moons(rows: int) -> Labelled:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(rows, 4)).astype(np.float32)
    return Labelled({"x": x}, (x[:, 0] * x[:, 1] > 0).astype(np.int64))


@pytest.fixture(scope="module")
def trainable(tmp_path_factory: pytest.TempPathFactory) -> Trainable:
    k = keras()
    layers = [k.layers.Dense(8, "relu", name="hidden"), k.layers.Dropout(0.1, name="drop")]
    model = k.Sequential([k.Input((4,), name="x"), *layers, k.layers.Dense(2, "softmax", name="out")])
    model.compile(k.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    path = tmp_path_factory.mktemp("trainable") / "model.keras"
    model.save(path)
    return tensorflow_native.open_trainable(path)


def test_training_learns_and_the_view_shows_what_was_validated(trainable: Trainable) -> None:
    train, validation = moons(400), moons(90)
    seen: list[tuple[int, int]] = []
    said = io.StringIO()
    with redirect_stdout(said):
        trained = trainable.train(
            Recipe({"layers.hidden.units": 24.0}, epochs=12),
            train,
            validation,
            seed=5,
            progress=lambda *at: seen.append(at),
        )
    assert said.getvalue() == ""
    assert seen == [(epoch, 12) for epoch in range(1, 13)]
    assert trained.parameters == (4 + 1) * 24 + (24 + 1) * 2
    assert len(trained.history) == 12
    assert trained.history[-1]["loss"] < 0.6 * trained.history[0]["loss"]
    assert set(trained.history[0]) == {"loss", "accuracy", "validation_loss", "validation_accuracy"}
    p = trained.open_view(View("probability")).predict(validation.inputs)
    right = p[np.arange(90), validation.labels]
    # Keras clips probabilities at 1e-7 before the logarithm.
    assert trained.validation["loss"] == pytest.approx(float(-np.log(np.maximum(right, 1e-7)).mean()), abs=1e-5)
    assert trained.validation["accuracy"] == pytest.approx(float((p.argmax(axis=1) == validation.labels).mean()))
    logits = trained.open_view(View("logit"))
    assert check(logits, {"x": validation.inputs["x"][:5]}, np.random.default_rng(0)) == []


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(trainable: Trainable) -> None:
    def once(seed: int) -> bytes:
        trained = trainable.train(Recipe(epochs=2), moons(100), moons(40), seed)
        return trained.open_view(View("logit")).predict(moons(40).inputs).tobytes()

    assert once(5) == once(5)
    assert once(5) != once(6)


def test_an_earlier_candidate_outlives_the_next(trainable: Trainable) -> None:
    first = trainable.train(Recipe(epochs=1), moons(100), moons(40), 1)
    before = first.open_view(View("logit")).predict(moons(40).inputs)
    trainable.train(Recipe({"layers.hidden.units": 3}, epochs=1), moons(100), moons(40), 2)
    np.testing.assert_array_equal(first.open_view(View("logit")).predict(moons(40).inputs), before)


def test_candidates_leave_no_graph_behind(trainable: Trainable) -> None:
    def graphs() -> int:
        trainable.train(Recipe(epochs=1), moons(64), moons(32), 1).open_view(View("logit")).predict(moons(3).inputs)
        keras().backend.clear_session()
        gc.collect()
        return sum(type(thing).__name__ == "FuncGraph" for thing in gc.get_objects())

    assert graphs() == graphs()


def test_a_loss_that_explodes_is_reported_as_it_is(trainable: Trainable) -> None:
    rows = moons(100)
    huge = Labelled({"x": np.full((100, 4), np.inf, np.float32)}, rows.labels)
    trained = trainable.train(Recipe(epochs=1), huge, rows, 1)
    assert math.isnan(trained.validation["loss"])


def test_settings_that_make_no_model_are_the_files_error(models: Path) -> None:
    trainable = tensorflow_native.open_trainable(models / "digits.keras")
    rows = Labelled({"image": np.zeros((4, 28, 28, 1), np.float32)}, np.zeros(4, np.int64))
    with pytest.raises(ModelFileError, match="Keras cannot build"):
        trainable.train(Recipe({"layers.conv1.kernel_size": 29}), rows, rows, 1)
    with pytest.raises(ModelFileError, match=r"nothing to tune at `layers\.nope\.units`"):
        trainable.train(Recipe({"layers.nope.units": 2}), rows, rows, 1)


def test_a_file_without_a_loss_cannot_be_trained(tmp_path: Path) -> None:
    softmax_layer(keras()).save(tmp_path / "bare.keras")
    with pytest.raises(ModelFileError, match="no loss and optimizer"):
        tensorflow_native.open_trainable(tmp_path / "bare.keras")


@pytest.mark.parametrize("loss", ["binary_crossentropy", "mse", "categorical_crossentropy"])
def test_labels_are_shaped_for_the_files_own_loss(tmp_path: Path, loss: str) -> None:
    k = keras()
    model = dense_with_activation(k) if loss == "categorical_crossentropy" else sigmoid_column(k)
    model.compile("adam", loss)
    model.save(tmp_path / "model.keras")
    trained = tensorflow_native.open_trainable(tmp_path / "model.keras").train(
        Recipe(epochs=1), moons(64), moons(32), 1
    )
    p = trained.open_view(View("probability")).predict(moons(32).inputs)
    right = p[np.arange(32), moons(32).labels]
    expected = ((1 - right) ** 2).mean() if loss == "mse" else -np.log(right).mean()
    assert trained.validation["loss"] == pytest.approx(float(expected), abs=1e-5)
