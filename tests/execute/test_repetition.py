"""A model that answers the same row differently is said to, and one that only rounds differently is not."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgx_compiler import driver
from pgx_compiler.cli import main
from pgx_compiler.evidence.finding_codes import FINDING_CODES
from pgx_compiler.execute.repetition import asked_again, steadiness
from pgx_compiler.ir.repeats import ROWS_REPEATED, rows_repeated
from runtimes.capabilities import Floats, Inputs, Spent
from runtimes.formats.keras_runtime import keras, tensorflow
from tests.hostile import running_models
from tests.hostile.pieces import graph, honest_onnx, keras_audit, onnx_audit, spec, table

SCORES = np.array([[0.5, -0.5], [2.0, -2.0], [1.0, -1.0]])
SINGLE = ["float32"]


@dataclass
class Counting:
    """The sum of a row's two numbers, plus whatever is said of the rows of a call."""

    beside: Callable[[int, Floats], Floats] = lambda call, x: np.zeros(len(x))
    rows_per_call: int = 1000
    spent: Spent = field(default_factory=Spent)
    calls: list[int] = field(default_factory=list)

    def predict(self, inputs: Inputs) -> Floats:
        x = np.asarray(inputs["x"], np.float64)
        self.calls.append(len(x))
        return (x.sum(axis=1) + self.beside(len(self.calls), x))[:, None]


ROWS = {"x": np.arange(34.0).reshape(17, 2)}


def answers(model: Counting) -> tuple[Any, ...]:
    return (model.predict(ROWS), *asked_again(model, ROWS))


def test_rows_are_asked_together_twice_and_then_apart_and_backwards():
    model = Counting()
    together, again, apart = asked_again(model, ROWS)
    assert model.calls == [17, 17, 7, 7, 3]
    assert sum(model.calls) == rows_repeated(17) == 51
    for found in (together, again, apart):
        np.testing.assert_array_equal(found[:, 0], ROWS["x"].sum(axis=1))


def test_of_many_rows_a_sample_is_asked():
    assert rows_repeated(10_000) == 3 * ROWS_REPEATED
    assert rows_repeated(10_000, sample=10) == 30


def test_rounding_is_allowed_and_told():
    """Largest score 2: 2e-4 is allowed."""
    report, holds = steadiness(SCORES, SCORES, SCORES, SCORES + 1.9e-4, SINGLE)
    assert holds
    (measure,) = report.measures
    assert (measure.name, measure.n) == ("repeat_difference", 3)
    assert measure.value == pytest.approx(1.9e-4)
    assert report.findings == ()
    np.testing.assert_allclose(report.arrays["difference"], 1.9e-4)
    assert not steadiness(SCORES, SCORES, SCORES, SCORES + 2.1e-4, SINGLE)[1]


def test_a_score_is_measured_by_its_own_size():
    """A thousandth of the score is much of it, whatever its unit."""
    for unit in (1e-6, 1.0, 1e6):
        same = steadiness(unit * SCORES, unit * SCORES, unit * SCORES, unit * (SCORES + 1e-5), SINGLE)
        other = steadiness(unit * SCORES, unit * SCORES, unit * SCORES, unit * (SCORES + 2e-3), SINGLE)
        assert (same[1], other[1]) == (True, False)


def test_half_precision_rounds_more():
    """2 x 2^-11, half a unit in the last place of 2."""
    assert steadiness(SCORES, SCORES, SCORES, SCORES * (1 + 2**-11), ["float16"])[1]
    assert not steadiness(SCORES, SCORES, SCORES, SCORES * (1 + 2**-11), ["float32"])[1]
    assert not steadiness(SCORES, SCORES, SCORES, SCORES * 1.05, ["float16"])[1]


def test_chance_is_told_from_the_company_of_other_rows():
    rng = np.random.default_rng(5)
    (by_chance,) = steadiness(*answers(Counting(lambda call, x: rng.normal(size=len(x)))), SINGLE)[0].findings
    (by_company,) = steadiness(*answers(Counting(lambda call, x: np.full(len(x), x.mean()))), SINGLE)[0].findings
    for found in (by_chance, by_company):
        assert (found.code, found.severity, found.verdict) == ("nondeterministic_model", "error", "holds")
    assert "It draws at random." in by_chance.summary
    assert "depends on the rows that it is asked with" in by_company.summary
    assert steadiness(*answers(Counting()), SINGLE)[1]


