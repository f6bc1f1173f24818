"""RISE against all coalitions, additive games, the paper's formula, and the spread over seeds."""

import numpy as np
import pytest

from pgx_compiler.methods.perturbation._random_masks import every_mask
from pgx_compiler.methods.perturbation.rise import RiseParams, kept_minus_removed, rise
from tests.methods.test_kernel_shap import Worths, network_game
from tests.methods.test_lime import additive_game


@pytest.fixture(scope="module")
def thirteen():
    return Worths(network_game(13).value(every_mask(13)))


def banzhaf(worths, features):
    """Mean gain over all coalitions of the others."""
    codes = np.arange(2**features)
    return [np.mean([worths[c | 1 << j] - worths[c] for c in codes if not c >> j & 1]) for j in range(features)]


def test_with_half_kept_it_is_the_banzhaf_value():
    game = network_game(6)
    worths = game.value(every_mask(6))[:, 0]
    found = rise(game, RiseParams(), np.random.default_rng(0))
    np.testing.assert_allclose(found.values[:, 0], banzhaf(worths, 6), atol=1e-12)
    assert (found.standard_error == 0).all()


def test_all_coalitions_count_with_their_probability():
    # v = m0 m1, p = 0.2. E[v | 0 kept] = P(1 kept) = 0.2, E[v | 0 removed] = 0.
    found = rise(Worths(np.array([[0.0], [0.0], [0.0], [1.0]])), RiseParams(keep=0.2), np.random.default_rng(0))
    np.testing.assert_allclose(found.values[:, 0], [0.2, 0.2])


def test_an_additive_game_gives_what_each_feature_adds():
    weights = np.random.default_rng(1).normal(size=40)
    found = rise(additive_game(weights), RiseParams(), np.random.default_rng(0))
    assert (np.abs(found.values[:, 0] - weights) <= 4.5 * found.standard_error[:, 0]).all()
    assert (found.standard_error > 0).all()


def test_it_puts_features_in_the_order_of_the_papers_formula(thirteen):
    # E[f | j kept] = E[f] + (1 - p) (E[f | j kept] - E[f | j removed]), over all coalitions exactly.
    masks, worth = every_mask(13), thirteen.worth[:, 0]
    chance = 0.3 ** masks.sum(axis=1) * 0.7 ** (~masks).sum(axis=1)
    paper = (chance * worth) @ masks / 0.3
    found = rise(thirteen, RiseParams(keep=0.3, samples=2**13), np.random.default_rng(0)).values[:, 0]
    np.testing.assert_allclose(paper, chance @ worth + 0.7 * found, atol=1e-12)


@pytest.mark.parametrize("params", [RiseParams(), RiseParams(keep=0.2), RiseParams(samples=100)])
def test_the_standard_error_is_the_spread_over_seeds(thirteen, params):
    truth = rise(thirteen, params.model_copy(update={"samples": 2**13}), np.random.default_rng(0)).values[:, 0]
    runs = [rise(thirteen, params, np.random.default_rng(seed)) for seed in range(60)]
    off = np.array([run.values[:, 0] - truth for run in runs])
    said = np.array([run.standard_error[:, 0] for run in runs])
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.1)
    assert 0.92 <= (np.abs(off) <= 1.96 * said).mean() <= 0.98
    assert (np.abs(off.mean(axis=0)) <= 4 * off.std(axis=0) / np.sqrt(60)).all()


def test_a_large_offset_of_the_score_changes_nothing(thirteen):
    # Pairs are complements: what all masks have in common cancels (the mean of the paper's formula does not).
    found = rise(thirteen, RiseParams(), np.random.default_rng(0))
    moved = rise(Worths(thirteen.worth + 1e6), RiseParams(), np.random.default_rng(0))
    np.testing.assert_allclose(moved.values, found.values, atol=1e-8)
    np.testing.assert_allclose(moved.standard_error, found.standard_error, atol=1e-8)


def test_a_feature_that_no_mask_keeps_is_unknown_not_undefined():
    masks = np.array([[True, False], [False, False], [True, False], [False, False]])
    values, error = kept_minus_removed(masks, np.array([[1.0], [0.0], [1.0], [0.0]]))
    np.testing.assert_allclose(values[:, 0], [1.0, 0.0])
    np.testing.assert_allclose(error[:, 0], [0.0, 0.5])  # the spread of 1, 0, 1, 0


def test_drawing_stops_at_the_precision_or_at_the_budget_and_says_which(thirteen):
    loose = rise(thirteen, RiseParams(samples=8000, precision=0.1), np.random.default_rng(0))
    size = max(np.abs(loose.values).max(), abs(loose.values.sum()))
    assert loose.standard_error.max() <= 0.1 * size
    assert loose.notes["converged"] == 1.0
    assert loose.notes["samples"] < 8000
    tight = rise(thirteen, RiseParams(samples=601, precision=1e-6), np.random.default_rng(0))
    assert (tight.notes["converged"], tight.notes["samples"]) == (0.0, 600.0)


@pytest.mark.parametrize("features", [1, 4, 30])
def test_a_constant_model_gives_zero(features):
    found = rise(additive_game(np.zeros(features)), RiseParams(), np.random.default_rng(0))
    np.testing.assert_allclose(found.values, 0.0, atol=1e-15)
    np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-15)


def test_one_feature_gets_the_difference():
    np.testing.assert_allclose(rise(additive_game(np.array([3.0])), RiseParams(), np.random.default_rng(0)).values, 3.0)
