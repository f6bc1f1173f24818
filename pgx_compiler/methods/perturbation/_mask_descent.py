"""The set of features that lowers a game's worth most for the area it takes: of all sets, or by descent on probabilities.

A mask holds the probability s_i with which each of n features is chosen (removed in deletion, kept in preservation), and what
is made small is, with D the distance of the row's score from its base value,

    E[worth] / D + area * mean(s) + smoothness * expected share of neighbours that are parted,

in deletion with the worth of what is left, in preservation with less the worth of what is kept. E[worth] is the game's
multilinear extension (Owen, 1972, https://doi.org/10.1287/mnsc.18.5.64). All of it is linear in each s_i by itself, so that
its least value is taken by a set of whole features; where features do not interact it is the set of those that contribute
more than ``area * D / n``: more than ``area`` times an even share.

The slope by s_i is estimated from the coalitions of one step by the likelihood ratio, with the mean of the others as a
baseline, around a linear model of the game that earlier steps have fitted (a control variate, as in Tucker et al., 2017,
https://arxiv.org/abs/1703.07370): unbiased, and without error once a linear game is known. Steps are those of dual averaging
with a lazy projection (Nesterov, 2009, https://doi.org/10.1007/s10107-007-0149-x), along slopes that are cut where they are
steep.
"""

from dataclasses import dataclass

import numpy as np

from pgx_compiler.methods.perturbation._random_masks import all_coalitions
from pgx_compiler.modalities.game import Game, Masks
from pgx_compiler.modalities.neighbours import neighbours
from runtimes.capabilities import Floats, Integers

RUNS = 4
"""Masks that are looked for independently, and averaged: as few as a spread can be told from (own choice)."""

RATE = 0.2
"""How far the first step moves the mask of a feature that pays an even share more than it costs; it falls to zero (tried out
on digits, words and windows: between 0.15 and 0.4 the masks that are found are as good)."""

EXPLORED, EXPLORED_LAST = 0.05, 0.01
"""Least probability with which a feature is drawn either way, at the first step and the last: its slope is known wherever the
mask stands. While it is large, of two features that can stand for one another both are kept."""

REACH = 0.75
"""How far a feature may be beyond the ends of its mask: so far it must be drawn back before the mask moves again."""

STEEPEST = 2.0
"""Even shares (or prices of the area, where that is more): no step goes by a larger slope. A feature that is hardly ever
drawn has slopes of huge errors, which would throw it about (found on digits: less noise, and better masks)."""

SETTLED = 0.1
"""Masks have converged where the best and the worst of them differ by no more than this share of what they gain."""

ROUNDING = 1e-9
"""Share of the scores below which a difference is none."""

MOST_COMPARED = 64
"""Sets that are as good as the best, of which pairs are compared: there may be thousands."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for; see the method's parameters."""

    deletion: bool
    area: float
    smoothness: float
    samples: int
    steps: int

    @property
    def each(self) -> int:
        """Coalitions of a step for one run."""
        return self.samples // RUNS

    def is_exact(self, features: int) -> bool:
        """Whether all coalitions cost no more than the steps would."""
        return bool(2**features <= RUNS * self.each * self.steps)

    def forward_rows(self, features: int, references: int) -> int:
        """Model rows for one row. The full coalition is the row itself, one model row whatever the references."""
        asked = 2**features - 1 if self.is_exact(features) else RUNS * self.each * self.steps + RUNS + 1
        return int(asked) * references + 1


@dataclass(frozen=True)
class Found:
    """The masks that were found for one row."""

    masks: Floats
    """``(runs, features)``; where all sets were asked, the best one, or all that are as good."""
    score_left: float
    """Mean over the masks, each as a set of whole features."""
    converged: bool
    exact: bool

    @property
    def chosen(self) -> Masks:
        """The masks as sets of whole features."""
        return self.masks > 0.5

    @property
    def values(self) -> Floats:
        """``(features,)``."""
        return np.asarray(self.masks.mean(axis=0), np.float64)

    @property
    def standard_error(self) -> Floats:
        """``(features,)``: of the mean of independent runs."""
        if self.exact:
            return np.zeros(self.masks.shape[1])
        return np.asarray(self.masks.std(axis=0, ddof=1) / np.sqrt(len(self.masks)), np.float64)

    @property
    def overlap(self) -> float:
        """Features that two sets share, of those in either; mean over pairs of sets."""
        sets = self.chosen[:MOST_COMPARED]
        if len(sets) == 1:
            return 1.0
        both, either = sets[:, None] & sets[None], sets[:, None] | sets[None]
        alike = np.where(either.any(axis=2), both.sum(axis=2) / np.maximum(1, either.sum(axis=2)), 1.0)
        return float(alike[np.triu_indices(len(sets), 1)].mean())


