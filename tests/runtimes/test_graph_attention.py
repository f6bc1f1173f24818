"""What positions look at, read out of SavedModels and ONNX files: the shares that Keras' own layers say of the same weights."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.methods.gradient.attention_rollout import AttentionRolloutParams, attention_rollout
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from runtimes.capabilities import AttentionReadable, View
from runtimes.conformance import check, check_attention
from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.frameworks import onnx_tensorflow, tensorflow_native

pytestmark = pytest.mark.frameworks

PLACES, WIDTH, HEADS, SIZE, KNOWN = 6, 8, 2, 3, 9
ROWS = 4
LOGIT = View("logit")
Node = tuple[str, list[str], str, dict[str, Any]]
"""Operator, inputs, output, attributes."""


def whole(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def transformer(k: Any, *, tokens: bool) -> Any:
    """Two layers of two heads behind a table or a product; of tokens, padding (id 0) is never looked at."""
    k.utils.set_random_seed(5)
    x = k.Input((PLACES,) if tokens else (PLACES, 4), dtype="int32" if tokens else "float32", name="x")
    y = k.layers.Embedding(KNOWN, WIDTH, name="below")(x) if tokens else k.layers.Dense(WIDTH, name="below")(x)
    mask = k.ops.not_equal(x, 0)[:, None, :] if tokens else None
    for at in (1, 2):
        looked = k.layers.MultiHeadAttention(HEADS, SIZE, name=f"looks{at}")(y, y, attention_mask=mask)
        y = k.layers.LayerNormalization(name=f"norm{at}")(y + looked)
        y = y + k.layers.Dense(WIDTH, "tanh", name=f"wide{at}")(y)
    model = k.Model(x, k.layers.Dense(3, "softmax", name="end")(k.layers.GlobalAveragePooling1D()(y)))
    rng = np.random.default_rng(6)  # biases too, and attention that is not nearly even
    model.set_weights([rng.normal(size=one.shape) * (0.9 if one.ndim > 1 else 0.4) for one in model.get_weights()])
    return model


# --- the same network as ONNX nodes: `q`, `k` and `v` are (rows, places, heads, size), and so is `o`, what attention gives

SPLIT = {"apart": whole(0, PLACES, HEADS, SIZE)}


def in_four(p: str) -> list[Node]:
    """Rows, heads, queries, keys; behind the softmax, a guard against what is no number, as PyTorch exports it."""
    turn = {"perm": [0, 2, 1, 3]}
    return [
        ("Transpose", [f"{p}q"], f"{p}q4", turn), ("Transpose", [f"{p}k"], f"{p}k4", {"perm": [0, 2, 3, 1]}),
        ("Transpose", [f"{p}v"], f"{p}v4", turn), ("MatMul", [f"{p}q4", f"{p}k4"], f"{p}raw", {}),
        ("Mul", [f"{p}raw", "scale"], f"{p}scores", {}), ("Where", ["seen", f"{p}scores", "never"], f"{p}masked", {}),
        ("Softmax", [f"{p}masked"], f"{p}shares", {"axis": -1}), ("IsNaN", [f"{p}shares"], f"{p}wrong", {}),
        ("Where", [f"{p}wrong", "zero", f"{p}shares"], f"{p}guarded", {}), ("MatMul", [f"{p}guarded", f"{p}v4"], f"{p}o4", {}),
        ("Transpose", [f"{p}o4"], f"{p}o", turn),
    ]  # fmt: skip


def of_rows_and_heads(turn: list[int], back: list[int]) -> Callable[[str], list[Node]]:
    """Rows and heads on one axis in front; ``turn`` brings them there, ``back`` undoes it."""

    def nodes(p: str) -> Iterator[Node]:
        for one in "qkv":
            yield "Transpose", [f"{p}{one}"], f"{p}{one}4", {"perm": turn}
            yield "Reshape", [f"{p}{one}4", "flat"], f"{p}{one}3", {}
        yield "Transpose", [f"{p}k3"], f"{p}kt", {"perm": [0, 2, 1]}
        yield "MatMul", [f"{p}q3", f"{p}kt"], f"{p}raw", {}
        yield "Mul", [f"{p}raw", "scale"], f"{p}scores", {}
        yield "Softmax", [f"{p}scores"], f"{p}shares", {"axis": 2}
        yield "Dropout", [f"{p}shares"], f"{p}kept", {}
        yield "MatMul", [f"{p}kept", f"{p}v3"], f"{p}o3", {}
        yield "Shape", [f"{p}q4"], f"{p}shape", {}
        yield "Reshape", [f"{p}o3", f"{p}shape"], f"{p}o4", {}
        yield "Transpose", [f"{p}o4"], f"{p}o", {"perm": back}

    return lambda p: list(nodes(p))


def by_letters(p: str) -> list[Node]:
    """Heads stand between queries and keys."""
    return [
        ("Einsum", [f"{p}q", f"{p}k"], f"{p}raw", {"equation": "bqhd,bkhd->bqhk"}),
        ("Mul", [f"{p}raw", "scale"], f"{p}scores", {}), ("Softmax", [f"{p}scores"], f"{p}shares", {}),
        ("Einsum", [f"{p}shares", f"{p}v"], f"{p}o", {"equation": "bqhk, bkhd -> bqhd"}),
    ]  # fmt: skip


def values_first(p: str) -> list[Node]:
    """Values stand on the left, with queries last: shares are turned."""
    first, last = {"perm": [0, 2, 1, 3]}, {"perm": [0, 2, 3, 1]}
    return [
        ("Transpose", [f"{p}q"], f"{p}q4", first), ("Transpose", [f"{p}k"], f"{p}k4", last), ("Transpose", [f"{p}v"], f"{p}v4", last),
        ("MatMul", [f"{p}q4", f"{p}k4"], f"{p}raw", {}), ("Mul", [f"{p}raw", "scale"], f"{p}scores", {}),
        ("Softmax", [f"{p}scores"], f"{p}shares", {}), ("Transpose", [f"{p}shares"], f"{p}turned", {"perm": [0, 1, 3, 2]}),
        ("MatMul", [f"{p}v4", f"{p}turned"], f"{p}o4", {}), ("Transpose", [f"{p}o4"], f"{p}o", {"perm": [0, 3, 1, 2]}),
    ]  # fmt: skip


def keys_first(p: str) -> list[Node]:
    """The softmax is over the axis before the last."""
    first, last = {"perm": [0, 2, 1, 3]}, {"perm": [0, 2, 3, 1]}
    return [
        ("Transpose", [f"{p}q"], f"{p}q4", last), ("Transpose", [f"{p}k"], f"{p}k4", first), ("Transpose", [f"{p}v"], f"{p}v4", last),
        ("MatMul", [f"{p}k4", f"{p}q4"], f"{p}raw", {}), ("Mul", [f"{p}raw", "scale"], f"{p}scores", {}),
        ("Softmax", [f"{p}scores"], f"{p}shares", {"axis": 2}), ("MatMul", [f"{p}v4", f"{p}shares"], f"{p}o4", {}),
        ("Transpose", [f"{p}o4"], f"{p}o", {"perm": [0, 3, 1, 2]}),
    ]  # fmt: skip


def fused(p: str) -> list[Node]:
    """The operator of opset 23."""
    first = {"perm": [0, 2, 1, 3]}
    return [
        *[("Transpose", [f"{p}{one}"], f"{p}{one}4", first) for one in "qkv"],
        ("Attention", [f"{p}q4", f"{p}k4", f"{p}v4"], f"{p}o4", {}), ("Transpose", [f"{p}o4"], f"{p}o", first),
    ]  # fmt: skip


WAYS: dict[str, Callable[[str], list[Node]]] = {
    "rows before heads": of_rows_and_heads([0, 2, 1, 3], [0, 2, 1, 3]),
    "heads before rows": of_rows_and_heads([2, 0, 1, 3], [1, 2, 0, 3]),
    "by letters": by_letters,
    "values first": values_first,
    "keys first": keys_first,
    "fused": fused,
}


def as_onnx(model: Any, path: Path, way: Callable[[str], list[Node]], *, tokens: bool, rows: Any = "rows") -> Path:
    """The nodes of a transformer with the weights of its Keras model."""
    held: dict[str, Any] = {**SPLIT, "scale": np.float32(SIZE**-0.5), "never": np.float32(-1e9), "zero": np.float32(0)}
    held |= {
        "flat": whole(-1, PLACES, SIZE),
        "joined": whole(0, PLACES, HEADS * SIZE),
        "pad": np.int32(0),
        "aside": whole(1, 2),
    }
    nodes: list[Node] = [("Equal", ["x", "pad"], "padding", {}), ("Not", ["padding"], "real", {}),
                         ("Unsqueeze", ["real", "aside"], "seen", {}), ("Gather", ["below", "x"], "y0", {})]  # fmt: skip
    below = model.get_layer("below").get_weights()
    held["below"] = below[0]
    if not tokens:
        held["below_bias"] = below[1]
        nodes = [("MatMul", ["x", "below"], "y00", {}), ("Add", ["y00", "below_bias"], "y0", {})]
    for at in (1, 2):
        p, before = f"l{at}", f"y{at - 1}"
        weights = model.get_layer(f"looks{at}").get_weights()
        for place, one in enumerate("qkv"):
            held[f"{p}w{one}"], held[f"{p}b{one}"] = (
                weights[2 * place].reshape(WIDTH, -1),
                weights[2 * place + 1].reshape(-1),
            )
            nodes += [("MatMul", [before, f"{p}w{one}"], f"{p}{one}0", {}), ("Add", [f"{p}{one}0", f"{p}b{one}"], f"{p}{one}1", {}),
                      ("Reshape", [f"{p}{one}1", "apart"], f"{p}{one}", {})]  # fmt: skip
        held[f"{p}wo"], held[f"{p}bo"] = weights[6].reshape(-1, WIDTH), weights[7]
        norm, wide = model.get_layer(f"norm{at}"), model.get_layer(f"wide{at}").get_weights()
        (held[f"{p}g"], held[f"{p}s"]), (held[f"{p}ww"], held[f"{p}wb"]) = norm.get_weights(), wide
        nodes += [
            *way(p), ("Reshape", [f"{p}o", "joined"], f"{p}o1", {}), ("MatMul", [f"{p}o1", f"{p}wo"], f"{p}o2", {}),
            ("Add", [f"{p}o2", f"{p}bo"], f"{p}o5", {}), ("Add", [before, f"{p}o5"], f"{p}sum", {}),
            ("LayerNormalization", [f"{p}sum", f"{p}g", f"{p}s"], f"{p}n", {"epsilon": norm.epsilon}),
            ("MatMul", [f"{p}n", f"{p}ww"], f"{p}w1", {}), ("Add", [f"{p}w1", f"{p}wb"], f"{p}w2", {}),
            ("Tanh", [f"{p}w2"], f"{p}w3", {}), ("Add", [f"{p}n", f"{p}w3"], f"y{at}", {}),
        ]  # fmt: skip
    held["end"], held["end_bias"] = model.get_layer("end").get_weights()
    nodes += [("ReduceMean", ["y2", "places"], "pooled", {"keepdims": 0}), ("Gemm", ["pooled", "end", "end_bias"], "z", {}),
              ("Softmax", ["z"], "scores", {})]  # fmt: skip
    held["places"] = whole(1)
    shape = [rows, PLACES] if tokens else [rows, PLACES, 4]
    kind = TensorProto.INT32 if tokens else TensorProto.FLOAT
    return saved(path, nodes, held, {"x": (kind, shape)}, "scores", 23 if way is fused else 18)


def saved(path: Path, nodes: list[Node], held: dict[str, Any], inputs: Any, end: str, opset: int = 18) -> Path:
    made = [
        helper.make_node(kind.rpartition(".")[2], given, [out], f"the {out}", domain=kind.rpartition(".")[0], **said)
        for kind, given, out, said in nodes
    ]
    read = {name for node in made for name in node.input}
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items() if name in read]
    given = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    answer = [helper.make_tensor_value_info(end, TensorProto.FLOAT, None)]
    graph = helper.make_graph(made, "g", given, answer, tensors)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path / "made.onnx")
    return path / "made.onnx"


def rows_of(*, tokens: bool) -> Any:
    rng = np.random.default_rng(7)
    if tokens:
        ids = rng.integers(1, KNOWN, (ROWS, PLACES)).astype(np.int32)
        ids[:2, -2:] = 0
        return ids
    return rng.normal(size=(ROWS, PLACES, 4)).astype(np.float32)


def rollout(handle: Any, name: str, array: Any, **params: Any) -> Any:
    """The method's own maps, summed over channels."""
    owners = np.arange(PLACES) if array.ndim == 2 else np.repeat(np.arange(PLACES)[:, None], array.shape[2], 1)
    features = FeatureMap(tuple(f"p{at}" for at in range(PLACES)), {name: owners})
    rows = Rows({name: array}, np.zeros(len(array), np.int64), References({name: array[:1][None]}), features)
    maps = attention_rollout(handle, rows, AttentionRolloutParams(**params))[name]
    return maps.sum(axis=-1) if maps.ndim == 3 else maps


