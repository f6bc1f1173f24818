"""The learned surrogate of a game, what it saves, and whether the standard error tells the truth; precision on demand."""

from itertools import combinations

import numpy as np
import pytest

from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.perturbation import _coalition_surrogate as surrogate
from pgx_compiler.methods.perturbation._paired_coalitions import StagedCoalitions, expected_counts, kernel_mass
from pgx_compiler.methods.perturbation._precision import excess, next_look
from pgx_compiler.methods.perturbation.exact_shapley import ExactShapleyParams, exact_shapley
from pgx_compiler.methods.perturbation.kernel_shap import KernelShapParams, cost, kernel_shap
from pgx_compiler.methods.perturbation.permutation_shap import PermutationShapParams, permutation_shap
from pgx_compiler.methods.perturbation.regression_adjusted_shap import (
    RegressionAdjustedShapParams,
    regression_adjusted_shap,
)
from tests.methods.test_kernel_shap import Worths, network_game


def written(game):
    codes = np.arange(2**game.n_features)
    return Worths(game.value((codes[:, None] >> np.arange(game.n_features)) & 1 == 1))


@pytest.fixture(scope="module")
def smooth():
    """Fourteen features of a network whose interactions are not all alike."""
    return written(network_game(14, seed=8))


@pytest.fixture(scope="module")
def truth(smooth):
    return exact_shapley(smooth, ExactShapleyParams()).values[:, 0]


def setting(features, rng):
    return surrogate.Setting(rng.random(features), rng.random(features), 0.3, 0.2, 1e-3)


def test_the_kernel_counts_sets_of_one_three_and_five_features():
    rng = np.random.default_rng(0)
    held = setting(7, rng)
    one, other = rng.choice([-1.0, 1.0], (2, 1, 7))
    product = held.relevance * one[0] * other[0]

    def over(size):
        return sum(np.prod(product[list(chosen)]) for chosen in combinations(range(7), size))

    expected = (held.own * one[0] * other[0]).sum() + 0.3 * over(3) + 0.2 * over(5)
    np.testing.assert_allclose(surrogate._kernel(one, other, held)[0, 0], expected)


def test_the_shapley_values_of_the_kernel_are_those_of_its_game():
    rng = np.random.default_rng(1)
    held = setting(8, rng)
    centre = rng.choice([-1.0, 1.0], (1, 8))
    codes = np.arange(256)
    signs = surrogate.signs_of((codes[:, None] >> np.arange(8)) & 1 == 1)
    game = Worths(surrogate._kernel(signs, centre, held))
    expected = exact_shapley(game, ExactShapleyParams()).values[:, 0]
    np.testing.assert_allclose(surrogate._shapley(centre, held)[0], expected, atol=1e-12)


def test_leaving_a_pair_out_in_closed_form_is_leaving_it_out():
    rng = np.random.default_rng(2)
    held, signs, response = setting(6, rng), rng.choice([-1.0, 1.0], (20, 6)), rng.normal(size=20)
    centres = np.arange(15)
    found = surrogate.fit_without_each(signs, response, 0.7, held, centres)
    values = []
    for pair in range(20):
        kept = centres[centres != pair]
        known = np.concatenate([signs[kept], np.ones((1, 6))])
        kernel = surrogate._kernel(known, known, held) + held.ridge * np.eye(len(known))
        weights = np.linalg.solve(kernel, np.append(response[kept], 0.7))
        predicted = surrogate._kernel(signs[pair : pair + 1], known, held)[0] @ weights
        np.testing.assert_allclose(found.residuals[pair], response[pair] - predicted, atol=1e-9)
        values.append(surrogate._shapley(known, held).T @ weights)
    np.testing.assert_allclose(found.values, np.mean(values, axis=0), atol=1e-9)


def test_the_change_of_the_interactions_is_the_difference_when_a_feature_flips():
    rng = np.random.default_rng(3)
    held, signs, weights = setting(6, rng), rng.choice([-1.0, 1.0], (9, 6)), rng.normal(size=9)
    sums = surrogate._elementary(signs, signs, held.relevance)
    found = surrogate._change(signs, weights, sums, held.relevance, 0.3, 0.2)

    def interactions(at):
        both = surrogate._elementary(at, signs, held.relevance)
        return (0.3 * both[3] + 0.2 * both[5]) @ weights

    for feature in range(6):
        flipped = signs.copy()
        flipped[:, feature] *= -1
        half = (interactions(signs) - interactions(flipped)) / 2
        np.testing.assert_allclose(found[feature], np.sqrt((half**2).mean()), atol=1e-12)


