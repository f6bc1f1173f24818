"""Layers of quantised ONNX networks, and where the channels of any graph's tensors stand."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_families import node

from pgx_compiler.methods.gradient._layers import last_spatial_layer, resize
from pgx_compiler.methods.gradient._neurons import last_hidden_layer
from pgx_compiler.methods.gradient.grad_cam import grad_cam_map
from runtimes.capabilities import LayerDifferentiable, View
from runtimes.formats.onnx_facts import facts_of
from runtimes.frameworks import onnx_tensorflow
from runtimes.target import ModelFacts

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(11)
PICTURES = RNG.normal(size=(4, 3, 12, 12)).astype(np.float32)
TARGETS = np.array([0, 1, 2, 3])
VALUE = View("value", "regression")


def floats(*shape: int) -> Any:
    return (RNG.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def saved(path: Path, nodes: list[Any], held: dict[str, Any], shape: tuple[int, ...], opset: int = 17) -> Path:
    """A file that reads ``x`` and answers ``y``."""
    made = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", None])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(made, opset_imports=opsets, ir_version=9), path)
    return path


def network(path: Path, pooled: bool = False) -> Path:
    """Two convolutions, the mean over all places, and a product; perhaps a smaller picture in between."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], name="conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"], name="relu1"),
        helper.make_node("Conv", ["r1", "w2", "b2"], ["c2"], name="conv2"),
        helper.make_node("Relu", ["c2"], ["r2"], name="relu2"),
        *(
            [helper.make_node("MaxPool", ["r2"], ["p"], name="pool", kernel_shape=[5, 5], strides=[5, 5])]
            if pooled
            else []
        ),
        helper.make_node("GlobalAveragePool", ["p" if pooled else "r2"], ["a"], name="mean"),
        helper.make_node("Flatten", ["a"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "w3", "b3"], ["y"], name="end", transB=1),
    ]
    held = {"w1": floats(6, 3, 3, 3), "b1": floats(6) * 0.1, "w2": floats(8, 6, 3, 3), "b2": floats(8) * 0.1}
    return saved(path, nodes, held | {"w3": np.abs(floats(4, 8)), "b3": floats(4)}, PICTURES.shape[1:], opset=13)


def dynamic(path: Path) -> Path:
    from onnxruntime.quantization import quantize_dynamic

    made = path.with_name("dynamic.onnx")
    quantize_dynamic(str(path), str(made))
    return made


def whole(path: Path, **how: Any) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows: Iterator[Any] = iter([{"x": PICTURES}])

        def get_next(self) -> Any:
            return next(self._rows, None)

    made = path.with_name("whole.onnx")
    quantize_static(str(path), str(made), Reader(), quant_format=QuantFormat.QOperator, **how)
    return made


def shapes_of(facts: ModelFacts) -> dict[str, Any]:
    return {layer.name: layer.shape for layer in facts.layers}


def cam(path: Path) -> tuple[str, Any]:
    """The layer that a map is taken from, and the maps over the picture."""
    facts = onnx_tensorflow.inspect(path)
    layer = last_spatial_layer(facts)
    assert layer is not None
    handle = onnx_tensorflow.open_model(path, VALUE)
    assert isinstance(handle, LayerDifferentiable)
    given, slope = handle.layer_gradient({"x": PICTURES}, TARGETS, layer)
    assert shapes_of(facts)[layer] == given.shape[1:]
    return layer, resize(grad_cam_map(given, slope), (12, 12))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("quantise", [dynamic, whole])
def test_a_class_activation_map_of_a_quantised_network_is_that_of_the_network(
    quantise: Any, pooled: bool, tmp_path: Path
) -> None:
    plain = network(tmp_path / "floats.onnx", pooled)
    (layer, wanted), (_, found) = cam(plain), cam(quantise(plain))
    assert layer == "relu2"
    for ours, theirs in zip(found, wanted, strict=True):
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99
        # 8 bits: the maps agree in size as well, and not only in direction
        assert np.abs(ours - theirs).max() < 0.1 * np.abs(theirs).max()


