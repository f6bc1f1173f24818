"""KL-LUCB (Kaufmann & Kalyanakrishnan, 2013): the best of many shares, each told by asking.

https://proceedings.mlr.press/v30/Kaufmann13.html; as anchors use it (Ribeiro et al., 2018).
"""

from collections.abc import Callable

import numpy as np

from runtimes.capabilities import Floats, Integers

BISECTIONS = 30
"""Halvings of an interval of length 1: to 1e-9."""


def bounds(hits: Floats, draws: Floats, level: float) -> tuple[Floats, Floats]:
    """Lower and upper bounds of shares: all q with draws * kl(hits / draws, q) <= level."""
    share = hits / np.maximum(draws, 1)
    allowed = level / np.maximum(draws, 1e-300)
    return _furthest(share, allowed, np.zeros_like(share)), _furthest(share, allowed, np.ones_like(share))


def _furthest(share: Floats, allowed: Floats, end: Floats) -> Floats:
    near, far = share.astype(np.float64), end
    for _ in range(BISECTIONS):
        middle = (near + far) / 2
        is_near = divergence(share, middle) <= allowed
        near, far = np.where(is_near, middle, near), np.where(is_near, far, middle)
    return near


def divergence(p: Floats, q: Floats) -> Floats:
    """Kullback-Leibler divergence of a coin of share p from one of share q."""
    p, q = np.clip(p, 1e-16, 1 - 1e-16), np.clip(q, 1e-16, 1 - 1e-16)
    return np.asarray(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)), np.float64)


def exploration(arms: int, step: int, delta: float) -> float:
    """The level of the bounds at a step: log(405.5 n t^1.1 / delta) and its logarithm (their theorem 1)."""
    first = np.log(405.5 * arms * step**1.1 / delta)
    return float(first + np.log(first))


def best_arms(
    pull: Callable[[int], tuple[int, int]],
    hits: Floats,
    draws: Floats,
    wanted: int,
    delta: float,
    tau: float,
    may_go_on: Callable[[], bool],
) -> Integers:
    """Positions of the arms of largest share, up to an error of ``tau`` with probability 1 - ``delta``.

    Args:
        pull: asks one arm for more: hits and draws of a batch.
        hits: ``(arms,)``, counted on in place.
        draws: ``(arms,)``, counted on in place.
        wanted: how many arms.
        delta: chance of being wrong.
        tau: by how much the best arm left out may be better than the worst chosen.
        may_go_on: False once the budget is spent; the best so far are then given.
    """
    arms, step = len(hits), 1
    wanted = min(wanted, arms)
    while True:
        order = np.argsort(-hits / np.maximum(draws, 1), kind="stable")
        chosen, others = order[:wanted], order[wanted:]
        if not len(others) or not may_go_on():
            return chosen
        low, high = bounds(hits, draws, exploration(arms, step, delta))
        best_left_out, worst_chosen = others[np.argmax(high[others])], chosen[np.argmin(low[chosen])]
        if high[best_left_out] - low[worst_chosen] <= tau:
            return chosen
        for arm in (best_left_out, worst_chosen):
            found = pull(int(arm))
            hits[arm] += found[0]
            draws[arm] += found[1]
        step += 1
