"""Incremental inference: only what a removed patch reaches is computed, and the scores are those of whole rows."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtimes.capabilities import View
from runtimes.conformance import check_composer
from runtimes.formats import onnx_incremental
from runtimes.formats.onnx_incremental import Patched, put, windows
from runtimes.formats.onnx_incremental_graph import Axes
from runtimes.frameworks import onnx_runtime

pytestmark = pytest.mark.frameworks


class Drawn:
    """A convolutional network written node by node, with random weights."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        array = (self.rng.normal(size=shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def constant(self, array: Any) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def add(self, kind: str, *reads: str, **said: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(reads), [name], **said))
        return name

    def saved(self, path: Path, shape: list[Any], last: str) -> Path:
        given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *shape])
        asked = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["n", 3])
        graph = helper.make_graph(self.nodes, "drawn", [given], [asked], self.weights)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)
        return path


def residual(path: Path, seed: int, height: int = 29, width: int = 32) -> Path:
    """Channels last outside; strides with one-sided padding, depthwise, batch norm, a residual sum, both poolings."""
    net = Drawn(seed)
    x = net.add("Transpose", "image", perm=[0, 3, 1, 2])
    x = net.add("Conv", x, net.weight(6, 3, 3, 3), net.weight(6), strides=[2, 2], pads=[0, 0, 1, 1])
    x = net.add("Relu", x)
    wide = net.add("Conv", x, net.weight(12, 6, 1, 1))
    wide = net.add("Clip", wide, net.constant(np.float32(0)), net.constant(np.float32(6)))
    wide = net.add("Conv", wide, net.weight(12, 1, 5, 5), group=12, pads=[2, 2, 2, 2])
    scale, shift = net.constant(np.ones(12, np.float32)), net.weight(12)
    wide = net.add("BatchNormalization", wide, scale, shift, shift, scale)
    wide = net.add("Add", wide, net.constant(np.full((1, 12, 1, 1), 0.5, np.float32)))
    narrow = net.add("Conv", wide, net.weight(6, 12, 1, 1))
    x = net.add("Add", x, narrow)
    x = net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = net.add("Conv", x, net.weight(8, 6, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2])
    x = net.add("AveragePool", x, kernel_shape=[2, 2], pads=[1, 0, 0, 1])
    x = net.add("Sigmoid", x)
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    return net.saved(path, [height, width, 3], net.add("MatMul", x, net.weight(8, 3)))


def plain(path: Path, seed: int) -> Path:
    """One channel put in front by a reshape; no padding, so that far pixels are read less or not at all."""
    net = Drawn(seed)
    x = net.add("Reshape", "image", net.constant(np.array([-1, 1, 28, 28])))
    x = net.add("Relu", net.add("Conv", x, net.weight(4, 1, 3, 3), net.weight(4)))
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Tanh", net.add("Conv", x, net.weight(5, 4, 3, 3), dilations=[2, 2]))
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.add("Flatten", x)
    return net.saved(path, [28, 28, 1], net.add("MatMul", x, net.weight(80, 3)))


def series(path: Path, seed: int) -> Path:
    """Time before channels; the sizeless axis that exporters put in and take out."""
    net = Drawn(seed)
    one = net.constant(np.array([2]))
    x = net.add("Transpose", "image", perm=[0, 2, 1])
    x = net.add("Conv", net.add("Unsqueeze", x, one), net.weight(4, 2, 1, 5), pads=[0, 2, 0, 2])
    x = net.add("Relu", net.add("MaxPool", x, kernel_shape=[1, 2], strides=[1, 2]))
    x = net.add("Squeeze", net.add("Conv", x, net.weight(4, 4, 1, 3), pads=[0, 1, 0, 1]), one)
    x = net.add("Flatten", net.add("GlobalMaxPool", x))
    return net.saved(path, [60, 2], net.add("MatMul", x, net.weight(4, 3)))


