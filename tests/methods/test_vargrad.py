"""VarGrad and SquareGrad against closed forms, two passes, the mean slope, and their spread over seeds."""

import numpy as np
import pytest

from pgx_compiler.methods.gradient._noise import NoisyParams, noisy_gradients
from pgx_compiler.methods.gradient.squaregrad import SquaregradParams, squaregrad
from pgx_compiler.methods.gradient.vargrad import VargradParams, recursive_squares, vargrad
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from tests.methods.models import Linear, Smooth


class Squares(Smooth):
    """score = sum of a x²: the gradient 2 a x is as normal as the noise."""

    def __init__(self, weights):
        super().__init__()
        self.weights = np.asarray(weights, float)

    def scores(self, flat):
        return (flat**2) @ self.weights[:, None]

    def slopes(self, flat, target):
        return 2 * flat * self.weights


def rows_of(owner=(0, 1, 1), rows=2):
    """Each column's range over row and references is 1, so that noise of 0.2 has a standard deviation of 0.2."""
    inputs = np.tile([[1.0, 2.0, -3.0]], (rows, 1))
    others = References({"x": inputs[None, :1] - [[[1.0, 1.0, 1.0]]]})
    features = FeatureMap(("a", "b"), {"x": np.asarray(owner)})
    return Rows({"x": inputs}, np.zeros(rows, np.int64), others, features)


def test_it_is_the_variance_of_the_gradient():
    # Gradients are 2 a (x + 0.2 z): variance (0.4 a)²; of feature b, 0.16 (4 + 9).
    params = VargradParams(samples=4000, noise=0.2)
    found = vargrad(Squares([1.0, 2.0, 3.0]), rows_of(), params, np.random.default_rng(0))
    truth = np.array([0.16, 0.16 * 13])
    assert (np.abs(found.values - truth) <= 4 * found.standard_error).all()
    # A variance of n normal samples has the relative error sqrt(2 / n); of a sum of two, the errors add in squares.
    expected = np.sqrt(2 / 4000) * 0.16 * np.array([1.0, np.hypot(4, 9)])
    np.testing.assert_allclose(found.standard_error[0], expected, rtol=0.1)


def test_one_pass_gives_what_two_passes_give_in_calls_of_any_size():
    samples = np.random.default_rng(1).normal(size=(50, 4)) ** 3 + 100
    found, mean, seen = [], None, 0
    for part in np.array_split(samples, [1, 8, 30]):
        terms, mean = recursive_squares(part, mean, seen)
        seen += len(part)
        found.append(terms)
    terms = np.concatenate(found)
    np.testing.assert_allclose(terms[0], 0.0)
    np.testing.assert_allclose(terms[1:].mean(axis=0), samples.var(axis=0, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(mean, samples.mean(axis=0))


def test_the_standard_error_is_the_spread_over_seeds():
    model, rows = Squares([1.0, 2.0, 3.0]), rows_of(rows=1)
    for method, params in ((vargrad, VargradParams(noise=0.2)), (squaregrad, SquaregradParams(noise=0.2))):
        runs = [method(model, rows, params, np.random.default_rng(seed)) for seed in range(300)]
        spread = np.std([run.values[0] for run in runs], axis=0, ddof=1)
        said = np.sqrt(np.mean([run.standard_error[0] ** 2 for run in runs], axis=0))
        np.testing.assert_allclose(said / spread, 1.0, atol=0.2)


def test_a_straight_line_has_no_variance_and_its_squared_slope():
    model, rows = Linear(np.array([[2.0], [-1.0], [3.0]])), rows_of()
    found = vargrad(model, rows, VargradParams(), np.random.default_rng(0))
    np.testing.assert_allclose(found.values, 0.0, atol=1e-20)
    found = squaregrad(model, rows, SquaregradParams(), np.random.default_rng(0))
    np.testing.assert_allclose(found.values, [[4.0, 10.0]] * 2)
    np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-12)


def test_squaregrad_is_the_mean_slope_squared_plus_vargrad():
    # mean g² = (mean g)² + variance over n: with the same generator all three see the same gradients.
    model, rows = Squares([1.0, 2.0, 3.0]), rows_of(owner=(0, 1, FIXED))
    slopes = [g["x"] for _, g in noisy_gradients(model, rows, NoisyParams(noise=0.2), np.random.default_rng(5))]
    smooth = np.concatenate(slopes)[:, :, :2].mean(axis=1)
    spread = vargrad(model, rows, VargradParams(noise=0.2), np.random.default_rng(5)).values
    square = squaregrad(model, rows, SquaregradParams(noise=0.2), np.random.default_rng(5)).values
    np.testing.assert_allclose(square, smooth**2 + spread * 49 / 50)


@pytest.mark.parametrize("rows_per_call", [1, 7, 50, 99, 1000])
def test_the_generator_is_asked_alike_in_calls_of_any_size(rows_per_call):
    model, rows, params = Squares([1.0, 2.0, 3.0]), rows_of(rows=3), NoisyParams(samples=50)
    model.rows_per_call = rows_per_call
    found = [[] for _ in range(3)]
    for part, gradient in noisy_gradients(model, rows, params, np.random.default_rng(0)):
        for row, of_row in zip(range(part.start, part.stop), gradient["x"], strict=True):
            found[row].append(of_row)
    together = np.array([np.concatenate(parts) for parts in found])
    rng = np.random.default_rng(0)
    points = np.array([one + 0.15 * rng.standard_normal((50, 3)) for one in rows.inputs["x"]])
    np.testing.assert_allclose(together, 2 * points * [1.0, 2.0, 3.0])
    assert model.largest_call <= rows_per_call
    assert model.spent.backward == 150


def test_two_samples_have_an_error_as_large_as_the_variance():
    # (g2 - g1)² / 2 is sigma² times chi² of one degree, whose standard deviation is sqrt(2) of its mean.
    found = vargrad(Squares([1.0, 1.0, 1.0]), rows_of(), VargradParams(samples=2), np.random.default_rng(0))
    np.testing.assert_allclose(found.standard_error, np.sqrt(2) * found.values)
