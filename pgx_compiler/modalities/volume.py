"""Volumes and clips: a feature is a block or a supervoxel; a removed one is filled from training rows or the row itself."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities import _picture_fills
from pgx_compiler.modalities._image_segments import SEGMENTS, places, segment
from pgx_compiler.modalities.data import Variable
from pgx_compiler.modalities.features import FeatureMap, References, UnfitFeatures
from runtimes.capabilities import Floats, Inputs

DRAWING = "slices"
PLACES = 3
NUMERIC = True
KEYS = frozenset({"superpixels", "size", "segments"})
FILLS: Mapping[str, Mapping[str, Any]] = {**_picture_fills.FILLS, "blur": {"sigma": 2.0}}
"""Volumes have fewer voxels a side than pictures have pixels: half of a picture's blur is as strong."""
OWN_FILLS = _picture_fills.OWN_FILLS
DEFAULT_FILL = "mean"

BLOCKS_ACROSS = 6
"""Of the default size, along each axis: at most 216 features whatever the volume, which sampling methods can afford."""

_KINDS = ("patches", "slic")
_AXES = ("depth", "height", "width")


def settle(choice: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Blocks of sides that fit, or supervoxels and how many at most; see `pgx_compiler.modalities.Modality`."""
    sides = _sides(next(iter(shapes.values())))
    kind = choice.get("superpixels") or ("slic" if choice.get("segments") else "patches")
    if kind not in _KINDS:
        raise UnfitFeatures("superpixels", f"`{kind}` cuts pictures, not volumes", "write `patches` (blocks) or `slic`")
    if kind == "slic":
        if choice.get("size"):
            raise UnfitFeatures("size", "supervoxels have no sides", "write how many there may be: `segments`")
        voxels = int(np.prod(sides))
        segments = choice.get("segments") or min(SEGMENTS, voxels)
        if segments > voxels:
            reason = f"{segments} supervoxels do not fit volumes of {_words(sides)}"
            raise UnfitFeatures("segments", reason, f"at most {voxels}")
        return {"superpixels": kind, "segments": segments}
    if choice.get("segments"):
        raise UnfitFeatures("segments", "blocks are told by their sides", "write `size`, or `superpixels: slic`")
    return {"superpixels": "patches", "size": _block(choice.get("size"), sides)}


def _block(size: int | Sequence[int] | None, sides: Sequence[int]) -> list[int]:
    """Sides of a block: as the author says, one number for a cube, else so that `BLOCKS_ACROSS` of them suffice."""
    if size is None:
        return [max(1, -(-side // BLOCKS_ACROSS)) for side in sides]
    block = [size] * 3 if isinstance(size, int) else [int(one) for one in size]
    if len(block) != 3:
        raise UnfitFeatures("size", f"{len(block)} sides are given, a block has 3", "write [depth, height, width]")
    for axis, one, side in zip(_AXES, block, sides, strict=True):
        if one > side:
            reason = f"blocks of {one} along the {axis} do not fit volumes of {_words(sides)}"
            fitting = [min(one, side) for one, side in zip(block, sides, strict=True)]
            raise UnfitFeatures("size", reason, f"write `size: {fitting}` (depth, height, width) or less")
    return block


def varies(described: Mapping[str, Any]) -> bool:
    """Blocks are the same in every row, supervoxels are not."""
    return bool(described.get("superpixels", "patches") != "patches")


def features_of_rows(inputs: Inputs, described: Mapping[str, Any]) -> FeatureMap:
    """The supervoxels of each row, found in that row alone; all channels of a voxel belong to one."""
    (name, volumes) = _single(inputs)
    shape = volumes.shape[1:]
    found = [segment(one, described["superpixels"], described["segments"]) for one in _channels_last(volumes)]
    counts = np.array([int(owner.max()) + 1 for owner in found], np.int64)
    labels = np.full((len(volumes), described["segments"]), "", "U64")
    for row, (owner, count) in enumerate(zip(found, counts, strict=True)):
        where = places(owner, int(count))
        labels[row, :count] = [
            f"segment {n + 1} (depth {depth}, {where[n]})" for n, depth in enumerate(_depths(owner, int(count)))
        ]
    owners = _spread(np.stack(found), shape).astype(np.int64)
    return FeatureMap(_segment_names(described), {name: owners}, _segment_layout(shape), counts, labels)


def _depths(owner: NDArray[Any], count: int) -> list[str]:
    """From which slice to which each segment reaches."""
    from scipy.ndimage import find_objects

    boxes = find_objects(owner + 1, count)
    return [span(int(box[0].start), int(box[0].stop)) for box in boxes]


def span(start: int, stop: int) -> str:
    """Slices from one to before another, the last one included: ``4–7``."""
    return f"{start}–{stop - 1}" if stop - start > 1 else str(start)


def feature_map(shapes: Mapping[str, Sequence[int]], described: Mapping[str, Any]) -> FeatureMap:
    """Blocks of the single input, all channels of a block together; of supervoxels, the most there may be.

    Blocks are in the order of their depth, and row by row within a slice.
    """
    name, shape = _single(shapes)
    if varies(described):
        return FeatureMap(_segment_names(described), {name: np.zeros(tuple(shape), np.int64)}, _segment_layout(shape))
    sides, block = _sides(shape), described["size"]
    slices, rows, columns = (-(-side // one) for side, one in zip(sides, block, strict=True))
    names = tuple(f"d{d}r{r}c{c}" for d in range(slices) for r in range(rows) for c in range(columns))
    layout = {"kind": "blocks", "slices": slices, "rows": rows, "columns": columns, "size": list(block)}
    return FeatureMap(names, {name: blocks(shape, block)}, {**layout, **dict(zip(_AXES, sides, strict=True))})


def blocks(shape: Sequence[int], size: Sequence[int]) -> NDArray[np.int64]:
    """Owner of each element of a volume, ``(depth, height, width[, channels])``: blocks, slice by slice and row-major."""
    sides = _sides(shape)
    deep, down, across = (np.arange(side) // one for side, one in zip(sides, size, strict=True))
    rows, columns = (-(-side // one) for side, one in zip(sides[1:], size[1:], strict=True))
    owner = (deep[:, None, None] * rows + down[:, None]) * columns + across
    return _spread(owner, shape).astype(np.int64)


def over_channels(plane: NDArray[Any], shape: Sequence[int], layout: Mapping[str, Any]) -> NDArray[Any]:
    """What is said of each place ``(height, width)``, said of all slices and channels."""
    return _spread(np.broadcast_to(plane, _sides(shape)), shape)


def grey(volumes: NDArray[Any], layout: Mapping[str, Any]) -> Floats:
    """Volumes ``(rows, *shape)`` without colour, ``(rows, depth, height, width)``."""
    return np.asarray(_channels_last(volumes).mean(axis=-1, dtype=np.float64), np.float64)


def references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
) -> References:
    """Training volumes, a constant, noise, or the row itself blurred along all three axes; see `_picture_fills`."""
    name = next(name for name in rows if name in features.owners)
    words = ("volume", "voxel")
    return _picture_fills.references_of(name, rows[name], np.asarray(train[name]), fill, (1, 2, 3), words, rng)


def descriptors(volumes: NDArray[Any]) -> dict[str, Floats]:
    """Plain properties of each volume, ``(rows,)`` each: what drift and outliers are looked for in.

    ``sharpness``: spread of the second differences along an axis, mean over the axes; ``filled``: share of voxels beyond
    the middle of the range; ``centre_…``: where what differs from the median lies.
    """
    light = grey(volumes, {})
    rows = len(light)
    weight = np.abs(light - np.median(light, axis=(1, 2, 3), keepdims=True))
    total = weight.sum(axis=(1, 2, 3)) + 1e-12
    bends = [np.diff(light, 2, axis=axis).reshape(rows, -1).std(axis=1) for axis in (1, 2, 3) if light.shape[axis] > 2]
    low, high = light.min(), light.max()
    centres = {
        f"centre_{word}": (weight.sum(axis=others) * np.arange(light.shape[axis])).sum(axis=1) / total
        for word, axis, others in (("deep", 1, (2, 3)), ("down", 2, (1, 3)), ("across", 3, (1, 2)))
    }
    return {
        "brightness": light.mean(axis=(1, 2, 3)),
        "contrast": light.std(axis=(1, 2, 3)),
        "sharpness": np.mean(bends, axis=0) if bends else np.zeros(rows),
        "filled": (light > low + 0.5 * (high - low)).mean(axis=(1, 2, 3)),
        **centres,
    }


def variables(
    train: Inputs, test: Inputs | None, features: FeatureMap, columns: Sequence[str], roles: Mapping[str, str]
) -> tuple[Variable, ...]:
    """The descriptors of the volumes as variables."""
    name = next(iter(features.owners))
    of_train = descriptors(train[name])
    of_test = None if test is None else descriptors(test[name])
    return tuple(
        Variable(key, "numeric", values, None if of_test is None else of_test[key], is_descriptor=True)
        for key, values in of_train.items()
    )


def _single(held: Mapping[str, Any]) -> tuple[str, Any]:
    """The name of the one input, and what is held of it."""
    (found, *others) = held.items()
    if others:
        raise ValueError("a model of volumes has one input here")
    return found


def _sides(shape: Sequence[int]) -> tuple[int, int, int]:
    """Depth, height and width of a shape without the row axis."""
    depth, height, width = (int(side) for side in shape[:3])
    return depth, height, width


def _words(sides: Sequence[int]) -> str:
    return " × ".join(map(str, sides))


def _channels_last(volumes: NDArray[Any]) -> NDArray[Any]:
    """Volumes ``(rows, *shape)`` as ``(rows, depth, height, width, channels)``."""
    return volumes if volumes.ndim == 5 else volumes[..., None]


def _spread(owner: NDArray[Any], shape: Sequence[int]) -> NDArray[Any]:
    """What is said of each voxel, ``(…, depth, height, width)``, said of all its channels."""
    if len(shape) == 3:
        return owner
    return np.repeat(owner[..., None], int(shape[3]), axis=-1)


def _segment_names(described: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"segment {number}" for number in range(1, described["segments"] + 1))


def _segment_layout(shape: Sequence[int]) -> dict[str, Any]:
    return {"kind": "supervoxels", **dict(zip(_AXES, _sides(shape), strict=True))}
