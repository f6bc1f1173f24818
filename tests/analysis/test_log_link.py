"""Which score a regression is explained in: never another one than was asked for, and a way out where it cannot be had."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from pgx_compiler.analysis.analyse import Analysis, analyse
from pgx_compiler.authoring.possible import refusals
from pgx_compiler.driver import compile
from pgx_compiler.spec.parse import parse
from tests.log_link_models import COLUMNS, READ, RECOVERED, ROWS, WEIGHTS, N, model, trees

SPEC = """apiVersion: pgx/v1
kind: Audit
metadata: {{name: claims}}
seed: 7
model: {{onnx: model.onnx, task: {task}}}
data: {{modality: tabular, train: {{path: rows.csv, target: claims}}}}
explain:
  {score}
  rows: {{from: train, sample: 4}}
  perturbation: [{{use: {method}}}]
"""


def written(folder: Path, made: Any, score: str = "", method: str = "shapley_values", task: str = "regression") -> str:
    onnx.save(made, folder / "model.onnx")
    names = [f"c{k}" for k in range(COLUMNS)]
    table = np.column_stack([ROWS, np.arange(len(ROWS)) % 4])
    lines = [",".join([*names, "claims"]), *(",".join(map(str, row)) for row in table)]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    return SPEC.format(task=task, method=method, score=f"score: {score}" if score else "target: predicted")


def checked(folder: Path, *arguments: Any) -> Analysis:
    return analyse(parse(written(folder, *arguments), "audit.yaml"), folder)


def told(analysis: Analysis) -> list[str]:
    return [f"{item.code} {item.message} | {item.help}" for item in analysis.diagnostics]


@pytest.mark.parametrize("name", [*READ, *RECOVERED])
def test_the_default_of_a_regression_stays_its_value_and_the_logarithm_may_be_asked_for(
    name: str, tmp_path: Path
) -> None:
    made = (READ | RECOVERED)[name].make()
    for asked, score in (("", "value"), ("log_value", "log_value"), ("value", "value")):
        analysis = checked(tmp_path, made, asked)
        assert told(analysis) == []
        assert analysis.resolved is not None
        assert analysis.resolved.score == score


@pytest.mark.parametrize("nodes", [[N("MatMul", ["x", "w"], ["y"])], [trees("y")]])
def test_a_logarithm_of_what_may_be_below_0_is_refused_with_what_it_takes(nodes: list[Any], tmp_path: Path) -> None:
    (said,) = told(checked(tmp_path, model(nodes, w=WEIGHTS), "log_value"))
    assert said.startswith("PGX4005 the onnx file cannot give the score `log_value` | possible here: `value`;")
    assert "amounts that are above 0 always, as an exponential at the end gives them" in said


def test_a_classification_has_no_logarithm_of_a_value(tmp_path: Path) -> None:
    made = READ["a network and an Exp"].make()
    said = told(checked(tmp_path, made, "log_value", "occlusion", "classification"))
    assert any("classification does not explain the score `log_value`" in one for one in said)


@pytest.mark.parametrize(
    ("name", "method"), [("a product and an Exp", "linear_shap"), ("LightGBM's trees and an Exp", "tree_shap")]
)
def test_an_exact_method_above_the_link_is_refused_with_the_score_that_would_do(
    name: str, method: str, tmp_path: Path
) -> None:
    said = told(checked(tmp_path, READ[name].make(), "value", method))
    assert len(said) == 1
    assert "explain log_value" in said[0]
    assert told(checked(tmp_path, READ[name].make(), "log_value", method)) == []
    assert "explain log_value" in refusals(str(tmp_path / "model.onnx"))[method]


@pytest.mark.parametrize(
    ("name", "score", "chosen"),
    [
        ("skl2onnx's generalised linear model", "log_value", "linear_shap"),
        ("XGBoost's trees, an Exp, and the base score as a factor", "log_value", "tree_shap"),
        ("a network and an Exp", "log_value", "exact_shapley"),
        ("skl2onnx's generalised linear model", "value", "exact_shapley"),
    ],
)
def test_shapley_values_are_computed_where_the_model_adds_up(
    name: str, score: str, chosen: str, tmp_path: Path
) -> None:
    spec = tmp_path / "audit.yaml"
    spec.write_text(written(tmp_path, READ[name].make(), score))
    (node,) = [node for node in compile(spec).graph if node.step == "shapley_values" and node.op == "attribute"]
    assert node.method == chosen
    assert node.params["score"] == score
