"""Three ways to look for a small change of a row that changes the model's decision.

Each gives for every row a change ``(rows, elements)`` in ranges, as `Space` counts them, and whether the decision differs
there. None of them knows of what is found elsewhere.
"""

from collections.abc import Sequence

import numpy as np

from pgx_compiler.methods.gradient._attack_space import Bools, Space
from runtimes.capabilities import Differentiable, Floats, Integers

OVERSHOOT = 0.02
"""By which share each step of DeepFool goes beyond the boundary (the paper's)."""
HALVINGS = 16
"""Halvings of the way back to the boundary: the distance is then known to 1 part in 65,000."""
STRAIGHTENINGS = 3
"""How often a change is turned to stand at right angles on the boundary that it reaches (own default)."""
NARROWINGS = 3
"""Halvings between the largest box without a change and the smallest with one."""

Found = tuple[Floats, Bools]


def deepfool(model: Differentiable, space: Space, scores: Floats, steps: int, classes: int) -> Found:
    """Step to the nearest boundary of the linearised model until the decision changes (Moosavi-Dezfooli et al., 2016).

    Asks for at most ``steps`` rows forward and ``steps * (1 + classes)`` backward for each row.
    """
    first = scores.argmax(axis=1)
    others = np.argsort(-scores, axis=1, kind="stable")[:, 1 : classes + 1]
    change, open_rows = np.zeros_like(space.unit), np.arange(len(space))
    found = np.zeros(len(space), bool)
    for _ in range(steps):
        if not len(open_rows):
            break
        step = _nearest_step(model, space, change, scores, open_rows, first, others)
        moves = step.any(axis=1)  # a row without a gradient, or at the end of all its ranges, stays where it is
        open_rows, step = open_rows[moves], step[moves]
        if not len(open_rows):
            break
        change[open_rows] = space.inside(change[open_rows] + (1 + OVERSHOOT) * step, open_rows)
        scores = scores.copy()
        scores[open_rows] = space.scores(model, change[open_rows], open_rows)
        crossed = scores[open_rows].argmax(axis=1) != first[open_rows]
        found[open_rows[crossed]] = True
        open_rows = open_rows[~crossed]
    return change, found


def _nearest_step(
    model: Differentiable,
    space: Space,
    change: Floats,
    scores: Floats,
    which: Integers,
    first: Integers,
    others: Integers,
) -> Floats:
    """The shortest step to where another class would lead, if the scores were linear from here; 0 where none leads there."""
    here = change[which]
    own = space.gradient(model, here, which, first[which])
    best, step = np.full(len(which), np.inf), np.zeros_like(here)
    rows = np.arange(len(which))
    for place in range(others.shape[1]):
        other = others[which, place]
        slope = space.gradient(model, here, which, other) - own
        slope = np.where(space.can_move(here, which, slope), slope, 0.0)
        behind = np.abs(scores[which][rows, first[which]] - scores[which][rows, other])
        # Exactly on the boundary, a tie that the first class wins, there must still be a step.
        behind = np.maximum(behind, 1e-9 * np.maximum(1.0, np.abs(scores[which]).max(axis=1)))
        squared = (slope**2).sum(axis=1)
        usable = squared > 0
        length = np.where(usable, behind / np.sqrt(np.where(usable, squared, 1.0)), np.inf)
        nearer = length < best
        best = np.where(nearer, length, best)
        towards = slope * (behind / np.where(usable, squared, 1.0))[:, None]
        step = np.where(nearer[:, None], towards, step)
    return step


def fast_gradient_sign(model: Differentiable, space: Space, scores: Floats, strengths: Sequence[float]) -> Found:
    """One step by the sign of the gradient, longer and longer until the decision changes (Goodfellow et al., 2015).

    Asks for as many rows forward as there are strengths, and 2 backward, for each row.
    """
    everyone = np.arange(len(space))
    first = scores.argmax(axis=1)
    sign = np.sign(_rise(model, space, np.zeros_like(space.unit), scores, everyone, first))
    change, found = np.zeros_like(space.unit), np.zeros(len(space), bool)
    open_rows = np.flatnonzero(sign.any(axis=1))
    for strength in strengths:
        if not len(open_rows):
            break
        change[open_rows] = space.inside(strength * sign[open_rows], open_rows)
        crossed = space.scores(model, change[open_rows], open_rows).argmax(axis=1) != first[open_rows]
        found[open_rows[crossed]] = True
        open_rows = open_rows[~crossed]
    return change, found


