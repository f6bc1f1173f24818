"""What a candidate is worth: its place in the search's order, its verdict, and the choice at the end.

Constraints: feasible first (Deb, 2000): https://doi.org/10.1016/S0045-7825(99)00389-8, then a soft penalty. The choice
is the one-standard-error rule (Breiman et al., 1984) with the explanation as tie-break.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pgx_compiler.tuning.question import Question
from pgx_compiler.tuning.result import TrialResult, Verdict

Z = 1.645
"""A difference counts above so many standard errors: the one-sided 5 % point of the normal distribution."""
FEASIBLE_FIRST_UNTIL = 3
"""So many feasible trials end the feasible-first phase: what the TPE then needs is which of them is good."""
PENALTY_PER_VIOLATION = 10.0
"""Standard errors of the loss for a violation of the whole bound: one for each tenth of it."""


@dataclass(frozen=True)
class Judgement:
    """What is said of one candidate."""

    feasible: bool
    verdict: Verdict
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """What is said of the whole search."""

    best: int | None
    decision: str


def loss_of(question: Question, result: TrialResult) -> float:
    """The objective as a loss (lower is better); NaN where it was not measured."""
    value = measured(result, question.objective.metric)
    return math.nan if value is None else value if question.objective.better == "lower" else -value


def violation(question: Question, result: TrialResult) -> float:
    """Sum over the constraints of the excess, each divided by its bound's size; infinite where one is not measured."""
    total = 0.0
    for metric, bound in question.require.items():
        value = measured(result, metric)
        total += math.inf if value is None else bound.excess(value) / bound.scale()
    return total


def order_values(question: Question, results: Mapping[int, TrialResult]) -> dict[int, float]:
    """The order that the search sees: lower is better, infinite is failed.

    Until `FEASIBLE_FIRST_UNTIL` trials are feasible: a feasible trial has its loss, any other the largest loss plus its
    violation. From then on: loss plus a penalty of one standard error of the loss for each tenth of a bound violated.

    Args:
        question: the search.
        results: trial number to result; each configuration once, lest a repeated one end the first phase.
    """
    losses = {number: loss_of(question, result) for number, result in results.items()}
    violations = {number: violation(question, result) for number, result in results.items()}
    usable = [number for number in results if math.isfinite(losses[number]) and math.isfinite(violations[number])]
    if not usable:
        return dict.fromkeys(results, math.inf)
    worst = max(losses[number] for number in usable)
    soft = sum(violations[number] == 0 for number in usable) >= FEASIBLE_FIRST_UNTIL
    rate = PENALTY_PER_VIOLATION * _typical_error(question, [results[number] for number in usable])
    order = dict.fromkeys(results, math.inf)
    for number in usable:
        if soft:
            order[number] = losses[number] + rate * violations[number]
        else:
            order[number] = losses[number] if violations[number] == 0 else worst + violations[number]
    return order


def judge(question: Question, result: TrialResult, baseline: TrialResult) -> Judgement:
    """The verdict on one candidate, by comparison with the audited settings.

    ``reject``: it failed, or a constraint is violated beyond its tolerance. ``re-think``: some metric is worse than
    with the audited settings by more than the tolerance and than `Z` standard errors of the difference. Else
    ``accept``.
    """
    refused = _refusals(question, result)
    if refused:
        return Judgement(False, "reject", tuple(refused))
    worse = [
        f"{metric} is worse than with the audited settings: {mine:.4g} against {theirs:.4g} "
        f"(by {amount:.2g}, more than {limit:.2g})"
        for metric in _compared(question, result, baseline)
        for mine, theirs in [(_number(result, metric), _number(baseline, metric))]
        for amount, limit in [(_worsening(question, metric, mine, theirs), _noise(question, metric, result, baseline))]
        if amount > limit
    ]
    return Judgement(True, "re-think" if worse else "accept", tuple(worse))


def choose(question: Question, results: Mapping[int, TrialResult], baseline: int = 0) -> Choice:
    """The candidate to use, and the sentence that says so.

    The audited settings stay unless an accepted trial improves the objective by more than `Z` standard errors of the
    difference (or they violate a constraint themselves). Among those trials, within one standard error of the best
    loss: the best explanation, then the fewest parameters, then the smaller loss.
    """
    judged = {number: judge(question, result, results[baseline]) for number, result in results.items()}
    feasible = [number for number in results if judged[number].feasible]
    if not feasible:
        return Choice(None, f"keep the current settings: none of {len(results)} trials meets the constraints")
    accepted = [number for number in feasible if judged[number].verdict == "accept"]
    if not judged[baseline].feasible:
        best = _within_one_error(question, {number: results[number] for number in accepted or feasible})
        reason = f"trial {best} meets the constraints, which the audited settings do not"
        if accepted:
            return Choice(best, f"change the settings to those of trial {best}: {reason}")
        return Choice(best, f"re-think before changing to trial {best}: {reason}, but {judged[best].reasons[0]}")
    better = [number for number in accepted if _is_gain(question, results[number], results[baseline])]
    if not better:
        return Choice(baseline, "keep the current settings: " + _why_keep(question, results, judged, baseline))
    best = _within_one_error(question, {number: results[number] for number in better})
    metric = question.objective.metric
    return Choice(
        best,
        f"change the settings to those of trial {best}: {metric} {_number(results[best], metric):.4g} against "
        f"{_number(results[baseline], metric):.4g}, a gain beyond its noise of "
        f"{_noise(question, metric, results[best], results[baseline]):.2g}, and nothing compared is worse",
    )


