"""LIME, a local linear surrogate (Ribeiro, Singh & Guestrin, 2016): https://arxiv.org/abs/1602.04938.

Kernel and defaults are those of the authors' package (``lime`` 0.2): weight sqrt(exp(-d^2 / width^2)) and a ridge penalty
of 1, but no selection of features: every feature has a coefficient.
"""

from math import comb
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, UnfitParams, attribution
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation._random_masks import (
    Samples,
    all_coalitions,
    are_all_affordable,
    ask_in_rounds,
    forward_rows,
    most_draws,
    random_subsets,
)
from pgx_compiler.methods.perturbation._weighted_ridge import Ridge, fit_ridge
from pgx_compiler.modalities.game import Game, Masks
from runtimes.capabilities import Floats, Integers

WIDTHS = {"cosine": 0.25, "euclidean": 0.75}

TITLE = "LIME"


LEAST_WEIGHT = 1e-9
"""Below it a coalition counts for nothing beside the row itself, whose weight is 1."""


class LimeParams(Params):
    """Parameters of LIME."""

    samples: Annotated[int, Field(ge=2)] | Samples = "auto"
    """Coalitions asked of the model for each row, beside the row itself; ``auto``: 2 for each feature, and 2048, as many as
    Kernel SHAP asks for (the authors' package: 1000 for pictures, 5000 for tables and text, each filled from one reference
    where here a score is the mean over all). Rounded down to an even number; never fewer than 4 for each feature. Where
    there are no more coalitions than that, all are asked and the fit is exact."""
    sizes: Literal["uniform", "binomial"] = "uniform"
    """How many features a coalition keeps. ``uniform``: every number is as likely, as in the authors' package for text.
    ``binomial``: each is kept with probability 1/2, as it does for pictures; with many features nearly all coalitions then
    keep about half, none is near the row, and the kernel hardly matters. Measured on a network on digits and a boosted model
    of credit, ``uniform`` halves the surrogate's distance from the model at the row itself, at the same cost."""
    distance: Literal["cosine", "euclidean"] = "cosine"
    """Between a coalition and the row, of which a share s of the features is removed. ``cosine``: 1 - sqrt(1 - s), which the
    authors' package takes for pictures and text. ``euclidean``: sqrt(s), which it takes for tables."""
    kernel_width: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """Distance at which a coalition's weight has fallen to exp(-1/2) = 0.61. ``auto``: 0.25 for cosine, 0.75 for euclidean
    (0.75 sqrt(features) of the authors' package, where the distance is that of features removed, not of their share)."""
    ridge: Annotated[float, Field(ge=0)] = 1.0
    """Penalty on squared coefficients, against the weighted sum of squared errors. 1 shrinks coefficients by less than a
    hundredth with the default number of samples; 0 is least squares."""
    precision: _precision.Precision = None
    """Stop as soon as the largest standard error of the row's coefficients is below this share of their sum (or of the largest
    one, where that is larger); ``samples`` is then the most that is asked. Not given: all ``samples`` are asked."""


def cost(params: LimeParams, shape: Shape) -> Cost:
    """The coalitions over all references, and the row itself."""
    draws = most_draws(params.samples, shape.features)
    return Cost(
        forward=forward_rows(params.samples, shape, beside=1),
        bytes=draws * (40 * shape.features + 32 * shape.outputs) + 16 * shape.features**2,
    )


