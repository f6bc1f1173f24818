"""Relevance and DeepLIFT through graphs of operations: signs, masks, groups, parts of a split, and rows that are not first."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import Rule, Rules, View
from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.frameworks import onnx_tensorflow, tensorflow_native

pytestmark = pytest.mark.frameworks

ROWS = 3
TARGET = np.array([0, 1, 2])
NO_BIAS: Rules = (("any", Rule("epsilon", epsilon=1e-9, biases=False)),)
EPSILON: Rules = (("any", Rule("epsilon", epsilon=1e-9)),)
CLOSE: dict[str, Any] = {"rtol": 1e-3, "atol": 2e-4}

RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def begun_anew() -> None:
    """The same numbers for a test whichever ran before it."""
    RNG.bit_generator.state = np.random.default_rng(7).bit_generator.state


def whole(numbers: list[int]) -> Any:
    return np.array(numbers, np.int64)


def drawn(*shape: int) -> Any:
    return (RNG.normal(size=shape) / np.sqrt(prod(shape[1:]))).astype(np.float32)


def node(kind: str, read: list[str], made: str | list[str], **said: Any) -> Any:
    from onnx import helper

    return helper.make_node(kind, read, [made] if isinstance(made, str) else made, **said)


def written(folder: Path, nodes: list[Any], inputs: dict[str, tuple[Any, ...]], weights: dict[str, Any]) -> Path:
    """An ONNX file; inputs named ``ids`` or ``mask`` are whole numbers."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def told(name: str) -> int:
        return int(TensorProto.INT64 if name in ("ids", "mask") else TensorProto.FLOAT)

    given = [helper.make_tensor_value_info(name, told(name), ["N", *shape]) for name, shape in inputs.items()]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", None])]
    graph = helper.make_graph(nodes, "g", given, made, held)
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def opened(path: Path) -> Any:
    framework = onnx_tensorflow if path.suffix == ".onnx" else tensorflow_native
    facts = framework.inspect(path)
    assert facts.without_rule == facts.without_rescaling == ""
    return framework.open_model(path, View("value", "regression"))


def total(maps: dict[str, Any]) -> Any:
    return sum(one.reshape(ROWS, -1).sum(axis=1) for one in maps.values())


def scores(handle: Any, given: dict[str, Any]) -> Any:
    return handle.predict(given)[np.arange(ROWS), TARGET]


def normal(*shape: int) -> dict[str, Any]:
    return {"x": RNG.normal(size=(ROWS, *shape)).astype(np.float32)}


def assert_differences_add_up(handle: Any, given: dict[str, Any], start: dict[str, Any]) -> None:
    found = total(handle.rescaled_contributions(given, start, TARGET))
    wanted = scores(handle, given) - scores(handle, start)
    np.testing.assert_allclose(found, wanted, **CLOSE)


def assert_as_slopes(handle: Any, given: dict[str, Any]) -> None:
    """Of ReLU and weighed sums, the epsilon rule without an epsilon is the slope times the input."""
    found, slopes = handle.relevance(given, TARGET, EPSILON), handle.gradient(given, TARGET)
    for name, one in found.items():
        wanted = slopes[name] * given[name]
        np.testing.assert_allclose(one, wanted, atol=1e-3 * np.abs(wanted).max())


