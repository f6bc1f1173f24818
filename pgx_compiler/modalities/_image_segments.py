"""Segments of a picture that follow its own edges: SLIC, quickshift and Felzenszwalb's, at most as many as promised.

SLIC: Achanta et al. 2012, https://doi.org/10.1109/TPAMI.2012.120. Quickshift: Vedaldi & Soatto 2008,
https://doi.org/10.1007/978-3-540-88693-8_52. Felzenszwalb & Huttenlocher 2004,
https://doi.org/10.1023/B:VISI.0000022288.19776.77. All three as scikit-image computes them.

What the pixels' numbers mean (0..1, 0..255, standardised) is not known, so every picture is stretched to 0..1 over all its
channels together before it is segmented; the model never sees that picture.
"""

import heapq
import warnings

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Floats, Integers

SEGMENTS = 50
"""The default: what LIME implementations take for photographs."""

_COMPACTNESS = 10.0
"""SLIC's weight of nearness against colour, for Lab colours (scikit-image's default); pixels that are no RGB colour have
a hundredth of Lab's range, and so a hundredth of the weight."""

_KERNEL, _SIDE, _DISTANCE, _RATIO = 4.0, 224, 200.0, 0.2
"""Quickshift as LIME calls it on pictures of 224 pixels; the kernel is narrower on smaller ones."""

_SCALE, _SIGMA = 100.0, 0.5
"""Felzenszwalb's preference for large segments, and the smoothing before it: those of scikit-image's own example."""


def segment(picture: NDArray[np.generic], kind: str, most: int) -> Integers:
    """Cut a picture ``(height, width, channels)`` into at most ``most`` segments; with SLIC also a volume, depth first.

    Returns:
        Owner of each pixel ``(height, width)``, from 0 without gaps, in the order in which they are met row by row.
    """
    stretched = _stretched(picture)
    owner = _KINDS[kind](stretched, most)
    return _in_order(_at_most(_in_order(owner), stretched, most))


def places(owner: Integers, count: int) -> list[str]:
    """Where each segment lies, in words: ``upper left``, ``centre``; in a volume, as it is seen along its depth."""
    height, width = owner.shape[-2:]
    size = np.maximum(np.bincount(owner.reshape(-1), minlength=count), 1)
    *_, rows, columns = np.indices(owner.shape)
    third = [
        np.minimum(2, 3 * np.bincount(owner.reshape(-1), at.reshape(-1), count) // (size * side)).astype(int)
        for at, side in ((rows + 0.5, height), (columns + 0.5, width))
    ]
    words = {(1, 1): "centre", (1, 0): "left", (1, 2): "right", (0, 1): "top", (2, 1): "bottom"}
    across, down = ("left", "", "right"), ("upper", "", "lower")
    return [words.get((r, c), f"{down[r]} {across[c]}") for r, c in zip(*(t.tolist() for t in third), strict=True)]


def _stretched(picture: NDArray[np.generic]) -> Floats:
    """The picture in 0..1, all channels together, so that its colours stay in proportion."""
    values = np.asarray(picture, np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        return np.zeros(values.shape)
    low, high = float(values[finite].min()), float(values[finite].max())
    values = np.where(finite, values, low)
    return (values - low) / (high - low) if high > low else np.zeros(values.shape)


def _slic(picture: Floats, most: int) -> Integers:
    from skimage.segmentation import slic

    colour = picture.shape[-1] == 3
    weight = _COMPACTNESS if colour else _COMPACTNESS / 100 * np.sqrt(picture.shape[-1])
    found = slic(picture, n_segments=most, compactness=weight, convert2lab=colour, channel_axis=-1, start_label=0)
    return np.asarray(found, np.int64)


def _quickshift(picture: Floats, most: int) -> Integers:
    from skimage.segmentation import quickshift

    colour = picture.shape[2] == 3
    kernel = float(np.clip(_KERNEL * max(picture.shape[:2]) / _SIDE, 1.0, _KERNEL))
    # as far apart as Lab colours are, whatever the number of channels
    values = picture if colour else picture * 100 / np.sqrt(picture.shape[2])
    found = quickshift(values, ratio=_RATIO, kernel_size=kernel, max_dist=_DISTANCE, convert2lab=colour, rng=0)
    return np.asarray(found, np.int64)


def _felzenszwalb(picture: Floats, most: int) -> Integers:
    from skimage.segmentation import felzenszwalb

    smallest = max(2, picture.shape[0] * picture.shape[1] // (4 * most))
    with warnings.catch_warnings():
        # it asks whether more than four channels are meant; they are
        warnings.simplefilter("ignore", RuntimeWarning)
        found = felzenszwalb(picture, scale=_SCALE, sigma=_SIGMA, min_size=smallest, channel_axis=-1)
    return np.asarray(found, np.int64)


_KINDS = {"slic": _slic, "quickshift": _quickshift, "felzenszwalb": _felzenszwalb}
KINDS = frozenset(_KINDS)


def _in_order(owner: Integers) -> Integers:
    """The same segments, numbered from 0 as they are met row by row."""
    _, first, inverse = np.unique(owner.reshape(-1), return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse].reshape(owner.shape)


def _at_most(owner: Integers, picture: Floats, most: int) -> Integers:
    """Merge the smallest segment into the neighbour of the most similar mean colour until there are no more than that."""
    count = int(owner.max()) + 1
    if count <= most:
        return owner
    size = np.bincount(owner.reshape(-1), minlength=count).astype(np.float64)
    colours = [np.bincount(owner.reshape(-1), channel.reshape(-1), count) for channel in np.moveaxis(picture, -1, 0)]
    total = np.stack(colours, axis=1)
    neighbours = _neighbours(owner, count)
    into = np.arange(count)
    queue = [(float(size[label]), label) for label in range(count)]
    heapq.heapify(queue)
    while count > most:
        held, label = heapq.heappop(queue)
        if into[label] != label or held != size[label]:
            continue  # merged, or grown, since it was put here
        beside = sorted(neighbours[label])
        apart = ((total[beside] / size[beside, None] - total[label] / size[label]) ** 2).sum(axis=1)
        host = beside[int(np.argmin(apart))]
        into[label] = host
        size[host] += size[label]
        total[host] += total[label]
        for other in neighbours.pop(label):
            neighbours[other].discard(label)
            if other != host:
                neighbours[other].add(host)
                neighbours[host].add(other)
        heapq.heappush(queue, (float(size[host]), host))
        count -= 1
    while (into[into] != into).any():
        into = into[into]
    return into[owner]


def _neighbours(owner: Integers, count: int) -> dict[int, set[int]]:
    """Which segments share an edge of a pixel, or the side of a voxel."""
    found: dict[int, set[int]] = {label: set() for label in range(count)}
    for axis in reversed(range(owner.ndim)):
        ahead = np.moveaxis(owner, axis, 0)
        one, other = ahead[:-1], ahead[1:]
        pairs = np.stack([one.reshape(-1), other.reshape(-1)], axis=1)
        for a, b in np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0).tolist():
            found[a].add(b)
            found[b].add(a)
    return found
