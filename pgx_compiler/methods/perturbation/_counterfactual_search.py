"""Where a row may be moved to, and asking the model about such moves within a budget."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.methods.perturbation._counterfactual_goal import Goal
from pgx_compiler.modalities._table_metric import Metric, Scaling
from pgx_compiler.modalities.table import TableFeature, TableRow
from runtimes.capabilities import Floats, Integers

NEVER = np.inf
"""The gap of a row that the budget did not allow to ask."""


@dataclass(frozen=True)
class Space:
    """The rows that one row may become."""

    origin: Floats
    """``(features,)``."""
    features: tuple[TableFeature, ...]
    values: tuple[Floats, ...]
    """Of each feature, the values of training rows that it may take, sorted; empty where it may not change."""
    metric: Metric
    grain: Floats
    """``(features,)``: values are rounded to multiples of it; 0: not rounded."""

    @property
    def changeable(self) -> Integers:
        """The features that may change."""
        return np.flatnonzero([len(values) > 0 for values in self.values])

    def without(self, features: Sequence[int]) -> "Space":
        """The same with some features held."""
        held = set(features)
        return replace(self, values=tuple(v[:0] if j in held else v for j, v in enumerate(self.values)))

    def settle(self, z: Floats) -> Floats:
        """Rows ``(n, features)`` with every value made one that may be.

        What may not change is as in the origin, numbers are in their range and whole where they must be, categories occur
        in the training data, and nothing becomes missing.
        """
        settled = np.repeat(self.origin[None], len(z), axis=0)
        for j in self.changeable:
            settled[:, j] = self.legal(j, z[:, j])
        return settled

    def legal(self, j: int, column: Floats) -> Floats:
        """Values of one feature, each made one that may be; the origin's own is one."""
        own, feature, known = self.origin[j], self.features[j], self.values[j]
        if feature.kind == "numeric":
            made = np.clip(column, feature.low, feature.high)
            if self.grain[j]:
                made = np.clip(np.round(made / self.grain[j]) * self.grain[j], feature.low, feature.high)
            if feature.whole:  # the range may end between two whole numbers
                made = np.clip(np.round(made), np.ceil(feature.low), np.floor(feature.high))
        elif feature.kind == "ordered":
            at = np.clip(np.searchsorted(known, column), 1, max(1, len(known) - 1))
            below, above = known[at - 1], known[np.minimum(at, len(known) - 1)]
            made = np.where(np.abs(column - below) <= np.abs(above - column), below, above)
        else:
            made = np.where(np.isin(column, known), column, own)
        return np.where(np.isnan(column) | (column == own), own, made)

    def changed(self, z: Floats) -> NDArray[np.bool_]:
        """Which features differ from the origin, in the shape of ``z``."""
        return np.asarray((z != self.origin) & ~(np.isnan(z) & np.isnan(self.origin)))

    def distance(self, z: Floats) -> Floats:
        """Sum of the differences from the origin, ``(n,)``."""
        return np.asarray(self.metric.differences(z, self.origin).sum(axis=-1))


def space_of(row: TableRow, only: Sequence[str] | None, scaling: Scaling, rounded: bool) -> Space:
    """The space of a row, from what the spec and the training data say of the features.

    Raises:
        UnfitParams: `only` names what is no feature, or leaves nothing that may change.
    """
    table = row.table
    unknown = sorted(set(only or ()) - set(table.names))
    if unknown:
        raise UnfitParams(f"`only` names `{unknown[0]}`, and the features are {', '.join(table.names)}")
    metric = table.metric(scaling)
    grain = np.zeros(len(table))
    values: list[Floats] = []
    for j, feature in enumerate(table.features):
        held, _ = table.held[j]
        if feature.is_scale:
            held = held[(held >= feature.low) & (held <= feature.high)]
        if feature.immutable or (only is not None and feature.name not in only) or (held == row.z[j]).all():
            held = held[:0]
        values.append(held)
        if rounded and feature.kind == "numeric" and metric.scales[j] > 0:
            # a tenth of the order of a usual difference: credits in hundreds, ages in years
            grain[j] = 10.0 ** (np.floor(np.log10(table.metric("mad").scales[j])) - 1)
            grain[j] = max(1.0, grain[j]) if feature.whole else grain[j]
    space = Space(row.z, table.features, tuple(values), metric, grain)
    if not len(space.changeable):
        raise UnfitParams("no feature may change: all are immutable, not in `only`, or have one value")
    return space


