"""A genetic search for rows that reach a goal with few and small changes (as in DiCE; Schleich et al., 2021, GeCo)."""

import numpy as np

from pgx_compiler.methods.perturbation._counterfactual_search import Search, Space, changed_alone
from runtimes.capabilities import Floats

POPULATION = 40
PATIENCE = 8
"""Generations without a better row after which breeding ends."""
NEIGHBOURS = 20
"""Training rows of the other side to start from."""
SWEPT = 0.4
"""Share of the budget that may go into changing one feature at a time."""
EACH_CHANGE = 0.5
"""What a changed feature costs beside its distance: few changes are easier to act on (own choice)."""
UNREACHED = 10.0
"""What not reaching the goal costs, in distances."""


def breed(search: Search, space: Space, most: int, rng: np.random.Generator) -> None:
    """Ask about better and better rows of a space; what reaches the goal is remembered by the search.

    ``most``: features that may be changed.
    """
    budget = search.left - search.kept
    alone = changed_alone(space, int(budget * SWEPT))
    mutants = np.repeat(space.origin[None], POPULATION, axis=0)
    few = np.minimum(rng.integers(1, 4, (POPULATION, 1)), most) / len(space.changeable)
    mutants = _mutated(mutants, space, np.minimum(few, 0.9), rng)
    z = np.concatenate([_neighbours(search, space), alone, space.settle(mutants)])
    loss = loss_of(space, most, z, search.gaps(z))
    best, since = np.inf, 0
    while search.left > search.kept and since < PATIENCE:
        order = np.argsort(loss, kind="stable")[: POPULATION // 2]
        z, loss = z[order], loss[order]
        since = 0 if loss[0] < best else since + 1
        best = min(best, float(loss[0]))
        first, second = rng.integers(0, len(z), (2, POPULATION))
        child = np.where(rng.random((POPULATION, z.shape[1])) < 0.5, z[first], z[second])
        child = np.where(rng.random(child.shape) < 0.1, space.origin, child)
        child = space.settle(_mutated(child, space, np.full((POPULATION, 1), 0.1), rng))
        z, loss = np.concatenate([z, child]), np.concatenate([loss, loss_of(space, most, child, search.gaps(child))])


def loss_of(space: Space, most: int, z: Floats, gaps: Floats) -> Floats:
    """How bad rows are, ``(n,)``: what is left to reach the goal, then distance and the number of changes."""
    changes = space.changed(z).sum(axis=1)
    away = np.maximum(gaps, 0.0)
    known = away[np.isfinite(away) & (away > 0)]
    unit = float(np.median(known)) if len(known) else 1.0
    missed = UNREACHED * (np.minimum(away / unit, 1e6) + (away > 0) + np.maximum(0, changes - most))
    return np.asarray(missed + space.distance(z) + EACH_CHANGE * changes)


def _neighbours(search: Search, space: Space) -> Floats:
    """The nearest training rows that reach the goal, as near as what may not change allows."""
    table = search.row.table
    other = table.sample.z[search.goal.gap(table.sample_scores) <= 0]
    order = np.argsort(space.distance(other), kind="stable")[:NEIGHBOURS]
    return space.settle(other[order])


def _mutated(z: Floats, space: Space, rates: Floats, rng: np.random.Generator) -> Floats:
    """Rows in which each feature that may change takes, at the row's rate ``(n, 1)``, a value of the training data."""
    z = z.copy()
    for j in space.changeable:
        own = np.flatnonzero(rng.random(len(z)) < rates[:, 0])
        z[own, j] = space.values[j][rng.integers(0, len(space.values[j]), len(own))]
    return z
