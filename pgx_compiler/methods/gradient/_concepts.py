"""Concepts as training rows that show them, and the direction of each in a layer's activations."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import model_validator

from pgx_compiler.methods.declaration import Params, UnfitParams
from pgx_compiler.methods.precaution._wording import listing
from pgx_compiler.modalities.data import AuditData, Variable
from runtimes.capabilities import Floats, Integers

UPPER = 0.75
"""Quantile of a variable from which a row shows it, where the author draws no line (own default)."""
RIDGE = 0.1
"""Penalty of the classifier whose normal is the direction, on activations of unit variance (own default)."""
HELD_OUT = 1 / 3
"""Share of a concept's rows that the classifier is judged on."""


class Concept(Params):
    """Which training rows show a concept: those of a class, those of a variable's values, or rows that are listed."""

    label: str | None = None
    """The class whose rows show it."""
    variable: str | None = None
    """The feature, column or description (of pictures and series: ``brightness``) whose values show it."""
    value: str | None = None
    """Of a categorical variable, the category."""
    at_least: float | None = None
    """Of a numeric variable, the least value. With neither bound: the upper quarter of the values."""
    at_most: float | None = None
    """Of a numeric variable, the largest value."""
    rows: tuple[str | int, ...] = ()
    """Ids of training rows, as the file names them; positions from 0 where it does not."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if sum((self.label is not None, self.variable is not None, bool(self.rows))) != 1:
            raise ValueError("say exactly one of `label`, `variable` and `rows`")
        bounded = self.value is not None or self.at_least is not None or self.at_most is not None
        if bounded and self.variable is None:
            raise ValueError("`value`, `at_least` and `at_most` are of a `variable`")
        if self.value is not None and (self.at_least is not None or self.at_most is not None):
            raise ValueError("say either a `value` or bounds")
        return self


def rows_that_show(concept: Concept, name: str, data: AuditData) -> Integers:
    """Positions of the training rows that show a concept.

    Raises:
        UnfitParams: the data has no such class, variable, category or row, or no labels.
    """
    if concept.label is not None:
        return _of_class(concept.label, name, data)
    if concept.rows:
        return _listed(concept.rows, name, data)
    variable = next((one for one in data.variables if one.name == concept.variable), None)
    if variable is None:
        known = listing([one.name for one in data.variables], 12)
        raise UnfitParams(f"concept `{name}`: the data has no variable `{concept.variable}`; there are {known}")
    return _of_variable(concept, name, variable)


def _of_class(label: str, name: str, data: AuditData) -> Integers:
    if label not in data.classes:
        raise UnfitParams(f"concept `{name}`: there is no class `{label}`; there are {listing(data.classes, 12)}")
    if data.train.labels is None:
        raise UnfitParams(f"concept `{name}`: the training data has no labels")
    return np.flatnonzero(data.train.labels == data.classes.index(label))


def _listed(rows: Sequence[str | int], name: str, data: AuditData) -> Integers:
    position = {str(row): place for place, row in enumerate(data.train.row_ids)}
    missing = [str(row) for row in rows if str(row) not in position]
    if missing:
        raise UnfitParams(f"concept `{name}`: the training data has no rows {listing(missing)}")
    return np.unique(np.array([position[str(row)] for row in rows], np.int64))


def _of_variable(concept: Concept, name: str, variable: Variable) -> Integers:
    if variable.kind == "categorical":
        if concept.value not in variable.categories:
            known = listing(variable.categories, 12)
            raise UnfitParams(f"concept `{name}`: say a `value` of `{variable.name}`; there are {known}")
        return np.flatnonzero(variable.train == variable.categories.index(concept.value))
    if concept.value is not None:
        raise UnfitParams(f"concept `{name}`: `{variable.name}` is a number; say `at_least` or `at_most`")
    values = np.asarray(variable.train, np.float64)
    low, high = concept.at_least, concept.at_most
    if low is None and high is None:
        held = values[np.isfinite(values)]
        return np.flatnonzero(values > np.quantile(held, UPPER)) if len(held) else np.zeros(0, np.int64)
    inside = np.isfinite(values)
    inside &= values >= low if low is not None else True
    inside &= values <= high if high is not None else True
    return np.flatnonzero(inside)


def concepts_of(data: AuditData, least: int, most: int) -> dict[str, Concept]:
    """The concepts that are taken where none is named: each variable's upper quarter or categories, in the data's order.

    Args:
        data: of the audit.
        least: rows that must show a concept, and as many that must not.
        most: concepts, at most.
    """
    found: dict[str, Concept] = {}
    for name, concept in _candidates(data.variables):
        count = len(rows_that_show(concept, name, data))
        if len(found) < most and least <= count <= len(data.train) - least:
            found[name] = concept
    return found


def _candidates(variables: Iterable[Variable]) -> Iterable[tuple[str, Concept]]:
    for variable in variables:
        if variable.kind == "numeric":
            yield f"high {variable.name}", Concept(variable=variable.name)
        else:
            for category in variable.categories:
                yield f"{variable.name} {category}", Concept(variable=variable.name, value=category)


@dataclass(frozen=True)
class Directions:
    """Directions in a layer, one for each time that a classifier was fitted."""

    steps: Floats
    """``(runs, channels)``: one standard deviation of the activations along the direction."""
    accuracy: Floats
    """``(runs,)``: share of rows held out that the classifier puts on the right side."""


def directions(own: Integers, rest: Integers, cloud: "Cloud", runs: int, rng: np.random.Generator) -> Directions:
    """Tell a concept's rows from as many drawn of the rest, several times; the normal of the boundary points to the concept.

    Args:
        own: rows of the cloud that show the concept.
        rest: rows of the cloud that their counterparts are drawn from.
        cloud: the activations.
        runs: how often.
        rng: draws counterparts, and what is held out.
    """
    size = min(len(own), len(rest))
    held = max(1, round(HELD_OUT * size))
    steps, accuracy = [], []
    for _ in range(runs):
        first, second = rng.permutation(own)[:size], rng.choice(rest, size, replace=False)
        normal, middle = _normal(cloud.scaled[first[held:]], cloud.scaled[second[held:]])
        right = [(cloud.scaled[first[:held]] @ normal > middle), (cloud.scaled[second[:held]] @ normal < middle)]
        accuracy.append(float(np.mean(right)))
        steps.append(cloud.step(normal))
    return Directions(np.stack(steps), np.array(accuracy))


def _normal(first: Floats, second: Floats) -> tuple[Floats, float]:
    """The normal of the boundary of a ridge classifier of two sets of as many rows, and where on it the boundary stands."""
    x = np.concatenate([first, second])
    y = np.concatenate([np.ones(len(first)), -np.ones(len(second))])
    mean = x.mean(axis=0)
    x = x - mean
    rows, columns = x.shape
    penalty = RIDGE * rows
    if columns <= rows:
        normal = np.linalg.solve(x.T @ x + penalty * np.eye(columns), x.T @ y)
    else:
        normal = x.T @ np.linalg.solve(x @ x.T + penalty * np.eye(rows), y)
    return normal, float(mean @ normal)


class Cloud:
    """The activations of rows, ``(rows, channels)``, by the mean and spread of those of them that stand for the data."""

    def __init__(self, activations: Floats, standing: Integers) -> None:
        whole = activations[standing]
        spread = whole.std(axis=0)
        # A channel that is always the same says nothing, whatever it is in a row apart.
        self._spread = np.where(spread > 1e-9 * max(float(spread.max(initial=0.0)), 1e-300), spread, np.inf)
        self.scaled: Floats = (activations - whole.mean(axis=0)) / self._spread
        self._standing = self.scaled[standing]

    def step(self, normal: Floats) -> Floats:
        """From a normal of scaled activations to a step of one standard deviation of the activations along it."""
        direction = normal / self._spread
        squared = float(direction @ direction)
        along = float((self._standing @ normal).std())
        return direction * (along / squared) if squared > 0 else np.zeros_like(direction)


def without(rows: Integers, taken: Integers) -> Integers:
    """Rows that are not among others."""
    return np.setdiff1d(rows, taken)


def among(rows: Integers, most: int, rng: np.random.Generator) -> Integers:
    """Rows, or as many of them as are wanted at most."""
    return rows if len(rows) <= most else np.sort(rng.choice(rows, most, replace=False))
