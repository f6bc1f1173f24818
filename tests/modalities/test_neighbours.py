"""Which features touch: patches, segments, windows of a channel, words; nothing in tables."""

import numpy as np

from pgx_compiler.modalities import image, series
from pgx_compiler.modalities.features import FIXED, FeatureMap
from pgx_compiler.modalities.neighbours import neighbours


def pairs(features):
    return {tuple(pair) for pair in neighbours(features).tolist()}


def test_patches_touch_those_beside_above_and_below():
    # 3 x 2 patches: 0 1 / 2 3 / 4 5.
    features = image.feature_map({"x": (6, 4, 3)}, {"superpixels": "patches", "size": 2})
    assert pairs(features) == {(0, 1), (2, 3), (4, 5), (0, 2), (1, 3), (2, 4), (3, 5)}


def test_segments_touch_where_their_pixels_do_and_what_is_fixed_parts_them():
    owner = np.array([[0, 0, FIXED, 2], [0, 1, 1, 2]])[:, :, None]
    features = FeatureMap(("a", "b", "c"), {"x": owner}, {"kind": "segments"})
    assert pairs(features) == {(0, 1), (1, 2)}


def test_windows_follow_each_other_in_their_channel():
    described = {"windows": 3, "channels": "apart", "columns": ["p", "q"]}
    features = series.feature_map({"x": (9, 2)}, described)
    assert features.names[:3] != features.names[3:]
    assert pairs(features) == {(0, 1), (1, 2), (3, 4), (4, 5)}


def test_words_follow_each_other():
    features = FeatureMap(("w1", "w2", "w3"), {"ids": np.array([0, 1, 1, 2, FIXED])}, {"kind": "words"})
    assert pairs(features) == {(0, 1), (1, 2)}
    assert pairs(FeatureMap(("w1",), {"ids": np.array([0])}, {"kind": "words"})) == set()


def test_columns_of_a_table_have_no_neighbours():
    found = neighbours(FeatureMap(("a", "b"), {"x": np.array([0, 1])}, {"kind": "list"}))
    assert found.shape == (0, 2)
