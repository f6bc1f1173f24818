"""LIME against weighted least squares written out, additive games, and the spread over seeds."""

import numpy as np
import pytest

from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.methods.perturbation._weighted_ridge import Pairs, fit_ridge
from pgx_compiler.methods.perturbation.lime import LimeParams, draw, kernel, lime, pairs_of
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


@pytest.mark.parametrize("size", [7, 400])
def test_the_coefficients_solve_the_ridge_regression_as_written(size):
    # Slowly: an intercept column without penalty, the normal equations of coalitions and complements one by one, each left
    # out in turn. 400 features are so many numbers that the matrix is computed in single precision.
    rng = np.random.default_rng(5)
    count = 30 if size == 7 else 900
    masks, worth, weights = rng.random((count, size)) < 0.4, rng.normal(size=(2, count, 2)), rng.random((2, count))
    weights[1, -1] = 0.0  # a coalition without its complement
    both = np.concatenate([masks, ~masks])
    design, penalty = np.column_stack([both, np.ones(2 * count)]), np.diag([3.0] * size + [0.0])
    flat, of_all = worth.reshape(-1, 2), weights.reshape(-1)
    inverse = np.linalg.inv(design.T @ (design * of_all[:, None]) + penalty)
    fitted = inverse @ design.T @ (flat * of_all[:, None])

    found = fit_ridge(Pairs(masks, worth, weights), 3.0, drawn=count - 1)
    np.testing.assert_allclose(found.coefficients, fitted[:size], atol=1e-10)
    np.testing.assert_allclose(found.intercept, fitted[size], atol=1e-9)

    residuals = flat - design @ fitted
    leverage = of_all * np.einsum("nf,fg,ng->n", design, inverse, design)
    moves = (design @ inverse)[:, :size, None] * (of_all / np.sqrt(1 - leverage))[:, None, None] * residuals[:, None]
    together = (moves[:count] + moves[count:])[:-1]  # a pair is drawn as one; the last was not drawn
    np.testing.assert_allclose(found.standard_error, np.sqrt((together**2).sum(axis=0)), rtol=1e-4)

    missed, spread = np.zeros(2), np.zeros(2)
    for left_out in range(2 * count) if size == 7 else ():
        kept = np.arange(2 * count) != left_out
        gram = design[kept].T @ (design[kept] * of_all[kept, None]) + penalty
        without = np.linalg.solve(gram, design[kept].T @ (flat[kept] * of_all[kept, None]))
        mean = np.average(flat[kept], axis=0, weights=of_all[kept])
        missed += of_all[left_out] * (flat[left_out] - design[left_out] @ without) ** 2
        spread += of_all[left_out] * (flat[left_out] - mean) ** 2
    if size == 7:
        np.testing.assert_allclose(found.fidelity, 1 - missed / spread, atol=1e-9)


def test_fidelity_is_no_flattery():
    # Noise on 20 features: 80 draws fit a quarter of it, and predict none of it.
    rng = np.random.default_rng(0)
    masks, noise = rng.random((40, 20)) < 0.5, rng.normal(size=(2, 40, 1))
    found = fit_ridge(Pairs(masks, noise, np.ones((2, 40))), 0.0, drawn=40)
    said = found.intercept + np.stack([masks, ~masks]) @ found.coefficients
    fitted = 1 - ((noise - said) ** 2).sum() / ((noise - noise.mean()) ** 2).sum()
    assert fitted > 0.1
    assert found.fidelity[0] < 0


def test_draws_come_in_pairs_of_every_size():
    masks = draw(6000, 5, "uniform", np.random.default_rng(0))
    assert (masks[::2] ^ masks[1::2]).all()
    # Of five features 1 to 4 are kept, each number with probability 1/4: 1500 of 6000, give or take 4 * sqrt(3000 / 4).
    counts = np.bincount(masks.sum(axis=1), minlength=6)
    assert counts[0] == counts[5] == 0
    np.testing.assert_allclose(counts[1:5], 1500, atol=110)


@pytest.mark.parametrize("sizes", ["uniform", "binomial"])
def test_all_coalitions_are_the_limit_of_many_draws(sizes):
    game, params = network_game(5, outputs=2), LimeParams(sizes=sizes, ridge=0)
    exact = lime(game, params, np.random.default_rng(0))
    masks = draw(40_000, 5, sizes, np.random.default_rng(1))
    ends = np.stack([game.empty(), game.full()])
    drawn = fit_ridge(pairs_of(masks, game.value(masks), ends, params), 0.0, drawn=20_000)
    assert (np.abs(exact.values - drawn.coefficients) <= 5 * drawn.standard_error).all()
    assert drawn.standard_error.max() < 0.01 * np.abs(exact.values).max()
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
    truth = lime(thirteen, params.model_copy(update={"samples": 2**13, "ridge": 1.0}), np.random.default_rng(0)).values[
        :, 0
    ]
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


@pytest.mark.parametrize("weights", [[3.0], [0.5, 0.0], [1.0, 0.0, -2.0]])
def test_of_few_features_all_coalitions_are_asked_and_none_is_shrunk(weights):
    # One feature has two coalitions, weighted about 1000 (full) and 1000 exp(-8) (empty, distance 1): a penalty of 1 would
    # take most of its coefficient, and of two features give the one that nothing reads a part of it.
    found = lime(additive_game(np.array(weights)), LimeParams(), np.random.default_rng(0))
    np.testing.assert_allclose(found.values[:, 0], weights, atol=1e-8)
    shrunk = lime(additive_game(np.array(weights)), LimeParams(ridge=1.0), np.random.default_rng(0))
    assert np.abs(shrunk.values[:, 0] - weights).max() > 1e-3


def test_a_kernel_too_narrow_for_any_coalition_is_the_authors_mistake_and_no_result():
    # one of ten features removed lies at sqrt(1 / 10) = 0.316; a width of 1e-3 gives it exp(-5e4) = 0
    with pytest.raises(UnfitParams, match="widen it"):
        lime(additive_game(np.ones(10)), LimeParams(distance="euclidean", kernel_width=1e-3), np.random.default_rng(0))