def grid(shape: tuple[int, ...], size: int) -> np.ndarray:
    across = -(-shape[1] // size) if len(shape) > 2 else 1
    owner = np.arange(shape[0])[:, None] // size * across + (np.arange(shape[1])[None] // size if len(shape) > 2 else 0)
    return np.array(np.broadcast_to(owner.reshape(owner.shape[0], -1, *[1] * (len(shape) - 2)), shape), np.int64)


@pytest.fixture(autouse=True)
def whatever_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks never pay; that the scores are right must show on them all the same."""
    for name, value in (("_LEAST_WORK", 0.0), ("_CALL", 0.0), ("_COPIED", 0.01), ("_PAYS", 5.0)):
        monkeypatch.setattr(onnx_incremental, name, value)


CASES = [(residual, (29, 32, 3)), (plain, (28, 28, 1)), (series, (60, 2))]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [2, 5, 9])
@pytest.mark.parametrize(("make", "shape"), CASES)
def test_patches_score_as_whole_rows_do(tmp_path: Path, make: Any, shape: Any, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    handle = onnx_runtime.open_model(make(tmp_path / "net.onnx", seed), View("value", "regression"))
    row, references = rng.normal(size=(1, *shape)).astype(np.float32), rng.normal(size=(2, *shape)).astype(np.float32)
    owner = grid(shape, size)
    owner.reshape(-1)[::7] = -1  # some elements are never perturbed
    features = int(owner.max()) + 1
    way = handle.coalitions({"image": row}, {"image": references}, {"image": owner})
    assert isinstance(way, Patched)
    masks = np.concatenate([~np.eye(features, dtype=bool), np.ones((1, features), bool)])
    assert way.takes(masks).all()
    composed = np.where(np.pad(masks, ((0, 0), (0, 1)), constant_values=True)[:, None, owner], row, references[None])
    whole = handle.predict({"image": composed.reshape(-1, *shape)})
    before = handle.spent.forward
    np.testing.assert_allclose(way.scores(masks), whole, atol=1e-5)
    assert handle.spent.forward - before == 2 * len(masks)
    assert way.scores(masks).tobytes() == way.scores(masks).tobytes()


def test_neighbours_are_taken_where_they_fit_and_far_patches_are_not(tmp_path: Path) -> None:
    handle = onnx_runtime.open_model(residual(tmp_path / "net.onnx", 0), View("value", "regression"))
    image = np.random.default_rng(0).normal(size=(1, 29, 32, 3)).astype(np.float32)
    owner = grid((29, 32, 3), 4)  # 8 rows of 8 patches
    way = handle.coalitions({"image": image}, {"image": np.zeros_like(image)}, {"image": owner})
    assert way is not None
    masks = np.ones((3, 64), bool)
    masks[0, 9] = masks[1, [0, 63]] = masks[2, :] = False
    assert way.takes(masks).tolist() == [True, False, False]


def test_the_whole_law_of_composers_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for make, shape in CASES:
        handle = onnx_runtime.open_model(make(tmp_path / "net.onnx", 1), View("value", "regression"))
        rows = rng.normal(size=(4, *shape)).astype(np.float32)
        assert check_composer(handle, {"image": rows}, rng) == []


def test_a_network_too_small_to_profit_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    handle = onnx_runtime.open_model(plain(tmp_path / "net.onnx", 0), View("value", "regression"))
    image = np.zeros((1, 28, 28, 1), np.float32)
    assert handle.coalitions({"image": image}, {"image": image}, {"image": grid((28, 28, 1), 4)}) is None


def test_missing_values_are_left_to_whole_rows(tmp_path: Path) -> None:
    handle = onnx_runtime.open_model(plain(tmp_path / "net.onnx", 0), View("value", "regression"))
    image = np.full((1, 28, 28, 1), np.nan, np.float32)
    assert handle.coalitions({"image": image}, {"image": image}, {"image": grid((28, 28, 1), 4)}) is None


def test_reach_along_an_axis_by_hand() -> None:
    # A kernel of 3 with padding 1, then one of 3 with stride 2 and no padding: element i reads 2i - 1 to 2i + 3.
    axes = Axes((1,), np.array([6]), np.array([2]), np.array([1]), np.array([3]))
    assert [int(n[0]) for n in axes.reads(np.array([2]), np.array([3]))] == [3, 8]
    # Element 5 is read by i = 1 (reads 1 to 5), 2 (3 to 7) and 3 (5 to 9).
    assert [int(n[0]) for n in axes.reached(np.array([5]), np.array([6]))] == [1, 4]


def test_windows_are_read_and_written_where_they_start() -> None:
    tensor = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    start = np.array([[0, 3], [2, 1]])
    taken = windows(tensor, (2, 3), start, np.array([2, 2]))
    np.testing.assert_array_equal(taken, np.stack([tensor[0, :, 0:2, 3:5], tensor[1, :, 2:4, 1:3]]))
    written = np.zeros_like(tensor)
    put(written, (2, 3), start, taken)
    assert written.sum() == taken.sum()
    np.testing.assert_array_equal(written[1, :, 2:4, 1:3], tensor[1, :, 2:4, 1:3])