def assert_same_attention(handle: Any, model: Any, layers: Any, array: Any) -> None:
    """A handle on another file of a Keras model looks at what the model's own layers say, row by row and head by head."""
    name = handle._inputs[0].name
    np.testing.assert_allclose(handle.predict({name: array}), layers.predict({"x": array}), atol=1e-5)
    found, expected = handle.attention({name: array}), layers.attention({"x": array})
    assert [one.shape for one in expected.values()] == [(ROWS, HEADS, PLACES, PLACES)] * 2
    for ours, theirs in zip(found.values(), expected.values(), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        np.testing.assert_allclose(ours.sum(axis=-1), 1.0, atol=1e-5)
    assert np.ptp(next(iter(expected.values())), axis=-1).max() > 0.3  # not even
    for params in ({}, {"read": "first", "heads": "max"}, {"read": "last", "heads": "min"}):
        same = rollout(layers, "x", array, **params)
        np.testing.assert_allclose(rollout(handle, name, array, **params), same, atol=1e-5)
        np.testing.assert_allclose(same.sum(axis=1), 1.0, atol=1e-5)
    assert isinstance(handle, AttentionReadable)
    assert check_attention(handle, {name: array}) == []


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Any]:
    """By whether it reads tokens: the model, a handle on its Keras file, and the folder that it is in."""
    known: dict[bool, Any] = {}

    def give(tokens: bool) -> Any:
        if tokens not in known:
            folder = tmp_path_factory.mktemp("transformer")
            model = transformer(keras(), tokens=tokens)
            model.save(folder / "made.keras")
            known[tokens] = model, tensorflow_native.open_model(folder / "made.keras", LOGIT), folder
        return known[tokens]

    return give


