"""The search as a whole: its trials in any order, and its conclusion."""

import json
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from pgx_compiler.evidence.results import Finding
from pgx_compiler.ir.trials import STARTUP
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.report.factsheet import TuningEntry
from pgx_compiler.tuning.findings import findings
from pgx_compiler.tuning.narrowing import Narrowed, narrow
from pgx_compiler.tuning.question import Bound, Cut, Question
from pgx_compiler.tuning.result import TrialResult, TuningResult
from pgx_compiler.tuning.space import Dimension
from pgx_compiler.tuning.trial import BaselineError, Examination, run_trial
from runtimes.capabilities import Recipe, View
from tests.tuning.searching import Searching, search

RANK = "agreement.rank_correlation"
SPACE = {
    "optimizer.learning_rate": Dimension.of({"loguniform": [1e-3, 1.0]}),
    "layers.mask.column": Dimension.of({"choice": [-1, 0, 3]}),
}
BASELINE = {"optimizer.learning_rate": 0.01, "layers.mask.column": -1}


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


def question(**more) -> Question:
    return Question(SPACE, BASELINE, **{"seed": 3, "require": {RANK: Bound(min=0.4)}, **more})


def untouched(asked: Question) -> Narrowed:
    return narrow(asked, [], "classification")


def searched(trials: int, parallel: int = 1, **more) -> TuningResult:
    asked = question(**more)
    return search(asked, untouched(asked), Toy(), trials, parallel)


def test_a_whole_search_starts_with_the_audited_settings_and_ends_with_a_decision() -> None:
    run = Toy()
    result = search(question(), untouched(question()), run, 25)
    assert dict(run.recipes[0].settings) == BASELINE
    assert (result.trials[0].origin, result.baseline, len(result.trials)) == ("audited settings", 0, 25)
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
    result = searched(12)
    assert TuningResult.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False))).to_dict() == (
        result.to_dict()
    )
    entry = TuningEntry.model_validate(json.loads(json.dumps(result.entry(), allow_nan=False)))
    assert entry.best == result.best
    assert entry.require == {RANK: {"min": 0.4, "max": None}}
    assert [trial.number for trial in entry.trials] == list(range(12))
    assert set(result.entry()) == set(TuningEntry.model_fields)


@pytest.mark.parametrize("algorithm", ["hyperopt.tpe", "hyperopt.rand", "hyperopt.anneal"])
@pytest.mark.parametrize("parallel", [1, 4])
def test_the_same_trials_come_out_in_whatever_order_they_end(algorithm: str, parallel: int) -> None:
    asked = question(algorithm=algorithm)
    straight = search(asked, untouched(asked), Toy(), 16, parallel)
    for seed in range(2):
        rng = np.random.default_rng(seed)
        shuffled = Searching(asked, untouched(asked), 16, parallel)

        def anyone(ready: Sequence[int], rng: np.random.Generator = rng) -> int:
            return int(rng.choice(ready))

        assert shuffled.all(Toy(), anyone) == straight
        assert shuffled.order != sorted(shuffled.order) or (parallel == 1 and algorithm != "hyperopt.rand")
    latest = Searching(asked, untouched(asked), 16, parallel)
    assert latest.all(Toy(), max) == straight


def test_the_last_of_those_under_way_may_be_the_first_to_end() -> None:
    asked = question()
    one = Searching(asked, untouched(asked), STARTUP + 4, 4)
    one.all(Toy(), max)
    # all that draw at random wait for the audited settings alone, then each for the trial four before it
    assert one.order[:STARTUP] == [0, *range(STARTUP - 1, 0, -1)]


def test_pending_trials_change_what_is_suggested_and_are_known_by_their_settings() -> None:
    serial, parallel = (searched(20, parallel) for parallel in (1, 4))
    same = [one.settings == other.settings for one, other in zip(serial.trials, parallel.trials, strict=True)]
    assert all(same[:STARTUP])  # drawn at random, whatever is pending
    assert not all(same[STARTUP:])
    tried = [tuple(sorted(trial.settings.items())) for trial in parallel.trials]
    assert len(set(tried)) > STARTUP + 5  # were pending trials forgotten, four in a row would be much alike


@pytest.mark.parametrize("algorithm", ["hyperopt.tpe", "hyperopt.rand", "hyperopt.anneal"])
def test_more_trials_leave_the_earlier_ones_as_they_were(algorithm: str) -> None:
    few, many = (searched(trials, 4, algorithm=algorithm) for trials in (14, 30))
    assert many.trials[:14] == few.trials


def test_a_long_search_is_told_of_earlier_trials_in_summaries() -> None:
    asked = question(algorithm="hyperopt.anneal")  # learns from the first trial on, and costs little
    long = Searching(asked, untouched(asked), 80, 4)
    result = long.all(Toy())  # `Searching` holds what each trial is told against what it may see
    assert len(result.trials) == 80
    assert [number for number, (_, told) in long.done.items() if told] == [32, 64]


