"""Rules over a table's features: the predicates that hold for a row, how common they are, and rows drawn under a rule."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.table import TableFeature, TableRow
from runtimes.capabilities import Floats, Integers

Rule = frozenset[int]
"""Positions of predicates."""


@dataclass(frozen=True)
class Predicate:
    """One condition on one feature, which the row meets."""

    feature: int
    relation: str
    """``≤``, ``>``, ``=`` or ``is missing``."""
    value: float

    def holds(self, column: Floats) -> NDArray[np.bool_]:
        """For which values it holds."""
        if self.relation == "≤":
            return np.asarray(column <= self.value)
        if self.relation == ">":
            return np.asarray(column > self.value)
        return np.asarray(np.isnan(column) if self.relation == "is missing" else column == self.value)

    def say(self, feature: TableFeature) -> str:
        """In words: ``duration_months ≤ 24 months``."""
        if self.relation == "is missing":
            return f"{feature.name} is missing"
        return f"{feature.name} {self.relation} {feature.say(self.value)}"


def predicates_of(row: TableRow, bins: int) -> tuple[Predicate, ...]:
    """The conditions that a row meets and not every training row: a side of each quantile, or the category."""
    found: list[Predicate] = []
    for position, (feature, value) in enumerate(zip(row.table.features, row.z, strict=True)):
        column = row.table.train.z[:, position]
        known = column[np.isfinite(column)]
        if np.isnan(value):
            made = [Predicate(position, "is missing", float("nan"))]
        elif feature.is_scale and len(known):
            cuts = np.unique(np.quantile(known, np.arange(1, bins) / bins, method="lower"))
            made = [Predicate(position, "≤" if value <= cut else ">", float(cut)) for cut in cuts]
        else:
            made = [Predicate(position, "=", float(value))]
        found += [predicate for predicate in made if not predicate.holds(column).all()]
    return tuple(found)


class Rules:
    """The rules that hold for one row."""

    def __init__(self, row: TableRow, bins: int) -> None:
        self.row = row
        self.predicates = predicates_of(row, bins)
        self._train = row.table.train.z

    @cached_property
    def _holding(self) -> NDArray[np.bool_]:
        """``(predicates, training rows)``."""
        columns = [p.holds(self._train[:, p.feature]) for p in self.predicates]
        return np.array(columns, bool).reshape(len(columns), len(self._train))

    def covered(self, rule: Rule) -> NDArray[np.bool_]:
        """The training rows that meet all of a rule's conditions."""
        return np.asarray(self._holding[sorted(rule)].all(axis=0))

    def coverage(self, rule: Rule) -> float:
        """Their share."""
        return float(self.covered(rule).mean())

    def extended(self, rules: list[Rule], above: float) -> list[Rule]:
        """Every rule with one condition more that excludes further rows, and covers more than a share of them."""
        made: dict[Rule, None] = {}
        for rule in rules:
            before = self.coverage(rule)
            for predicate in range(len(self.predicates)):
                longer = rule | {predicate}
                if longer not in made and above < self.coverage(longer) < before:
                    made[longer] = None
        return sorted(made, key=sorted)

    def draw(self, rule: Rule, count: int, rng: np.random.Generator) -> Floats:
        """Training rows; where one breaks a condition, that feature takes a value of another that meets them all."""
        z = self._train[rng.integers(0, len(self._train), count)].copy()
        for feature in sorted({self.predicates[p].feature for p in rule}):
            conditions = [p for p in sorted(rule) if self.predicates[p].feature == feature]
            fit = self._holding[conditions].all(axis=0)
            allowed = self._train[fit, feature] if fit.any() else self.row.z[feature : feature + 1]
            breaks = ~np.all([self.predicates[p].holds(z[:, feature]) for p in conditions], axis=0)
            z[breaks, feature] = allowed[rng.integers(0, len(allowed), int(breaks.sum()))]
        return z

    def words(self, rule: Rule) -> str:
        """The conditions with their values."""
        ordered: list[int] = sorted(rule)
        said = [self.predicates[p].say(self.row.table.features[self.predicates[p].feature]) for p in ordered]
        return " and ".join(said) or "always"

    def features(self, rule: Rule) -> tuple[str, ...]:
        """The features that a rule speaks of."""
        positions: Integers = np.unique([self.predicates[p].feature for p in rule]).astype(np.int64)
        return tuple(self.row.table.names[position] for position in positions)
