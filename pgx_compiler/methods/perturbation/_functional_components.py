"""The functional decomposition of a score by partial dependences, apart from how it is reported.

With g_S the partial dependence of the features S, centred over the rows, the component of S is the alternating sum of g_T over
all T within S (Friedman & Popescu, 2008; Hiabu, Meyer & Wright, 2023): what S does together beyond what any part of it does.
All components together give back the score of every row, whatever hangs together with what.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pgx_compiler.methods.perturbation._effects_resampling import interval
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats, Integers

Members = tuple[int, ...]

NOISE = 1e-12
"""A variance below this share of the score's, or of the mean square of the scores, is rounding in float32."""


@dataclass(frozen=True)
class Dependence:
    """The partial dependence of some features at the values that the rows have, centred over the rows."""

    values: Floats
    """``(distinct, features in question)``."""
    place: Integers
    """``(rows,)``: which of them each row has."""
    heights: Floats
    """``(weights, distinct, outputs)``: for each vector of row weights."""
    centre: Floats
    """``(outputs,)``: what was taken off, for the rows as they are."""

    @property
    def at_rows(self) -> Floats:
        """``(weights, rows, outputs)``."""
        return self.heights[:, self.place]


def asked_with(table: Table, held: Floats, members: Sequence[int], values: Floats) -> Floats:
    """The reported scores of every row with some features at each of the values, ``(values, rows, outputs)``."""
    n = len(held)
    moved = np.tile(held, (len(values), 1))
    moved[:, list(members)] = np.repeat(values, n, axis=0)
    return np.asarray(table.score(moved)[:, table.focus].reshape(len(values), n, -1), np.float64)


class Components:
    """The components of a score over some rows, for the rows as they are and for each resample of them.

    Args:
        table: asked for scores.
        held: ``(rows, features)``.
        weights: ``(weights, rows)``: vectors that sum to 1, the first of them even.
    """

    def __init__(self, table: Table, held: Floats, weights: Floats) -> None:
        self._table, self._held, self.weights = table, held, weights
        self.dependences: dict[Members, Dependence] = {}
        self._found: dict[Members, Floats] = {}
        self._others: list[Floats] = []
        scores = np.zeros((len(held), len(table.focus)))
        for feature in range(len(table)):
            asked = self._ask((feature,))
            single = self.dependences[feature,]
            scores = asked[single.place, np.arange(len(held))]
            mass = self._mass(single.place, len(single.values))
            self._others.append(self._centred(np.einsum("bm,mio->bio", mass, asked, optimize=True)))
        self.score = self._centred(np.repeat(scores[None], len(weights), 0))
        self.total = self._variance(self.score)
        if self.total[0] <= NOISE * (scores**2).sum(axis=1).mean():
            self.total = np.zeros_like(self.total)

    def component(self, members: Members) -> Floats:
        """What some features do together beyond any part of them, ``(weights, rows, outputs)``."""
        if members not in self._found:
            if members not in self.dependences:
                self._ask(members)
            parts = [part for size in range(1, len(members)) for part in combinations(members, size)]
            self._found[members] = self.dependences[members].at_rows - sum(map(self.component, parts))
        return self._found[members]

    def everything_of(self, feature: int) -> Floats:
        """The sum of all components that a feature takes part in: the score less what the others do without it."""
        return self.score - self._others[feature]

    def interacting(self) -> list[int]:
        """The features, those first that do most together with others."""
        left = [
            float(self._variance(self.everything_of(j) - self.component((j,)))[0]) for j in range(len(self._others))
        ]
        return sorted(range(len(left)), key=lambda j: -left[j])

    def size(self, component: Floats) -> float:
        """The standard deviation of a component over the rows, in the score's unit; 0 where it is rounding."""
        own = float(self._variance(component)[0])
        return float(np.sqrt(own)) if own > NOISE * self.total[0] else 0.0

    def share(self, component: Floats) -> tuple[float, tuple[float, float]] | None:
        """The variance of a component over the score's, with its interval; None where the score does not vary.

        Of independent features these are Sobol's indices.
        """
        if self.total[0] <= 0:
            return None
        if self.size(component) == 0:
            return 0.0, (0.0, 0.0)
        told = np.where(self.total > 0, self._variance(component) / np.where(self.total > 0, self.total, 1.0), 0.0)
        return float(told[0]), interval(told[1:])

    def credit(self, component: Floats) -> float | None:
        """The covariance of a component with the score over the score's variance (Li et al., 2010).

        All components' add up to 1, also where features hang together; of independent features it is `share`.
        """
        if self.total[0] <= 0 or self.size(component) == 0:
            return 0.0 if self.total[0] > 0 else None
        with_score = (self.weights[0, :, None] * component[0] * self.score[0]).sum()
        return float(with_score / self.total[0])

    def on_grid(self, one: int, other: int, points: tuple[Floats, Floats]) -> Floats:
        """The component of a pair at each point of a grid of values that rows have, ``(points, points, outputs)``."""
        grid = np.stack(np.meshgrid(*points, indexing="ij"), axis=-1).reshape(-1, 2)
        both = (
            asked_with(self._table, self._held, (one, other), grid).mean(axis=1) - self.dependences[one, other].centre
        )
        alone = [self._alone(feature, own) for feature, own in zip((one, other), points, strict=True)]
        shape = (len(points[0]), len(points[1]), -1)
        return np.asarray(both.reshape(shape) - alone[0][:, None] - alone[1][None], np.float64)

    def _alone(self, feature: int, points: Floats) -> Floats:
        single = self.dependences[feature,]
        found = [int(np.flatnonzero(single.values[:, 0] == point)[0]) for point in points]
        return single.heights[0, found]

    def _ask(self, members: Members) -> Floats:
        """Find the partial dependence at the rows' own values; what was asked, ``(distinct, rows, outputs)``."""
        own = self._held[:, members]
        # np.unique holds two missing values for different ones
        _, first, place = np.unique(np.nan_to_num(own, nan=np.inf), axis=0, return_index=True, return_inverse=True)
        place = place.reshape(-1)
        asked = asked_with(self._table, self._held, members, own[first])
        heights = np.einsum("bi,mio->bmo", self.weights, asked, optimize=True)
        centre = np.einsum("bm,bmo->bo", self._mass(place, len(first)), heights)
        self.dependences[members] = Dependence(own[first], place, heights - centre[:, None], centre[0])
        return asked

    def _mass(self, place: Integers, distinct: int) -> Floats:
        """How much each distinct value weighs, ``(weights, distinct)``."""
        member = np.zeros((len(place), distinct))
        member[np.arange(len(place)), place] = 1.0
        return np.asarray(self.weights @ member, np.float64)

    def _centred(self, values: Floats) -> Floats:
        return np.asarray(values - np.einsum("bk,bko->bo", self.weights, values)[:, None], np.float64)

    def _variance(self, values: Floats) -> Floats:
        """Of centred values, summed over the outputs, ``(weights,)``."""
        return np.asarray(np.einsum("bk,bko->b", self.weights, values**2), np.float64)


def sum_of(parts: Mapping[Members, Floats], like: Floats) -> Floats:
    """The sum of components, zeros where there are none."""
    return np.asarray(sum(parts.values(), np.zeros_like(like)), np.float64)
