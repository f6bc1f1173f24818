"""From many rows that reach a goal to the best one, without a change that can be spared."""

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.methods.perturbation._counterfactual_breeding import UNREACHED, loss_of
from pgx_compiler.methods.perturbation._counterfactual_search import Search, Space, restore, shrink
from pgx_compiler.modalities._table_metric import Scaling
from runtimes.capabilities import Floats

Found = tuple[Floats, bool]
"""A row that reaches the goal, and whether it is known to need all of its changes."""
TRIES = 6
"""Rows that are polished for each counterfactual, to take the best."""
ALIKE = 3.0
"""What it costs, in distances, to change the same features as one that is found already (own choice)."""


def polished(search: Search, space: Space, most: int, scaling: Scaling, found: list[Found], last: bool) -> Found | None:
    """The best row that reaches the goal and is unlike those found, with every change that can be spared taken back.

    Unlike: it does not change all that one of them changes, and more; but that is better than nothing at ``last``.
    """
    if not search.reached:
        return None
    reached = np.stack(search.reached)
    changed = space.changed(reached)
    sets = [space.changed(z) for z, _ in found]
    rank = _rank(space, most, reached, sets)
    order = np.argsort(rank, kind="stable")
    # of rows that change the same features the best, and of these the ones nearest to training rows
    order = order[np.sort(np.unique(changed[order], axis=0, return_index=True)[1])][: 3 * TRIES]
    neighbours = search.row.table.neighbourhood(scaling)
    far = np.maximum(0.0, neighbours.nearest(reached[order]) / max(neighbours.usual, 1e-12) - 1)
    tried: list[Found] = []
    for index in order[np.argsort(rank[order] + far, kind="stable")][:TRIES]:
        z, _ = restore(search, space, reached[index])
        z = shrink(search, space, z, times=3)
        z, certain = restore(search, space, z)
        here = space.changed(z)
        alike = [(here == known).all() if last else here[known].all() for known in sets]
        if here.sum() <= most and not any(alike):
            tried.append((z, certain))
    if not tried:
        return None
    ranked = _rank(space, most, np.stack([z for z, _ in tried]), sets)
    # a row that is not known to need all of its changes comes last
    ranked += [0.0 if certain else UNREACHED for _, certain in tried]
    return tried[int(np.argmin(ranked))]


def _rank(space: Space, most: int, z: Floats, sets: list[NDArray[np.bool_]]) -> Floats:
    """How little rows that reach the goal are worth beside those found, whose changed features are ``sets``."""
    rank = loss_of(space, most, z, np.zeros(len(z)))
    changed = space.changed(z)
    for known in sets:
        rank += UNREACHED * changed[:, known].all(axis=1)  # all that one of them changes, and more
        rank += ALIKE * (changed & known).sum(axis=1) / (changed | known).sum(axis=1)
    return rank
