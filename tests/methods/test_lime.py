"""LIME against weighted least squares written out, additive games, and the spread over seeds."""

import numpy as np
import pytest

from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.methods.perturbation._weighted_ridge import fit_ridge
from pgx_compiler.methods.perturbation.lime import LimeParams, draw, kernel, lime
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from tests.methods.models import Linear
from tests.methods.test_kernel_shap import Worths, network_game


def additive_game(weights):
    count = len(weights)
    owners = FeatureMap(tuple(map(str, range(count))), {"x": np.arange(count)})
    return Game(
        Linear(weights[:, None], 0.7), {"x": np.ones((1, count))}, {"x": np.zeros((1, count))}, owners, np.array([0])
    )


@pytest.fixture(scope="module")
def thirteen():
    game, codes = network_game(13), np.arange(2**13)
    return Worths(game.value((codes[:, None] >> np.arange(13)) & 1 == 1))


@pytest.mark.parametrize("sizes", ["uniform", "binomial"])
@pytest.mark.parametrize("features", [6, 40])
def test_without_a_penalty_an_additive_game_gives_what_each_feature_adds(features, sizes):
    # score = 0.7 + sum w_j m_j: the surrogate is the model, whatever is drawn and however it is weighted.
    weights = np.random.default_rng(1).normal(size=features)
    found = lime(additive_game(weights), LimeParams(ridge=0, sizes=sizes, samples=400), np.random.default_rng(0))
    np.testing.assert_allclose(found.values[:, 0], weights, atol=1e-7)
    np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-7)
    assert found.notes["fidelity"] == pytest.approx(1.0)
    assert found.notes["gap"] == pytest.approx(0.0, abs=1e-6)


def test_the_default_penalty_takes_less_than_a_hundredth():
    weights = np.linspace(1, 2, 40)
    found = lime(additive_game(weights), LimeParams(sizes="binomial"), np.random.default_rng(0))
    assert (found.values[:, 0] < weights).mean() > 0.9
    assert (found.values[:, 0] > 0.99 * weights).all()


def test_the_kernels_are_those_of_the_authors_package():
    # Of 4 features 1 is kept. Cosine: 1 - sqrt(1/4) = 1/2, weight exp(-(1/2)^2 / (2 * 0.25^2)) = exp(-2). Euclidean: 3
    # features differ; exp(-3 / (2 * (0.75 sqrt 4)^2)) = exp(-2/3).
    masks = np.array([[True, False, False, False], [True] * 4])
    np.testing.assert_allclose(kernel(masks, LimeParams()), [np.exp(-2), 1.0])
    np.testing.assert_allclose(kernel(masks, LimeParams(distance="euclidean")), [np.exp(-2 / 3), 1.0])


def test_the_coefficients_solve_the_ridge_regression_as_written():
    # Slowly: an intercept column without penalty, the normal equations, and every draw left out in turn.
    rng = np.random.default_rng(5)
    masks, worth, weights = rng.random((60, 7)) < 0.4, rng.normal(size=(60, 2)), rng.random(60)
    design, penalty = np.column_stack([masks, np.ones(60)]), np.diag([3.0] * 7 + [0.0])

    def solve(kept):
        gram = design[kept].T @ (design[kept] * weights[kept, None]) + penalty
        return np.linalg.solve(gram, design[kept].T @ (worth[kept] * weights[kept, None]))

    found = fit_ridge(masks, worth, weights, 3.0)
    np.testing.assert_allclose(found.coefficients, solve(np.ones(60, bool))[:7], atol=1e-10)
    np.testing.assert_allclose(found.intercept, solve(np.ones(60, bool))[7], atol=1e-10)
    missed, spread = np.zeros(2), np.zeros(2)
    for left_out in range(60):
        kept = np.arange(60) != left_out
        missed += weights[left_out] * (worth[left_out] - design[left_out] @ solve(kept)) ** 2
        spread += weights[left_out] * (worth[left_out] - np.average(worth[kept], axis=0, weights=weights[kept])) ** 2
    np.testing.assert_allclose(found.fidelity, 1 - missed / spread, atol=1e-9)