@pytest.mark.parametrize("samples", [200, 600])
def test_its_standard_error_is_the_spread_over_seeds(smooth, truth, samples):
    params = RegressionAdjustedShapParams(samples=samples)
    runs = [regression_adjusted_shap(smooth, params, np.random.default_rng(seed)) for seed in range(40)]
    off = np.array([run.values[:, 0] - truth for run in runs])
    said = np.array([run.standard_error[:, 0] for run in runs])
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.2)
    assert 0.88 <= (np.abs(off) <= 1.96 * said).mean() <= 0.985
    assert (np.abs(off.mean(axis=0)) <= 4 * off.std(axis=0) / np.sqrt(40)).all()


def test_it_errs_less_than_half_as_much_as_kernel_shap_where_three_features_interact():
    # A game of singles and triples over 14 features: what the surrogate can say, and Kernel SHAP's regression cannot.
    rng = np.random.default_rng(0)
    signs = surrogate.signs_of((np.arange(2**14)[:, None] >> np.arange(14)) & 1 == 1)
    worth = signs @ rng.normal(size=14)
    for chosen in combinations(range(6), 3):
        worth = worth + 0.5 * rng.normal() * signs[:, list(chosen)].prod(axis=1)
    game = Worths(worth[:, None])
    exact = exact_shapley(game, ExactShapleyParams()).values

    def error(method, params):
        return np.sqrt(
            np.mean([(method(game, params, np.random.default_rng(s)).values - exact) ** 2 for s in range(10)])
        )

    ours = error(regression_adjusted_shap, RegressionAdjustedShapParams(samples=400))
    assert ours < 0.5 * error(kernel_shap, KernelShapParams(samples=400))


def test_a_surrogate_that_says_nothing_costs_nothing():
    # Worths without any order: the surrogate's standard error is larger, and Kernel SHAP's values are kept.
    game = Worths(np.random.default_rng(5).normal(size=(2**12, 1)))
    for seed in range(5):
        ours = regression_adjusted_shap(game, RegressionAdjustedShapParams(samples=200), np.random.default_rng(seed))
        same = np.random.default_rng(seed)
        same.integers(2**63)  # the surrogate's seed is drawn before the coalitions
        plain = kernel_shap(game, KernelShapParams(samples=200), same)
        assert ours.standard_error.mean() <= plain.standard_error.mean() * (1 + 1e-12)
        assert ours.notes["error_ratio"] <= 1.0


def test_with_all_coalitions_it_is_exact():
    game = written(network_game(8, outputs=2))
    found = regression_adjusted_shap(game, RegressionAdjustedShapParams(samples=254), np.random.default_rng(0))
    np.testing.assert_allclose(found.values, exact_shapley(game, ExactShapleyParams()).values, atol=1e-9)
    assert found.notes["error_ratio"] == 1.0


def test_more_pairs_than_centres_still_add_up_and_help(smooth, truth, monkeypatch):
    monkeypatch.setattr("pgx_compiler.methods.perturbation.regression_adjusted_shap.MOST_CENTRES", 100)
    found = regression_adjusted_shap(smooth, RegressionAdjustedShapParams(samples=600), np.random.default_rng(1))
    np.testing.assert_allclose(found.values.sum(axis=0), smooth.full() - smooth.empty(), atol=1e-9)
    assert (np.abs(found.values[:, 0] - truth) <= 5 * found.standard_error[:, 0]).all()


