"""Kernel SHAP's design of coalitions, its error, and whether the standard error tells the truth."""

from math import comb

import numpy as np
import pytest

from pgx_compiler.methods.perturbation._paired_coalitions import (
    all_pairs,
    draw_pairs,
    expected_counts,
    kernel_mass,
    pairs_of_size,
)
from pgx_compiler.methods.perturbation.exact_shapley import ExactShapleyParams, exact_shapley
from pgx_compiler.methods.perturbation.kernel_shap import KernelShapParams, kernel_shap, pair_budget
from pgx_compiler.methods.perturbation.permutation_shap import PermutationShapParams, permutation_shap
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from tests.methods.models import Mlp


class Worths:
    """A game whose worths are written down."""

    n_references = 1

    def __init__(self, worth):
        self.worth, self.n_targets = worth, worth.shape[1]
        self.n_features = len(worth).bit_length() - 1

    def value(self, masks):
        return self.worth[masks @ (1 << np.arange(self.n_features))]

    def full(self):
        return self.worth[-1]

    def empty(self):
        return self.worth[0]


def network_game(features, outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    model = Mlp(rng.normal(size=(features, 8)), rng.normal(size=8), rng.normal(size=(8, outputs)))
    model.rows_per_call = 8192
    owners = FeatureMap(tuple(map(str, range(features))), {"x": np.arange(features)})
    row, other = rng.normal(size=(2, 1, features))
    return Game(model, {"x": row}, {"x": other}, owners, np.arange(outputs))


@pytest.fixture(scope="module")
def fourteen():
    game = network_game(14)
    codes = np.arange(2**14)
    return Worths(game.value((codes[:, None] >> np.arange(14)) & 1 == 1))


@pytest.mark.parametrize("features", [2, 3, 4, 5, 8, 9])
def test_with_enough_samples_every_pair_comes_once_with_its_kernel_weight(features):
    design = draw_pairs(features, 10**6, np.random.default_rng(0))
    both = np.concatenate([design.masks, ~design.masks])
    assert len(np.unique(both, axis=0)) == len(both) == 2**features - 2
    assert (design.unseen == 0).all()
    # Lundberg & Lee (2017), theorem 2: (M - 1) / (C(M, s) s (M - s)), here for both coalitions of the pair.
    kernel = [2 * (features - 1) / (comb(features, s) * s * (features - s)) for s in design.sizes]
    np.testing.assert_allclose(design.weights, kernel)


@pytest.mark.parametrize(("features", "pairs"), [(6, 11), (10, 100), (12, 1500), (20, 300), (196, 1024), (196, 392)])
def test_drawn_pairs_are_different_and_exactly_as_many_as_asked(features, pairs):
    for seed in range(5 if features > 6 else 80):
        design = draw_pairs(features, pairs, np.random.default_rng(seed))
        both = np.concatenate([design.masks, ~design.masks])
        assert len(np.unique(both, axis=0)) == len(both) == 2 * pairs
        np.testing.assert_array_equal(design.masks.sum(axis=1), design.sizes)


def test_the_smallest_coalitions_are_enumerated_where_that_is_affordable():
    # 20 features, 600 pairs: 20 pairs of size 1; the rest as the square root of kernel mass 2 * 19 / (s (20 - s)).
    counts = expected_counts(20, 600)
    assert counts[0] == 20 == pairs_of_size(20, 1)
    assert counts.sum() == pytest.approx(600)
    assert counts[2] / counts[4] == pytest.approx(np.sqrt(kernel_mass(20, 3) / kernel_mass(20, 5)))
    assert counts[1] < pairs_of_size(20, 2) == 190


def test_every_pair_of_a_size_is_drawn_as_often():
    # 8 features, 40 pairs: of size 3 some of 56 and of size 4 some of 35 are drawn, repeats drawn again. Each pair's number
    # of appearances in N designs is binomial: 4.5 standard deviations leave one chance in a thousand over all of them.
    designs = [draw_pairs(8, 40, np.random.default_rng(seed)) for seed in range(1500)]
    for size in (3, 4):
        drawn = np.concatenate([design.masks[design.sizes == size] for design in designs])
        times = np.unique(drawn, axis=0, return_counts=True)[1]
        share = len(drawn) / len(designs) / pairs_of_size(8, size)
        assert 0 < share < 1
        assert len(times) == pairs_of_size(8, size)
        assert np.abs(times - share * 1500).max() < 4.5 * np.sqrt(1500 * share * (1 - share))


def test_the_drawn_pairs_stand_for_all_of_their_size():
    # The weights are such that every size keeps its kernel mass on average over the drawing.
    mass = np.zeros(30)
    for seed in range(400):
        design = draw_pairs(60, 100, np.random.default_rng(seed))
        mass += np.bincount(design.sizes - 1, design.weights, minlength=30) / 400
    np.testing.assert_allclose(mass, [kernel_mass(60, s) for s in range(1, 31)], rtol=0.1)


@pytest.mark.parametrize(
    ("samples", "features", "pairs"),
    [("auto", 20, 1044), ("auto", 4, 7), (600, 20, 300), (601, 20, 300), (10, 20, 40), (10**9, 12, 2047)],
)
def test_the_budget_of_pairs(samples, features, pairs):
    # auto: (2 * 20 + 2048) / 2; 4 features have 2^3 - 1 pairs; never fewer than two pairs a feature.
    assert pair_budget(KernelShapParams(samples=samples), features) == pairs
    assert pairs <= all_pairs(features)


def test_full_enumeration_is_exact_for_several_outputs():
    game = network_game(9, outputs=3)
    found = kernel_shap(game, KernelShapParams(samples=2**9 - 2), np.random.default_rng(0))
    np.testing.assert_allclose(found.values, exact_shapley(game, ExactShapleyParams()).values, atol=1e-10)
    np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-10)