def test_a_constant_less_a_product_keeps_its_sign(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w"], "g", transB=1), node("Sub", ["b", "g"], "s"), node("Relu", ["s"], "r")]
    weights = {"w": drawn(5, 4), "b": drawn(5), "f": drawn(3, 5)}
    handle = opened(written(tmp_path, [*nodes, node("Gemm", ["r", "f"], "y", transB=1)], {"x": (4,)}, weights))
    assert_as_slopes(handle, normal(4))


def test_a_summand_wider_than_its_product_is_shared_out(tmp_path: Path) -> None:
    nodes = [node("Gemm", ["x", "w"], "g", transB=1), node("Relu", ["g"], "r")]
    nodes += [node("Gemm", ["r", "f"], "z", transB=1), node("Add", ["z", "t"], "y")]
    weights = {"w": drawn(6, 4), "f": drawn(1, 6), "t": drawn(4)}
    handle, given = opened(written(tmp_path, nodes, {"x": (4,)}, weights)), normal(4)
    assert_as_slopes(handle, given)
    np.testing.assert_allclose(total(handle.relevance(given, TARGET, NO_BIAS)), scores(handle, given), **CLOSE)


def test_a_constant_on_the_left_of_a_product_is_its_kernel(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["l", "x"], "m"), node("Add", ["m", "b"], "a"), node("Relu", ["a"], "r")]
    nodes += [node("Flatten", ["r"], "f"), node("MatMul", ["f", "w"], "y")]
    weights = {"l": drawn(5, 6), "b": drawn(5, 1), "w": drawn(15, 3)}
    handle, given = opened(written(tmp_path, nodes, {"x": (6, 3)}, weights)), normal(6, 3)
    assert_as_slopes(handle, given)
    # The squared weights of the kernel: each element of x[:, c] gets the share of its column of l squared, whatever x is.
    first = handle.relevance(given, TARGET, (("first", Rule("w_squared")), *EPSILON))["x"]
    squared = weights["l"].astype(np.float64) ** 2
    summed = np.einsum("os,nsc->noc", weights["l"], given["x"]) + weights["b"]
    at = np.maximum(summed, 0).reshape(ROWS, 15) * weights["w"][:, TARGET].T
    wanted = np.einsum("os,noc->nsc", squared / squared.sum(axis=1, keepdims=True), at.reshape(ROWS, 5, 3))
    np.testing.assert_allclose(first, wanted, **CLOSE)


RULES: dict[str, Rules] = {
    "gamma": (("any", Rule("gamma", epsilon=1e-3)),),
    "alpha-beta": (("any", Rule("alpha_beta", epsilon=1e-3)),),
    "squared": (("first", Rule("w_squared")), ("any", Rule("gamma", epsilon=1e-3))),
    "box": (("first_convolution", Rule("box")), ("any", Rule("epsilon", epsilon=1e-3))),
}


@pytest.mark.parametrize("rules", RULES.values(), ids=RULES)
def test_groups_of_channels_share_out_as_one_layer(tmp_path: Path, rules: Rules) -> None:
    """Held against the layer of Keras with the same weights, which is one convolution in groups."""
    k = keras()
    x = k.Input((6, 5, 4), name="x")
    y = k.layers.ReLU()(k.layers.BatchNormalization()(k.layers.Conv2D(6, 3, groups=2, padding="same")(x)))
    model = k.Model(x, k.layers.Dense(3)(k.layers.GlobalAveragePooling2D()(y)))
    for weight in model.weights:
        value = 0.5 * RNG.normal(size=weight.shape)
        weight.assign(np.abs(value) + 0.4 if weight.name == "moving_variance" else value)
    model.save(tmp_path / "model.keras")
    _, conv, normed, *_, last = model.layers
    weights = {"w": conv.kernel.numpy().transpose(3, 2, 0, 1), "c": conv.bias.numpy()}
    weights |= {"s": normed.gamma.numpy(), "o": normed.beta.numpy(), "m": normed.moving_mean.numpy()}
    weights |= {"v": normed.moving_variance.numpy(), "f": last.kernel.numpy(), "b": last.bias.numpy()}
    nodes = [node("Transpose", ["x"], "t", perm=[0, 3, 1, 2])]
    nodes += [node("Conv", ["t", "w", "c"], "g", group=2, pads=[1, 1, 1, 1])]
    nodes += [node("BatchNormalization", ["g", "s", "o", "m", "v"], "n", epsilon=float(normed.epsilon))]
    nodes += [node("Relu", ["n"], "r"), node("GlobalAveragePool", ["r"], "p"), node("Flatten", ["p"], "q")]
    rebuilt = opened(written(tmp_path, [*nodes, node("Gemm", ["q", "f", "b"], "y")], {"x": (6, 5, 4)}, weights))
    own: Any = tensorflow_native.open_model(tmp_path / "model.keras", View("value", "regression"))
    given = normal(6, 5, 4)["x"]
    maps = []
    for handle in (own, rebuilt):
        name = handle._inputs[0].name
        ends = [{name: np.full_like(given, end)} for end in (-3.0, 3.0)]
        maps.append(handle.relevance({name: given}, TARGET, rules, *ends)[name])
    np.testing.assert_allclose(maps[1], maps[0], atol=1e-4 * np.abs(maps[0]).max())


