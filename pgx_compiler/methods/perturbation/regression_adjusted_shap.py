"""Regression-adjusted Shapley values (Witter, Liu & Musco, 2025): https://arxiv.org/abs/2506.11849."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, attribution
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation._coalition_surrogate import (
    MOST_CENTRES,
    MOST_LEARNING,
    fit_without_each,
    learn,
    signs_of,
)
from pgx_compiler.methods.perturbation._paired_coalitions import PairedCoalitions, all_pairs, draw_pairs
from pgx_compiler.methods.perturbation.kernel_shap import regress, sample_until, worth_of_pairs
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Floats

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
        bytes=pairs * (40 * shape.features + 16 * shape.outputs) + 80 * min(pairs, MOST_CENTRES) ** 2,
    )


@attribution(
    paper="https://arxiv.org/abs/2506.11849",
    version=2,  # coalitions of all sizes are drawn at once: other ones than before
    cost=cost,
    laws=("completeness", "null_feature", "symmetry"),
    estimates="shapley_values",
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

    The coalitions are those of Kernel SHAP. A surrogate with interactions of three and five features is fitted to
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
    full, empty = game.full(), game.empty()
    if game.n_features < 2:
        notes = {**_precision.notes(0, params.precision, converged=True), "error_ratio": 1.0}
        return FeatureValues(np.repeat((full - empty)[None], game.n_features, axis=0), np.zeros((1, len(full))), notes)
    budget, ratios = pair_budget(params, game.n_features), [1.0]

    def estimate(design: PairedCoalitions, worth: Floats, rest: Floats, total: Floats) -> tuple[Floats, Floats]:
        from threadpoolctl import threadpool_limits

        # Matrices this small are slower on several threads: twenty times, where the cores have other work too.
        with threadpool_limits(1):
            values, error, ratio = adjust(design, worth, rest, total, np.random.default_rng(learning_seed))
        ratios.append(ratio)
        return values, error

    if params.precision is None:
        design = draw_pairs(game.n_features, budget, rng)
        learning_seed = int(rng.integers(2**63))
        values, error = estimate(design, *worth_of_pairs(game, design), full - empty)
        found = FeatureValues(values, error, _precision.notes(2 * len(design.masks), None, converged=True))
    else:
        learning_seed = int(rng.integers(2**63))
        found = sample_until(game, full - empty, budget, params.precision, estimate, rng)
    return FeatureValues(found.values, found.standard_error, {**found.notes, "error_ratio": ratios[-1]})


def adjust(
    design: PairedCoalitions, worth: Floats, rest: Floats, total: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats, float]:
    """Values ``(features, k)``, standard errors, and their mean over those of Kernel SHAP."""
    values, error = regress(design, worth, rest, total)
    if not design.unseen.any():
        return values, error, 1.0
    signs = signs_of(design.masks)
    order = rng.permutation(len(signs))
    centres = np.sort(order[:MOST_CENTRES])
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
        left = np.array([total[output] - held.values.sum()])
        missed, its_error = regress(design, held.residuals[:, None], -held.residuals[:, None], left)
        if its_error.mean() < error[:, output].mean():
            values[:, output], error[:, output] = held.values + missed[:, 0], its_error[:, 0]
    ratio = float(error.mean() / without.mean()) if without.mean() > 0 else 1.0
    return values, error, ratio
