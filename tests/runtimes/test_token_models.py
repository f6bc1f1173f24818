"""The same small networks on tokens as Keras, ONNX and SavedModel: one gradient, one path, whatever file they come from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests_project import make_project, write_spec

from pgx_compiler import driver
from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from runtimes.capabilities import EmbeddingDifferentiable, View
from runtimes.conformance import check_differentiable, check_predictor
from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.frameworks import onnx_tensorflow, tensorflow_native
from runtimes.target import ModelFileError

pytestmark = pytest.mark.frameworks

LENGTH, KNOWN, WIDTH = 6, 9, 4
IDS = np.array([[1, 2, 3, 0, 0, 0], [4, 4, 7, 5, 0, 0], [5, 1, 2, 6, 8, 3]], np.int32)
TYPES = np.array([[0, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 1]], np.int32)
TARGET = np.array([0, 1, 1])
Nodes = list[tuple[str, list[str], str, dict[str, Any]]]


class Net:
    """A network in Keras, and the same as ONNX nodes from ``ids`` (and ``types``) to ``scores``."""

    def __init__(self, model: Any, nodes: Nodes, held: dict[str, Any]) -> None:
        self.model, self.nodes, self.held = model, nodes, held
        self.rows = {tensor.name: TYPES if tensor.name == "types" else IDS for tensor in model.inputs}


def recurrent() -> Net:
    """Embedding, mask, LSTM. Keras has the gates in the order i f c o, ONNX as i o f c."""
    k = keras()
    ids = k.Input((LENGTH,), name="ids", dtype="int32")
    table, lstm, end = k.layers.Embedding(KNOWN, WIDTH, mask_zero=True), k.layers.LSTM(5), k.layers.Dense(2, "softmax")
    model = k.Model(ids, end(lstm(table(ids))))

    def gates(weights: Any) -> Any:
        parts = np.split(np.asarray(weights), 4, axis=-1)
        return np.concatenate([parts[at] for at in (0, 3, 1, 2)], axis=-1)

    w, r, b = map(gates, lstm.get_weights())
    nodes: Nodes = [
        ("Equal", ["ids", "pad"], "is_pad", {}),
        ("Not", ["is_pad"], "kept", {}),
        ("Cast", ["kept"], "ones", {"to": TensorProto.INT32}),
        ("ReduceSum", ["ones", "one"], "lengths", {"keepdims": 0}),
        ("Gather", ["table", "ids"], "e", {}),
        ("Transpose", ["e"], "turned", {"perm": [1, 0, 2]}),
        ("LSTM", ["turned", "W", "R", "B", "lengths"], "all", {"hidden_size": 5}),
        ("Squeeze", ["last", "zero"], "seen", {}),
    ]
    held = {"pad": np.int32(0), "one": np.array([1]), "zero": np.array([0]), "table": table.get_weights()[0]}
    held |= {"W": w.T[None], "R": r.T[None], "B": np.concatenate([b, np.zeros_like(b)])[None]}
    return Net(model, [*nodes, *_end(end, held)], held)


def convolutional() -> Net:
    k = keras()
    ids = k.Input((LENGTH,), name="ids", dtype="int32")
    table, conv = k.layers.Embedding(KNOWN, WIDTH), k.layers.Conv1D(5, 3, padding="same", activation="relu")
    end = k.layers.Dense(2, "softmax")
    model = k.Model(ids, end(k.layers.GlobalMaxPooling1D()(conv(table(ids)))))
    kernel, bias = conv.get_weights()
    nodes: Nodes = [
        ("Gather", ["table", "ids"], "e", {}),
        ("Transpose", ["e"], "turned", {"perm": [0, 2, 1]}),
        ("Conv", ["turned", "kernel", "bias"], "c", {"pads": [1, 1]}),
        ("Relu", ["c"], "active", {}),
        ("ReduceMax", ["active"], "seen", {"axes": [2], "keepdims": 0}),
    ]
    held = {"table": table.get_weights()[0], "kernel": np.transpose(kernel, (2, 1, 0)), "bias": bias}
    return Net(model, [*nodes, *_end(end, held)], held)


def transformer() -> Net:
    """As BERT: words, types and positions are added and normalised, padding is never looked at, the first token answers."""
    k = keras()
    ids, types = (k.Input((LENGTH,), name=name, dtype="int32") for name in ("ids", "types"))
    words, kinds = k.layers.Embedding(KNOWN, WIDTH), k.layers.Embedding(2, WIDTH)
    places = np.random.default_rng(1).normal(size=(LENGTH, WIDTH)).astype(np.float32)
    first, second, attention = (k.layers.LayerNormalization(), k.layers.LayerNormalization(),
                                k.layers.MultiHeadAttention(1, WIDTH))  # fmt: skip
    inner, end = k.layers.Dense(2 * WIDTH, "tanh"), k.layers.Dense(2, "softmax")
    x = first(words(ids) + kinds(types) + places)
    mask = k.ops.not_equal(ids, 0)[:, None, :]
    x = second(x + attention(x, x, attention_mask=mask))
    model = k.Model([ids, types], end(inner(x[:, 0])))
    nodes: Nodes = [
        ("Gather", ["words", "ids"], "w", {}), ("Gather", ["kinds", "types"], "t", {}), ("Add", ["w", "t"], "wt", {}),
        ("Add", ["wt", "places"], "e", {}), ("LayerNormalization", ["e", "g1", "b1"], "x", {"epsilon": first.epsilon}),
        ("MatMul", ["x", "q"], "xq", {}), ("Add", ["xq", "qb"], "query", {}), ("MatMul", ["x", "k"], "xk", {}),
        ("Add", ["xk", "kb"], "key", {}), ("MatMul", ["x", "v"], "xv", {}), ("Add", ["xv", "vb"], "value", {}),
        ("Transpose", ["key"], "kt", {"perm": [0, 2, 1]}), ("MatMul", ["query", "kt"], "qk", {}), ("Mul", ["qk", "scale"], "looks", {}),
        ("Equal", ["ids", "pad"], "is_pad", {}), ("Unsqueeze", ["is_pad", "one"], "row", {}),
        ("Where", ["row", "never", "looks"], "allowed", {}), ("Softmax", ["allowed"], "shares", {"axis": -1}),
        ("MatMul", ["shares", "value"], "mixed", {}), ("MatMul", ["mixed", "o"], "mo", {}), ("Add", ["mo", "ob"], "out", {}),
        ("Add", ["x", "out"], "sum", {}), ("LayerNormalization", ["sum", "g2", "b2"], "y2", {"epsilon": second.epsilon}),
        ("Gather", ["y2", "first"], "answer", {"axis": 1}), ("Gemm", ["answer", "i", "ib"], "z", {}), ("Tanh", ["z"], "seen", {}),
    ]  # fmt: skip
    named = dict(zip(("q", "qb", "k", "kb", "v", "vb", "o", "ob"), attention.get_weights(), strict=True))
    held = {
        name: value.reshape(WIDTH, WIDTH) if value.ndim == 3 else value.reshape(-1) for name, value in named.items()
    }
    held |= {"words": words.get_weights()[0], "kinds": kinds.get_weights()[0], "places": places}
    held |= {
        "scale": np.float32(WIDTH**-0.5),
        "pad": np.int32(0),
        "one": np.array([1]),
        "never": np.float32(-1e9),
        "first": np.int64(0),
    }
    held |= dict(
        zip(
            ("g1", "b1", "g2", "b2", "i", "ib"),
            [*first.get_weights(), *second.get_weights(), *inner.get_weights()],
            strict=True,
        )
    )
    return Net(model, [*nodes, *_end(end, held)], held)


def _end(layer: Any, held: dict[str, Any]) -> Nodes:
    held["end"], held["end_bias"] = layer.get_weights()
    return [("Gemm", ["seen", "end", "end_bias"], "logits", {}), ("Softmax", ["logits"], "scores", {})]


def as_onnx(net: Net, path: Path) -> Path:
    made = []
    for kind, given, out, said in net.nodes:
        outputs = ["", "last"] if kind == "LSTM" else [out]
        made.append(helper.make_node(kind, given, outputs, name=f"the {out}", **said))
    tensors = [
        onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name)
        for name, value in net.held.items()
    ]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT32, ["rows", LENGTH]) for name in net.rows]
    graph = helper.make_graph(
        made, "g", inputs, [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["rows", 2])], tensors
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def handles(net: Net, folder: Path) -> dict[str, Any]:
    net.model.save(folder / "net.keras")
    net.model.export(folder / "saved", verbose=False)
    opened = {
        "keras": tensorflow_native.open_model(folder / "net.keras", View("logit")),
        "saved": tensorflow_native.open_model(folder / "saved" / "saved_model.pb", View("logit")),
        "onnx": onnx_tensorflow.open_model(as_onnx(net, folder / "net.onnx"), View("logit")),
    }
    for path, runtime in (("saved/saved_model.pb", tensorflow_native), ("net.onnx", onnx_tensorflow)):
        assert runtime.inspect(folder / path).capabilities >= {"Differentiable", "EmbeddingDifferentiable"}
    return opened


NETS: list[Callable[[], Net]] = [recurrent, convolutional, transformer]


@pytest.mark.parametrize("build", NETS, ids=lambda build: build.__name__)
def test_one_network_has_one_gradient_in_every_file(build: Any, tmp_path: Path) -> None:
    keras().utils.set_random_seed(7)
    net = build()
    opened = handles(net, tmp_path)
    reference = opened["keras"]
    looked_up = reference.embed(net.rows)
    scores, slopes = reference.predict(net.rows), reference.gradient(net.rows, TARGET)
    above = reference.above.gradient(looked_up, TARGET)
    assert np.abs(above["ids"]).max() > 1e-3
    integrated = catalogue()["integrated_gradients"]
    features = FeatureMap(tuple(f"t{at}" for at in range(LENGTH)), {"ids": np.tile(np.arange(LENGTH), (3, 1)), **(
        {"types": np.full((3, LENGTH), -1)} if "types" in net.rows else {})}, counts=np.full(3, LENGTH))  # fmt: skip
    starts = {name: array[:1][None] * 0 for name, array in net.rows.items()}
    rows = Rows(net.rows, TARGET, References(starts), features)
    expected = attribute(integrated, reference, rows, integrated.params(steps=16))
    for name in ("onnx", "saved"):
        handle = opened[name]
        assert isinstance(handle, EmbeddingDifferentiable)
        np.testing.assert_allclose(handle.predict(net.rows), scores, atol=1e-5)
        own = handle.embed(net.rows)
        for given in looked_up:
            np.testing.assert_allclose(own[given], looked_up[given], atol=1e-6)
            np.testing.assert_allclose(handle.above.gradient(own, TARGET)[given], above[given], atol=1e-5)
        for given in net.rows:
            np.testing.assert_allclose(handle.gradient(net.rows, TARGET)[given], slopes[given], atol=1e-5)
        found = attribute(integrated, handle, rows, integrated.params(steps=16))
        np.testing.assert_allclose(found.values, expected.values, atol=1e-5)
        assert check_predictor(handle.above, own) == []
        assert check_differentiable(handle.above, own, np.random.default_rng(0)) == []


@pytest.mark.parametrize("wrong", [KNOWN, -1])
def test_an_id_beyond_the_table_is_refused_alike(tmp_path: Path, wrong: int) -> None:
    keras().utils.set_random_seed(7)
    net = convolutional()
    ids = IDS.copy()
    ids[1, 2] = wrong
    for handle in handles(net, tmp_path).values():
        with pytest.raises(ValueError, match="^`ids` holds ids beyond the 9 that the model knows$"):
            handle.embed({"ids": ids})


def _saved(folder: Path, call: Any, *signature: Any) -> Path:
    tf = tensorflow()
    module = tf.Module()
    module.table = tf.Variable(np.random.default_rng(2).normal(size=(KNOWN, 2)).astype(np.float32))
    module.call = tf.function(lambda *given: call(module, *given), input_signature=list(signature), autograph=False)
    tf.saved_model.save(module, folder, signatures=module.call)
    return folder / "saved_model.pb"


def test_a_saved_model_that_flattens_its_ids_first(tmp_path: Path) -> None:
    """As models of TensorFlow 1 do; what is above sees rows again. The slope of the sum of tanh is 1 - tanh²."""
    tf = tensorflow()

    def call(module: Any, ids: Any) -> Any:
        rows = tf.gather(module.table, tf.reshape(ids, [-1]))
        return {"y": tf.reduce_sum(tf.tanh(tf.reshape(rows, [-1, LENGTH, 2])), [1, 2])[:, None]}

    path = _saved(tmp_path / "flat", call, tf.TensorSpec((None, LENGTH), tf.int32, name="ids"))
    handle = tensorflow_native.open_model(path, View("value", "regression"))
    own = handle.embed({"ids": IDS})
    assert own["ids"].shape == (3, LENGTH, 2)
    slopes = handle.above.gradient(own, np.zeros(3, np.int64))["ids"]
    np.testing.assert_allclose(slopes, 1 - np.tanh(own["ids"].astype(np.float64)) ** 2, atol=1e-5)
    assert handle.predict({"ids": IDS[:0]}).shape == (0, 1)


def test_whole_numbers_of_a_saved_model_that_no_table_stands_for_have_a_reason(tmp_path: Path) -> None:
    tf = tensorflow()
    spec = tf.TensorSpec((None, 2), tf.int32, name="ages")
    path = _saved(tmp_path / "ages", lambda m, x: {"y": tf.matmul(tf.cast(x, tf.float32), m.table[:2])}, spec)
    facts = tensorflow_native.inspect(path)
    assert "Differentiable" not in facts.capabilities
    assert "`ages` is int32, and no embedding looks it up" in facts.lacks["Differentiable"]


def test_floats_that_are_looked_up_and_used_as_numbers_stay_numbers(tmp_path: Path) -> None:
    tf = tensorflow()

    def call(module: Any, x: Any) -> Any:
        return {
            "y": tf.reduce_sum(tf.gather(module.table, tf.cast(x, tf.int32)), 1) + tf.reduce_sum(x, 1, keepdims=True)
        }

    path = _saved(tmp_path / "both", call, tf.TensorSpec((None, LENGTH), tf.float32, name="x"))
    assert tensorflow_native.inspect(path).capabilities >= {"Differentiable"}
    assert "EmbeddingDifferentiable" not in tensorflow_native.inspect(path).capabilities


@pytest.mark.parametrize("times", [1.0, 3.0])
def test_gradients_that_a_saved_model_brings_itself_are_held_against_those_above_the_table(
    tmp_path: Path, times: float
) -> None:
    """tanh with a gradient of its own: where it is tanh's (1 - tanh²) nothing is lost, where it is three times that it is."""
    tf = tensorflow()

    @tf.custom_gradient
    def own(x: Any) -> Any:
        y = tf.tanh(x)
        return y, lambda upstream: upstream * times * (1 - y**2)

    def call(module: Any, ids: Any) -> Any:
        return {"y": tf.reduce_sum(own(tf.gather(module.table, ids)), 1)}

    path = _saved(tmp_path / "own", call, tf.TensorSpec((None, LENGTH), tf.int32, name="ids"))
    if times == 1.0:
        handle = tensorflow_native.open_model(path, View("value", "regression"))
        assert isinstance(handle, EmbeddingDifferentiable)
    else:
        with pytest.raises(ModelFileError, match="brings gradients of its own"):
            tensorflow_native.open_model(path, View("value", "regression"))


