"""What a removed part of an image is replaced by: as in all pictures, or filled in from its surroundings."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities import _picture_fills
from pgx_compiler.modalities._image_axes import Axes, axes_of
from pgx_compiler.modalities._picture_fills import as_pixels
from pgx_compiler.modalities.features import FIXED, FeatureMap, References
from runtimes.capabilities import Floats, Inputs, Integers

FILLS: Mapping[str, Mapping[str, Any]] = {**_picture_fills.FILLS, "inpaint": {}}

OWN_FILLS = _picture_fills.OWN_FILLS | {"inpaint"}
"""Each row has references of its own."""


def image_references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
) -> References:
    """The reference images of one input; see `FILLS` for the kinds and their keys.

    All but ``inpaint`` are those of `_picture_fills`. ``inpaint``: each row, where every feature is filled from what
    surrounds it as if it alone were removed; where neighbours are removed too, what they held still shines in at the seam.
    """
    name, images = next((name, array) for name, array in rows.items() if name in features.owners)
    axes = axes_of(features.layout, images.shape[1:])
    if fill["kind"] == "inpaint":
        filled = _inpainted(images, features, name, axes)
        return References({name: filled[:, None]}, "each feature filled smoothly from what surrounds it (harmonic)")
    places = (1 + axes.height, 1 + axes.width)
    return _picture_fills.references_of(name, images, np.asarray(train[name]), fill, places, ("image", "pixel"), rng)


def _inpainted(images: NDArray[Any], features: FeatureMap, name: str, axes: Axes) -> NDArray[Any]:
    """Each row with all its features filled, each from the others' pixels."""
    pictures = axes.channels_last(images).astype(np.float64)
    filled = np.empty_like(pictures)
    solve: Callable[[Floats], Floats] | None = None
    for row, picture in enumerate(pictures):
        if solve is None or features.varies:
            owner = features.of_row(row).owners[name]
            solve = harmonic_fill(axes.channels_last(owner[None])[0, :, :, 0])
        filled[row] = solve(picture)
    return as_pixels(axes.as_they_were(filled), images.dtype)


def harmonic_fill(owner: Integers) -> Callable[[Floats], Floats]:
    """A function that fills every segment of a picture ``(height, width, channels)`` from the pixels around it.

    Inside a segment each pixel is the mean of its neighbours (Laplace's equation), so that the fill joins without a seam
    what surrounds the segment, and holds nothing of what was inside. At the picture's border only the neighbours that
    there are count. A segment without surroundings is filled with the picture's mean. All segments together are one sparse
    system, whose factors serve every picture that is cut in the same way.
    """
    from scipy import sparse
    from scipy.sparse.linalg import splu

    height, width = owner.shape
    flat, at = owner.reshape(-1), np.arange(height * width).reshape(height, width)
    pairs = np.concatenate(
        [
            np.stack([at[:, :-1].reshape(-1), at[:, 1:].reshape(-1)], axis=1),
            np.stack([at[:-1].reshape(-1), at[1:].reshape(-1)], axis=1),
        ]
    )
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    same = flat[pairs[:, 0]] == flat[pairs[:, 1]]
    inner, outer = pairs[same], pairs[~same]
    pixels = len(flat)
    ones = np.ones
    inside = sparse.coo_matrix((ones(len(inner)), (inner[:, 0], inner[:, 1])), (pixels, pixels)).tocsr()
    outside = sparse.coo_matrix((ones(len(outer)), (outer[:, 0], outer[:, 1])), (pixels, pixels)).tocsr()
    _, part = sparse.csgraph.connected_components(inside, directed=False)
    touched = np.bincount(part, np.asarray(outside.sum(axis=1)).reshape(-1)) > 0
    known = (flat == FIXED) | ~touched[part]
    degree = np.asarray(inside.sum(axis=1) + outside.sum(axis=1)).reshape(-1)
    system = sparse.diags(np.where(known, 1.0, degree)) - sparse.diags((~known).astype(np.float64)) @ inside
    factors = splu(system.tocsc(), permc_spec="COLAMD")

    def fill(picture: Floats) -> Floats:
        values = picture.reshape(pixels, -1)
        alone = np.where((flat == FIXED)[:, None], values, values.mean(axis=0))
        found: Floats = factors.solve(np.where(known[:, None], alone, outside @ values)).reshape(picture.shape)
        return found

    return fill
