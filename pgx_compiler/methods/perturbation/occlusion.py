"""Occlusion, or leave one feature out (Zeiler & Fergus, 2014): https://arxiv.org/abs/1311.2901."""

import numpy as np

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Shape, attribution
from pgx_compiler.modalities.game import Game


class OcclusionParams(Params):
    """Occlusion has no parameters: what a feature is, and what fills a removed one, is said under ``features``."""


def cost(params: OcclusionParams, shape: Shape) -> Cost:
    """One coalition a feature over all references; and the row itself.

    A row counts as one also where the runtime computes only what a removed patch can reach.
    """
    return Cost(
        forward=shape.rows * (shape.features * shape.references + 1),
        bytes=shape.features * (shape.features + 8 * shape.outputs),
    )


@attribution(
    paper="https://arxiv.org/abs/1311.2901",
    version=2,  # the row is asked with the coalitions: other last digits
    cost=cost,
    laws=("null_feature", "symmetry", "linearity"),
)
def occlusion(game: Game, params: OcclusionParams) -> FeatureValues:
    """Measure how far the score falls when one feature alone is removed and filled from the references.

    Reading:
        In the score's own unit: the row's score minus the mean score with that one feature replaced. Positive: the
        score of the explained output rests on the feature; negative: the feature held the score down.

    Limits:
        The values need not add up to anything. Where two features say the same, removing either changes
        little and both look unimportant; where two work only together, both are credited with the whole.
        Values near zero are therefore no proof that a feature is unused.
    """
    worth, full = game.value_and_full(~np.eye(game.n_features, dtype=bool))
    return FeatureValues(full - worth)
