"""XRAI: its regions, the order of them against a plain loop, and what is left of integrated gradients."""

import numpy as np
import pytest

from pgx_compiler.methods.gradient._regions import densest_first, overlapping_regions
from pgx_compiler.methods.gradient.integrated_gradients import IntegratedGradientsParams, integrated_gradients
from pgx_compiler.methods.gradient.xrai import XraiParams, xrai
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from pgx_compiler.modalities.image import patches
from tests.methods.models import Linear


def boxes(*spans, side=6):
    found = np.zeros((len(spans), side, side), bool)
    for one, (rows, columns) in zip(found, spans, strict=True):
        one[rows, columns] = True
    return found


def one_by_one(regions, values):
    """The greedy order written out: the region with the highest mean over its own free pixels, again and again."""
    found, free = np.full(values.shape, np.nan), np.ones(values.shape, bool)
    while free.any():
        means = [values[r & free].mean() if (r & free).any() else -np.inf for r in regions]
        new = regions[int(np.argmax(means))] & free
        found[new] = values[new].mean()
        free &= ~new
    return found


def test_the_densest_region_comes_first_and_overlaps_go_to_it():
    values = np.zeros((6, 6))
    values[:, 2:4], values[0, 0] = 3.0, 24.0
    left, middle, right = (slice(None), slice(0, 3)), (slice(None), slice(2, 4)), (slice(None), slice(3, 6))
    # Means: left (24 + 18) / 18 = 2.33, middle 3, right 1. The middle is taken; left keeps 24 / 12 = 2, right 0.
    found = densest_first(boxes(left, middle, right), values)
    np.testing.assert_allclose(found, np.tile([2.0, 2.0, 3.0, 3.0, 0.0, 0.0], (6, 1)))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_greedy_order_and_keeps_the_sum(seed):
    rng = np.random.default_rng(seed)
    regions, values = rng.random((30, 9, 7)) < 0.3, rng.normal(size=(9, 7))
    regions = np.concatenate([regions, np.ones((1, 9, 7), bool)])
    found = densest_first(regions, values)
    np.testing.assert_allclose(found, one_by_one(regions, values), atol=1e-12)
    assert found.sum() == pytest.approx(values.sum())


def test_a_sliver_is_not_taken_however_dense_it_is():
    # Of 112 x 112 pixels a region must add 50 / 4 = 12 (12.5 is rounded to even); 11 are left to what remains in the end.
    values = np.zeros((112, 112))
    values[0, :11], values[1, :12] = 9.0, 5.0
    rest = (slice(2, None), slice(None))
    regions = boxes((0, slice(0, 11)), (1, slice(0, 12)), rest, side=112)
    found = densest_first(regions, values)
    np.testing.assert_allclose(found[1, :12], 5.0)
    left = ~regions[1:].any(axis=0)
    np.testing.assert_allclose(found[left], 99.0 / left.sum())
    assert found.sum() == pytest.approx(values.sum())


@pytest.mark.parametrize("shape", [(8, 8, 1), (28, 30, 3), (60, 50, 2)])
def test_regions_cover_the_picture_at_several_scales(shape):
    picture = np.random.default_rng(0).random(shape)
    picture[: shape[0] // 2] += 3.0
    regions = overlapping_regions(picture)
    assert regions.shape[1:] == shape[:2]
    assert regions.any(axis=0).all()
    assert regions.any(axis=(1, 2)).all()
    assert regions.sum(axis=(1, 2)).max() > regions.sum(axis=(1, 2)).min()


def test_two_even_halves_are_two_regions_grown_over_their_border():
    picture = np.zeros((56, 56, 1))
    picture[:, 28:] = 1.0
    regions = overlapping_regions(picture)
    grown = round(5 * 56 / 224)
    left = regions[:, 0, 0] & ~regions[:, 0, -1]
    assert left.any()
    assert regions[left].any(axis=0)[:, : 28 + grown].all()


def test_an_even_picture_or_one_with_gaps_is_one_region():
    assert overlapping_regions(np.full((20, 20, 3), 7.0)).all()
    picture = np.full((20, 20, 3), 7.0)
    picture[3, 4] = np.nan
    assert overlapping_regions(picture).any(axis=0).all()


def halves(channels_first=False):
    """A dark and a bright half; the model reads the bright one, in one spot, and of the first channel."""
    image = np.zeros((1, 16, 16, 2))
    image[:, :, 8:] = 1.0
    weights = np.zeros((16, 16, 2))
    weights[5, 12, 0] = 4.0
    layout = {"kind": "grid", **({"channels_first": True} if channels_first else {})}
    owner = patches((16, 16, 2), 8)
    if channels_first:
        image, weights, owner = np.moveaxis(image, -1, 1), np.moveaxis(weights, -1, 0), patches((2, 16, 16), 8, True)
    features = FeatureMap(("nw", "ne", "sw", "se"), {"image": owner}, layout)
    rows = Rows({"image": image}, np.array([0]), References({"image": np.zeros((1, 1, *image.shape[1:]))}), features)
    return Linear(weights.reshape(-1, 1)), rows


@pytest.mark.parametrize("channels_first", [False, True])
def test_what_one_spot_adds_is_spread_over_its_region_and_its_channels(channels_first):
    model, rows = halves(channels_first)
    found = xrai(model, rows, XraiParams())["image"]
    plain = integrated_gradients(model, rows, IntegratedGradientsParams())["image"]
    assert np.count_nonzero(plain) == 1
    assert found.sum() == pytest.approx(plain.sum()) == pytest.approx(4.0)
    first, second = (np.take(found[0], channel, axis=0 if channels_first else -1) for channel in (0, 1))
    np.testing.assert_allclose(first, second)
    assert first[5, 12] > 0 == first[5, 0]  # nothing reaches the dark half's far side


def test_calls_are_no_larger_than_the_handle_asks():
    model, rows = halves()
    model.rows_per_call = 5
    xrai(model, rows, XraiParams(steps=12))
    assert (model.largest_call, model.spent.backward) == (5, 12)
