"""Baselines, and runs compared: on real runs of the boosted trees, and on one whose trees were changed."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests_project import SMALL_TREES, make_project, write_spec

from pgx_compiler.cli import main

pytestmark = pytest.mark.frameworks
GATE = SMALL_TREES["gates"][0]
ACCURACY = {"fact": "model.performance.accuracy", "min": 0.9}
"""The trees reach 0.77: this gate fails."""
MODEL = "models/german-credit-trees.onnx"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run `a` of `audit.yaml`."""
    folder = make_project(tmp_path_factory.mktemp("baseline") / "project")
    spec = write_spec(folder, "german-credit-trees", SMALL_TREES, "audit.yaml")
    assert main(["run", str(spec), "--engine", "inline", "-o", str(folder / "runs" / "a")]) == 0
    return folder


@pytest.fixture
def project(ran: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, with nothing accepted yet, and put back afterwards."""
    monkeypatch.delenv("PGX_STORE", raising=False)
    monkeypatch.chdir(ran)
    model = (ran / MODEL).read_bytes()
    yield ran
    (ran / MODEL).write_bytes(model)
    write_spec(ran, "german-credit-trees", SMALL_TREES, "audit.yaml")
    shutil.rmtree(ran / "baselines", ignore_errors=True)
    for run in (ran / "runs").iterdir():
        if run.name != "a":
            shutil.rmtree(run)


def again(name: str, status: int = 0, **changes: Any) -> None:
    write_spec(Path.cwd(), "german-credit-trees", {**SMALL_TREES, **changes}, "audit.yaml")
    assert main(["run", "audit.yaml", "--engine", "inline", "-o", f"runs/{name}"]) == status


def flattened_trees() -> None:
    """Every leaf says a tenth of what it said: the trees hardly tell rows apart any more."""
    import onnx

    model = onnx.load(MODEL)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("class_weights", "target_weights", "leaf_weights"):
                attribute.floats[:] = [value / 10 for value in attribute.floats]
    onnx.save(model, MODEL)


def baseline() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path("baselines/german-credit-trees.json").read_text())
    return found


def told(capsys: pytest.CaptureFixture[str], old: str, new: str, status: int) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["diff", old, new, "--format", "json"]) == status
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_an_accepted_run_stands_beside_the_spec(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", "accept", "runs/a"]) == 0
    found = baseline()
    factsheet = json.loads(Path("runs/a/factsheet.json").read_text())
    assert found["answer"]["facts"].keys() == {fact["id"] for fact in factsheet["facts"]}
    assert found["ended"] == factsheet["audit"]["ended"]
    assert found["question"]["gates"][0]["min"] == 0.5
    assert main(["baseline", "show", "audit.yaml"]) == 0
    assert "needs >= 0.5" in capsys.readouterr().out


def test_accepting_again_writes_the_same_bytes(project: Path) -> None:
    main(["baseline", "accept", "runs/a"])
    first = Path("baselines/german-credit-trees.json").read_bytes()
    assert main(["baseline", "accept", "runs/a", "--spec", "audit.yaml"]) == 0
    assert Path("baselines/german-credit-trees.json").read_bytes() == first


def test_the_run_that_was_accepted_does_not_differ_from_its_baseline(project: Path) -> None:
    main(["baseline", "accept", "runs/a"])
    assert main(["diff", "baselines/german-credit-trees.json", "runs/a"]) == 0


def test_a_run_says_how_it_stands_to_the_baseline(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again("b")
    assert "against" not in capsys.readouterr().err
    main(["baseline", "accept", "runs/a"])
    before = Path("baselines/german-credit-trees.json").read_bytes()
    again("c", 1, gates=[{**GATE, "min": 0.25}, ACCURACY])
    said = capsys.readouterr().err
    assert "!! gates[0].min" in said
    assert "0.5 -> 0.25  WEAKER" in said
    assert "verdict: passed -> failed" in said
    assert Path("baselines/german-credit-trees.json").read_bytes() == before


def test_a_weaker_gate_needs_a_reason(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["baseline", "accept", "runs/a"])
    again("b", gates=[{**GATE, "min": 0.25}])
    capsys.readouterr()
    assert main(["baseline", "accept", "runs/b"]) == 2
    assert "PGX5067" in capsys.readouterr().err
    assert baseline()["question"]["gates"][0]["min"] == 0.5
    assert main(["baseline", "accept", "runs/b", "--reason", "agreed with the owner"]) == 0
    assert "WEAKER" in capsys.readouterr().err
    assert (baseline()["question"]["gates"][0]["min"], baseline()["reason"]) == (0.25, "agreed with the owner")


def test_a_failed_run_needs_a_reason(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again("b", 1, gates=[ACCURACY])
    assert main(["baseline", "accept", "runs/b"]) == 2
    assert "its verdict is failed" in capsys.readouterr().err


def test_a_part_of_a_run_is_no_baseline(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "audit.yaml", "--engine", "inline", "-o", "runs/b", "--select", "stage:precaution"]) == 3
    assert main(["baseline", "accept", "runs/b", "--reason", "half is enough"]) == 2
    assert "PGX5068" in capsys.readouterr().err


def test_damaged_evidence_is_no_baseline(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again("b")
    next(Path("runs/b/evidence").rglob("*.npz")).write_bytes(b"x")
    assert main(["baseline", "accept", "runs/b"]) == 5
    assert "was changed" in capsys.readouterr().err
    assert not Path("baselines").exists()


def test_a_run_whose_spec_cannot_be_told_needs_its_name(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("audit.yaml", "copy.yaml")
    assert main(["baseline", "accept", "runs/a"]) == 2
    assert "PGX5066" in capsys.readouterr().err
    Path("copy.yaml").unlink()


def test_a_broken_baseline_does_not_undo_a_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("baselines").mkdir()
    Path("baselines/german-credit-trees.json").write_text("{}")
    again("b")
    assert "PGX5064" in capsys.readouterr().err
    assert Path("runs/b/factsheet.json").is_file()


def test_another_model_is_the_old_question_on_other_ground(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flattened_trees()
    again("b")
    found = told(capsys, "runs/a", "runs/b", 1)
    assert (found["thresholds"], found["question"]) == ([], [])
    assert [(shift["category"], shift["name"]) for shift in found["ground"]] == [("models", MODEL)]
    assert found["answer"]["not_comparable"] == {}
    # with a tenth of the margin no row passes the threshold of the rare class: accuracy is the majority's 0.70
    moved = found["answer"]["changed"] + found["answer"]["within_noise"] + found["answer"]["undecided"]
    accuracy = next(item for item in moved if item["fact"] == "model.performance.accuracy_train")
    assert accuracy["new"]["value"] < accuracy["old"]["value"]
    assert accuracy in found["answer"]["changed"]
    for item in found["answer"]["within_noise"]:
        (low, high), (new_low, new_high) = item["old"]["interval"], item["new"]["interval"]
        assert low <= new_high
        assert new_low <= high


def test_other_parameters_are_not_compared(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [{"use": "shapley_values"}, {"use": "kernel_shap", "with": {"samples": 300}}, {"use": "occlusion"}]
    again("b", **{"explain.perturbation": steps})
    found = told(capsys, "runs/a", "runs/b", 1)
    assert [change["path"] for change in found["question"]] == ["explain.perturbation[1].with.samples"]
    incomparable = found["answer"]["not_comparable"]
    assert incomparable["explain.kernel_shap.standard_error"] == ["parameters of explain.kernel_shap differ"]
    assert not [name for name in incomparable if "occlusion" in name and "kernel_shap" not in name
                and not name.startswith("reliance.")]  # fmt: skip


def test_other_rows_are_not_compared_though_the_model_is(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again("b", **{"explain.rows": {"from": "test", "sample": 7}})
    answer = told(capsys, "runs/a", "runs/b", 1)["answer"]
    assert "other rows are explained" in answer["not_comparable"]["explain.occlusion.rows_forward"]
    assert "model.performance.accuracy" not in answer["not_comparable"]
