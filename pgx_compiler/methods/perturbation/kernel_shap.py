"""Kernel SHAP (Lundberg & Lee, 2017), with paired sampling (Covert & Lee, 2021): https://arxiv.org/abs/1705.07874."""

from collections.abc import Callable
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Shape, attribution
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation._paired_coalitions import (
    PairedCoalitions,
    StagedCoalitions,
    all_pairs,
    draw_pairs,
)
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Floats, Integers


class KernelShapParams(Params):
    """Parameters of Kernel SHAP."""

    samples: Annotated[int, Field(ge=2)] | Literal["auto"] = "auto"
    """Coalitions asked of the model for each row, beside the empty and the full one; ``auto``: 2 for each feature, and
    2048. Rounded down to pairs. Never fewer than 4 for each feature are asked: fewer leave the regression open.
    Where there are no more coalitions than that, all are asked and the result is exact."""
    precision: _precision.Precision = None
    """Stop as soon as the largest standard error of the row's values is below this share of the difference between score and
    base value (or of the largest value, where that is larger); ``samples`` is then the most that is asked. Not given: all
    ``samples`` are asked."""


def pair_budget(params: KernelShapParams, features: int) -> int:
    """How many pairs of coalitions are asked for each row."""
    samples = 2 * features + 2048 if params.samples == "auto" else params.samples
    return min(max(samples // 2, 2 * features), all_pairs(features))


def cost(params: KernelShapParams, shape: Shape) -> Cost:
    """Two coalitions a pair and the empty one, each over all references; and the row itself.

    With a precision this is the most that is asked.
    """
    pairs = pair_budget(params, shape.features)
    return Cost(
        forward=shape.rows * ((2 * pairs + 1) * shape.references + 1),
        bytes=pairs * (40 * shape.features + 16 * shape.outputs) + 8 * shape.features**2,
    )


@attribution(
    paper="https://arxiv.org/abs/1705.07874",
    version=2,  # coalitions of all sizes are drawn at once: other ones than before
    cost=cost,
    laws=("completeness", "null_feature", "symmetry", "linearity"),
    estimates="shapley_values",
    quantities=_precision.QUANTITIES,
)
def kernel_shap(game: Game, params: KernelShapParams, rng: np.random.Generator) -> FeatureValues:
    """Estimate Shapley values by a weighted linear regression on the scores of sampled coalitions of features.

    Coalitions come in pairs with their complements, small and large ones first; every feature stays in the
    regression. The sum of the values is held exactly, not fitted.

    Reading:
        In the score's own unit. The values of one row add up to its score minus the mean score of the references. A
        positive value has raised the score of the explained output, a negative one has lowered it. The standard
        error says how far a value would move if other coalitions were drawn: two values whose difference is within
        about two standard errors must be read as equal. It is zero where all coalitions were asked.

    Limits:
        The values describe the model, not the world: they are no causal effects. They depend on the references; and
        removed features are filled independently of those that are kept, so that correlated features are judged on
        rows that may never occur. The standard error covers the drawing of coalitions only, neither the choice of
        references nor of rows; with fewer than about five pairs for each feature it is itself rough, and somewhat more
        than one value in twenty lies further than two standard errors off.
    """
    full, empty = game.full(), game.empty()
    if game.n_features < 2:
        notes = _precision.notes(0, params.precision, converged=True)
        return FeatureValues(np.repeat((full - empty)[None], game.n_features, axis=0), notes=notes)
    budget = pair_budget(params, game.n_features)
    if params.precision is not None:
        return sample_until(game, full - empty, budget, params.precision, regress, rng)
    design = draw_pairs(game.n_features, budget, rng)
    values, error = regress(design, *worth_of_pairs(game, design), full - empty)
    return FeatureValues(values, error, {"samples": 2.0 * len(design.masks)})


Estimator = Callable[[PairedCoalitions, Floats, Floats, Floats], tuple[Floats, Floats]]
"""Design, worth of its coalitions and of their complements ``(pairs, k)``, total ``(k,)``: values and standard errors."""


def worth_of_pairs(game: Game, design: PairedCoalitions) -> tuple[Floats, Floats]:
    """The worth of each coalition and of its complement, ``(pairs, k)`` each."""
    worth = game.value(np.concatenate([design.masks, ~design.masks]))
    return worth[: len(design.masks)], worth[len(design.masks) :]


def sample_until(
    game: Game, total: Floats, budget: int, precision: float, estimator: Estimator, rng: np.random.Generator
) -> FeatureValues:
    """Ask pairs until the values are as precise as asked, or the budget is spent, and say which."""
    staged = StagedCoalitions(game.n_features, budget, rng)
    worth = np.full((2, len(staged.whole.masks), game.n_targets), np.nan)
    pairs = min(budget, max(2 * game.n_features, _precision.FIRST_LOOK))
    while True:
        taken, design = staged.beginning(pairs)
        fresh = taken[np.isnan(worth[0, taken, 0])]
        masks = staged.whole.masks[fresh]
        worth[:, fresh] = game.value(np.concatenate([masks, ~masks])).reshape(2, len(fresh), -1)
        values, error = estimator(design, worth[0, taken], worth[1, taken], total)
        over = _precision.excess(values, error, total, precision)
        if over <= 1.0 or pairs >= budget:
            return FeatureValues(values, error, _precision.notes(2 * len(taken), precision, over <= 1.0))
        pairs = _precision.next_look(pairs, over, budget)


def regress(design: PairedCoalitions, worth: Floats, of_complement: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Solve the weighted least squares under the efficiency constraint; ``(features, k)`` values and standard errors.

    With the constraint eliminated (values = total / features + deviations that sum to zero), a coalition and its
    complement are one observation: half the difference of their worth, on membership centred by coalition size.
    """
    features, outputs = design.masks.shape[1], worth.shape[1]
    share, root = (design.sizes / features)[:, None], np.sqrt(design.weights)[:, None]
    response = root * ((worth - of_complement) / 2 - (share - 0.5) * total)

    def scaled(part: slice) -> Floats:
        membership: Floats = design.masks[part] - share[part]
        membership *= root[part]
        return membership

    gram, moments = np.zeros((features, features)), np.zeros((features, outputs))
    for part in design.blocks():
        membership = scaled(part)
        gram += membership.T @ membership
        moments += membership.T @ response[part]
    # Constants are no deviation: fill that direction, with the gram's own scale, so that the matrix has an inverse.
    inverse = np.linalg.inv(gram + np.trace(gram) / features**2)
    deviations = inverse @ moments
    deviations -= deviations.mean(axis=0)
    variance = np.zeros((features, outputs))
    for part in design.blocks():
        if not design.unseen[part].any():
            continue  # nothing was drawn
        membership = scaled(part)
        influence = membership @ inverse
        leverage = np.minimum(np.einsum("pf,pf->p", influence, membership), 1 - 1e-9)
        # A fitted point pulls the fit towards itself: its residual is too small by about this factor (HC2).
        residuals = (response[part] - membership @ deviations) / np.sqrt(1 - leverage)[:, None]
        variance += _variance(design.sizes[part], design.unseen[part], influence, residuals)
    return total / features + deviations, np.sqrt(variance)


def _variance(sizes: Integers, unseen: Floats, influence: Floats, residuals: Floats) -> Floats:
    """Sandwich estimator over the drawn pairs, within sizes, with the finite population correction."""
    _, starts, size, counts = np.unique(sizes, return_index=True, return_inverse=True, return_counts=True)
    factor = unseen * (counts / np.maximum(counts - 1, 1))[size]
    centre = np.where(counts > 1, 1 / counts, 0.0)[:, None]
    variance = np.empty((influence.shape[1], residuals.shape[1]))
    for output in range(residuals.shape[1]):
        scores = influence * residuals[:, output, None]
        scores -= (np.add.reduceat(scores, starts, axis=0) * centre)[size]
        variance[:, output] = factor @ np.square(scores, out=scores)
    return variance