@pytest.mark.parametrize("pairs", [40, 64, 100, 333])
def test_a_beginning_of_a_staged_design_is_a_design_of_its_size(pairs):
    # Of each size as many as expected on average over the drawing, no fewer than before, standing for all of its size.
    counts, mass = np.zeros(10), np.zeros(10)
    for seed in range(120):
        staged = StagedCoalitions(20, 500, np.random.default_rng(seed))
        taken, design = staged.beginning(pairs)
        before, _ = staged.beginning(pairs // 2)
        assert set(before) <= set(taken)
        np.testing.assert_array_equal(staged.whole.masks[taken], design.masks)
        counts += np.bincount(design.sizes - 1, minlength=10) / 120
        mass += np.bincount(design.sizes - 1, design.weights, minlength=10) / 120
    np.testing.assert_allclose(counts, expected_counts(20, pairs), atol=0.3)
    np.testing.assert_allclose(mass, [kernel_mass(20, size) for size in range(1, 11)], rtol=0.2)
    taken, design = staged.beginning(500)
    assert len(taken) == 500
    assert design is staged.whole


def test_precision_is_measured_against_the_difference_or_the_largest_value():
    values, error = np.array([[3.0], [-2.9]]), np.array([[0.02], [0.03]])
    # |total| = 0.1 < 3: the largest error 0.03 over 0.01 * 3.
    assert excess(values, error, np.array([0.1]), 0.01) == pytest.approx(1.0)
    assert excess(values, error, np.array([-6.0]), 0.01) == pytest.approx(0.5)
    assert excess(values * 0, error * 0, np.array([0.0]), 0.01) == 0.0
    # Twice the error asks for four times as much: no more than doubled, never beyond the budget.
    assert next_look(100, 2.0, 1000) == 200
    assert next_look(100, 1.1, 1000) == 133
    assert next_look(100, 1.0001, 110) == 110


CASES = [
    (kernel_shap, KernelShapParams),
    (permutation_shap, PermutationShapParams),
    (regression_adjusted_shap, RegressionAdjustedShapParams),
]


@pytest.mark.parametrize(("method", "params"), CASES)
def test_sampling_stops_at_the_precision_and_the_standard_error_still_holds(smooth, truth, method, params):
    seeds, total = 30, smooth.full() - smooth.empty()
    runs = [method(smooth, params(samples=12_000, precision=0.02), np.random.default_rng(s)) for s in range(seeds)]
    asked = np.array([run.notes["samples"] for run in runs])
    assert all(run.notes["converged"] == 1.0 for run in runs)
    assert asked.max() < 12_000
    for run in runs:
        assert excess(run.values, run.standard_error, total, 0.02) <= 1.0
        np.testing.assert_allclose(run.values.sum(axis=0), total, atol=1e-9)
    off = np.array([run.values[:, 0] - truth for run in runs])
    said = np.array([run.standard_error[:, 0] for run in runs])
    # Stopping at the first error that is small enough makes it a little too small.
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.2)
    assert 0.88 <= (np.abs(off) <= 1.96 * said).mean() <= 0.985
    assert (np.abs(off.mean(axis=0)) <= 4 * off.std(axis=0) / np.sqrt(seeds)).all()


@pytest.mark.parametrize(("method", "params"), CASES)
def test_a_budget_that_does_not_suffice_is_said_and_kept(method, params):
    game = network_game(14)
    chosen = params(samples=200, precision=0.0001)
    before = game._model.spent.forward
    found = method(game, chosen, np.random.default_rng(0))
    assert found.notes["converged"] == 0.0
    planned = method.__globals__["cost"](chosen, Shape(1, 14)).forward
    assert game._model.spent.forward - before <= planned


def test_without_a_precision_the_numbers_are_those_of_the_fixed_budget():
    game = network_game(14)
    fixed = kernel_shap(game, KernelShapParams(samples=300), np.random.default_rng(4))
    hard = kernel_shap(game, KernelShapParams(samples=300, precision=1e-9), np.random.default_rng(4))
    # A precision that is never reached asks all of the very design of the fixed budget.
    np.testing.assert_allclose(hard.values, fixed.values, atol=1e-12)
    assert "converged" not in fixed.notes
    assert hard.notes == {"samples": fixed.notes["samples"], "converged": 0.0}
    assert cost(KernelShapParams(samples=300), Shape(1, 14)) == cost(
        KernelShapParams(samples=300, precision=0.1), Shape(1, 14)
    )


def test_all_coalitions_of_a_small_game_reach_any_precision():
    found = kernel_shap(network_game(6), KernelShapParams(precision=1e-6), np.random.default_rng(0))
    assert found.notes == {"samples": 62.0, "converged": 1.0}
