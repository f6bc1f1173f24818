"""Keras models of every kind: the file's facts, the answers and the slopes are those of the model that was saved."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras_zoo import ROWS, ZOO, Kind

from runtimes.capabilities import Differentiable, View
from runtimes.formats.keras_legacy import modern
from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.frameworks import tensorflow_native
from runtimes.target import ModelFileError

pytestmark = pytest.mark.frameworks

DATA = Path(__file__).parent / "data"

Saved = Callable[[str], tuple[Path, Any]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    """Give the file and the model of one kind; each is built once."""
    folder, known = tmp_path_factory.mktemp("zoo"), {}

    def give(name: str) -> tuple[Path, Any]:
        if name not in known:
            keras().utils.set_random_seed(1)
            model = ZOO[name].build(keras())
            model.save(folder / f"{name}.keras")
            known[name] = folder / f"{name}.keras", model
        return known[name]

    return give


def answers(model: Any, rows: dict[str, Any]) -> list[np.ndarray]:
    """What Keras itself gives, an array an output, in the order of the model's outputs."""
    given = rows if len(rows) > 1 else next(iter(rows.values()))
    return [np.asarray(one, np.float64) for one in tensorflow().nest.flatten(model(given, training=False))]


def view_of(kind: Kind, output: int) -> View:
    """The first output in logits where the model classifies, others as they are."""
    if kind.task == "classification" and output == 0:
        return View("logit", output=output)
    return View("value", "regression", output)


@pytest.mark.parametrize("name", ZOO)
def test_the_file_says_what_the_model_is(saved: Saved, name: str) -> None:
    path, model = saved(name)
    kind = ZOO[name]
    facts = tensorflow_native.inspect(path)
    told = {tensor.name: tensor.shape[1:] for tensor in facts.inputs}
    assert list(told.values()) == list(kind.shapes.values())
    given = dict(zip(told, kind.rows().values(), strict=True))
    assert [tensor.shape[1:] for tensor in facts.outputs] == [one.shape[1:] for one in answers(model, given)]
    for place, columns in enumerate(kind.columns):
        seen = tensorflow_native.inspect(path, View("value", output=facts.outputs[place].name))
        assert seen == tensorflow_native.inspect(path, View("value", output=place))
        assert seen.n_outputs == (2 if seen.activation == "sigmoid" else columns)
        assert (seen.problem, seen.unsaid) == (None, False)
        assert view_of(kind, place).score in seen.scores
    assert facts.capabilities >= {"Differentiable", "LayerDifferentiable"}
    if kind.step:  # a quantised model keeps scales beside its weights
        assert facts.parameters == model.count_params()


@pytest.mark.parametrize("name", ZOO)
def test_answers_and_slopes_are_the_models(saved: Saved, name: str) -> None:
    path, model = saved(name)
    kind = ZOO[name]
    facts = tensorflow_native.inspect(path)
    rows = dict(zip([tensor.name for tensor in facts.inputs], kind.rows().values(), strict=True))
    for place, own in enumerate(answers(model, rows)):
        handle = tensorflow_native.open_model(path, view_of(kind, place))
        assert isinstance(handle, Differentiable)
        found = handle.predict(rows)
        seen = tensorflow_native.inspect(path, View("value", output=place))
        if view_of(kind, place).score == "value":
            np.testing.assert_allclose(found, own.reshape(ROWS, -1), atol=1e-5)
        else:
            # A sigmoid's two logits are [-z, z], so that one formula serves both: p = 1 / (1 + exp(-z)).
            scaled = np.exp(found) if seen.activation == "softmax" else 1 / (1 + np.exp(-found))
            shares = scaled / scaled.sum(axis=1, keepdims=True)
            half = "half_to_the_end" in name  # a softmax in float16 has 11 bits
            np.testing.assert_allclose(shares[:, -own.shape[1] :], own, atol=1e-3 if half else 1e-5)
        target = np.full(ROWS, found.shape[1] - 1)
        slopes = handle.gradient(rows, target)
        assert all(np.isfinite(slope).all() and slope.shape == rows[at].shape for at, slope in slopes.items())
        assert all(np.abs(slope).reshape(ROWS, -1).max(axis=1).min() > 0 for slope in slopes.values())
        if kind.step and not kind.ids:
            _agree_with_differences(handle, rows, slopes, kind)


def _agree_with_differences(handle: Any, rows: dict[str, Any], slopes: Mapping[str, Any], kind: Kind) -> None:
    """(f(x + h d) - f(x - h d)) / 2h is the gradient's product with d, for a direction d drawn anew for each row."""
    rng = np.random.default_rng(3)
    along = {at: rng.normal(size=array.shape).astype(np.float32) for at, array in rows.items()}
    up, down = ({at: rows[at] + sign * kind.step * along[at] for at in rows} for sign in (1, -1))
    expected = (handle.predict(up)[:, -1] - handle.predict(down)[:, -1]) / (2 * kind.step)
    found = sum((slopes[at] * along[at]).reshape(ROWS, -1).sum(axis=1) for at in rows)
    assert np.abs(found - expected).max() <= kind.tolerance * np.abs(expected).max()


