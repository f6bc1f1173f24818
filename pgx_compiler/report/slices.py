"""Volumes as a page can show them: the slices that carry most of an explanation, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgx_compiler.report import heat_maps
from pgx_compiler.report.factsheet import Slice
from pgx_compiler.report.heat_maps import Colour

SLICES = 6
"""Slices of a volume that are shown, at most: those that carry most."""

_ACROSS = 3
_SIDE = 44
"""Pixels that a slice is drawn with, at least."""
_APART = 16
"""Slices are apart by that part of their width, as the page's script has it too."""
_WHITE = (255, 255, 255)


def layers(values: Sequence[Sequence[float]], layout: Mapping[str, Any]) -> list[int]:
    """Which layers of blocks several explanations together put most on, in order of depth; empty of other features.

    Each explanation counts alike, whatever its unit.
    """
    if layout.get("kind") != "blocks":
        return []
    deep = int(layout["slices"])
    return most([_share(np.asarray(one, np.float64).reshape(deep, -1)) for one in values], deep)


def most(shares: Sequence[Any], deep: int) -> list[int]:
    """The positions along depth that have most of several shares, in order; the first ones where all have nothing."""
    total = np.sum(shares, axis=0) if len(shares) else np.zeros(deep)
    return sorted(int(place) for place in np.argsort(-total, kind="stable")[:SLICES])


def _share(parts: Any) -> Any:
    carried = np.abs(parts).sum(axis=1)
    return carried / (carried.sum() or 1.0)


def owner_share(values: Sequence[float], owners: Any) -> Any:
    """The share of each slice in an explanation of segments: each voxel has as much as its segment has for a voxel."""
    sizes = np.maximum(np.bincount(owners[owners >= 0], minlength=len(values)), 1)
    each = np.append(np.abs(np.asarray(values, np.float64)) / sizes[: len(values)], 0.0)  # the last: of no segment
    return _share(each[owners].reshape(len(owners), -1))


def depths(shown: Sequence[int], layout: Mapping[str, Any]) -> str:
    """Where layers of blocks lie along the depth: ``2–3, 6–7``."""
    size, deep = int(layout["size"][0]), int(layout["depth"])
    return ", ".join(in_words(layer * size, min(deep, (layer + 1) * size) - 1) for layer in shown)


def in_words(first: int, last: int) -> str:
    """Slices from one to another: ``2–3``, or ``2`` alone."""
    return str(first) if first == last else f"{first}–{last}"


def feature_map(
    values: Sequence[float], layout: Mapping[str, Any], shown: Sequence[int] = (), end: float | None = None
) -> str:
    """Features that have a place as a PNG data URI: of blocks the layers ``shown``, else one map."""
    if layout.get("kind") != "blocks":
        return heat_maps.heat_map(values, int(layout["columns"]), end)
    scale = (heat_maps.largest(values) if end is None else end) or 1.0
    rows, columns = int(layout["rows"]), int(layout["columns"])
    found = []
    for layer in shown:
        own = values[layer * rows * columns : (layer + 1) * rows * columns]
        found.append(
            [[heat_maps.colour(v / scale) for v in own[at : at + columns]] for at in range(0, len(own), columns)]
        )
    return _montage(found)


def segment_maps(values: Sequence[float], owners: Sequence[Sequence[Sequence[int]]]) -> str:
    """Values of segments as a PNG data URI, slice by slice; what belongs to none is white."""
    scale = heat_maps.largest(values) or 1.0
    colours = [heat_maps.colour(value / scale) for value in values]
    return _montage([[[colours[o] if 0 <= o < len(colours) else _WHITE for o in row] for row in one] for one in owners])


def grey_maps(pixels: Sequence[Sequence[Sequence[float]]]) -> str:
    """Slices of grey values 0..1 as a PNG data URI."""
    return _montage([[[_grey(value) for value in row] for row in one] for one in pixels])


def layers_of(shown: Sequence[Slice] | None, layout: Mapping[str, Any]) -> list[int] | None:
    """The layers of blocks that a row is shown by; None of other features."""
    if not shown or layout.get("kind") != "blocks":
        return None
    return [one.first // int(layout["size"][0]) for one in shown]


def of_row(values: Sequence[float], shown: Sequence[Slice], layout: Mapping[str, Any]) -> str:
    """One explanation of one row as a PNG data URI: the slices that the row is shown by."""
    if layout.get("kind") == "blocks":
        return feature_map(values, layout, layers_of(shown, layout) or ())
    return segment_maps(values, [one.owners or [] for one in shown])


def named(shown: Sequence[Slice]) -> str:
    """Where the slices of a row lie along the depth: ``2–3, 6–7``."""
    return ", ".join(in_words(one.first, one.last) for one in shown)


def _grey(value: float) -> Colour:
    level = round(255 * min(1.0, max(0.0, value)))
    return level, level, level


def _montage(slices: Sequence[Sequence[Sequence[Colour]]]) -> str:
    """Slices of one size beside each other and, beyond three, below each other."""
    large = [_larger(one) for one in slices]
    height, width = len(large[0]), len(large[0][0])
    across, gap = min(_ACROSS, len(large)), max(1, round(width / _APART))
    rows: list[list[Colour]] = []
    for first in range(0, len(large), across):
        line = large[first : first + across]
        line += [[[_WHITE] * width] * height] * (across - len(line))
        rows += [[_WHITE] * (across * (width + gap) - gap)] * gap if first else []
        rows += [_beside([one[at] for one in line], gap) for at in range(height)]
    return heat_maps.png(rows)


def _beside(lines: Sequence[list[Colour]], gap: int) -> list[Colour]:
    joined = list(lines[0])
    for line in lines[1:]:
        joined += [_WHITE] * gap + line
    return joined


def _larger(rows: Sequence[Sequence[Colour]]) -> list[list[Colour]]:
    times = max(1, -(-_SIDE // max(len(rows), len(rows[0]))))
    return [[pixel for pixel in row for _ in range(times)] for row in rows for _ in range(times)]
