"""What a removed part of an image is replaced by."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities._image_axes import Axes, axes_of
from pgx_compiler.modalities.features import FIXED, FeatureMap, References
from runtimes.capabilities import Floats, Inputs, Integers

FILLS: Mapping[str, Mapping[str, Any]] = {
    "mean": {},
    "value": {"value": 0.0},
    "blur": {"sigma": 4.0},
    "noise": {"size": 10},
    "uniform": {"size": 10},
    "maximum_distance": {},
    "inpaint": {},
    "background": {"size": 10},
}
"""10 draws or training images are our default: each multiplies the model rows of every method."""

OWN_FILLS = frozenset({"blur", "inpaint", "maximum_distance"})
"""Each row has references of its own."""


def image_references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
) -> References:
    """The reference images of one input; see `FILLS` for the kinds and their keys.

    - ``mean``: the mean training image. ``value``: a constant. Shared by all rows.
    - ``noise``: ``size`` images, each pixel drawn from a normal distribution with the mean and standard deviation that
      it has over the training images, cut to the range of the training data. Shared by all rows.
    - ``uniform``: ``size`` images, each element drawn evenly from the range of the training data. Shared by all rows.
    - ``maximum_distance``: for each row the image that is furthest from it within the range of the training data: every
      element at the end of the range that it is further from, so that no colour of the row is overlooked as a colour of
      the reference (uniform and maximum distance: Sturmfels, Lundberg & Lee 2020, https://distill.pub/2020/attribution-baselines).
    - ``background``: ``size`` training images drawn without replacement. Shared by all rows.
    - ``blur``: each row's own blur. ``inpaint``: each row, where every feature is filled from what surrounds it as if it
      alone were removed; where neighbours are removed too, what they held still shines in at the seam.
    """
    name, images = next((name, array) for name, array in rows.items() if name in features.owners)
    seen = np.asarray(train[name])
    kind = fill["kind"]
    if kind == "mean":
        mean = as_pixels(seen.mean(axis=0, dtype=np.float64), images.dtype)
        return References({name: mean[None, None]}, f"mean image of {len(seen)} training rows")
    if kind == "value":
        value = as_pixels(np.full(images.shape[1:], float(fill["value"])), images.dtype)
        held = float(value.reshape(-1)[0])
        cut = "" if np.isclose(held, fill["value"]) else f" ({fill['value']:g} as {images.dtype})"
        return References({name: value[None, None]}, f"every pixel {held:g}{cut}")
    if kind == "background":
        size = min(int(fill["size"]), len(seen))
        chosen = np.sort(rng.choice(len(seen), size, replace=False))
        return References({name: seen[chosen][None].astype(images.dtype)}, f"{size} training images, drawn at random")
    if kind == "noise":
        drawn = _noise(seen, int(fill["size"]), rng)
        told = f"{fill['size']} images of noise, each pixel as it varies over {len(seen)} training rows"
        return References({name: as_pixels(drawn, images.dtype)[None]}, told)
    if kind in ("uniform", "maximum_distance"):
        return _within_the_range(name, images, seen, fill, rng)
    axes = axes_of(features.layout, images.shape[1:])
    if kind == "inpaint":
        filled = _inpainted(images, features, name, axes)
        return References({name: filled[:, None]}, "each feature filled smoothly from what surrounds it (harmonic)")
    sigma = float(fill["sigma"])
    blurred = _blurred(images, sigma, axes)
    return References({name: blurred[:, None]}, f"the image itself, blurred (sigma {sigma:g} pixels)")


def as_pixels(values: Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in the pixels' own dtype: whole numbers are rounded and kept in their range."""
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(values), limits.min, limits.max).astype(dtype)


def _within_the_range(
    name: str, images: NDArray[Any], train: NDArray[Any], fill: Mapping[str, Any], rng: np.random.Generator
) -> References:
    low, high = float(train.min()), float(train.max())
    told = f"the range of {len(train)} training rows, {low:g} to {high:g}"
    if fill["kind"] == "uniform":
        drawn = rng.uniform(low, high, (int(fill["size"]), *images.shape[1:]))
        return References(
            {name: as_pixels(drawn, images.dtype)[None]}, f"{fill['size']} images drawn evenly from {told}"
        )
    far = np.where(images.astype(np.float64) < (low + high) / 2, high, low)
    return References({name: as_pixels(far, images.dtype)[:, None]}, f"the image furthest from each row within {told}")


def _noise(train: NDArray[Any], size: int, rng: np.random.Generator) -> Floats:
    mean, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    drawn = mean + spread * rng.standard_normal((size, *train.shape[1:]))
    return np.asarray(np.clip(drawn, float(train.min()), float(train.max())), np.float64)


def _blurred(images: NDArray[Any], sigma: float, axes: Axes) -> NDArray[Any]:
    from scipy.ndimage import gaussian_filter

    widths = [0.0] * images.ndim
    widths[1 + axes.height] = widths[1 + axes.width] = sigma
    return as_pixels(gaussian_filter(images.astype(np.float64), widths), images.dtype)


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
