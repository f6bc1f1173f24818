"""Guided integrated gradients against integrated gradients, and the paper's algorithm written out element by element."""

import math

import numpy as np
import pytest

from pgx_compiler.methods.gradient.guided_integrated_gradients import (
    GuidedIntegratedGradientsParams as Params,
)
from pgx_compiler.methods.gradient.guided_integrated_gradients import advance, guided_integrated_gradients
from pgx_compiler.methods.gradient.integrated_gradients import IntegratedGradientsParams, integrated_gradients
from tests.methods.models import Additive, Linear, Mlp, Smooth, flatten, image_rows


@pytest.fixture
def rows():
    return image_rows(np.random.default_rng(3))


def curved(rows, seed=1):
    rng = np.random.default_rng(seed)
    return Mlp(rng.normal(size=(64, 4)) * 0.4, rng.normal(size=4), rng.normal(size=(4, 3)))


def written_out(gradient, start, end, steps, fraction, max_distance):
    """Algorithm 1 on one path, on plain numbers; gradients by the trapezoidal rule. Returns what each element gains."""
    x, n = list(start), len(start)
    gained, whole = [0.0] * n, sum(abs(b - a) for a, b in zip(start, end, strict=True))
    slope = gradient(x)
    for step in range(1, steps + 1):
        old, goal = list(x), step / steps
        low, high = max(goal - max_distance, 0), min(goal + max_distance, 1)
        least = [a + low * (b - a) for a, b in zip(start, end, strict=True)]
        most = [a + high * (b - a) for a, b in zip(start, end, strict=True)]
        for i in range(n):
            if abs(x[i] - start[i]) < abs(least[i] - start[i]):
                x[i] = least[i]
        while True:
            missing = sum(abs(end[i] - x[i]) for i in range(n)) - whole * (1 - goal)
            able = [i for i in range(n) if not math.isclose(x[i], most[i], abs_tol=1e-12)]
            if missing <= 1e-9 * whole or not able:
                break
            ranked = sorted(abs(slope[i]) if i in able else math.inf for i in range(n))
            limit = ranked[math.floor(fraction * (n - 1))]
            moving = [i for i in able if abs(slope[i]) <= limit]
            reach = sum(abs(most[i] - x[i]) for i in moving)
            for i in moving:
                x[i] += (most[i] - x[i]) * min(1.0, missing / reach)
        after = gradient(x)
        for i in range(n):
            gained[i] += (x[i] - old[i]) * (slope[i] + after[i]) / 2
        slope = after
    return gained


@pytest.mark.parametrize(
    "params", [Params(steps=20), Params(steps=13, fraction=0.1, max_distance=0.3), Params(steps=7, max_distance=1.0)]
)
def test_it_is_the_papers_algorithm(rows, params):
    model = curved(rows)
    found = guided_integrated_gradients(model, rows, params)["image"].reshape(2, -1)
    for row in range(2):
        start, end = rows.references.inputs["image"][row, 0], rows.inputs["image"][row]

        def gradient(x, row=row):
            point = np.array(x).astype(np.float32).astype(float)  # what the model is given
            return model.slopes(point[None], rows.target[row : row + 1])[0].tolist()

        gains = [
            written_out(
                gradient,
                one.reshape(-1).tolist(),
                end.reshape(-1).tolist(),
                params.steps,
                params.fraction,
                params.max_distance,
            )
            for one in (start, rows.references.inputs["image"][row, 1])
        ]
        np.testing.assert_allclose(found[row], np.mean(gains, axis=0), atol=1e-6)


def test_without_leeway_it_is_integrated_gradients(rows):
    model = curved(rows)
    found = guided_integrated_gradients(model, rows, Params(steps=400, max_distance=0.0))["image"]
    straight = integrated_gradients(model, rows, IntegratedGradientsParams())["image"]
    np.testing.assert_allclose(found, straight, atol=1e-5)


def test_where_elements_do_not_interact_every_path_gives_what_each_adds(rows):
    rng = np.random.default_rng(0)
    for model, close in (
        (Linear(rng.normal(size=(64, 3))), 1e-6),
        (Additive(rng.normal(size=(64, 3)), np.ones(64)), 1e-4),
    ):
        found = guided_integrated_gradients(model, rows, Params(max_distance=0.1))["image"]
        straight = integrated_gradients(model, rows, IntegratedGradientsParams())["image"]
        np.testing.assert_allclose(found, straight, atol=close)


def test_values_add_up_whatever_the_leeway(rows):
    model = curved(rows)
    scores = model.predict(rows.inputs)[[0, 1], rows.target]
    base = [model.predict(rows.references.of_row(row))[:, rows.target[row]].mean() for row in range(2)]
    for leeway in (0.0, 0.02, 0.3, 1.0):
        found = guided_integrated_gradients(model, rows, Params(max_distance=leeway))["image"]
        np.testing.assert_allclose(found.reshape(2, -1).sum(axis=1), scores - base, atol=2e-4)


class Product(Smooth):
    """score = (x0 + 0.2) x1."""

    def scores(self, flat):
        return ((flat[:, 0] + 0.2) * flat[:, 1])[:, None]

    def slopes(self, flat, target):
        return np.stack([flat[:, 1], flat[:, 0] + 0.2], axis=1)


def test_the_element_with_the_smaller_gradient_moves_first_and_gets_less():
    # From (0, 0) to (1, 1): x0 has the gradient 0, x1 0.2, so x0 goes all its way first and gains 0; then x1 gains 1.2.
    from pgx_compiler.modalities.features import FeatureMap, References, Rows

    owners = FeatureMap(("a", "b"), {"x": np.array([0, 1])})
    rows = Rows({"x": np.ones((1, 2))}, np.array([0]), References({"x": np.zeros((1, 1, 2))}), owners)
    found = guided_integrated_gradients(Product(), rows, Params(max_distance=1.0, fraction=0.5))["x"]
    np.testing.assert_allclose(found, [[0.0, 1.2]], atol=1e-12)


def test_a_point_covers_the_distance_that_it_should():
    # Of ways 1, 2 and 3, half the distance is 3. The smallest gradient is that of the third: it may go 0.6 of its way, 1.8;
    # then the second, 0.6 of 2: 1.2. That is all; the first stays at the lower bound of 0.4, which 1.8 + ... accounts for:
    # bounds put all at 0.4 (2.4 covered); the third goes to 0.6 (3.0 covered): done.
    share = np.zeros(3)
    advance(share, np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0]), 0.5, Params(fraction=0.25, max_distance=0.1))
    np.testing.assert_allclose(share, [0.4, 0.4, 0.6])
    # A whole part of 0.25 of it (0.75 of 3 = 2.25 missing after 2.4): nothing is missing any more at a lower goal.
    advance(share, np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0]), 0.45, Params(fraction=0.25, max_distance=0.1))
    np.testing.assert_allclose(share, [0.4, 0.4, 0.6])


def test_a_row_equal_to_its_reference_gets_nothing(rows):
    from pgx_compiler.modalities.features import References, Rows

    same = Rows(rows.inputs, rows.target, References({"image": rows.inputs["image"][:, None]}), rows.features)
    assert (guided_integrated_gradients(curved(rows), same, Params(steps=5))["image"] == 0).all()


def test_calls_are_no_larger_than_the_handle_asks(rows):
    model = curved(rows)
    model.rows_per_call = 3
    guided_integrated_gradients(model, rows, Params(steps=5))
    assert model.largest_call == 3  # four paths: three, and one
    assert model.spent.backward == 4 * 6
    assert flatten(rows.inputs).shape == (2, 64)
