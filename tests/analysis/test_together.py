"""A gate on features together makes its step measure them."""

from pathlib import Path
from typing import Any

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler import driver
from pgx_compiler.analysis.checked import check
from pgx_compiler.analysis.checks.together import _meant

STEPS: list[dict[str, Any]] = [
    {"use": "friedman_h", "with": {"rows": 8, "pair_features": 2}},
    {"use": "functional_decomposition", "id": "parts", "with": {"rows": 8, "order": 3, "pair_features": 3, "drawn": 0}},
    {"use": "tree_shap_interactions", "id": "trees", "with": {"pair_features": 20}},
]
WEAK = "telephone_and_foreign_worker"


def spec_of(folder: Path, facts: list[str], steps: list[dict[str, Any]]) -> Path:
    changes = {
        **SMALL_TREES,
        "explain.perturbation": steps,
        "agreement": [],
        "faithfulness": [],
        "strategy.expectations": [],
        "gates": [{"fact": f"explain.{fact}", "max": 1} for fact in facts],
    }
    return write_spec(make_project(folder), "german-credit-trees", changes)


def always(path: Path) -> dict[str, Any]:
    """What is measured by name, of each step of the checked audit."""
    checked = check(path)
    assert checked.audit is not None, [item.message for item in checked.diagnostics]
    return {step.id: getattr(step.params, "always", None) for step in checked.audit.steps if step.stage != "precaution"}


def test_pairs_on_which_a_gate_stands_are_added_to_those_that_are_named(tmp_path: Path) -> None:
    steps = [dict(step) for step in STEPS]
    steps[0] = {"use": "friedman_h", "with": {"pair_features": 2, "always": [["job", "age"]]}}
    facts = [
        f"friedman_h.interaction_{WEAK}",
        "friedman_h.interaction_credit_amount_and_age",
        "parts.triple_purpose_and_age_and_job",
        f"trees.interaction_{WEAK}",
    ]
    assert always(spec_of(tmp_path, facts, steps)) == {
        "friedman_h": (("credit_amount", "age"), ("age", "job"), ("telephone", "foreign_worker")),
        "parts": (("purpose", "age", "job"),),
        "trees": (),  # it looks into all pairs of its 20 features anyway
    }


def test_where_no_gate_stands_nothing_is_added(tmp_path: Path) -> None:
    assert always(spec_of(tmp_path, ["friedman_h.interaction_strength"], STEPS)) == {
        "friedman_h": (),
        "parts": (),
        "trees": (),
    }


def test_a_name_is_read_in_every_way_in_which_it_may_be_meant() -> None:
    assert _meant("age_and_job", ["age", "sex", "job"], 2) == [("age", "job")]
    assert _meant("job_and_age", ["age", "sex", "job"], 2) == []  # not in the order of the table
    # `b and c` is a feature, or `a and b`, and names that differ in punctuation alone are called the same
    assert _meant("a_and_b_and_c", ["a", "a and b", "b and c", "c"], 2) == [("a", "b and c"), ("a and b", "c")]
    assert _meant("x_1_and_y", ["x.1", "x-1", "y"], 2) == [("x.1", "y"), ("x-1", "y")]
    assert _meant("a_and_b_and_c", ["a", "b", "c"], 3) == [("a", "b", "c")]


@pytest.mark.frameworks
def test_such_gates_are_judged_and_the_plan_says_what_is_measured_for_them(tmp_path: Path) -> None:
    facts = [f"friedman_h.interaction_{WEAK}", f"parts.pair_{WEAK}", "parts.triple_purpose_and_age_and_job"]
    made = driver.run(spec_of(tmp_path, facts, STEPS), tmp_path / "run", engine="inline").factsheet
    assert {gate.fact: gate.status for gate in made.gates} == {f"explain.{fact}": "passed" for fact in facts}
    assert '"telephone"' in (tmp_path / "run" / "plan.json").read_text()
