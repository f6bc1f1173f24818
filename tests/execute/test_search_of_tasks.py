"""A search whose trials are tasks: in any order, on any engine, killed and gone on with, raised."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests_project import make_project, write_spec

from pgx_compiler import driver
from pgx_compiler.evidence.store import Store
from pgx_compiler.execute import trials as operations
from pgx_compiler.execute.run import Outcome
from pgx_compiler.execute.schedule import Schedule
from pgx_compiler.ir.node import Node
from pgx_compiler.tuning.result import TrialResult

pytestmark = pytest.mark.frameworks

SMALL: Mapping[str, Any] = {
    "precaution": [{"use": "class_balance"}],
    "explain.rows": {"from": "test", "sample": 4},
    "explain.fill": {"kind": "background", "size": 4},
    "explain.perturbation": [{"use": "occlusion"}],
    "explain.gradient": [{"use": "saliency"}],
    "faithfulness": [],
    "gates": [],
    "factsheet": {"formats": ["json"]},
    "tuning.fit": {"epochs": 1},
    "tuning.explain": {"rows": 4, "methods": ["saliency"], "require": {"agreement.rank_correlation": {"min": 0.0}}},
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PGX_STORE", raising=False)
    return make_project(tmp_path / "project")


def ran(
    project: Path, name: str, *, trials: int, engine: str = "inline", observer: Any = None, **more: Any
) -> driver.Ran:
    spec = write_spec(project, "german-credit", {**SMALL, "tuning.trials": trials, **more}, f"{name}.yaml")
    return driver.run(spec, project / name, engine=engine, observer=observer)


def of_search(done: driver.Ran, field: str) -> dict[str, Any]:
    found = {name: outcome for name, outcome in done.result.outcomes.items() if name.startswith("tuning")}
    return {name: getattr(one if field == "status" else one.record, field) for name, one in found.items()}


class Trained:
    """Stands in for training: a loss by the settings, and who was trained."""

    def __init__(self) -> None:
        self.settings: list[dict[str, Any]] = []

    def __call__(self, _trainable: Any, recipe: Any, *_rest: Any) -> TrialResult:
        self.settings.append(dict(recipe.settings))
        loss = abs(recipe.settings["layers.dense.units"] - 40) / 40 + recipe.settings["layers.dropout.rate"]
        metrics = {"validation.loss": loss, "validation.accuracy": 0.7, "agreement.rank_correlation": 0.5}
        return TrialResult(metrics, dict.fromkeys(metrics, 0.01), 100, (), 1.5)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    stand_in = Trained()
    monkeypatch.setattr(operations, "run_trial", stand_in)
    return stand_in


class Stops:
    """Stops the run as soon as so many trials have ended."""

    def __init__(self, after: int) -> None:
        self.left = after

    def started(self, node: Node) -> None:
        """Go on."""

    def progressed(self, node: Node, done: int, total: int) -> None:
        """Go on."""

    def ended(self, outcome: Outcome) -> None:
        """Count trials."""
        if outcome.node.op == "trial":
            self.left -= 1
            if not self.left:
                raise KeyboardInterrupt


def test_both_engines_train_the_same_candidates_to_the_same_bytes(project: Path, tmp_path: Path) -> None:
    contents = []
    for engine in ("inline", "processes"):
        own = make_project(tmp_path / engine)
        done = ran(own, engine, trials=3, engine=engine)
        assert done.result.complete
        contents.append(of_search(done, "content"))
        entry = json.loads((done.folder / "factsheet.json").read_text())
        (node,) = [node for node in entry["provenance"]["nodes"] if node["id"].startswith("tuning")]
        assert node["cost_spent"] == node["cost_planned"]
    assert contents[0] == contents[1]
    assert set(contents[0]) == {"tuning", "tuning.trial.0", "tuning.trial.1", "tuning.trial.2"}


@pytest.mark.parametrize("after", [1, 5, 12])
def test_a_search_that_is_stopped_goes_on_with_the_next_trial(
    project: Path, trained: Trained, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Schedule.ready
    monkeypatch.setattr(Schedule, "ready", lambda self, *_most: original(self)[:1])  # one at a time, as one core would
    whole = ran(make_project(project / "straight"), "whole", trials=14)
    straight = list(trained.settings)
    trained.settings.clear()
    with pytest.raises(KeyboardInterrupt):
        ran(project, "stopped", trials=14, observer=Stops(after))
    assert len(trained.settings) == after
    again = ran(project, "again", trials=14)
    assert list(of_search(again, "status").values()).count("cached") == after
    assert trained.settings == straight
    assert of_search(again, "content") == of_search(whole, "content")


def test_further_trials_are_all_that_is_computed_when_their_number_is_raised(project: Path, trained: Trained) -> None:
    first = ran(project, "few", trials=12)
    known = len(trained.settings)
    more = ran(project, "more", trials=15)
    status = of_search(more, "status")
    assert [status[f"tuning.trial.{number}"] for number in range(15)] == ["cached"] * 12 + ["computed"] * 3
    assert len(trained.settings) <= known + 3
    entries = [one.factsheet.tuning for one in (first, more)]
    assert entries[1].trials[:12] == entries[0].trials


def test_a_candidate_that_fails_is_a_result_and_the_search_goes_on(
    project: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    def picky(trainable: Any, recipe: Any, *rest: Any) -> TrialResult:
        if recipe.settings["layers.dense.units"] > 40:
            raise FloatingPointError("the loss overflowed")
        return trained(trainable, recipe, *rest)

    monkeypatch.setattr(operations, "run_trial", picky)
    done = ran(project, "picky", trials=8)
    assert done.result.complete
    reasons = {t.settings["layers.dense.units"] > 40: t.reasons for t in done.factsheet.tuning.trials}
    assert reasons[True] == ["the trial failed: FloatingPointError: the loss overflowed"]


def test_audited_settings_that_fail_end_the_search_before_anything_else_is_trained(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def broken(_trainable: Any, recipe: Any, *_rest: Any) -> TrialResult:
        tried.append(recipe)
        raise FloatingPointError("the loss overflowed")

    monkeypatch.setattr(operations, "run_trial", broken)
    done = ran(project, "broken", trials=4)
    assert len(tried) == 1
    status = of_search(done, "status")
    assert status == {
        "tuning.trial.0": "failed",
        **dict.fromkeys(["tuning.trial.1", "tuning.trial.2", "tuning.trial.3", "tuning"], "blocked"),
    }
    assert driver.exit_status(done) == 2  # only the author can mend the audited settings
    (node,) = [node for node in done.factsheet.provenance.nodes if node.id.startswith("tuning")]
    assert node.status == "failed"
    assert node.reason.startswith("the audited settings could not be tried: FloatingPointError")
    assert done.factsheet.tuning is None


def test_trials_beyond_a_finished_space_are_skipped_without_training(project: Path, trained: Trained) -> None:
    space = {"layers.dense.units": {"choice": [16, 32]}, "layers.dropout.rate": {"choice": [0.4]}}
    done = ran(project, "small", trials=12, **{"tuning.space": space})
    assert done.result.complete
    assert len(trained.settings) == 2
    entry = done.factsheet.tuning
    assert 2 <= len(entry.trials) < 12
    assert "12 trials were not needed" in entry.limits
    store = Store(done.store.root)
    record = done.result.outcomes["tuning.trial.11"].record
    assert store.load(record).document["trial"]["skipped"]
    assert sum(record.spent.values()) == 0


def test_the_order_in_which_workers_finish_changes_nothing(
    project: Path, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = ran(make_project(project / "straight"), "whole", trials=14)
    original = Schedule.ready
    monkeypatch.setattr(Schedule, "ready", lambda self, *_most: original(self)[-1:])  # one at a time, the last first
    backwards = ran(project, "backwards", trials=14)
    settings = [trial.settings for trial in straight.factsheet.tuning.trials]
    assert trained.settings[: len(settings)] != trained.settings[len(settings) :]
    assert of_search(backwards, "content") == of_search(straight, "content")
