"""References in parts with coalitions of their own: the same model rows, a smaller error, and a standard error that says so."""

import numpy as np
import pytest

from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.perturbation._coalition_surrogate import Held
from pgx_compiler.methods.perturbation._own_coalitions import count_of_parts, parts_of
from pgx_compiler.methods.perturbation._paired_coalitions import PairedCoalitions
from pgx_compiler.methods.perturbation.exact_shapley import ExactShapleyParams, exact_shapley
from pgx_compiler.methods.perturbation.kernel_shap import KernelShapParams, kernel_shap
from pgx_compiler.methods.perturbation.kernel_shap import cost as cost_of_kernel_shap
from pgx_compiler.methods.perturbation.regression_adjusted_shap import (
    RegressionAdjustedShapParams,
    _of_all_pairs,
    regression_adjusted_shap,
)
from pgx_compiler.methods.perturbation.regression_adjusted_shap import cost as cost_of_adjusted
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from tests.methods.models import Mlp

METHODS = [
    (kernel_shap, KernelShapParams, cost_of_kernel_shap),
    (regression_adjusted_shap, RegressionAdjustedShapParams, cost_of_adjusted),
]


def game_of(features=10, references=7, outputs=1, seed=0):
    """A network of eight units, and references that differ: each leaves other interactions."""
    rng = np.random.default_rng(seed)
    model = Mlp(rng.normal(size=(features, 8)), rng.normal(size=8), rng.normal(size=(8, outputs)))
    model.rows_per_call = 64
    owners = FeatureMap(tuple(map(str, range(features))), {"x": np.arange(features)})
    row, others = rng.normal(size=(1, features)), rng.normal(size=(references, features))
    return Game(model, {"x": row}, {"x": others}, owners, np.arange(outputs))


def test_the_parts_are_all_references_once_and_weigh_what_they_hold():
    game = game_of(references=7)
    masks = np.random.default_rng(1).random((9, 10)) < 0.5
    parts = parts_of(game, 3, np.random.default_rng(0))
    assert sorted(part.game.n_references for part in parts) == [2, 2, 3]
    together = sum(part.share * part.game.value(masks) for part in parts)
    np.testing.assert_allclose(together, game.value(masks), atol=1e-12)
    total = sum(part.share * part.total for part in parts)
    np.testing.assert_allclose(total, game.full() - game.empty(), atol=1e-12)


def test_no_more_parts_than_references_and_one_where_all_coalitions_are_asked():
    game = game_of(features=10, references=7)
    assert count_of_parts(game, pairs=100, parts=3) == 3
    assert count_of_parts(game, pairs=100, parts=50) == 7
    assert count_of_parts(game, pairs=511, parts=3) == 1  # 2^9 - 1 pairs are all there are


@pytest.mark.parametrize(("method", "params", "cost"), METHODS)
@pytest.mark.parametrize("parts", [1, 3, 50])
def test_parts_ask_as_many_model_rows_and_add_up(method, params, cost, parts):
    game = game_of(outputs=2)
    chosen = params(samples=120, parts=parts)
    before = game._model.spent.forward
    found = method(game, chosen, np.random.default_rng(0))
    # 60 pairs and the empty coalition over 7 references, and the row: 121 * 7 + 1.
    assert game._model.spent.forward - before == cost(chosen, Shape(1, 10, 7)).forward == 848
    assert found.notes["samples"] == pytest.approx(120)
    np.testing.assert_allclose(found.values.sum(axis=0), game.full() - game.empty(), atol=1e-9)


@pytest.mark.parametrize(("method", "params"), [entry[:2] for entry in METHODS])
def test_the_standard_error_of_parts_is_the_spread_over_seeds(method, params):
    game = game_of(references=12)
    truth = exact_shapley(game, ExactShapleyParams()).values[:, 0]
    runs = [method(game, params(samples=200, parts=6), np.random.default_rng(seed)) for seed in range(40)]
    off = np.array([run.values[:, 0] - truth for run in runs])
    said = np.array([run.standard_error[:, 0] for run in runs])
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.2)
    assert (np.abs(off.mean(axis=0)) <= 4 * off.std(axis=0) / np.sqrt(40)).all()


def test_at_equal_model_rows_parts_err_less():
    # Twelve references that are the same err alike: twelve parts divide the error by the root of 12, 3.5.
    one = game_of(features=12, references=1)
    game = one.among(np.zeros(12, np.int64))
    truth = exact_shapley(one, ExactShapleyParams()).values

    def error(parts):
        params = KernelShapParams(samples=200, parts=parts)
        runs = [kernel_shap(game, params, np.random.default_rng(seed)).values for seed in range(15)]
        return np.sqrt(np.mean([(run - truth) ** 2 for run in runs]))

    assert error(12) / error(1) == pytest.approx(1 / np.sqrt(12), rel=0.3)


def test_what_the_surrogate_misses_stands_for_all_pairs_of_a_size_not_for_those_that_it_knows():
    # Size 1: 3 of 3 pairs fitted; left-out residuals speak for one of them. Size 2: 2 fitted and 1 not, of 12: for 11.
    masks = np.zeros((6, 5), bool)
    sizes, unseen = np.array([1, 1, 1, 2, 2, 2]), np.array([0, 0, 0, 0.75, 0.75, 0.75])
    design = PairedCoalitions(masks, np.ones(6), sizes, unseen)
    held = Held(np.zeros(5), residuals=np.full(6, 12.0), fitted=np.array([0.3, 0.3, 0.3, 4.0, 4.0, 0.0]))
    found = _of_all_pairs(design, held, np.arange(5))
    np.testing.assert_allclose(found, [4.3, 4.3, 4.3, 12.0, 12.0, 11.0])


@pytest.mark.parametrize(("method", "params", "cost"), METHODS)
def test_parts_stop_together_at_the_precision(method, params, cost):
    game = game_of(features=14)
    chosen = params(samples=4000, precision=0.03, parts=3)
    before = game._model.spent.forward
    found = method(game, chosen, np.random.default_rng(2))
    assert found.notes["converged"] == 1.0
    assert found.notes["samples"] < 4000
    assert game._model.spent.forward - before < cost(chosen, Shape(1, 14, 7)).forward
    # The empty coalition once over each reference, the row once, and no coalition twice.
    assert game._model.spent.forward - before == pytest.approx((found.notes["samples"] + 1) * 7 + 1)