def test_one_feature_gets_everything():
    found = kernel_shap(network_game(1), KernelShapParams(), np.random.default_rng(0))
    game = network_game(1)
    np.testing.assert_allclose(found.values[0], game.full() - game.empty())


def test_no_feature_is_cut():
    # Thirty features with equal weights: each is worth exactly one, the regression fits without error.
    weights = np.ones((30, 1))
    owners = FeatureMap(tuple(map(str, range(30))), {"x": np.arange(30)})
    from tests.methods.models import Linear

    game = Game(Linear(weights), {"x": np.ones((1, 30))}, {"x": np.zeros((1, 30))}, owners, np.array([0]))
    found = kernel_shap(game, KernelShapParams(samples=120), np.random.default_rng(0))
    np.testing.assert_allclose(found.values, 1.0, atol=1e-9)


@pytest.mark.parametrize(
    ("method", "params", "coverage"),
    [
        (kernel_shap, KernelShapParams(samples=56), (0.87, 0.97)),  # two pairs a feature: the fewest there are
        (kernel_shap, KernelShapParams(samples=200), (0.91, 0.98)),
        (kernel_shap, KernelShapParams(samples=1000), (0.92, 0.98)),
        (kernel_shap, KernelShapParams(samples=6000), (0.92, 0.98)),
        (permutation_shap, PermutationShapParams(samples=1000), (0.91, 0.98)),
    ],
)
def test_the_standard_error_is_the_spread_over_seeds(fourteen, method, params, coverage):
    # 60 seeds x 14 features against the exact values. At 6000 of 16382 samples, without replacement, the finite
    # population correction carries a third of the variance.
    truth = exact_shapley(fourteen, ExactShapleyParams()).values[:, 0]
    runs = [method(fourteen, params, np.random.default_rng(seed)) for seed in range(60)]
    off = np.array([run.values[:, 0] - truth for run in runs])
    said = np.array([run.standard_error[:, 0] for run in runs])
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.1)
    assert coverage[0] <= (np.abs(off) <= 1.96 * said).mean() <= coverage[1]
    # No bias beyond what 60 seeds can tell.
    assert (np.abs(off.mean(axis=0)) <= 4 * off.std(axis=0) / np.sqrt(60)).all()


def test_the_error_falls_with_samples(fourteen):
    truth = exact_shapley(fourteen, ExactShapleyParams()).values[:, 0]

    def error(samples):
        runs = [
            kernel_shap(fourteen, KernelShapParams(samples=samples), np.random.default_rng(seed)).values[:, 0]
            for seed in range(20)
        ]
        return np.sqrt(np.mean((np.array(runs) - truth) ** 2))

    # Four times the samples halve the error at least.
    assert error(1600) < 0.6 * error(400)


def test_196_features_with_2048_samples_stay_stable():
    # The barely determined case: 1024 pairs for 195 unknowns. Against 40 times the samples.
    game = network_game(196, seed=4)
    truth = kernel_shap(game, KernelShapParams(samples=80_000), np.random.default_rng(99)).values[:, 0]
    runs = [kernel_shap(game, KernelShapParams(samples=2048), np.random.default_rng(seed)) for seed in range(6)]
    off = np.array([run.values[:, 0] - truth for run in runs])
    said = np.array([run.standard_error[:, 0] for run in runs])
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.15)
    assert np.sqrt((off**2).mean()) < truth.std()
    for run in runs:
        np.testing.assert_allclose(run.values.sum(axis=0), game.full() - game.empty(), atol=1e-9)
