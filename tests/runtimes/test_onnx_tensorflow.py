"""ONNX files rebuilt in TensorFlow: the numbers of ONNX Runtime forward, and slopes that differences confirm."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_families import BRANCHES, FAMILIES, OPSETS, SHAPE, floats, graph, inner, node
from onnx_zoo import SIGNATURES, Signature
from tests_project import make_project, write_spec

from benchmarks.gradient.onnx_backend import cases, outcome
from pgx_compiler import driver
from runtimes import datasets
from runtimes.adaptation import Adaptation
from runtimes.capabilities import Differentiable, View
from runtimes.conformance import check
from runtimes.formats.onnx_facts import facts_of
from runtimes.formats.onnx_rebuild import Rebuilt
from runtimes.formats.tf_operators import operators
from runtimes.formats.tf_operators.declaring import REGISTERED, Operator
from runtimes.frameworks import onnx_runtime, onnx_tensorflow
from runtimes.target import ModelFileError

pytestmark = pytest.mark.frameworks


def by_runtime(model: Any, x: Any) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(["y"], {"x": x})[0]


def by_rebuild(model: Any, x: Any, floats: str = "float32") -> Any:
    from runtimes.formats.keras_runtime import tensorflow

    tf = tensorflow()
    rebuilt = Rebuilt(model, "y", Path(), floats)
    specs = [tf.TensorSpec((None, *x.shape[1:]), floats)]
    run = tf.function(lambda given: rebuilt({"x": given}), input_signature=specs, autograph=False)
    return run(tf.constant(x, floats)).numpy()


def family(name: str) -> tuple[Any, Any]:
    nodes, held, shape, low = FAMILIES[name]
    model = graph(nodes, held, shape, OPSETS.get(name, 17))
    model.ir_version = 8 if OPSETS.get(name, 17) < 20 else 11
    return model, np.random.default_rng(11).uniform(low, 1.0, shape).astype(np.float32)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_rebuild_gives_what_onnx_runtime_gives(name: str) -> None:
    model, x = family(name)
    np.testing.assert_allclose(by_rebuild(model, x), by_runtime(model, x), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_slopes_are_what_differences_say(name: str) -> None:
    # In float64, along one random direction of x, of a random sum of y: an error of 1e-6 is the step's own.
    from runtimes.formats.keras_runtime import tensorflow

    tf = tensorflow()
    model, single = family(name)
    x = single.astype(np.float64)
    rebuilt = Rebuilt(model, "y", Path(), "float64")

    def total(given: Any) -> Any:
        made = rebuilt({"x": given})
        weights = np.random.default_rng(1).normal(size=made.shape)
        return tf.reduce_sum(made * weights)

    with tf.GradientTape() as tape:
        given = tf.constant(x)
        tape.watch(given)
        answer = total(given)
    slope = tape.gradient(answer, given).numpy()
    direction = np.random.default_rng(2).normal(size=x.shape)
    step = 1e-6
    up, down = (float(total(tf.constant(x + sign * step * direction))) for sign in (1, -1))
    assert float((slope * direction).sum()) == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-7)
    assert np.abs(slope).max() > 0


# What an operator meant before a later opset changed it: opset, node, constants.
OLD: dict[str, tuple[int, Any, dict[str, Any]]] = {
    "softmax flattens what comes after its axis": (11, node("Softmax", axis=1), {}),
    "log-softmax too": (12, node("LogSoftmax", axis=2), {}),
    "bounds as attributes": (6 + 4, node("Clip", min=-0.25, max=0.5), {}),
    "axes to drop as an attribute": (11, [node("Unsqueeze", outputs=("t",), axes=[1, -1]), helper.make_node("Squeeze", ["t"], ["y"], axes=[1])], {}),
    "cuts as attributes": (9, node("Slice", starts=[1, -3], ends=[2**31, 2**31], axes=[1, 2]), {}),
    "padding as attributes": (10, node("Pad", pads=[0, 0, 1, -1, 0, 0, 2, 0], value=0.5), {}),
    "parts as an attribute": (12, node("Split", outputs=("y", "z"), axis=3, split=[3, 1]), {}),
    "how many as an attribute": (9, node("TopK", outputs=("y", "i"), axis=-1, k=2), {}),
    "axes to sum as an attribute": (11, node("ReduceSum", axes=[-1, 1]), {}),
    "axes to average as an attribute": (13, node("ReduceMean", axes=[2]), {}),
    "scales as an attribute": (8, node("Upsample", mode="nearest", scales=[1.0, 1.0, 2.0, 1.5]), {}),
    "scales as an input": (9, node("Upsample", "f", mode="linear"), {"f": np.array([1, 1, 2, 2], np.float32)}),
    "resized from the corner": (10, node("Resize", "f", mode="nearest"), {"f": np.array([1, 1, 1.5, 2], np.float32)}),
    "dropout without inputs": (7, node("Dropout", ratio=0.5), {}),
    "one factor a group": (18, node("GroupNormalization", "s", "t", num_groups=3), {"s": floats(3), "t": floats(3)}),
    "statistics of old": (7, node("BatchNormalization", *"stmv"), {n: floats(3, low=0.1) for n in "stmv"}),
}  # fmt: skip


@pytest.mark.parametrize("name", OLD)
def test_an_operator_means_what_it_meant_in_its_opset(name: str) -> None:
    opset, nodes, held = OLD[name]
    model = graph(nodes if isinstance(nodes, list) else [nodes], held, opset=opset)
    model.ir_version = 4 if opset < 10 else 7
    x = np.random.default_rng(11).uniform(-1, 1, SHAPE).astype(np.float32)
    np.testing.assert_allclose(by_rebuild(model, x), by_runtime(model, x), rtol=1e-5, atol=1e-5)


FAST = {"AveragePool", "Conv", "ConvTranspose", "Gemm", "LayerNormalization", "LSTM", "MaxPool", "Pad", "ReduceSum"}
FAST |= {"Slice", "Softmax"}


def test_onnx_s_own_node_tests_pass() -> None:
    told = [outcome(kind, case) for kind, case in cases(FAST)]
    assert {one.operator for one in told} == FAST
    assert [one for one in told if one.status in ("failed", "broken")] == []
    refused = {one.case for one in told if one.status == "refused"}
    # the positions of the largest are no part of any path of slopes
    assert refused == {
        "test_maxpool_with_argmax_2d_precomputed_pads",
        "test_maxpool_with_argmax_2d_precomputed_strides",
    }


@pytest.mark.parametrize("signature", SIGNATURES, ids=str)
def test_any_signature_is_answered_as_by_onnx_runtime(signature: Signature, tmp_path: Path) -> None:
    path = tmp_path / "made.onnx"
    onnx.save(signature.model(), path)
    view = View(signature.score, signature.task, signature.output, Adaptation.of(signature.adaptation))
    facts = facts_of(path, view)
    if "Differentiable" not in facts.capabilities:
        assert facts.lacks["Differentiable"]
        with pytest.raises(ModelFileError):
            onnx_tensorflow.open_model(path, view)
        return
    handle = onnx_tensorflow.open_model(path, view)
    assert isinstance(handle, Differentiable)
    np.testing.assert_allclose(handle.predict(signature.inputs), signature.expected(), atol=signature.tolerance)
    # float16's rounding is larger than the differences, and rounding to 8 bits is what slopes go straight through
    if not facts.coarse:
        assert check(handle, signature.inputs, np.random.default_rng(0)) == []


@pytest.mark.parametrize("score", ["logit", "probability", "log_odds"])
@pytest.mark.parametrize("stem", ["digits", "german-credit", "watch"])
def test_a_file_alone_has_the_slopes_of_its_twin(models: Path, stem: str, score: str) -> None:
    from runtimes.frameworks import tensorflow_native

    rebuilt = onnx_tensorflow.open_model(models / f"{stem}.onnx", View(score))
    twin = tensorflow_native.open_model(models / f"{stem}.keras", View(score))
    (tensor,) = facts_of(models / f"{stem}.onnx").inputs
    rows = np.random.default_rng(4).random((5, *tensor.shape[1:])).astype(np.float32)
    target = np.array([0, 1, 0, 1, 1])
    (name,) = [one.name for one in tensorflow_native.inspect(models / f"{stem}.keras").inputs]
    ours, theirs = rebuilt.gradient({tensor.name: rows}, target), twin.gradient({name: rows}, target)
    np.testing.assert_allclose(ours[tensor.name], theirs[name], atol=1e-6)
    assert rebuilt.spent.backward == 5


def test_factors_and_summands_of_channels_are_drawn_into_a_convolution() -> None:
    # Conv, then times 2 for channel 1, plus 1 everywhere, minus nothing for a tensor that is no constant: Relu stays
    nodes = [
        node("Conv", "w", outputs=("a",), pads=[1, 1, 1, 1]),
        helper.make_node("Mul", ["two", "a"], ["b"]),
        helper.make_node("Add", ["b", "one"], ["c"]),
        helper.make_node("BatchNormalization", ["c", "s", "t", "m", "v"], ["d"]),
        helper.make_node("Relu", ["d"], ["e"]),
        helper.make_node("Mul", ["e", "two"], ["f"]),
        helper.make_node("Sub", ["f", "wide"], ["y"]),
    ]
    two = np.array([1.0, 2.0], np.float32).reshape(2, 1, 1)
    held = {"w": floats(2, 3, 3, 3), "two": two, "one": np.float32(1), "wide": floats(1, 1, 5, 4)}
    held |= {name: floats(2, low=0.2) for name in "stmv"}
    model, x = graph(nodes, held), np.random.default_rng(11).uniform(-1, 1, SHAPE).astype(np.float32)
    np.testing.assert_allclose(by_rebuild(model, x), by_runtime(model, x), rtol=1e-5, atol=1e-5)
    from runtimes.formats.keras_runtime import tensorflow

    steps = Rebuilt(model, "y", Path()).steps({"x": tensorflow().constant(x)})
    assert [use.kind for use, _ in steps] == ["Conv", "Relu", "Mul", "Sub"]


def written(path: Path, model: Any) -> Path:
    onnx.save(model, path / "made.onnx")
    return path / "made.onnx"


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([node("StringNormalizer")], "operator `StringNormalizer` (node the StringNormalizer) has no gradient here"),
        ([helper.make_node("If", ["yes"], ["y"], then_branch=inner("t", [helper.make_node("StringNormalizer", ["x"], ["t"], name="deep")], [], ["t"]),
                           else_branch=BRANCHES["else_branch"])], "operator `StringNormalizer` (node deep) has no gradient here"),
        ([node("Round")], "0 everywhere: operator `Round` (node the Round) cuts"),
        ([node("Relu", outputs=("t",)), helper.make_node("Greater", ["t", "w"], ["b"]),
          helper.make_node("Cast", ["b"], ["y"], to=1)], "operator `Greater`"),
        ([node("Dropout", "w", "yes")], "(node the Dropout) has no gradient here: training mode"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_named_without_running_anything(nodes: list[Any], said: str, tmp_path: Path) -> None:
    path = written(tmp_path, graph(nodes, {"w": np.float32(0.5), "yes": np.array(True)}))
    facts = facts_of(path)
    assert "Differentiable" not in facts.capabilities
    assert said in facts.lacks["Differentiable"].replace("the ONNX file's ", "")


def test_ids_have_slopes_by_what_they_are_looked_up_as(models: Path) -> None:
    assert facts_of(models / "sentiment.onnx").capabilities >= {"Differentiable", "EmbeddingDifferentiable"}
    assert "Differentiable" in facts_of(models / "digits.onnx").capabilities
    assert "EmbeddingDifferentiable" not in facts_of(models / "digits.onnx").capabilities


def test_a_rebuild_that_is_another_model_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(
        tmp_path, graph([node("Tanh", outputs=("t",)), helper.make_node("Softsign", ["t"], ["y"])], {}, (2, 3))
    )
    view = View("value", "regression")
    onnx_tensorflow.open_model(path, view)
    known = operators()["", "Softsign"]
    wrong = Operator(lambda call, x: known.run(call, x) + 0.001, known.style, known.flat, None)
    monkeypatch.setitem(REGISTERED, ("", "Softsign"), wrong)
    operators.cache_clear()
    with pytest.raises(ModelFileError, match="not the same model.*operator `Softsign`.* gives other numbers"):
        onnx_tensorflow.open_model(path, view)
    monkeypatch.undo()
    operators.cache_clear()


def test_a_model_with_external_weights_and_its_own_functions(tmp_path: Path) -> None:
    inner = [helper.make_node("MatMul", ["a", "b"], ["c"]), helper.make_node("Tanh", ["c"], ["d"])]
    function = helper.make_function("of.mine", "Layer", ["a", "b"], ["d"], inner, [helper.make_opsetid("", 17)])
    w = floats(40, 3)
    model = graph([helper.make_node("Layer", ["x", "w"], ["y"], domain="of.mine")], {"w": w}, (2, 40))
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("of.mine", 1))
    onnx.save(model, tmp_path / "made.onnx", save_as_external_data=True, location="weights.bin", size_threshold=16)
    handle = onnx_tensorflow.open_model(tmp_path / "made.onnx", View("value", "regression"))
    x = floats(2, 40)
    np.testing.assert_allclose(handle.predict({"x": x}), np.tanh(x.astype(np.float64) @ w), atol=1e-6)
    # d tanh(z_0) / dx = (1 - tanh(z_0)^2) w_0
    found = handle.gradient({"x": x}, np.array([0, 0]))["x"]
    np.testing.assert_allclose(found, (1 - np.tanh(x.astype(np.float64) @ w[:, :1]) ** 2) * w[:, 0], atol=1e-6)


def test_an_audit_of_an_onnx_file_alone_has_both_directions(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    changes: dict[str, Any] = {
        "precaution": None, "tuning": None, "faithfulness": None, "strategy.expectations": None, "gates": None,
        "explain.rows": {"from": "test", "sample": 4}, "explain.perturbation": [{"use": "occlusion"}],
        "explain.gradient": [{"use": "integrated_gradients", "with": {"steps": 16}}, {"use": "saliency"}],
        "agreement": [{"use": "rank_correlation"}], "factsheet": {"formats": ["json"]},
    }  # fmt: skip
    alone = write_spec(project, "german-credit", {**changes, "model.keras": None}, "alone.yaml")
    twin = write_spec(project, "german-credit", {**changes, "model.onnx": None}, "twin.yaml")
    runs = {}
    for spec in (alone, twin):
        runs[spec.stem] = driver.run(spec, tmp_path / spec.stem, engine="inline").factsheet
    for step in ("integrated_gradients", "saliency"):
        ours, theirs = (np.load(tmp_path / name / "evidence" / step / "attributions.npz") for name in ("alone", "twin"))
        np.testing.assert_allclose(ours["values"], theirs["values"], atol=1e-4)
    facts = {fact.id: fact for fact in runs["alone"].facts}
    assert facts["model.parity.max_difference"].value < 1e-5
    assert "rebuild" in facts["model.parity.max_difference"].title
    nodes = {one.id: one for one in runs["alone"].provenance.nodes}
    assert nodes["explain.saliency"].runtime == "onnx_tensorflow"
    assert nodes["explain.occlusion"].runtime == "onnx_runtime"
    compared = [one for name, one in nodes.items() if name.startswith("agreement.") and "occlusion" in name]
    assert compared
    assert all("model.parity" in one.inputs for one in compared)
    assert "model.parity.max_difference" not in {fact.id for fact in runs["twin"].facts}


def test_rows_are_counted_and_any_number_is_answered(models: Path, digits: datasets.RawData) -> None:
    handle = onnx_tensorflow.open_model(models / "digits.onnx", View("logit"))
    black = onnx_runtime.open_model(models / "digits.onnx", View("logit"))
    x = {"image": (digits.arrays["x"][:300] / 255.0).astype(np.float32)}
    before = handle.spent.forward
    np.testing.assert_allclose(handle.predict(x), black.predict(x), atol=1e-4)
    assert handle.spent.forward - before == 300
    assert handle.predict({"image": x["image"][:0]}).shape == (0, 10)
    assert handle.gradient({"image": x["image"][:0]}, np.zeros(0, np.int64))["image"].shape == (0, 28, 28, 1)
    with pytest.raises(ValueError, match="column positions from 0 to 9"):
        handle.gradient({"image": x["image"][:1]}, np.array([10]))