@dataclass(frozen=True)
class _Objective:
    """What is made small, of sets of whole features."""

    scale: float
    pairs: Integers
    wanted: Wanted

    def of(self, worth: Floats, chosen: Masks) -> Floats:
        """``(sets,)``, of sets ``(sets, features)`` and their worth (or less the worth, in preservation)."""
        parted = (chosen[:, self.pairs[:, 0]] != chosen[:, self.pairs[:, 1]]).sum(axis=1) / max(1, len(self.pairs))
        price = self.wanted.area * chosen.mean(axis=1) + self.wanted.smoothness * parted
        return np.asarray(worth / self.scale + price, np.float64)

    def slope(self, slope: Floats, chance: Floats) -> Floats:
        """In units of an even share: the slope of the worth, and of the price."""
        features = chance.shape[1]
        rise = np.zeros_like(chance)
        for one, other in (self.pairs.T, self.pairs.T[::-1]):  # p (1 - q) + q (1 - p): with p it rises by 1 - 2 q
            for run, own in enumerate(chance):
                rise[run] += np.bincount(one, 1 - 2 * own[other], features) / max(1, len(self.pairs))
        return np.asarray(features * (slope + self.wanted.smoothness * rise) + self.wanted.area, np.float64)


def find_masks(game: Game, wanted: Wanted, rng: np.random.Generator) -> list[Found]:
    """For each target the best set of all, where asking for all costs no more; else the ends of independent descents.

    All coalitions are asked once, whatever the targets. A descent goes by the worth of one: the game must have no other.
    """
    if not wanted.is_exact(game.n_features):
        return [_by_descent(game, wanted, rng)]
    masks, worths = all_coalitions(game)
    pairs = neighbours(game.features)
    return [_of_all(masks, own, pairs, wanted) for own in worths.T]


def _of_all(masks: Masks, worths: Floats, pairs: Integers, wanted: Wanted) -> Found:
    worth = worths if wanted.deletion else -worths
    scale = _distance(float(worths[-1]), float(worths[0])) or float(np.ptp(worth)) or 1.0
    chosen = ~masks if wanted.deletion else masks
    found = _Objective(scale, pairs, wanted).of(worth, chosen)
    best = found <= found.min() + ROUNDING * max(1.0, float(np.ptp(found)))
    left = float(worths[best].mean())
    return Found(chosen[best].astype(np.float64), left, converged=True, exact=True)


def _by_descent(game: Game, wanted: Wanted, rng: np.random.Generator) -> Found:
    n = game.n_features
    full, empty = float(game.full()[0]), float(game.empty()[0])
    scale, pairs = _distance(full, empty), neighbours(game.features)
    place, linear = np.full((RUNS, n), 0.5), np.zeros((RUNS, n))
    for step in range(wanted.steps):
        gone = step / wanted.steps
        explored = EXPLORED + (EXPLORED_LAST - EXPLORED) * gone
        chance = explored + (1 - 2 * explored) * np.clip(place, 0.0, 1.0)
        chosen = rng.random((RUNS, wanted.each, n)) < chance[:, None]
        worth = _worth(game, chosen.reshape(-1, n), wanted).reshape(RUNS, wanted.each)
        scale = scale or float(np.ptp(worth)) or 1.0
        slope, linear = slopes(worth / scale, chosen, chance, linear)
        slope = _Objective(scale, pairs, wanted).slope(slope, chance)
        most = STEEPEST * max(1.0, wanted.area)
        place = np.clip(place - RATE * (1 - gone) * np.clip(slope, -most, most), -REACH, 1 + REACH)
    masks = np.clip(place, 0.0, 1.0)
    chosen = masks > 0.5
    worth = _worth(game, chosen, wanted)
    found = _Objective(scale, pairs, wanted).of(worth, chosen)
    gained = (full if wanted.deletion else -empty) / scale - found.mean()
    converged = float(np.ptp(found)) <= SETTLED * abs(gained) + ROUNDING
    left = float(worth.mean()) if wanted.deletion else -float(worth.mean())
    return Found(masks, left, converged=bool(converged), exact=False)


def slopes(worth: Floats, chosen: Masks, chance: Floats, linear: Floats) -> tuple[Floats, Floats]:
    """Unbiased estimates of how fast the mean worth rises with each probability, and the linear model after them.

    Args:
        worth: ``(runs, draws)``.
        chosen: ``(runs, draws, features)``, each drawn with its probability.
        chance: ``(runs, features)``, the probabilities.
        linear: ``(runs, features)``, what each feature adds by a model that knows nothing of these draws.

    Returns:
        Slopes ``(runs, features)``, and the model for the next draws, one for all runs. It follows normalised least
        mean squares (Widrow & Hoff): the step that is stable however many features there are.
    """
    runs, draws, _ = chosen.shape
    centred = chosen - chance[:, None]
    rest = worth - np.einsum("rkn,rn->rk", centred, linear)
    # less the mean of the other draws: (rest_k - mean of the others) is this times draws / (draws - 1)
    rest -= rest.mean(axis=1, keepdims=True)
    spread = chance * (1 - chance)
    correction = np.einsum("rk,rkn->rn", rest, centred) / spread / (draws - 1)
    share = spread * runs * draws / (runs * draws * spread.max() + spread.sum(axis=1).mean())
    learnt = linear + (share * correction).mean(axis=0)
    return linear + correction, learnt


def _distance(full: float, empty: float) -> float:
    """Of the row's score from its base value; 0 where it is no more than rounding, and what coalitions span is the unit."""
    distance = abs(full - empty)
    return distance if distance > ROUNDING * max(abs(full), abs(empty)) else 0.0


def _worth(game: Game, chosen: Masks, wanted: Wanted) -> Floats:
    """What is to be made small, for sets ``(sets, features)``."""
    return np.asarray(game.value(~chosen)[:, 0] if wanted.deletion else -game.value(chosen)[:, 0], np.float64)
