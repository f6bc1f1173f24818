"""The search as a whole."""

import json
import subprocess
import sys

import numpy as np
import pytest

from pgx_compiler.evidence.results import Finding
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.report.factsheet import TuningEntry
from pgx_compiler.tuning.findings import findings
from pgx_compiler.tuning.loop import BaselineError, trial_key, tune
from pgx_compiler.tuning.narrowing import Narrowed, narrow
from pgx_compiler.tuning.question import Bound, Cut, Question
from pgx_compiler.tuning.result import TrialResult, TuningResult
from pgx_compiler.tuning.space import Dimension
from pgx_compiler.tuning.trial import Examination, run_trial
from runtimes.capabilities import Recipe, View

RANK = "agreement.rank_correlation"
SPACE = {
    "optimizer.learning_rate": Dimension.of({"loguniform": [1e-3, 1.0]}),
    "layers.mask.column": Dimension.of({"choice": [-1, 0, 3]}),
}
BASELINE = {"optimizer.learning_rate": 0.01, "layers.mask.column": -1}


class Store:
    """The caller's evidence, as the loop sees it; can stop the program after so many results."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.kept: dict[str, dict] = {}
        self.stop_after = stop_after

    def remember(self, key: dict) -> TrialResult | None:
        found = self.kept.get(json.dumps(key, sort_keys=True))
        return None if found is None else TrialResult.from_dict(found)

    def keep(self, key: dict, result: TrialResult) -> None:
        self.kept[json.dumps(key, sort_keys=True)] = json.loads(json.dumps(result.to_dict()))
        if self.stop_after is not None and len(self.kept) >= self.stop_after:
            raise KeyboardInterrupt


class Toy:
    """Loss by distance to 0.1 and by the mask; the explanation suffers from the mask."""

    def __init__(self) -> None:
        self.recipes: list[Recipe] = []

    def __call__(self, recipe: Recipe) -> TrialResult:
        self.recipes.append(recipe)
        rate, column = recipe.settings["optimizer.learning_rate"], recipe.settings["layers.mask.column"]
        if rate > 0.8:
            raise FloatingPointError("overflow")
        loss = 0.3 + (np.log10(rate) + 1) ** 2 / 10 + 0.2 * (column == 0) - 0.05 * (column == 3)
        rank = 0.9 - 0.6 * (column == 0) - 0.3 * (column == 3)
        return TrialResult({"validation.loss": loss, RANK: rank}, {"validation.loss": 0.01, RANK: 0.01}, 5)


def question(trials: int = 25, **more) -> Question:
    return Question(SPACE, BASELINE, trials=trials, seed=3, require={RANK: Bound(min=0.4)}, **more)


def untouched(asked: Question) -> Narrowed:
    return narrow(asked, [], "classification")


def test_a_whole_search_starts_with_the_audited_settings_and_ends_with_a_decision() -> None:
    run, store, ticks = Toy(), Store(), []
    asked = question()
    result = tune(asked, untouched(asked), run, store.remember, store.keep, lambda *tick: ticks.append(tick))
    assert dict(run.recipes[0].settings) == BASELINE
    assert (result.trials[0].origin, result.baseline, len(result.trials)) == ("audited settings", 0, 25)
    assert ticks == [(n, 25) for n in range(1, 26)]
    best = result.trials[result.best]
    assert best.settings["layers.mask.column"] == -1  # 3 has the smaller loss, but its explanations are worse
    assert best.metrics["validation.loss"] < result.trials[0].metrics["validation.loss"]
    assert result.decision.startswith(f"change the settings to those of trial {result.best}")
    assert {trial.verdict for trial in result.trials if trial.settings["layers.mask.column"] == 0} == {"reject"}
    assert {trial.verdict for trial in result.trials if trial.settings["layers.mask.column"] == 3} <= {
        "re-think",
        "reject",
    }
    assert result.importance[RANK]["layers.mask.column"] > 0.8  # it alone moves the rank correlation


def test_the_result_is_plain_json_and_fills_the_factsheet_one_to_one() -> None:
    asked, store = question(12), Store()
    result = tune(asked, untouched(asked), Toy(), store.remember, store.keep)
    assert TuningResult.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False))).to_dict() == (
        result.to_dict()
    )
    entry = TuningEntry.model_validate(json.loads(json.dumps(result.entry(), allow_nan=False)))
    assert entry.best == result.best
    assert entry.require == {RANK: {"min": 0.4, "max": None}}
    assert [trial.number for trial in entry.trials] == list(range(12))
    assert set(result.entry()) == set(TuningEntry.model_fields)


@pytest.mark.parametrize("stop_after", [1, 5, 11])
def test_stopped_anywhere_and_started_again_nothing_is_trained_twice(stop_after: int) -> None:
    asked, straight = question(14), Store()
    whole, all_runs = Toy(), None
    all_runs = tune(asked, untouched(asked), whole, straight.remember, straight.keep)
    run, store = Toy(), Store(stop_after)
    with pytest.raises(KeyboardInterrupt):
        tune(asked, untouched(asked), run, store.remember, store.keep)
    store.stop_after = None
    again = tune(asked, untouched(asked), run, store.remember, store.keep)
    assert run.recipes == whole.recipes  # the same candidates, each trained once over both runs
    assert again == all_runs


def test_a_repeated_configuration_is_not_trained_again_and_a_finished_space_ends_the_search() -> None:
    space = {"layers.mask.column": Dimension.of({"choice": [-1, *range(3, 10)]})}
    run = Toy()
    asked = Question(space, BASELINE, trials=100, seed=1)
    rate = {"optimizer.learning_rate": 0.01}
    result = tune(
        asked,
        untouched(asked),
        lambda recipe: run(Recipe({**recipe.settings, **rate})),
        lambda _key: None,  # evidence that forgets: only the search itself can know a repetition
        lambda _key, _result: None,
    )
    assert len(run.recipes) == len({recipe.settings["layers.mask.column"] for recipe in run.recipes}) == 8
    repeats = [trial for trial in result.trials if trial.duplicate_of is not None]
    assert repeats
    assert len(result.trials) == 8 + len(repeats) < 100
    for trial in repeats:
        first = result.trials[trial.duplicate_of]
        assert (trial.settings, trial.metrics) == (first.settings, first.metrics)
    entry = result.entry()["trials"][repeats[0].number]
    assert entry["reasons"][-1] == f"same settings as trial {repeats[0].duplicate_of}, whose result this is"
    assert "The space holds no more than these" in result.limits


def test_a_failed_candidate_is_a_result_and_a_failed_baseline_is_an_error() -> None:
    store = Store()
    asked = question(30)
    result = tune(asked, untouched(asked), Toy(), store.remember, store.keep)
    failed = [trial for trial in result.trials if trial.settings["optimizer.learning_rate"] > 0.8]
    assert failed
    assert all(trial.verdict == "reject" and "overflow" in trial.reasons[0] for trial in failed)
    broken = Question(SPACE, {**BASELINE, "optimizer.learning_rate": 0.9}, trials=5, seed=1)
    empty = Store()
    with pytest.raises(BaselineError, match="overflow"):
        tune(broken, untouched(broken), Toy(), empty.remember, empty.keep)
    assert empty.kept == {}


def test_a_trials_key_holds_what_its_result_depends_on() -> None:
    asked = question(identity={"model": "abc"})
    recipe = Recipe({"optimizer.learning_rate": 0.1}, 5, 32)
    key = trial_key(asked, untouched(asked), recipe)
    others = [
        trial_key(question(identity={"model": "abd"}), untouched(asked), recipe),
        trial_key(asked, untouched(asked), Recipe({"optimizer.learning_rate": 0.2}, 5, 32)),
        trial_key(asked, untouched(asked), Recipe({"optimizer.learning_rate": 0.1}, 6, 32)),
        trial_key(asked, narrow(asked, [], "regression"), recipe),
    ]
    assert all(other != key for other in others)
    assert key == trial_key(question(99, identity={"model": "abc"}), untouched(asked), recipe)  # more trials: same keys
    json.dumps(key, allow_nan=False)


def test_findings_narrow_the_search_that_is_run() -> None:
    orders = Cut("small_sample", {"optimizer.learning_rate": Dimension.of({"loguniform": [1e-2, 1e-1]})}, "few rows")
    asked, store = question(12, cuts=(orders,)), Store()
    found = [Finding("small_sample", "warning", "", "")]
    result = tune(asked, narrow(asked, found, "classification"), Toy(), store.remember, store.keep)
    assert all(1e-2 <= trial.settings["optimizer.learning_rate"] <= 1e-1 for trial in result.trials)
    assert result.space_declared["optimizer.learning_rate"] == {"loguniform": [1e-3, 1]}
    assert result.space_used["optimizer.learning_rate"] == {"loguniform": [0.01, 0.1]}
    assert result.narrowing[0]["kept"] == pytest.approx(1 / 3)


def test_findings_of_the_search_itself() -> None:
    asked, store = question(25), Store()
    result = tune(asked, untouched(asked), Toy(), store.remember, store.keep)
    degraded = next(finding for finding in findings(asked, result) if finding.code == "explanation_degraded")
    number = int(degraded.subject.removeprefix("trial "))
    assert result.trials[number].settings["layers.mask.column"] == 3
    strict = Question(SPACE, BASELINE, trials=6, seed=3, require={RANK: Bound(min=0.99)})
    unmet = tune(strict, untouched(strict), Toy(), Store().remember, Store().keep)
    assert unmet.best is None
    assert [finding.code for finding in findings(strict, unmet)] == ["constraint_unmet"]


@pytest.mark.parametrize(("last", "codes"), [(0.2, ["search_not_converged"]), (0.499, [])])
def test_a_late_gain_beyond_the_noise_is_a_search_that_has_not_converged(last: float, codes: list[str]) -> None:
    asked, store = question(12), Store()

    class Late(Toy):
        def __call__(self, recipe: Recipe) -> TrialResult:
            self.recipes.append(recipe)
            loss = last if len(self.recipes) == 11 else 0.5
            return TrialResult({"validation.loss": loss, RANK: 0.9}, {"validation.loss": 0.01, RANK: 0.01}, 5)

    result = tune(asked, untouched(asked), Late(), store.remember, store.keep)
    assert [finding.code for finding in findings(asked, result)] == codes


def test_a_real_if_small_model_is_tuned_end_to_end(trainable, labelled, explained) -> None:
    train, validation = labelled
    declarations = catalogue()
    method = declarations["integrated_gradients"]
    rank = declarations["rank_correlation"]
    audited = trainable.train(Recipe(BASELINE, epochs=60), train, validation, 1).open_view(View("logit"))
    examination = Examination(
        explained,
        View("logit"),
        [(method, method.params())],
        [(rank, rank.params())],
        {"integrated_gradients": audited.weights * explained.inputs["x"]},
    )
    asked, store = question(10, epochs=60), Store()
    result = tune(
        asked,
        untouched(asked),
        lambda recipe: run_trial(trainable, recipe, train, validation, examination, asked.seed),
        store.remember,
        store.keep,
    )
    assert result.trials[0].metrics[RANK] == pytest.approx(1.0, abs=0.05)  # the audited settings, trained again
    blind = [trial for trial in result.trials if trial.settings["layers.mask.column"] == 0]
    seeing = [trial for trial in result.trials if trial.settings["layers.mask.column"] == -1]
    assert blind
    assert max(t.metrics["validation.accuracy"] for t in blind) < min(t.metrics["validation.accuracy"] for t in seeing)
    assert result.best is not None


def test_importing_the_search_loads_no_heavy_library() -> None:
    code = (
        "import sys, pgx_compiler.tuning.loop, pgx_compiler.tuning.findings\n"
        "print([m for m in ('hyperopt', 'sklearn', 'tensorflow', 'keras', 'shap') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
