"""SavedModels: read and judged without TensorFlow, opened by their signature, with gradients and logits."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.adaptation import Adaptation
from runtimes.capabilities import Differentiable, LayerDifferentiable, View
from runtimes.conformance import check
from runtimes.formats import protobuf_wire as wire
from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.formats.saved_model_file import read_saved_model
from runtimes.frameworks import tensorflow_native
from runtimes.target import ModelFileError, NoSignatureError

ROWS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def test_the_wire_format_is_read_as_its_guide_writes_it() -> None:
    """The guide's own bytes: field 1 = 150 is 08 96 01, field 2 = "testing" is 12 07 …, field 3 = {1: 150} is 1a 03 …."""
    message = memoryview(bytes.fromhex("089601120774657374696e671a030896013206038e029ea705"))
    assert [number for number, _ in wire.fields(message)] == [1, 2, 3, 6]
    assert wire.number(message, 1) == 150
    assert wire.text(message, 2) == "testing"
    assert wire.number(wire.part(message, 3), 1) == 150
    assert list(wire.numbers(message, 6)) == [3, 270, 86942]
    # -1 is written as the largest of 64 bits: nine full bytes and a one.
    assert wire.number(memoryview(bytes.fromhex("08ffffffffffffffffff01")), 1) == -1


@pytest.mark.parametrize("text", ["08", "0896", "1207746573", "0b", "08" + "ff" * 11])
def test_bytes_that_are_no_message_are_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not end|ends after|unknown kind"):
        list(wire.fields(memoryview(bytes.fromhex(text))))


