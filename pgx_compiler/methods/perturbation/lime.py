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
from pgx_compiler.methods.perturbation._weighted_ridge import Pairs, Ridge, fit_ridge
from pgx_compiler.modalities.game import Game, Masks
from runtimes.capabilities import Floats, Integers

WIDTHS = {"cosine": 0.25, "euclidean": 0.75}

TITLE = "LIME"


LEAST_WEIGHT = 1e-9
"""Below it a coalition counts for nothing beside the row itself, whose weight is 1."""


class LimeParams(Params):
    """Parameters of LIME."""

    samples: Annotated[int, Field(ge=2)] | Samples = "auto"
    """Coalitions asked of the model for each row, beside the row itself and the empty coalition; ``auto``: 2 for each feature, and 2048, as many as
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
    ridge: Annotated[float, Field(ge=0)] | Literal["auto"] = "auto"
    """Penalty on squared coefficients, against the weighted sum of squared errors. ``auto``: 1 where coalitions are drawn, which
    shrinks coefficients by less than a hundredth with the default number of samples; 0, least squares, where all are asked, since
    nothing is left to guard against and of one or two features a penalty would take half."""
    precision: _precision.Precision = None
    """Stop as soon as the largest standard error of the row's coefficients is below this share of their sum (or of the largest
    one, where that is larger); ``samples`` is then the most that is asked. Not given: all ``samples`` are asked."""


def cost(params: LimeParams, shape: Shape) -> Cost:
    """The coalitions over all references, of uniform sizes the empty one too, and the row itself."""
    draws, ends = most_draws(params.samples, shape.features), 1 + shape.references * (params.sizes == "uniform")
    return Cost(
        forward=forward_rows(params.samples, shape, beside=ends),
        bytes=draws * (40 * shape.features + 32 * shape.outputs) + 16 * shape.features**2,
    )


@attribution(
    paper="https://arxiv.org/abs/1602.04938",
    version=4,  # coalitions come in pairs with their complements
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
        penalty = 0.0 if params.ridge == "auto" else params.ridge
        whole = fit_ridge(_all_pairs(masks, worth, times * kernel(masks, params)), penalty, drawn=0)
        notes = _precision.notes(len(masks), params.precision, converged=True)
        return FeatureValues(whole.coefficients, whole.standard_error, {**_notes(whole, worth[-1]), **notes})
    full, fits, penalty = game.full(), list[Ridge](), 1.0 if params.ridge == "auto" else params.ridge
    ends = np.stack([game.empty() if params.sizes == "uniform" else full, full])

    def fit(masks: Masks, worth: Floats) -> tuple[Floats, Floats]:
        fits.append(fit_ridge(pairs_of(masks, worth, ends, params), penalty, drawn=len(masks) // 2))
        return fits[-1].coefficients, fits[-1].standard_error

    drawn = ask_in_rounds(
        game, lambda count: draw(count, features, params.sizes, rng), params.samples, params.precision, fit
    )
    notes = _precision.notes(len(drawn.masks), params.precision, drawn.converged)
    return FeatureValues(drawn.values, drawn.standard_error, {**_notes(fits[-1], ends[1]), **notes})


def draw(count: int, features: int, sizes: str, rng: np.random.Generator) -> Masks:
    """Random coalitions, each followed by its complement, ``(count, features)``; none is empty or full but by chance.

    Of uniform sizes the empty coalition is as likely as each other size: `pairs_of` gives it the weight for that.
    """
    if sizes == "binomial":
        half = rng.random((count // 2, features)) < 0.5
    else:
        half = random_subsets(features, rng.integers(1, features, count // 2), rng)
    both = np.stack([half, ~half], axis=1)
    return both.reshape(-1, features)


def pairs_of(masks: Masks, worth: Floats, ends: Floats, params: LimeParams) -> Pairs:
    """What was drawn, ``(n, features)`` and ``(n, k)``, with the empty coalition and the row itself (``ends``) beside it."""
    features, half = masks.shape[1], masks[::2]
    kept = np.append(_share_kept(half), 1.0)
    weights = _weights(np.stack([kept, 1 - kept]), params)  # the row itself, and its complement: the empty coalition
    weights[:, :-1] *= (features - 1) / features if params.sizes == "uniform" else 1.0
    weights[1, -1] *= len(masks) / features if params.sizes == "uniform" else 0.0
    together = np.stack([worth[::2], worth[1::2]])
    return Pairs(
        np.concatenate([half, np.ones((1, features), bool)]),
        np.concatenate([together, ends[::-1, None]], axis=1),
        weights,
    )


def _all_pairs(masks: Masks, worth: Floats, weights: Floats) -> Pairs:
    """Every coalition, in the order of `all_coalitions`: the complement of a mask stands as far from the other end."""
    half = len(masks) // 2
    of_complements = slice(half - 1, None, -1)
    return Pairs(
        masks[half:],
        np.stack([worth[half:], worth[of_complements]]),
        np.stack([weights[half:], weights[of_complements]]),
    )


def _probability(kept: Integers, features: int, sizes: str) -> Floats:
    """With which each coalition of that many features is drawn."""
    if sizes == "binomial":
        return np.full(len(kept), 0.5**features)
    of_size = [1 / (features * comb(features, size)) for size in range(features)]
    return np.array([*of_size, 0.0])[kept]


def kernel(masks: Masks, params: LimeParams) -> Floats:
    """The weight of each coalition: sqrt(exp(-distance^2 / width^2)), 1 for the row itself."""
    return _weights(_share_kept(masks), params)


def _share_kept(masks: Masks) -> Floats:
    return np.count_nonzero(masks, axis=1) / masks.shape[1] if masks.shape[1] else np.ones(len(masks))


def _weights(kept: Floats, params: LimeParams) -> Floats:
    """The weight of coalitions that keep these shares of the features."""
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