def test_a_normalisation_on_a_transposed_convolution_in_groups_is_refused_by_name(tmp_path: Path) -> None:
    nodes = [
        node("ConvTranspose", ["x", "w"], "c", group=2),
        node("BatchNormalization", ["c", "s", "o", "m", "v"], "n"),
    ]
    nodes += [node("Relu", ["n"], "r"), node("GlobalAveragePool", ["r"], "p"), node("Flatten", ["p"], "y")]
    weights = {"w": drawn(4, 3, 2, 2), "s": drawn(6), "o": drawn(6), "m": drawn(6), "v": np.abs(drawn(6)) + 1}
    facts = onnx_tensorflow.inspect(written(tmp_path, nodes, {"x": (4, 5, 5)}, weights))
    assert "`BatchNormalization`" in facts.without_rule
    assert "ConvTranspose in groups" in facts.without_rule


def attending(mask: str) -> tuple[list[Any], dict[str, Any]]:
    """Attention of ``h`` to itself, with what makes and applies a mask."""
    nodes = [node("MatMul", ["h", f"w{one}"], one) for one in "qkv"] + [node("Transpose", ["k"], "t", perm=[0, 2, 1])]
    nodes.append(node("MatMul", ["q", "t"], "a"))
    nodes.append(node("Where", ["m", "a", "low"], "b") if mask == "where" else node("Add", ["a", "m"], "b"))
    nodes += [node("Softmax", ["b"], "s", axis=-1), node("MatMul", ["s", "v"], "o")]
    nodes += [node("ReduceMean", ["o"], "c", axes=[1], keepdims=0), node("Gemm", ["c", "f"], "y", transB=1)]
    return nodes, {"wq": drawn(6, 6), "wk": drawn(6, 6), "wv": drawn(6, 6), "f": drawn(3, 6), "low": np.float32(-1e9)}


@pytest.mark.parametrize("mask", ["where", "add"])
def test_differences_pass_a_mask_that_is_spread_over_the_rows(tmp_path: Path, mask: str) -> None:
    rest, weights = attending(mask)
    low = np.tril(np.ones((1, 5, 5))) > 0
    weights |= {"z": whole([0]), "e": whole([1]), "sizes": whole([5, 5])}
    weights["low_half"] = low if mask == "where" else np.where(low, 0, -1e4).astype(np.float32)
    nodes = [node("Identity", ["x"], "h"), node("Shape", ["x"], "sh"), node("Slice", ["sh", "z", "e"], "n")]
    nodes += [node("Concat", ["n", "sizes"], "all", axis=0), node("Expand", ["low_half", "all"], "m")]
    handle = opened(written(tmp_path, nodes + rest, {"x": (5, 6)}, weights))
    assert_differences_add_up(handle, normal(5, 6), normal(5, 6))


def ids(size: int) -> Any:
    """Words with two places of padding behind them."""
    drawn_ids = RNG.integers(1, 12, (ROWS, size))
    drawn_ids[:, -2:] = 0
    return drawn_ids


