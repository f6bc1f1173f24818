"""Permutation SHAP asks every coalition once where there are no more than it may ask."""

import numpy as np
import pytest

from pgx_compiler.methods.perturbation.exact_shapley import ExactShapleyParams, exact_shapley
from pgx_compiler.methods.perturbation.permutation_shap import PermutationShapParams, cost, permutation_shap
from pgx_compiler.methods.price import Shape
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from tests.methods.models import Mlp


def game_of(features):
    rng = np.random.default_rng(features)
    model = Mlp(rng.normal(size=(features, 5)), rng.normal(size=5), rng.normal(size=(5, 2)))
    owners = FeatureMap(tuple(map(str, range(features))), {"x": np.arange(features)})
    row, references = {"x": rng.normal(size=(1, features))}, {"x": rng.normal(size=(3, features))}
    return model, Game(model, row, references, owners, np.array([0, 1]))


@pytest.mark.parametrize(
    ("features", "params", "asked", "is_exact"),
    [
        (2, {"samples": 2}, 2, True),
        (4, {"samples": 14}, 14, True),  # 2⁴ - 2
        (4, {"samples": 13}, 2 * 2 * 3, False),  # two walks, both ways, of three coalitions
        (11, {}, 2046, True),  # 2¹¹ - 2 of 2070
        (12, {}, 94 * 2 * 11, False),  # 2072 allow 94 walks; there are 4094 coalitions
        (6, {"precision": 0.5}, 62, True),  # the first look would come after 8 walks: 80
        (7, {"precision": 1e-9, "samples": 100}, 8 * 2 * 6, False),  # 126 are more than the 96 before the first look
    ],
)
def test_all_coalitions_are_asked_where_they_are_few(features, params, asked, is_exact):
    model, game = game_of(features)
    params = PermutationShapParams(**params)
    found = permutation_shap(game, params, np.random.default_rng(0))
    assert model.spent.forward == cost(params, Shape(1, features, 3, 2)).forward == (asked + 1) * 3 + 1
    assert found.notes["samples"] == asked
    truth = exact_shapley(game, ExactShapleyParams()).values
    if is_exact:
        np.testing.assert_allclose(found.values, truth, atol=1e-12)
        assert not found.standard_error.any()
        assert found.notes.get("converged", 1.0) == 1.0
    else:
        assert found.standard_error.any()
        assert np.abs(found.values - truth).max() > 1e-6
        np.testing.assert_allclose(found.values.sum(axis=0), truth.sum(axis=0))
