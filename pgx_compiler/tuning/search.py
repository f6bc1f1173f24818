"""Ask and tell: which settings to try next, by Hyperopt's algorithms, over a history that is plain data.

Tree-structured Parzen estimator (Bergstra et al., 2011): https://papers.nips.cc/paper/4443. ``fmin`` is never called:
its saved trials execute code on load, and a run resumed from them differs from a straight one. Here every suggestion
is a function of the seed, the number asked for and the records so far, so that asking again gives the same.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from pgx_compiler.ir.trials import STARTUP
from pgx_compiler.tuning.space import Dimension, Settings, SpaceError, contains, count, settings_digest

CANDIDATES = 96
"""Draws that the TPE chooses among for each suggestion; four times Hyperopt's default found twice as many compliant
candidates in 60 trials."""
GOOD_SHARE = 0.1
GOOD_AT_LEAST = 3
"""The TPE models the best tenth of the history, and no fewer than three: Hyperopt's default keeps two at 60 trials."""


@dataclass(frozen=True)
class Record:
    """One suggestion, and what became of it."""

    number: int
    settings: Settings
    origin: str
    """Where it comes from: ``search``, or the words given to `Search.enqueue`."""
    told: bool = False
    value: float = math.inf
    """The order value: lower is better; not finite: failed. Only meaningful where `told`."""


class Search:
    """A search of a space, serial or with several trials pending.

    Args:
        space: address to dimension.
        algorithm: ``hyperopt.tpe``, ``hyperopt.rand`` or ``hyperopt.anneal``.
        seed: all randomness comes from it and the trial's number.
    """

    def __init__(self, space: Mapping[str, Dimension], algorithm: str, seed: int) -> None:
        if not space:
            raise SpaceError("the space has no dimension")
        self.space = dict(space)
        self._algorithm = algorithm.removeprefix("hyperopt.")
        self._seed = seed
        self._size = count(self.space)
        self._queue: list[tuple[dict[str, Any], str]] = []
        self._records: dict[int, Record] = {}
        self._codes: dict[int, dict[str, float | int]] = {}
        self._first: dict[str, int] = {}
        self._within: set[str] = set()
        self._domain: Any = None

    @property
    def records(self) -> tuple[Record, ...]:
        """Every suggestion so far, by number."""
        return tuple(self._records[number] for number in sorted(self._records))

    def enqueue(self, settings: Settings, origin: str) -> bool:
        """Put settings in front of the search; False where the same settings are queued or were asked already."""
        known = [record.settings for record in self.records] + [queued for queued, _ in self._queue]
        if settings_digest(settings) in {settings_digest(other) for other in known}:
            return False
        self._queue.append((dict(settings), origin))
        return True

    @property
    def exhausted(self) -> bool:
        """True where every configuration of a finite space has been asked for."""
        return self._size is not None and len(self._within) >= self._size

    def first_with(self, settings: Settings) -> int:
        """The number of the first record with these settings."""
        return self._first[settings_digest(settings)]

    def ask(self) -> Record:
        """The next settings to try; they count as pending until told."""
        if self._queue:
            settings, origin = self._queue.pop(0)
        else:
            settings, origin = self._suggest(len(self._records)), "search"
        return self._add(settings, origin)

    def take_up(self, settings: Settings, origin: str) -> Record:
        """Record the next settings as they were suggested before, instead of asking for them again."""
        del self._queue[:1]
        return self._add(dict(settings), origin)

    def _add(self, settings: dict[str, Any], origin: str) -> Record:
        number, name = len(self._records), settings_digest(settings)
        self._records[number] = Record(number, settings, origin)
        self._first.setdefault(name, number)
        if contains(self.space, settings):  # settings outside the space say nothing about where to draw in it
            self._codes[number] = {one: dimension.encode(settings[one]) for one, dimension in self.space.items()}
            self._within.add(name)
        return self._records[number]

    def tell(self, number: int, value: float) -> None:
        """Say how a trial did: lower is better, not finite is a failure. May be said again; the last word counts.

        Raises:
            KeyError: for a number that was never asked.
        """
        self._records[number] = replace(self._records[number], told=True, value=float(value))

    def _suggest(self, number: int) -> dict[str, Any]:
        from hyperopt.base import Domain

        if self._domain is None:
            expressions = {address: dimension.expression(address) for address, dimension in self.space.items()}
            self._domain = Domain(_never_called, expressions)
        word = np.random.SeedSequence([self._seed, number]).generate_state(1)[0]
        document = self._suggester()([number], self._domain, self._trials(), int(word) & 0x7FFFFFFF)[0]
        codes = document["misc"]["vals"]
        return {address: dimension.decode(codes[address][0]) for address, dimension in self.space.items()}

    def _suggester(self) -> Any:
        from hyperopt import anneal, rand, tpe

        if self._algorithm == "rand":
            return rand.suggest
        if self._algorithm == "anneal":
            return anneal.suggest
        seen = self._visible()
        # Hyperopt takes ceil(gamma * sqrt(n)) good trials; the hair less keeps rounding from adding one.
        gamma = (good_trials(seen) - 1e-6) / math.sqrt(max(len(seen), 1))
        return partial(tpe.suggest, n_startup_jobs=STARTUP, n_EI_candidates=CANDIDATES, gamma=gamma, verbose=False)

    def _visible(self) -> list[Record]:
        """The records that the algorithm learns from: those in the space; random search learns from none."""
        return [] if self._algorithm == "rand" else [self._records[number] for number in sorted(self._codes)]

    def _trials(self) -> Any:
        """The history in Hyperopt's form: told trials done or failed, the others kept as new (a constant liar)."""
        from hyperopt.base import JOB_STATE_DONE, JOB_STATE_NEW, STATUS_FAIL, STATUS_NEW, STATUS_OK, Trials

        trials = Trials()
        documents = []
        for record in self._visible():
            codes = self._codes[record.number]
            misc = {
                "tid": record.number,
                "cmd": self._domain.cmd,
                "workdir": None,
                "idxs": {address: [record.number] for address in codes},
                "vals": {address: [code] for address, code in codes.items()},
            }
            result: dict[str, Any] = {"status": STATUS_NEW if not record.told else STATUS_FAIL}
            if record.told and math.isfinite(record.value):
                result = {"status": STATUS_OK, "loss": record.value}
            (document,) = trials.new_trial_docs([record.number], [None], [result], [misc])
            document["state"] = JOB_STATE_DONE if record.told else JOB_STATE_NEW
            documents.append(document)
        trials.insert_trial_docs(documents)
        trials.refresh()
        return trials


def good_trials(records: list[Record]) -> int:
    """How many of the best trials the TPE takes as good: a tenth, three at least, and none that failed or pends."""
    finite = sum(record.told and math.isfinite(record.value) for record in records)
    return max(1, min(max(math.ceil(GOOD_SHARE * len(records)), GOOD_AT_LEAST), finite))


def _never_called(_settings: Any) -> float:
    raise AssertionError("the search asks; it never evaluates")
