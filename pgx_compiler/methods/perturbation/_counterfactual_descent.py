"""Walking to the nearest point of a border that a model is only known by asking: by halves, by slope, by balls."""

import numpy as np

from pgx_compiler.methods.perturbation._counterfactual_search import Search, Space, changed_alone, shrink
from runtimes.capabilities import Floats

STARTS = 20
"""Training rows of the other side that are asked."""
ON_A_SPHERE = 60
"""Points asked in each shell or ball."""
SHELLS = 14
"""Spheres grow from a tenth of a typical change by the factor 1.6: to 70 of them."""
ALONE_SHARE = 0.2
"""Of the budget: rows that change one feature."""
SHORTENED = 8
"""Rows of the other side, each changing other features, whose changes are shortened at the start."""
ROUNDS = 12
SLOPE_STEP = 0.05
"""Of a typical change: how far a number is moved to see the slope."""
BEYOND = (1.0001, 1.001, 1.01, 1.05, 1.2)
"""How far beyond the border that the slope foretells a step may go."""


def length(space: Space, z: Floats) -> Floats:
    """Euclidean length of each row's change, ``(n,)``."""
    return np.asarray(np.sqrt((space.metric.differences(z, space.origin) ** 2).sum(axis=-1)))


def approach(search: Search, space: Space, others: Floats, rng: np.random.Generator) -> Floats | None:
    """The nearest row that reaches the goal, as far as the budget finds one; ``others`` are rows to start from."""
    order = np.argsort(length(space, others), kind="stable")[:STARTS]
    _ask(search, others[order])
    _ask(search, changed_alone(space, int(ALONE_SHARE * (search.left - search.kept))))
    _grow(search, space, rng)
    best = nearest_reached(search, space)
    if best is None:
        return None
    _shorten_several(search, space)
    best = _or(best, nearest_reached(search, space))
    for _ in range(ROUNDS):
        before = float(length(space, best[None])[0])
        _halve(search, space, best)
        best = _or(best, nearest_reached(search, space))
        _along_slope(search, space, best)
        best = _or(best, nearest_reached(search, space))
        shrink(search, space, best, times=2)
        _without_categories(search, space, best)
        best = _or(best, nearest_reached(search, space))
        _ask(search, _ball(space, best, float(length(space, best[None])[0]), rng))
        best = _or(best, nearest_reached(search, space))
        if length(space, best[None])[0] > (1 - 1e-5) * before or search.left <= search.kept:
            break
    _halve(search, space, best)
    return _or(best, nearest_reached(search, space))


def nearest_reached(search: Search, space: Space) -> Floats | None:
    """The nearest of all rows that reach the goal; the search remembers them all."""
    if not search.reached:
        return None
    reached = np.stack(search.reached)
    nearest: Floats = reached[int(np.argmin(length(space, reached)))]
    return nearest


def _shorten_several(search: Search, space: Space) -> None:
    """Walk back from the nearest rows that change different features: the best of one kind need not be the best of all."""
    reached = np.stack(search.reached)
    reached = reached[np.argsort(length(space, reached), kind="stable")]
    first = np.sort(np.unique(space.changed(reached), axis=0, return_index=True)[1])
    for z in reached[first[:SHORTENED]]:
        shrink(search, space, z, times=3)


def _or(known: Floats, found: Floats | None) -> Floats:
    return known if found is None else found


def _ask(search: Search, z: Floats) -> None:
    if len(z):
        search.gaps(z)


def _grow(search: Search, space: Space, rng: np.random.Generator) -> None:
    """Shells around the row, larger and larger, until one holds a row that reaches the goal."""
    radius = 0.1
    for _ in range(SHELLS):
        known = nearest_reached(search, space)
        if known is not None and length(space, known[None])[0] <= radius:
            return
        _ask(search, _ball(space, space.origin, radius, rng))
        radius *= 1.6


