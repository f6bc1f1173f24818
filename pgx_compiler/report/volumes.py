"""The slices of a volume that an example shows: where its explanations put most."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgx_compiler.analysis.resolved import Resolved
from pgx_compiler.modalities import modalities
from pgx_compiler.report.factsheet import Slice
from pgx_compiler.report.slices import layers, most, owner_share

_SIDE = 80
"""Voxels of a slice along a side, at most: as many as a page shows."""


def slices_of(
    audit: Resolved, arrays: Mapping[str, Any], index: int, values: Sequence[Sequence[float]], shows: bool
) -> list[Slice] | None:
    """The slices of one row that carry most, of all its explanations together; None of other data than volumes.

    Voxels, and segments that follow them, only where the spec shows rows.
    """
    layout = audit.features.layout
    if layout.get("kind") == "blocks":
        grey = _grey(audit, arrays, index) if shows else None
        size, deep = int(layout["size"][0]), int(layout["depth"])
        ends = [(place * size, min(deep, (place + 1) * size) - 1) for place in layers(values, layout)]
        return [
            Slice(first=first, last=last, image=None if grey is None else _thinned(grey[(first + last) // 2]))
            for first, last in ends
        ]
    if layout.get("kind") != "supervoxels" or not shows:
        return None
    owner = _owner(arrays, index)
    grey = _grey(audit, arrays, index)
    if owner is None or grey is None:
        return None
    shown = most([owner_share(one, owner) for one in values], len(owner))
    return [Slice(first=at, last=at, image=_thinned(grey[at]), owners=_thinned(owner[at])) for at in shown]


def _owner(arrays: Mapping[str, Any], index: int) -> Any:
    """Which segment owns each voxel of a row, ``(depth, height, width)``."""
    name = next((key for key in arrays if key.startswith("owner_")), None)
    if name is None:
        return None
    owner = np.asarray(arrays[name][index])
    return owner[..., 0] if owner.ndim > 3 else owner  # all channels of a voxel belong to one segment


def _grey(audit: Resolved, arrays: Mapping[str, Any], index: int) -> Any:
    """The row in grey, 0 to 1 over all rows, ``(depth, height, width)``."""
    name = next((key for key in arrays if key.startswith("input_")), None)
    if name is None:
        return None
    held = np.asarray(arrays[name])
    modality = modalities()[audit.spec.data.modality]
    grey = modality.grey(held[index : index + 1], audit.features.layout)[0]
    low, high = float(held.min()), float(held.max())
    return (grey - low) / (high - low) if high > low else np.zeros(grey.shape)


def _thinned(plane: Any) -> Any:
    """A plane of a slice with no more voxels than can be seen."""
    step = max(1, -(-max(plane.shape) // _SIDE))
    kept = plane[::step, ::step]
    return (np.round(kept, 4) if kept.dtype.kind == "f" else kept).tolist()
