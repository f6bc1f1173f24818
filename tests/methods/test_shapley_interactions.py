"""Interactions of pairs against the definition, closed forms, and what sampling says of its own error."""

from itertools import combinations
from math import comb

import numpy as np
import pytest

from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.perturbation.exact_shapley import ExactShapleyParams, exact_shapley
from pgx_compiler.methods.perturbation.shapley_interactions import (
    ShapleyInteractionsParams,
    admits,
    pair_budget,
    shapley_interactions,
)
from pgx_compiler.modalities.features import FeatureMap
from tests.methods.test_kernel_shap import Worths, network_game


class Named(Worths):
    """A game whose worths are written down, with names for its features."""

    @property
    def features(self):
        return FeatureMap(tuple(f"f{i}" for i in range(self.n_features)), {})


def written(game):
    codes = np.arange(2**game.n_features)
    return Named(game.value((codes[:, None] >> np.arange(game.n_features)) & 1 == 1))


def run(game, seed=0, **params):
    return shapley_interactions(game, ShapleyInteractionsParams(**params), np.random.default_rng(seed))


def faithful(worth, features):
    """Tsai et al. (2023), definition 1, word for word: least squares under the Shapley kernel, endpoints held by weight."""
    columns, weights = [], []
    for code in range(2**features):
        present = [(code >> i) & 1 for i in range(features)]
        size = sum(present)
        pairs = [present[i] * present[j] for i, j in combinations(range(features), 2)]
        columns.append([1, *present, *pairs])
        inside = 0 < size < features
        weights.append((features - 1) / (comb(features, size) * size * (features - size)) if inside else 1e9)
    root = np.sqrt(weights)
    return np.linalg.lstsq(np.array(columns) * root[:, None], worth * root, rcond=None)[0][1:]


def test_they_are_the_nearest_quadratic_game_under_the_shapley_kernel():
    game = written(network_game(7, seed=2))
    found = run(game).arrays["interactions"]
    expected = faithful(game.worth[:, 0], 7)
    np.testing.assert_allclose(np.diag(found), expected[:7], atol=1e-5)
    np.testing.assert_allclose(found[np.triu_indices(7, 1)], expected[7:], atol=1e-5)
    np.testing.assert_array_equal(found, found.T)


def test_own_effects_and_half_of_each_interaction_are_the_shapley_values():
    # Paired Kernel SHAP is the quadratic fit, and with all coalitions the exact value.
    game = written(network_game(8, seed=3))
    found = run(game).arrays["interactions"]
    own = np.diag(found)
    shared = own + (found.sum(axis=1) - own) / 2
    np.testing.assert_allclose(shared, exact_shapley(game, ExactShapleyParams()).values[:, 0], atol=1e-8)
    total = own.sum() + found[np.triu_indices(8, 1)].sum()
    np.testing.assert_allclose(total, game.full()[0] - game.empty()[0], atol=1e-8)


def product_game(features, terms):
    """worth = sum of weight * product of presence over the terms' features."""
    codes = np.arange(2**features)
    present = (codes[:, None] >> np.arange(features)) & 1
    return Named(sum(weight * present[:, list(term)].prod(axis=1) for term, weight in terms.items())[:, None] * 1.0)


def test_a_quadratic_game_is_told_exactly_and_stated():
    # v = 2 x0 - x1 + 3 x0 x1 - 0.5 x2 x3: shares 3 + 0.5 of 3 + 1 + 3 + 0.5, nothing unexplained.
    game = product_game(5, {(0,): 2.0, (1,): -1.0, (0, 1): 3.0, (2, 3): -0.5})
    found = run(game)
    expected = np.diag([2.0, -1, 0, 0, 0])
    expected[0, 1] = expected[1, 0] = 3.0
    expected[2, 3] = expected[3, 2] = -0.5
    np.testing.assert_allclose(found.arrays["interactions"], expected, atol=1e-7)
    assert found.numbers["fidelity"] == pytest.approx(1.0)
    assert found.numbers["interaction_share"] == pytest.approx(3.5 / 6.5)
    assert [statement.features for statement in found.statements] == [("f0", "f1"), ("f2", "f3")]
    assert found.statements[0].text == "f0 and f1 together: +3, more than the sum of what each does alone"
    assert "3" not in found.statements[0].without_values
    assert found.statements[1].numbers["interaction"] == pytest.approx(-0.5)


def test_an_interaction_of_three_lowers_the_fidelity():
    game = product_game(6, {(0, 1, 2): 1.0, (3,): 0.2})
    found = run(game)
    assert found.numbers["fidelity"] < 0.97
    # Symmetric in the three, and no pair with another feature.
    pairs = found.arrays["interactions"]
    np.testing.assert_allclose([pairs[0, 1], pairs[0, 2]], pairs[1, 2])
    np.testing.assert_allclose(pairs[3, [0, 1, 2, 4, 5]], 0.0, atol=1e-8)


def test_a_sampled_interaction_says_how_far_it_is_off():
    # 13 features, 40 seeds: 234 to 600 of 8190 coalitions for 78 unknowns.
    game = written(network_game(13, seed=5))
    truth = run(game, samples=2**13).arrays
    assert (truth["standard_error_of_pairs"] == 0).all()
    above = np.triu_indices(13, 1)
    runs = [run(game, seed, samples=600).arrays for seed in range(40)]
    off = np.array([(one["interactions"] - truth["interactions"])[above] for one in runs])
    said = np.array([one["standard_error_of_pairs"][above] for one in runs])
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.15)
    assert 0.9 <= (np.abs(off) <= 1.96 * said).mean() <= 0.98


@pytest.mark.parametrize(
    ("samples", "features", "pairs"),
    [("auto", 12, 2047), ("auto", 20, 1044), ("auto", 61, 3660), (2, 20, 285), (10**6, 6, 31), ("auto", 1, 0)],
)
def test_the_budget_leaves_no_pair_open(samples, features, pairs):
    # 12 features: all 2^11 - 1 pairs; 61: 4 * 1830 coalitions; 20 with 2 samples: 3 * 190 = 570 coalitions.
    assert pair_budget(ShapleyInteractionsParams(samples=samples), features) == pairs


def test_too_many_features_are_refused_with_the_reason():
    assert "group them" in str(admits(None, Shape(1, 196), "value"))
    assert admits(None, Shape(1, 61), "value") is None