def test_layers_of_whole_numbers_give_what_these_stand_for(tmp_path: Path) -> None:
    plain = network(tmp_path / "floats.onnx", pooled=True)
    path = whole(plain)
    assert "QLinearConv" in {one.op_type for one in onnx.load(path).graph.node}
    ours, theirs = (onnx_tensorflow.open_model(one, VALUE) for one in (path, plain))
    kinds = {layer.kind: layer.name for layer in ours.layers}
    assert {"QLinearConv", "MaxPool", "QLinearGlobalAveragePool"} <= kinds.keys()
    # a rectifier is fused into the convolution before it; layers follow in the same order
    names = [
        layer.name for layer in ours.layers if layer.kind in ("QLinearConv", "MaxPool", "QLinearGlobalAveragePool")
    ]
    for name, same in zip(names, ("relu1", "relu2", "pool", "mean"), strict=True):
        found, slope = ours.layer_gradient({"x": PICTURES}, TARGETS, name)
        wanted, its_slope = theirs.layer_gradient({"x": PICTURES}, TARGETS, same)
        # steps of 8 bits, and those of the layers before
        assert np.abs(found - wanted).max() < 4 / 255 * np.ptp(wanted)
        assert np.corrcoef(slope.ravel(), its_slope.ravel())[0, 1] > 0.95
    # nothing is changed by being looked at: 1 of 255 steps would be seen
    np.testing.assert_array_equal(
        ours.activations({"x": PICTURES}, names[0]), ours.layer_gradient({"x": PICTURES}, TARGETS, names[0])[0]
    )


def test_a_hidden_product_of_whole_numbers_is_found(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", "w1", outputs=("m",)),
        helper.make_node("Relu", ["m"], ["r"], name="on"),
        helper.make_node("MatMul", ["r", "w2"], ["y"], name="end"),
    ]
    plain = saved(tmp_path / "floats.onnx", nodes, {"w1": floats(12, 8), "w2": floats(8, 3)}, (12,))
    assert last_hidden_layer(facts_of(plain)) == "on"
    assert last_hidden_layer(facts_of(dynamic(plain))) == "on"


QUANTISE = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="to_whole")
DEQUANTISE = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], name="to_floats")


def test_a_network_without_layers_says_why_and_what_to_do(tmp_path: Path) -> None:
    held = {"s": np.float32(0.1), "z": np.uint8(128)}
    facts = facts_of(saved(tmp_path / "m.onnx", [QUANTISE, DEQUANTISE], held, (4,)))
    assert "LayerDifferentiable" not in facts.capabilities
    assert "`QuantizeLinear` (node to_whole)" in facts.lacks["LayerDifferentiable"]
    assert "name `model.keras`, or the file that it was exported from" in facts.lacks["LayerDifferentiable"]
    assert "`QuantizeLinear` (node to_whole)" in facts.lacks["Rectified"]
    assert "RulePropagating" in facts.capabilities


# --- channels, followed both ways


