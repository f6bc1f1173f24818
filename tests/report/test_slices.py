"""Volumes on a page: which slices are shown, and that each colour lies where its block does."""

import numpy as np
import pytest

from pgx_compiler.report import slices
from pgx_compiler.report.factsheet import Slice
from tests.report.test_heat_maps import BROWN, TEAL, WHITE, pixels

PAPER = (255, 255, 255)
LAYOUT = {"kind": "blocks", "slices": 8, "rows": 2, "columns": 2, "size": [3, 4, 4], "depth": 22}


def laid(layers: dict[int, list[float]]) -> list[float]:
    """Values of 8 layers of 2 × 2 blocks; layers that are not named hold zero."""
    return [value for layer in range(8) for value in layers.get(layer, [0.0] * 4)]


def test_the_six_layers_that_carry_most_are_shown_in_order_of_depth() -> None:
    values = laid({layer: [float(size), 0, 0, 0] for layer, size in enumerate([5, 1, 7, 2, 9, -8, 3, 6])})
    assert slices.layers([values], LAYOUT) == [0, 2, 4, 5, 6, 7]  # all but 1 and 2


def test_explanations_count_alike_whatever_their_unit() -> None:
    small = laid({0: [1e-6, 0, 0, 0], 1: [1e-6] * 4, 2: [1e-6] * 4, 3: [1e-6] * 4})
    large = laid({7: [1e6, 0, 0, 0], 6: [9e5, 0, 0, 0], 5: [8e5, 0, 0, 0]})
    # Layer 0 has 1/13 of one, which is less than each of the six others has.
    assert slices.layers([small, large], LAYOUT) == [1, 2, 3, 5, 6, 7]


def test_no_layers_are_shown_of_other_features_and_the_first_of_an_explanation_of_zeros() -> None:
    assert slices.layers([[1.0, 2.0]], {"kind": "grid", "rows": 1, "columns": 2}) == []
    assert slices.layers([laid({})], LAYOUT) == [0, 1, 2, 3, 4, 5]


def test_depths_are_those_of_the_layers_and_the_last_may_be_thinner() -> None:
    # Layers of 3 in a depth of 22: the eighth holds slice 21 alone.
    assert slices.depths([0, 2, 7], LAYOUT) == "0–2, 6–8, 21"
    assert slices.named([Slice(first=0, last=2), Slice(first=21, last=21)]) == "0–2, 21"


def test_slices_lie_beside_each_other_on_one_scale_and_three_make_a_line() -> None:
    values = laid({0: [4.0, 0, 0, -4.0], 4: [0, 4.0, 0, 0], 7: [0, 0, -4.0, 0], 2: [0.0, 0, 0, 4.0]})
    drawn = pixels(slices.feature_map(values, LAYOUT, [0, 2, 4, 7]))
    side, step = 44, 44 + 3  # two blocks of 22 pixels; a gap of 3
    assert (len(drawn), len(drawn[0])) == (2 * side + 3, 3 * side + 2 * 3)
    first, second, third, below = drawn[0], drawn[23], drawn[0], drawn[step]
    assert (first[0], first[22], drawn[22][22]) == (TEAL, WHITE, BROWN)
    assert (second[step], second[step + 22]) == (WHITE, TEAL)
    assert (third[2 * step], third[2 * step + 22]) == (WHITE, TEAL)
    assert (below[0], drawn[step + 22][0]) == (WHITE, BROWN)
    assert first[side] == drawn[side][0] == drawn[step][step] == PAPER  # between the slices, and where there is none


def test_a_row_s_maps_show_the_slices_of_its_picture() -> None:
    values = laid({4: [0, 1.0, 0, 0]})
    shown = [Slice(first=6, last=8), Slice(first=12, last=14)]  # layers 2 and 4
    assert slices.of_row(values, shown, LAYOUT) == slices.feature_map(values, LAYOUT, [2, 4])
    owned = [Slice(first=at, last=at, owners=[[0, 1], [1, -1]]) for at in (3, 9)]
    drawn = pixels(slices.of_row([2.0, -2.0], owned, {"kind": "supervoxels"}))
    assert (drawn[0][0], drawn[0][22], drawn[22][22], drawn[22][47]) == (TEAL, BROWN, PAPER, BROWN)


def test_segments_count_where_their_voxels_lie() -> None:
    # Segment 0 has 4 voxels in slice 0; segment 1, three times as much, 2 voxels in slice 0 and 2 in slice 1.
    owners = np.array([[[0, 0, 0, 0, 1, 1]], [[1, 1, -1, -1, -1, -1]]])
    # 4 voxels of 1/4 and 2 of 3/4, against 2 of 3/4; voxels that belong to none have nothing.
    assert slices.owner_share([1.0, 3.0], owners) == pytest.approx(np.array([2.5, 1.5]) / 4)
