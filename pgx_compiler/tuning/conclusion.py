"""The end of a search: every trial judged, one chosen, and what moved what."""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from pgx_compiler.ir.trials import BASELINE
from pgx_compiler.tuning.importance import importance
from pgx_compiler.tuning.judge import choose, judge, measured, pareto_front
from pgx_compiler.tuning.narrowing import Narrowed
from pgx_compiler.tuning.question import Question
from pgx_compiler.tuning.result import Trial, TrialRecord, TrialResult, TuningResult
from pgx_compiler.tuning.space import contains


def conclude(question: Question, narrowed: Narrowed, trials: Sequence[Trial]) -> TuningResult:
    """Judge every trial, and choose.

    Args:
        question: what was searched for.
        narrowed: the space and the protocol after the findings.
        trials: all trials, by number from 0; those that were not needed are left out of the result.
    """
    tried = [trial for trial in trials if not trial.skipped]
    results = {trial.number: trial.result for trial in tried if trial.result is not None}
    judged = []
    for trial in tried:
        result = results[trial.number if trial.duplicate_of is None else trial.duplicate_of]
        judgement = judge(question, result, results[BASELINE])
        judged.append(
            TrialRecord(
                number=trial.number,
                settings=trial.settings,
                origin=trial.origin,
                duplicate_of=trial.duplicate_of,
                metrics=result.metrics,
                standard_errors=result.standard_errors,
                feasible=judgement.feasible,
                verdict=judgement.verdict,
                reasons=judgement.reasons,
                parameters=result.parameters,
                history=result.history,
                seconds=result.seconds,
            )
        )
    choice = choose(question, results, BASELINE)
    shares, reasons = _importances(question, narrowed, tried, results)
    return TuningResult(
        search=question.algorithm,
        objective=question.objective.words(),
        space_declared={address: dimension.written() for address, dimension in question.space.items()},
        space_used={address: dimension.written() for address, dimension in narrowed.space.items()},
        narrowing=tuple(row.to_dict() for row in narrowed.ledger),
        kept=narrowed.kept,
        require={metric: {"min": bound.min, "max": bound.max} for metric, bound in question.require.items()},
        trials=tuple(judged),
        baseline=BASELINE,
        best=choice.best,
        pareto=pareto_front(question, results),
        importance=shares,
        importance_reasons=reasons,
        decision=choice.decision,
        limits=_limits(len(results), len(tried), len(trials)),
    )


def _importances(
    question: Question, narrowed: Narrowed, tried: Sequence[Trial], results: Mapping[int, TrialResult]
) -> tuple[dict[str, dict[str, float | None]], dict[str, str]]:
    """Importances for every metric that was measured, of the different trials that lie in the space."""
    settings = {trial.number: trial.settings for trial in tried}
    inside = [number for number in results if contains(narrowed.space, settings[number])]
    names = dict.fromkeys([question.objective.metric, *question.require])
    names |= dict.fromkeys(name for number in results for name in results[number].metrics)
    shares: dict[str, dict[str, float | None]] = {}
    reasons: dict[str, str] = {}
    for name in names:
        values = {number: value for number in inside if (value := measured(results[number], name)) is not None}
        rng = np.random.default_rng([question.seed, zlib.crc32(name.encode())])
        shares[name], reason = importance(
            narrowed.space, [settings[number] for number in values], list(values.values()), rng
        )
        if reason is not None:
            reasons[name] = reason
    return shares, reasons


def _limits(different: int, trials: int, planned: int) -> str:
    short = f" The space holds no more than these, so {planned} trials were not needed."
    repeats = f" {trials - different} of {trials} trials repeat earlier settings and were not trained again."
    return (
        "Each candidate was trained once, with one seed, and judged on the validation rows that also guided the "
        "search: its gain is therefore optimistic and should be confirmed on unseen rows and with other seeds. "
        "Standard errors are those of the sample of rows; how much training itself varies is not measured."
        + (repeats if trials > different else "")
        + (short if trials < planned else "")
    )
