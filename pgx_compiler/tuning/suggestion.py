"""What a trial tries: a pure function of the search and of the earlier results that the trial may see.

Which those are is said by `pgx_compiler.ir.trials`. The settings of the trials that are still under way are needed as
well; they are functions of fewer results still, and are derived here again in their order.
"""

from collections.abc import Mapping

from pgx_compiler.ir.trials import seen as seen_by
from pgx_compiler.tuning.judge import order_values
from pgx_compiler.tuning.narrowing import Narrowed
from pgx_compiler.tuning.question import Question
from pgx_compiler.tuning.result import Trial
from pgx_compiler.tuning.search import Search

AUDITED = "audited settings"


def suggest(question: Question, narrowed: Narrowed, number: int, seen: Mapping[int, Trial], parallel: int = 1) -> Trial:
    """A trial before it is run: its settings, whether they repeat an earlier trial's, or that it is not needed.

    Args:
        question: what is searched for.
        narrowed: the space and the protocol after the findings; see `pgx_compiler.tuning.narrowing.narrow`.
        number: of the trial.
        seen: the trials that it may see, all of them.
        parallel: trials that may be under way at once.
    """
    if any(trial.skipped for trial in seen.values()):
        return Trial(number, skipped=True)
    search = _opened(question, narrowed)
    for earlier in range(number + 1):
        if earlier in seen:
            search.take_up(seen[earlier].settings, seen[earlier].origin)
            continue
        if search.exhausted:
            return Trial(number, skipped=True)
        visible = [seen[one] for one in seen_by(earlier, question.algorithm, parallel)]
        _tell(search, question, visible)
        search.ask()
    record = search.records[number]
    first = search.first_with(record.settings)
    return Trial(number, record.settings, record.origin, None if first == number else first)


def _opened(question: Question, narrowed: Narrowed) -> Search:
    """A search with what is to be tried first in front: the audited settings, and what findings ask for."""
    declared = question.declared_settings()
    search = Search(narrowed.space, question.algorithm, question.seed)
    search.enqueue({address: declared[address] for address in narrowed.space}, AUDITED)
    for settings, origin in narrowed.first:
        search.enqueue({address: settings.get(address, declared[address]) for address in narrowed.space}, origin)
    return search


def _tell(search: Search, question: Question, visible: list[Trial]) -> None:
    """Say how each visible trial did, by what is visible alone; a repeated one did as the first one with its settings."""
    order = order_values(question, {trial.number: trial.result for trial in visible if trial.result is not None})
    for trial in visible:
        search.tell(trial.number, order[trial.number if trial.duplicate_of is None else trial.duplicate_of])
