"""What a removed part of an image is replaced by."""

import numpy as np
import pytest

from pgx_compiler.modalities import image
from pgx_compiler.modalities._image_fills import harmonic_fill
from pgx_compiler.modalities.features import FIXED, FeatureMap


def patched(shape, size, **more):
    return image.feature_map({"x": shape}, {"superpixels": "patches", "size": size, **more})


def fill(rows, train, kind, features, seed=0, **keys):
    filled = {"kind": kind, **image.FILLS[kind], **keys}
    return image.references({"x": rows}, {"x": train}, filled, features, np.random.default_rng(seed))


@pytest.fixture
def pictures():
    return np.random.default_rng(0).random((12, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", sorted(image.FILLS))
def test_every_fill_keeps_the_shape_and_dtype_and_is_drawn_again_by_its_seed(kind, pictures):
    features = patched((8, 8, 3), 4)
    for rows in (pictures[:2], (pictures[:2] * 255).astype(np.uint8)):
        train = rows if rows.dtype == np.uint8 else pictures
        first, again = (fill(rows, train, kind, features, size=2) if "size" in image.FILLS[kind] else
                        fill(rows, train, kind, features) for _ in range(2))  # fmt: skip
        held = first.inputs["x"]
        assert held.dtype == rows.dtype
        assert held.shape[0] in (1, 2)
        assert held.shape[1:] == (len(first), 8, 8, 3)
        assert first.name
        assert (held == again.inputs["x"]).all()


def test_whole_pixels_are_rounded_and_stay_in_their_range():
    # The mean of 0 and 255 is 127.5: rounded to even, not cut off to 127; a value of 300 is no uint8.
    train = np.array([0, 255], np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    features = patched((4, 4), 2)
    assert (fill(train, train, "mean", features).inputs["x"] == 128).all()
    above = fill(train, train, "value", features, value=300.0)
    assert (above.inputs["x"] == 255).all()
    assert "300 as uint8" in above.name


def test_noise_follows_each_pixel_of_the_training_images(pictures):
    train = pictures.copy()
    train[:, 0, 0] = 0.25  # a pixel that never varies
    held = fill(pictures[:1], train, "noise", patched((8, 8, 3), 2), size=400).inputs["x"][0]
    assert held.shape == (400, 8, 8, 3)
    assert np.allclose(held[:, 0, 0], 0.25)
    mean = train.mean(axis=0)
    spread = train.std(axis=0)
    assert np.abs(held.mean(axis=0) - mean).max() < 5 * spread.max() / np.sqrt(400) + 0.02  # cut to the range
    assert held.min() >= train.min()
    assert held.max() <= train.max()
    assert len(np.unique(held[:, 1, 1, 0])) > 300


def test_uniform_images_fill_the_range_of_the_training_data_evenly(pictures):
    train = 3 * pictures - 1
    held = fill(pictures[:1], train, "uniform", patched((8, 8, 3), 2), size=400).inputs["x"][0]
    low, high = train.min(), train.max()
    assert (held >= low).all() and (held <= high).all()  # noqa: PT018
    # Of 76,800 draws a quarter falls into each quarter of the range, give or take five standard errors of 0.0016.
    shares = np.histogram(held, np.linspace(low, high, 5))[0] / held.size
    assert np.abs(shares - 0.25).max() < 0.008


def test_the_furthest_image_has_each_element_at_the_end_it_is_further_from():
    train = np.array([-1.0, 3.0])[:, None, None] * np.ones((1, 2, 2))  # the middle of the range is 1
    rows = np.array([[[-1.0, 0.9], [1.0, 2.5]], [[3.0, 3.0], [-1.0, 0.0]]])
    held = fill(rows, train, "maximum_distance", patched((2, 2), 1)).inputs["x"]
    assert held[:, 0].tolist() == [[[3.0, 3.0], [-1.0, -1.0]], [[-1.0, -1.0], [3.0, 3.0]]]
    whole = fill((40 * (rows + 1)).astype(np.uint8), np.array([0, 255], np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8),
                 "maximum_distance", patched((2, 2), 1)).inputs["x"]  # fmt: skip
    assert set(whole.reshape(-1).tolist()) == {0, 255}


def test_background_images_are_training_images_each_once(pictures):
    held = fill(pictures[:1], pictures, "background", patched((8, 8, 3), 2), size=5).inputs["x"][0]
    found = [int(np.flatnonzero((pictures == one).all(axis=(1, 2, 3)))[0]) for one in held]
    assert len(set(found)) == 5


def test_a_straight_slope_is_inpainted_exactly():
    # A plane solves Laplace's equation: what surrounds a hole in it determines the plane again. At the border of the
    # picture, where a side is missing, that does not hold, so only inner patches are looked at.
    down, across = np.meshgrid(np.arange(9.0), np.arange(9.0), indexing="ij")
    slope = (2 * down - across)[None, :, :, None]
    held = fill(slope, slope, "inpaint", patched((9, 9, 1), 3)).inputs["x"][0, 0]
    assert np.allclose(held[3:6, 3:6], slope[0, 3:6, 3:6])


def test_inpainting_forgets_what_was_inside_and_averages_what_is_around():
    # One hidden pixel: the mean of its four neighbours (1 + 2 + 3 + 4) / 4, whatever it was. In a corner: of its two.
    owner = np.full((3, 3), FIXED)
    owner[1, 1] = 0
    picture = np.array([[0, 1, 0], [2, 99, 3], [0, 4, 0]], float)[..., None]
    filled = harmonic_fill(owner)(picture)
    assert filled[1, 1, 0] == pytest.approx(2.5)
    assert (np.delete(filled.reshape(-1), 4) == np.delete(picture.reshape(-1), 4)).all()
    corner = np.full((3, 3), FIXED)
    corner[0, 0] = 0
    assert harmonic_fill(corner)(picture)[0, 0, 0] == pytest.approx(1.5)


def test_inpainting_solves_every_segment_as_if_it_alone_were_gone():
    # Re-derived by iteration: inside each segment every pixel becomes the mean of its neighbours, the rest stays.
    rng = np.random.default_rng(4)
    owner = np.kron(np.array([[0, 1], [2, 2]]), np.ones((3, 3), int))
    picture = rng.random((6, 6))
    filled = harmonic_fill(owner)(picture[..., None])[..., 0]
    for segment in range(3):
        slow = picture.copy()
        slow[owner == segment] = 0.5
        for _ in range(3000):
            padded = np.pad(slow, 1, constant_values=np.nan)
            around = np.stack([padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]])
            slow = np.where(owner == segment, np.nanmean(around, axis=0), slow)
        assert np.allclose(filled[owner == segment], slow[owner == segment], atol=1e-6)


def test_a_picture_of_one_segment_is_inpainted_with_its_mean():
    picture = np.random.default_rng(0).random((5, 5, 2))
    filled = harmonic_fill(np.zeros((5, 5), np.int64))(picture)
    assert np.allclose(filled, picture.mean(axis=(0, 1)))


@pytest.mark.parametrize("kind", ["blur", "inpaint"])
def test_rows_of_segments_are_filled_by_their_own_and_wherever_the_channels_stand(kind, pictures):
    rows = pictures[:3]
    last = image.features_of_rows({"x": rows}, {"superpixels": "slic", "segments": 6})
    held = fill(rows, pictures, kind, last).inputs["x"]
    one = image.features_of_rows({"x": rows[2:]}, {"superpixels": "slic", "segments": 6})
    assert np.allclose(fill(rows[2:], pictures, kind, one).inputs["x"][0], held[2])
    moved, first = np.moveaxis(rows, -1, 1), {"superpixels": "slic", "segments": 6, "channels_first": True}
    features = image.features_of_rows({"x": moved}, first)
    other = fill(moved, np.moveaxis(pictures, -1, 1), kind, features).inputs["x"]
    assert np.allclose(np.moveaxis(other, 2, -1), held, atol=1e-6)


def test_descriptors_do_not_depend_on_where_the_channels_stand(pictures):
    rows = {"x": pictures}
    last = image.variables(rows, None, patched((8, 8, 3), 4), (), {})
    moved = {"x": np.moveaxis(pictures, -1, 1)}
    first = image.variables(moved, None, patched((3, 8, 8), 4, channels_first=True), (), {})
    for one, other in zip(last, first, strict=True):
        assert np.allclose(one.train, other.train)


def test_fixed_pixels_stay_as_they_are(pictures):
    owner = np.zeros((8, 8, 3), np.int64)
    owner[:4] = FIXED
    held = fill(pictures[:2], pictures, "inpaint", FeatureMap(("a",), {"x": owner})).inputs["x"]
    assert np.allclose(held[:, 0, :4], pictures[:2, :4])
