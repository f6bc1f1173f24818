"""RISE, randomised input sampling (Petsiuk, Das & Saenko, 2018): https://arxiv.org/abs/1806.07421.

The paper's importance is the mean score where a feature is kept, sum of f(m) m_j / (N p), an estimate of
E[f | j kept]. It equals E[f] + (1 - p) D_j with D_j = E[f | j kept] - E[f | j removed]: for all features the same
offset and the same factor. So D_j, which is computed here, puts features in the paper's order, and beyond that has a
sign, a zero that means nothing changes, and the score's unit. With p = 1/2, D_j is the Banzhaf value.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Shape, attribution
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation._random_masks import (
    Samples,
    all_coalitions,
    are_all_affordable,
    ask_in_rounds,
    forward_rows,
    in_blocks,
    most_draws,
)
from pgx_compiler.modalities.game import Game, Masks
from runtimes.capabilities import Floats

TITLE = "RISE"


class RiseParams(Params):
    """Parameters of RISE."""

    samples: Annotated[int, Field(ge=2)] | Samples = "auto"
    """Masks asked of the model for each row; ``auto``: 2 for each feature, and 2048, as many as Kernel SHAP asks for (the
    paper: 4000 to 8000, on 49 cells). Rounded down to pairs; never fewer than 4 for each feature. Where there are no more
    coalitions than that, all are asked and the result is exact."""
    keep: Annotated[float, Field(ge=0.1, le=0.9)] = 0.5
    """Probability with which a mask keeps a feature: p of the paper, which takes 0.5."""
    precision: _precision.Precision = None
    """Stop as soon as the largest standard error of the row's values is below this share of their sum (or of the largest
    value, where that is larger); ``samples`` is then the most that is asked. Not given: all ``samples`` are asked."""


def cost(params: RiseParams, shape: Shape) -> Cost:
    """The masks over all references; where all coalitions are asked, the full one is the row itself."""
    draws = most_draws(params.samples, shape.features)
    return Cost(
        forward=forward_rows(params.samples, shape, beside=0),
        bytes=draws * (40 * shape.features + 16 * shape.outputs),
    )


@attribution(
    paper="https://arxiv.org/abs/1806.07421",
    version=2,  # sums are taken in blocks: other last digits
    cost=cost,
    laws=("null_feature", "symmetry", "linearity", "additive_contributions"),
    quantities=_precision.QUANTITIES,
)
def rise(game: Game, params: RiseParams, rng: np.random.Generator) -> FeatureValues:
    """Compare the mean score of random masks that keep a feature with that of masks that remove it.

    Masks come in pairs that mirror each other (with ``keep`` 0.5: each with its complement), so that what does not depend
    on the feature cancels. The value is the mean where the feature is kept minus the mean where it is removed.

    Reading:
        In the score's own unit: how far the score is higher with the feature than without it, on average over random
        selections of the others. Positive: the feature raises the score of the explained output; negative: it lowers it.
        The standard error says how far a value would move if other masks were drawn: two values whose difference is
        within about two standard errors must be read as equal. It is zero where all coalitions were asked.

    Limits:
        The values need not add up to anything. They speak of rows of which half (by default) is filled from the
        references, not of the row itself: effects that only show while nearly all is kept are averaged away. The paper
        draws masks on a coarse grid, shifted and blurred over the pixels; here a mask keeps or removes whole features
        (patches, segments, words, columns), so that its maps are as fine as those features and no finer. Every value
        carries the noise of all other features: with many features, small values are below their standard error.
    """
    if are_all_affordable(params.samples, game.n_features):
        masks, worth = all_coalitions(game)
        notes = _precision.notes(len(masks), params.precision, converged=True)
        return FeatureValues(_exact(masks, worth, params.keep), np.zeros((game.n_features, game.n_targets)), notes)

    def draw(count: int) -> Masks:
        uniform = rng.random((count // 2, game.n_features))
        return np.stack([uniform < params.keep, uniform > 1 - params.keep], axis=1).reshape(count, -1)

    found = ask_in_rounds(game, draw, params.samples, params.precision, kept_minus_removed)
    notes = _precision.notes(len(found.masks), params.precision, found.converged)
    return FeatureValues(found.values, found.standard_error, notes)


def _exact(masks: Masks, worth: Floats, keep: float) -> Floats:
    """The difference of the two means over all coalitions, each with its probability."""
    kept = masks.sum(axis=1)
    chance = keep**kept * (1 - keep) ** (masks.shape[1] - kept)
    with_it = (masks * chance[:, None]).T @ worth / keep
    without = (~masks * chance[:, None]).T @ worth / (1 - keep)
    return np.asarray(with_it - without, np.float64)


def kept_minus_removed(masks: Masks, worth: Floats) -> tuple[Floats, Floats]:
    """Difference of means and its standard error, ``(features, k)`` each; masks 2i and 2i + 1 are one pair.

    The error is the spread of what each pair adds to the difference (its influence), pairs being independent.
    """
    (count, features), outputs = masks.shape, worth.shape[1]
    pairs, kept = count // 2, masks.sum(axis=0)
    is_known = (kept > 0) & (kept < count)
    kept, removed = np.maximum(kept, 1), np.maximum(count - kept, 1)
    centred = worth - worth.mean(axis=0)  # the offset cancels; taken off, it leaves no rounding error
    blocks = [slice(2 * part.start, 2 * part.stop) for part in in_blocks(pairs, 2 * features)]
    where_kept = sum((centred[part].T @ masks[part] for part in blocks), np.zeros((outputs, features)))
    mean_kept, mean_removed = where_kept / kept, (centred.sum(axis=0)[:, None] - where_kept) / removed
    # A mask adds (score - mean kept) / kept where it keeps the feature, and (mean removed - score) / removed elsewhere.
    slope, offset = 1 / kept + 1 / removed, mean_kept / kept + mean_removed / removed
    variance = np.zeros((outputs, features))
    for part in blocks:
        first, second = masks[part].astype(np.float64).reshape(-1, 2, features).swapaxes(0, 1)
        both = first + second
        for output in range(outputs):
            one, other = centred[part, output].reshape(-1, 2, 1).swapaxes(0, 1)
            of_pair = first * one
            of_pair += second * other
            of_pair *= slope
            of_pair -= both * offset[output]
            of_pair += (2 * mean_removed[output] - (one + other)) / removed
            variance[output] += np.einsum("pf,pf->f", of_pair, of_pair)
    values, error = (mean_kept - mean_removed).T, np.sqrt(variance.T * pairs / max(1, pairs - 1))
    # Always or never kept by the few masks there are: nothing is known but the spread of the scores.
    values[~is_known], error[~is_known] = 0.0, centred.std(axis=0)
    return values, error