@pytest.mark.parametrize("tokens", [False, True], ids=["series", "tokens"])
def test_an_exported_model_looks_at_what_its_keras_file_says(twins: Callable[[bool], Any], tokens: bool) -> None:
    model, layers, folder = twins(tokens)
    model.export(folder / "saved", verbose=False)
    path = folder / "saved" / "saved_model.pb"
    facts = tensorflow_native.inspect(path)
    assert "AttentionReadable" in facts.capabilities
    assert "AttentionReadable" not in facts.lacks
    handle = tensorflow_native.open_model(path, LOGIT)
    assert_same_attention(handle, model, layers, rows_of(tokens=tokens))
    code = (
        "import sys; from pathlib import Path; from runtimes.frameworks.tensorflow_native import inspect;"
        "print(inspect(Path(sys.argv[1])).capabilities >= {'AttentionReadable'}, 'tensorflow' in sys.modules)"
    )
    seen = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert seen.stdout.split() == ["True", "False"]


def test_an_onnx_file_of_ids_looks_at_what_its_keras_file_says(twins: Callable[[bool], Any], tmp_path: Path) -> None:
    model, layers, _ = twins(True)
    path = as_onnx(model, tmp_path, in_four, tokens=True)
    assert "AttentionReadable" in onnx_tensorflow.inspect(path).capabilities
    handle = onnx_tensorflow.open_model(path, LOGIT)
    array = rows_of(tokens=True)
    assert_same_attention(handle, model, layers, array)
    shares = next(iter(handle.attention({"x": array}).values()))
    assert shares[:2, :, :, -2:].max() < 1e-6  # padding
    spent = handle.spent.forward
    handle.attention({"x": array})
    assert handle.spent.forward - spent == ROWS


