"""Audits of models with a log link, from the spec to the factsheet."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pgx_compiler.cli import main
from tests.log_link_models import COLUMNS, READ, N, keras_network, model

pytestmark = pytest.mark.frameworks

SPEC = """apiVersion: pgx/v1
kind: Audit
metadata: {{name: claims}}
seed: 7
model: {{{files}, task: regression}}
data: {{modality: tabular, train: {{path: rows.csv, target: claims}}}}
explain:
  score: log_value
  rows: {{from: train, sample: 6}}
  fill: {{kind: background, size: 8}}
  perturbation: [{{use: shapley_values}}, {{use: permutation_importance}}]
  gradient: [{gradient}]
agreement: [{agreement}]
factsheet: {{formats: [json]}}
"""


def audited(folder: Path, files: str, gradient: str = "{use: integrated_gradients}", status: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(60, COLUMNS)).round(3)
    claims = rng.poisson(np.exp(0.5 * x[:, 0]))
    lines = [",".join([*(f"c{k}" for k in range(COLUMNS)), "claims"])]
    lines += [",".join(map(str, [*row, count])) for row, count in zip(x.tolist(), claims.tolist(), strict=True)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "audit.yaml").write_text(
        SPEC.format(files=files, gradient=gradient, agreement="{use: rank_correlation}" if gradient else "")
    )
    assert main(["run", str(folder / "audit.yaml"), "--engine", "inline", "--output", str(folder / "out")]) == status
    found: dict[str, Any] = json.loads((folder / "out" / "factsheet.json").read_text())
    return found


def value_of(sheet: dict[str, Any], fact: str) -> float:
    (found,) = [one["value"] for one in sheet["facts"] if one["id"] == fact]
    return float(found)


def test_a_generalised_linear_model_alone_has_both_directions_and_they_say_the_same(tmp_path: Path) -> None:
    onnx.save(READ["skl2onnx's generalised linear model"].make(), tmp_path / "glm.onnx")
    sheet = audited(tmp_path, "onnx: glm.onnx")
    assert sheet["audit"]["score"] == "log_value"
    told = {one["method"]: one for one in sheet["explanations"]}
    assert told["shapley_values"]["computed_by"] == "linear_shap"
    assert {one["unit"] for one in told.values()} == {"log_value"}
    for method in told:
        assert value_of(sheet, f"explain.{method}.completeness_gap") < 1e-5
    # of a sum, integrated gradients are Shapley values: coefficient times distance
    first, second = (np.array(told[method]["mean_signed"]) for method in ("shapley_values", "integrated_gradients"))
    np.testing.assert_allclose(first, second, atol=1e-5)
    assert value_of(sheet, "model.parity.max_score_difference") < 1e-5


def test_two_files_of_a_network_are_one_model_in_logarithms_and_relevance_adds_up(tmp_path: Path) -> None:
    onnx.save(READ["a network and an Exp"].make(), tmp_path / "net.onnx")
    keras_network("exponential").save(tmp_path / "net.keras")
    sheet = audited(tmp_path, "onnx: net.onnx, keras: net.keras", "{use: deep_lift}, {use: lrp}")
    assert value_of(sheet, "model.parity.max_score_difference") < 1e-5
    told = {one["method"]: one for one in sheet["explanations"]}
    assert set(told) == {"shapley_values", "deep_lift", "lrp"}
    assert {one["status"] for one in told.values()} == {"done"}
    assert told["shapley_values"]["computed_by"] == "exact_shapley"
    assert value_of(sheet, "explain.deep_lift.completeness_gap") < 1e-5


def test_an_answer_of_0_leaves_the_audit_incomplete_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = np.float32([[5], [0], [0], [0], [0]])
    made = model([N("MatMul", ["x", "w"], ["z"]), N("Exp", ["z"], ["e"]), N("Floor", ["e"], ["y"])], w=weights)
    onnx.save(made, tmp_path / "floor.onnx")
    audited(tmp_path, "onnx: floor.onnx", "", status=2)
    told = capsys.readouterr()
    assert "`log_value` needs finite values above 0, and the model answers [0.0] (row " in told.err + told.out