def test_fidelity_is_no_flattery():
    # Noise on 20 features: 80 draws fit a quarter of it, and predict none of it.
    rng = np.random.default_rng(0)
    masks, noise = rng.random((80, 20)) < 0.5, rng.normal(size=(80, 1))
    found = fit_ridge(masks, noise, np.ones(80), 0.0)
    fitted = (
        1 - ((noise - found.intercept - masks @ found.coefficients) ** 2).sum() / ((noise - noise.mean()) ** 2).sum()
    )
    assert fitted > 0.1
    assert found.fidelity[0] < 0


@pytest.mark.parametrize("sizes", ["uniform", "binomial"])
def test_all_coalitions_are_the_limit_of_many_draws(sizes):
    game = network_game(5, outputs=2)
    exact = lime(game, LimeParams(sizes=sizes, ridge=0), np.random.default_rng(0))
    masks = draw(40_000, 5, sizes, np.random.default_rng(1))
    drawn = fit_ridge(masks, game.value(masks), kernel(masks, LimeParams()), 0.0)
    assert (np.abs(exact.values - drawn.coefficients) <= 5 * drawn.standard_error).all()
    assert (exact.standard_error == 0).all()


@pytest.mark.parametrize(
    ("params", "coverage"),
    [
        (LimeParams(), (0.93, 0.99)),
        (LimeParams(sizes="binomial"), (0.92, 0.98)),
        (LimeParams(samples=150), (0.9, 0.98)),
    ],
)
def test_the_standard_error_is_the_spread_over_seeds(thirteen, params, coverage):
    truth = lime(thirteen, params.model_copy(update={"samples": 2**13}), np.random.default_rng(0)).values[:, 0]
    runs = [lime(thirteen, params, np.random.default_rng(seed)) for seed in range(60)]
    off = np.array([run.values[:, 0] - truth for run in runs])
    said = np.array([run.standard_error[:, 0] for run in runs])
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.12)
    assert coverage[0] <= (np.abs(off) <= 1.96 * said).mean() <= coverage[1]


def test_drawing_stops_at_the_precision_or_at_the_budget_and_says_which(thirteen):
    loose = lime(thirteen, LimeParams(samples=8000, precision=0.05), np.random.default_rng(0))
    size = max(np.abs(loose.values).max(), abs(loose.values.sum()))
    assert loose.standard_error.max() <= 0.05 * size
    assert loose.notes["converged"] == 1.0
    assert loose.notes["samples"] < 4000
    tight = lime(thirteen, LimeParams(samples=600, precision=1e-6), np.random.default_rng(0))
    assert (tight.notes["converged"], tight.notes["samples"]) == (0.0, 600.0)
    assert "converged" not in lime(thirteen, LimeParams(), np.random.default_rng(0)).notes


def test_a_constant_model_has_no_coefficients_and_no_fidelity():
    for features in (1, 4, 30):
        found = lime(additive_game(np.zeros(features)), LimeParams(), np.random.default_rng(0))
        np.testing.assert_allclose(found.values, 0.0, atol=1e-15)
        np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-15)
        assert np.isnan(found.notes["fidelity"])


def test_one_feature_gets_the_difference_but_for_the_penalty():
    # Two coalitions, weighted about 1000 (full) and 1000 exp(-8) (empty, distance 1): the penalty counts for more there.
    found = lime(additive_game(np.array([3.0])), LimeParams(ridge=0), np.random.default_rng(0))
    np.testing.assert_allclose(found.values, [[3.0]], atol=1e-8)


def test_a_kernel_too_narrow_for_any_coalition_is_the_authors_mistake_and_no_result():
    # one of ten features removed lies at sqrt(1 / 10) = 0.316; a width of 1e-3 gives it exp(-5e4) = 0
    with pytest.raises(UnfitParams, match="widen it"):
        lime(additive_game(np.ones(10)), LimeParams(distance="euclidean", kernel_width=1e-3), np.random.default_rng(0))
