"""Relevance and DeepLIFT through graphs of operations: the same as through the Keras layers that they were written from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import Rule, RulePropagating, Rules, View
from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.frameworks import onnx_tensorflow, tensorflow_native

pytestmark = pytest.mark.frameworks

MODELS = Path(__file__).parents[2] / "specs" / "models"
ROWS = 3
TARGET = np.array([0, 1, 1])
CLOSE = 2e-4
"""Largest difference, as a part of the largest value: float32's rounding where sums without their biases nearly cancel."""

EPSILON = Rule("epsilon", epsilon=1e-3)
COMPOSITES: dict[str, Rules] = {
    "epsilon": (("any", EPSILON),),
    "gamma, box first": (
        ("first_convolution", Rule("box")),
        ("convolution", Rule("gamma", epsilon=1e-3)),
        ("any", EPSILON),
    ),
    "alpha-beta, flat first": (("first", Rule("flat")), ("any", Rule("alpha_beta", epsilon=1e-3))),
    "z-plus, squared weights first": (
        ("first", Rule("w_squared")),
        ("any", Rule("alpha_beta", epsilon=1e-3, alpha=1.0, beta=0.0)),
    ),
    "no biases": (("any", Rule("epsilon", epsilon=1e-3, biases=False)),),
    "by kind": (("Conv2D", Rule("gamma", epsilon=1e-3)), ("DepthwiseConv2D", Rule("flat")), ("any", EPSILON)),
}


def drawn(model: Any) -> Any:
    rng = np.random.default_rng(4)
    for weight in model.weights:
        value = 0.5 * rng.normal(size=weight.shape)
        weight.assign(np.abs(value) + 0.4 if weight.name == "moving_variance" else value)
    return model


def dense(k: Any) -> Any:
    x = k.Input((7,), name="x")
    y = k.layers.LeakyReLU()(k.layers.BatchNormalization()(k.layers.Dense(9)(x)))
    y = k.layers.Dense(6, activation="gelu")(k.layers.Dense(6, activation="swish")(y))
    return k.Model(x, k.layers.Dense(3, activation="softmax")(k.layers.Dense(5, activation="tanh")(y)))


def pooled(k: Any) -> Any:
    x = k.Input((10, 10, 3), name="x")
    y = k.layers.ReLU()(k.layers.BatchNormalization()(k.layers.Conv2D(5, 3, padding="same", use_bias=False)(x)))
    y = k.layers.Conv2D(4, 3, strides=2, padding="same")(k.layers.MaxPooling2D()(y))
    y = k.layers.AveragePooling2D(2)(k.layers.ReLU(6.0)(k.layers.BatchNormalization()(y)))
    return k.Model(x, k.layers.Dense(3, activation="softmax")(k.layers.Flatten()(y)))


def residual(k: Any) -> Any:
    x = k.Input((8, 8, 3), name="x")
    first = k.layers.Conv2D(4, 3, padding="same", activation="relu")(k.layers.Rescaling(0.5, -0.1)(x))
    y = k.layers.BatchNormalization()(k.layers.DepthwiseConv2D(3, padding="same", dilation_rate=2)(first))
    y = k.layers.ReLU()(k.layers.BatchNormalization()(k.layers.Add()([first, y])))
    gate = k.layers.Conv2D(4, 1, activation="sigmoid")(k.layers.GlobalAveragePooling2D(keepdims=True)(y))
    y = k.layers.SeparableConv2D(5, 3, activation="relu")(k.layers.Multiply()([y, gate]))
    ends = [k.layers.GlobalMaxPooling2D()(y), k.layers.GlobalAveragePooling2D()(y)]
    return k.Model(x, k.layers.Dense(3, activation="softmax")(k.layers.Concatenate()(ends)))


def series(k: Any) -> Any:
    x = k.Input((12, 3), name="x")
    y = k.layers.ReLU()(k.layers.BatchNormalization()(k.layers.Conv1D(6, 3, padding="causal", dilation_rate=2)(x)))
    y = k.layers.MaxPooling1D()(k.layers.SeparableConv1D(5, 3, padding="same", activation="elu")(y))
    y = k.layers.LayerNormalization()(k.layers.Dense(4, activation="relu")(y))
    return k.Model(x, k.layers.Dense(3, activation="softmax")(k.layers.GlobalAveragePooling1D()(y)))