def test_a_model_that_wears_out_is_found_though_it_draws_nothing():
    """Its answers grow with every call; no two of them are the same."""
    report, holds = steadiness(*answers(Counting(lambda call, x: np.full(len(x), call / 10))), SINGLE)
    assert not holds
    assert report.measures[0].value == pytest.approx(0.4)  # together is the second call, the last rows apart the sixth


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_answer_that_is_no_number_the_second_time_is_another_answer(value: float):
    broken = SCORES.copy()
    broken[1, 0] = value
    report, holds = steadiness(SCORES, SCORES, broken, SCORES, SINGLE)
    assert not holds
    assert report.measures[0].value is None
    assert report.measures[0].reason
    assert "finite at one time and not at another" in report.findings[0].summary


def test_a_constant_model_is_steady_and_the_smallest_noise_on_zero_is_none():
    zeros = np.zeros((4, 2))
    assert steadiness(zeros, zeros, zeros, zeros, SINGLE)[1]
    assert not steadiness(zeros, zeros, zeros, zeros + 1e-9, SINGLE)[1]


def test_the_word_is_raised():
    assert not FINDING_CODES["nondeterministic_model"].reserved


OCCLUSION = {"rows": {"from": "train", "sample": 4}, "perturbation": [{"use": "occlusion"}]}
EXPLAINED = {
    "explain": {
        "rows": {"from": "train", "sample": 4},
        "perturbation": [{"use": "occlusion"}, {"use": "kernel_shap", "with": {"samples": 20}}],
    },
    "agreement": [{"use": "rank_correlation"}],
    "factsheet": {"formats": ["json"]},
}


def sheet_of(folder: Path, model: dict[str, str], **changes: Any) -> tuple[int, dict[str, Any]]:
    (folder / ".pgx").mkdir(exist_ok=True)
    spec(folder, model, **(EXPLAINED | changes))
    status = main(["run", str(folder / "audit.yaml"), "--engine", "inline", "-o", str(folder / "out")])
    return status, json.loads((folder / "out" / "factsheet.json").read_bytes())


def facts_of(sheet: dict[str, Any]) -> dict[str, Any]:
    return {fact["id"]: fact["value"] for fact in sheet["facts"]}


@pytest.mark.frameworks
def test_a_model_that_answers_by_chance_fails_and_nothing_is_concluded(tmp_path: Path):
    running_models.answers_by_chance(tmp_path)
    status, sheet = sheet_of(tmp_path, {"onnx": "model.onnx"})
    assert (status, sheet["verdict"]["status"]) == (1, "failed")
    (found,) = [one for one in sheet["findings"] if one["code"] == "nondeterministic_model"]
    assert (found["severity"], found["verdict"], found["id"]) == ("error", "holds", "model.onnx.nondeterministic_model")
    assert found["facts"] == ["model.onnx.repeat_difference"]
    assert facts_of(sheet)["model.onnx.repeat_difference"] > 0.01
    assert "draws at random" in found["summary"]
    assert sheet["verdict"]["may_conclude"] == []
    assert any("asked again" in said for said in sheet["verdict"]["may_not_conclude"])
    assert len(sheet["agreement"]) == 2  # the pair, and kernel_shap with itself
    for entry in sheet["agreement"]:
        assert (entry["median"], entry["n"]) == (None, 0)
        assert "answers the same row differently" in entry["reason"]


@pytest.mark.frameworks
def test_a_gate_on_what_is_withheld_is_not_passed(tmp_path: Path):
    running_models.answers_by_chance(tmp_path)
    pair = {"fact": "agreement.rank_correlation", "between": ["occlusion", "kernel_shap"]}
    gates = [{**pair, "aggregate": "median", "min": -1}, {"fact": "model.onnx.repeat_difference", "max": 1e-6}]
    _, sheet = sheet_of(tmp_path, {"onnx": "model.onnx"}, gates=gates)
    assert [gate["status"] for gate in sheet["gates"]] == ["unknown", "failed"]


