"""The table of rules: it speaks of methods and questions that exist, and the page is written from it."""

import re
from pathlib import Path
from typing import get_args

import pytest
from tests_project import make_project

from pgx_compiler import driver
from pgx_compiler.analysis.strategy.page import page
from pgx_compiler.analysis.strategy.price import rows_of
from pgx_compiler.analysis.strategy.rules import BY_DECLARATION, QUESTIONS, RULES
from pgx_compiler.methods.catalogue import catalogue, computing
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.spec.model import Audience, Question, Risk

ROOT = Path(__file__).parents[2]
HEAD = """
apiVersion: pgx/v1
kind: Audit
metadata: {name: example}
model: {onnx: models/german-credit-trees.onnx}
data:
  modality: tabular
  train: {path: data/german-credit-train.csv, target: bad_risk}
  test: {path: data/german-credit-test.csv, target: bad_risk}
"""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.method}-{RULES.index(rule)}")
def test_a_rule_names_a_method_of_its_stage_with_parameters_that_it_takes(rule):
    declaration = catalogue()[rule.method]
    assert declaration.stage == rule.stage
    for params in rule.params:
        made = declaration.params.model_validate(params, strict=True)
        assert {name: getattr(made, name) for name in params} == params
    assert set(rule.questions) <= set(QUESTIONS)
    assert set(rule.when.stakes) <= {*get_args(Audience), *(f"{risk} risk" for risk in get_args(Risk))}
    assert set(rule.when.modalities) <= declaration.modalities
    assert not rule.reason.endswith(".")
    assert len(rule.source) > 10


@pytest.mark.parametrize("rule", [rule for rule in RULES if len(rule.params) > 1], ids=lambda rule: rule.method)
def test_parameters_stand_from_the_dearest_to_the_cheapest(rule):
    shape = Shape(rows=32, features=64, references=10, outputs=2, data_rows=1000)
    declaration = catalogue()[rule.method]
    for one in computing(rule.method) if declaration.is_request else [declaration]:
        if one.exact:
            continue
        costs = [rows_of(one, params, shape) for params in rule.params]
        assert costs == sorted(costs, reverse=True)
        assert costs[-1] < costs[0]


def test_every_question_of_the_language_has_a_rule_that_answers_it():
    assert set(QUESTIONS) == set(get_args(Question))
    for question, asked in QUESTIONS.items():
        assert any(question in rule.questions and rule.stage in asked.stages and not rule.refuses for rule in RULES), (
            question
        )


def test_the_general_rules_are_for_methods_that_exist():
    for rule in BY_DECLARATION:
        assert any(rule.fits(declaration) for declaration in catalogue().values())


def test_the_example_of_the_page_is_an_audit(tmp_path):
    project = make_project(tmp_path / "project")
    (example,) = re.findall(r"```yaml\n(.*?)```", page(), re.DOTALL)
    (project / "spec.yaml").write_text(HEAD + example)
    checked = driver.check(project / "spec.yaml")
    assert checked.audit is not None
    assert checked.audit.step("shapley_values").params.samples == 4096
    assert checked.audit.step("occlusion").chosen == ""
    assert "outliers" not in {step.id for step in checked.audit.steps}


def test_the_page_is_written_from_the_rules():
    assert (ROOT / "docs" / "strategy.md").read_text("utf-8") == page(), "stale: run `make docs`"
