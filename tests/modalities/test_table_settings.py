"""What a spec says of a table's features reaches the methods that ask for real values."""

import json

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.driver import compile

SAID = {
    "age": {"role": "sensitive", "immutable": True, "unit": "years"},
    "duration_months": {"range": [4, 72]},
    "checking_status": {"ordered": True, "categories": ["none", "negative", "small", "large"]},
}


def plan_of(tmp_path, changes):
    folder = make_project(tmp_path / "project")
    spec = write_spec(folder, "german-credit-trees", {**SMALL_TREES, **changes})
    return folder, spec


@pytest.fixture
def changes():
    return {
        "data.features": SAID,
        "strategy.expectations": [],
        "explain.perturbation": [{"use": "counterfactuals", "with": {"count": 1, "max_calls": 200}}],
        "agreement": [],
        "faithfulness": [],
        "gates": [],
        "factsheet": {"formats": ["json"], "show_rows": True},
    }


def test_immutable_range_order_and_unit_stand_in_the_plan(tmp_path, changes):
    _, spec = plan_of(tmp_path, changes)
    node = compile(spec).graph["explain.counterfactuals"]
    setting = node.params["table"]
    assert list(setting["immutable"]) == ["age"]
    assert list(setting["ordered"]) == ["checking_status"]
    assert {name: list(pair) for name, pair in setting["ranges"].items()} == {"duration_months": [4, 72]}
    assert dict(setting["units"]) == {"age": "years"}


@pytest.mark.frameworks
def test_a_run_leaves_immutable_features_alone_and_costs_no_more_than_planned(tmp_path, changes, capsys):
    from pgx_compiler.cli import main

    _, spec = plan_of(tmp_path, changes)
    asked = ["run", str(spec), "--engine", "inline", "--output", str(tmp_path / "out")]
    assert main(asked) == 0, capsys.readouterr().err
    sheet = json.loads((tmp_path / "out" / "factsheet.json").read_text())
    (entry,) = sheet["statements"]
    said = " ".join(words for row in entry["rows"] for words in row["said"])
    assert " → " in said
    assert "age " not in said
    assert entry["cost_spent"]["forward"] <= entry["cost_planned"]["forward"]
