"""Images: a feature is a square patch; a removed one is filled from the mean image, a value, or a blur."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.data import Variable
from pgx_compiler.modalities.features import FeatureMap, References, UnfitFeatures
from runtimes.capabilities import Inputs

DRAWING = "heat_map"
KEYS = frozenset({"superpixels", "size"})
FILLS: Mapping[str, Mapping[str, Any]] = {"mean": {}, "value": {"value": 0.0}, "blur": {"sigma": 4.0}}
DEFAULT_FILL = "mean"


def patches(shape: Sequence[int], size: int) -> NDArray[np.int64]:
    """Owner of each element of an image ``(height, width[, channels])``: patches of ``size`` pixels, row-major."""
    height, width = shape[0], shape[1]
    across = -(-width // size)
    owner = (np.arange(height)[:, None] // size) * across + np.arange(width)[None, :] // size
    return np.broadcast_to(owner.reshape(height, width, *([1] * (len(shape) - 2))), tuple(shape)).astype(np.int64)


PATCHES_ACROSS = 16
"""Of the default patch size: about 256 features whatever the image, which sampling methods can afford."""


def settle(choice: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Patches of a side that fits; see `pgx_compiler.modalities.Modality`."""
    shape = next(iter(shapes.values()))
    size = choice.get("size") or max(1, -(-max(shape[:2]) // PATCHES_ACROSS))
    if size > min(shape[:2]):
        reason = f"patches of {size} pixels do not fit images of {shape[0]} × {shape[1]}"
        raise UnfitFeatures("size", reason, f"at most {min(shape[:2])}")
    return {"superpixels": "patches", "size": size}


def varies(described: Mapping[str, Any]) -> bool:
    """Patches are the same in every row."""
    return False


def features_of_rows(inputs: Inputs, described: Mapping[str, Any]) -> FeatureMap:
    """Not asked of patches."""
    raise AssertionError("patches are the same in every row")


def feature_map(shapes: Mapping[str, Sequence[int]], described: Mapping[str, Any]) -> FeatureMap:
    """Square patches over the single image input, all channels of a patch together."""
    (name, shape), *others = shapes.items()
    if others:
        raise ValueError("an image model has one input here")
    size = described["size"]
    owner = patches(shape, size)
    down, across = -(-shape[0] // size), -(-shape[1] // size)
    names = tuple(f"r{r}c{c}" for r in range(down) for c in range(across))
    layout = {
        "kind": "grid",
        "rows": down,
        "columns": across,
        "size": size,
        "height": int(shape[0]),
        "width": int(shape[1]),
    }
    return FeatureMap(names, {name: owner}, layout)


def references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
) -> References:
    """One reference image: the training mean, a constant (``value``), or each row's own blur (``blur``, ``sigma``)."""
    (name, images) = next(iter(rows.items()))
    if fill["kind"] == "mean":
        mean = train[name].mean(axis=0, dtype=np.float64).astype(images.dtype)
        return References({name: mean[None, None]}, f"mean image of {len(train[name])} training rows")
    if fill["kind"] == "value":
        value = fill.get("value", 0.0)
        return References({name: np.full((1, 1, *images.shape[1:]), value, images.dtype)}, f"every pixel {value:g}")
    from scipy.ndimage import gaussian_filter

    sigma = float(fill.get("sigma", 4.0))
    axes = (0, sigma, sigma, *([0] * (images.ndim - 3)))
    blurred = gaussian_filter(images.astype(np.float64), axes).astype(images.dtype)
    return References({name: blurred[:, None]}, f"the image itself, blurred (sigma {sigma:g} pixels)")


def descriptors(images: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Plain properties of each image, ``(rows,)`` each: what drift and outliers are looked for in."""
    grey = images.astype(np.float64)
    if grey.ndim == 4:
        grey = grey.mean(axis=3)
    _, height, width = grey.shape
    weight = np.abs(grey - np.median(grey, axis=(1, 2), keepdims=True))
    total = weight.sum(axis=(1, 2)) + 1e-12
    across, down = np.arange(width), np.arange(height)
    laplacian = (
        -4 * grey[:, 1:-1, 1:-1] + grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    )
    low, high = grey.min(), grey.max()
    return {
        "brightness": grey.mean(axis=(1, 2)),
        "contrast": grey.std(axis=(1, 2)),
        "sharpness": laplacian.std(axis=(1, 2)),
        "ink": (grey > low + 0.5 * (high - low)).mean(axis=(1, 2)),
        "centre_across": (weight.sum(axis=1) * across).sum(axis=1) / total,
        "centre_down": (weight.sum(axis=2) * down).sum(axis=1) / total,
    }


def variables(
    train: Inputs, test: Inputs | None, features: FeatureMap, columns: Sequence[str], roles: Mapping[str, str]
) -> tuple[Variable, ...]:
    """The descriptors of the images as variables."""
    name = next(iter(train))
    of_train = descriptors(train[name])
    of_test = None if test is None else descriptors(test[name])
    return tuple(
        Variable(key, "numeric", values, None if of_test is None else of_test[key], is_descriptor=True)
        for key, values in of_train.items()
    )
