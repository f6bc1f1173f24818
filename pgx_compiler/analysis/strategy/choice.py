"""What a choice is: a method taken or refused with its reason, and whether a question has an answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pgx_compiler.methods.declaration import Stage

PLACES: Mapping[str, str] = {"perturbation": "explain.perturbation", "gradient": "explain.gradient"}
"""Where a stage's steps stand in a spec, where that is not its own name."""


def place_of(stage: str) -> str:
    """Where the steps of a stage stand: ``explain.gradient``."""
    return PLACES.get(stage, stage)


@dataclass(frozen=True)
class Choice:
    """One method of the catalogue, taken or refused."""

    method: str
    stage: Stage
    taken: bool
    reason: str
    """In one sentence without a full stop."""
    rule: str = ""
    """Source of the rule that decided; empty where no rule did."""
    questions: tuple[str, ...] = ()
    """The questions of the strategy that it is taken for."""
    step: str = ""
    """Id of the step that runs it."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """What the strategy sets; the method's own defaults are left out."""
    by_author: bool = False
    """The spec names it; the strategy only kept it."""
    line: int | None = None
    """Of the step, or of the `use: auto` that it came from."""
    dear: bool = False
    """It is refused for the budget's sake alone."""

    @property
    def note(self) -> str:
        """Why, for the plan and the factsheet; empty where the author named it."""
        if self.by_author:
            return ""
        return f"chosen for {', '.join(self.questions)}: {self.reason}"

    @property
    def sentence(self) -> str:
        """The whole choice in one line."""
        verdict = "taken" if self.taken else "refused"
        given = f" ({', '.join(f'{name}: {value}' for name, value in self.params.items())})" if self.params else ""
        asked = f" [{', '.join(self.questions)}]" if self.questions else ""
        return f"{verdict}: {self.method}{given}, because {self.reason}{asked}"


def reasons(choices: Iterable[Choice]) -> str:
    """Each reason once, after the methods that it holds for."""
    held: dict[str, list[str]] = {}
    for choice in choices:
        held.setdefault(choice.reason, []).append(choice.method)
    return "; ".join(f"{', '.join(methods)}: {reason}" for reason, methods in held.items())


@dataclass(frozen=True)
class Answer:
    """One question of the strategy, and what answers it."""

    question: str
    methods: tuple[str, ...]
    """Methods in the audit that answer it; empty: nothing does."""
    reason: str
    """Where something answers: what remains open (may be empty). Else why nothing does."""
    mend: str = ""
    """What would change that."""

    @property
    def sentence(self) -> str:
        """The whole answer in one line."""
        if not self.methods:
            return f"{self.question}: nothing answers it here: {self.reason}"
        return f"{self.question}: {', '.join(self.methods)}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class Choices:
    """What the strategy made of an audit: every method of the catalogue once, in the order of the stages."""

    methods: tuple[Choice, ...] = ()
    answers: tuple[Answer, ...] = ()
    """Empty where no stage leaves the choice to the strategy."""
    estimate: int = 0
    """Model rows of the whole audit, as the choice reckoned them."""
    budget: int | None = None

    @property
    def chosen(self) -> tuple[Choice, ...]:
        """What the strategy took, without what the spec names itself."""
        return tuple(choice for choice in self.methods if choice.taken and not choice.by_author)
