"""What a removed window of a series is replaced by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.features import FIXED, FeatureMap, References
from runtimes.capabilities import Floats, Inputs, Integers

FILLS: Mapping[str, Mapping[str, Any]] = {
    "mean": {},
    "interpolation": {},
    "fourier": {"size": 10},
    "background": {"size": 20},
    "value": {"value": 0.0},
    "uniform": {"size": 10},
    "maximum_distance": {},
}
"""10 surrogates or draws and 20 training series are our defaults: each multiplies the model rows of every method."""


def series_references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
) -> References:
    """The reference series; see `FILLS` for the kinds and their keys.

    - ``mean``: each channel's mean over the training rows and over time. ``value``: a constant. Shared by all rows.
    - ``background``: ``size`` training series drawn without replacement. Shared by all rows.
    - ``uniform``: ``size`` series, each value drawn evenly from the range of its channel in the training data. Shared by all rows.
    - ``maximum_distance``: for each row the series that is furthest from it within those ranges: every value at the end of its
      channel's range that it is further from (uniform and maximum distance: Sturmfels, Lundberg & Lee 2020,
      https://distill.pub/2020/attribution-baselines).
    - ``interpolation``: each row, where every window is the straight line between the values before and after it, as if
      it alone were removed; at the ends of the series the one value that there is.
    - ``fourier``: ``size`` surrogates of each row with random phases (Theiler et al., 1992,
      https://doi.org/10.1016/0167-2789(92)90102-S): the same mean and power spectrum, another course in time. All
      channels turn by the same phases, so that what they have to do with one another stays (Prichard & Theiler, 1994,
      https://doi.org/10.1103/PhysRevLett.73.951).
    """
    kind = fill["kind"]
    held = {name: np.asarray(array) for name, array in rows.items() if name in features.owners}
    n = len(next(iter(train.values())))
    made: dict[str, NDArray[Any]]
    if kind == "mean":
        made = {name: as_numbers(_flat_mean(np.asarray(train[name])), a.dtype)[None, None] for name, a in held.items()}
        return References(made, f"each channel's mean over {n} training rows")
    if kind == "value":
        made = {
            n_: as_numbers(np.full(a.shape[1:], float(fill["value"])), a.dtype)[None, None] for n_, a in held.items()
        }
        return References(made, f"every value {fill['value']:g}")
    if kind == "background":
        size = min(int(fill["size"]), n)
        chosen = np.sort(rng.choice(n, size, replace=False))
        made = {name: np.asarray(train[name])[chosen][None].astype(a.dtype) for name, a in held.items()}
        return References(made, f"{size} training series, drawn at random")
    if kind in ("uniform", "maximum_distance"):
        return _within_the_range(held, train, fill, rng)
    if kind == "interpolation":
        made = {name: _interpolated(array, features.owners[name])[:, None] for name, array in held.items()}
        return References(made, "each window a straight line between the values beside it")
    drawn = _phases(held, int(fill["size"]), rng)
    made = {name: _surrogates(array, drawn) for name, array in held.items()}
    return References(made, f"{fill['size']} series with the row's own spectrum and random phases")


def _within_the_range(
    held: Mapping[str, NDArray[Any]], train: Inputs, fill: Mapping[str, Any], rng: np.random.Generator
) -> References:
    made: dict[str, NDArray[Any]] = {}
    for name, array in held.items():
        seen = np.asarray(train[name]).astype(np.float64)
        low, high = np.nanmin(seen, axis=(0, 1)), np.nanmax(seen, axis=(0, 1))
        if fill["kind"] == "uniform":
            drawn = rng.uniform(low, high, (int(fill["size"]), *array.shape[1:]))
            made[name] = as_numbers(drawn, array.dtype)[None]
        else:
            far = np.where(array.astype(np.float64) < (low + high) / 2, high, low)
            made[name] = as_numbers(far, array.dtype)[:, None]
    told = f"the range of each channel over {len(next(iter(train.values())))} training rows"
    if fill["kind"] == "uniform":
        return References(made, f"{fill['size']} series drawn evenly from {told}")
    return References(made, f"the series furthest from each row within {told}")


def as_numbers(values: Floats, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values in the input's own dtype: whole numbers are rounded and kept in their range."""
    if dtype.kind not in "iu":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    return np.clip(np.round(values), limits.min, limits.max).astype(dtype)


def _flat_mean(train: NDArray[Any]) -> Floats:
    """Each channel's mean, at every step in time."""
    return np.broadcast_to(np.nanmean(train.astype(np.float64), axis=(0, 1)), train.shape[1:])


def _interpolated(series: NDArray[Any], owner: Integers) -> NDArray[Any]:
    """Every run of one owner along time, ``(rows, time[, channels])``, as a line between the steps around it."""
    flat = series.astype(np.float64).reshape(len(series), series.shape[1], -1)
    owners = owner.reshape(owner.shape[0], -1)
    out = flat.copy()
    time = owners.shape[0]
    for channel in range(owners.shape[1]):
        edges = np.flatnonzero(np.diff(owners[:, channel])) + 1
        for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), time], strict=True):
            if owners[start, channel] == FIXED:
                continue
            before = flat[:, start - 1, channel] if start else None
            after = flat[:, stop, channel] if stop < time else None
            if before is None and after is None:  # the window is all there is
                out[:, :, channel] = flat[:, :, channel].mean(axis=1, keepdims=True)
                continue
            low, high = (after if before is None else before), (before if after is None else after)
            assert low is not None
            assert high is not None
            share = np.arange(1, stop - start + 1) / (stop - start + 1)
            out[:, start:stop, channel] = low[:, None] + (high - low)[:, None] * share
    return as_numbers(out.reshape(series.shape), series.dtype)


def _phases(held: Inputs, size: int, rng: np.random.Generator) -> Floats:
    """Angles ``(rows, size, frequencies)``: none for the mean, none or half a turn for an even length's last frequency."""
    first = next(iter(held.values()))
    rows, time = first.shape[:2]
    angles = rng.uniform(0, 2 * np.pi, (rows, size, time // 2 + 1))
    angles[..., 0] = 0.0
    if time % 2 == 0:
        angles[..., -1] = np.pi * rng.integers(0, 2, (rows, size))
    return angles


def _surrogates(series: NDArray[Any], angles: Floats) -> NDArray[Any]:
    """``(rows, size, time[, channels])``."""
    flat = series.astype(np.float64).reshape(len(series), series.shape[1], -1)
    spectrum = np.fft.rfft(flat, axis=1)[:, None]
    turned = spectrum * np.exp(1j * angles)[..., None]
    made = np.fft.irfft(turned, flat.shape[1], axis=2)
    return as_numbers(made.reshape(len(series), angles.shape[1], *series.shape[1:]), series.dtype)
