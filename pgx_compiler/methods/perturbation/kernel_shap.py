"""Kernel SHAP (Lundberg & Lee, 2017), with paired sampling (Covert & Lee, 2021): https://arxiv.org/abs/1705.07874."""

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Shape, attribution
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation._centred_masks import CentredMasks, solve
from pgx_compiler.methods.perturbation._own_coalitions import estimate
from pgx_compiler.methods.perturbation._paired_coalitions import PairedCoalitions, all_pairs
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
    parts: Annotated[int, Field(ge=1)] = 10
    """In how many parts the references are divided, each of which is asked ``samples`` coalitions of its own, at the same
    number of model rows. 1: all references answer the same coalitions, as in the literature. With 50 references, 10 parts
    halve the error, and 50 make it 0.4 and take longer where the model is very fast."""


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
        bytes=pairs * (40 * shape.features + (params.parts + 1) * (shape.features + 16 * shape.outputs))
        + 8 * shape.features**2,
    )


@attribution(
    paper="https://arxiv.org/abs/1705.07874",
    version=4,  # parts of the references are asked one design in orders of their own
    cost=cost,
    laws=("completeness", "null_feature", "symmetry", "linearity"),
    estimates="shapley_values",
    relative_error=0.33,
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
    if game.n_features < 2:
        whole = np.repeat((game.full() - game.empty())[None], game.n_features, axis=0)
        return FeatureValues(whole, np.zeros_like(whole), _precision.notes(0, params.precision, converged=True))
    return estimate(game, pair_budget(params, game.n_features), params.parts, params.precision, regress, rng)


def regress(design: PairedCoalitions, worth: Floats, of_complement: Floats, total: Floats) -> tuple[Floats, Floats]:
    """Solve the weighted least squares under the efficiency constraint; ``(features, k)`` values and standard errors.

    With the constraint eliminated (values = total / features + deviations that sum to zero), a coalition and its
    complement are one observation: half the difference of their worth, on membership centred by coalition size.
    """
    features, outputs = design.masks.shape[1], worth.shape[1]
    share, root = (design.sizes / features)[:, None], np.sqrt(design.weights)[:, None]
    response = root * ((worth - of_complement) / 2 - (share - 0.5) * total)

    # Constants are no deviation: fill that direction, with the matrix' own scale, so that it has an inverse.
    found = solve(
        CentredMasks(design.masks, share, root, list(design.blocks())),
        response,
        lambda gram: np.full_like(gram, np.trace(gram) / features**2),
    )
    deviations = found.coefficients - found.coefficients.mean(axis=0)
    variance = np.zeros((features, outputs))
    for part, membership in zip(design.blocks(), found.rows, strict=True):
        if not design.unseen[part].any():
            continue  # nothing was drawn
        influence = membership @ found.inverse
        leverage = np.minimum(np.einsum("pf,pf->p", influence, membership).astype(np.float64), 1 - 1e-9)
        # A fitted point pulls the fit towards itself: its residual is too small by about this factor (HC2).
        residuals = found.missed[part] / np.sqrt(1 - leverage)[:, None]
        variance += _variance(design.sizes[part], design.unseen[part], influence, residuals)
    return total / features + deviations, np.sqrt(variance)


def _variance(sizes: Integers, unseen: Floats, influence: NDArray[Any], residuals: Floats) -> Floats:
    """Sandwich estimator over the drawn pairs, within sizes, with the finite population correction.

    Squared distances from the mean of a size are squares less the square of the sum over the number: no pass for the centring.
    """
    starts = np.flatnonzero(np.diff(sizes, prepend=0))  # sizes ascend
    counts = np.diff(starts, append=len(sizes))
    factor = (unseen * np.repeat(counts / np.maximum(counts - 1, 1), counts))[:, None]
    of_sums = np.where(counts > 1, factor[starts, 0] / counts, 0.0)
    # Whatever unit the score has, single precision holds it.
    scale = np.abs(residuals).max(axis=0)
    scaled = (residuals / np.where(scale > 0, scale, 1.0)).astype(influence.dtype)
    about_mean = (np.square(influence).T @ (factor * np.square(scaled)).astype(influence.dtype)).astype(np.float64)
    for start, count, share in zip(starts, counts, of_sums, strict=True):
        run = slice(start, start + count)
        about_mean -= share * np.square((influence[run].T @ scaled[run]).astype(np.float64))
    # Where all pairs of a size say the same, the difference is a rounding error of either sign.
    return np.asarray(np.maximum(about_mean, 0.0) * scale**2)
