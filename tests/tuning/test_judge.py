"""Verdicts, order and choice, by hand-worked cases."""

import math

import pytest

from pgx_compiler.tuning.judge import choose, judge, order_values, pareto_front, violation
from pgx_compiler.tuning.question import Bound, Objective, Question
from pgx_compiler.tuning.result import TrialResult
from pgx_compiler.tuning.space import Dimension

RANK = "agreement.rank_correlation"
SPACE = {"fit.batch_size": Dimension.of({"choice": [16, 32]})}


def question(**more) -> Question:
    settings = {"seed": 1, "require": {RANK: Bound(min=0.4)}, **more}
    return Question(SPACE, {}, **settings)


def trial(loss=None, rank=None, se_loss=0.0, se_rank=0.0, parameters=100, failure=None, **metrics) -> TrialResult:
    metrics = {"validation.loss": loss, RANK: rank, **metrics}
    return TrialResult(metrics, {"validation.loss": se_loss, RANK: se_rank}, parameters, failure=failure)


BASE = trial(0.50, 0.80, se_loss=0.03, se_rank=0.03)
# z * SE of a difference of two trials with SE 0.03 each: 1.645 * sqrt(0.0018) = 0.0698


@pytest.mark.parametrize(
    ("result", "verdict", "said"),
    [
        (trial(0.45, 0.80, 0.03, 0.03), "accept", None),
        (trial(0.56, 0.74, 0.03, 0.03), "accept", None),  # both worse by 0.06, within 0.0698
        (trial(0.58, 0.80, 0.03, 0.03), "re-think", "validation.loss is worse"),  # by 0.08
        (trial(0.40, 0.72, 0.03, 0.03), "re-think", "agreement.rank_correlation is worse"),  # by 0.08
        (trial(0.40, 0.39, 0.03, 0.03), "reject", "required is >= 0.4"),
        (trial(math.nan, 0.80), "reject", "not a finite number"),
        (trial(0.40, None), "reject", "could not be measured"),
        (trial(failure="ValueError: units"), "reject", "ValueError: units"),
    ],
)
def test_verdicts(result: TrialResult, verdict: str, said: str | None) -> None:
    found = judge(question(), result, BASE)
    assert found.verdict == verdict
    assert found.feasible == (verdict != "reject")
    assert (found.reasons == ()) if said is None else (said in found.reasons[0])


def test_a_tolerance_widens_what_is_no_worse_and_what_is_no_violation() -> None:
    asked = question(tolerance={"validation.loss": 0.1}, require={RANK: Bound(min=0.4, tolerance=0.02)})
    assert judge(asked, trial(0.58, 0.80, 0.03, 0.03), BASE).verdict == "accept"
    assert judge(asked, trial(0.40, 0.39, 0.03, 0.3), BASE).feasible
    assert not judge(asked, trial(0.40, 0.37, 0.03, 0.3), BASE).feasible


def test_a_metric_where_less_is_better_is_worse_when_it_grows() -> None:
    asked = question(require={"reliance.sensitive": Bound(max=0.5)})
    base = TrialResult({"validation.loss": 0.5, "reliance.sensitive": 0.1})
    more = TrialResult({"validation.loss": 0.5, "reliance.sensitive": 0.2})
    assert judge(asked, more, base).verdict == "re-think"
    assert judge(asked, base, more).verdict == "accept"


def test_violation_is_relative_to_the_bound_and_adds_up() -> None:
    asked = question(require={RANK: Bound(min=0.4), "reliance": Bound(max=0.2)})
    result = TrialResult({RANK: 0.3, "reliance": 0.3})
    assert violation(asked, result) == pytest.approx(0.1 / 0.4 + 0.1 / 0.2)
    assert violation(asked, TrialResult({RANK: 0.3})) == math.inf


def test_feasible_trials_come_first_until_there_are_three() -> None:
    # violation of rank 0.2: (0.4 - 0.2) / 0.4 = 0.5; of rank 0.0: 1. Largest loss: 0.9.
    results = {0: trial(0.9, 0.5), 1: trial(0.1, 0.2), 2: trial(0.2, 0.0), 3: trial(failure="x")}
    order = order_values(question(), results)
    assert order == {0: 0.9, 1: pytest.approx(1.4), 2: pytest.approx(1.9), 3: math.inf}
    assert order_values(question(), results | {4: trial(0.8, 0.5)})[1] == pytest.approx(1.4)  # two are not three


