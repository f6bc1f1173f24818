"""Images: a feature is a square patch or a segment; a removed one is filled from training images or the row itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities import _image_fills
from pgx_compiler.modalities._image_axes import CHANNELS_FIRST, axes_of
from pgx_compiler.modalities._image_segments import SEGMENTS, places, segment
from pgx_compiler.modalities.data import Variable
from pgx_compiler.modalities.features import FeatureMap, References, UnfitFeatures
from runtimes.capabilities import Floats, Inputs

DRAWING = "heat_map"
PLACES = 2
NUMERIC = True
KEYS = frozenset({"superpixels", "size", "segments"})
FILLS = _image_fills.FILLS
OWN_FILLS = _image_fills.OWN_FILLS
DEFAULT_FILL = "mean"


def patches(shape: Sequence[int], size: int, channels_first: bool = False) -> NDArray[np.int64]:
    """Owner of each element of an image, ``(height, width[, channels])`` or channels first: patches, row-major."""
    axes = axes_of({CHANNELS_FIRST: channels_first}, shape)
    height, width = axes.plane(shape)
    across = -(-width // size)
    owner = (np.arange(height)[:, None] // size) * across + np.arange(width)[None, :] // size
    return axes.spread(owner, shape).astype(np.int64)


PATCHES_ACROSS = 16
"""Of the default patch size: about 256 features whatever the image, which sampling methods can afford."""


def settle(choice: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Patches of a side that fits, or segments and how many at most; see `pgx_compiler.modalities.Modality`."""
    shape = next(iter(shapes.values()))
    height, width = axes_of(choice, shape).plane(shape)
    kind = choice.get("superpixels") or ("slic" if choice.get("segments") else "patches")
    first = {CHANNELS_FIRST: True} if choice.get(CHANNELS_FIRST) else {}
    if kind != "patches":
        if choice.get("size"):
            raise UnfitFeatures("size", f"segments by {kind} have no side", "write how many there may be: `segments`")
        segments = choice.get("segments") or min(SEGMENTS, height * width)
        if segments > height * width:
            reason = f"{segments} segments do not fit images of {height} × {width}"
            raise UnfitFeatures("segments", reason, f"at most {height * width}")
        return {"superpixels": kind, "segments": segments, **first}
    if choice.get("segments"):
        raise UnfitFeatures("segments", "patches are told by their side", "write `size`, or `superpixels: slic`")
    if isinstance(choice.get("size"), list):
        raise UnfitFeatures("size", "a patch is square: it has one side", "write one number")
    size = choice.get("size") or max(1, -(-max(height, width) // PATCHES_ACROSS))
    if size > min(height, width):
        reason = f"patches of {size} pixels do not fit images of {height} × {width}"
        raise UnfitFeatures("size", reason, f"at most {min(height, width)}")
    return {"superpixels": "patches", "size": size, **first}


def varies(described: Mapping[str, Any]) -> bool:
    """Patches are the same in every row, segments are not."""
    return bool(described.get("superpixels", "patches") != "patches")


def features_of_rows(inputs: Inputs, described: Mapping[str, Any]) -> FeatureMap:
    """The segments of each row, found in that row alone; all channels of a pixel belong to one."""
    (name, images) = _single(inputs)
    shape = images.shape[1:]
    axes = axes_of(described, shape)
    planes = [segment(one, described["superpixels"], described["segments"]) for one in axes.channels_last(images)]
    counts = np.array([int(plane.max()) + 1 for plane in planes], np.int64)
    labels = np.full((len(images), described["segments"]), "", "U40")
    for row, (plane, count) in enumerate(zip(planes, counts, strict=True)):
        labels[row, :count] = [f"segment {n} ({place})" for n, place in enumerate(places(plane, int(count)), 1)]
    owner = axes.spread(np.stack(planes), shape).astype(np.int64)
    return FeatureMap(_segment_names(described), {name: owner}, _segment_layout(shape, described), counts, labels)


def feature_map(shapes: Mapping[str, Sequence[int]], described: Mapping[str, Any]) -> FeatureMap:
    """Square patches over the single image input, all channels of a patch together; of segments, the most there may be."""
    name, shape = _single(shapes)
    if varies(described):
        owner = np.zeros(tuple(shape), np.int64)
        return FeatureMap(_segment_names(described), {name: owner}, _segment_layout(shape, described))
    size = described["size"]
    first = bool(described.get(CHANNELS_FIRST))
    height, width = axes_of(described, shape).plane(shape)
    down, across = -(-height // size), -(-width // size)
    names = tuple(f"r{r}c{c}" for r in range(down) for c in range(across))
    layout = {
        "kind": "grid",
        "rows": down,
        "columns": across,
        "size": size,
        "height": height,
        "width": width,
        **({CHANNELS_FIRST: True} if first else {}),
    }
    return FeatureMap(names, {name: patches(shape, size, first)}, layout)


def over_channels(plane: NDArray[Any], shape: Sequence[int], layout: Mapping[str, Any]) -> NDArray[Any]:
    """What is said of each pixel ``(height, width)``, said of each element of an image of that shape and layout."""
    return axes_of(layout, shape).spread(plane, shape)


def grey(images: NDArray[Any], layout: Mapping[str, Any]) -> Floats:
    """Images ``(rows, *shape)`` without colour, ``(rows, height, width)``."""
    shown = axes_of(layout, images.shape[1:]).channels_last(images)
    return np.asarray(shown.astype(np.float64).mean(axis=3), np.float64)


def _single(held: Mapping[str, Any]) -> tuple[str, Any]:
    """The name of the one input, and what is held of it."""
    (found, *others) = held.items()
    if others:
        raise ValueError("an image model has one input here")
    return found


def _segment_names(described: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"segment {number}" for number in range(1, described["segments"] + 1))


def _segment_layout(shape: Sequence[int], described: Mapping[str, Any]) -> dict[str, Any]:
    height, width = axes_of(described, shape).plane(shape)
    first = {CHANNELS_FIRST: True} if described.get(CHANNELS_FIRST) else {}
    return {"kind": "segments", "height": height, "width": width, **first}


def references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
) -> References:
    """Training images, a constant, noise, or the row itself blurred or inpainted; see `_image_fills`."""
    return _image_fills.image_references(rows, train, fill, features, rng)


def descriptors(images: NDArray[Any], layout: Mapping[str, Any] | None = None) -> dict[str, NDArray[np.float64]]:
    """Plain properties of each image, ``(rows,)`` each: what drift and outliers are looked for in."""
    light = grey(images, layout or {})
    _, height, width = light.shape
    weight = np.abs(light - np.median(light, axis=(1, 2), keepdims=True))
    total = weight.sum(axis=(1, 2)) + 1e-12
    across, down = np.arange(width), np.arange(height)
    laplacian = (
        -4 * light[:, 1:-1, 1:-1] + light[:, :-2, 1:-1] + light[:, 2:, 1:-1] + light[:, 1:-1, :-2] + light[:, 1:-1, 2:]
    )
    low, high = light.min(), light.max()
    return {
        "brightness": light.mean(axis=(1, 2)),
        "contrast": light.std(axis=(1, 2)),
        "sharpness": laplacian.std(axis=(1, 2)),
        "ink": (light > low + 0.5 * (high - low)).mean(axis=(1, 2)),
        "centre_across": (weight.sum(axis=1) * across).sum(axis=1) / total,
        "centre_down": (weight.sum(axis=2) * down).sum(axis=1) / total,
    }


def variables(
    train: Inputs, test: Inputs | None, features: FeatureMap, columns: Sequence[str], roles: Mapping[str, str]
) -> tuple[Variable, ...]:
    """The descriptors of the images as variables."""
    name = next(iter(features.owners))
    of_train = descriptors(train[name], features.layout)
    of_test = None if test is None else descriptors(test[name], features.layout)
    return tuple(
        Variable(key, "numeric", values, None if of_test is None else of_test[key], is_descriptor=True)
        for key, values in of_train.items()
    )
