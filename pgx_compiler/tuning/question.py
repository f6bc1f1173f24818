"""What a search is asked, as plain values: the caller turns the audit's spec into it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pgx_compiler.tuning.space import Dimension, Settings

Better = Literal["higher", "lower"]

ALGORITHMS = ("hyperopt.tpe", "hyperopt.rand", "hyperopt.anneal")

LOSS = "validation.loss"
ACCURACY = "validation.accuracy"


@dataclass(frozen=True)
class Bound:
    """What a metric of a candidate must keep to."""

    min: float | None = None
    max: float | None = None
    tolerance: float = 0.0
    """How far beyond the bound is still within it, in the metric's unit."""

    def excess(self, value: float) -> float:
        """How far `value` lies beyond the bound and its tolerance; 0 where it is kept."""
        below = 0.0 if self.min is None else self.min - self.tolerance - value
        above = 0.0 if self.max is None else value - self.max - self.tolerance
        return max(0.0, below, above)

    def scale(self) -> float:
        """Size of the bound, by which an excess is divided so that several constraints can be added."""
        sizes = [abs(bound) for bound in (self.min, self.max) if bound]
        return max(sizes, default=1.0)

    def words(self) -> str:
        """The bound as a reader sees it: ``>= 0.4``."""
        parts = [f">= {self.min:g}"] if self.min is not None else []
        parts += [f"<= {self.max:g}"] if self.max is not None else []
        return " and ".join(parts) or "any value"


@dataclass(frozen=True)
class Objective:
    """The one metric that the search improves."""

    metric: str = LOSS
    better: Better = "lower"

    def words(self) -> str:
        """``minimize validation.loss``."""
        return f"{'minimize' if self.better == 'lower' else 'maximize'} {self.metric}"


@dataclass(frozen=True)
class Cut:
    """A cut of the space that the spec orders for the case that a finding holds."""

    finding: str
    """Finding code."""
    space: Mapping[str, Dimension]
    reason: str


@dataclass(frozen=True)
class Question:
    """A whole search."""

    space: Mapping[str, Dimension]
    """Address to dimension, as the spec declares it."""
    baseline: Settings
    """Address to the value that the model file declares now, for everything that it declares."""
    seed: int
    algorithm: str = "hyperopt.tpe"
    """One of `ALGORITHMS`."""
    epochs: int = 5
    """Passes over the training rows, where ``fit.epochs`` is not searched; of the audited settings too."""
    batch_size: int = 32
    """Rows a step, where ``fit.batch_size`` is not searched; of the audited settings too."""
    objective: Objective = field(default_factory=Objective)
    require: Mapping[str, Bound] = field(default_factory=dict)
    """Metric to bound: constraints on candidates."""
    better: Mapping[str, Better] = field(default_factory=dict)
    """Direction of each metric that is not `LOSS` or `ACCURACY`; see `direction`."""
    tolerance: Mapping[str, float] = field(default_factory=dict)
    """Metric to the loss against the audited settings that is of no interest, in the metric's unit (default 0)."""
    cuts: tuple[Cut, ...] = ()

    def __post_init__(self) -> None:
        if self.algorithm not in ALGORITHMS:
            raise ValueError(f"unknown search algorithm `{self.algorithm}`; known: {', '.join(ALGORITHMS)}")

    def direction(self, metric: str) -> Better:
        """Whether more of a metric is better: as told, else by its name, else by the side on which it is bounded."""
        known: dict[str, Better] = {self.objective.metric: self.objective.better, LOSS: "lower", ACCURACY: "higher"}
        if metric in self.better or metric in known:
            return self.better.get(metric, known.get(metric, "higher"))
        bound = self.require.get(metric, Bound())
        return "lower" if bound.min is None and bound.max is not None else "higher"

    def declared_settings(self) -> dict[str, Any]:
        """The audited settings, with how candidates are trained: a model file does not know how it was fitted."""
        return {**self.baseline, "fit.epochs": self.epochs, "fit.batch_size": self.batch_size}
