"""HSIC against its definition over all coalitions, the estimators written out, and chance."""

import numpy as np
import pytest

from pgx_compiler.methods.perturbation._binary_dependence import dependence_on, kernel_width, low_rank_kernel
from pgx_compiler.methods.perturbation._random_masks import every_mask
from pgx_compiler.methods.perturbation.hsic import HsicParams, hsic
from tests.methods.test_kernel_shap import Worths, network_game
from tests.methods.test_lime import additive_game


def gaussian(score):
    return np.exp(-((score[:, None] - score[None]) ** 2) / (2 * kernel_width(score) ** 2))


def test_the_low_rank_kernel_is_the_kernel():
    score = np.random.default_rng(0).standard_t(2, 700)  # heavy tails: the widest case
    factor = low_rank_kernel(score, kernel_width(score))
    np.testing.assert_allclose(factor @ factor.T, gaussian(score), atol=1e-9)
    assert factor.shape[1] < 200


def test_all_coalitions_give_the_definition():
    # trace(K H L H), normalised by its value for K with itself and L with itself; K: 1 where equal.
    worth = network_game(6).value(every_mask(6))[:, 0]
    found = hsic(Worths(worth[:, None]), HsicParams(), np.random.default_rng(0))
    centre = np.eye(64) - 1 / 64
    ell = centre @ gaussian(worth) @ centre
    for feature in range(6):
        bit = every_mask(6)[:, feature]
        kay = centre @ (bit[:, None] == bit[None]).astype(float) @ centre
        expected = np.trace(kay @ ell) / np.sqrt(np.trace(kay @ kay) * np.trace(ell @ ell))
        assert found.values[feature, 0] == pytest.approx(expected, abs=1e-9)
    assert (found.standard_error == 0).all()


def test_drawn_masks_give_the_unbiased_estimator():
    # Song et al. (2012), equation 5, written out with n x n matrices of zero diagonal.
    rng = np.random.default_rng(1)
    masks = rng.random((60, 3)) < 0.5
    score = masks @ [2.0, 1.0, 0.0] + rng.normal(size=60)
    n, ell = 60, gaussian(score)
    centre = np.eye(n) - 1 / n
    own = ((centre @ ell @ centre) ** 2).sum() / n**2
    ell = ell - np.eye(n)
    found = dependence_on(masks, score, True)
    for feature in range(3):
        kay = (masks[:, feature, None] == masks[None, :, feature]).astype(float) - np.eye(n)
        one = np.ones(n)
        song = np.trace(kay @ ell) + kay.sum() * ell.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * one @ kay @ ell @ one
        expected = max(0.0, song / (n * (n - 3)) / np.sqrt(own / 4))
        assert found.values[feature] == pytest.approx(expected, abs=1e-9)


def test_a_feature_alone_in_charge_has_one():
    # The score is its bit: both kernels say the same, so that their normalised HSIC is 1.
    worth = every_mask(4)[:, 2:3].astype(float)
    found = hsic(Worths(worth), HsicParams(), np.random.default_rng(0))
    np.testing.assert_allclose(found.values[:, 0], [0, 0, 1, 0], atol=1e-9)
    assert found.notes["detected"] == 1.0


def test_chance_is_zero_on_average_and_p_values_are_those_of_chance():
    rng = np.random.default_rng(3)
    p_values, values = [], []
    for _ in range(40):
        found = dependence_on(rng.random((150, 20)) < 0.5, rng.standard_gamma(1.0, 150), True)
        p_values.append(found.p_values)
        values.append(found.values / np.maximum(found.standard_error, 1e-12))
    p_values = np.concatenate(p_values)
    # 800 p-values: a share of 0.05 has a standard error of 0.008, one of 0.5 of 0.018.
    assert (p_values < 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert (p_values < 0.5).mean() == pytest.approx(0.5, abs=0.08)
    assert np.concatenate(values).max() < 5


def test_the_standard_error_is_the_spread_over_seeds():
    game = Worths(network_game(13).value(every_mask(13)))
    truth = hsic(game, HsicParams(samples=2**13), np.random.default_rng(0)).values[:, 0]
    runs = [hsic(game, HsicParams(samples=600), np.random.default_rng(seed)) for seed in range(60)]
    off = np.array([run.values[:, 0] - truth for run in runs])
    said = np.array([run.standard_error[:, 0] for run in runs])
    strong = truth > 0.02  # nearer to zero the spread is no normal one, and values stop there
    assert strong.sum() >= 4
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.15)
    assert 0.88 <= (np.abs(off) <= 1.96 * said)[:, strong].mean() <= 0.98


@pytest.mark.parametrize("features", [1, 4, 30])
def test_a_constant_model_depends_on_nothing(features):
    found = hsic(additive_game(np.zeros(features)), HsicParams(), np.random.default_rng(0))
    assert (found.values == 0).all()
    assert (found.standard_error == 0).all()
    assert found.notes["detected"] == 0.0


def test_features_that_matter_are_detected_and_others_are_not():
    weights = np.zeros(40)
    weights[:4] = [2.0, -2.0, 1.5, 1.5]
    found = [
        hsic(additive_game(weights), HsicParams(), np.random.default_rng(seed)).notes["detected"] for seed in range(10)
    ]
    assert min(found) == 4
    assert np.mean(found) < 4.6  # 5 % of those detected may be false: 0.2
