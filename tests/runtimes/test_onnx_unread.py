"""What a convolutional network computes and nobody reads is cut off before its answer and its slopes, and stays to be looked at."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from runtimes.capabilities import View
from runtimes.formats.onnx_unread import without_unread
from runtimes.frameworks import onnx_runtime, onnx_tensorflow
from tests.convolutional_networks import Drawn, plain, residual

pytestmark = pytest.mark.frameworks

DIGITS = Path(__file__).parents[2] / "specs" / "models" / "digits.onnx"


def cut_to(model: Any) -> list[int] | None:
    """The sizes that the tensor is cut to, with the axes that they are of."""
    less = without_unread(model)
    if less is None:
        return None
    held = {tensor.name: onnx.numpy_helper.to_array(tensor).tolist() for tensor in less.graph.initializer}
    (sliced,) = [node for node in less.graph.node if node.op_type == "Slice" and node.output[0].endswith("/read")]
    return [*held[sliced.input[2]], *held[sliced.input[3]]]


def chain(path: Path, size: int = 13, *, pads: int = 0, pooled: int = 2, called: str = "", opset: int = 15) -> Path:
    """A kernel of 3 and a pooling: of 13 x 13 pixels 11 x 11 are made, of which a pooling of 2 reads 10 x 10."""
    net = Drawn(0)
    x = net.add("Conv", "image", net.weight(4, 1, 3, 3), kernel_shape=[3, 3], pads=[pads] * 4)
    x = net.add("MaxPool", net.add("Relu", x), kernel_shape=[pooled, pooled], strides=[pooled, pooled])
    if called:
        net.nodes.append(onnx.helper.make_node("Relu", [x], [called]))
    x = net.add("Flatten", net.add("GlobalAveragePool", called or x))
    net.saved(path, [1, size, size], net.add("MatMul", x, net.weight(4, 3)))
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({}, [12, 12, 2, 3]),
        ({"size": 14}, None),  # 12 x 12: a pooling of 2 reads them all
        ({"pooled": 3}, [11, 11, 2, 3]),  # 9 of 11
        ({"pads": 1}, None),  # zeros behind the last pixel would move
        ({"size": 401}, None),  # a two-hundredth of the work is too little
    ],
)
def test_what_is_read_by_hand(tmp_path: Path, said: dict[str, Any], read: list[int] | None) -> None:
    assert cut_to(onnx.load(chain(tmp_path / "net.onnx", **said))) == read


def test_the_digits_are_read_to_26_of_28_pixels() -> None:
    # 28 - 2 = 26, halved 13, - 2 = 11, halved 5: of 11 ten are read, so 12 of 13, so 24 of 26, so 26 of 28.
    assert cut_to(onnx.load(DIGITS)) == [26, 26, 2, 3]


@pytest.mark.parametrize("make", [plain, residual])
def test_other_networks_answer_the_same_whether_cut_or_not(tmp_path: Path, make: Any) -> None:
    path = make(tmp_path / "net.onnx", 0)
    handle = onnx_tensorflow.open_model(path, View("value", "regression"))
    image = np.random.default_rng(0).normal(size=(5, *handle.inputs[0].shape[1:])).astype(np.float32)
    theirs = onnx_runtime.open_model(path, View("value", "regression")).predict({"image": image})
    np.testing.assert_allclose(handle.predict({"image": image}), theirs, atol=1e-5)


def test_answers_and_slopes_are_those_of_the_whole_and_the_border_has_none() -> None:
    less = onnx_tensorflow.open_model(DIGITS, View("logit"))
    assert isinstance(less, onnx_tensorflow.RebuiltModel)
    whole = onnx_tensorflow.RebuiltModel(less.rebuilt, less.inputs, less._setting)
    assert less._least is not less.rebuilt
    assert whole._least is whole.rebuilt
    images = np.random.default_rng(0).random((7, 28, 28, 1)).astype(np.float32)
    np.testing.assert_allclose(less.predict({"image": images}), whole.predict({"image": images}), atol=1e-4)
    target = np.arange(7)
    slopes, all_of_them = (handle.gradient({"image": images}, target)["image"] for handle in (less, whole))
    np.testing.assert_allclose(slopes, all_of_them, atol=1e-4 * np.abs(all_of_them).max())
    assert not slopes[:, 26:].any()
    assert not slopes[:, :, 26:].any()
    assert np.abs(slopes[:, :26, :26]).max() > 0.1


def test_layers_keep_what_nobody_reads() -> None:
    handle = onnx_tensorflow.open_model(DIGITS, View("logit"))
    assert isinstance(handle, onnx_tensorflow.RebuiltModel)
    shapes = {layer.shape for layer in handle.layers}
    assert (26, 26, 16) in shapes
    assert (24, 24, 16) not in shapes


@pytest.mark.parametrize(
    "said", [{"opset": 7}, {"opset": 9}, {"opset": 10}, {"called": "image/read"}, {"called": "image/read/ends"}]
)
def test_files_of_any_opset_and_names_are_cut(tmp_path: Path, said: dict[str, Any]) -> None:
    path = chain(tmp_path / "net.onnx", **said)
    handle = onnx_tensorflow.open_model(path, View("value", "regression"))
    assert isinstance(handle, onnx_tensorflow.RebuiltModel)
    assert handle._least is not handle.rebuilt
    image = np.random.default_rng(0).normal(size=(5, 1, 13, 13)).astype(np.float32)
    theirs = onnx_runtime.open_model(path, View("value", "regression")).predict({"image": image})
    np.testing.assert_allclose(handle.predict({"image": image}), theirs, atol=1e-5)


def test_a_cut_that_would_answer_otherwise_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrongly(model: Any) -> Any:
        less = without_unread(model)
        held = next(one for one in less.graph.initializer if one.name.endswith("/ends"))
        held.CopyFrom(onnx.numpy_helper.from_array(np.array([9, 9]), held.name))
        return less

    monkeypatch.setattr(onnx_tensorflow, "without_unread", wrongly)
    handle = onnx_tensorflow.open_model(chain(tmp_path / "net.onnx"), View("value", "regression"))
    assert isinstance(handle, onnx_tensorflow.RebuiltModel)
    assert handle._least is handle.rebuilt
