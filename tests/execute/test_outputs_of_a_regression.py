"""A regression with several outputs: which one is audited is said, and what is shown is that one's."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pgx_compiler.cli import main

pytestmark = pytest.mark.frameworks

WEIGHTS = np.array([[1.0, 4.0], [2.0, 0.0], [3.0, -5.0]], np.float32)
BIAS = np.array([0.5, -1.0], np.float32)
COLUMNS = ("a", "b", "c")
SPEC = """apiVersion: pgx/v1
kind: Audit
metadata: {{name: two}}
seed: 7
model: {{onnx: two.onnx, task: regression{output}}}
data: {{modality: tabular, train: {{path: rows.csv, target: y}}, test: {{path: rows.csv, target: y}}}}
explain:
  {target}
  rows: {{from: test, all: true}}
  fill: {{kind: value, value: 0}}
  perturbation: [{perturbation}]
  gradient: [{gradient}]
factsheet: {{formats: [json]}}
"""
EXACT = "{use: shapley_values}, {use: occlusion}, {use: accumulated_local_effects}"
ON_LABELS = "{use: permutation_importance}, {use: surrogate_influence}"


@pytest.fixture
def rows(tmp_path: Path) -> Any:
    """A linear model with two outputs, and rows whose labels are its second one and half a unit."""
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"])],
        "two",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(BIAS, "b")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "two.onnx"
    )
    x = np.random.default_rng(5).normal(size=(40, 3)).round(3)
    labels = (x @ WEIGHTS + BIAS)[:, 1] + 0.5
    lines = ["a,b,c,y", *(",".join(map(str, [*row, y])) for row, y in zip(x.tolist(), labels.tolist(), strict=True))]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    return x


def written(folder: Path, target: str, output: str = "", perturbation: str = EXACT, gradient: str = "") -> str:
    text = SPEC.format(
        target=target and f"target: {target}", output=output, perturbation=perturbation, gradient=gradient
    )
    (folder / "audit.yaml").write_text(text)
    return str(folder / "audit.yaml")


def audited(folder: Path, target: str, **parts: str) -> dict[str, Any]:
    spec = written(folder, target, **parts)
    assert main(["run", spec, "--engine", "inline", "--output", str(folder / "out")]) == 0
    found: dict[str, Any] = json.loads((folder / "out" / "factsheet.json").read_text())
    return found


def explained(sheet: dict[str, Any], step: str) -> dict[str, Any]:
    (found,) = [one for one in sheet["explanations"] if one["step"] == step]
    return {**found, "mean_signed": dict(zip(found["feature_names"], found["mean_signed"], strict=True))}


def facts(sheet: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in sheet["facts"]}


def contributions(x: Any, output: int) -> dict[str, float]:
    """Of a sum, what a feature adds beside a fill of 0: its weight times its value, here the mean over the rows."""
    return dict(zip(COLUMNS, (x * WEIGHTS[:, output]).mean(axis=0).tolist(), strict=True))


def test_without_a_word_which_output_is_meant_nothing_is_audited(
    rows: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del rows
    assert main(["check", written(tmp_path, "")]) != 0
    told = capsys.readouterr()
    assert "gives 2 values a row, and nothing says which of them is audited" in told.out + told.err
    assert "select: [0]" in told.out + told.err


def test_attributions_of_the_second_output_are_its_own_and_labels_stand_beside_it(rows: Any, tmp_path: Path) -> None:
    sheet = audited(
        tmp_path, '"1"', perturbation=f"{EXACT}, {ON_LABELS}", gradient="{use: integrated_gradients, with: {steps: 8}}"
    )
    for step in ("shapley_values", "occlusion", "integrated_gradients"):
        assert explained(sheet, step)["mean_signed"] == pytest.approx(contributions(rows, 1), abs=1e-4)
        assert explained(sheet, step)["target"] == "output 1"
    assert {(one["target"], one["predicted"]) for one in sheet["examples"]} == {("output 1", "output 1")}
    rmse = facts(sheet)["model.performance.rmse"]
    assert rmse["value"] == pytest.approx(0.5, abs=1e-5)
    assert rmse["title"] == "Root mean squared error of output 1"
    # the column b has no weight for output 1: to shuffle it costs nothing
    importance = {name: facts(sheet)[f"explain.permutation_importance.importance_{name}"]["value"] for name in COLUMNS}
    assert importance["b"] == pytest.approx(0.0, abs=1e-6)
    assert min(importance["a"], importance["c"]) > 1.0
    # 0.5 of the label is not the model's: the squared error of output 1, and not of output 0, is 0.25
    assert facts(sheet)["explain.permutation_importance.loss"]["value"] == pytest.approx(0.25, abs=1e-5)


def test_what_is_said_of_effects_names_the_output_and_is_of_it_alone(rows: Any, tmp_path: Path) -> None:
    del rows
    sheet = audited(tmp_path, '"1"')
    told = json.dumps(sheet)
    assert "value of output 1" in told
    assert "largest over 2 outputs" not in told


def test_every_output_at_once_gives_of_each_what_it_has_alone_and_compares_no_label(rows: Any, tmp_path: Path) -> None:
    sheet = audited(tmp_path, "all", perturbation="{use: shapley_values}, {use: occlusion}, {use: surrogate_influence}")
    step = explained(sheet, "shapley_values")
    assert step["targets"] == ["output 0", "output 1"]
    table = step["by_target"]
    for place, output in enumerate(table["targets"]):
        expected = contributions(rows, int(output[-1]))
        found = dict(zip(table["features"], table["mean_signed"][place], strict=True))
        assert found == pytest.approx({name: expected[name] for name in found}, abs=1e-5)
    assert facts(sheet)["model.performance.rmse"]["value"] is None
    assert "several outputs" in facts(sheet)["model.performance.rmse"]["reason"]


def test_outputs_go_by_the_names_that_the_spec_gives_them(rows: Any, tmp_path: Path) -> None:
    sheet = audited(tmp_path, "heat", output=", output: {names: [cold, heat]}")
    assert explained(sheet, "occlusion")["mean_signed"] == pytest.approx(contributions(rows, 1), abs=1e-5)
    assert explained(sheet, "occlusion")["target"] == "output heat"
    assert facts(sheet)["model.performance.rmse"]["title"] == "Root mean squared error of output heat"


@pytest.mark.parametrize(("output", "name"), [("{select: [1]}", "1"), ("{select: [1], names: [heat]}", "heat")])
def test_an_output_that_is_selected_needs_no_target_and_is_named(
    rows: Any, tmp_path: Path, output: str, name: str
) -> None:
    sheet = audited(
        tmp_path, "", output=f", output: {output}", perturbation=f"{EXACT}, {{use: permutation_importance}}"
    )
    assert explained(sheet, "shapley_values")["mean_signed"] == pytest.approx(contributions(rows, 1), abs=1e-5)
    assert explained(sheet, "shapley_values")["target"] == f"output {name}"
    assert facts(sheet)["model.performance.rmse"]["value"] == pytest.approx(0.5, abs=1e-5)


def test_the_first_spec_of_such_a_model_passes_its_own_check(
    rows: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del rows
    monkeypatch.chdir(tmp_path)
    assert main(["init", "two.onnx", "rows.csv"]) == 0
    assert "target: all" in (tmp_path / "audit.yaml").read_text()
    assert main(["check", "audit.yaml"]) == 0


def test_of_outputs_with_names_of_their_own_the_check_asks_which_is_meant(
    rows: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del rows
    model = onnx.load(tmp_path / "two.onnx")
    model.graph.node.append(helper.make_node("Neg", ["y"], ["cost"]))
    model.graph.output.append(helper.make_tensor_value_info("cost", TensorProto.FLOAT, [None, 2]))
    onnx.save(model, tmp_path / "two.onnx")
    main(["check", written(tmp_path, '"1"')])
    told = capsys.readouterr()
    assert "the model has 2 outputs, and nothing says which is audited" in told.out + told.err
    assert main(["check", written(tmp_path, '"1"', output=", output: cost")]) == 0
    told = capsys.readouterr()
    assert "nothing says" not in told.out + told.err