def test_a_quantised_model_has_nearly_the_slopes_of_the_model_it_was(saved: Saved) -> None:
    """Rounded to 8 bits it goes up and down in steps; Keras gives the slope that it has through them."""
    k, tf = keras(), tensorflow()
    k.utils.set_random_seed(1)
    layers = [k.layers.Dense(8, "tanh"), k.layers.Dense(3)]
    model = k.Sequential([k.Input((6,), name="x"), *layers])
    rows = ZOO["quantised"].rows()
    with tf.GradientTape() as tape:
        x = tf.constant(rows["x"])
        tape.watch(x)
        score = model(x)[:, 1]
    handle = tensorflow_native.open_model(saved("quantised")[0], View("logit"))
    assert isinstance(handle, Differentiable)
    found, expected = handle.gradient(rows, np.ones(ROWS, np.int64))["x"], np.asarray(tape.gradient(score, x))
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_a_file_of_keras_2_answers_as_it_did_there() -> None:
    """See data/README.md: masked bidirectional GRU, separable convolution, a nested model used twice, normalisation."""
    held = np.load(DATA / "keras-2-answers.npz")
    facts = tensorflow_native.inspect(DATA / "keras-2.h5")
    assert [(tensor.name, tensor.shape) for tensor in facts.inputs] == [("x", (None, 6, 2))]
    assert facts.producer.startswith("keras 2.")
    assert (facts.n_outputs, facts.activation, facts.parameters) == (2, "softmax", int(held["params"]))
    handle = tensorflow_native.open_model(DATA / "keras-2.h5", View("probability"))
    np.testing.assert_allclose(handle.predict({"x": held["x"]}), held["y"], atol=1e-6)
    assert isinstance(handle, Differentiable)
    slopes = handle.gradient({"x": held["x"]}, np.zeros(3, np.int64))["x"]
    assert np.isfinite(slopes).all()
    assert np.abs(slopes).max() > 0


def test_old_configurations_are_read_in_new_words() -> None:
    """As Keras 2.2 wrote a Sequential model: a bare list, the input's shape at the first layer, settings since dropped."""
    first = {"name": "one", "batch_input_shape": [32, 5, 2], "units": 4, "time_major": False, "dtype": "float32"}
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    second = {"name": "two", "units": 1, "dtype": policy, "kernel_initializer": {"class_name": "Zeros", "config": {}}}
    layers = [{"class_name": "LSTM", "config": first}, {"class_name": "Dense", "config": second}]
    found = modern({"class_name": "Sequential", "config": layers})
    start, one, two = found["config"]["layers"]
    assert (start["class_name"], start["config"]["batch_shape"]) == ("InputLayer", [32, 5, 2])
    assert one["config"] == {"name": "one", "units": 4, "dtype": "float32"}
    assert two["config"]["dtype"] == "mixed_float16"
    assert two["config"]["kernel_initializer"]["module"] == "keras.initializers"
    model = keras().saving.deserialize_keras_object(found)
    assert model.count_params() == 4 * 4 * (2 + 4 + 1) + (4 + 1)
    # Said again of what is new already, nothing changes.
    assert modern(found) == found


def test_a_setting_that_means_something_is_not_dropped() -> None:
    layer = {"class_name": "LSTM", "config": {"name": "one", "units": 4, "time_major": True}}
    found = modern({"class_name": "Sequential", "config": {"name": "old", "layers": [layer]}})
    assert found["config"]["layers"][0]["config"]["time_major"] is True


def test_an_output_of_more_than_one_axis_is_named_before_anything_runs(tmp_path: Path) -> None:
    k = keras()
    x = k.Input((5, 2), name="x")
    k.Model(x, k.layers.LSTM(3, return_sequences=True, name="tags")(x)).save(tmp_path / "tags.keras")
    problem = tensorflow_native.inspect(tmp_path / "tags.keras").problem
    assert problem is not None
    assert "`tags` gives 5 × 3 numbers a row" in problem[0]


def test_a_cut_graph_has_slopes_of_zero(tmp_path: Path) -> None:
    """It is no mistake of the file; whoever explains with it is told (`gradient_dead`)."""
    k = keras()
    x = k.Input((4,), name="x")
    k.Model(x, k.layers.Dense(2, "softmax")(k.ops.stop_gradient(x))).save(tmp_path / "cut.keras")
    handle = tensorflow_native.open_model(tmp_path / "cut.keras", View("logit"))
    assert isinstance(handle, Differentiable)
    slopes = handle.gradient({"x": np.ones((3, 4))}, np.zeros(3, np.int64))
    np.testing.assert_array_equal(slopes["x"], np.zeros((3, 4)))


def test_whole_numbers_say_why_they_have_no_gradient(tmp_path: Path) -> None:
    k = keras()
    x = k.Input((4,), name="codes", dtype="int32")
    k.Model(x, k.layers.Dense(2)(k.layers.Rescaling(0.5)(x))).save(tmp_path / "codes.keras")
    facts = tensorflow_native.inspect(tmp_path / "codes.keras")
    assert "Differentiable" not in facts.capabilities
    assert "`codes` is int32" in facts.lacks["Differentiable"]


def test_a_class_of_its_own_is_refused_with_the_way_out(tmp_path: Path) -> None:
    k = keras()

    class Net(k.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.end = k.layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.end(x)

    net = Net()
    net(np.zeros((1, 3), np.float32))
    net.save(tmp_path / "net.keras")
    with pytest.raises(ModelFileError, match="class of its own") as caught:
        tensorflow_native.inspect(tmp_path / "net.keras")
    assert "model.export" in caught.value.help


def test_a_lambda_is_refused_where_keras_2_wrote_it(tmp_path: Path) -> None:
    import h5py

    layers = [
        {"class_name": "Lambda", "config": {"name": "code", "batch_input_shape": [None, 3], "function": ["4wEA"]}}
    ]
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": layers}})
        file.attrs["keras_version"] = "2.4.0"
        file.create_group("model_weights")
    with pytest.raises(ModelFileError, match="layer `code` is refused: Lambda holds code"):
        tensorflow_native.inspect(tmp_path / "old.h5")
