"""Volumes: blocks and supervoxels, what fills them, and what is said of them."""

import numpy as np
import pytest

from pgx_compiler.modalities import having, is_pictured, modalities, names, volume
from pgx_compiler.modalities.features import FeatureMap, UnfitFeatures

SHAPE = (4, 6, 8)


def blocks(shape, size):
    return volume.feature_map({"x": shape}, volume.settle({"size": size}, {"x": shape}))


def fill(rows, train, kind, features, seed=0, **keys):
    filled = {"kind": kind, **volume.FILLS[kind], **keys}
    return volume.references({"x": rows}, {"x": train}, filled, features, np.random.default_rng(seed))


@pytest.fixture
def scans():
    return np.random.default_rng(0).random((6, *SHAPE, 2)).astype(np.float32)


def test_a_modality_is_its_file_and_says_what_kind_of_rows_it_has():
    assert set(names()) == set(modalities())
    assert {name: one.PLACES for name, one in modalities().items()} == {
        "tabular": 0, "text": 1, "series": 1, "image": 2, "volume": 3
    }  # fmt: skip
    assert having(2) == {"image", "volume"} == {name for name in names() if is_pictured(name)}
    assert having(1, numeric=True) == {"series", "image", "volume"}


def test_blocks_are_numbered_slice_by_slice_and_row_by_row():
    # 4 / 2 = 2 slices, 6 / 3 = 2 rows, 8 / 4 = 2 columns; the voxel (3, 2, 7) lies in slice 1, row 0, column 1: 4 + 0 + 1.
    features = blocks((*SHAPE, 2), [2, 3, 4])
    owner = features.owners["x"]
    assert features.names == ("d0r0c0", "d0r0c1", "d0r1c0", "d0r1c1", "d1r0c0", "d1r0c1", "d1r1c0", "d1r1c1")
    assert owner.shape == (*SHAPE, 2)
    assert (owner[3, 2, 7] == 5).all()  # both channels of a voxel belong to one block
    assert (np.bincount(owner.reshape(-1)) == 2 * 3 * 4 * 2).all()
    assert features.layout["slices"] == features.layout["rows"] == features.layout["columns"] == 2


def test_blocks_at_the_end_are_smaller_where_the_sides_do_not_fit():
    # Cubes of 3 in 4 × 6 × 8: slices of 3 and 1, rows of 3 and 3, columns of 3, 3 and 2.
    owner = blocks(SHAPE, 3).owners["x"]
    sizes = np.bincount(owner.reshape(-1)).reshape(2, 2, 3)
    assert (sizes == np.array([3, 1])[:, None, None] * np.array([3, 3])[:, None] * np.array([3, 3, 2])).all()


@pytest.mark.parametrize(
    ("shape", "size"), [((12, 12, 12, 1), [2, 2, 2]), ((16, 112, 112, 3), [3, 19, 19]), ((3, 5, 300), [1, 1, 50])]
)
def test_six_blocks_along_each_axis_suffice_by_default(shape, size):
    assert volume.settle({}, {"x": shape}) == {"superpixels": "patches", "size": size}


@pytest.mark.parametrize(
    ("choice", "key", "words"),
    [
        ({"size": [2, 2]}, "size", "2 sides are given"),
        ({"size": []}, "size", "0 sides are given"),
        ({"size": [2, 7, 2]}, "size", "blocks of 7 along the height"),
        ({"size": 5}, "size", "blocks of 5 along the depth"),
        ({"superpixels": "quickshift"}, "superpixels", "cuts pictures"),
        ({"segments": 8, "size": 2}, "size", "no sides"),
        ({"superpixels": "patches", "segments": 8}, "segments", "told by their sides"),
        ({"segments": 193}, "segments", "193 supervoxels do not fit volumes of 4 × 6 × 8"),
    ],
)
def test_what_does_not_fit_is_said_with_its_key(choice, key, words):
    with pytest.raises(UnfitFeatures, match=words) as error:
        volume.settle(choice, {"x": SHAPE})
    assert error.value.key == key