@pytest.mark.frameworks
def test_a_model_that_reads_the_other_rows_of_a_call_is_found(tmp_path: Path):
    """Softmax(z - mean of z over the rows of the call), as of a normalisation that was left in training."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("ReduceMean", ["z"], ["mean"], axes=[0], keepdims=1),
        helper.make_node("Sub", ["z", "mean"], ["centred"]),
        helper.make_node("Softmax", ["centred"], ["p"], axis=1),
    ]
    weights = numpy_helper.from_array(np.arange(8, dtype=np.float32).reshape(4, 2) / 8, "w")
    onnx_audit(tmp_path, graph(nodes, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])], [weights]))
    status, sheet = sheet_of(tmp_path, {"onnx": "model.onnx"})
    (found,) = [one for one in sheet["findings"] if one["code"] == "nondeterministic_model"]
    assert "depends on the rows that it is asked with" in found["summary"]
    assert status == 1


@pytest.mark.frameworks
def test_an_honest_model_is_asked_again_at_the_planned_price(tmp_path: Path):
    """Forty rows, three more times: 120 model rows, exactly as planned."""
    onnx_audit(tmp_path, honest_onnx())
    status, sheet = sheet_of(tmp_path, {"onnx": "model.onnx"})
    assert status == 0
    assert facts_of(sheet)["model.onnx.repeat_difference"] < 1e-6
    assert "nondeterministic_model" not in {one["code"] for one in sheet["findings"]}
    assert all(entry["n"] == 4 for entry in sheet["agreement"])
    (node,) = [one for one in sheet["provenance"]["nodes"] if one["op"] == "repeat"]
    assert node["cost_planned"] == {"forward": 120, "backward": 0}
    assert node["cost_spent"] == node["cost_planned"]
    assert (tmp_path / "out" / "evidence" / "model.onnx.repeat" / "repeat.json").exists()


@pytest.mark.frameworks
def test_dropout_that_was_exported_switched_on_is_found(tmp_path: Path):
    """A SavedModel keeps it in its graph, where nothing can switch it off."""
    tf = tensorflow()
    module = tf.Module()
    module.weights = tf.Variable(np.arange(8, dtype=np.float32).reshape(4, 2) / 8)
    module.call = tf.function(
        lambda x: {"p": tf.nn.softmax(tf.nn.dropout(x, 0.5, seed=3) @ module.weights)},
        input_signature=[tf.TensorSpec((None, 4), tf.float32, "x")],
        autograph=False,
    )
    table(tmp_path)
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.call.get_concrete_function())
    _, sheet = sheet_of(tmp_path, {"keras": "saved"}, explain=OCCLUSION, agreement=[])
    assert sheet["verdict"]["status"] == "failed"
    assert facts_of(sheet)["model.keras.repeat_difference"] > 0.1


@pytest.mark.frameworks
def test_dropout_that_keras_switches_off_is_off(tmp_path: Path):
    """``Dropout(0.5)(x, training=True)`` yields to ``training=False``, which `predict` of Keras says as well."""
    layers = keras().layers
    given = keras().Input((4,), name="x")
    hidden = layers.Dropout(0.5)(layers.Dense(16, activation="relu")(given), training=True)
    keras().Model(given, layers.Dense(2, activation="softmax")(hidden)).save(tmp_path / "model.keras")
    table(tmp_path)
    _, sheet = sheet_of(tmp_path, {"keras": "model.keras"}, explain=OCCLUSION, agreement=[])
    assert sheet["verdict"]["status"] == "passed"
    assert facts_of(sheet)["model.keras.repeat_difference"] < 1e-5


@pytest.mark.frameworks
def test_every_file_of_an_audit_is_asked_again(tmp_path: Path):
    onnx_audit(tmp_path, honest_onnx())
    keras_audit(tmp_path)
    (tmp_path / ".pgx").mkdir()
    spec(tmp_path, {"keras": "model.keras", "onnx": "model.onnx"}, **EXPLAINED)
    planned = driver.compile(tmp_path / "audit.yaml").graph
    asked = {node.id: dict(node.inputs) for node in planned if node.op == "repeat"}
    assert asked == {
        f"model.{name}.repeat": {"model": f"model.{name}", "data": "data.train", "predictions": f"predict.{name}.train"}
        for name in ("keras", "onnx")
    }
    compared = [node for node in planned if node.op == "compare"]
    assert compared
    assert all({"repeat.keras", "repeat.onnx"} <= set(node.inputs) for node in compared)
