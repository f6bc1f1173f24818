"""The example audits, cut down to seconds: run, run again, killed and resumed, in both engines, and by Python."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests_project import SMALL_TREES, make_project, write_spec

import pgx_compiler as pgx
from pgx_compiler import driver
from pgx_compiler.cli import main

pytestmark = pytest.mark.frameworks

SMALL_CREDIT = {
    "precaution": [{"use": "class_balance"}, {"use": "duplicate_rows"}],
    "explain.rows": {"from": "test", "sample": 6},
    "explain.fill": {"kind": "background", "size": 8},
    "explain.perturbation": [{"use": "kernel_shap", "with": {"samples": 256}}, {"use": "occlusion"}],
    "explain.gradient": [{"use": "saliency"}, {"use": "integrated_gradients", "with": {"steps": 32}}],
    "tuning.trials": 2,
    "tuning.fit": {"epochs": 2},
    "tuning.explain.rows": 4,
    "gates": [
        {"fact": "model.parity.max_difference", "max": 1e-4},
        {
            "fact": "agreement.rank_correlation",
            "between": ["kernel_shap", "integrated_gradients"],
            "aggregate": "median",
            "min": 0.5,
        },
    ],
    "factsheet": {"formats": ["json", "html"]},
}

SMALL_DIGITS = {
    "precaution": [{"use": "class_balance"}, {"use": "adversarial_robustness", "with": {"eps": 0.1, "rows": 20}}],
    "explain.rows": {"from": "test", "sample": 4, "stratify": "target"},
    "explain.features": {"superpixels": "patches", "size": 4},
    "explain.perturbation": [{"use": "kernel_shap", "with": {"samples": 256}}, {"use": "occlusion"}],
    "tuning.trials": 1,
    "tuning.fit": {"epochs": 1},
    "tuning.explain.rows": 2,
    "gates": [{"fact": "model.parity.max_difference", "max": 1e-4}],
}


@pytest.fixture(autouse=True)
def own_store(monkeypatch):
    monkeypatch.delenv("PGX_STORE", raising=False)


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("trees"))
    spec = write_spec(project, "german-credit-trees", SMALL_TREES)
    return spec, driver.run(spec, project / "first", engine="inline")


@pytest.fixture(scope="module")
def credit(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("credit"))
    spec = write_spec(project, "german-credit", SMALL_CREDIT)
    return spec, pgx.run(spec, project / "first")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    project = make_project(tmp_path_factory.mktemp("digits"))
    spec = write_spec(project, "digits", SMALL_DIGITS)
    return spec, pgx.run(spec, project / "first")


def contents(ran):
    return {name: outcome.record.content for name, outcome in ran.result.outcomes.items()}


def test_exact_shapley_values_of_trees_add_up_and_sampling_agrees_with_them(trees):
    audit = pgx.load(trees[1].folder)
    exact, sampled = audit.arrays("shapley_values"), audit.arrays("kernel_shap")
    assert np.allclose(exact["values"].sum(axis=1), exact["scores"] - exact["base_values"], atol=1e-5)
    error = np.abs(exact["values"] - sampled["values"])
    assert (error <= 5 * sampled["standard_error"] + 1e-6).mean() > 0.95
    (entry,) = [e for e in audit.factsheet.explanations if e.step == "shapley_values"]
    assert entry.computed_by == "tree_shap"
    assert entry.method == "shapley_values"


def test_costs_are_as_planned(trees, credit, digits):
    for audit in (pgx.load(trees[1].folder), credit[1], digits[1]):
        for entry in audit.factsheet.explanations:
            assert entry.cost_spent == entry.cost_planned, entry.step


def test_a_second_run_computes_nothing_and_says_the_same(trees):
    spec, first = trees
    second = driver.run(spec, first.folder.parent / "second", engine="inline")
    assert second.result.computed == 0
    assert {outcome.status for outcome in second.result.outcomes.values()} == {"cached"}
    assert contents(second) == contents(first)
    one, other = ((ran.folder / "factsheet.json").read_bytes() for ran in (first, second))
    assert one == other


def test_worker_processes_give_the_same_bytes_as_this_process(trees, tmp_path):
    project = make_project(tmp_path / "other")
    spec = write_spec(project, "german-credit-trees", SMALL_TREES)
    ran = driver.run(spec, project / "out", engine="processes")
    assert contents(ran) == contents(trees[1])


def test_a_changed_parameter_recomputes_what_rests_on_it_and_explain_says_why(trees, capsys):
    spec, first = trees
    changed = write_spec(
        spec.parent,
        "german-credit-trees",
        {
            **SMALL_TREES,
            "explain.perturbation": [
                {"use": "shapley_values"},
                {"use": "kernel_shap", "with": {"samples": 210}},
                {"use": "occlusion"},
            ],
        },
        "changed.yaml",
    )
    assert main(["explain", "kernel_shap", "--spec", str(changed)]) == 0
    told = capsys.readouterr().out
    assert "will run" in told
    assert "params.with.samples: 200 -> 210" in told
    ran = driver.run(changed, spec.parent / "changed", engine="inline")
    computed = {name for name, outcome in ran.result.outcomes.items() if outcome.status == "computed"}
    assert computed
    assert all("kernel_shap" in name or name == "reliance" for name in computed)
    assert main(["explain", "explain.kernel_shap", "--spec", str(changed)]) == 0
    assert "known: computed before" in capsys.readouterr().out


def test_damaged_evidence_is_found_computed_again_and_mentioned(trees):
    spec, first = trees
    record = first.result.outcomes["explain.occlusion"].record
    path = first.store.path(record.arrays, ".npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(bytes(content))
    ran = driver.run(spec, first.folder.parent / "mended", engine="inline")
    assert ran.result.outcomes["explain.occlusion"].status == "computed"
    assert contents(ran) == contents(first)
    assert any("damaged" in note for note in ran.notes)


def test_verify_finds_a_changed_file(trees, capsys):
    folder = trees[1].folder
    assert main(["verify", str(folder)]) == 0
    path = folder / "evidence" / "occlusion" / "attributions.npz"
    original = path.read_bytes()
    path.write_bytes(original[:-1] + b"x")
    assert main(["verify", str(folder)]) == 5
    assert "evidence/occlusion/attributions.npz was changed" in capsys.readouterr().err
    path.write_bytes(original)


def test_killed_half_way_and_run_again_it_goes_on_where_it_was(tmp_path):
    project = make_project(tmp_path / "project")
    spec = write_spec(project, "german-credit-trees", {**SMALL_TREES, "explain.rows": {"from": "test", "sample": 24}})
    command = [sys.executable, "-m", "pgx_compiler", "run", str(spec), "-o", str(project / "out")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    events = project / "out" / "events.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and first.poll() is None:
        if events.exists() and events.read_text().count('"event":"ended"') >= 4:
            break
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    done = {json.loads(line)["node"] for line in events.read_text().splitlines() if '"computed"' in line}
    assert done
    assert not (project / "out" / "factsheet.json").exists()
    second = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    last = [json.loads(line) for line in events.read_text().splitlines()]
    last = last[max(at for at, event in enumerate(last) if event["event"] == "run_started") :]
    status = {event["node"]: event["status"] for event in last if event["event"] == "ended"}
    assert {status[name] for name in done} == {"cached"}
    assert "computed" in status.values()


def test_both_directions_explain_the_same_rows_features_and_difference(credit):
    audit = credit[1]
    steps = {step: audit.arrays(step) for step in ("kernel_shap", "occlusion", "saliency", "integrated_gradients")}
    first = steps["kernel_shap"]
    assert len(first["feature_names"]) == 20
    for arrays in steps.values():
        assert arrays["row_ids"].tolist() == first["row_ids"].tolist()
        assert arrays["feature_names"].tolist() == first["feature_names"].tolist()
        assert np.allclose(arrays["scores"], first["scores"], atol=1e-4)
        assert np.allclose(arrays["base_values"], first["base_values"], atol=1e-4)
    for step in ("kernel_shap", "integrated_gradients"):
        gap = steps[step]["values"].sum(axis=1) - (steps[step]["scores"] - steps[step]["base_values"])
        assert np.abs(gap).max() < 0.05
    assert steps["integrated_gradients"]["map_features"].shape == (6, 61)


def test_the_factsheet_carries_noise_floor_chance_and_source(credit):
    audit = credit[1]
    entries = {(a.step, a.first, a.second, a.kind): a for a in audit.factsheet.agreement}
    assert ("rank_correlation", "kernel_shap", "kernel_shap", "self") in entries
    pair = entries["rank_correlation", "kernel_shap", "integrated_gradients", "pair"]
    assert pair.across
    assert pair.chance == 0
    fact = audit.facts["agreement.rank_correlation.kernel_shap~integrated_gradients.median"]
    assert fact.value == pair.median == np.median(pair.values)
    assert fact.source.spec_path == "agreement[0]"
    assert fact.n == 6
    assert entries["top_k_overlap", "kernel_shap", "integrated_gradients", "pair"].chance == 5 / 20


def test_tuning_tries_the_audited_settings_first_and_judges_every_candidate(credit):
    tuning = credit[1].factsheet.tuning
    assert [trial.number for trial in tuning.trials] == [0, 1]
    assert tuning.trials[0].settings["layers.dense.units"] == 32
    assert all(
        set(trial.metrics) >= {"validation.loss", "validation.accuracy", "agreement.rank_correlation"}
        for trial in tuning.trials
    )
    assert 8 <= tuning.trials[1].settings["layers.dense.units"] <= 64
    assert tuning.decision


def test_python_gives_facts_findings_arrays_and_a_face_for_notebooks(credit):
    audit = credit[1]
    assert audit.verdict.status in ("passed", "failed")
    assert audit.facts["model.parity.max_difference"].value < 1e-5
    assert 0.6 < audit.facts["model.performance.accuracy"].value < 0.9
    face = audit._repr_html_()
    assert "german-credit" in face
    assert all(gate.title in face for gate in audit.gates)
    with pytest.raises(KeyError, match="there are: .*kernel_shap"):
        audit.arrays("nope")
    assert {path.suffix for path in audit.files} == {".json", ".html"}


def test_raw_rows_stay_out_unless_the_spec_shows_them(credit, digits):
    assert all(example.inputs is None and example.image is None for example in credit[1].factsheet.examples)
    assert all(len(example.image) == 28 for example in digits[1].factsheet.examples)


def test_a_model_that_is_not_the_same_stops_the_comparison_and_fails_the_audit(tmp_path):
    import onnx
    from onnx import numpy_helper

    project = make_project(tmp_path / "project")
    path = project / "models" / "german-credit.onnx"
    model = onnx.load(path)
    weights = numpy_helper.to_array(model.graph.initializer[0])
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights * 1.5, model.graph.initializer[0].name))
    onnx.save(model, path)
    changes = {**SMALL_CREDIT, "tuning": None, "gates": [SMALL_CREDIT["gates"][1]], "factsheet": {"formats": ["json"]}}
    changes = {key: value for key, value in changes.items() if not key.startswith("tuning.")}
    ran = driver.run(write_spec(project, "german-credit", changes), project / "out", engine="inline")
    sheet = ran.factsheet
    assert "model_parity_broken" in {finding.code for finding in sheet.findings}
    across = [entry for entry in sheet.agreement if entry.across]
    assert across
    assert all(entry.median is None and "not the same model" in entry.reason for entry in across)
    assert [gate.status for gate in sheet.gates] == ["unknown"]
    assert sheet.verdict.status == "failed"
    assert driver.exit_status(ran) == 1


def test_the_digits_end_in_pages(digits):
    from pypdf import PdfReader

    audit = digits[1]
    assert {path.suffix for path in audit.files} == {".json", ".html", ".pdf"}
    reader = PdfReader(audit.folder / "factsheet.pdf")
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]
    first = " ".join(reader.pages[0].extract_text().split())
    assert audit.factsheet.audit.model_digests["onnx"][:12] in first
    assert audit.verdict.sentence.split(";")[0] in first
    arrays = audit.arrays("integrated_gradients")
    assert arrays["map_image"].shape == (4, 28, 28, 1)
    # maps are summed onto the patches with their sign: 7 x 7 patches of 4 x 4 pixels
    summed = arrays["map_image"].reshape(4, 7, 4, 7, 4).sum(axis=(2, 4)).reshape(4, 49)
    assert np.allclose(summed, arrays["values"])


def test_a_step_that_fails_leaves_an_incomplete_audit_that_says_so(tmp_path, monkeypatch):
    project = make_project(tmp_path / "project")
    spec = write_spec(project, "german-credit-trees", SMALL_TREES)
    from pgx_compiler.execute import run as execution

    original = execution._Run._submit

    def submit(run, node):
        if node.id == "explain.occlusion":
            node = node.but(op="model")  # an operation that no worker knows
        original(run, node)

    monkeypatch.setattr(execution._Run, "_submit", submit)
    ran = driver.run(spec, project / "out", engine="inline")
    assert ran.factsheet.verdict.status == "incomplete"
    assert driver.exit_status(ran) == 3
    nodes = {node.id: node for node in ran.factsheet.provenance.nodes}
    assert nodes["explain.occlusion"].status == "failed"
    assert nodes["faithfulness.deletion.occlusion"].status == "blocked"
    assert nodes["explain.shapley_values"].status == "done"
    (entry,) = [e for e in ran.factsheet.explanations if e.step == "occlusion"]
    assert entry.status == "failed"
    assert entry.reason


def test_every_example_compiles_without_a_word():
    for spec in sorted((Path(__file__).parents[2] / "specs").glob("*.yaml")):
        checked = driver.check(spec)
        assert len(checked.diagnostics) == 0, spec.name
        assert driver.compile(spec).totals["model_rows"] > 0