def test_supervoxels_follow_the_edges_along_the_depth_too():
    # Two bodies of even brightness, the border at slice 5: no supervoxel has voxels of both.
    scans = np.zeros((2, 10, 8, 8, 1))
    scans[:, 5:] = 1.0
    scans[1] = np.moveaxis(scans[1], 0, 1)[:, :8].repeat(2, 0)[
        :10
    ]  # of the second row the border lies along the height
    settled = volume.settle({"segments": 8}, {"x": (10, 8, 8, 1)})
    features = volume.features_of_rows({"x": scans}, settled)
    for row in range(2):
        own = features.of_row(row)
        light = np.array([scans[row][own.owners["x"] == n].mean() for n in range(len(own))])
        spread = [np.ptp(scans[row][own.owners["x"] == n]) for n in range(len(own))]
        assert 2 <= len(own) <= 8
        assert max(spread) == 0.0
        assert {0.0, 1.0} == set(light)
    first = features.of_row(0)
    reaching = {name: np.unique(np.argwhere(first.owners["x"] == n)[:, 0]) for n, name in enumerate(first.names)}
    assert all(f"(depth {volume.span(at.min(), at.max() + 1)}, " in name for name, at in reaching.items())


@pytest.mark.parametrize("kind", sorted(volume.FILLS))
def test_every_fill_keeps_the_shape_and_dtype_and_is_drawn_again_by_its_seed(kind, scans):
    features = blocks((*SHAPE, 2), 2)
    for rows in (scans[:2], (scans[:2] * 255).astype(np.uint8)):
        keys = {"size": 2} if "size" in volume.FILLS[kind] else {}
        train = rows if rows.dtype == np.uint8 else scans
        first, again = (fill(rows, train, kind, features, **keys) for _ in range(2))
        held = first.inputs["x"]
        assert held.dtype == rows.dtype
        assert held.shape[0] == (2 if kind in volume.OWN_FILLS else 1)
        assert held.shape[1:] == (len(first), *SHAPE, 2)
        assert (held == again.inputs["x"]).all()
        assert "image" not in first.name


def test_a_blur_is_the_same_along_all_three_axes_and_never_across_channels():
    rows = np.zeros((1, 9, 9, 9, 2))
    rows[0, 4, 4, 4, 0] = 1.0
    held = fill(rows, rows, "blur", blocks((9, 9, 9, 2), 3), sigma=1.0).inputs["x"][0, 0]
    assert (held[..., 1] == 0).all()
    assert held[4, 4, 4, 0] == held.max()
    # The Gaussian's ratio from one step to the centre is exp(-1/2), whichever axis the step goes along.
    assert held[3, 4, 4, 0] == pytest.approx(held[4, 4, 4, 0] * np.exp(-0.5))
    assert held[4, 5, 4, 0] == pytest.approx(held[3, 4, 4, 0])
    assert held[4, 4, 3, 0] == pytest.approx(held[3, 4, 4, 0])


def test_a_mask_of_a_slice_stands_for_all_slices_and_channels():
    mask = np.zeros(SHAPE[1:], bool)
    mask[:3] = True
    features = blocks((*SHAPE, 2), [2, 3, 4])
    flat = volume.over_channels(mask, (*SHAPE, 2), features.layout)
    assert flat.shape == (*SHAPE, 2)
    assert set(features.owners["x"][flat]) == {0, 1, 4, 5}  # the upper row of blocks in both slices


def test_descriptors_tell_brightness_and_where_something_lies():
    scans = np.zeros((2, 5, 5, 5))
    scans[0, 1, 2, 3] = 1.0  # one bright voxel of 125, at depth 1, down 2, across 3
    scans[1] = 0.4
    found = volume.descriptors(scans)
    assert found["brightness"] == pytest.approx([1 / 125, 0.4])
    assert found["filled"] == pytest.approx([1 / 125, 0.0])  # beyond the middle of 0..1
    assert [found[f"centre_{axis}"][0] for axis in ("deep", "down", "across")] == pytest.approx([1, 2, 3])
    assert found["sharpness"][0] > found["sharpness"][1] == pytest.approx(0.0)
    assert all(np.isfinite(values).all() for values in volume.descriptors(scans[:, :2, :1, :]).values())


def test_variables_are_the_descriptors_of_train_and_test(scans):
    features: FeatureMap = blocks((*SHAPE, 2), 2)
    found = volume.variables({"x": scans}, {"x": scans[:2]}, features, (), {})
    assert {one.name for one in found} == set(volume.descriptors(scans))
    assert all(one.is_descriptor and len(one.train) == 6 and len(one.test) == 2 for one in found)
