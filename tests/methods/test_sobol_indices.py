"""Total Sobol indices against their definition over all coalitions, closed forms, and the spread over seeds."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.perturbation._random_masks import every_mask
from pgx_compiler.methods.perturbation.sobol_indices import SobolIndicesParams, designs_of, sobol_indices
from tests.methods.test_kernel_shap import Worths, network_game
from tests.methods.test_lime import additive_game


def by_definition(worth, features):
    """E[Var(v | all others)] / Var(v): the variance of the two worths of each coalition of the others, averaged."""
    codes = np.arange(2**features)
    return [
        np.mean([np.var([worth[c], worth[c | 1 << j]]) for c in codes if not c >> j & 1]) / worth.var()
        for j in range(features)
    ]


@pytest.mark.parametrize("features", [1, 2, 5, 9])
def test_all_coalitions_give_the_definition(features):
    game = network_game(features, outputs=2)
    found = sobol_indices(game, SobolIndicesParams(), np.random.default_rng(0))
    worth = game.value(every_mask(features))
    for output in range(2):
        np.testing.assert_allclose(found.values[:, output], by_definition(worth[:, output], features), atol=1e-12)
    assert (found.standard_error == 0).all()


def test_a_product_of_two_features():
    # v = m0 m1: Var = 1/4 * 3/4 = 3/16. Switching 0 changes v where 1 is kept: E / 4 = 1/2 / 4 = 1/8; 1/8 over 3/16 = 2/3.
    found = sobol_indices(
        Worths(np.array([[0.0], [0.0], [0.0], [1.0]])), SobolIndicesParams(), np.random.default_rng(0)
    )
    np.testing.assert_allclose(found.values[:, 0], 2 / 3)
    assert found.notes["sum"] == pytest.approx(4 / 3)
    assert found.notes["spread"] == pytest.approx(np.sqrt(3) / 4)


def test_features_that_do_not_interact_share_the_variance():
    # Var(w m) = w^2 / 4. Sampled numerators are exact here; only the variance is estimated.
    weights = np.random.default_rng(1).normal(size=30)
    found = sobol_indices(additive_game(weights), SobolIndicesParams(), np.random.default_rng(0))
    shares = weights**2 / (weights**2).sum()
    assert (np.abs(found.values[:, 0] - shares) <= 4 * found.standard_error[:, 0]).all()
    assert found.notes["sum"] == pytest.approx(1.0, abs=0.15)
    assert found.notes["spread"] == pytest.approx(np.sqrt((weights**2).sum()) / 2, rel=0.1)


@pytest.mark.parametrize("designs", ["auto", 32])
def test_the_standard_error_is_the_spread_over_seeds(designs):
    game = Worths(network_game(13).value(every_mask(13)))
    truth = np.array(by_definition(game.worth[:, 0], 13))
    runs = [sobol_indices(game, SobolIndicesParams(designs=designs), np.random.default_rng(seed)) for seed in range(80)]
    off = np.array([run.values[:, 0] - truth for run in runs])
    said = np.array([run.standard_error[:, 0] for run in runs])
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.15)
    assert 0.88 <= (np.abs(off) <= 1.96 * said).mean() <= 0.98
    # The bias of a ratio is of second order: little beside what 80 seeds can tell.
    assert (np.abs(off.mean(axis=0)) <= 4 * off.std(axis=0) / np.sqrt(80) + 0.1 * said.mean(axis=0)).all()


@pytest.mark.frameworks
def test_thresholded_sobol_sequences_would_move_features_together():
    # Why masks are drawn independently: of 64 features, 32 points of the sequence tell at most 16 apart.
    from scipy.stats import qmc

    for scramble in (False, True):
        points = qmc.Sobol(64, scramble=scramble, rng=np.random.default_rng(0)).random(32) >= 0.5
        columns = points ^ points[0]  # a scramble may turn a column around
        assert len(np.unique(columns, axis=1).T) <= 16


def test_a_large_offset_of_the_score_costs_no_digits():
    game = network_game(13)
    worth = game.value(every_mask(13))
    found, moved = (
        sobol_indices(Worths(w), SobolIndicesParams(), np.random.default_rng(0)).values for w in (worth, worth + 1e6)
    )
    np.testing.assert_allclose(moved, found, atol=1e-6)


@pytest.mark.parametrize("features", [1, 4, 30])
def test_a_constant_model_has_no_indices(features):
    found = sobol_indices(additive_game(np.zeros(features)), SobolIndicesParams(), np.random.default_rng(0))
    assert (found.values == 0).all()
    assert (found.standard_error == 0).all()


def test_the_number_of_masks():
    # auto: (2 * 20 + 2048) // 21 = 99; never fewer than 32.
    assert designs_of(SobolIndicesParams(), 20) == 99
    assert designs_of(SobolIndicesParams(), 196) == 32
    assert designs_of(SobolIndicesParams(designs=8), 196) == 8


@pytest.mark.parametrize(("features", "designs"), [(3, "auto"), (13, 8), (13, "auto"), (10, 200)])
def test_the_plan_is_what_is_spent(features, designs):
    game, params = network_game(features), SobolIndicesParams(designs=designs)
    before = game._model.spent.forward
    sobol_indices(game, params, np.random.default_rng(0))
    planned = catalogue()["sobol_indices"].cost(params, Shape(1, features)).forward
    assert game._model.spent.forward - before == planned
