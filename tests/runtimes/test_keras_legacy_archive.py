"""Archives (``.keras``) that Keras 2 wrote: opened with Keras 3, functions of TensorFlow and all; see data/README.md."""

import json
import re
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import Differentiable, Labelled, Recipe, View
from runtimes.formats.keras_legacy import modern
from runtimes.frameworks import tensorflow_native
from runtimes.target import ModelFileError

ARCHIVE = Path(__file__).parent / "data" / "keras-2.keras"
HELD = np.load(ARCHIVE.with_name("keras-2-archive-answers.npz"))
ROWS = {name: HELD[name] for name in ("series", "row")}


def rewritten(
    folder: Path,
    text: Callable[[str], str] = lambda given: given,
    weights: Callable[[str], str] = lambda given: given,
    version: str = "2.21.0",
) -> Path:
    """The same archive with another configuration, and with its arrays under other names."""
    import h5py

    path = folder / "model.keras"
    with zipfile.ZipFile(ARCHIVE) as source, zipfile.ZipFile(path, "w") as target:
        target.writestr("metadata.json", json.dumps({"keras_version": version}))
        target.writestr("config.json", text(source.read("config.json").decode()))
        held = BytesIO()
        with h5py.File(BytesIO(source.read("model.weights.h5"))) as old, h5py.File(held, "w") as new:
            arrays: dict[str, Any] = {}
            old.visititems(lambda name, item: arrays.update({name: item[()]} if hasattr(item, "shape") else {}))
            for name, array in arrays.items():
                new.create_dataset(weights(name), data=array)
        target.writestr("model.weights.h5", held.getvalue())
    return path


@pytest.mark.frameworks
def test_an_archive_of_keras_2_answers_as_it_did_there() -> None:
    facts = tensorflow_native.inspect(ARCHIVE)
    assert [(tensor.name, tensor.shape) for tensor in facts.inputs] == [("series", (None, 6, 4)), ("row", (None, 4))]
    assert (facts.n_outputs, facts.activation, facts.producer) == (3, "softmax", "keras 2.21.0")
    assert {"Add", "Mean", "GetItem", "Concatenate", "Relu"} <= set(facts.operators)
    handle = tensorflow_native.open_model(ARCHIVE, View("probability"))
    np.testing.assert_allclose(handle.predict(ROWS), HELD["answers"], atol=1e-6)
    logits: Any = tensorflow_native.open_model(ARCHIVE, View("logit"))
    assert isinstance(logits, Differentiable)
    assert np.abs(logits.gradient(ROWS, np.zeros(4, int))["series"]).max() > 0


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("text", "weights"),
    [
        # Keras 2.13 to 2.15: the same package under its own name.
        (lambda text: text.replace("tf_keras.src", "keras.src"), lambda name: name),
        # Keras 2.12, before its files moved to `keras.src`; paths as Windows wrote them.
        (lambda text: text.replace("tf_keras.src", "keras"), lambda name: name.replace("/", "\\")),
        # Layers under the other attribute of a model that holds them.
        (lambda text: text, lambda name: name.replace("layers/", "_layer_checkpoint_dependencies/")),
    ],
    ids=["2.13", "2.12", "dependencies"],
)
def test_versions_of_keras_2_named_things_otherwise(text: Any, weights: Any, tmp_path: Path) -> None:
    path = rewritten(tmp_path, text, weights, "2.13.1")
    handle = tensorflow_native.open_model(path, View("probability"))
    np.testing.assert_allclose(handle.predict(ROWS), HELD["answers"], atol=1e-6)


@pytest.mark.frameworks
def test_it_can_be_trained_by_its_own_loss_and_optimizer(tmp_path: Path) -> None:
    trainable = tensorflow_native.open_trainable(ARCHIVE)
    rows = Labelled(ROWS, np.array([0, 1, 2, 0]))
    trained = trainable.train(Recipe({"optimizer.learning_rate": 0.02}, epochs=2, batch_size=2), rows, rows, seed=1)
    assert np.isfinite(trained.validation["loss"])


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("change", "told"),
    [
        # Counted in order, not by number: 0, 2, 4, … where a version came by each layer twice.
        (lambda name: re.sub(r"^layers/dense_(\d)/", lambda found: f"layers/dense_{2 * int(found[1])}/", name), None),
        (lambda name: name.replace("layers/gru/", "layers/rnn/"), "1 layers `gru` have weights, and the file has 0"),
        (lambda name: name.replace("gru/cell/vars", "gru/__class__/vars"), "has no part `__class__`"),
        (lambda name: name.replace("gru/cell/vars/2", "gru/cell/vars/3"), "has 3 weights of its own"),
    ],
    ids=["gap", "missing", "attribute", "hole"],
)
def test_weights_that_are_not_those_of_the_layers_are_refused(change: Any, told: str | None, tmp_path: Path) -> None:
    path = rewritten(tmp_path, weights=change)
    if told is None:
        handle = tensorflow_native.open_model(path, View("probability"))
        np.testing.assert_allclose(handle.predict(ROWS), HELD["answers"], atol=1e-6)
        return
    with pytest.raises(ModelFileError, match=told):
        tensorflow_native.open_model(path, View("probability"))


