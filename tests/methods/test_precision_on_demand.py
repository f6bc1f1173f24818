"""Sampling that stops at the precision asked for, or at the budget, and says which: the methods beside Shapley values and LIME."""

import numpy as np
import pytest

from pgx_compiler.methods.perturbation._random_masks import every_mask
from pgx_compiler.methods.perturbation.hsic import HsicParams, hsic
from pgx_compiler.methods.perturbation.shapley_interactions import ShapleyInteractionsParams, shapley_interactions
from pgx_compiler.methods.perturbation.sobol_indices import SobolIndicesParams, sobol_indices
from tests.methods.test_kernel_shap import network_game
from tests.methods.test_shapley_interactions import Named


class Counted(Named):
    """Counts the coalitions that it is asked for."""

    asked = 0

    def value(self, masks):
        self.asked += len(masks)
        return super().value(masks)


@pytest.fixture
def game():
    return Counted(network_game(14).value(every_mask(14)))


@pytest.mark.parametrize(
    ("method", "params", "budget", "loose"),
    [(hsic, HsicParams, {"samples": 8000}, 0.08), (sobol_indices, SobolIndicesParams, {"designs": 900}, 0.05)],
)
def test_indices(game, method, params, budget, loose):
    found = method(game, params(**budget, precision=loose), np.random.default_rng(0))
    size = max(found.values.max(), found.values.sum())
    assert found.standard_error.max() <= loose * size
    assert found.notes["converged"] == 1.0
    assert found.notes["samples"] == game.asked < 6000
    game.asked = 0
    spent = method(game, params(**budget, precision=1e-4), np.random.default_rng(0))
    assert spent.notes["converged"] == 0.0
    assert spent.notes["samples"] == game.asked > 7900
    plain = method(game, params(**budget), np.random.default_rng(0))
    assert "converged" not in plain.notes
    assert plain.notes["samples"] == spent.notes["samples"]


def test_interactions(game):
    def run(**params):
        game.asked = 0
        chosen = ShapleyInteractionsParams(samples=8000, **params)
        found = shapley_interactions(game, chosen, np.random.default_rng(0))
        # beside the coalitions of the design the empty one is asked as a coalition, and the full one as a row
        assert found.numbers["samples"] <= game.asked <= found.numbers["samples"] + 2
        return found

    loose, tight, plain = run(precision=0.05), run(precision=1e-6), run()
    strongest = max(loose.numbers["strongest"], abs(game.full()[0] - game.empty()[0]))
    assert loose.arrays["standard_error_of_pairs"].max() <= 0.05 * strongest
    assert (loose.numbers["converged"], tight.numbers["converged"]) == (1.0, 0.0)
    assert loose.numbers["samples"] < 0.5 * tight.numbers["samples"]
    assert tight.numbers["samples"] == plain.numbers["samples"] == 8000
    assert "converged" not in plain.numbers
    exact = shapley_interactions(game, ShapleyInteractionsParams(samples=2**14), np.random.default_rng(0))
    off = np.abs(loose.arrays["interactions"] - exact.arrays["interactions"])[np.triu_indices(14, 1)]
    assert (off <= 3 * loose.arrays["standard_error_of_pairs"][np.triu_indices(14, 1)] + 1e-9).mean() > 0.97
