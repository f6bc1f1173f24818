"""Quantised ONNX networks rebuilt in TensorFlow: ONNX Runtime's numbers, and slopes that go straight through the rounding."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_families import graph, node

from runtimes.capabilities import View
from runtimes.formats.onnx_facts import facts_of
from runtimes.formats.onnx_rebuild import Rebuilt
from runtimes.frameworks import onnx_runtime, onnx_tensorflow

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(8)
PICTURES = RNG.uniform(-1, 1, (6, 3, 8, 8)).astype(np.float32)


def by_runtime(path: Path, x: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def answers_and_slopes(path: Path, x: Any, floats: str = "float32") -> tuple[Any, Any]:
    """What the rebuild gives, and the slopes of its first output's sum."""
    from runtimes.formats.keras_runtime import tensorflow

    tf = tensorflow()
    model = onnx.load(path)
    rebuilt = Rebuilt(model, model.graph.output[0].name, path.parent, floats)
    with tf.GradientTape() as tape:
        given = tf.constant(x, floats)
        tape.watch(given)
        made = rebuilt({"x": given})
        total = tf.reduce_sum(made[:, 0])
    return made.numpy(), tape.gradient(total, given).numpy()


def answers(path: Path, x: Any) -> Any:
    return Rebuilt(onnx.load(path), "y", path.parent)({"x": x}).numpy()


def network(folder: Path) -> Path:
    """A small convolutional network of floats."""

    def floats(*shape: int) -> Any:
        return (RNG.normal(size=shape) * 0.4).astype(np.float32)

    nodes = [
        node("Conv", "w1", "b1", outputs=("c1",), pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], pads=[0, 1, 1, 0], group=1),
        helper.make_node("Sigmoid", ["c2"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["m"], kernel_shape=[2, 2]),
        helper.make_node("GlobalAveragePool", ["m"], ["a"]),
        helper.make_node("Flatten", ["a"], ["f"]),
        helper.make_node("MatMul", ["f", "w3"], ["t"]),
        helper.make_node("Add", ["t", "b3"], ["y"]),
    ]
    held = {"w1": floats(4, 3, 3, 3), "b1": floats(4), "w2": floats(5, 4, 2, 2), "w3": floats(5, 3), "b3": floats(3)}
    made = graph(nodes, held, PICTURES.shape)
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 3]))
    path = folder / "floats.onnx"
    onnx.save(made, path)
    return path


def dynamic(path: Path, **how: Any) -> Path:
    from onnxruntime.quantization import quantize_dynamic

    made = path.with_name("dynamic.onnx")
    quantize_dynamic(str(path), str(made), **how)
    return made


def static(path: Path, form: str) -> Path:
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows: Iterator[Any] = iter([{"x": PICTURES[:3]}, {"x": PICTURES[3:]}])

        def get_next(self) -> Any:
            return next(self._rows, None)

    made = path.with_name(f"{form}.onnx")
    kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
    quantize_static(str(path), str(made), Reader(), quant_format=QuantFormat[form], **kinds)
    return made