@pytest.mark.parametrize(
    ("function", "told"),
    [
        ("io.read_file", "the TensorFlow function `io.read_file`"),
        ("py_function", "the TensorFlow function `py_function`"),
        ("image.resize", "the TensorFlow function `image.resize`"),
        ("os.system", "the TensorFlow function `os.system`"),
    ],
)
def test_a_function_that_is_not_on_the_list_is_refused_by_name(function: str, told: str, tmp_path: Path) -> None:
    path = rewritten(tmp_path, lambda text: text.replace('"function": "nn.relu"', f'"function": "{function}"'))
    with pytest.raises(ModelFileError, match=told) as caught:
        tensorflow_native.inspect(path)
    assert "tf.nn.relu" in str(caught.value)
    assert "SavedModel" in caught.value.help


def test_a_setting_without_a_counterpart_is_refused(tmp_path: Path) -> None:
    path = rewritten(tmp_path, lambda text: text.replace('{"axis": -1}', '{"axis": -1, "out_type": "int64"}'))
    with pytest.raises(ModelFileError, match="with `out_type`"):
        tensorflow_native.inspect(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("tf_keras.src.layers.core.tf_op_layer", "evil.layers.core.tf_op_layer"),
        lambda text: text.replace("tf_keras.src.engine.functional", "evil.engine.functional"),
        lambda text: text.replace('"class_name": "GRU"', '"class_name": "Lambda"'),
    ],
    ids=["operation", "model", "lambda"],
)
def test_what_comes_from_elsewhere_stays_refused(change: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="refused|class of its own"):
        tensorflow_native.inspect(rewritten(tmp_path, change))


def test_a_sequential_model_is_read_as_keras_2_wrote_it_by_hand() -> None:
    """As Keras 2.13 wrote it: an input of its own, `batch_input_shape`, `axis` as a list, modules said."""
    first = {"name": "x", "batch_input_shape": [None, 4], "dtype": "float32", "sparse": False, "ragged": False}
    layers = [
        {"module": "keras.layers", "class_name": "InputLayer", "config": first, "registered_name": None},
        {
            "module": "keras.layers",
            "class_name": "BatchNormalization",
            "config": {"name": "bn", "axis": [1]},
            "registered_name": None,
        },
    ]
    given = {"module": "keras", "class_name": "Sequential", "config": {"name": "s", "layers": layers}}
    assert modern(given) == given  # unless it is said to be of version 2
    start, normalised = modern(given, "2.13.1")["config"]["layers"]
    assert start["config"]["batch_shape"] == [None, 4]
    assert normalised["config"]["axis"] == 1


def test_uses_of_a_nested_model_are_counted_from_its_first_use() -> None:
    def model(kind: str, nodes: list[int]) -> dict[str, Any]:
        inner: dict[str, Any] = {"class_name": kind, "config": {"name": "inner", "layers": []}, "name": "inner"}
        inner["inbound_nodes"] = [[["x", 0, 0, {}]] for _ in nodes]
        joined: dict[str, Any] = {"class_name": "Add", "config": {"name": "sum"}, "name": "sum"}
        joined["inbound_nodes"] = [[["inner", node, 0, {}] for node in nodes]]
        x = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 2]}, "name": "x"}
        return {
            "class_name": "Functional",
            "config": {
                "name": "outer",
                "layers": [{**x, "inbound_nodes": []}, inner, joined],
                "input_layers": [["x", 0, 0]],
                "output_layers": [["inner", nodes[-1], 0]],
            },
        }

    for kind, nodes in (("Functional", [1, 2]), ("Sequential", [1, 2]), ("Sequential", [0, 1])):
        found = modern(model(kind, nodes))["config"]
        read = found["layers"][2]["inbound_nodes"][0]["args"][0]
        assert [one["config"]["keras_history"][1] for one in read] == [0, 1]
        assert found["output_layers"] == [["inner", 1, 0]]