def test_from_three_feasible_trials_on_a_tenth_of_violation_costs_one_standard_error() -> None:
    results = {n: trial(0.5 + n / 10, 0.5, se_loss=0.02) for n in range(3)} | {3: trial(0.3, 0.2, se_loss=0.02)}
    order = order_values(question(), results)
    assert [order[n] for n in range(3)] == [0.5, 0.6, 0.7]
    assert order[3] == pytest.approx(0.3 + 10 * 0.02 * 0.5)  # half the bound: five standard errors of 0.02


def test_accuracy_is_ordered_upside_down() -> None:
    asked = question(objective=Objective("validation.accuracy", "higher"), require={})
    results = {n: TrialResult({"validation.accuracy": value}) for n, value in enumerate([0.7, 0.9])}
    assert order_values(asked, results) == {0: -0.7, 1: -0.9}


def test_all_failed_is_all_infinite() -> None:
    assert order_values(question(), {0: trial(failure="x"), 1: trial(math.nan, 1.0)}) == {0: math.inf, 1: math.inf}


def test_the_pareto_front_by_hand() -> None:
    points = {0: (0.5, 0.8), 1: (0.4, 0.7), 2: (0.45, 0.6), 3: (0.3, 0.1), 4: (0.4, 0.7), 5: (0.6, 0.8)}
    results = {n: trial(loss, rank) for n, (loss, rank) in points.items()} | {6: trial(failure="x")}
    # 2 is beaten by 1, 5 by 0; 4 repeats 1; 6 has no values.
    assert pareto_front(question(), results) == (0, 1, 3)


def test_without_constraints_the_front_is_the_best_trial() -> None:
    results = {n: trial(loss, 0.5) for n, loss in enumerate([0.5, 0.3, 0.4])}
    assert pareto_front(question(require={}), results) == (1,)


def test_the_better_explanation_wins_within_one_standard_error_of_the_best_loss() -> None:
    results = {
        0: trial(0.50, 0.50, 0.02),
        1: trial(0.30, 0.50, 0.02, parameters=10),
        2: trial(0.31, 0.70, 0.02, parameters=900),  # within 0.32: chosen for its explanation
        3: trial(0.33, 0.90, 0.02),  # not within one standard error of 0.30
    }
    found = choose(question(), results)
    assert found.best == 2
    assert found.decision.startswith("change the settings to those of trial 2: validation.loss 0.31 against 0.5")


def test_equal_explanations_are_settled_by_fewer_parameters() -> None:
    results = {0: BASE, 1: trial(0.30, 0.8, 0.02, parameters=90), 2: trial(0.31, 0.8, 0.02, parameters=50)}
    assert choose(question(), results).best == 2


def test_no_gain_beyond_the_noise_keeps_the_current_settings() -> None:
    found = choose(question(), {0: BASE, 1: trial(0.44, 0.82, 0.03, 0.03)})  # gain 0.06 < 0.0698
    assert found.best == 0
    assert found.decision.startswith("keep the current settings: no acceptable trial of 2 improves validation.loss")


def test_a_tempting_trial_with_worse_explanations_is_named_and_not_chosen() -> None:
    found = choose(question(), {0: BASE, 1: trial(0.30, 0.5, 0.03, 0.03)})
    assert found.best == 0
    assert "trial 1 has a better validation.loss" in found.decision
    assert "must be re-thought" in found.decision


def test_a_compliant_trial_replaces_audited_settings_that_are_not() -> None:
    base = trial(0.50, 0.30, 0.03, 0.03)
    found = choose(question(), {0: base, 1: trial(0.52, 0.60, 0.03, 0.03), 2: trial(0.9, 0.95, 0.03, 0.03)})
    assert found.best == 1
    assert "which the audited settings do not" in found.decision
    only_worse = choose(question(), {0: base, 2: trial(0.9, 0.95, 0.03, 0.03)})
    assert only_worse.best == 2
    assert only_worse.decision.startswith("re-think before changing to trial 2")


def test_nothing_is_chosen_where_nothing_complies() -> None:
    found = choose(question(), {0: trial(0.5, 0.3), 1: trial(0.4, 0.2)})
    assert found.best is None
    assert "none of 2 trials meets the constraints" in found.decision


def test_directions_follow_the_catalogue_the_name_or_the_bound() -> None:
    asked = question(better={"agreement.gap": "lower"}, require={RANK: Bound(min=0.4), "cost": Bound(max=1)})
    metrics = ("validation.loss", "validation.accuracy", RANK, "cost", "agreement.gap", "other")
    assert [asked.direction(metric) for metric in metrics] == ["lower", "higher", "higher", "lower", "lower", "higher"]
