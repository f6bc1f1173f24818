"""Shapley values from random orders of the features (Castro et al., 2009): https://doi.org/10.1016/j.cor.2008.04.004."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Shape, attribution
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation.exact_shapley import ExactShapleyParams, exact_shapley
from pgx_compiler.modalities.game import Game, Masks
from runtimes.capabilities import Floats, Integers


class PermutationShapParams(Params):
    """Parameters of permutation SHAP."""

    samples: Annotated[int, Field(ge=2)] | Literal["auto"] = "auto"
    """Coalitions asked of the model for each row, beside the empty and the full one; ``auto``: 2 for each feature, and
    2048. Rounded down to whole orders, each walked forwards and backwards; never fewer than two such walks, so that
    their spread is known. Where there are no more coalitions than that, all are asked, and the result is exact."""
    precision: _precision.Precision = None
    """Stop as soon as the largest standard error of the row's values is below this share of the difference between score and
    base value (or of the largest value, where that is larger); ``samples`` is then the most that is asked. Not given: all
    ``samples`` are asked."""


FIRST_LOOK = 8
"""Walks before the first look at a precision (own default): the spread of fewer is too rough to stop on."""


def walks(params: PermutationShapParams, features: int) -> int:
    """How many orders are drawn for each row, each walked both ways."""
    samples = 2 * features + 2048 if params.samples == "auto" else params.samples
    return max(2, samples // max(1, 2 * (features - 1)))


def asks_all(params: PermutationShapParams, features: int) -> bool:
    """Whether there are no more coalitions than may be asked, with a precision: before the first look at it."""
    count = walks(params, features)
    if params.precision is not None:
        most = min(count, FIRST_LOOK) * 2 * (features - 1)
    else:
        most = max(count * 2 * (features - 1), 0 if params.samples == "auto" else params.samples)
    return features > 1 and 2**features - 2 <= most


def cost(params: PermutationShapParams, shape: Shape) -> Cost:
    """One coalition for each inner step of each walk, and the empty one, over all references; and the row itself.

    With a precision this is the most that is asked. Where there are no more coalitions than that, it is all of them.
    """
    asked = 0 if shape.features < 2 else walks(params, shape.features) * 2 * (shape.features - 1)
    if asks_all(params, shape.features):
        asked = 2**shape.features - 2
    return Cost(
        forward=shape.rows * ((asked + 1) * shape.references + 1),
        bytes=asked * (shape.features + 24 * shape.outputs),
    )


@attribution(
    paper="https://doi.org/10.1016/j.cor.2008.04.004",
    version=2,  # few coalitions are asked once each
    cost=cost,
    laws=("completeness", "null_feature", "symmetry", "linearity"),
    estimates="shapley_values",
    relative_error=0.81,
    quantities=_precision.QUANTITIES,
)
def permutation_shap(game: Game, params: PermutationShapParams, rng: np.random.Generator) -> FeatureValues:
    """Estimate Shapley values by switching features on one after another, in random orders and their reverses.

    Where that would ask as many coalitions as there are, each is asked once, and the values are exact.

    Reading:
        In the score's own unit. The values of one row add up to its score minus the mean score of the references. A
        positive value has raised the score of the explained output, a negative one has lowered it. The standard
        error is the spread over orders, zero where all coalitions were asked: two values whose difference is within
        about two standard errors must be read as equal. A feature that the model does not read gets exactly zero.

    Limits:
        The values describe the model, not the world: they are no causal effects. They depend on the references; and
        removed features are filled independently of those that are kept, so that correlated features are judged on
        rows that may never occur. With many features few orders are affordable, and the standard error is then rough
        itself.
    """
    features = game.n_features
    if asks_all(params, features):
        exact = exact_shapley(game, ExactShapleyParams()).values
        notes = _precision.notes(2**features - 2, params.precision, converged=True)
        return FeatureValues(exact, np.zeros_like(exact), notes)
    full, empty = game.full(), game.empty()
    if features < 2:
        whole = np.repeat((full - empty)[None], features, axis=0)
        return FeatureValues(whole, np.zeros_like(whole), _precision.notes(0, params.precision, converged=True))
    budget = walks(params, features)
    count = budget if params.precision is None else min(budget, FIRST_LOOK)
    estimates = np.zeros((0, features, game.n_targets))
    while True:
        forward = np.stack([rng.permutation(features) for _ in range(count - len(estimates))])
        gains = _walk(game, np.concatenate([forward, forward[:, ::-1]]), empty, full)
        estimates = np.concatenate([estimates, (gains[: len(forward)] + gains[len(forward) :]) / 2])
        values, error = estimates.mean(axis=0), estimates.std(axis=0, ddof=1) / np.sqrt(count)
        over = 0.0 if params.precision is None else _precision.excess(values, error, full - empty, params.precision)
        if over <= 1.0 or count >= budget:
            notes = _precision.notes(2 * count * (features - 1), params.precision, over <= 1.0)
            return FeatureValues(values, error, notes)
        count = _precision.next_look(count, over, budget)


def _walk(game: Game, orders: Integers, empty: Floats, full: Floats) -> Floats:
    """Marginal contribution of each feature along each order, ``(orders, features, k)``."""
    count, features = orders.shape
    place = np.argsort(orders, axis=1)
    masks: Masks = place[:, None, :] <= np.arange(features - 1)[None, :, None]
    worth = np.empty((count, features + 1, game.n_targets))
    worth[:, 0], worth[:, -1] = empty, full
    worth[:, 1:-1] = game.value(masks.reshape(-1, features)).reshape(count, features - 1, -1)
    return np.take_along_axis(np.diff(worth, axis=1), place[:, :, None], axis=1)