def assert_words_share_out(handle: Any, given: dict[str, Any], start: dict[str, Any]) -> None:
    above, row, before = handle.above, handle.embed(given), handle.embed(start)
    np.testing.assert_allclose(total(above.relevance(row, TARGET, NO_BIAS)), scores(above, row), **CLOSE)
    assert_differences_add_up(above, row, before)


def test_a_mask_of_whole_numbers_gets_nothing_of_attention(tmp_path: Path) -> None:
    rest, weights = attending("add")
    weights |= {"E": drawn(12, 6), "u": whole([1]), "one": np.float32(1), "big": np.float32(-1e4)}
    nodes = [
        node("Gather", ["E", "ids"], "h"),
        node("Unsqueeze", ["mask", "u"], "mu"),
        node("Cast", ["mu"], "mc", to=1),
    ]
    nodes += [node("Sub", ["one", "mc"], "mi"), node("Mul", ["mi", "big"], "m")]
    handle = opened(written(tmp_path, nodes + rest, {"ids": (5,), "mask": (5,)}, weights))
    given, start = ({"ids": one, "mask": (one > 0).astype(np.int64)} for one in (ids(5), ids(5)))
    assert_words_share_out(handle, given, start)


def test_a_mask_of_words_gets_nothing_of_their_mean(tmp_path: Path) -> None:
    weights = {"E": drawn(12, 6), "z": np.int64(0), "u": whole([2]), "axis": whole([1])}
    weights |= {"w": drawn(4, 6), "f": drawn(3, 4)}
    nodes = [node("Gather", ["E", "ids"], "e"), node("Equal", ["ids", "z"], "eq"), node("Not", ["eq"], "is")]
    nodes += [node("Cast", ["is"], "m", to=1), node("Unsqueeze", ["m", "u"], "mu"), node("Mul", ["e", "mu"], "em")]
    nodes += [node("ReduceSum", ["em", "axis"], "s", keepdims=0), node("ReduceSum", ["m", "axis"], "n")]
    nodes += [node("Div", ["s", "n"], "p"), node("Gemm", ["p", "w"], "g", transB=1), node("Relu", ["g"], "r")]
    handle = opened(written(tmp_path, [*nodes, node("Gemm", ["r", "f"], "y", transB=1)], {"ids": (7,)}, weights))
    assert_words_share_out(handle, {"ids": ids(7)}, {"ids": ids(7)})


def test_a_mask_of_an_embedding_gets_nothing_in_an_exported_model(tmp_path: Path) -> None:
    k = keras()
    x = k.Input((7,), dtype="int32", name="x")
    y = k.layers.Dense(6, activation="relu", use_bias=False)(k.layers.Embedding(12, 5, mask_zero=True)(x))
    model = k.Model(x, k.layers.Dense(3, use_bias=False)(k.layers.GlobalAveragePooling1D()(y)))
    model.export(tmp_path / "saved", verbose=False)
    handle = opened(tmp_path / "saved" / "saved_model.pb")
    given, start = ({handle._inputs[0].name: ids(7).astype(np.int32)} for _ in range(2))
    assert_words_share_out(handle, given, start)


def test_a_comparison_read_as_a_factor_is_an_activation(tmp_path: Path) -> None:
    nodes = [
        node("Gemm", ["x", "w"], "g", transB=1),
        node("Greater", ["g", "z"], "gt"),
        node("Cast", ["gt"], "c", to=1),
    ]
    nodes += [node("Mul", ["g", "c"], "r"), node("Gemm", ["r", "f"], "y", transB=1)]
    handle = opened(written(tmp_path, nodes, {"x": (4,)}, {"w": drawn(5, 4), "f": drawn(3, 5), "z": np.float32(0)}))
    given = normal(4)
    assert_as_slopes(handle, given)
    np.testing.assert_allclose(total(handle.relevance(given, TARGET, EPSILON)), scores(handle, given), **CLOSE)
    assert_differences_add_up(handle, given, normal(4))


