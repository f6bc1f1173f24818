"""The search itself, one trial after another; stopped anywhere and started again, it goes on where it was.

Nothing is stored here. Each trial's result goes to the caller's evidence under a key that holds all that it depends
on; a search that starts again asks for the same trials in the same order and finds the finished ones there.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pgx_compiler.tuning.importance import importance
from pgx_compiler.tuning.judge import choose, judge, measured, order_values, pareto_front
from pgx_compiler.tuning.narrowing import Narrowed
from pgx_compiler.tuning.question import Question
from pgx_compiler.tuning.result import TrialRecord, TrialResult, TuningResult
from pgx_compiler.tuning.search import Search
from pgx_compiler.tuning.space import contains, count, settings_digest
from pgx_compiler.tuning.trial import recipe_of
from runtimes.capabilities import Recipe

Key = dict[str, Any]
Run = Callable[[Recipe], TrialResult]
Remember = Callable[[Key], TrialResult | None]
Keep = Callable[[Key, TrialResult], None]

TRIAL_VERSION = 1
"""Raised when the numbers of a trial change for the same settings: part of every key."""

AUDITED = "audited settings"
BASELINE = 0


class BaselineError(Exception):
    """The audited settings cannot be trained and measured, so that there is nothing to compare a candidate with."""


def tune(
    question: Question,
    narrowed: Narrowed,
    run: Run,
    remember: Remember,
    keep: Keep,
    progress: Callable[[int, int], None] | None = None,
) -> TuningResult:
    """Search, judge and choose.

    Args:
        question: what is searched for.
        narrowed: the space and the protocol after the findings; see `pgx_compiler.tuning.narrowing.narrow`.
        run: trains and measures one candidate; an exception of its own makes the trial a failed one.
        remember: the kept result of a key, or None.
        keep: stores a result under its key.
        progress: ``(trials done, trials)``.

    Raises:
        BaselineError: where trial 0, the audited settings, fails.
    """
    declared = question.declared_settings()
    search = Search(narrowed.space, question.algorithm, question.seed, question.trials)
    search.enqueue({address: declared[address] for address in narrowed.space}, AUDITED)
    for settings, origin in narrowed.first:
        search.enqueue({address: settings.get(address, declared[address]) for address in narrowed.space}, origin)
    results: dict[int, TrialResult] = {}
    first_with: dict[str, int] = {}
    original: dict[int, int] = {}
    while len(original) < question.trials and not _exhausted(search, narrowed):
        record = search.ask()
        number = original[record.number] = first_with.setdefault(settings_digest(record.settings), record.number)
        if number == record.number:
            recipe = recipe_of(record.settings, question.epochs, question.batch_size)
            results[number] = _result(trial_key(question, narrowed, recipe), recipe, run, remember, keep, number)
        order = order_values(question, results)
        for later, earlier in original.items():
            search.tell(later, order[earlier])
        if progress is not None:
            progress(len(original), question.trials)
    return _conclude(question, narrowed, search, results, original)


def trial_key(question: Question, narrowed: Narrowed, recipe: Recipe) -> Key:
    """All that a trial's result depends on, as plain JSON values; the caller's digests are in `Question.identity`."""
    return {
        "operation": "tuning.trial",
        "version": TRIAL_VERSION,
        "settings": {address: recipe.settings[address] for address in sorted(recipe.settings)},
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "seed": question.seed,
        "stratify": narrowed.stratify,
        "group_duplicates": narrowed.group_duplicates,
        "identity": dict(question.identity),
    }


def _result(key: Key, recipe: Recipe, run: Run, remember: Remember, keep: Keep, number: int) -> TrialResult:
    known = remember(key)
    if known is not None:
        return known
    try:
        result = run(recipe)
    except Exception as error:
        if number == BASELINE:
            raise BaselineError(f"the audited settings could not be tried: {type(error).__name__}: {error}") from error
        # A candidate that cannot be built or trained is a result: the search must learn to stay away from it.
        result = TrialResult(failure=f"{type(error).__name__}: {error}")
    if number == BASELINE and result.failure is not None:
        raise BaselineError(f"the audited settings could not be tried: {result.failure}")
    keep(key, result)
    return result


def _exhausted(search: Search, narrowed: Narrowed) -> bool:
    """True where every configuration of a finite space has been tried."""
    size = count(narrowed.space)
    if size is None or len(search.records) < size:
        return False
    tried = {settings_digest(one.settings) for one in search.records if contains(narrowed.space, one.settings)}
    return len(tried) >= size


def _conclude(
    question: Question,
    narrowed: Narrowed,
    search: Search,
    results: Mapping[int, TrialResult],
    original: Mapping[int, int],
) -> TuningResult:
    trials = []
    for record in search.records:
        number = original[record.number]
        result = results[number]
        judgement = judge(question, result, results[BASELINE])
        trials.append(
            TrialRecord(
                number=record.number,
                settings=record.settings,
                origin=record.origin,
                duplicate_of=None if number == record.number else number,
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
    shares, reasons = _importances(question, narrowed, search, results)
    return TuningResult(
        search=question.algorithm,
        objective=question.objective.words(),
        space_declared={address: dimension.written() for address, dimension in question.space.items()},
        space_used={address: dimension.written() for address, dimension in narrowed.space.items()},
        narrowing=tuple(row.to_dict() for row in narrowed.ledger),
        kept=narrowed.kept,
        require={metric: {"min": bound.min, "max": bound.max} for metric, bound in question.require.items()},
        trials=tuple(trials),
        baseline=BASELINE,
        best=choice.best,
        pareto=pareto_front(question, results),
        importance=shares,
        importance_reasons=reasons,
        decision=choice.decision,
        limits=_limits(question, len(results), len(trials)),
    )


def _importances(
    question: Question, narrowed: Narrowed, search: Search, results: Mapping[int, TrialResult]
) -> tuple[dict[str, dict[str, float | None]], dict[str, str]]:
    """Importances for every metric that was measured, of the different trials that lie in the space."""
    settings = {record.number: record.settings for record in search.records}
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


def _limits(question: Question, different: int, trials: int) -> str:
    short = f" The space holds no more than these, so {question.trials} trials were not needed."
    repeats = f" {trials - different} of {trials} trials repeat earlier settings and were not trained again."
    return (
        "Each candidate was trained once, with one seed, and judged on the validation rows that also guided the "
        "search: its gain is therefore optimistic and should be confirmed on unseen rows and with other seeds. "
        "Standard errors are those of the sample of rows; how much training itself varies is not measured."
        + (repeats if trials > different else "")
        + (short if trials < question.trials else "")
    )
