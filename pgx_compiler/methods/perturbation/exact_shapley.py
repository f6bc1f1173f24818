"""Exact Shapley values by asking every coalition (Shapley, 1953): https://doi.org/10.1515/9781400881970-018."""

from math import factorial

import numpy as np

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Shape, attribution
from pgx_compiler.modalities.game import Game
from runtimes.target import ModelFacts

MOST_FEATURES = 12
"""4096 coalitions a row: about what sampling would cost."""


class ExactShapleyParams(Params):
    """Exact Shapley values have no parameters."""


def cost(params: ExactShapleyParams, shape: Shape) -> Cost:
    """Every coalition but the full one over all references; and the row itself."""
    coalitions = 2**shape.features
    return Cost(
        forward=shape.rows * ((coalitions - 1) * shape.references + 1),
        bytes=coalitions * (shape.features + 16 * shape.outputs),
    )


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """Any model, with few features."""
    if shape.features > MOST_FEATURES:
        return f"{shape.features} features have too many coalitions; all are asked up to {MOST_FEATURES} features"
    return None


@attribution(
    paper="https://doi.org/10.1515/9781400881970-018",
    cost=cost,
    laws=("completeness", "null_feature", "symmetry", "linearity"),
    estimates="shapley_values",
    exact=True,
    admits=admits,
)
def exact_shapley(game: Game, params: ExactShapleyParams) -> FeatureValues:
    """Compute Shapley values exactly, from the score of every coalition of features.

    Reading:
        In the score's own unit. The values of one row add up to its score minus the mean score of the references. A
        positive value has raised the score of the explained output, a negative one has lowered it. There is no
        sampling error; the references are the only thing that was chosen.

    Limits:
        The values describe the model, not the world: they are no causal effects. They depend on the references; and
        removed features are filled independently of those that are kept, so that correlated features are judged on
        rows that may never occur.
    """
    features = game.n_features
    codes = np.arange(2**features)
    masks = (codes[:, None] >> np.arange(features)) & 1 == 1
    worth = np.concatenate([game.value(masks[:-1]), game.full()[None]])
    sizes = masks.sum(axis=1)
    weight = np.array([factorial(s) * factorial(features - s - 1) / factorial(features) for s in range(features)])
    values = np.empty((features, game.n_targets))
    for feature in range(features):
        without = codes[~masks[:, feature]]
        gain = worth[without | (1 << feature)] - worth[without]
        values[feature] = weight[sizes[without]] @ gain
    return FeatureValues(values)