@pytest.mark.parametrize(
    ("way", "rows"), [*((way, "rows") for way in WAYS), ("rows before heads", 3), ("heads before rows", 3)]
)
def test_an_onnx_file_looks_at_what_its_keras_file_says(
    twins: Callable[[bool], Any], way: str, rows: Any, tmp_path: Path
) -> None:
    model, layers, _ = twins(False)
    path = as_onnx(model, tmp_path, WAYS[way], tokens=False, rows=rows)
    facts = onnx_tensorflow.inspect(path)
    assert "AttentionReadable" in facts.capabilities
    handle = onnx_tensorflow.open_model(path, LOGIT)
    assert_same_attention(handle, model, layers, rows_of(tokens=False))


def test_the_laws_of_a_handle_hold_beside_attention(twins: Callable[[bool], Any], tmp_path: Path) -> None:
    model, _, _ = twins(False)
    handle = onnx_tensorflow.open_model(as_onnx(model, tmp_path, WAYS["rows before heads"], tokens=False), LOGIT)
    rows = rows_of(tokens=False)  # far apart: a softmax goes from one position to another between them
    assert check(handle, {"x": rows}, np.random.default_rng(1)) == []


# --- what is none, and what cannot be followed


def series(*nodes: Node, held: dict[str, Any], end: str = "y", **inputs: tuple[int, ...]) -> Callable[[Path], Any]:
    """The facts of an ONNX file on ``x`` (6 places of 4 numbers) and other inputs."""
    shapes = {"x": (PLACES, 4), **inputs}
    given = {name: (TensorProto.FLOAT, ["rows", *shape]) for name, shape in shapes.items()}

    def facts(path: Path) -> Any:
        mean: Node = ("ReduceMean", [end], "score", {"axes": [1], "keepdims": 0})
        return onnx_tensorflow.inspect(saved(path, [*nodes, mean], held, given, "score", 17))

    return facts