def test_a_quantised_saved_model_is_refused_as_its_gradient_is_not_kept(tmp_path: Path) -> None:
    """Keras' quantised layers round, and go around it with a gradient of their own."""
    keras().utils.set_random_seed(7)
    net = convolutional()
    net.model.quantize("int8")
    net.model.export(tmp_path / "int8", verbose=False)
    with pytest.raises(ModelFileError, match="around numbers that it rounds"):
        tensorflow_native.open_model(tmp_path / "int8" / "saved_model.pb", View("logit"))


def test_an_audit_of_token_ids_in_an_onnx_file_alone_has_both_directions(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    changes: dict[str, Any] = {
        "precaution": None, "faithfulness": None, "strategy": None, "gates": None, "explain.rows": {"from": "test", "sample": 4},
        "explain.perturbation": [{"use": "occlusion"}],
        "explain.gradient": [{"use": "integrated_gradients", "with": {"steps": 16}}, {"use": "saliency"}],
        "agreement": [{"use": "rank_correlation"}], "factsheet": {"formats": ["json"]},
    }  # fmt: skip
    alone = write_spec(project, "sentiment", {**changes, "model.keras": None}, "alone.yaml")
    twin = write_spec(project, "sentiment", {**changes, "model.onnx": None}, "twin.yaml")
    runs = {spec.stem: driver.run(spec, tmp_path / spec.stem, engine="inline").factsheet for spec in (alone, twin)}
    for step in ("integrated_gradients", "saliency"):
        ours, theirs = (np.load(tmp_path / name / "evidence" / step / "attributions.npz") for name in ("alone", "twin"))
        np.testing.assert_allclose(ours["values"], theirs["values"], atol=1e-5)
    nodes = {one.id: one for one in runs["alone"].provenance.nodes}
    assert nodes["explain.integrated_gradients"].runtime == "onnx_tensorflow"
    assert nodes["explain.occlusion"].runtime == "onnx_runtime"
    agreement = next(
        one for one in runs["alone"].agreement if {one.first, one.second} == {"occlusion", "integrated_gradients"}
    )
    assert agreement.median > 0.8


def test_whole_numbers_without_a_table_are_refused_before_anything_runs(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    held = {"W": np.ones((48, 2), np.float32)}
    nodes = [
        helper.make_node("Cast", ["token_ids"], ["f"], to=1),
        helper.make_node("MatMul", ["f", "W"], ["z"]),
        helper.make_node("Softmax", ["z"], ["y"]),
    ]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in held.items()]
    inputs = [helper.make_tensor_value_info("token_ids", TensorProto.INT32, ["rows", 48])]
    graph = helper.make_graph(
        nodes, "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])], tensors
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        project / "models" / "plain.onnx",
    )
    changes: dict[str, Any] = {
        "model.keras": None, "model.onnx": "models/plain.onnx", "strategy": None, "gates": None, "agreement": None, "faithfulness": None,
        "explain.gradient": [{"use": "integrated_gradients"}],
    }  # fmt: skip
    said = list(driver.check(write_spec(project, "sentiment", changes)).diagnostics)
    assert [str(one.code) for one in said] == ["PGX4010"]
    assert "input `token_ids` is int32, and no embedding looks it up: operator `Cast`" in said[0].message