class Search:
    """Asks the model about rows, each once, until the budget is spent; remembers those that reach the goal."""

    def __init__(self, row: TableRow, goal: Goal, calls: int) -> None:
        self.row = row
        self.goal = goal
        self.calls = calls
        self.left = calls
        self.kept = 0
        """Of what is left, rows that are kept for later."""
        self._known: dict[bytes, float] = {}
        self.reached: list[Floats] = []
        """Rows ``(features,)`` that reach the goal, in the order in which they were found."""

    def gaps(self, z: Floats) -> Floats:
        """How far each row is from the goal, ``(n,)``; `NEVER` for those that the budget does not allow to ask."""
        keys = [one.tobytes() for one in z]
        new = [i for i, key in enumerate(keys) if key not in self._known]
        first = {keys[i]: i for i in reversed(new)}
        asked = sorted(first.values())[: max(0, self.left - self.kept)]
        if asked:
            self.left -= len(asked)
            found = self.goal.gap(self.row.table.score(z[asked]))
            for i, gap in zip(asked, np.nan_to_num(found, nan=NEVER).tolist(), strict=True):
                self._known[keys[i]] = gap
                if gap <= 0:
                    self.reached.append(z[i])
        return np.array([self._known.get(key, NEVER) for key in keys])

    def affords(self, z: Floats) -> bool:
        """Whether the budget allows to ask about all of these rows."""
        return len({one.tobytes() for one in z} - self._known.keys()) <= self.left - self.kept


ALONE = 8
"""Values that each feature is given alone at the start."""


def changed_alone(space: Space, most: int) -> Floats:
    """The origin with one feature at a time at each of a few values that it has in the training data."""
    found = []
    for j in space.changeable:
        values = space.values[j]
        if len(values) > ALONE and space.features[j].is_scale:
            values = values[np.linspace(0, len(values) - 1, ALONE).astype(np.int64)]
        for value in values[: 4 * ALONE]:
            one = space.origin.copy()
            one[j] = value
            found.append(one)
    settled = space.settle(np.stack(found))
    settled = settled[space.changed(settled).any(axis=1)]
    # where there are too many, some of every feature
    return settled if len(settled) <= most else settled[np.linspace(0, len(settled) - 1, max(1, most)).astype(np.int64)]


def restore(search: Search, space: Space, z: Floats) -> tuple[Floats, bool]:
    """Give changed features of a row that reaches the goal their own values back, as many as possible.

    Returns:
        The row, and whether it is known that none of those still changed could be given back alone.
    """
    while True:
        changed = np.flatnonzero(space.changed(z))
        if len(changed) < 2:
            return z, True  # the origin itself does not reach the goal
        trial = np.repeat(z[None], len(changed), axis=0)
        trial[np.arange(len(changed)), changed] = space.origin[changed]
        if not search.affords(trial):
            return z, False
        gaps = search.gaps(trial)
        able = changed[gaps <= 0]
        if not len(able):
            return z, True
        # several at once where that still holds, those that cost least of the goal first
        able = able[np.argsort(gaps[gaps <= 0], kind="stable")]
        several = np.repeat(z[None], len(able), axis=0)
        for count, row in enumerate(several, 1):
            row[able[:count]] = space.origin[able[:count]]
        holds = np.flatnonzero(search.gaps(several) <= 0)
        z = several[holds[-1]]


PARTS = 8
"""Into how many parts a way back is cut at a time."""


def shrink(search: Search, space: Space, z: Floats, times: int) -> Floats:
    """Move each changed scale back towards its own value as far as the goal stays reached, the largest change first.

    ``times``: how often the way is cut into `PARTS`: 8 ** -times of it is how exactly the end is known.
    """
    differences = space.metric.differences(z, space.origin)
    scales = [j for j in np.argsort(-differences, kind="stable") if space.features[j].is_scale and differences[j] > 0]
    for j in scales:
        own = space.origin[j]
        if np.isnan(own):
            continue
        low, high = own, z[j]  # the goal is reached at `high`, and not known to be at `low`
        for _ in range(times):
            ways = space.legal(j, low + (high - low) * np.arange(1, PARTS) / PARTS)
            ways = np.unique(ways[(np.abs(ways - own) < np.abs(high - own)) & (np.abs(ways - own) > np.abs(low - own))])
            if not len(ways):
                break
            ways = ways[np.argsort(np.abs(ways - own), kind="stable")]
            trial = np.repeat(z[None], len(ways), axis=0)
            trial[:, j] = ways
            holds = np.flatnonzero(search.gaps(trial) <= 0)
            if len(holds):
                high = ways[holds[0]]
                low = ways[holds[0] - 1] if holds[0] else low
            else:
                low = ways[-1]
        z = z.copy()
        z[j] = high
    return z