def attending(k: Any) -> Any:
    x = k.Input((6, 4), name="x")
    y = k.layers.LayerNormalization()(k.layers.Add()([x, k.layers.MultiHeadAttention(2, 3)(x, x)]))
    return k.Model(x, k.layers.Dense(3, activation="softmax")(k.layers.GlobalAveragePooling1D()(y)))


NETWORKS = [dense, pooled, residual, series]


def as_saved(model: Any, folder: Path) -> Path:
    model.export(folder / "saved", verbose=False)
    return folder / "saved" / "saved_model.pb"


def opened(path: Path, score: str = "logit", task: str = "classification") -> Any:
    framework = onnx_tensorflow if path.suffix == ".onnx" else tensorflow_native
    facts = framework.inspect(path)
    assert "RulePropagating" in facts.capabilities
    assert facts.without_rule == facts.without_rescaling == ""
    handle = framework.open_model(path, View(score, task))
    assert isinstance(getattr(handle, "above", handle), RulePropagating)
    return handle


def rows_for(handle: Any, seed: int = 0) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(ROWS, *tensor.shape[1:])).astype(tensor.dtype) for tensor in handle._inputs]


def named(handle: Any, arrays: list[Any]) -> dict[str, Any]:
    return dict(zip([tensor.name for tensor in handle._inputs], arrays, strict=True))


def relevance(handle: Any, arrays: list[Any], rules: Rules) -> Any:
    ends = [[np.full_like(one, extreme(one)) for one in arrays] for extreme in (np.min, np.max)]
    given = [named(handle, one) for one in (arrays, *ends)]
    return list(handle.relevance(given[0], TARGET, rules, *given[1:]).values())


def contributions(handle: Any, arrays: list[Any], starts: list[Any]) -> Any:
    return list(handle.rescaled_contributions(named(handle, arrays), named(handle, starts), TARGET).values())


def scores(handle: Any, arrays: list[Any]) -> Any:
    return handle.predict(named(handle, arrays))[np.arange(ROWS), TARGET]


def total(maps: list[Any]) -> Any:
    return sum(values.reshape(ROWS, -1).sum(axis=1) for values in maps)


def assert_same(found: list[Any], wanted: list[Any]) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=CLOSE * np.abs(other).max())


@pytest.mark.parametrize("build", [*NETWORKS, attending])
def test_a_saved_model_shares_out_as_the_layers_that_it_was_exported_from(
    build: Callable[[Any], Any], tmp_path: Path
) -> None:
    model = drawn(build(keras()))
    model.save(tmp_path / "model.keras")
    layers, graph = opened(tmp_path / "model.keras"), opened(as_saved(model, tmp_path))
    arrays = rows_for(layers)
    for name, rules in COMPOSITES.items():
        if build is attending and "first" in name:  # one layer there, whose sums all count as the first
            continue
        assert_same(relevance(graph, arrays, rules), relevance(layers, arrays, rules))
    starts = [0.3 * one for one in rows_for(layers, 1)]
    found = contributions(graph, arrays, starts)
    if build is not attending:  # a layer of attention is one function there, and product after product here
        assert_same(found, contributions(layers, arrays, starts))
    np.testing.assert_allclose(total(found), scores(graph, arrays) - scores(graph, starts), atol=1e-5)


@pytest.mark.parametrize("name", ["german-credit", "digits", "watch"])
def test_an_onnx_file_shares_out_as_the_keras_file_that_it_was_converted_from(name: str) -> None:
    layers, graph = opened(MODELS / f"{name}.keras"), opened(MODELS / f"{name}.onnx")
    arrays = rows_for(layers)
    for rules in COMPOSITES.values():
        assert_same(relevance(graph, arrays, rules), relevance(layers, arrays, rules))
    starts = [0.3 * one for one in rows_for(layers, 1)]
    found = contributions(graph, arrays, starts)
    assert_same(found, contributions(layers, arrays, starts))
    np.testing.assert_allclose(total(found), scores(graph, arrays) - scores(graph, starts), atol=1e-4)
    # one row alone, whose axis of 1 is none of those that a series is squeezed by
    given, rules = named(graph, [one[:1] for one in arrays]), COMPOSITES["epsilon"]
    assert_same(
        list(graph.relevance(given, TARGET[:1], rules).values()), [one[:1] for one in relevance(graph, arrays, rules)]
    )


