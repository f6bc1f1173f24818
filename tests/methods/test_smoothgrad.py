"""SmoothGrad: pairs of copies cancel what changes its sign with the noise, and the error is that of pairs."""

import numpy as np
import pytest
from pydantic import ValidationError

from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.gradient._noise import NoisyParams, noisy_gradients
from pgx_compiler.methods.gradient.smoothgrad import SmoothgradParams, cost, smoothgrad
from tests.methods.models import Smooth
from tests.methods.test_vargrad import Squares, rows_of


class Cubes(Smooth):
    """score = sum of x³: the gradient 3 x² has a part that noise of either sign raises."""

    def scores(self, flat):
        return (flat**3).sum(axis=1, keepdims=True)

    def slopes(self, flat, target):
        return 3 * flat**2


def test_a_gradient_that_changes_in_a_straight_line_has_no_error():
    # The gradient 2 a x is that of the row, whatever the noise, as soon as copies come in pairs.
    found = smoothgrad(Squares([1.0, 2.0, 3.0]), rows_of(), SmoothgradParams(samples=4), np.random.default_rng(0))
    np.testing.assert_allclose(found.values, [[2.0, 4 * 2.0 + 6 * -3.0]] * 2)
    np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-12)


def test_the_mean_is_that_of_the_smoothed_score_and_the_error_its_spread_over_seeds():
    # E[3 (x + s z)²] = 3 (x² + s²); of a pair's mean the variance is that of 3 s² z², 18 s⁴.
    rows, noise = rows_of(rows=1), 0.5
    runs = [
        smoothgrad(Cubes(), rows, SmoothgradParams(noise=noise, samples=40), np.random.default_rng(seed))
        for seed in range(400)
    ]
    values = np.array([run.values[0] for run in runs])
    said = np.sqrt(np.mean([run.standard_error[0] ** 2 for run in runs], axis=0))
    truth = 3 * np.array([1.0 + noise**2, 4.0 + 9.0 + 2 * noise**2])
    spread = np.sqrt(18 * noise**4 / 20 * np.array([1, 2]))
    assert (np.abs(values.mean(axis=0) - truth) <= 4 * spread / np.sqrt(len(runs))).all()
    np.testing.assert_allclose(values.std(axis=0, ddof=1), spread, rtol=0.12)
    np.testing.assert_allclose(said, spread, rtol=0.12)


@pytest.mark.parametrize("rows_per_call", [1, 3, 7, 50, 1000])
def test_every_second_copy_has_the_noise_of_the_one_before_it_the_other_way_round(rows_per_call):
    model, rows = Squares([1.0, 2.0, 3.0]), rows_of(rows=3)
    model.rows_per_call = rows_per_call
    found = [[] for _ in range(3)]
    for part, gradient in noisy_gradients(
        model, rows, NoisyParams(samples=11), np.random.default_rng(0), mirrored=True
    ):
        for row, of_row in zip(range(part.start, part.stop), gradient["x"], strict=True):
            found[row].append(of_row)
    copies = np.array([np.concatenate(parts) for parts in found]) / [2.0, 4.0, 6.0]
    assert copies.shape == (3, 10, 3)
    np.testing.assert_allclose((copies[:, ::2] + copies[:, 1::2]) / 2, np.tile(rows.inputs["x"][:, None], (1, 5, 1)))
    assert np.abs(copies[:, ::2] - copies[:, 1::2]).min() > 0


def test_an_odd_number_is_rounded_down_in_plan_and_spending():
    model, rows = Squares([1.0, 2.0, 3.0]), rows_of(rows=3)
    found = smoothgrad(model, rows, SmoothgradParams(samples=11), np.random.default_rng(0))
    shape = Shape(rows=3, features=2, references=1, outputs=1)
    assert cost(SmoothgradParams(samples=11), shape).backward == model.spent.backward == 30
    assert (found.notes["samples"] == 10).all()
    with pytest.raises(ValidationError, match="greater than or equal to 4"):
        SmoothgradParams(samples=3)
