"""Looking into models that are no graphs of Keras layers: SavedModels by their operations, ONNX files by their nodes."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_zoo import SIGNATURES, Signature, make, node, tensor

from pgx_compiler.methods.gradient._layers import last_spatial_layer
from pgx_compiler.methods.gradient._neurons import last_hidden_layer
from runtimes.adaptation import Adaptation
from runtimes.capabilities import LayerDifferentiable, Rectified, View
from runtimes.conformance import check
from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.frameworks import onnx_tensorflow, tensorflow_native
from runtimes.target import ModelFileError

pytestmark = pytest.mark.frameworks

MODELS = Path(__file__).parents[2] / "specs" / "models"
LOGIT = View("logit")

Twins = dict[str, tuple[Any, str]]
"""By format, the handle on a model and the name of its input."""


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Twins]:
    """The same network as a Keras file, as the SavedModel that it exports, and as the ONNX file beside it."""
    known: dict[str, Twins] = {}
    folder = tmp_path_factory.mktemp("twins")

    def give(name: str) -> Twins:
        if name not in known:
            keras().saving.load_model(MODELS / f"{name}.keras").export(folder / name, verbose=False)
            opened = {
                "keras": tensorflow_native.open_model(MODELS / f"{name}.keras", LOGIT),
                "saved": tensorflow_native.open_model(folder / name / "saved_model.pb", LOGIT),
                "onnx": onnx_tensorflow.open_model(MODELS / f"{name}.onnx", LOGIT),
            }
            known[name] = {kind: (handle, handle._inputs[0].name) for kind, handle in opened.items()}
        return known[name]

    return give


TWINS = {
    # Keras layer, the SavedModel's scope, the ONNX node, shape of a row
    "digits": ("conv2", "mnist_cnn_1/conv2_1", "mnist_cnn_1/conv2_1/Relu", (28, 28, 1)),
    "watch": ("re_lu_2", "watch_cnn_1/re_lu_2_1", "watch_cnn_1/re_lu_2_1/Relu", (128, 6)),
    "sentiment": ("conv", "vader_sentiment_cnn_1/conv_1", "vader_sentiment_cnn_1/conv_1/Relu", (48,)),
    "german-credit": ("dense_1", "sequential_1/dense_1_2", "sequential_1/dense_1_2/Relu", (61,)),
}


def rows_of(name: str, seed: int) -> Any:
    """Five rows; the sentences are ids."""
    rng, shape = np.random.default_rng(seed), (5, *TWINS[name][-1])
    return rng.integers(1, 500, shape) if name == "sentiment" else rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("name", TWINS)
def test_a_layer_is_the_same_in_every_format(twins: Callable[[str], Twins], name: str) -> None:
    *names, _ = TWINS[name]
    rows, target = rows_of(name, 0), np.arange(5) % 2
    found = []
    for (handle, given), layer in zip(twins(name).values(), names, strict=True):
        assert isinstance(handle, LayerDifferentiable)
        before, slope = handle.layer_gradient({given: rows}, target, layer)
        np.testing.assert_array_equal(handle.activations({given: rows}, layer), before)
        found.append((before, slope))
    assert np.abs(found[0][1]).max() > 1e-3
    for before, slope in found[1:]:
        np.testing.assert_allclose(before, found[0][0], atol=1e-5)
        np.testing.assert_allclose(slope, found[0][1], atol=1e-5)


@pytest.mark.parametrize("name", TWINS)
@pytest.mark.parametrize("rule", ["guided", "deconvolution"])
def test_rules_for_rectifiers_are_the_same_in_every_format(twins: Callable[[str], Twins], name: str, rule: str) -> None:
    rows, target = rows_of(name, 1), np.arange(5) % 2
    found = []
    for handle, given in twins(name).values():
        assert isinstance(handle, Rectified)
        found.append(handle.rectified_gradient({given: rows}, target, rule)[given])
    plain, given = twins(name)["keras"]
    assert np.abs(found[0] - plain.gradient({given: rows}, target)[given]).max() > 1e-3
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=1e-5)


@pytest.mark.parametrize("kind", ["saved", "onnx"])
def test_the_laws_of_layers_hold(twins: Callable[[str], Twins], kind: str) -> None:
    handle, given = twins("digits")[kind]
    rows = np.random.default_rng(2).random((3, 28, 28, 1)).astype(np.float32)
    assert check(handle, {given: rows}, np.random.default_rng(3)) == []


def test_methods_that_no_layer_is_named_to_take_the_one_that_they_take_of_a_keras_file(
    twins: Callable[[str], Twins], tmp_path: Path
) -> None:
    # Behind the last convolution's activation; of a network without one, the hidden product behind its own.
    facts = onnx_tensorflow.inspect(MODELS / "digits.onnx")
    assert last_spatial_layer(facts) == "mnist_cnn_1/conv2_1/Relu"
    facts = onnx_tensorflow.inspect(MODELS / "german-credit.onnx")
    assert (last_spatial_layer(facts), last_hidden_layer(facts)) == (None, "sequential_1/dense_1_2/Relu")
    for name, expected in (("digits", "mnist_cnn_1/conv2_1"), ("german-credit", "sequential_1/dense_1_2")):
        keras().saving.load_model(MODELS / f"{name}.keras").export(tmp_path / name, verbose=False)
        assert last_hidden_layer(tensorflow_native.inspect(tmp_path / name / "saved_model.pb")) == expected


# --- ONNX


@pytest.mark.parametrize("signature", SIGNATURES, ids=str)
def test_the_file_says_the_layers_that_the_handle_has(signature: Signature, tmp_path: Path) -> None:
    onnx.save(signature.model(), tmp_path / "made.onnx")
    view = View(signature.score, signature.task, signature.output, Adaptation.of(signature.adaptation))
    facts = onnx_tensorflow.inspect(tmp_path / "made.onnx", view)
    if "Differentiable" not in facts.capabilities:
        assert facts.layers == ()
        return
    handle = onnx_tensorflow.open_model(tmp_path / "made.onnx", view)
    assert isinstance(handle, LayerDifferentiable)
    assert [(one.name, one.kind) for one in handle.layers] == [(one.name, one.kind) for one in facts.layers]
    assert ("LayerDifferentiable" in facts.capabilities) == bool(facts.layers)
    rows = len(next(iter(signature.inputs.values())))
    for layer in handle.layers:
        given, slope = handle.layer_gradient(signature.inputs, np.zeros(rows, int), layer.name)
        assert given.shape == slope.shape == (rows, *given.shape[1:])
        assert all(size in (None, found) for size, found in zip(layer.shape, given.shape[1:], strict=True))


def held(weights: Any) -> dict[str, Any]:
    """Weights of a network of channels first."""
    return {
        "k": np.array([[[[1.0]]], [[[-2.0]]]], np.float32),
        "scale": np.array([3.0, 1.0], np.float32),
        "shift": np.array([0.0, 1.0], np.float32),
        "mean": np.zeros(2, np.float32),
        "var": np.full(2, 1 - 1e-5, np.float32),  # with epsilon, 1
        "low": np.float32(0.0),
        "high": np.float32(6.0),
        "v": weights,
    }


def normalised(rows: int | None = None) -> Any:
    """f = mean over places of clip(bn(x * k), 0, 6) @ v, with bn = 3 y / sqrt(1 + 1e-5) on one channel, y + 1 on the other."""
    nodes = [
        node("Conv", ["x", "k"], ["c"], name="conv"),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["n"], name="norm"),
        node("Clip", ["n", "low", "high"], ["a"]),
        node("GlobalAveragePool", ["a"], ["g"], name="pool"),
        node("Flatten", ["g"], ["f"]),
        node("MatMul", ["f", "v"], ["y"], name="end"),
    ]
    weights = held(np.array([[1.0], [-4.0]], np.float32))
    return make(nodes, [tensor("x", [rows, 1, 1, 3])], [tensor("y", [rows, 1])], weights)


X = np.array([[[[1.0, -1.0, 4.0]]], [[[0.25, 0.5, -2.0]]]], np.float32)


@pytest.mark.parametrize("rows", [None, 1, 3])
def test_nodes_give_what_the_file_says_with_their_channels_last(tmp_path: Path, rows: int | None) -> None:
    # x = (1, -1, 4): the first channel is 3x = (3, -3, 12), the second 1 - 2x = (-1, 3, -7); cut off: (3, 0, 6), (0, 3, 0).
    # f = mean(first) - 4 mean(second), so that its slope by either is 1/3 and -4/3 at each of three places, and by what is
    # normalised the same where it is between 0 and 6. The convolution and its normalisation are one node when computed; what
    # each gives can be looked at all the same. Nodes without a name go by their tensors.
    onnx.save(normalised(rows), tmp_path / "made.onnx")
    facts = onnx_tensorflow.inspect(tmp_path / "made.onnx", View("value", "regression"))
    assert [one.name for one in facts.layers] == ["conv", "norm", "a", "pool", "f", "end"]
    assert [one.shape for one in facts.layers[:3]] == [(1, 3, 2)] * 3
    assert facts.capabilities >= {"LayerDifferentiable", "Rectified"}
    handle = onnx_tensorflow.open_model(tmp_path / "made.onnx", View("value", "regression"))
    inputs, target = {"x": X}, np.zeros(2, int)
    conv, _ = handle.layer_gradient(inputs, target, "conv")
    np.testing.assert_allclose(conv[0, 0], [[1, -2], [-1, 2], [4, -8]])
    norm, slope = handle.layer_gradient(inputs, target, "norm")
    np.testing.assert_allclose(norm[0, 0], [[3, -1], [-3, 3], [12, -7]], rtol=1e-5)
    np.testing.assert_allclose(slope[0, 0] * 3, [[1, 0], [0, -4], [0, 0]], rtol=1e-5)
    given, slope = handle.layer_gradient(inputs, target, "a")
    np.testing.assert_allclose(given[0, 0], [[3, 0], [0, 3], [6, 0]], rtol=1e-5)
    np.testing.assert_allclose(slope[:, 0] * 3, [[[1, -4]] * 3] * 2, rtol=1e-5)
    assert (handle.spent.forward, handle.spent.backward) == (0, 6)


def test_rules_by_hand_of_a_clip(tmp_path: Path) -> None:
    # Slopes that come to the clip are 1/3 and -4/3: only the first channel's are positive. Guided: where it is active, x = 1
    # alone (12 is cut off above); deconvolution: everywhere. Below, they go through 3 * 1.
    onnx.save(normalised(), tmp_path / "made.onnx")
    handle = onnx_tensorflow.open_model(tmp_path / "made.onnx", View("value", "regression"))
    guided = handle.rectified_gradient({"x": X[:1]}, np.zeros(1, int), "guided")["x"]
    np.testing.assert_allclose(guided.ravel(), [1, 0, 0], atol=1e-5)
    everywhere = handle.rectified_gradient({"x": X[:1]}, np.zeros(1, int), "deconvolution")["x"]
    np.testing.assert_allclose(everywhere.ravel(), [1, 1, 1], atol=1e-5)
    with pytest.raises(ValueError, match="the rules are"):
        handle.rectified_gradient({"x": X[:1]}, np.zeros(1, int), "relu")


def test_a_name_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    onnx.save(normalised(), tmp_path / "made.onnx")
    handle = onnx_tensorflow.open_model(tmp_path / "made.onnx", View("value", "regression"))
    with pytest.raises(ValueError, match="no layer `g` with one output; there are a, conv, end, f, norm, pool"):
        handle.activations({"x": X}, "g")
    none = {"x": X[:0]}
    assert handle.activations(none, "a").shape == (0, 1, 3, 2)
    assert handle.layer_gradient(none, np.zeros(0, int), "a")[1].shape == (0, 1, 3, 2)


def test_axes_of_channels_are_followed_through_what_turns_them(tmp_path: Path) -> None:
    # Channels first at the convolution, squeezed to (rows, channels, steps), turned to (rows, steps, channels) before the add.
    nodes = [
        node("Unsqueeze", ["x", "two"], ["u"]),
        node("Conv", ["u", "k"], ["c"], name="conv"),
        node("Squeeze", ["c", "two"], ["s"]),
        node("Relu", ["s"], ["r"], name="first"),
        node("Transpose", ["r"], ["t"], perm=[0, 2, 1]),
        node("Add", ["t", "b"], ["a"], name="last"),
        node("ReduceSum", ["a", "places"], ["y"], name="sum", keepdims=0),
    ]
    kernel = np.arange(15, dtype=np.float32).reshape(5, 3, 1, 1)
    weights = {"k": kernel, "two": np.array([2]), "b": np.ones(5, np.float32), "places": np.array([1])}
    model = make(nodes, [tensor("x", [None, 3, 4])], [tensor("y", [None, 5])], weights)
    onnx.save(model, tmp_path / "made.onnx")
    handle = onnx_tensorflow.open_model(tmp_path / "made.onnx", View("value", "regression"))
    assert [(one.name, one.shape) for one in handle.layers] == [
        *[("conv", (1, 4, 5)), ("first", (4, 5)), ("last", (4, 5)), ("sum", (5,))]
    ]
    x = np.random.default_rng(0).random((2, 3, 4)).astype(np.float32)
    expected = np.einsum("oc,rct->rto", kernel[:, :, 0, 0], x)
    np.testing.assert_allclose(handle.activations({"x": x}, "conv")[:, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(handle.activations({"x": x}, "first"), expected, rtol=1e-5)
    np.testing.assert_allclose(handle.activations({"x": x}, "last"), expected + 1, rtol=1e-5)


# --- SavedModels


def saved(call: Callable[..., Any], shape: tuple[int | None, ...], folder: Path) -> Path:
    tf = tensorflow()
    module = tf.Module()
    module.call = tf.function(call, input_signature=[tf.TensorSpec(shape, tf.float32, name="x")], autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.call)
    return folder / "saved_model.pb"


W = np.array([[1.0, -2.0], [0.5, 1.0]], np.float32)
ROWS = np.array([[1.0, 2.0], [-3.0, 1.0], [0.0, 4.0]], np.float32)


@pytest.mark.parametrize("rows", [None, 2])
def test_operations_without_scopes_are_layers_themselves(tmp_path: Path, rows: int | None) -> None:
    # x W for the first row (1, 2): (2, 0); relu keeps (2, 0); times (3, 1), summed: 6. The slope by the ReLU is (3, 1).
    def call(x: Any) -> Any:
        tf = tensorflow()
        hidden = tf.nn.relu(tf.matmul(x, W, name="product"), name="on")
        return tf.matmul(hidden, np.array([[3.0], [1.0]], np.float32), name="end")

    path = saved(call, (rows, 2), tmp_path / "plain")
    facts = tensorflow_native.inspect(path)
    assert [(one.name, one.kind) for one in facts.layers] == [("product", "MatMul"), ("on", "Relu"), ("end", "MatMul")]
    assert facts.capabilities >= {"LayerDifferentiable", "Rectified"}
    assert "LayerDifferentiable" not in facts.lacks
    handle = tensorflow_native.open_model(path, View("value", "regression"))
    given, slope = handle.layer_gradient({"x": ROWS}, np.zeros(3, int), "on")
    np.testing.assert_allclose(given, np.maximum(ROWS @ W, 0), atol=1e-6)
    np.testing.assert_allclose(slope, [[3, 1]] * 3)
    # Through W: guided where x W > 0, (2, 0), (-2.5, 7), (2, 4); deconvolution everywhere: W (3, 1) = (1, 2.5).
    guided = handle.rectified_gradient({"x": ROWS}, np.zeros(3, int), "guided")["x"]
    np.testing.assert_allclose(guided, [[3, 1.5], [-2, 1], [1, 2.5]])
    everywhere = handle.rectified_gradient({"x": ROWS}, np.zeros(3, int), "deconvolution")["x"]
    np.testing.assert_allclose(everywhere, [[1, 2.5]] * 3)


def test_a_subclassed_model_has_its_layers_once_it_is_exported(tmp_path: Path) -> None:
    k = keras()

    class Twice(k.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="twice")
            self.same = k.layers.Dense(2, "tanh", name="same")
            self.end = k.layers.Dense(3, name="end")

        def call(self, x: Any) -> Any:
            return k.ops.softmax(self.end(self.same(self.same(x)) + x))

    k.utils.set_random_seed(4)
    model = Twice()
    model(ROWS)
    model.save(tmp_path / "own.keras")
    with pytest.raises(ModelFileError, match="is a model of a class of its own") as caught:
        tensorflow_native.inspect(tmp_path / "own.keras")
    assert "model.export('FOLDER')" in caught.value.help
    model.export(tmp_path / "own", verbose=False)
    path = tmp_path / "own" / "saved_model.pb"
    facts = tensorflow_native.inspect(path)
    # Each use of a layer has a scope of its own, so that both can be looked at; the sum is an operation of the model's call.
    names = [one.name for one in facts.layers]
    assert [name.split("/")[1].rstrip("_0123456789") for name in names] == ["same", "same", "add", "end"]
    handle = tensorflow_native.open_model(path, View("logit"))
    assert [one.name for one in handle.layers] == names
    given = facts.inputs[0].name
    before, slope = handle.layer_gradient({given: ROWS}, np.ones(3, int), names[2])
    kernel = np.asarray(model.end.kernel)
    np.testing.assert_allclose(before, model.same(model.same(ROWS)) + ROWS, atol=1e-6)
    np.testing.assert_allclose(slope, np.tile(kernel[:, 1], (3, 1)), atol=1e-6)


def test_a_loop_is_a_layer_by_its_scope(tmp_path: Path) -> None:
    k = keras()
    k.utils.set_random_seed(5)
    layers = [k.layers.LSTM(3, return_sequences=True, name="steps"), k.layers.Flatten(), k.layers.Dense(2, name="end")]
    model = k.Sequential([k.Input((4, 2), name="x"), *layers], name="net")
    model.export(tmp_path / "net", verbose=False)
    model.save(tmp_path / "net.keras")
    x = np.random.default_rng(0).normal(size=(3, 4, 2)).astype(np.float32)
    path = tmp_path / "net" / "saved_model.pb"
    name = next(one.name for one in tensorflow_native.inspect(path).layers if "steps" in one.name)
    ours = tensorflow_native.open_model(path, View("value", "regression"))
    theirs = tensorflow_native.open_model(tmp_path / "net.keras", View("value", "regression"))
    given = ours._inputs[0].name
    for one, other in zip(
        ours.layer_gradient({given: x}, np.ones(3, int), name),
        theirs.layer_gradient({"x": x}, np.ones(3, int), "steps"),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_gradient_that_the_model_brings_itself_is_no_reason_to_give_another(tmp_path: Path) -> None:
    # Rounding whose gradient is said to be 1: the graph's own is 0, so that what layers say would be wrong.
    def call(x: Any) -> Any:
        tf = tensorflow()

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def straight(z: Any) -> Any:
            return tf.round(z), lambda slope: slope

        return tf.matmul(straight(tf.matmul(x, W, name="product")), W, name="end")

    handle = tensorflow_native.open_model(saved(call, (None, 2), tmp_path / "own"), View("value", "regression"))
    np.testing.assert_allclose(handle.gradient({"x": ROWS}, np.zeros(3, int))["x"], np.tile((W @ W)[:, 0], (3, 1)))
    assert handle.activations({"x": ROWS}, "product").shape == (3, 2)
    with pytest.raises(ModelFileError, match="brings a gradient of its own"):
        handle.layer_gradient({"x": ROWS}, np.zeros(3, int), "product")


def test_what_is_passed_on_together_has_each_its_own_layers(tmp_path: Path) -> None:
    """Two results through one ``IdentityN``: below the second stands the Tanh, and below the first the ReLU."""
    tf = tensorflow()
    module = tf.Module()

    def call(x: Any) -> Any:
        with tf.name_scope("one"):
            first = tf.nn.relu(tf.matmul(x, tf.ones((4, 2))))
        with tf.name_scope("other"):
            second = tf.nn.tanh(tf.matmul(x, tf.ones((4, 2))))
        return dict(zip("ab", tf.identity_n([first, second]), strict=True))

    module.call = tf.function(call, input_signature=[tf.TensorSpec((None, 4), "float32", "x")])
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.call)
    for output, scope in (("a", "one"), ("b", "other")):
        facts = tensorflow_native.inspect(tmp_path / "saved" / "saved_model.pb", View("value", output=output))
        assert [one.name.partition("/")[0] for one in facts.layers] == [scope]
