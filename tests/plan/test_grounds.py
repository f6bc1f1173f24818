"""Steps with rows or features of their own: their nodes, their price, what is compared, and what a run says of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.cli import main
from pgx_compiler.driver import compile, run
from pgx_compiler.ir.text import parse, render
from pgx_compiler.plan.plan import Plan
from pgx_compiler.plan.stale import read_plan, what_differs
from pgx_compiler.spec.overrides import Overrides

OWN: dict[str, Any] = {
    **SMALL_TREES,
    "explain.perturbation": [
        {"use": "kernel_shap", "matrix": {"samples": [64, 128]}},
        {"use": "occlusion"},
        {"use": "occlusion", "id": "few", "rows": {"from": "test", "sample": 3}},
        {"use": "occlusion", "id": "few_too", "rows": {"sample": 3}},
        {"use": "occlusion", "id": "learned", "rows": {"from": "train", "sample": 4}},
    ],
    "gates": [
        {
            "fact": "agreement.rank_correlation",
            "between": ["kernel_shap[samples=64]", "occlusion"],
            "aggregate": "median",
            "min": -1,
        }
    ],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return make_project(tmp_path / "project")


@pytest.fixture
def plan(project: Path) -> Plan:
    return compile(write_spec(project, "german-credit-trees", OWN))


def test_steps_of_the_same_ground_share_its_nodes(plan: Plan) -> None:
    rows = {node.step: node.inputs["rows"] for node in plan.graph if node.op == "attribute" and node.step}
    assert rows == {
        "kernel_shap[samples=64]": "rows",
        "kernel_shap[samples=128]": "rows",
        "occlusion": "rows",
        "few": "rows[sample=3]",
        "few_too": "rows[sample=3]",
        "learned": "rows[from=train,sample=4]",
    }
    assert plan.graph["explain.learned"].inputs["data"] == "data.train"
    assert plan.graph["rows[from=train,sample=4]"].inputs["predictions"] == "predict.onnx.train"


def test_only_steps_of_one_ground_are_compared(plan: Plan) -> None:
    pairs = {node.id.removeprefix("agreement.rank_correlation.") for node in plan.graph if node.op == "compare"}
    fine, coarse = "kernel_shap[samples=128]", "kernel_shap[samples=64]"
    across = {pair for pair in pairs if not pair.startswith("agreement.") and len(set(pair.split("~"))) == 2}
    assert across == {f"{coarse}~{fine}", f"{coarse}~occlusion", f"{fine}~occlusion", "few~few_too"}


def test_a_step_is_priced_and_judged_on_its_own_rows(plan: Plan) -> None:
    own, shared = plan.graph["explain.few"], plan.graph["explain.occlusion"]
    references = plan.context.references
    # beside the references, which are scored once, occlusion costs the same for each row: 3 of them, and 6
    assert own.cost["forward"] - references > 0
    assert (own.cost["forward"] - references) * 6 == (shared.cost["forward"] - references) * 3
    judged = {node.inputs["rows"] for node in plan.graph if node.inputs.get("attribution") == "explain.few"}
    assert judged == {"rows[sample=3]"}


def test_a_graph_with_names_of_a_matrix_parses_back(plan: Plan) -> None:
    assert parse(render(plan.graph)) == plan.graph


def test_rows_that_every_step_has_are_those_of_the_audit(project: Path) -> None:
    steps = [{"use": "occlusion", "rows": {"sample": 5}}, {"use": "kernel_shap", "rows": {"sample": 5}}]
    spec = write_spec(project, "german-credit-trees", {**SMALL_TREES, "explain.perturbation": steps, "gates": []})
    plan = compile(spec)
    assert plan.audit.rows == 5
    assert [node.id for node in plan.graph if node.op == "rows"] == ["rows"]


def test_what_overrides_is_told_in_the_plan_and_counts_by_its_effect_alone(project: Path, tmp_path: Path) -> None:
    spec = write_spec(project, "german-credit-trees", SMALL_TREES)
    plain, same = compile(spec), compile(spec, Overrides(("explain.rows.sample=6",)))
    other = compile(spec, Overrides(("explain.rows.sample=5",)))
    assert plain.document["overrides"] == []
    assert same.document["overrides"] == ["--set explain.rows.sample=6"]
    assert plain.digest == same.digest != other.digest
    written = tmp_path / "plan.json"
    written.write_text(same.to_json())
    assert what_differs(read_plan(written), plain) == []


def test_step_keys_that_are_left_out_change_no_digest(project: Path) -> None:
    with_, without = dict(SMALL_TREES), dict(SMALL_TREES)
    with_["explain.perturbation"] = [{"use": "occlusion", "when": {"modality": "tabular"}}]
    without["explain.perturbation"] = [{"use": "occlusion"}]
    first = compile(write_spec(project, "german-credit-trees", {**with_, "gates": [], "agreement": []}))
    second = compile(write_spec(project, "german-credit-trees", {**without, "gates": [], "agreement": []}, "b.yaml"))
    assert first.digest == second.digest


def test_the_command_tells_what_is_left_out_and_overridden(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [*SMALL_TREES["precaution"], {"use": "outliers", "when": {"has": "keras"}}]  # type: ignore[misc]
    spec = write_spec(project, "german-credit-trees", {**SMALL_TREES, "precaution": steps})
    assert main(["compile", str(spec), "--set", "seed=3"]) == 0
    said = capsys.readouterr().out
    assert "left out: outliers, since `has: keras` does not hold" in said
    assert "overridden by --set seed=3" in said


def test_a_spec_comes_through_a_pipe(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    import io
    import sys

    spec = write_spec(project, "german-credit-trees", SMALL_TREES)
    monkeypatch.chdir(project)
    for text, status in ((spec.read_text(), 0), ("seed: x\n", 2)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert main(["check", "-"]) == status
    captured = capsys.readouterr()
    assert captured.out.startswith("<stdin>: nothing is wrong with it")
    assert "--> <stdin>:1:7" in captured.err


@pytest.mark.frameworks
def test_a_run_with_grounds_of_its_own_keeps_what_it_read_and_says_on_what_each_step_rests(project: Path) -> None:
    base = write_spec(project, "german-credit-trees", {**OWN, "precaution": [{"use": "class_balance"}]}, "base.yaml")
    child = project / "child.yaml"
    child.write_text("extends: base.yaml\nmetadata: {name: child}\n")
    ran = run(child, project / "out", engine="inline", overrides=Overrides(("seed=11",)))
    # two steps may ask for the very same work, which is then done once
    assert {outcome.status for outcome in ran.result.outcomes.values()} <= {"computed", "cached"}
    assert ran.result.computed >= len({node.key for node in ran.plan.graph if node.op not in ("model", "data")})
    kept = (project / "out" / "spec.yaml").read_text()
    assert kept.startswith(
        "# put together by pgx from child.yaml\n# extending base.yaml\n# overridden by --set seed=11\n"
    )
    (project / "kept.yaml").write_text(kept)
    assert compile(project / "kept.yaml").digest == ran.plan.digest
    factsheet = json.loads((project / "out" / "factsheet.json").read_text())
    assert factsheet["provenance"]["overrides"] == ["--set seed=11"]
    rows = {entry["step"]: (entry["rows"], entry["ground"]) for entry in factsheet["explanations"]}
    assert rows["few"] == (3, "sample=3")
    assert rows["learned"] == (4, "from=train,sample=4")
    assert rows["kernel_shap[samples=128]"] == (6, "")
    shown = {one["step"] for example in factsheet["examples"] for one in example["explanations"]}
    assert shown == {"kernel_shap[samples=64]", "kernel_shap[samples=128]", "occlusion"}
    (fact,) = [fact for fact in factsheet["facts"] if fact["id"] == "explain.few.rows_forward"]
    assert (fact["n"], fact["source"]["file"]) == (3, base.name)