def _ball(space: Space, like: Floats, radius: float, rng: np.random.Generator) -> Floats:
    """Rows at random, at most ``radius`` from the origin in their numbers.

    Categories are those of the origin, or of ``like``, or others the likelier the larger the ball.
    """
    scales = np.array([j for j in space.changeable if space.features[j].is_scale and np.isfinite(space.origin[j])], int)
    z = np.repeat(space.origin[None], ON_A_SPHERE, axis=0)
    if len(scales):
        way = rng.normal(size=(ON_A_SPHERE, len(scales)))
        # every other row moves few features: the borders of trees lie across single ones
        way[::2] *= rng.random((len(way[::2]), len(scales))) < 3 / len(scales)
        way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12)
        far = radius * rng.random((ON_A_SPHERE, 1)) ** (1 / len(scales))
        z[:, scales] = space.origin[scales] + way * far * space.metric.scales[scales]
    for j in space.changeable:
        if j in scales:
            continue
        draw = rng.random(ON_A_SPHERE)
        z[draw < 0.5, j] = like[j]
        other = draw > 1 - min(0.3, radius**2 / max(1, len(space.changeable)))
        z[other, j] = space.values[j][rng.integers(0, len(space.values[j]), int(other.sum()))]
    z = space.settle(z)
    return z[space.changed(z).any(axis=1)]


def _halve(search: Search, space: Space, z: Floats) -> None:
    """Walk from a row back towards the origin in its numbers, to the border: a thousandth of the way exactly."""
    low, high = 0.0, 1.0
    for _ in range(4):
        ways = low + (high - low) * np.arange(1, 8) / 8
        points = space.settle(_between(space, z, ways))
        moved = space.changed(points).any(axis=1)
        holds = np.flatnonzero((search.gaps(points) <= 0) & moved)
        if len(holds):
            low, high = (ways[holds[0] - 1] if holds[0] else low), ways[holds[0]]
        else:
            low = ways[-1]


def _between(space: Space, z: Floats, ways: Floats) -> Floats:
    points = np.repeat(z[None], len(ways), axis=0)
    for j in space.changeable:
        if space.features[j].is_scale and np.isfinite(space.origin[j]):
            points[:, j] = space.origin[j] + ways * (z[j] - space.origin[j])
    return points


def _along_slope(search: Search, space: Space, z: Floats) -> None:
    """Where the model is smooth, the nearest point of the border's tangent at ``z``, and a little beyond it."""
    scales = np.array([j for j in space.changeable if space.features[j].is_scale and np.isfinite(z[j])], int)
    if not len(scales):
        return
    unit = space.metric.scales[scales]
    moved = np.repeat(z[None], len(scales), axis=0)
    # towards the origin, else the end of a feature's range would hide its slope
    sign = np.where(z[scales] > space.origin[scales], -1.0, 1.0)
    sign = np.where(z[scales] >= np.array([space.features[j].high for j in scales]), -1.0, sign)
    moved[np.arange(len(scales)), scales] += sign * SLOPE_STEP * unit
    moved = space.settle(moved)
    if not search.affords(np.concatenate([z[None], moved])):
        return
    gaps = search.gaps(np.concatenate([z[None], moved]))
    step = (moved[np.arange(len(scales)), scales] - z[scales]) / unit
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(step != 0, (gaps[1:] - gaps[0]) / step, 0.0)
    slope = np.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0)
    if not slope.any():
        return
    here = (z[scales] - space.origin[scales]) / unit
    aim = slope * ((slope @ here - gaps[0]) / (slope @ slope))
    points = np.repeat(z[None], len(BEYOND), axis=0)
    points[:, scales] = space.origin[scales] + np.array(BEYOND)[:, None] * aim * unit
    search.gaps(space.settle(points))


def _without_categories(search: Search, space: Space, z: Floats) -> None:
    """The row with each changed category given back alone."""
    own = [j for j in np.flatnonzero(space.changed(z)) if not space.features[j].is_scale or np.isnan(space.origin[j])]
    trial = np.repeat(z[None], len(own), axis=0)
    trial[np.arange(len(own)), own] = space.origin[own]
    _ask(search, trial[space.changed(trial).any(axis=1)] if len(own) else trial)