def pareto_front(question: Question, results: Mapping[int, TrialResult]) -> tuple[int, ...]:
    """Trials that no other one beats: at least as good in the objective and each required metric, better in one.

    Trials that failed are left out; so are later ones with exactly the values of an earlier one.
    """
    metrics = list(dict.fromkeys([question.objective.metric, *question.require]))
    points: dict[tuple[float, ...], int] = {}
    for number in sorted(results):
        values = [measured(results[number], metric) for metric in metrics]
        costs = [
            (value if question.direction(metric) == "lower" else -value)
            for metric, value in zip(metrics, values, strict=True)
            if value is not None
        ]
        if len(costs) == len(metrics):
            points.setdefault(tuple(costs), number)
    return tuple(
        number
        for point, number in points.items()
        if not any(other != point and all(o <= p for o, p in zip(other, point, strict=True)) for other in points)
    )


def measured(result: TrialResult, metric: str) -> float | None:
    """A metric of a trial, None where it is missing or not finite."""
    value = result.metrics.get(metric)
    return None if value is None or not math.isfinite(value) else value


def _number(result: TrialResult, metric: str) -> float:
    value = measured(result, metric)
    return math.nan if value is None else value


def _refusals(question: Question, result: TrialResult) -> list[str]:
    if result.failure is not None:
        return [f"the trial failed: {result.failure}"]
    reasons = []
    if measured(result, question.objective.metric) is None:
        reasons.append(f"{question.objective.metric} is not a finite number")
    for metric, bound in question.require.items():
        value = measured(result, metric)
        if value is None:
            reasons.append(f"{metric} is required {bound.words()} but could not be measured")
        elif bound.excess(value) > 0:
            reasons.append(f"{metric} is {value:.4g}; required is {bound.words()}")
    return reasons


def _compared(question: Question, result: TrialResult, baseline: TrialResult) -> list[str]:
    """The metrics that both trials have, the objective first."""
    names = dict.fromkeys([question.objective.metric, *question.require, *result.metrics])
    return [name for name in names if measured(result, name) is not None and measured(baseline, name) is not None]


def _worsening(question: Question, metric: str, mine: float, theirs: float) -> float:
    return mine - theirs if question.direction(metric) == "lower" else theirs - mine


def _noise(question: Question, metric: str, one: TrialResult, other: TrialResult) -> float:
    """The difference between two trials that does not count: the tolerance, or `Z` standard errors of the difference.

    The errors are added as if the two samples of rows were independent. The rows are the same, so this overstates the
    sampling error; it stands in for the variation of training itself, which one run a candidate cannot show.
    """
    errors = [result.standard_errors.get(metric) or 0.0 for result in (one, other)]
    return max(question.tolerance.get(metric, 0.0), Z * math.hypot(*errors))


def _is_gain(question: Question, result: TrialResult, baseline: TrialResult) -> bool:
    gain = loss_of(question, baseline) - loss_of(question, result)
    return gain > _noise(question, question.objective.metric, result, baseline)


def _typical_error(question: Question, results: Sequence[TrialResult]) -> float:
    """Median standard error of the objective; where none is known, the spread of the losses."""
    errors = sorted(
        error for result in results if (error := result.standard_errors.get(question.objective.metric)) is not None
    )
    if errors and errors[len(errors) // 2] > 0:
        return errors[len(errors) // 2]
    losses = [loss_of(question, result) for result in results]
    mean = sum(losses) / len(losses)
    return math.sqrt(sum((loss - mean) ** 2 for loss in losses) / len(losses)) or 1.0


def _within_one_error(question: Question, results: Mapping[int, TrialResult]) -> int:
    losses = {number: loss_of(question, result) for number, result in results.items()}
    leader = min(losses, key=lambda number: (losses[number], number))
    reach = losses[leader] + (results[leader].standard_errors.get(question.objective.metric) or 0.0)
    metrics = [name for name in question.require or results[leader].metrics if not name.startswith("validation.")]

    def rank(number: int) -> tuple[float, ...]:
        result = results[number]
        explained = [_worsening(question, metric, _number(result, metric), 0.0) for metric in metrics]
        size = math.inf if result.parameters is None else float(result.parameters)
        return (*explained, size, losses[number], float(number))

    return min((number for number in losses if losses[number] <= reach), key=rank)


def _why_keep(
    question: Question, results: Mapping[int, TrialResult], judged: Mapping[int, Judgement], baseline: int
) -> str:
    """Why no trial replaces the audited settings: the tempting one that must be re-thought, or that none is better."""
    metric = question.objective.metric
    tempting = [
        number
        for number in results
        if judged[number].verdict == "re-think" and _is_gain(question, results[number], results[baseline])
    ]
    if not tempting:
        return f"no acceptable trial of {len(results)} improves {metric} beyond its noise"
    number = min(tempting, key=lambda candidate: loss_of(question, results[candidate]))
    return (
        f"trial {number} has a better {metric} ({_number(results[number], metric):.4g} against "
        f"{_number(results[baseline], metric):.4g}) but must be re-thought: {judged[number].reasons[0]}"
    )