def test_a_repeated_configuration_is_not_trained_again_and_a_finished_space_ends_the_search() -> None:
    space = {"layers.mask.column": Dimension.of({"choice": [-1, *range(3, 10)]})}
    rate = {"optimizer.learning_rate": 0.01}
    for parallel in (1, 4):
        run = Toy()
        asked = Question(space, BASELINE, seed=1)
        rest = Searching(asked, untouched(asked), 60, parallel)
        result = rest.all(lambda recipe, run=run: run(Recipe({**recipe.settings, **rate})))
        assert len(run.recipes) == len({recipe.settings["layers.mask.column"] for recipe in run.recipes}) == 8
        repeats = [trial for trial in result.trials if trial.duplicate_of is not None]
        assert repeats
        assert len(result.trials) == 8 + len(repeats) < 60
        assert [rest.done[number][0].skipped for number in range(60)] == [n >= len(result.trials) for n in range(60)]
        for trial in repeats:
            first = result.trials[trial.duplicate_of]
            assert first.duplicate_of is None
            assert (trial.settings, trial.metrics) == (first.settings, first.metrics)
        entry = result.entry()["trials"][repeats[0].number]
        assert entry["reasons"][-1] == f"same settings as trial {repeats[0].duplicate_of}, whose result this is"
        assert "The space holds no more than these, so 60 trials were not needed" in result.limits


def test_a_trial_may_repeat_one_that_is_still_under_way() -> None:
    space = {"layers.mask.column": Dimension.of({"choice": [-1, 0]})}
    asked = Question(space, BASELINE, seed=1)
    rest = Searching(asked, untouched(asked), 6, 4)
    run = Toy()
    rest.all(lambda recipe: run(Recipe({**recipe.settings, "optimizer.learning_rate": 0.01})), max)
    # every trial but the first was ended before those in front of it; still each of the two was trained once
    assert len(run.recipes) == 2


def test_a_failed_candidate_is_a_result_and_a_failed_baseline_is_an_error() -> None:
    result = searched(30)
    failed = [trial for trial in result.trials if trial.settings["optimizer.learning_rate"] > 0.8]
    assert failed
    assert all(trial.verdict == "reject" and "overflow" in trial.reasons[0] for trial in failed)
    broken = Question(SPACE, {**BASELINE, "optimizer.learning_rate": 0.9}, seed=1)
    rest = Searching(broken, untouched(broken), 5, 4)
    assert rest.ready() == [0]  # nothing is trained beside the audited settings: without them there is no search
    with pytest.raises(BaselineError, match="overflow"):
        rest.all(Toy())


def test_findings_narrow_the_search_that_is_run() -> None:
    orders = Cut("small_sample", {"optimizer.learning_rate": Dimension.of({"loguniform": [1e-2, 1e-1]})}, "few rows")
    asked = question(cuts=(orders,))
    found = [Finding("small_sample", "warning", "", "")]
    result = search(asked, narrow(asked, found, "classification"), Toy(), 12)
    assert all(1e-2 <= trial.settings["optimizer.learning_rate"] <= 1e-1 for trial in result.trials)
    assert result.space_declared["optimizer.learning_rate"] == {"loguniform": [1e-3, 1]}
    assert result.space_used["optimizer.learning_rate"] == {"loguniform": [0.01, 0.1]}
    assert result.narrowing[0]["kept"] == pytest.approx(1 / 3)


def test_settings_that_a_finding_asks_for_are_tried_right_after_the_audited_ones() -> None:
    asked = question()
    wanted = {"optimizer.learning_rate": 0.1, "layers.mask.column": 3}
    found = [Finding("leakage", "warning", "", "", effects=({"kind": "seed", "settings": wanted},))]
    result = search(asked, narrow(asked, found, "classification"), Toy(), 8, 4)
    assert [trial.origin for trial in result.trials[:3]] == ["audited settings", "finding leakage", "search"]
    assert dict(result.trials[1].settings) == wanted


def test_findings_of_the_search_itself() -> None:
    result = searched(25)
    degraded = next(finding for finding in findings(question(), result) if finding.code == "explanation_degraded")
    number = int(degraded.subject.removeprefix("trial "))
    assert result.trials[number].settings["layers.mask.column"] == 3
    strict = question(require={RANK: Bound(min=0.99)})
    unmet = search(strict, untouched(strict), Toy(), 6)
    assert unmet.best is None
    assert [finding.code for finding in findings(strict, unmet)] == ["constraint_unmet"]


@pytest.mark.parametrize(("last", "codes"), [(0.2, ["search_not_converged"]), (0.499, [])])
def test_a_late_gain_beyond_the_noise_is_a_search_that_has_not_converged(last: float, codes: list[str]) -> None:
    asked = question()

    class Late(Toy):
        def __call__(self, recipe: Recipe) -> TrialResult:
            self.recipes.append(recipe)
            loss = last if len(self.recipes) == 11 else 0.5
            return TrialResult({"validation.loss": loss, RANK: 0.9}, {"validation.loss": 0.01, RANK: 0.01}, 5)

    result = search(asked, untouched(asked), Late(), 12)
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
    asked = question(epochs=60)
    result = search(
        asked,
        untouched(asked),
        lambda recipe: run_trial(trainable, recipe, train, validation, examination, asked.seed),
        10,
        4,
    )
    assert result.trials[0].metrics[RANK] == pytest.approx(1.0, abs=0.05)  # the audited settings, trained again
    blind = [trial for trial in result.trials if trial.settings["layers.mask.column"] == 0]
    seeing = [trial for trial in result.trials if trial.settings["layers.mask.column"] == -1]
    assert blind
    assert max(t.metrics["validation.accuracy"] for t in blind) < min(t.metrics["validation.accuracy"] for t in seeing)
    assert result.best is not None


def test_importing_the_search_loads_no_heavy_library() -> None:
    code = (
        "import sys, pgx_compiler.tuning.suggestion, pgx_compiler.tuning.conclusion, pgx_compiler.tuning.findings\n"
        "print([m for m in ('hyperopt', 'sklearn', 'tensorflow', 'keras', 'shap') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
