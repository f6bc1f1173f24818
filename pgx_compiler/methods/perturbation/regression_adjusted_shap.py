"""Regression-adjusted Shapley values (Witter, Liu & Musco, 2025): https://arxiv.org/abs/2506.11849."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, attribution
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation._coalition_surrogate import (
    MOST_CENTRES,
    MOST_CENTRES_OF_A_PART,
    MOST_LEARNING,
    Held,
    fit_without_each,
    learn,
    signs_of,
)
from pgx_compiler.methods.perturbation._own_coalitions import count_of_parts, estimate
from pgx_compiler.methods.perturbation._paired_coalitions import PairedCoalitions, all_pairs
from pgx_compiler.methods.perturbation.kernel_shap import regress
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Floats, Integers

TITLE = "Regression-adjusted SHAP"


class RegressionAdjustedShapParams(Params):
    """Parameters of regression-adjusted SHAP."""

    samples: Annotated[int, Field(ge=2)] | Literal["auto"] = "auto"
    """Coalitions asked of the model for each row, beside the empty and the full one; ``auto``: 2 for each feature, and
    2048.
    Rounded down to pairs. Never fewer than 4 for each feature are asked: fewer leave the regression open.
    Where there are no more coalitions than that, all are asked and the result is exact."""
    precision: _precision.Precision = None
    """Stop as soon as the largest standard error of the row's values is below this share of the difference between score and
    base value (or of the largest value, where that is larger); ``samples`` is then the most that is asked. Not given: all
    ``samples`` are asked."""
    parts: Annotated[int, Field(ge=1)] = 10
    """In how many parts the references are divided, each of which is asked ``samples`` coalitions of its own and has its own
    surrogate, at the same number of model rows. 1: all references answer the same coalitions, as in the paper. With 50
    references, 10 parts come within a fifth of the error of 50, in a fifth of the time for surrogates."""


def pair_budget(params: RegressionAdjustedShapParams, features: int) -> int:
    """How many pairs of coalitions are asked for each row."""
    samples = 2 * features + 2048 if params.samples == "auto" else params.samples
    return min(max(samples // 2, 2 * features), all_pairs(features))


def cost(params: RegressionAdjustedShapParams, shape: Shape) -> Cost:
    """Two coalitions a pair and the empty one, each over all references; and the row itself.

    With a precision this is the most that is asked.
    """
    if shape.features < 2:
        return Cost(forward=shape.rows * (shape.references + 1))
    pairs = pair_budget(params, shape.features)
    return Cost(
        forward=shape.rows * ((2 * pairs + 1) * shape.references + 1),
        bytes=pairs * (40 * shape.features + (params.parts + 1) * (shape.features + 16 * shape.outputs))
        + 80 * min(pairs, MOST_CENTRES) ** 2,
    )


@attribution(
    paper="https://arxiv.org/abs/2506.11849",
    version=4,  # parts of the references are asked one design in orders of their own
    cost=cost,
    laws=("completeness", "null_feature", "symmetry"),
    estimates="shapley_values",
    relative_error=0.17,
    quantities={
        **_precision.QUANTITIES,
        "error_ratio": Quantity(
            "Standard error over that of Kernel SHAP on the same coalitions", "", "median", "lower"
        ),
    },
)
def regression_adjusted_shap(
    game: Game, params: RegressionAdjustedShapParams, rng: np.random.Generator
) -> FeatureValues:
    """Estimate Shapley values by Kernel SHAP on what a learned surrogate of the game leaves unexplained.

    The coalitions are drawn as in Kernel SHAP, for each of several parts of the references anew, so that the luck of the draw
    is averaged. For each part a surrogate with interactions of three and five features is fitted to
    their scores; its Shapley values are known in closed form. What it misses, on pairs of coalitions that were left out of its
    fit, is shared out by Kernel SHAP's regression and added, so that a poor surrogate costs precision and never makes the
    values wrong. Where it does not lower the standard error, the values are those of Kernel SHAP.

    Reading:
        In the score's own unit. The values of one row add up to its score minus the mean score of the references. A
        positive value has raised the score of the explained output, a negative one has lowered it. The standard
        error says how far a value would move if other coalitions were drawn: two values whose difference is within
        about two standard errors must be read as equal. It is zero where all coalitions were asked.

    Limits:
        The values describe the model, not the world: they are no causal effects. They depend on the references; and
        removed features are filled independently of those that are kept, so that correlated features are judged on
        rows that may never occur. The standard error covers the drawing of coalitions only, neither the choice of
        references nor of rows; with fewer than about five pairs for each feature it is itself rough. What is saved
        depends on the game: little where the interactions of many features matter alike.
    """
    if game.n_features < 2:
        full, empty = game.full(), game.empty()
        notes = {**_precision.notes(0, params.precision, converged=True), "error_ratio": 1.0}
        return FeatureValues(np.repeat((full - empty)[None], game.n_features, axis=0), np.zeros((1, len(full))), notes)
    learning_seed = int(rng.integers(2**63))
    budget = pair_budget(params, game.n_features)
    count = count_of_parts(game, budget, params.parts)
    most = MOST_CENTRES if count == 1 else MOST_CENTRES_OF_A_PART
    ratios: list[float] = []

    def corrected(design: PairedCoalitions, worth: Floats, rest: Floats, total: Floats) -> tuple[Floats, Floats]:
        from threadpoolctl import threadpool_limits

        # Matrices this small are slower on several threads: twenty times, where the cores have other work too.
        with threadpool_limits(1):
            values, error, ratio = adjust(design, worth, rest, total, np.random.default_rng(learning_seed), most)
        ratios.append(ratio)
        return values, error

    found = estimate(game, budget, params.parts, params.precision, corrected, rng)
    return FeatureValues(found.values, found.standard_error, {**found.notes, "error_ratio": ratios[-1]})


def adjust(
    design: PairedCoalitions, worth: Floats, rest: Floats, total: Floats, rng: np.random.Generator, most: int
) -> tuple[Floats, Floats, float]:
    """Values ``(features, k)``, standard errors, and their mean over those of Kernel SHAP; at most ``most`` pairs are fitted."""
    values, error = regress(design, worth, rest, total)
    if not design.unseen.any():
        return values, error, 1.0
    signs = signs_of(design.masks)
    order = rng.permutation(len(signs))
    centres = np.sort(order[:most])
    learning = np.sort(order[:MOST_LEARNING])
    without = error.copy()
    for output in range(len(total)):
        half = (worth[:, output] - rest[:, output]) / 2
        known = np.concatenate([signs[learning], np.ones((1, signs.shape[1]))])
        size = float(np.sqrt((half**2).mean()))
        if size == 0.0:
            continue
        own = np.hypot(values[:, output], error[:, output])
        setting = learn(known, np.append(half[learning], total[output] / 2) / size, own)
        held = fit_without_each(signs, half, total[output] / 2, setting, centres)
        left = np.full(2, total[output] - held.values.sum())
        missing = np.stack([_of_all_pairs(design, held, centres), held.residuals], axis=1)
        missed, its_error = regress(design, missing, -missing, left)
        if its_error[:, 1].mean() < error[:, output].mean():
            values[:, output], error[:, output] = held.values + missed[:, 0], its_error[:, 1]
    ratio = float(error.mean() / without.mean()) if without.mean() > 0 else 1.0
    return values, error, ratio


def _of_all_pairs(design: PairedCoalitions, held: Held, centres: Integers) -> Floats:
    """What the surrogate misses on average over all pairs of each pair's size, the fitted ones among them.

    Left-out pairs speak for those that were not fitted: of the N pairs of a size with c centres, N - c and the one left out.
    On the others the surrogate misses next to nothing; without them, sizes of which many pairs are asked would be corrected
    by too much.
    """
    asked = np.bincount(design.sizes)
    seen = 1 - design.unseen
    of_each = seen / asked[design.sizes]  # one pair's share of all; zero where it rounds to none
    fitted = np.bincount(design.sizes[centres], minlength=len(asked))[design.sizes]
    others = np.minimum(1.0 - (fitted - 1) * of_each, 1.0)
    return others * held.residuals + seen * held.fitted