RNG = np.random.default_rng(8)
SQUARE = {"w": RNG.normal(size=(4, 4)).astype(np.float32), "column": RNG.normal(size=(4, 1)).astype(np.float32)}
TURNED: Node = ("Transpose", ["x"], "xt", {"perm": [0, 2, 1]})
QUERIES: Node = ("MatMul", ["x", "w"], "q", {})
NO_ATTENTION = "none of the ONNX file's operators is attention"
BODY = helper.make_graph(
    [helper.make_node("MatMul", ["x", "xt"], ["raw"]), helper.make_node("Softmax", ["raw"], ["s"]), helper.make_node("MatMul", ["s", "x"], ["t"])],
    "body", [], [helper.make_tensor_value_info("t", TensorProto.FLOAT, None)],
)  # fmt: skip
MICROSOFT: list[Node] = [("com.microsoft.MultiHeadAttention", ["q", "x", "x"], "y", {"num_heads": 2})]
NONE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "pooling by one learned query": (
        series(("MatMul", ["x", "column"], "s", {}), ("Softmax", ["s"], "p", {"axis": 1}), ("Mul", ["p", "x"], "y", {}), held=SQUARE),
        NO_ATTENTION,
    ),
    "a choice of experts": (
        series(QUERIES, ("Softmax", ["q"], "p", {}), ("Einsum", ["p", "x"], "y", {"equation": "bte,bte->bt"}), held=SQUARE),
        NO_ATTENTION,
    ),
    "shares that weigh nothing of the row": (
        series(QUERIES, TURNED, ("MatMul", ["q", "xt"], "raw", {}), ("Softmax", ["raw"], "s", {}), ("MatMul", ["s", "values"], "y", {}),
               held={**SQUARE, "values": RNG.normal(size=(PLACES, 2)).astype(np.float32)}),
        "its softmax `the s` is of a product of queries and keys, and which values it weighs is not seen",
    ),
    "of one series on another": (
        series(QUERIES, ("Transpose", ["other"], "kt", {"perm": [0, 2, 1]}), ("MatMul", ["q", "kt"], "raw", {}),
               ("Softmax", ["raw"], "s", {}), ("MatMul", ["s", "other"], "y", {}), held=SQUARE, other=(5, 4)),
        "its attention `the s` looks from 6 positions at 5 others",
    ),
    "of places, then of channels": (
        series(QUERIES, TURNED, ("MatMul", ["q", "xt"], "raw", {}), ("Softmax", ["raw"], "s", {}), ("MatMul", ["s", "x"], "a", {}),
               ("Transpose", ["a"], "at", {"perm": [0, 2, 1]}), ("MatMul", ["at", "a"], "raw2", {}), ("Softmax", ["raw2"], "s2", {}),
               ("MatMul", ["s2", "at"], "y", {}), held=SQUARE),
        "its attention `the s` is of 6 positions, and `the s2` of 4",
    ),
    "in a branch": (
        series(TURNED, ("ReduceSum", ["x"], "total", {"keepdims": 0}), ("Greater", ["total", "zero"], "more", {}),
               ("If", ["more"], "y", {"then_branch": BODY, "else_branch": BODY}), held={"zero": np.float32(0)}),
        "the ONNX file's operator `If` (node the y) holds a softmax",
    ),
    "an operator of ONNX Runtime": (
        series(QUERIES, *MICROSOFT, held=SQUARE),
        "the ONNX file's operator `com.microsoft.MultiHeadAttention` (node the y)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NONE)
def test_what_is_no_attention_of_positions_on_positions_is_said_to_be_none(name: str, tmp_path: Path) -> None:
    facts_of, reason = NONE[name]
    facts = facts_of(tmp_path)
    assert "AttentionReadable" not in facts.capabilities
    assert facts.lacks["AttentionReadable"].startswith(reason)


def as_saved(folder: Path, call: Callable[[Any, Any], Any], shape: tuple[int | None, ...] = (None, PLACES, 4)) -> Path:
    tf, module = tensorflow(), tensorflow().Module()
    spec = tf.TensorSpec(shape, tf.float32, name="x")
    module.call = tf.function(lambda x: {"y": call(tf, x)}, input_signature=[spec], autograph=False)
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.call})
    return folder / "saved_model.pb"