def projected_gradient(
    model: Differentiable,
    space: Space,
    scores: Floats,
    strengths: Sequence[float],
    steps: int,
    rng: np.random.Generator,
) -> Found:
    """Climb by the sign of the gradient within a larger and larger box until the decision changes (Madry et al., 2018).

    The box of each row is then narrowed `NARROWINGS` times, from what was found in the wider one. Asks for at most
    ``steps + 1`` rows forward and ``2 * steps`` backward for each row, strength and narrowing.
    """
    first = scores.argmax(axis=1)
    change, found = np.zeros_like(space.unit), np.zeros(len(space), bool)
    low, high = np.zeros(len(space)), np.zeros(len(space))
    for strength in strengths:
        open_rows = np.flatnonzero(~found)
        # Drawn for all rows, so that what one gets does not depend on the others.
        start = strength * rng.uniform(-1.0, 1.0, space.unit.shape)
        if not len(open_rows):
            break
        change[open_rows], crossed = _climb(model, space, start[open_rows], open_rows, first, strength, steps)
        found[open_rows] = crossed
        low[open_rows], high[open_rows] = high[open_rows], strength
    which = np.flatnonzero(found)
    for _ in range(NARROWINGS if len(which) else 0):
        middle = 0.5 * (low[which] + high[which])
        tried, crossed = _climb(model, space, change[which], which, first, middle[:, None], steps)
        change[which[crossed]] = tried[crossed]
        low[which] = np.where(crossed, low[which], middle)
        high[which] = np.where(crossed, middle, high[which])
    return change, found


def _climb(
    model: Differentiable,
    space: Space,
    start: Floats,
    which: Integers,
    first: Integers,
    strength: Floats | float,
    steps: int,
) -> Found:
    """Projected steps from a start until the decision changes: of ``which`` rows, the changes and whether they do."""
    reach = np.broadcast_to(np.asarray(strength, np.float64), (len(which), 1))
    change = space.inside(np.clip(start, -reach, reach), which)
    found, trying = np.zeros(len(which), bool), np.arange(len(which))
    for taken in range(steps + 1):
        now = space.scores(model, change[trying], which[trying])
        crossed = now.argmax(axis=1) != first[which[trying]]
        found[trying[crossed]] = True
        trying, now = trying[~crossed], now[~crossed]
        if taken == steps or not len(trying):
            break
        rise = _rise(model, space, change[trying], now, which[trying], first[which[trying]])
        climbed = change[trying] + 2.5 / steps * reach[trying] * np.sign(rise)
        change[trying] = space.inside(np.clip(climbed, -reach[trying], reach[trying]), which[trying])
    return change, found


def _rise(
    model: Differentiable, space: Space, change: Floats, scores: Floats, which: Integers, first: Integers
) -> Floats:
    """How fast the strongest other class gains on the first one."""
    rest = scores.copy()
    rest[np.arange(len(rest)), first] = -np.inf
    up = space.gradient(model, change, which, rest.argmax(axis=1))
    return up - space.gradient(model, change, which, first)


def back_to_boundary(model: Differentiable, space: Space, scores: Floats, attacked: Found) -> Floats:
    """Shorten each change that was found, by halving, to where the decision just differs. `HALVINGS` rows forward each."""
    change, found = attacked
    which = np.flatnonzero(found)
    first = scores.argmax(axis=1)[which]
    short, long = np.zeros(len(which)), np.ones(len(which))
    whole = change[which]
    for _ in range(HALVINGS if len(which) else 0):
        middle = 0.5 * (short + long)
        crossed = space.scores(model, middle[:, None] * whole, which).argmax(axis=1) != first
        long, short = np.where(crossed, middle, long), np.where(crossed, short, middle)
    shortened = np.zeros_like(change)
    shortened[which] = long[:, None] * whole
    return shortened


def straightened(model: Differentiable, space: Space, scores: Floats, change: Floats, found: Bools) -> Floats:
    """Turn each change to stand at right angles on the boundary, where that makes it shorter.

    The nearest point of a boundary lies along its normal; DeepFool alone does not end there where the boundary is curved
    (Abdollahpour et al., 2023). Asks for `STRAIGHTENINGS` times 2 rows backward and 2 + `HALVINGS` forward for each row.
    """
    first = scores.argmax(axis=1)
    for _ in range(STRAIGHTENINGS):
        which = np.flatnonzero(found)
        if not len(which):
            break
        here = space.scores(model, change[which], which)
        normal = _rise(model, space, change[which], here, which, first[which])
        squared = (normal**2).sum(axis=1)
        share = np.divide((normal * change[which]).sum(axis=1), squared, out=np.zeros(len(which)), where=squared > 0)
        turned = np.zeros_like(change)
        # Half as far again: the foot of the perpendicular lies on the tangent, which a curved boundary may be beyond.
        turned[which] = space.inside(1.5 * share[:, None] * normal, which)
        crossed = np.zeros(len(space), bool)
        crossed[which] = space.scores(model, turned[which], which).argmax(axis=1) != first[which]
        shorter = back_to_boundary(model, space, scores, (turned, crossed))
        better = crossed & ((shorter**2).sum(axis=1) < (change**2).sum(axis=1))
        if not better.any():
            break
        change = np.where(better[:, None], shorter, change)
    return change