WAYS: dict[str, tuple[Callable[[Path], Path], set[str]]] = {
    "dynamic": (dynamic, {"DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"}),
    "dynamic, by channel": (lambda path: dynamic(path, per_channel=True), {"DynamicQuantizeLinear", "ConvInteger"}),
    "QDQ": (lambda path: static(path, "QDQ"), {"QuantizeLinear", "DequantizeLinear"}),
    "QOperator": (
        lambda path: static(path, "QOperator"),
        {"QLinearConv", "QLinearMatMul", "QLinearAdd", "QLinearSigmoid"},
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_network_that_onnx_runtime_has_quantised_keeps_its_numbers_and_nearly_its_slopes(
    way: str, tmp_path: Path
) -> None:
    quantise, kinds = WAYS[way]
    floats = network(tmp_path)
    path = quantise(floats)
    assert kinds <= {one.op_type for one in onnx.load(path).graph.node}
    found, slopes = answers_and_slopes(path, PICTURES[:1])
    np.testing.assert_allclose(found, by_runtime(path, PICTURES[:1]), atol=1e-5)
    _, wanted = answers_and_slopes(floats, PICTURES[:1])
    assert np.abs(slopes).max() > 0
    # 8 bits: a step is 1/255 of a tensor's range, and slopes are taken at the rounded numbers
    assert np.corrcoef(slopes.ravel(), wanted.ravel())[0, 1] > 0.97
    assert np.linalg.norm(slopes - wanted) < 0.25 * np.linalg.norm(wanted)


def test_a_row_is_answered_alone_where_numbers_are_rounded_by_the_range_of_a_call(tmp_path: Path) -> None:
    path = dynamic(network(tmp_path))
    together, alone = by_runtime(path, PICTURES), np.concatenate([by_runtime(path, row[None]) for row in PICTURES])
    assert np.abs(together - alone).max() > 1e-4  # a row's answer depends on the rows beside it
    for framework in (onnx_runtime, onnx_tensorflow):
        handle = framework.open_model(path, View("value", "regression"))
        assert handle.rows_per_call == 1
        np.testing.assert_allclose(handle.predict({"x": PICTURES}), alone, atol=1e-5)
    # with scales that the file holds, rows have nothing to do with one another
    assert onnx_runtime.open_model(static(network(tmp_path), "QDQ"), View("value", "regression")).rows_per_call > 1


def test_facts_say_that_a_file_rounds_on_its_way(tmp_path: Path) -> None:
    floats = network(tmp_path)
    assert not facts_of(floats).coarse
    for path in (dynamic(floats), static(floats, "QDQ"), static(floats, "QOperator")):
        facts = facts_of(path)
        assert facts.coarse
        assert "Differentiable" in facts.capabilities
        assert "Q" in facts.without_rescaling  # no rule shares out the differences of a rounding


def rounded(
    tmp_path: Path, nodes: list[Any], held: dict[str, Any], output: int = TensorProto.FLOAT, opset: int = 21
) -> Path:
    model = graph(nodes, held, (1, 4), opset)
    model.ir_version = 10
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", output, None))
    onnx.save(model, tmp_path / "rounded.onnx")
    return tmp_path / "rounded.onnx"


def test_slopes_are_those_without_the_rounding_and_none_beyond_the_range(tmp_path: Path) -> None:
    # Steps of 0.1 from -12.8 to 12.7: 0.26 is 3 steps, 0.3 again; 20 is cut off at 12.7, and nothing moves it.
    # y = 2 · x, so the slope is 2 where a number is kept, and 0 where it is cut off.
    nodes = [
        node("QuantizeLinear", "s", "z", outputs=("q",)),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Mul", ["d", "two"], ["y"]),
    ]
    path = rounded(tmp_path, nodes, {"s": np.float32(0.1), "z": np.int8(0), "two": np.float32(2)})
    x = np.array([[0.26], [-3.04], [20.0], [-12.79]], np.float32)
    found, slopes = answers_and_slopes(path, x)
    np.testing.assert_allclose(found[:, 0], [0.6, -6.0, 25.4, -25.6], atol=1e-5)
    np.testing.assert_array_equal(slopes[:, 0], [2, 2, 0, 2])


def test_whole_numbers_that_somebody_reads_as_such_cut_slopes_off(tmp_path: Path) -> None:
    held = {"s": np.float32(0.1), "z": np.uint8(3), "t": np.uint8(5)}
    quantise = node("QuantizeLinear", "s", "z", outputs=("q",))
    read = [helper.make_node("Greater", ["q", "t"], ["b"]), helper.make_node("Cast", ["b"], ["y"], to=1)]
    assert "`QuantizeLinear`" in facts_of(rounded(tmp_path, [quantise, *read], held)).lacks["Differentiable"]
    back = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"])
    added = [helper.make_node("Cast", ["b"], ["f"], to=1), helper.make_node("Add", ["d", "f"], ["y"])]
    path = rounded(tmp_path, [quantise, back, read[0], *added], held)
    assert "`QuantizeLinear`" in facts_of(path).lacks["Differentiable"]
    x = RNG.uniform(-1, 1, (1, 4)).astype(np.float32)
    np.testing.assert_array_equal(answers(path, x), by_runtime(path, x))


def test_whole_numbers_are_carried_and_joined_on_their_way(tmp_path: Path) -> None:
    # Both halves go through Reshape, Transpose and Concat as whole numbers, and come back as what they were: slope 1.
    held = {"s": np.float32(0.01), "z": np.uint8(128), "by": np.array([2, 2]), "flat": np.array([1, 8])}
    nodes = [
        node("QuantizeLinear", "s", "z", outputs=("q",)),
        helper.make_node("Reshape", ["q", "by"], ["r"]),
        helper.make_node("Transpose", ["r"], ["t"], perm=[1, 0]),
        helper.make_node("Concat", ["r", "t"], ["c"], axis=1),
        helper.make_node("Reshape", ["c", "flat"], ["e"]),
        helper.make_node("DequantizeLinear", ["e", "s", "z"], ["d"]),
        helper.make_node("ReduceSum", ["d", "axes"], ["y"], keepdims=1),
    ]
    path = rounded(tmp_path, nodes, {**held, "axes": np.array([1])})
    x = np.array([[0.101, -0.2, 0.333, 0.5]], np.float32)
    found, slopes = answers_and_slopes(path, x)
    np.testing.assert_allclose(found, by_runtime(path, x), atol=1e-6)
    np.testing.assert_array_equal(slopes, [[2, 2, 2, 2]])


def test_products_with_scales_of_their_own_end_in_floats(tmp_path: Path) -> None:
    weights = RNG.integers(0, 255, (4, 3)).astype(np.uint8)
    held = {"w": weights, "ws": np.float32(0.02), "wz": np.uint8(120), "b": np.array([0.1, -0.3, 0.2], np.float32)}
    fused = helper.make_node("DynamicQuantizeMatMul", ["x", "w", "ws", "wz", "b"], ["y"], domain="com.microsoft")
    x = RNG.uniform(-1, 1, (1, 4)).astype(np.float32)
    path = rounded(tmp_path, [fused], held)
    found, slopes = answers_and_slopes(path, x)
    np.testing.assert_allclose(found, by_runtime(path, x), atol=1e-5)
    # without the rounding of x, y = x · (w - 120) · 0.02 + b
    np.testing.assert_allclose(slopes[0], (weights[:, 0].astype(float) - 120) * 0.02, rtol=1e-5)
    assert onnx_runtime.open_model(path, View("value", "regression")).rows_per_call == 1


@pytest.mark.parametrize("bias", [False, True])
def test_a_product_of_whole_numbers_with_a_bias_in_both_scales(bias: bool, tmp_path: Path) -> None:
    weights = RNG.integers(-127, 127, (3, 4)).astype(np.int8)
    held = {"s": np.float32(0.01), "z": np.uint8(128), "w": weights, "ws": np.array([0.01, 0.02, 0.03], np.float32)}
    held |= {
        "wz": np.zeros(3, np.int8),
        "os": np.float32(0.05),
        "oz": np.uint8(100),
        "b": np.array([900, -500, 100], np.int32),
    }
    inputs = ["q", "s", "z", "w", "ws", "wz", "b" if bias else "", "os", "oz"]
    nodes = [
        node("QuantizeLinear", "s", "z", outputs=("q",)),
        helper.make_node("QGemm", inputs, ["p"], domain="com.microsoft", transB=1),
        helper.make_node("DequantizeLinear", ["p", "os", "oz"], ["y"]),
    ]
    path = rounded(tmp_path, nodes, held)
    x = RNG.uniform(-1, 1, (1, 4)).astype(np.float32)
    found, slopes = answers_and_slopes(path, x)
    np.testing.assert_allclose(found, by_runtime(path, x), atol=1e-5)
    np.testing.assert_allclose(slopes[0], weights[0] * 0.01, rtol=1e-5)


def test_eight_bits_of_a_float_are_rounded_half_to_even_and_slopes_go_through(tmp_path: Path) -> None:
    # e4m3fn has three bits behind the point: between 1 and 2 steps of 1/8; 1.0625 is half way, to the even 1.0, and 1.1875
    # to the even 1.25; 1000 is cut off at 448.
    nodes = [node("Cast", outputs=("c",), to=TensorProto.FLOAT8E4M3FN), helper.make_node("Cast", ["c"], ["y"], to=1)]
    x = np.array([[1.0625], [1.1875], [-1.3], [1000.0]], np.float32)
    path = rounded(tmp_path, nodes, {})
    found, slopes = answers_and_slopes(path, x)
    np.testing.assert_array_equal(found[:, 0], [1.0, 1.25, -1.25, 448.0])
    np.testing.assert_array_equal(slopes[:, 0], [1, 1, 1, 0])


def test_weights_of_four_bits_are_cast_as_they_are_read(tmp_path: Path) -> None:
    four = numpy_helper.to_array(helper.make_tensor("w", TensorProto.INT4, [4, 1], [-8, 7, 3, -1]))
    nodes = [helper.make_node("Cast", ["w"], ["v"], to=1), node("MatMul", "v")]
    found, slopes = answers_and_slopes(rounded(tmp_path, nodes, {"w": four}), np.ones((1, 4), np.float32))
    assert found.item() == -8 + 7 + 3 - 1
    np.testing.assert_array_equal(slopes, [[-8, 7, 3, -1]])


def test_what_is_drawn_anew_in_every_call_is_refused_with_the_reason(tmp_path: Path) -> None:
    for kind in ("Bernoulli", "RandomNormalLike", "RandomUniformLike"):
        path = rounded(tmp_path, [node(kind, outputs=("d",)), helper.make_node("Mul", ["x", "d"], ["y"])], {})
        assert f"operator `{kind}`" in facts_of(path).lacks["Differentiable"]
        assert "it draws other numbers in every call" in facts_of(path).lacks["Differentiable"]


def test_slopes_reach_the_first_place_of_each_distinct_number(tmp_path: Path) -> None:
    # The distinct numbers of 3, 1, 3, 2 in ascending order are 1 (place 1), 2 (place 3) and 3 (place 0).
    nodes = [
        node("Unique", outputs=("u",)),
        helper.make_node("Mul", ["u", "w"], ["m"]),
        helper.make_node("Reshape", ["m", "by"], ["y"]),
    ]
    path = rounded(tmp_path, nodes, {"w": np.array([10, 100, 1000], np.float32), "by": np.array([-1, 1])})
    found, slopes = answers_and_slopes(path, np.array([[3, 1, 3, 2]], np.float32))
    np.testing.assert_array_equal(found[:, 0], [10, 200, 3000])
    np.testing.assert_array_equal(slopes, [[1000, 10, 0, 100]])