def test_an_onnx_file_that_looks_up_ids_shares_out_above_its_table() -> None:
    layers, graph = opened(MODELS / "sentiment.keras"), opened(MODELS / "sentiment.onnx")
    ids = np.random.default_rng(0).integers(1, 50, (ROWS, *layers._inputs[0].shape[1:]))
    found = []
    for handle in (layers, graph):
        inputs = handle.embed({handle._inputs[0].name: ids.astype(handle._inputs[0].dtype)})
        maps = handle.above.relevance(inputs, TARGET, COMPOSITES["epsilon"])
        found.append([maps[name] for name in inputs if inputs[name].dtype.kind == "f"])
    assert_same(found[1], found[0])


def test_a_subclassed_model_shares_out_all_of_its_score_where_nothing_is_added(tmp_path: Path) -> None:
    k, tf = keras(), tensorflow()

    class Gated(k.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.convolve = k.layers.Conv2D(4, 3, use_bias=False)
            self.normalise = k.layers.BatchNormalization(center=False)
            self.decide = k.layers.Dense(3, use_bias=False)

        def call(self, x: Any, training: bool = False) -> Any:
            seen = tf.nn.relu(self.normalise(self.convolve(x), training=training))
            return self.decide(tf.reduce_mean(seen * tf.sigmoid(seen), [1, 2]))

    model = Gated()
    model(np.zeros((1, 6, 6, 2), np.float32))
    folder = tmp_path / "saved"
    model.export(folder, input_signature=[tf.TensorSpec((None, 6, 6, 2), "float32")], verbose=False)
    graph = opened(folder / "saved_model.pb", "value", "regression")
    arrays = rows_for(graph)
    whole = total(relevance(graph, arrays, (("any", Rule("epsilon", epsilon=1e-7)),)))
    np.testing.assert_allclose(whole, scores(graph, arrays), rtol=1e-3)


def onnx_file(path: Path, nodes: list[Any], held: dict[str, Any], shape: tuple[Any, ...], opset: int = 23) -> Path:
    import onnx

    make = onnx.helper
    ends = [make.make_tensor_value_info(name, 1, given) for name, given in (("x", shape), ("y", [shape[0], 2]))]
    constants = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()]
    graph = make.make_graph(
        [make.make_node(*node[:3], **node[3]) for node in nodes], "g", ends[:1], ends[1:], constants
    )
    onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", opset)], ir_version=10), path)
    return path


def some(*shape: int) -> Any:
    return np.random.default_rng(sum(shape)).normal(0, 0.5, shape).astype(np.float32)


