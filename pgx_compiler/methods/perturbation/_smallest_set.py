"""The smallest set of features for which something holds: by enumeration, else greedily, then refined by sampling.

Greedy: orders of the features (by what each does alone, what is missing without it, and its part in random sets), their
beginnings, and rounds in which the members least needed are left out. Then all smaller sets, where that is affordable, and
else a refinement by the cross-entropy method (Rubinstein, 1999, https://doi.org/10.1023/A:1010091220143) on sets of one
feature less than the best one.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from pgx_compiler.methods.perturbation._random_masks import every_mask
from pgx_compiler.modalities.game import Masks
from runtimes.capabilities import Floats, Integers

Margin = Callable[[Masks], Floats]
"""Sets ``(n, features)`` to ``(n,)``: above zero where what is looked for holds, the more the better."""

RANDOM_SHARE = 4
"""One set in so many that may be asked is random, to tell which features matter together with others (own choice)."""
SETS_A_ROUND = 64
ELITE = 8
"""Of a round of the cross-entropy method: an eighth, near the tenth that is usual for it."""
KEEP = 0.7
"""Weight of the former probabilities against those of the elite: the usual smoothing."""
PATIENCE = 8
"""Rounds without a smaller set after which the refinement stops."""


@dataclass(frozen=True)
class Smallest:
    """The smallest set that was found."""

    members: Masks
    """``(features,)``."""
    margin: float
    proven: bool
    """No smaller set holds: all smaller ones were asked."""
    irreducible: bool
    """No single member can be left out."""


def smallest_set(margin: Margin, features: int, most: int, rng: np.random.Generator) -> Smallest | None:
    """Find a small set whose margin is above zero, asking for at most ``most`` sets. None: none was found."""
    if 2**features <= most:
        return _by_enumeration(margin, features)
    search = _Search(margin, features, most)
    search.ask(np.stack([np.zeros(features, bool), np.ones(features, bool)]))
    if search.size == 0:
        return search.best(proven=True, irreducible=True)
    alone = search.ask(np.eye(features, dtype=bool))
    if search.size == 1:
        return search.best(proven=True, irreducible=True)
    without = search.ask(~np.eye(features, dtype=bool))
    together = _together(search, features, most, rng)
    for order in (alone, -without, together, _ranks(alone) + _ranks(-without) + _ranks(together)):
        search.ask(_beginnings(np.argsort(-np.nan_to_num(order, neginf=0.0), kind="stable"), 2, features - 1))
    irreducible = _shrink(search)
    if _ask_all_smaller(search):
        return search.best(proven=True, irreducible=True) if search.size <= features else None
    chance = _start(together)
    quiet = 0
    while search.left and 2 < search.size <= features and quiet < PATIENCE:
        before = search.size
        chance = _cross_entropy_round(search, chance, before - 1, rng)
        quiet = 0 if search.size < before else quiet + 1
        if search.size < before:
            irreducible = _shrink(search)
    return search.best(proven=False, irreducible=irreducible) if search.size <= features else None


class _Search:
    """Asks while it may, and keeps the smallest set that holds; of equal size, that of the largest margin."""

    def __init__(self, margin: Margin, features: int, most: int) -> None:
        self._margin, self.features, self.left = margin, features, most
        self.members: Masks = np.ones(features, bool)
        self.size = features + 1
        self.margin = -np.inf

    def ask(self, sets: Masks) -> Floats:
        """Margins; minus infinity for those that could not be asked any more."""
        found = np.full(len(sets), -np.inf)
        asked = sets[: self.left]
        self.left -= len(asked)
        if len(asked):
            found[: len(asked)] = self._margin(asked)
            holding = np.flatnonzero(found > 0)
            sizes = sets[holding].sum(axis=1)
            if len(holding):
                first = int(np.lexsort((-found[holding], sizes))[0])
                size, margin = int(sizes[first]), float(found[holding[first]])
                if size < self.size or (size == self.size and margin > self.margin):
                    self.size, self.margin, self.members = size, margin, sets[holding[first]]
        return found

    def best(self, proven: bool, irreducible: bool) -> Smallest:
        return Smallest(self.members, self.margin, proven, irreducible)


def _by_enumeration(margin: Margin, features: int) -> Smallest | None:
    search = _Search(margin, features, 2**features)
    search.ask(every_mask(features))
    return search.best(proven=True, irreducible=True) if search.size <= features else None


def _together(search: _Search, features: int, most: int, rng: np.random.Generator) -> Floats:
    """How far the margin rises with each feature in random sets and their complements, ``(features,)``."""
    half = rng.random((most // RANDOM_SHARE // 2, features)) < 0.5
    sets = np.concatenate([half, ~half])
    found = search.ask(sets)
    known = np.isfinite(found)
    if known.sum() < 2:
        return np.zeros(features)
    signs = np.where(sets[known], 1.0, -1.0)
    return np.asarray((found[known] - found[known].mean()) @ signs / known.sum(), np.float64)


def _ranks(values: Floats) -> Floats:
    return np.argsort(np.argsort(values, kind="stable"), kind="stable").astype(np.float64)


def _beginnings(order: Integers, first: int, last: int) -> Masks:
    """The sets of the first ``first`` to ``last`` features of an order."""
    place = np.argsort(order)
    return np.asarray(place[None, :] < np.arange(first, last + 1)[:, None])


def _without(members: Masks, features: Iterable[int]) -> Masks:
    """The set without each of the features alone, ``(n, features)``."""
    left = np.array(list(features), np.int64)
    sets = np.repeat(members[None], len(left), axis=0)
    sets[np.arange(len(left)), left] = False
    return sets


def _shrink(search: _Search) -> bool:
    """Leave out of the best set what can be spared, until nothing can. True: every single member was tried in vain."""
    while search.left and 0 < search.size <= search.features:
        members, size = search.members, search.size
        inside = np.flatnonzero(members)
        is_whole = search.left >= len(inside)
        found = search.ask(_without(members, inside))
        spare = inside[np.argsort(-found, kind="stable")][: int((found > 0).sum())]
        if not len(spare):
            return is_whole
        gone = np.cumsum(_without(np.ones_like(members), spare) ^ True, axis=0) > 0
        search.ask(members & ~gone[1:])  # the first of them was just asked
        if search.size >= size:
            return False
    return search.size == 0


def _ask_all_smaller(search: _Search) -> bool:
    """Ask for every set that is smaller than the best one, where that is affordable; sets of one were asked before.

    True: the best set, now maybe another, is the smallest there is.
    """
    if search.size > search.features:
        return False
    for size in range(2, search.size):
        if comb(search.features, size) > search.left:
            return False
        members = np.array(list(combinations(range(search.features), size)))
        sets = np.zeros((len(members), search.features), bool)
        np.put_along_axis(sets, members, True, axis=1)
        search.ask(sets)
        if search.size == size:
            break
    return True


def _start(together: Floats) -> Floats:
    """Probabilities to begin with: features that raise the margin most come most often."""
    spread = together.std()
    return np.asarray(
        1 / (1 + np.exp(-2 * (together - together.mean()) / spread)) if spread > 0 else 0.5 + 0 * together
    )


def _cross_entropy_round(search: _Search, chance: Floats, size: int, rng: np.random.Generator) -> Floats:
    """Ask for random sets of one size around the best one, and move the probabilities towards the better ones."""
    near = 0.5 * chance + 0.5 * search.members
    odds = np.log(np.clip(near, 0.02, 0.98)) - np.log1p(-np.clip(near, 0.02, 0.98))
    order = np.argsort(-(odds + rng.gumbel(size=(SETS_A_ROUND, len(chance)))), axis=1)[:, :size]
    sets = np.zeros((SETS_A_ROUND, len(chance)), bool)
    np.put_along_axis(sets, order, True, axis=1)
    elite = np.argsort(-search.ask(sets), kind="stable")[:ELITE]
    return np.asarray(KEEP * chance + (1 - KEEP) * sets[elite].mean(axis=0), np.float64)