def test_differences_pass_heads_that_stand_beside_the_rows(tmp_path: Path) -> None:
    """PyTorch's attention: time first, then heads of rows on one axis, which moves to the front."""
    size, wide, heads = 6, 8, 2
    weights = {"i": drawn(wide, 3 * wide), "o": drawn(wide, wide), "f": drawn(3, wide)}
    weights |= {"apart": whole([size, -1, wide // heads]), "back": whole([size, -1, wide])}
    nodes = [node("Transpose", ["x"], "t", perm=[1, 0, 2]), node("MatMul", ["t", "i"], "p")]
    nodes.append(node("Split", ["p"], ["q", "k", "v"], axis=2))
    for one in "qkv":
        nodes += [node("Reshape", [one, "apart"], f"{one}1")]
        nodes += [node("Transpose", [f"{one}1"], f"{one}2", perm=[1, 2, 0] if one == "k" else [1, 0, 2])]
    nodes += [node("MatMul", ["q2", "k2"], "a"), node("Softmax", ["a"], "s", axis=2), node("MatMul", ["s", "v2"], "m")]
    nodes += [node("Transpose", ["m"], "m1", perm=[1, 0, 2]), node("Reshape", ["m1", "back"], "m2")]
    nodes += [
        node("MatMul", ["m2", "o"], "m3"),
        node("Transpose", ["m3"], "m4", perm=[1, 0, 2]),
        node("Relu", ["m4"], "r"),
    ]
    nodes += [node("ReduceMean", ["r"], "c", axes=[1], keepdims=0), node("Gemm", ["c", "f"], "y", transB=1)]
    handle = opened(written(tmp_path, nodes, {"x": (size, wide)}, weights))
    assert_differences_add_up(handle, normal(size, wide), normal(size, wide))


def test_dilated_windows_are_refused_by_name(tmp_path: Path) -> None:
    nodes = [node("MaxPool", ["x"], "m", kernel_shape=[3, 3], dilations=[2, 2]), node("Flatten", ["m"], "y")]
    facts = onnx_tensorflow.inspect(written(tmp_path, nodes, {"x": (2, 9, 9)}, {}))
    assert "`MaxPool`" in facts.without_rescaling
    assert "dilated" in facts.without_rescaling
    assert facts.without_rule == ""


def test_a_saved_function_with_a_mask_for_each_row_passes_differences(tmp_path: Path) -> None:
    tf = tensorflow()
    kernel, low = tf.constant(drawn(6, 6)), tf.constant(np.tril(np.ones((1, 5, 5))) > 0)

    def attended(x: Any) -> dict[str, Any]:
        looked = tf.where(
            tf.tile(low, [tf.shape(x)[0], 1, 1]), tf.matmul(x, tf.matmul(x, kernel), transpose_b=True), -1e9
        )
        return {"y": tf.reduce_mean(tf.matmul(tf.nn.softmax(looked), x), axis=1)}

    module = tf.Module()
    module.call = tf.function(attended, input_signature=[tf.TensorSpec((None, 5, 6), tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serving_default": module.call})
    assert_differences_add_up(opened(tmp_path / "saved" / "saved_model.pb"), normal(5, 6), normal(5, 6))


def test_dilated_windows_of_a_saved_function_are_refused_by_name(tmp_path: Path) -> None:
    tf = tensorflow()

    def largest(x: Any) -> dict[str, Any]:
        found = tf.nn.pool(x, [3, 3], "MAX", padding="VALID", dilations=[2, 2])
        return {"y": tf.reduce_mean(found, axis=[1, 2])}

    module = tf.Module()
    module.call = tf.function(largest, input_signature=[tf.TensorSpec((None, 9, 9, 2), tf.float32, name="x")])
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures={"serving_default": module.call})
    assert "`MaxPool`" in tensorflow_native.inspect(tmp_path / "saved" / "saved_model.pb").without_rescaling