def test_channels_first_give_the_same_as_channels_last(tmp_path: Path) -> None:
    """Convolution, normalisation, depthwise convolution, a sum and two poolings, written by hand and built of layers."""
    k = keras()
    x = k.Input((8, 8, 3), name="x")
    y = k.layers.ReLU()(k.layers.BatchNormalization(epsilon=1e-3)(k.layers.Conv2D(4, 3, padding="same")(x)))
    z = k.layers.Add()([y, k.layers.DepthwiseConv2D(3, padding="same")(y)])
    model = drawn(k.Model(x, k.layers.Dense(2)(k.layers.GlobalAveragePooling2D()(k.layers.MaxPooling2D()(z)))))
    model.save(tmp_path / "model.keras")
    kernel, bias, *learned, deep, deep_bias, weights, last = [weight.numpy() for weight in model.weights]
    nodes = [
        ("Conv", ["x", "kernel", "bias"], ["c"], {"pads": [1, 1, 1, 1]}),
        ("BatchNormalization", ["c", "n0", "n1", "n2", "n3"], ["n"], {"epsilon": 1e-3}),
        ("Relu", ["n"], ["r"], {}),
        ("Conv", ["r", "deep", "deep_bias"], ["d"], {"pads": [1, 1, 1, 1], "group": 4}),
        ("Add", ["r", "d"], ["a"], {}),
        ("MaxPool", ["a"], ["m"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("GlobalAveragePool", ["m"], ["p"], {}),
        ("Flatten", ["p"], ["f"], {}),
        ("Gemm", ["f", "weights", "last"], ["y"], {}),
    ]
    held = {f"n{at}": value for at, value in enumerate(learned)} | {"bias": bias, "deep_bias": deep_bias, "last": last}
    held |= {"kernel": kernel.transpose(3, 2, 0, 1), "deep": deep.transpose(2, 3, 0, 1), "weights": weights}
    layers = opened(tmp_path / "model.keras", "value", "regression")
    graph = opened(onnx_file(tmp_path / "m.onnx", nodes, held, ("n", 3, 8, 8)), "value", "regression")
    arrays = rows_for(layers)
    first = [one.transpose(0, 3, 1, 2) for one in arrays] if graph._inputs[0].shape[1] == 3 else arrays
    turn = (0, 2, 3, 1) if first is not arrays else (0, 1, 2, 3)
    for rules in COMPOSITES.values():
        found = [one.transpose(turn) for one in relevance(graph, first, rules)]
        assert_same(found, relevance(layers, arrays, rules))
    starts = [0.2 * one for one in first]
    found = [one.transpose(turn) for one in contributions(graph, first, starts)]
    assert_same(found, contributions(layers, arrays, [0.2 * one for one in arrays]))


RECURRENT = {"W": some(1, 24, 5), "R": some(1, 24, 6), "B": some(1, 48), "a": np.array([0]), "D": some(6, 2)}
CENTRED = {"g": some(6) + 1, "b": some(6), "a": np.array([1]), "D": some(6, 2)}
ATTENTION = {"Q": some(6, 6), "K": some(6, 5)[:, :5] @ some(5, 6), "V": some(6, 6) + 0.1, **CENTRED}
GRAPHS: dict[str, tuple[list[Any], dict[str, Any], tuple[Any, ...]]] = {
    "LSTM, time first": (
        [
            ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
            ("LSTM", ["t", "W", "R", "B"], ["", "h"], {"hidden_size": 6}),
            ("Squeeze", ["h", "a"], ["s"], {}),
            ("MatMul", ["s", "D"], ["y"], {}),
        ],
        RECURRENT,
        ("n", 9, 5),
    ),
    "attention": (
        [
            *[("MatMul", ["x", name], [name.lower() + "0"], {}) for name in "QKV"],
            ("Attention", ["q0", "k0", "v0"], ["o"], {"q_num_heads": 2, "kv_num_heads": 2}),
            ("Add", ["o", "x"], ["z"], {}),
            ("LayerNormalization", ["z", "g", "b"], ["l"], {}),
            ("ReduceMean", ["l", "a"], ["s"], {"keepdims": 0}),
            ("MatMul", ["s", "D"], ["y"], {}),
        ],
        ATTENTION,
        ("n", 9, 6),
    ),
    "activations on another axis than rows": (
        [
            ("Transpose", ["x"], ["t"], {"perm": [1, 0, 2]}),
            ("Tanh", ["t"], ["h"], {}),
            ("Softplus", ["h"], ["r"], {}),
            ("ReduceMean", ["r", "a"], ["s"], {"keepdims": 0}),
            ("MatMul", ["s", "D"], ["y"], {}),
        ],
        {"a": np.array([0]), "D": some(5, 2)},
        ("n", 9, 5),
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_contributions_of_a_graph_add_up_to_the_difference(name: str, tmp_path: Path) -> None:
    graph = opened(onnx_file(tmp_path / "m.onnx", *GRAPHS[name]), "value", "regression")
    arrays, starts = rows_for(graph), [0.2 * one for one in rows_for(graph, 1)]
    found = contributions(graph, arrays, starts)
    np.testing.assert_allclose(total(found), scores(graph, arrays) - scores(graph, starts), atol=1e-5)


def test_relevance_of_an_lstm_written_out_is_that_of_the_layer(tmp_path: Path) -> None:
    """Under the epsilon rule: other rules part the sums of inputs and of memory, which a layer takes as one."""
    k = keras()
    x = k.Input((6, 5), name="x")
    model = drawn(k.Model(x, k.layers.Dense(2, use_bias=False)(k.layers.LSTM(4)(x))))
    model.save(tmp_path / "model.keras")
    kernel, recurrent, bias, weights = [weight.numpy() for weight in model.weights]

    def turned(one: Any) -> Any:  # Keras: i f c o, ONNX: i o f c
        i, f, c, o = np.split(one, 4, axis=-1)
        return np.concatenate([i, o, f, c], axis=-1).T[None]

    held = {"W": turned(kernel), "R": turned(recurrent), "a": np.array([0]), "D": weights}
    held["B"] = np.concatenate([turned(bias), np.zeros((1, 16), np.float32)], axis=1)
    nodes, _, _ = GRAPHS["LSTM, time first"]
    nodes = [(*node[:3], {"hidden_size": 4}) if node[0] == "LSTM" else node for node in nodes]
    layers = opened(tmp_path / "model.keras", "value", "regression")
    graph = opened(onnx_file(tmp_path / "m.onnx", nodes, held, ("n", 6, 5)), "value", "regression")
    arrays = rows_for(layers)
    rules: Rules = (("any", Rule("epsilon", epsilon=1e-6)),)
    found, wanted = relevance(graph, arrays, rules)[0], relevance(layers, arrays, rules)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-3 * np.abs(wanted).max())


REFUSED = {
    "Softmax": [
        ("MatMul", ["x", "D"], ["e"], {}),
        ("Softmax", ["e"], ["s"], {}),
        ("MatMul", ["s", "E"], ["y"], {}),
    ],
    "TopK": [("MatMul", ["x", "D"], ["e"], {}), ("TopK", ["e", "k"], ["y", "i"], {})],
    "MatMul": [
        ("Unsqueeze", ["x", "a"], ["u"], {}),
        ("Transpose", ["u"], ["t"], {"perm": [0, 2, 1]}),
        ("MatMul", ["t", "u"], ["p"], {}),
        ("ReduceSum", ["p", "a"], ["q"], {"keepdims": 0}),
        ("MatMul", ["q", "D2"], ["y"], {}),
    ],
}


@pytest.mark.parametrize("operator", REFUSED)
def test_an_operator_without_a_rule_is_named_before_anything_runs(operator: str, tmp_path: Path) -> None:
    held = {"D": some(6, 5), "E": some(5, 2), "k": np.array([2]), "a": np.array([1]), "D2": some(6, 2)}
    facts = onnx_tensorflow.inspect(onnx_file(tmp_path / "m.onnx", REFUSED[operator], held, ("n", 6)))
    assert f"`{operator}`" in facts.without_rule


def test_a_loop_is_refused_by_name(tmp_path: Path) -> None:
    k = keras()
    x = k.Input((9, 5), name="x")
    facts = tensorflow_native.inspect(as_saved(k.Model(x, k.layers.Dense(2)(k.layers.LSTM(3)(x))), tmp_path))
    assert "`While`" in facts.without_rule
    assert "`While`" in facts.without_rescaling


def test_a_softmax_in_the_middle_of_a_saved_model_is_refused_by_name(tmp_path: Path) -> None:
    k = keras()
    x = k.Input((9,), name="x")
    inner = k.layers.Dense(4, activation="softmax", name="choose")(x)
    facts = tensorflow_native.inspect(as_saved(k.Model(x, k.layers.Dense(2)(inner)), tmp_path))
    assert "`Softmax`" in facts.without_rule
    assert "choose" in facts.without_rule
    assert facts.without_rescaling == ""


def test_what_is_cast_from_true_and_false_lets_relevance_through_beside_it(tmp_path: Path) -> None:
    nodes = [
        ("Greater", ["x", "z"], ["b"], {}),
        ("Cast", ["b"], ["m"], {"to": 1}),
        ("Mul", ["x", "m"], ["r"], {}),
        ("MatMul", ["r", "D"], ["y"], {}),
    ]
    graph = opened(
        onnx_file(tmp_path / "m.onnx", nodes, {"z": np.float32(0), "D": some(6, 2)}, ("n", 6)), "value", "regression"
    )
    arrays = rows_for(graph)
    # y = sum of max(x, 0) D
    wanted = np.maximum(arrays[0], 0) * some(6, 2).T[TARGET]
    np.testing.assert_allclose(
        relevance(graph, arrays, (("any", Rule("epsilon", epsilon=1e-7)),))[0], wanted, atol=1e-4
    )


def held_at(path: Path, rows: int) -> Path:
    """The same ONNX file for a fixed number of rows a call."""
    import onnx

    model = onnx.load(path)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = rows
    del model.graph.value_info[:]
    onnx.save(model, path.with_name(f"of {rows}.onnx"))
    return path.with_name(f"of {rows}.onnx")


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_of_a_fixed_number_of_rows_shares_out_as_one_of_any_number(
    name: str, rows: int, tmp_path: Path
) -> None:
    free = onnx_file(tmp_path / "m.onnx", *GRAPHS[name])
    graph, fixed = (opened(path, "value", "regression") for path in (free, held_at(free, rows)))
    arrays, starts = rows_for(graph), [0.2 * one for one in rows_for(graph, 1)]
    assert_same(contributions(fixed, arrays, starts), contributions(graph, arrays, starts))
    if not name.startswith("activations"):
        assert_same(relevance(fixed, arrays, COMPOSITES["epsilon"]), relevance(graph, arrays, COMPOSITES["epsilon"]))


def test_pictures_one_at_a_time_share_out_as_several(tmp_path: Path) -> None:
    there = tmp_path / "digits.onnx"
    there.write_bytes((MODELS / "digits.onnx").read_bytes())
    graph, fixed = opened(there), opened(held_at(there, 1))
    arrays, starts = rows_for(graph), [0.2 * one for one in rows_for(graph, 1)]
    for rules in COMPOSITES.values():
        assert_same(relevance(fixed, arrays, rules), relevance(graph, arrays, rules))
    assert_same(contributions(fixed, arrays, starts), contributions(graph, arrays, starts))


def test_rows_that_a_graph_runs_together_are_told_apart(tmp_path: Path) -> None:
    """A shape of one row, written into the file, that leaves no axis of rows."""
    nodes = [
        ("Reshape", ["x", "s"], ["f"], {}),
        ("Relu", ["f"], ["r"], {}),
        ("MatMul", ["r", "D"], ["u"], {}),
        ("Tanh", ["u"], ["t"], {}),
        ("ReduceMax", ["t"], ["m"], {"keepdims": 0}),
        ("Mul", ["t", "m"], ["p"], {}),
        ("Unsqueeze", ["p", "a"], ["y"], {}),
    ]
    held = {"s": np.array([-1]), "D": some(12, 2), "a": np.array([0])}
    graph = opened(onnx_file(tmp_path / "m.onnx", nodes, held, (1, 3, 4), opset=17), "value", "regression")
    arrays, starts = rows_for(graph), [0.2 * one for one in rows_for(graph, 1)]
    found = contributions(graph, arrays, starts)
    np.testing.assert_allclose(total(found), scores(graph, arrays) - scores(graph, starts), atol=1e-5)


def test_a_saved_model_of_a_fixed_number_of_rows_shares_out_as_its_layers(tmp_path: Path) -> None:
    k, tf = keras(), tensorflow()
    model = drawn(series(k))
    model.save(tmp_path / "model.keras")
    layers = opened(tmp_path / "model.keras")
    bare = k.export.ExportArchive()
    bare.track(model)
    bare.add_endpoint("serve", model.call, input_signature=[tf.TensorSpec((2, 12, 3), "float32", name="x")])
    bare.write_out(tmp_path / "saved", verbose=False)
    graph = opened(tmp_path / "saved" / "saved_model.pb")
    assert graph._inputs[0].shape[0] == 2
    arrays, starts = rows_for(layers), [0.3 * one for one in rows_for(layers, 1)]
    for rules in (COMPOSITES["epsilon"], COMPOSITES["no biases"]):
        assert_same(relevance(graph, arrays, rules), relevance(layers, arrays, rules))
    assert_same(contributions(graph, arrays, starts), contributions(layers, arrays, starts))
