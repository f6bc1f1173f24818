"""What the rules may know of an audit: facts alone, never the author's text."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pgx_compiler.analysis.strategy.price import Pricing
from pgx_compiler.analysis.strategy.rule import When
from pgx_compiler.methods.declaration import Shape, Stage


@dataclass(frozen=True)
class Named:
    """A step that the author wrote out."""

    stage: Stage
    id: str
    method: str
    params: Mapping[str, Any]
    line: int | None
    ground: str = ""
    """Name of the rows and features that it explains, where they are not those of the stage."""
    shape: Shape | None = None
    """Their sizes."""


@dataclass(frozen=True)
class Auto:
    """A stage whose choice is left to the strategy, and what the author says of it."""

    line: int | None = None
    """Of its `use: auto`; None where the whole audit is left to the strategy."""
    without: frozenset[str] = frozenset()
    only: frozenset[str] | None = None
    params: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Method to the parameters that the author has set for it, should it be taken."""


@dataclass(frozen=True)
class Situation:
    """One audit as the rules see it."""

    modality: str
    risk: str | None
    audience: tuple[str, ...]
    questions: tuple[str, ...]
    """Those asked; empty: whatever can be answered."""
    sensitive: bool
    """A feature is declared sensitive."""
    expectations: bool
    """People who know the domain have said what they expect; only explanations can be held against that."""
    rows: int
    """Of the smaller split."""
    gradients: bool
    """Some file of the model offers them."""
    impossible: Mapping[str, str]
    """Method to the reason why this model and data cannot do it; the others can."""
    algorithms: Mapping[str, str]
    """Requested quantity to the method that will compute it here."""
    auto: Mapping[Stage, Auto]
    named: tuple[Named, ...]
    pricing: Pricing
    budget: int | None

    @property
    def stakes(self) -> tuple[str, ...]:
        """The audience, and the risk as ``high risk``."""
        return (*self.audience, *([f"{self.risk} risk"] if self.risk else []))


def unmet(when: When, situation: Situation) -> str | None:
    """Why a rule does not hold, or None where it does."""
    if when.sensitive and not situation.sensitive:
        return "no feature is declared sensitive; declare one: `data.features: {NAME: {role: sensitive}}`"
    if when.rows_below and situation.rows >= when.rows_below:
        return f"its rule is for fewer than {when.rows_below} rows, and the smaller split has {situation.rows}"
    if when.black_box_only and situation.gradients:
        return "the model has gradients, which give a second opinion from the other direction"
    if when.modalities and situation.modality not in when.modalities:
        return f"its rule is for {_either(when.modalities)} data"
    if when.stakes and not set(when.stakes) & set(situation.stakes):
        stated = f"the strategy says {_either(situation.stakes, 'and')}" if situation.stakes else "it names neither"
        return f"its rule is for {_either(when.stakes)}, and {stated}"
    return None


def _either(words: tuple[str, ...], joint: str = "or") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {joint} {words[-1]}"
