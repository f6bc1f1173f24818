"""Blur integrated gradients against Gaussian blurs by convolution, differences, and closed forms."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pgx_compiler.methods.gradient.blur_integrated_gradients import (
    BlurIntegratedGradientsParams as Params,
)
from pgx_compiler.methods.gradient.blur_integrated_gradients import _waves, blur_integrated_gradients, blurred_waves
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from pgx_compiler.modalities.image import patches
from tests.methods.models import Linear, Mlp, image_rows


def pixels(rows):
    """The same rows, every pixel a feature."""
    features = FeatureMap(tuple(map(str, range(64))), {"image": np.arange(64).reshape(8, 8, 1)}, {"kind": "grid"})
    return Rows(rows.inputs, rows.target, rows.references, features)


@pytest.fixture
def rows():
    return pixels(image_rows(np.random.default_rng(3)))


def curved(seed=1):
    rng = np.random.default_rng(seed)
    return Mlp(rng.normal(size=(64, 4)) * 0.4, rng.normal(size=4), rng.normal(size=(4, 3)))


@pytest.mark.parametrize("sigma", [1.3, 2.0, 4.0])
def test_the_blur_is_the_gaussian_one_that_reflects_at_the_border(sigma):
    # A sampled kernel is close to the exact one from a sigma of about one pixel.
    pictures = np.random.default_rng(0).random((2, 20, 31, 3))
    found, _ = blurred_waves(_waves(pictures), np.sqrt(np.full(2, sigma / 9.0)), 9.0)
    expected = gaussian_filter(pictures, (0, sigma, sigma, 0), mode="reflect", truncate=8.0)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_the_ends_of_the_path_are_the_image_and_its_mean_colour():
    pictures = np.random.default_rng(0).random((2, 8, 10, 3))
    sharp, still = blurred_waves(_waves(pictures), np.zeros(2), 50.0)
    np.testing.assert_allclose(sharp, pictures, atol=1e-12)
    np.testing.assert_allclose(still, 0.0, atol=1e-12)
    flat, _ = blurred_waves(_waves(pictures), np.ones(2), 50.0)
    np.testing.assert_allclose(flat, np.broadcast_to(pictures.mean(axis=(1, 2), keepdims=True), flat.shape), atol=1e-12)


def test_the_change_is_that_of_the_blur():
    waves, step = _waves(np.random.default_rng(0).random((3, 8, 9, 2))), 1e-6
    at = np.array([0.1, 0.3, 0.8])
    _, change = blurred_waves(waves, at, 7.0)
    after, before = (blurred_waves(waves, at + side * step, 7.0)[0] for side in (1, -1))
    np.testing.assert_allclose(change, (after - before) / (2 * step), atol=1e-6)


def test_a_linear_model_gets_what_sharpness_adds_to_each_pixel(rows):
    # The gradient is w everywhere: w (x - blurred x), here x minus its mean.
    weights = np.random.default_rng(0).normal(size=(64, 3))
    found = blur_integrated_gradients(Linear(weights), rows, Params())
    image = rows.inputs["image"].reshape(2, 64).astype(float)
    expected = weights.T[rows.target] * (image - image.mean(axis=1, keepdims=True))
    np.testing.assert_allclose(found.values, expected, atol=1e-6)


def test_values_add_up_to_the_score_minus_that_of_the_blurred_image(rows):
    model = curved()
    found = blur_integrated_gradients(model, rows, Params(max_sigma=1.5))
    blurred = gaussian_filter(rows.inputs["image"].astype(float), (0, 1.5, 1.5, 0), mode="reflect", truncate=8.0)
    scores = model.predict(rows.inputs)[[0, 1], rows.target] - model.predict({"image": blurred})[[0, 1], rows.target]
    np.testing.assert_allclose(found.values.sum(axis=1), scores, atol=1e-3)  # the sampled kernel
    np.testing.assert_allclose(found.values.sum(axis=1), found.notes["difference"], atol=1e-6)
    assert (found.notes["gap"] < 1e-6).all()


def test_it_is_the_sum_over_small_steps_of_the_blur(rows):
    model, found = curved(), blur_integrated_gradients(curved(), rows, Params(max_sigma=3.0)).values
    waves, image = _waves(rows.inputs["image"].astype(float)), rows.inputs["image"].astype(float)
    total, before = np.zeros((2, 64)), image
    for at in np.linspace(0, 1, 401)[1:]:
        after, _ = blurred_waves(waves, np.full(2, at), 3.0)
        slope = model.slopes(((before + after) / 2).reshape(2, 64), rows.target)
        total += slope * (before - after).reshape(2, 64)
        before = after
    np.testing.assert_allclose(found, total, atol=1e-4)


def test_channels_may_come_first():
    image = np.random.default_rng(5).random((1, 3, 8, 8))
    others = References({"image": np.zeros((1, 1, 3, 8, 8))})
    weights = np.random.default_rng(6).normal(size=(3 * 64, 3)) * 0.2
    layout = {"kind": "grid", "channels_first": True}
    first = Rows(
        {"image": image}, np.array([1]), others, FeatureMap(tuple(map(str, range(16))), {"image": patches((3, 8, 8), 2, True)}, layout)
    )  # fmt: skip
    found = blur_integrated_gradients(Linear(weights), first, Params()).values
    w = weights.T[1].reshape(3, 8, 8)
    each = (w * (image[0] - image[0].mean(axis=(1, 2), keepdims=True))).sum(axis=0)
    expected = each.reshape(4, 2, 4, 2).sum(axis=(1, 3)).reshape(1, 16)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_calls_are_no_larger_than_the_handle_asks(rows):
    model = curved()
    model.rows_per_call = 9
    blur_integrated_gradients(model, rows, Params(steps=10))
    assert model.largest_call == 9
    assert (model.spent.backward, model.spent.forward) == (20, 4)