def test_what_a_convolution_reads_has_its_channels_where_it_reads_them(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Sub", ["x", "mean"], ["s"], name="centred"),
        helper.make_node("Div", ["s", "spread"], ["d"], name="scaled"),
        helper.make_node("Conv", ["d", "w"], ["c"], name="conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["a"], name="mean_of_all"),
        helper.make_node("Flatten", ["a"], ["y"], name="flat"),
    ]
    held = {"mean": floats(3, 1, 1), "spread": np.ones((3, 1, 1), np.float32) * 2, "w": floats(4, 3, 3, 3)}
    path = saved(tmp_path / "first.onnx", nodes, held, (3, 12, 10))
    assert shapes_of(facts_of(path)) == {
        "centred": (12, 10, 3), "scaled": (12, 10, 3), "conv": (10, 8, 4), "mean_of_all": (1, 1, 4)
    }  # fmt: skip
    rows = RNG.normal(size=(2, 3, 12, 10)).astype(np.float32)
    given = onnx_tensorflow.open_model(path, VALUE).activations({"x": rows}, "centred")
    np.testing.assert_allclose(given, np.moveaxis(rows - held["mean"], 1, -1), atol=1e-6)


def test_what_is_turned_for_a_convolution_keeps_its_channels_last(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "half"], ["m"], name="scaled"),
        helper.make_node("Transpose", ["m"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Tanh", ["t"], ["h"], name="bent"),
        helper.make_node("Conv", ["h", "w"], ["c"], name="conv"),
        helper.make_node("GlobalAveragePool", ["c"], ["a"], name="mean_of_all"),
        helper.make_node("Flatten", ["a"], ["y"]),
    ]
    held = {"half": np.float32(0.5), "w": floats(4, 3, 3, 3)}
    path = saved(tmp_path / "last.onnx", nodes, held, (12, 10, 3))
    found = shapes_of(facts_of(path))
    assert (found["scaled"], found["bent"], found["conv"]) == ((12, 10, 3), (12, 10, 3), (10, 8, 4))


SECOND = {
    "LpPool": (helper.make_node("LpPool", ["h"], ["made"], name="seen", kernel_shape=[2, 2]), (11, 9, 4)),
    "InstanceNormalization": (
        helper.make_node("InstanceNormalization", ["h", "ones", "zeros"], ["made"], name="seen"),
        (12, 10, 4),
    ),
    "DepthToSpace": (helper.make_node("DepthToSpace", ["h"], ["made"], name="seen", blocksize=2), (24, 20, 1)),
    "AveragePool": (helper.make_node("AveragePool", ["h"], ["made"], name="seen", kernel_shape=[3, 3]), (10, 8, 4)),
    "Resize": (
        helper.make_node("Resize", ["h", "", "twice"], ["made"], name="seen", mode="nearest"),
        (24, 20, 4),
    ),
}


@pytest.mark.parametrize("kind", SECOND)
def test_operators_on_places_have_channels_second_before_and_behind_them(kind: str, tmp_path: Path) -> None:
    seen, shape = SECOND[kind]
    nodes = [
        helper.make_node("Tanh", ["x"], ["h"], name="before"),
        seen,
        helper.make_node("Sigmoid", ["made"], ["g"], name="behind"),
        helper.make_node("GlobalAveragePool", ["g"], ["a"], name="mean"),
        helper.make_node("Flatten", ["a"], ["y"]),
    ]
    held = {
        "ones": np.ones(4, np.float32),
        "zeros": np.zeros(4, np.float32),
        "twice": np.array([1, 1, 2, 2], np.float32),
    }
    read = {name: held[name] for name in seen.input if name in held}
    path = saved(tmp_path / "m.onnx", nodes, read, (4, 12, 10), opset=18)
    found = shapes_of(facts_of(path))
    assert (found["before"], found["seen"], found["behind"]) == ((12, 10, 4), shape, shape)
    handle = onnx_tensorflow.open_model(path, VALUE)
    given = handle.activations({"x": RNG.normal(size=(2, 4, 12, 10)).astype(np.float32)}, "behind")
    assert given.shape == (2, *shape)


def test_shapes_that_are_known_only_in_part_are_found_when_it_runs(tmp_path: Path) -> None:
    # group normalisation as PyTorch exports it: reshaped to (rows, groups, rest), and back by the shape of what it was
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Shape", ["c"], ["size"]),
        helper.make_node("Reshape", ["c", "groups"], ["grouped"], name="apart"),
        helper.make_node("InstanceNormalization", ["grouped", "ones", "zeros"], ["n"], name="norm"),
        helper.make_node("Reshape", ["n", "size"], ["whole"], name="together"),
        helper.make_node("Mul", ["whole", "scale"], ["m"], name="scaled"),
        helper.make_node("Add", ["m", "shift"], ["s"], name="shifted"),
        helper.make_node("Relu", ["s"], ["r"], name="on"),
        helper.make_node("GlobalAveragePool", ["r"], ["a"], name="mean"),
        helper.make_node("Flatten", ["a"], ["y"]),
    ]
    held = {
        "w": floats(4, 3, 3, 3), "groups": np.array([0, 2, -1], np.int64), "ones": np.ones(2, np.float32),
        "zeros": np.zeros(2, np.float32), "scale": floats(4, 1, 1), "shift": floats(4, 1, 1),
    }  # fmt: skip
    path = saved(tmp_path / "m.onnx", nodes, held, (3, 8, 7), opset=13)  # whose inference does not follow Shape
    said = shapes_of(facts_of(path))
    assert said["conv"] is not None
    assert said["scaled"] is None
    handle = onnx_tensorflow.open_model(path, VALUE)
    rows = RNG.normal(size=(2, 3, 8, 7)).astype(np.float32)
    assert [layer.name for layer in handle.layers] == [layer.name for layer in facts_of(path).layers]
    for layer in handle.layers:
        given, slope = handle.layer_gradient({"x": rows}, np.zeros(2, int), layer.name)
        assert given.shape == slope.shape
        if layer.name in ("conv", "scaled", "shifted", "on"):
            assert given.shape == (2, 8, 7, 4)
