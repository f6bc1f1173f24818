"""A whole search without a graph: each trial is given what the graph would give it, and nothing else."""

from collections.abc import Callable, Sequence

from pgx_compiler.ir.trials import hands_on, reads, seen
from pgx_compiler.tuning.conclusion import conclude
from pgx_compiler.tuning.narrowing import Narrowed
from pgx_compiler.tuning.question import Question
from pgx_compiler.tuning.result import Trial, TrialResult, TuningResult
from pgx_compiler.tuning.suggestion import suggest
from pgx_compiler.tuning.trial import recipe_of, tried
from runtimes.capabilities import Recipe

Run = Callable[[Recipe], TrialResult]
Pick = Callable[[Sequence[int]], int]


class Searching:
    """Runs the trials of a search one by one, in any order that their edges allow."""

    def __init__(self, question: Question, narrowed: Narrowed, trials: int, parallel: int = 1) -> None:
        self.question, self.narrowed, self.trials, self.parallel = question, narrowed, trials, parallel
        self.done: dict[int, tuple[Trial, tuple[Trial, ...]]] = {}
        """What each finished trial leaves: itself, and what it hands on."""
        self.order: list[int] = []

    def ready(self) -> list[int]:
        """The trials whose inputs are there."""
        return [n for n in range(self.trials) if n not in self.done and all(e in self.done for e in self._reads(n))]

    def _reads(self, number: int) -> list[int]:
        return list(reads(number, self.question.algorithm, self.parallel))

    def step(self, number: int, run: Run) -> None:
        """Run one trial."""
        visible: dict[int, Trial] = {}
        for earlier in self._reads(number):
            own, told = self.done[earlier]
            visible |= {trial.number: trial for trial in (own, *told)}
        assert sorted(visible) == list(seen(number, self.question.algorithm, self.parallel))
        suggested = suggest(self.question, self.narrowed, number, visible, self.parallel)
        recipe = recipe_of(suggested.settings, self.question.epochs, self.question.batch_size)
        trial = Trial.from_dict(tried(suggested, lambda: run(recipe)).to_dict())
        self.done[number] = (trial, tuple(visible.values()) if hands_on(number) else ())
        self.order.append(number)

    def all(self, run: Run, pick: Pick = min) -> TuningResult:
        """Run what is left, and conclude."""
        while ready := self.ready():
            self.step(pick(ready), run)
        return conclude(self.question, self.narrowed, [self.done[number][0] for number in range(self.trials)])


def search(question: Question, narrowed: Narrowed, run: Run, trials: int, parallel: int = 1) -> TuningResult:
    """The whole search, one trial after another."""
    return Searching(question, narrowed, trials, parallel).all(run)