W = SQUARE["w"]


def looked(tf: Any, x: Any) -> Any:
    return tf.nn.softmax(tf.matmul(tf.matmul(x, W), x, transpose_b=True))


def looping(tf: Any, x: Any) -> Any:
    def step(at: Any, y: Any) -> Any:
        return at + 1, tf.ensure_shape(tf.matmul(looked(tf, y), y), (None, PLACES, 4))

    return tf.reduce_mean(tf.while_loop(lambda at, y: at < tf.shape(y)[0] + 1, step, (0, x))[1], axis=1)


SAVED: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "plain": (lambda tf, x: tf.reduce_mean(tf.matmul(looked(tf, x), x), axis=1), ""),
    "values first": (
        lambda tf, x: tf.reduce_mean(tf.matmul(x, looked(tf, x), transpose_a=True, transpose_b=True), axis=2),
        "",
    ),
    "turned": (
        lambda tf, x: tf.reduce_mean(
            tf.matmul(tf.transpose(x, (0, 2, 1)), tf.transpose(looked(tf, x), (0, 2, 1))), axis=2
        ),
        "",
    ),
    "scores turned": (  # what looks and what is looked at change places before the softmax, and are no other for that
        lambda tf, x: tf.reduce_mean(
            tf.matmul(tf.nn.softmax(tf.transpose(tf.matmul(x, tf.matmul(x, W), transpose_b=True), (0, 2, 1))), x),
            axis=1,
        ),
        "",
    ),
    "pooled": (
        lambda tf, x: tf.reduce_sum(tf.nn.softmax(tf.matmul(x, SQUARE["column"]), axis=1) * x, axis=1),
        "none of its operations is attention",
    ),
    "places that are joined": (
        lambda tf, x: tf.reduce_mean(
            tf.matmul(tf.nn.softmax(tf.matmul(x, tf.reshape(x, (-1, 3, 8))[..., :4], transpose_b=True)), x[:, :3]),
            axis=1,
        ),
        "looks from 6 positions at 3 others",
    ),
    "over places by turning axes while it runs": (
        lambda tf, x: tf.reduce_mean(
            tf.matmul(tf.nn.softmax(tf.matmul(x, tf.matmul(x, W), transpose_b=True), axis=1), x, transpose_a=True),
            axis=1,
        ),
        "and which values it weighs is not seen",
    ),
    "in a loop": (looping, "holds a softmax, and what is computed in loops and branches is not read"),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_saved_function_says_at_compile_time_whether_attention_can_be_read(name: str, tmp_path: Path) -> None:
    call, reason = SAVED[name]
    path = as_saved(tmp_path / "made", call)
    facts = tensorflow_native.inspect(path)
    assert ("AttentionReadable" in facts.capabilities) == (not reason)
    assert reason in facts.lacks.get("AttentionReadable", "")
    if not reason:
        handle = tensorflow_native.open_model(path, View("value", "regression"))
        x = rows_of(tokens=False)
        (found,) = handle.attention({"x": x}).values()
        raw = x @ W @ x.swapaxes(1, 2)
        shares = np.exp(raw - raw.max(axis=-1, keepdims=True))
        np.testing.assert_allclose(found[:, 0], shares / shares.sum(axis=-1, keepdims=True), atol=1e-5)
        assert check_attention(handle, {"x": x}) == []


def test_attention_over_channels_is_refused_where_it_is_laid_over_places(tmp_path: Path) -> None:
    facts_of = series(
        TURNED,
        ("MatMul", ["xt", "x"], "raw", {}),
        ("Softmax", ["raw"], "s", {}),
        ("MatMul", ["s", "xt"], "y", {}),
        held={},
    )
    assert "AttentionReadable" in facts_of(tmp_path).capabilities  # its 4 positions may be anything's
    handle = onnx_tensorflow.open_model(tmp_path / "made.onnx", View("value", "regression"))
    with pytest.raises(UnfitParams, match="4 positions, and the input has 6"):
        rollout(handle, "x", rows_of(tokens=False))


def test_no_rows_are_looked_at_as_none(tmp_path: Path) -> None:
    path = as_saved(tmp_path / "made", SAVED["plain"][0])
    handle = tensorflow_native.open_model(path, View("value", "regression"))
    (found,) = handle.attention({"x": rows_of(tokens=False)[:0]}).values()
    assert len(found) == 0
