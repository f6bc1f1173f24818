"""References in parts, each of which is asked coalitions of its own, at the same number of model rows.

The worth of a coalition is a mean over references, and so are Shapley values: those of the whole game are the mean of those of
its parts. Where every part is asked other coalitions, what coalitions happen to be drawn is averaged over the parts. With a
correlation of c between what two references leave unexplained of a coalition, the variance of the error falls by
(1 + (p - 1) c) for p parts of one reference each; where c is 0, nothing is lost. Measured on trees and networks of 20 to
100 features and 50 references, ten parts halve the error of Kernel SHAP, and fifty make it 0.4.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation._paired_coalitions import (
    PairedCoalitions,
    StagedCoalitions,
    all_pairs,
    draw_pairs,
)
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Floats, Integers

Estimator = Callable[[PairedCoalitions, Floats, Floats, Floats], tuple[Floats, Floats]]
"""Design, worth of its coalitions and of their complements ``(pairs, k)``, total ``(k,)``: values and standard errors."""


@dataclass(frozen=True)
class Part:
    """A game over some of the references."""

    game: Game
    share: float
    """Of the references."""
    total: Floats
    """``(k,)``: score of the row less base value of this part."""


def count_of_parts(game: Game, pairs: int, parts: int) -> int:
    """How many parts are made. Where all pairs are asked there is nothing to average, and one part is all."""
    return 1 if pairs >= all_pairs(game.n_features) else min(parts, game.n_references)


def parts_of(game: Game, count: int) -> list[Part]:
    """The game in parts of about as many references each; asks for the row once and for every reference once."""
    full, references = game.full(), game.n_references
    if count < 2:
        return [Part(game, 1.0, full - game.empty())]
    held = [np.arange(first, references, count) for first in range(count)]
    games = [game.among(those) for those in held]
    return [Part(one, len(those) / references, full - one.empty()) for one, those in zip(games, held, strict=True)]


def worth_of_pairs(game: Game, design: PairedCoalitions) -> tuple[Floats, Floats]:
    """The worth of each coalition and of its complement, ``(pairs, k)`` each."""
    worth = game.value(np.concatenate([design.masks, ~design.masks]))
    return worth[: len(design.masks)], worth[len(design.masks) :]


def estimate(
    game: Game, pairs: int, parts: int, precision: float | None, estimator: Estimator, rng: np.random.Generator
) -> FeatureValues:
    """Values of the whole game from ``pairs`` pairs over each reference, or fewer where a precision is reached."""
    divided = parts_of(game, count_of_parts(game, pairs, parts))
    if precision is not None:
        return _until(divided, pairs, precision, estimator, rng)
    found, asked = [], 0.0
    for part in divided:
        design = draw_pairs(game.n_features, pairs, rng)
        found.append(estimator(design, *worth_of_pairs(part.game, design), part.total))
        asked += 2 * part.share * len(design.masks)
    values, error = _together(divided, found)
    return FeatureValues(values, error, _precision.notes(asked, None, converged=True))


def _together(divided: list[Part], found: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """Values of the whole, and their standard error: parts are drawn independently of each other."""
    values = sum((part.share * one for part, (one, _) in zip(divided, found, strict=True)), np.zeros(1))
    variance = sum(((part.share * error) ** 2 for part, (_, error) in zip(divided, found, strict=True)), np.zeros(1))
    return values, np.sqrt(variance)


class _Staged:
    """A part that is asked bit by bit."""

    def __init__(self, part: Part, pairs: int, rng: np.random.Generator) -> None:
        self._part = part
        self._design = StagedCoalitions(part.game.n_features, pairs, rng)
        self._worth = np.full((2, len(self._design.whole.masks), part.game.n_targets), np.nan)

    def beginning(self, pairs: int) -> tuple[Integers, PairedCoalitions, Floats]:
        """Positions, design and worth ``(2, pairs, k)`` of a beginning; what was not asked before is asked."""
        taken, design = self._design.beginning(pairs)
        fresh = taken[np.isnan(self._worth[0, taken, 0])]
        masks = self._design.whole.masks[fresh]
        self._worth[:, fresh] = self._part.game.value(np.concatenate([masks, ~masks])).reshape(2, len(fresh), -1)
        return taken, design, self._worth[:, taken]


def _until(
    divided: list[Part], budget: int, precision: float, estimator: Estimator, rng: np.random.Generator
) -> FeatureValues:
    """Ask pairs until the values are as precise as asked, or the budget is spent, and say which."""
    staged = [_Staged(part, budget, rng) for part in divided]
    total = sum((part.share * part.total for part in divided), np.zeros(1))
    pairs = min(budget, max(2 * divided[0].game.n_features, _precision.FIRST_LOOK))
    while True:
        found, asked = [], 0.0
        for part, one in zip(divided, staged, strict=True):
            taken, design, worth = one.beginning(pairs)
            found.append(estimator(design, worth[0], worth[1], part.total))
            asked += 2 * part.share * len(taken)
        values, error = _together(divided, found)
        over = _precision.excess(values, error, total, precision)
        if over <= 1.0 or pairs >= budget:
            return FeatureValues(values, error, _precision.notes(asked, precision, over <= 1.0))
        pairs = _precision.next_look(pairs, over, budget)