@attribution(
    paper="https://arxiv.org/abs/1602.04938",
    version=3,  # coalitions are drawn from 32 bits a feature: other ones than before
    cost=cost,
    laws=("symmetry", "linearity", "additive_contributions"),
    quantities={
        "fidelity": Quantity(
            "Fidelity of the surrogate: weighted R² on draws that it was not fitted to", "", "median", "higher"
        ),
        "gap": Quantity("Distance between surrogate and model at the row itself", "score", "median", "lower"),
        **_precision.QUANTITIES,
    },
)
def lime(game: Game, params: LimeParams, rng: np.random.Generator) -> FeatureValues:
    """Fit a linear model of kept features to the scores of random coalitions, the nearer to the row the heavier.

    Reading:
        A coefficient is, in the score's own unit, what keeping the feature adds in the linear model. Positive: it raises
        the score of the explained output. Read the fidelity first: it is the share of the variance of the model's scores
        that the linear model explains on draws that it was not fitted to (each draw is predicted by the fit to all others);
        where it is low, the coefficients describe another model than the one audited. The standard error says how far a
        coefficient would move if other coalitions were drawn.

    Limits:
        Kernel width and the way coalitions are drawn are conventions, and other choices give other coefficients; near the
        row means here: most features kept, not: similar values. The values do not add up to the score's difference, and a
        feature that the model does not read may get a small coefficient where others interact. A high
        fidelity holds for coalitions as drawn, mostly far from the row: the gap says how far the linear model misses the
        row itself. Removed features are filled independently of those that are kept, so that correlated features are
        judged on rows that may never occur.
    """
    features = game.n_features
    if are_all_affordable(params.samples, features):
        masks, worth = all_coalitions(game)
        times = most_draws(params.samples, features) * _probability(masks.sum(axis=1), features, params.sizes)
        times[-1] += 1  # the row itself is always among the draws
        whole = fit_ridge(masks, worth, times * kernel(masks, params), params.ridge, drawn=False)
        notes = _precision.notes(len(masks), params.precision, converged=True)
        return FeatureValues(whole.coefficients, whole.standard_error, {**_notes(whole, worth[-1]), **notes})
    full, fits = game.full(), list[Ridge]()

    def fit(masks: Masks, worth: Floats) -> tuple[Floats, Floats]:
        masks = np.concatenate([masks, np.ones((1, features), bool)])
        fits.append(fit_ridge(masks, np.concatenate([worth, full[None]]), kernel(masks, params), params.ridge))
        return fits[-1].coefficients, fits[-1].standard_error

    drawn = ask_in_rounds(
        game, lambda count: draw(count, features, params.sizes, rng), params.samples, params.precision, fit
    )
    notes = _precision.notes(len(drawn.masks), params.precision, drawn.converged)
    return FeatureValues(drawn.values, drawn.standard_error, {**_notes(fits[-1], full), **notes})


def draw(count: int, features: int, sizes: str, rng: np.random.Generator) -> Masks:
    """Random coalitions, ``(count, features)``; of uniform sizes, all but the full one are as likely."""
    if sizes == "binomial":
        return rng.random((count, features)) < 0.5
    removed = rng.integers(1, features + 1, count)
    return ~random_subsets(features, removed, rng)


def _probability(kept: Integers, features: int, sizes: str) -> Floats:
    """With which each coalition of that many features is drawn."""
    if sizes == "binomial":
        return np.full(len(kept), 0.5**features)
    of_size = [1 / (features * comb(features, size)) for size in range(features)]
    return np.array([*of_size, 0.0])[kept]


def kernel(masks: Masks, params: LimeParams) -> Floats:
    """The weight of each coalition: sqrt(exp(-distance^2 / width^2)), 1 for the row itself."""
    kept = np.count_nonzero(masks, axis=1) / masks.shape[1] if masks.shape[1] else np.ones(len(masks))
    distance = 1 - np.sqrt(kept) if params.distance == "cosine" else np.sqrt(1 - kept)
    width = WIDTHS[params.distance] if params.kernel_width == "auto" else params.kernel_width
    weights = np.asarray(np.exp(-(distance**2) / (2 * width**2)), np.float64)
    removed = kept < 1
    if removed.any() and weights[removed].max() < LEAST_WEIGHT:
        nearest = distance[removed].min()
        raise UnfitParams(
            f"`kernel_width` {width:g} leaves no coalition any weight: the nearest lies at {nearest:.3g}, and a fit to the row "
            "alone says nothing; widen it"
        )
    return weights


def _notes(fitted: Ridge, full: Floats) -> dict[str, Floats]:
    at_row = fitted.intercept + fitted.coefficients.sum(axis=0)
    return {"fidelity": fitted.fidelity, "gap": np.abs(at_row - full)}
