"""What a removed part is replaced by, in rows with several axes of places: pictures and volumes alike."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.features import References
from runtimes.capabilities import Floats

FILLS: Mapping[str, Mapping[str, Any]] = {
    "mean": {},
    "value": {"value": 0.0},
    "blur": {"sigma": 4.0},
    "noise": {"size": 10},
    "uniform": {"size": 10},
    "maximum_distance": {},
    "background": {"size": 10},
}
"""10 draws or training rows are our default: each multiplies the model rows of every method."""

OWN_FILLS = frozenset({"blur", "maximum_distance"})
"""Each row has references of its own."""


def references_of(
    name: str,
    rows: NDArray[Any],
    train: NDArray[Any],
    fill: Mapping[str, Any],
    places: Sequence[int],
    words: tuple[str, str],
    rng: np.random.Generator,
) -> References:
    """The references of one input; see `FILLS` for the kinds and their keys.

    - ``mean``: the mean training row. ``value``: a constant. Shared by all rows.
    - ``noise``: ``size`` draws, each element from a normal distribution with the mean and standard deviation that it has
      over the training rows, cut to the range of the training data. Shared by all rows.
    - ``uniform``: ``size`` draws, each element evenly from the range of the training data. Shared by all rows.
    - ``maximum_distance``: for each row what is furthest from it within the range of the training data: every element at
      the end of the range that it is further from, so that no colour of the row is overlooked as a colour of the
      reference (uniform and maximum distance: Sturmfels, Lundberg & Lee 2020, https://distill.pub/2020/attribution-baselines).
    - ``background``: ``size`` training rows drawn without replacement. Shared by all rows.
    - ``blur``: each row's own blur, over its places.

    Args:
        name: of the input.
        rows: those that are explained.
        train: the training rows.
        fill: ``kind``, and its keys.
        places: axes of places, the row axis being 0.
        words: what a row is called, and one of its places: ``("image", "pixel")``.
        rng: draws.
    """
    row, place = words
    kind = fill["kind"]
    if kind == "mean":
        mean = as_pixels(train.mean(axis=0, dtype=np.float64), rows.dtype)
        return References({name: mean[None, None]}, f"mean {row} of {len(train)} training rows")
    if kind == "value":
        value = as_pixels(np.full(rows.shape[1:], float(fill["value"])), rows.dtype)
        held = float(value.reshape(-1)[0])
        cut = "" if np.isclose(held, fill["value"]) else f" ({fill['value']:g} as {rows.dtype})"
        return References({name: value[None, None]}, f"every {place} {held:g}{cut}")
    if kind == "background":
        size = min(int(fill["size"]), len(train))
        chosen = np.sort(rng.choice(len(train), size, replace=False))
        return References({name: train[chosen][None].astype(rows.dtype)}, f"{size} training {row}s, drawn at random")
    if kind == "noise":
        drawn = _noise(train, int(fill["size"]), rng)
        told = f"{fill['size']} {row}s of noise, each {place} as it varies over {len(train)} training rows"
        return References({name: as_pixels(drawn, rows.dtype)[None]}, told)
    if kind in ("uniform", "maximum_distance"):
        return _within_the_range(name, rows, train, fill, row, rng)
    sigma = float(fill["sigma"])
    told = f"the {row} itself, blurred (sigma {sigma:g} {place}s)"
    return References({name: _blurred(rows, sigma, places)[:, None]}, told)


def as_pixels(values: Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in the pixels' own dtype: whole numbers are rounded and kept in their range."""
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(values), limits.min, limits.max).astype(dtype)


def _within_the_range(
    name: str, rows: NDArray[Any], train: NDArray[Any], fill: Mapping[str, Any], row: str, rng: np.random.Generator
) -> References:
    low, high = float(train.min()), float(train.max())
    told = f"the range of {len(train)} training rows, {low:g} to {high:g}"
    if fill["kind"] == "uniform":
        drawn = rng.uniform(low, high, (int(fill["size"]), *rows.shape[1:]))
        return References({name: as_pixels(drawn, rows.dtype)[None]}, f"{fill['size']} {row}s drawn evenly from {told}")
    far = np.where(rows.astype(np.float64) < (low + high) / 2, high, low)
    return References({name: as_pixels(far, rows.dtype)[:, None]}, f"the {row} furthest from each row within {told}")


def _noise(train: NDArray[Any], size: int, rng: np.random.Generator) -> Floats:
    mean, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
    drawn = mean + spread * rng.standard_normal((size, *train.shape[1:]))
    return np.asarray(np.clip(drawn, float(train.min()), float(train.max())), np.float64)


def _blurred(rows: NDArray[Any], sigma: float, places: Sequence[int]) -> NDArray[Any]:
    from scipy.ndimage import gaussian_filter

    widths = [sigma if axis in places else 0.0 for axis in range(rows.ndim)]
    return as_pixels(gaussian_filter(rows.astype(np.float64), widths), rows.dtype)
