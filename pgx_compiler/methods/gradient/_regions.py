"""Regions of a picture at several scales, and the order in which they explain the most: what XRAI is made of.

Segments are those of Felzenszwalb & Huttenlocher 2004 (https://doi.org/10.1023/B:VISI.0000022288.19776.77), as scikit-image
computes them, with the numbers of XRAI's authors (https://arxiv.org/abs/1906.02825, section 3.2, and their code).
"""

import warnings

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Floats

_SCALES, _SIGMA, _SMALLEST, _GROWN, _FRESH = (50.0, 100.0, 150.0, 250.0, 500.0, 1200.0), 0.8, 150, 5, 50
"""Of a picture of 224 × 224 pixels: six preferences for large segments, the smoothing before, the smallest segment's pixels,
the pixels that each is grown by, and those that it must add to what is taken already, so that no slivers are taken. On other sizes areas and lengths go along, so that the segments are the same parts
of the picture."""

_PIXELS = 224.0**2


def overlapping_regions(picture: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Segments of a picture ``(height, width, channels)`` at all scales: ``(segments, height, width)``; they cover it."""
    from skimage.segmentation import felzenszwalb

    values = np.nan_to_num(np.asarray(picture, np.float64))
    low, high = float(values.min()), float(values.max())
    stretched = 2.0 * (values - low) / (high - low) - 1.0 if high > low else np.zeros(values.shape)
    area = picture.shape[0] * picture.shape[1] / _PIXELS
    found: list[NDArray[np.bool_]] = []
    for scale in _SCALES:
        with warnings.catch_warnings():
            # it asks whether more than four channels are meant; they are
            warnings.simplefilter("ignore", RuntimeWarning)
            owner = felzenszwalb(
                stretched,
                scale=scale * area,
                sigma=_SIGMA * np.sqrt(area),
                min_size=max(1, round(_SMALLEST * area)),
                channel_axis=-1,
            )
        found += _grown(np.asarray(owner, np.int64), round(_GROWN * np.sqrt(area)))
    return np.stack(found)


def _grown(owner: NDArray[np.int64], radius: int) -> list[NDArray[np.bool_]]:
    """Each segment with all pixels around it that are no further than the radius."""
    from scipy.ndimage import binary_dilation, find_objects

    down, across = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = down**2 + across**2 <= radius**2
    grown: list[NDArray[np.bool_]] = []
    for label, box in enumerate(find_objects(owner + 1)):
        around = tuple(slice(max(0, one.start - radius), one.stop + radius) for one in box)
        mask = np.zeros(owner.shape, bool)
        mask[around] = binary_dilation(owner[around] == label, disk)
        grown.append(mask)
    return grown


def densest_first(regions: NDArray[np.bool_], values: Floats) -> Floats:
    """Take regions in the order of their mean value over what is not taken yet; each pixel gets that mean.

    Args:
        regions: ``(regions, height, width)``, which cover the picture.
        values: ``(height, width)``.

    Returns:
        ``(height, width)``, with the same sum as the values. Pixels that only slivers of regions hold in the end get
        the mean of all of these.
    """
    from scipy.sparse import csr_array

    members = regions.reshape(len(regions), -1)
    inside = csr_array(members.T.astype(np.float64))  # few regions hold a pixel
    flat = values.reshape(-1)
    left = np.ones(len(flat), bool)
    sums, sizes = inside.T @ flat, members.sum(axis=1)
    density = np.zeros(len(flat))
    smallest = max(1, round(_FRESH * len(flat) / _PIXELS))
    while (sizes >= smallest).any():
        best = int(np.argmax(np.where(sizes >= smallest, sums / np.maximum(sizes, 1), -np.inf)))
        new = np.flatnonzero(left & members[best])
        density[new] = flat[new].mean()
        left[new] = False
        taken = inside[new]
        sums -= taken.T @ flat[new]
        sizes -= np.rint(taken.sum(axis=0)).astype(np.int64)
    if left.any():
        density[left] = flat[left].mean()
    return density.reshape(values.shape)
