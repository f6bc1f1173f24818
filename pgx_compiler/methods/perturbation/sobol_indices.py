"""Total Sobol indices of features (Fel et al., 2021): https://arxiv.org/abs/2111.04138.

The estimator of the variance that a feature takes part in is Jansen's (1999, https://doi.org/10.1016/S0010-4655(98)00154-4):
half the mean squared change of the score when one input alone is replaced. For inputs that are kept or removed with
probability 1/2 a replacement changes the input every second time, so the feature is always switched and the square
halved: S_T = E[(v(m) - v(m with j switched))^2] / (4 Var v).

Fel et al. draw masks from a Sobol sequence. Here they are drawn independently: thresholded at 1/2, the first 2^k points
of a Sobol sequence hold at most 2^(k-1) different columns, so that with 32 of them and 64 features whole groups of
features would always be kept and removed together.
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, attribution
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation._random_masks import all_coalitions
from pgx_compiler.modalities.game import Game, Masks
from runtimes.capabilities import Floats

LEAST_DESIGNS = 32
"""Masks whose features are all switched; Fel et al. take 32."""


class SobolIndicesParams(Params):
    """Parameters of total Sobol indices."""

    designs: Annotated[int, Field(ge=4)] | Literal["auto"] = "auto"
    """Random masks in which every feature is switched once: each costs one coalition more than there are features. ``auto``:
    as many as 2 coalitions for each feature, and 2048, allow, and no fewer than 32 (Fel et al.). Where all coalitions cost
    no more, all are asked and the indices are exact."""
    precision: _precision.Precision = None
    """Stop as soon as the largest standard error of the row's indices is below this share of their sum (or of the largest
    one, where that is larger); ``designs`` is then the most that is drawn. Not given: all ``designs`` are drawn."""


def designs_of(params: SobolIndicesParams, features: int) -> int:
    """How many masks are drawn for each row."""
    return max(LEAST_DESIGNS, (2 * features + 2048) // (features + 1)) if params.designs == "auto" else params.designs


def is_exact(params: SobolIndicesParams, features: int) -> bool:
    """Whether all coalitions cost no more than the drawn ones."""
    return bool(2**features <= designs_of(params, features) * (features + 1))


def cost(params: SobolIndicesParams, shape: Shape) -> Cost:
    """Each mask and each of its features switched, over all references; or every coalition."""
    if is_exact(params, shape.features):
        asked = (2**shape.features - 1) * shape.references + 1
    else:
        asked = designs_of(params, shape.features) * (shape.features + 1) * shape.references
    masks = asked // max(1, shape.references) + 1
    return Cost(forward=shape.rows * asked, bytes=masks * (shape.features + 40 * shape.outputs))


@attribution(
    paper="https://arxiv.org/abs/2111.04138",
    cost=cost,
    laws=("null_feature", "symmetry", "variance_shares"),
    signed=False,
    unit="",
    quantities={
        "spread": Quantity("Standard deviation of the score over random coalitions", "score"),
        "sum": Quantity("Sum of the total indices (1: features do not interact)"),
        **_precision.QUANTITIES,
    },
)
def sobol_indices(game: Game, params: SobolIndicesParams, rng: np.random.Generator) -> FeatureValues:
    """Measure each feature's share in the variance of the score when every feature is kept or removed by a coin.

    Reading:
        Between 0 and 1, without a sign: the share of the variance that would remain if all other features were known,
        on average. It counts what the feature does alone and together with others, so that the indices sum to 1 where
        features do not interact and to more where they do; the sum is given. The standard error (delete-one jackknife)
        says how far an index would move if other masks were drawn; it is zero where all coalitions were asked.

    Limits:
        An index says that a feature matters, not in which direction. Indices are squares: a feature of a third of
        another's effect has a ninth of its index, so that few features stand out and the others look alike. They speak
        of rows of which half is filled from the references, not of the row itself; and they are shares, so that a row
        whose score hardly moves has indices as large as any: see the spread. With few masks an estimated index may
        exceed 1.
    """
    if is_exact(params, game.n_features):
        masks, worth = all_coalitions(game)
        values, spread = _exact(masks, worth)
        error, notes = np.zeros_like(values), _precision.notes(len(masks), params.precision, converged=True)
    else:
        values, error, spread, notes = _drawn(game, params, rng)
    return FeatureValues(values, error, {"spread": spread, "sum": values.sum(axis=0), **notes})


def _drawn(
    game: Game, params: SobolIndicesParams, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats, dict[str, float]]:
    """Indices, errors, spread and notes of designs that are drawn until the precision is met or the budget spent."""
    features, most = game.n_features, designs_of(params, game.n_features)
    designs = most if params.precision is None else min(most, LEAST_DESIGNS)
    switched = np.concatenate([np.zeros((1, features), bool), np.eye(features, dtype=bool)])
    worth = np.zeros((0, features + 1, game.n_targets))
    while True:
        drawn = rng.random((designs - len(worth), features)) < 0.5
        asked = game.value((drawn[:, None, :] ^ switched).reshape(-1, features))
        worth = np.concatenate([worth, asked.reshape(len(drawn), features + 1, game.n_targets)])
        values, error, spread = _estimate(worth)
        wanted = params.precision
        over = 0.0 if wanted is None else _precision.excess(values, error, values.sum(axis=0), wanted)
        if over <= 1.0 or designs == most:
            return values, error, spread, _precision.notes(designs * (features + 1), wanted, over <= 1.0)
        designs = _precision.next_look(designs, over, most)


def _exact(masks: Masks, worth: Floats) -> tuple[Floats, Floats]:
    """Indices ``(features, k)`` and the spread ``(k,)`` from the worth of every coalition, in binary order."""
    codes = np.arange(len(masks))
    variance = worth.var(axis=0)
    switched = [((worth - worth[codes ^ (1 << feature)]) ** 2).mean(axis=0) for feature in range(masks.shape[1])]
    parts = np.array(switched).reshape(masks.shape[1], worth.shape[1]) / 4
    return _share(parts, variance, np.abs(worth).max(axis=0)), np.sqrt(variance)


def _share(part: Floats, variance: Floats, largest: Floats) -> Floats:
    """``part / variance``; zero where the score does not vary beyond its own rounding."""
    varies = variance > (1e-12 * largest) ** 2
    return np.asarray(np.where(varies, part / np.where(varies, variance, 1.0), 0.0), np.float64)


def _estimate(worth: Floats) -> tuple[Floats, Floats, Floats]:
    """Indices, their standard errors ``(features, k)``, and the spread of the score ``(k,)``.

    Args:
        worth: of each design's mask, and with each of its features switched, ``(designs, 1 + features, k)``.
    """
    designs = len(worth)
    parts = (worth[:, 1:] - worth[:, :1]) ** 2 / 4
    largest = np.abs(worth).max(axis=(0, 1))
    worth = worth - worth.mean(axis=(0, 1))  # a large offset would cost digits of the variance
    # A mask with one feature switched is as random as the mask: all of them tell the variance.
    mean, square = worth.mean(axis=1), (worth**2).mean(axis=1)
    variance = _variance(mean.sum(axis=0), (mean**2).sum(axis=0), square.sum(axis=0), designs)
    whole = _share(parts.mean(axis=0), variance, largest)
    left = designs - 1
    without = _variance(mean.sum(axis=0) - mean, (mean**2).sum(axis=0) - mean**2, square.sum(axis=0) - square, left)
    each = _share((parts.sum(axis=0) - parts) / left, without[:, None], largest)
    error = np.sqrt(left / designs * ((each - each.mean(axis=0)) ** 2).sum(axis=0))
    return whole, error, np.sqrt(variance)


def _variance(means: Floats, squared_means: Floats, squares: Floats, designs: int) -> Floats:
    """Unbiased variance of the score from sums over designs, whose scores hang together: of means, their squares, mean squares."""
    uncertainty = (squared_means - means**2 / designs) / (designs - 1) / designs
    return np.asarray(np.maximum(squares / designs - (means / designs) ** 2 + uncertainty, 0.0), np.float64)