def _net(k: Any) -> Any:
    """A subclassed classifier with an activation whose gradient TensorFlow writes itself (swish)."""

    class Net(k.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.below = k.layers.Dense(6, "swish")
            self.end = k.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return k.ops.softmax(self.end(self.below(x)))

    k.utils.set_random_seed(2)
    net = Net()
    net(ROWS)
    return net


def _module(tf: Any, call: Any, *signature: Any) -> Any:
    """A ``tf.Module`` with one function."""
    module = tf.Module()
    module.weights = tf.Variable(np.arange(8, dtype=np.float32).reshape(4, 2) / 8)
    module.call = tf.function(lambda *given: call(module, *given), input_signature=list(signature), autograph=False)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SavedModels by name, each in a folder of its own."""
    tf, place = tensorflow(), tmp_path_factory.mktemp("saved")
    row = tf.TensorSpec((None, 4), tf.float32, name="x")
    _net(keras()).export(place / "net", verbose=False)
    made = {
        "module": (lambda m, x: {"mean": x @ m.weights + 1.0, "top": tf.reduce_max(x, 1)}, row),
        "three": (lambda m, x: tf.nn.sigmoid(x @ m.weights), tf.TensorSpec((3, 4), tf.float32, name="x")),
        "codes": (lambda m, x: tf.gather(m.weights, x), tf.TensorSpec((None,), tf.int32, name="code")),
        "twice": (lambda m, x: tf.nn.softmax(x @ m.weights) * tf.nn.softmax(x @ m.weights), row),
        "reads": (lambda m, x: x * tf.cast(tf.strings.length(tf.io.read_file("a.txt")), tf.float32), row),
        "writes": (lambda m, x: _writing(tf, x), row),
        "saves": (lambda m, x: _saving(tf, x), row),
        "python": (lambda m, x: tf.ensure_shape(tf.numpy_function(lambda a: a, [x], tf.float32), (None, 4)), row),
    }
    for name, (call, spec) in made.items():
        module = _module(tf, call, spec)
        tf.saved_model.save(module, str(place / name), signatures=module.call)
    module = _module(tf, made["twice"][0], row)
    tf.saved_model.save(module, str(place / "unnamed"), signatures={"one": module.call, "two": module.call})
    return place


def _writing(tf: Any, x: Any) -> Any:
    with tf.control_dependencies([tf.io.write_file("out.txt", "written")]):
        return tf.identity(x)


def _saving(tf: Any, x: Any) -> Any:
    written = tf.raw_ops.SaveV2(prefix="out", tensor_names=["x"], shape_and_slices=[""], tensors=[x])
    with tf.control_dependencies([written]):
        return tf.identity(x)


def pb(folder: Path, name: str) -> Path:
    return folder / name / "saved_model.pb"


@pytest.mark.frameworks
def test_it_says_what_it_is_without_tensorflow(folder: Path) -> None:
    facts = tensorflow_native.inspect(pb(folder, "net"))
    assert [(tensor.shape, tensor.dtype) for tensor in facts.inputs] == [((None, 4), "float32")]
    assert (facts.n_outputs, facts.activation) == (3, "softmax")
    assert facts.parameters == (4 + 1) * 6 + (6 + 1) * 3
    assert facts.capabilities >= {"Predictor", "Differentiable", "LayerDifferentiable"}
    assert "Rectified" not in facts.capabilities  # its activation is swish
    assert facts.operators["MatMul"] == 2
    assert "which of them are a layer of Keras; name the `.keras` file" in facts.lacks["TfExplained"]
    assert facts.lacks["AttentionReadable"].startswith("none of its operations is attention")
    assert facts.lacks["Rectified"] == "none of its operations is a ReLU"
    assert sorted(facts.beside) == ["variables/variables.data-00000-of-00001", "variables/variables.index"]
    code = (
        "import sys; from pathlib import Path; from runtimes.frameworks.tensorflow_native import inspect;"
        "inspect(Path(sys.argv[1])); print(sorted({'tensorflow', 'keras', 'google.protobuf'} & set(sys.modules)))"
    )
    seen = subprocess.run(
        [sys.executable, "-c", code, str(pb(folder, "net"))], capture_output=True, text=True, check=True
    )
    assert seen.stdout.strip() == "[]"


@pytest.mark.frameworks
def test_a_subclassed_model_keeps_answers_slopes_and_logits(folder: Path) -> None:
    net = _net(keras())
    name = tensorflow_native.inspect(pb(folder, "net")).inputs[0].name
    tf = tensorflow()
    with tf.GradientTape() as tape:
        x = tf.constant(ROWS)
        tape.watch(x)
        logits = net.end(net.below(x))
        score = tf.reduce_sum(logits[:, 2])
    slopes = np.asarray(tape.gradient(score, x))
    for kind in ("logit", "probability", "log_odds"):
        handle = tensorflow_native.open_model(pb(folder, "net"), View(kind))
        assert isinstance(handle, Differentiable)
        assert isinstance(handle, LayerDifferentiable)
        assert check(handle, {name: ROWS}, np.random.default_rng(1)) == []
        p = np.asarray(net(ROWS), np.float64)
        expected = {"logit": logits, "probability": p, "log_odds": np.log(p / (1 - p))}[kind]
        np.testing.assert_allclose(handle.predict({name: ROWS}), expected, atol=2e-5)
        if kind == "logit":
            np.testing.assert_allclose(handle.gradient({name: ROWS}, np.full(5, 2))[name], slopes, atol=1e-6)


@pytest.mark.frameworks
def test_outputs_of_a_module_go_by_name(folder: Path) -> None:
    """mean = x @ W + 1 with W[i, j] = (2i + j) / 8: its slope is a column of W; top = max(x): 1 where x is largest."""
    weights = np.arange(8).reshape(4, 2) / 8
    facts = tensorflow_native.inspect(pb(folder, "module"), View("value", output="mean"))
    assert [tensor.name for tensor in facts.outputs] == ["mean", "top"]
    assert (facts.n_outputs, facts.activation) == (2, "linear")
    mean = tensorflow_native.open_model(pb(folder, "module"), View("value", "regression", "mean"))
    top = tensorflow_native.open_model(pb(folder, "module"), View("value", "regression", "top"))
    assert isinstance(mean, Differentiable)
    assert isinstance(top, Differentiable)
    np.testing.assert_allclose(mean.predict({"x": ROWS}), ROWS @ weights + 1, atol=1e-6)
    np.testing.assert_allclose(
        mean.gradient({"x": ROWS}, np.ones(5, int))["x"], np.tile(weights[:, 1], (5, 1)), atol=1e-7
    )
    assert tensorflow_native.inspect(pb(folder, "module"), View("value", output=1)).n_outputs == 1
    np.testing.assert_array_equal(top.gradient({"x": ROWS}, np.zeros(5, int))["x"], ROWS.max(1, keepdims=True) == ROWS)
    with pytest.raises(ModelFileError, match="has no output `size`"):
        tensorflow_native.inspect(pb(folder, "module"), View("value", output="size"))


@pytest.mark.frameworks
def test_a_fixed_number_of_rows_is_filled_up(folder: Path) -> None:
    handle = tensorflow_native.open_model(pb(folder, "three"), View("logit"))
    assert isinstance(handle, Differentiable)
    assert handle.rows_per_call == 3
    weights = np.arange(8).reshape(4, 2) / 8
    np.testing.assert_allclose(handle.predict({"x": ROWS}), ROWS @ weights, atol=1e-6)
    slopes = handle.gradient({"x": ROWS}, np.array([0, 1, 0, 1, 1]))["x"]
    np.testing.assert_allclose(slopes, weights.T[[0, 1, 0, 1, 1]], atol=1e-6)


@pytest.mark.frameworks
def test_whole_numbers_have_answers_and_slopes_by_what_they_stand_for(folder: Path) -> None:
    facts = tensorflow_native.inspect(pb(folder, "codes"))
    assert facts.capabilities >= {"Predictor", "Differentiable", "EmbeddingDifferentiable"}
    handle = tensorflow_native.open_model(pb(folder, "codes"), View("value", "regression"))
    np.testing.assert_allclose(handle.predict({"code": np.array([3, 0])}), [[6 / 8, 7 / 8], [0, 1 / 8]])
    # the second output is the second number of what a code stands for, and nothing else
    slopes = handle.above.gradient(handle.embed({"code": np.array([3, 0])}), np.array([1, 0]))["code"]
    np.testing.assert_array_equal(slopes, [[0, 1], [1, 0]])


@pytest.mark.frameworks
def test_an_end_that_is_no_activation_has_no_logits(folder: Path) -> None:
    assert "logit" not in tensorflow_native.inspect(pb(folder, "twice")).scores
    with pytest.raises(ModelFileError, match="cannot give the score `logit`"):
        tensorflow_native.open_model(pb(folder, "twice"), View("logit"))


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("name", "operation"), [("reads", "ReadFile"), ("writes", "WriteFile"), ("saves", "SaveV2"), ("python", "PyFunc")]
)
def test_files_and_python_are_refused_before_anything_is_opened(folder: Path, name: str, operation: str) -> None:
    with pytest.raises(ModelFileError, match=rf"the operation `{operation}` .* is refused") as caught:
        tensorflow_native.inspect(pb(folder, name))
    assert "export the model without it" in caught.value.help
    with pytest.raises(ModelFileError, match="is refused"):
        tensorflow_native.open_model(pb(folder, name), View("value"))


@pytest.mark.frameworks
def test_saving_may_be_nobodys_but_the_savers(folder: Path, tmp_path: Path) -> None:
    """A file may say that its saver is anything; what a signature calls is judged all the same."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString(pb(folder, "saves").read_bytes())
    graph = model.meta_graphs[0]
    called = graph.signature_def["serving_default"].outputs["output_0"].name
    graph.saver_def.save_tensor_name = graph.saver_def.filename_tensor_name = called
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    # which of them is met first depends on the order of a map in the file
    with pytest.raises(ModelFileError, match="the operation `(SaveV2|ShardedFilename|MergeV2Checkpoints|RestoreV2)`"):
        read_saved_model(tmp_path / "saved_model.pb")


@pytest.mark.frameworks
def test_a_graph_of_tensorflow_1_is_named_as_such(folder: Path, tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.ParseFromString(pb(folder, "module").read_bytes())
    model.meta_graphs[0].ClearField("object_graph_def")
    (tmp_path / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="TensorFlow 1"):
        read_saved_model(tmp_path / "saved_model.pb")


@pytest.mark.frameworks
def test_signatures_without_a_default_are_listed(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="the signatures one, two, none of them the default"):
        tensorflow_native.inspect(pb(folder, "unnamed"))


def several(place: Path, *names: str) -> Path:
    """A SavedModel that doubles a row's first number under its first name, and weighs all four under the second."""
    from runtimes.formats.keras_runtime import tensorflow

    tf = tensorflow()
    row = tf.TensorSpec((None, 4), tf.float32, name="x")
    module = tf.Module()
    module.weights = tf.Variable(np.arange(4, dtype=np.float32).reshape(4, 1))
    calls = (lambda x: {"twice": 2.0 * x[:, :1]}, lambda x: {"sums": tf.matmul(x, module.weights)})
    signatures = {}
    for name, call in zip(names, calls, strict=False):
        signatures[name] = tf.function(call, input_signature=[row], autograph=False)
        setattr(module, name, signatures[name])
    tf.saved_model.save(module, str(place), signatures=signatures)
    return place / "saved_model.pb"


@pytest.mark.frameworks
def test_the_signature_that_is_named_is_called(tmp_path: Path) -> None:
    path = several(tmp_path / "saved", "one", "other")
    with pytest.raises(ModelFileError) as caught:
        tensorflow_native.inspect(path)
    assert caught.value.help == "name the one to call: `model.signature: one`"
    weighed = {"one": np.array([2.0, 0, 0, 0]), "other": np.arange(4.0)}
    for name, output, held in (("one", "twice", 0), ("other", "sums", 4)):
        view = View("value", "regression", signature=name)
        facts = tensorflow_native.inspect(path, view)
        assert [one.name for one in facts.outputs] == [output]
        assert facts.parameters == held  # the first reads none of the weights
        handle = tensorflow_native.open_model(path, view)
        np.testing.assert_allclose(handle.predict({"x": ROWS})[:, 0], ROWS @ weighed[name], atol=1e-6)
        assert isinstance(handle, Differentiable)
        slope = handle.gradient({"x": ROWS}, np.zeros(5, int))["x"]
        np.testing.assert_allclose(slope, np.tile(weighed[name], (5, 1)), atol=1e-6)
    with pytest.raises(NoSignatureError, match="no signature `two`") as missing:
        tensorflow_native.inspect(path, View("value", signature="two"))
    assert missing.value.help == "its signatures are one, other"


@pytest.mark.frameworks
def test_a_single_signature_is_taken_whatever_its_name_and_the_default_before_others(tmp_path: Path) -> None:
    single = tensorflow_native.inspect(several(tmp_path / "single", "score"))
    assert [one.name for one in single.outputs] == ["twice"]
    path = several(tmp_path / "both", "score", "serving_default")
    assert [one.name for one in tensorflow_native.inspect(path).outputs] == ["sums"]
    named = tensorflow_native.inspect(path, View("value", signature="score"))
    assert [one.name for one in named.outputs] == ["twice"]


@pytest.mark.frameworks
def test_a_cut_file_is_refused_at_every_length(folder: Path, tmp_path: Path) -> None:
    whole = pb(folder, "module").read_bytes()
    place = tmp_path / "saved_model.pb"
    for length in range(1, len(whole), max(len(whole) // 40, 1)):
        place.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            tensorflow_native.inspect(place)


@pytest.mark.frameworks
def test_variables_are_plain_files_of_the_folder(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "variables").mkdir()
    (tmp_path / "saved_model.pb").write_bytes(pb(folder, "module").read_bytes())
    os.symlink("/dev/zero", tmp_path / "variables" / "variables.index")
    with pytest.raises(ModelFileError, match="is a link or special file"):
        tensorflow_native.inspect(tmp_path / "saved_model.pb")


@pytest.mark.frameworks
def test_its_files_may_stand_elsewhere_under_other_names(folder: Path, tmp_path: Path) -> None:
    """As in a store, where each file goes by its digest."""
    file = read_saved_model(pb(folder, "module"))
    (tmp_path / "a1.pb").write_bytes(file.path.read_bytes())
    beside = {}
    for at, (location, source) in enumerate(file.beside.items()):
        beside[location] = tmp_path / f"b{at}"
        beside[location].write_bytes(source.read_bytes())
    with pytest.raises(ModelFileError, match="TensorFlow cannot open `a1.pb`"):
        tensorflow_native.open_model(tmp_path / "a1.pb", View("value", "regression", "top"))
    view = View("value", "regression", "top", Adaptation(beside=beside))
    handle = tensorflow_native.open_model(tmp_path / "a1.pb", view)
    np.testing.assert_array_equal(handle.predict({"x": ROWS})[:, 0], ROWS.max(axis=1))


@pytest.mark.frameworks
def test_it_has_nothing_to_train(folder: Path) -> None:
    with pytest.raises(ModelFileError, match="no loss and optimizer"):
        tensorflow_native.open_trainable(pb(folder, "net"))


AUDIT = """
apiVersion: pgx/v1
kind: Audit
metadata: {name: saved}
model: {keras: models/net, task: classification}
data: {modality: tabular, train: {path: rows.csv, target: y}}
explain:
  rows: {from: train, sample: 4}
  gradient: [{use: integrated_gradients}]
"""


@pytest.mark.frameworks
def test_an_audit_names_the_folder_and_locks_every_file_of_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pgx_compiler import driver

    monkeypatch.setenv("PGX_STORE", str(tmp_path / "store"))
    shutil.copytree(folder / "net", tmp_path / "models" / "net")
    rows = np.random.default_rng(5).normal(size=(40, 5)).round(3)
    lines = [",".join([*map(str, row[:4]), str(int(row[4] > 0))]) for row in rows]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,d,y", *lines]) + "\n", "utf-8")
    (tmp_path / "audit.yaml").write_text(AUDIT, "utf-8")
    plan = driver.compile(tmp_path / "audit.yaml")
    names = ["saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"]
    assert sorted(plan.lock["models"]) == [f"models/net/{name}" for name in names]
    # The model is opened from the store alone.
    ran = driver.run(tmp_path / "audit.yaml", tmp_path / "run", engine="inline")
    facts = {fact.id: fact.value for fact in ran.factsheet.facts}
    gap = facts["explain.integrated_gradients.completeness_gap_relative"]
    assert isinstance(gap, float)
    assert gap < 1e-4
    # Other variables are another model.
    (tmp_path / "models" / "net" / "variables" / "variables.index").write_bytes(b"another")
    assert driver.compile(tmp_path / "audit.yaml").digest != plan.digest


NAMED = """
apiVersion: pgx/v1
kind: Audit
metadata: {name: named}
model: {keras: models/two, task: regression, signature: other}
data: {modality: tabular, train: {path: rows.csv, target: y}}
explain:
  rows: {from: train, sample: 4}
  gradient: [{use: integrated_gradients}]
"""


@pytest.mark.frameworks
def test_an_audit_names_the_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pgx_compiler import driver
    from pgx_compiler.diagnostics.diagnostic import AuthorError

    monkeypatch.setenv("PGX_STORE", str(tmp_path / "store"))
    several(tmp_path / "models" / "two", "one", "other")
    rows = np.random.default_rng(6).normal(size=(40, 5)).round(3)
    lines = [",".join(map(str, row)) for row in rows]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,c,d,y", *lines]) + "\n", "utf-8")
    audit = tmp_path / "audit.yaml"

    def plan_of(text: str) -> Any:
        audit.write_text(text, "utf-8")
        return driver.compile(audit)

    plan = plan_of(NAMED)
    ran = driver.run(audit, tmp_path / "run", engine="inline")
    gap = {fact.id: fact.value for fact in ran.factsheet.facts}["explain.integrated_gradients.completeness_gap"]
    assert isinstance(gap, float)
    assert gap < 1e-5
    # another signature is another question, asked of another model
    other = plan_of(NAMED.replace("other", "one"))
    assert other.digest != plan.digest
    assert other.spec_digest != plan.spec_digest
    assert [one.graph["model.keras"].params["signature"] for one in (plan, other)] == ["other", "one"]
    with pytest.raises(AuthorError, match="has no signature `third`") as missing:
        plan_of(NAMED.replace("other", "third"))
    assert "its signatures are one, other" in str(missing.value)
    with pytest.raises(AuthorError, match="names the signature of a SavedModel, and the audit names none"):
        plan_of(NAMED.replace("keras: models/two", "onnx: m.onnx"))
