"""`use: auto` from the text to the plan and to the factsheet."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

import pgx_compiler as pgx
from pgx_compiler import driver
from pgx_compiler.cli import main
from pgx_compiler.methods.catalogue import catalogue

SPECS = Path(__file__).parents[2] / "specs"
AUTO = [{"use": "auto"}]
CHOSEN_TREES = {
    "precaution": AUTO,
    "explain.perturbation": AUTO,
    "agreement": AUTO,
    "faithfulness": AUTO,
    "gates": [],
    "strategy": {"questions": ["is_the_data_fit", "which_inputs_matter", "can_the_explanation_be_trusted"]},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make_project(tmp_path_factory.mktemp("auto"))


@pytest.fixture(autouse=True)
def own_store(monkeypatch):
    monkeypatch.delenv("PGX_STORE", raising=False)


def test_the_example_names_no_step_and_compiles_to_a_full_plan():
    plan = driver.compile(SPECS / "digits-auto.yaml")
    assert plan.audit.spec.precaution == []
    assert plan.audit.spec.explain.perturbation == []
    by_stage = {stage: {step.id for step in plan.audit.of_stage(stage)} for stage in ("perturbation", "gradient")}
    assert by_stage == {"perturbation": {"shapley_values", "occlusion"}, "gradient": {"integrated_gradients"}}
    assert {step.stage for step in plan.audit.steps} >= {"precaution", "agreement", "faithfulness"}
    for step in plan.audit.steps:
        nodes = [node for node in plan.graph if node.step == step.id]
        assert nodes
        assert all(node.source == "strategy" for node in nodes)
        assert any(step.chosen and node.note.startswith(step.chosen) for node in nodes)
    assert plan.totals["model_rows"] <= plan.audit.spec.strategy.budget.model_rows


@pytest.mark.parametrize("budget", [30_000, 60_000, 120_000, 200_000, 400_000, None])
def test_the_choice_reckons_what_the_plan_will_cost(project, budget):
    changes = {"strategy.budget": {"model_rows": budget}} if budget else {"strategy.budget": None}
    plan = driver.compile(write_spec(project, "digits-auto", changes, "budget.yaml"))
    assert plan.audit.choices.estimate == plan.totals["model_rows"]
    assert budget is None or plan.totals["model_rows"] <= budget


@pytest.mark.parametrize("name", ["digits", "german-credit", "german-credit-trees"])
def test_it_reckons_written_steps_and_a_search_alike(name):
    plan = driver.compile(SPECS / f"{name}.yaml")
    assert plan.audit.choices.estimate == plan.totals["model_rows"]
    assert plan.audit.choices.chosen == ()


def test_it_reckons_steps_with_rows_and_features_of_their_own(project):
    own = {"rows": {"from": "test", "sample": 3}, "features": {"superpixels": "patches", "size": 7}}
    changes = {
        "explain.perturbation": [*AUTO, {"use": "kernel_shap", "with": {"samples": 64}, **own}],
        "agreement": AUTO,
        "faithfulness": AUTO,
        "gates": [],
        "tuning": None,
    }
    plan = driver.compile(write_spec(project, "digits", changes, "grounds.yaml"))
    # nothing stands beside it on its ground: it is judged, but neither compared nor repeated
    assert [node.op for node in plan.graph if "explain.kernel_shap" in node.inputs.values()].count("compare") == 0
    assert plan.audit.choices.estimate == plan.totals["model_rows"]


@pytest.mark.parametrize("name", ["german-credit", "german-credit-trees", "digits"])
def test_the_algorithm_that_the_choice_reckons_with_is_the_one_that_runs(project, name):
    changes = {"explain.perturbation": AUTO, "gates": [], "tuning": None, "strategy.budget": None}
    plan = driver.compile(write_spec(project, name, changes, "algorithm.yaml"))
    (node,) = [node for node in plan.graph if node.id == "explain.shapley_values"]
    told = {choice.method: choice.reason for choice in plan.audit.choices.methods}
    assert told[node.method] == "`shapley_values` stands for it, and is computed by this very method here"


def test_what_is_chosen_raises_no_complaint_of_its_own(project):
    checked = driver.check(write_spec(project, "german-credit-trees", CHOSEN_TREES, "quiet.yaml"))
    assert checked.audit is not None
    assert list(checked.diagnostics) == []
    assert checked.audit.step("drift").params.statistic == "ks"  # 300 test rows are too few for psi


def test_steps_keep_the_order_of_the_stages_whoever_wrote_them(project):
    changes = {**CHOSEN_TREES, "faithfulness": [{"use": "deletion"}], "precaution": [*AUTO, {"use": "drift"}]}
    audit = driver.check(write_spec(project, "german-credit-trees", changes, "order.yaml")).audit
    stages = [step.stage for step in audit.steps]
    assert stages == sorted(stages, key=["precaution", "perturbation", "gradient", "agreement", "faithfulness"].index)
    assert [step.id for step in audit.steps].count("drift") == 1
    assert audit.step("drift").chosen == ""
    assert audit.step("class_balance").path == ("precaution", 0)


def test_a_gate_may_stand_on_a_step_that_was_chosen(project):
    gate = {"fact": "agreement.rank_correlation", "between": ["shapley_values", "occlusion"], "aggregate": "median"}
    changes = {**CHOSEN_TREES, "gates": [{**gate, "min": 0.1}]}
    assert driver.check(write_spec(project, "german-credit-trees", changes, "gate.yaml")).audit is not None
    changes["agreement"] = [{"use": "auto", "with": {"without": ["rank_correlation"]}}]
    checked = driver.check(write_spec(project, "german-credit-trees", changes, "gate.yaml"))
    assert [item.message for item in checked.diagnostics] == ["no step makes the fact `agreement.rank_correlation`"]


def test_what_the_strategy_says_is_part_of_the_question_only_where_it_chooses(project):
    def digest(base, audience):
        changes = {**base, "strategy": {**CHOSEN_TREES["strategy"], "audience": [audience]}}
        return driver.compile(write_spec(project, "german-credit-trees", changes, "digest.yaml")).spec_digest

    assert digest(CHOSEN_TREES, "developer") != digest(CHOSEN_TREES, "regulator")
    assert digest(SMALL_TREES, "developer") == digest(SMALL_TREES, "regulator")


def test_why_says_one_line_for_every_method(capsys):
    assert main(["compile", str(SPECS / "digits-auto.yaml"), "--why"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in catalogue():
        (line,) = [line for line in lines if line.startswith((f"  taken: {name}", f"  refused: {name},"))]
        assert ", because " in line
    assert any("no other values of a part are known to make sense" in line for line in lines)
    assert lines[-1].endswith("of 200,000 in the budget")


def test_why_names_the_lines_of_written_steps(capsys):
    spec = SPECS / "german-credit-trees.yaml"
    assert main(["compile", str(spec), "--why"]) == 0
    told = capsys.readouterr().out
    line = next(n for n, text in enumerate(spec.read_text().splitlines(), 1) if "use: occlusion" in text)
    assert f"  taken: occlusion, because the spec asks for it in line {line}\n" in told
    assert "refused: saliency, because it needs gradients, and the model is onnx (tree ensemble)" in told
    assert not told.startswith("questions")


def test_why_is_the_same_data_in_every_process_and_loads_no_framework():
    spec = str(SPECS / "digits-auto.yaml")
    script = (
        "import sys; from pgx_compiler.cli import main;"
        f"main(['compile', {spec!r}, '--why', '--format', 'json']);"
        "sys.exit(3 if {'tensorflow', 'keras', 'onnxruntime', 'shap', 'hyperopt', 'weasyprint', 'PIL'} & set(sys.modules)"
        " else 0)"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    document = json.loads(told[0])
    assert {entry["verdict"] for entry in document["methods"]} == {"taken", "refused"}
    assert [entry["method"] for entry in document["methods"]] == list(catalogue())
    assert all(entry["source"] for entry in document["methods"] if entry["verdict"] == "taken")
    assert document["model_rows"] <= document["budget"] == 200_000


@pytest.mark.frameworks
def test_a_chosen_audit_runs_and_its_factsheet_says_why(tmp_path):
    project = make_project(tmp_path / "project")
    changes = {
        "explain": {
            "rows": {"from": "test", "sample": 4},
            "features": {"superpixels": "patches", "size": 7},
        },
        "strategy.budget": {"model_rows": 60_000},
        "factsheet": {"formats": ["json"]},
    }
    spec = write_spec(project, "digits-auto", changes)
    audit = pgx.run(spec, project / "out")
    assert audit.verdict.status == "passed"
    entries = {entry.step: entry for entry in audit.factsheet.explanations}
    assert set(entries) == {"shapley_values", "occlusion", "integrated_gradients"}
    for entry in entries.values():
        assert entry.status == "done"
        assert entry.chosen_because.startswith("chosen for ")
        assert entry.cost_spent == entry.cost_planned
    plan = json.loads((project / "out" / "plan.json").read_text())
    taken = [choice["step"] for choice in plan["strategy"]["methods"] if choice["verdict"] == "taken"]
    assert sorted(taken) == sorted(
        {node["step"] for node in plan["nodes"] if node.get("note", "").startswith("chosen")}
    )
