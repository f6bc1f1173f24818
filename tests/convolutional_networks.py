"""Convolutional networks written node by node, with random weights, and divisions of their images into patches."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


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


CASES = [(residual, (29, 32, 3)), (plain, (28, 28, 1)), (series, (60, 2))]
