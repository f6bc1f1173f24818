"""What a reader must know of a finished search."""

import math

from pgx_compiler.evidence.results import Finding
from pgx_compiler.tuning.judge import Z
from pgx_compiler.tuning.question import Question
from pgx_compiler.tuning.result import TrialRecord, TuningResult

LAST_SHARE = 0.25
"""A search that still improves beyond its noise in this last share of its trials has not settled; our own default."""
FEWEST_TRIALS = 12
"""With fewer trials nothing is said about convergence: the first ones are drawn at random; our own default."""


def findings(question: Question, result: TuningResult) -> tuple[Finding, ...]:
    """The findings of a search: constraints unmet, explanations degraded, not converged."""
    found = [_unmet(result), _degraded(question, result), _unsettled(question, result)]
    return tuple(finding for finding in found if finding is not None)


def _unmet(result: TuningResult) -> Finding | None:
    if result.best is not None:
        return None
    wanted = ", ".join(result.require) or result.objective
    return Finding(
        code="constraint_unmet",
        severity="warning",
        title="No trial meets the constraints of the search",
        summary=f"None of {len(result.trials)} trials, the audited settings included, satisfies what is required of "
        f"{wanted}. {result.trials[result.baseline].reasons[0].capitalize()} (audited settings).",
        subject="tuning",
        advice=("try more trials or a wider space", "ask whether the bound can be met by this kind of model"),
    )


def _degraded(question: Question, result: TuningResult) -> Finding | None:
    """A candidate that is better in the objective but whose explanations are worse than the audited model's."""
    baseline = _loss(question, result.trials[result.baseline])
    tempting = [
        (trial, reasons)
        for trial in result.trials
        if trial.verdict == "re-think" and trial.duplicate_of is None and _loss(question, trial) < baseline
        for reasons in [[reason for reason in trial.reasons if not reason.startswith("validation.")]]
        if reasons
    ]
    if not tempting:
        return None
    trial, reasons = min(tempting, key=lambda pair: _loss(question, pair[0]))
    return Finding(
        code="explanation_degraded",
        severity="warning",
        title=f"Trial {trial.number} improves {question.objective.metric} at the cost of its explanations",
        summary=f"Its {question.objective.metric} is {trial.metrics[question.objective.metric]:.4g}, better than with "
        f"the audited settings, but {reasons[0]}.",
        subject=f"trial {trial.number}",
        advice=("do not adopt these settings for their score alone", "explain the candidate with further methods"),
    )


def _unsettled(question: Question, result: TuningResult) -> Finding | None:
    feasible = [trial for trial in result.trials if trial.feasible]
    start = len(result.trials) - math.ceil(LAST_SHARE * len(result.trials))
    before = [trial for trial in feasible if trial.number < start]
    after = [trial for trial in feasible if trial.number >= start]
    if len(result.trials) < FEWEST_TRIALS or not before or not after:
        return None
    old, new = (min(part, key=lambda trial: _loss(question, trial)) for part in (before, after))
    gain = _loss(question, old) - _loss(question, new)
    errors = [trial.standard_errors.get(question.objective.metric) or 0.0 for trial in (old, new)]
    if not gain > Z * math.hypot(*errors):
        return None
    return Finding(
        code="search_not_converged",
        severity="info",
        title="The search was still improving when it ended",
        summary=f"The last {len(result.trials) - start} of {len(result.trials)} trials improved "
        f"{question.objective.metric} by {gain:.2g} (trial {new.number}), more than its noise.",
        subject="tuning",
        advice=("run more trials",),
    )


def _loss(question: Question, trial: TrialRecord) -> float:
    value = trial.metrics.get(question.objective.metric)
    return math.inf if value is None else value if question.objective.better == "lower" else -value
