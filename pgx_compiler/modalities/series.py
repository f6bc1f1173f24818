"""Series: a feature is a window of time, of one channel or of all; a removed one is filled from the row or the data."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities import _series_fills
from pgx_compiler.modalities.data import Variable
from pgx_compiler.modalities.features import FeatureMap, References, UnfitFeatures
from runtimes.capabilities import Floats, Inputs

DRAWING = "heat_map"
PLACES = 1
NUMERIC = True
KEYS = frozenset({"windows", "channels", "together"})
FILLS = _series_fills.FILLS
OWN_FILLS = frozenset({"interpolation", "fourier", "maximum_distance"})
DEFAULT_FILL = "mean"

WINDOWS = 16
"""The default: with up to a dozen channels fewer than 200 features, which sampling methods can afford."""

MOST_APART = 12
"""Channels up to which each is a feature of its own by default, and is described by its own variables."""


def channels_of(shape: Sequence[int]) -> int:
    """How many channels an input ``(time,)`` or ``(time, channels)`` holds."""
    return int(shape[1]) if len(shape) > 1 else 1


def settle(choice: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """How many windows, and whether channels stand apart; see `pgx_compiler.modalities.Modality`."""
    time = int(next(iter(shapes.values()))[0])
    windows = choice.get("windows") or min(WINDOWS, time)
    if windows > time:
        raise UnfitFeatures("windows", f"{windows} windows do not fit {time} steps in time", f"at most {time}")
    tied = {"together": [list(group) for group in choice["together"]]} if choice.get("together") else {}
    follows = leaders(tied.get("together", []), shapes)
    total = sum(channels_of(shape) for name, shape in shapes.items() if name not in follows)
    channels = choice.get("channels") or ("together" if total > MOST_APART else "apart")
    return {"windows": windows, "channels": channels, **tied}


def leaders(together: Sequence[Sequence[str]], shapes: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Inputs that change with another one to that one: of each group the first that the model reads.

    Raises:
        UnfitFeatures: a group names no inputs of one shape, or an input twice.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    for group in together:
        for name in group:
            if name not in shapes:
                read = ", ".join(f"`{one}`" for one in shapes)
                raise UnfitFeatures("together", f"no input of the model is called `{name}`", f"it reads {read}")
            if name in seen:
                raise UnfitFeatures("together", f"`{name}` is named twice", "an input changes with one group of others")
            seen.add(name)
        if len(group) < 2:
            raise UnfitFeatures("together", "one input alone changes with no other", "name two inputs or more")
        first, *others = [name for name in shapes if name in group]
        for name in others:
            if list(shapes[name]) != list(shapes[first]):
                reason = (
                    f"`{first}` and `{name}` differ in shape, so that their elements cannot change position by position"
                )
                raise UnfitFeatures("together", reason, "name inputs of one shape")
            found[name] = first
    return found


def varies(described: Mapping[str, Any]) -> bool:
    """Windows are the same in every row."""
    return False


def features_of_rows(inputs: Inputs, described: Mapping[str, Any]) -> FeatureMap:
    """Not asked of windows."""
    raise AssertionError("windows are the same in every row")


def feature_map(shapes: Mapping[str, Sequence[int]], described: Mapping[str, Any]) -> FeatureMap:
    """Windows of nearly equal length; channel by channel, and through time within a channel.

    Args:
        shapes: each input's shape without the row axis: ``(time,)`` or ``(time, channels)``, of one length.
        described: ``windows``, ``channels`` (``apart`` or ``together``), the channels' names as ``columns``, and
            ``together``: groups of inputs of one shape whose channels are one, as they change position by position.
    """
    time, windows = int(next(iter(shapes.values()))[0]), int(described["windows"])
    if any(int(shape[0]) != time for shape in shapes.values()):
        raise ValueError("the inputs differ in length")
    apart = described["channels"] == "apart"
    edges = np.arange(windows + 1) * time // windows
    window = np.searchsorted(edges, np.arange(time), side="right") - 1
    follows = leaders(described.get("together") or (), shapes)
    owners: dict[str, NDArray[np.int64]] = {}
    total = 0
    for name, shape in shapes.items():
        if name in follows:
            owners[name] = owners[follows[name]]
            continue
        channel = np.arange(total, total + channels_of(shape)) if apart else np.zeros(channels_of(shape), np.int64)
        owners[name] = (channel[None, :] * windows + window[:, None]).reshape(tuple(shape)).astype(np.int64)
        total += channels_of(shape)
    spans = [span(int(start), int(stop)) for start, stop in pairwise(edges)]
    channels = _names_of_tied(described, shapes, follows)
    names = [f"{channel} {told}" for channel in channels for told in spans] if apart else spans
    layout: dict[str, Any] = {"kind": "windows", "rows": total if apart else 1, "columns": windows, "steps": time}
    if apart:
        layout["channels"] = channels
    return FeatureMap(tuple(names), owners, layout)


def _names_of_tied(
    described: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], follows: Mapping[str, str]
) -> list[str]:
    """Names of the channels, those that change together joined: ``left + right``."""
    names = iter(channel_names(described, sum(channels_of(shape) for shape in shapes.values())))
    own = {name: [next(names) for _ in range(channels_of(shape))] for name, shape in shapes.items()}
    for name, first in follows.items():
        own[first] = [f"{one} + {other}" for one, other in zip(own[first], own[name], strict=True)]
    return [channel for name, held in own.items() if name not in follows for channel in held]


def span(start: int, stop: int) -> str:
    """The steps of a window, the last one included: ``0–7``."""
    return f"{start}–{stop - 1}" if stop - start > 1 else str(start)


def channel_names(described: Mapping[str, Any], channels: int) -> list[str]:
    """What the channels are called: as the data says, else by their number."""
    named = list(described.get("columns") or ())
    return named if len(named) == channels else [f"channel {number}" for number in range(1, channels + 1)]


def references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
) -> References:
    """Training series or their mean, a constant, or the row itself interpolated or shuffled; see `_series_fills`."""
    return _series_fills.series_references(rows, train, fill, features, rng)


def descriptors(series: NDArray[Any]) -> dict[str, Floats]:
    """Plain properties of each row's course ``(rows, time)``, ``(rows,)`` each.

    ``mean`` and ``spread`` (standard deviation) in the channel's unit; ``trend``: change from the first step to the last
    along the straight line that fits best; ``dominant frequency``: of the strongest wave after that line is taken away, in
    waves a row; ``roughness``: mean step from one value to the next, in spreads (0: constant or smooth, 1.1: white noise).
    """
    values = np.asarray(series, np.float64)
    time = values.shape[1]
    mean, spread = values.mean(axis=1), values.std(axis=1)
    at = np.arange(time) - (time - 1) / 2
    slope = values @ at / max(float(at @ at), 1e-12)
    power = np.abs(np.fft.rfft(values - mean[:, None] - slope[:, None] * at, axis=1)) ** 2
    wave = power[:, 1:].argmax(axis=1) + 1 if time > 1 else np.zeros(len(values), np.int64)
    still = spread <= 1e-9 * np.maximum(1.0, np.abs(mean))
    steps = np.abs(np.diff(values, axis=1)).mean(axis=1) if time > 1 else np.zeros(len(values))
    return {
        "mean": mean,
        "spread": spread,
        "trend": slope * (time - 1),
        "dominant frequency": np.where(still, 0.0, wave.astype(np.float64)),
        "roughness": np.divide(steps, spread, out=np.zeros(len(values)), where=~still),
    }


def variables(
    train: Inputs, test: Inputs | None, features: FeatureMap, columns: Sequence[str], roles: Mapping[str, str]
) -> tuple[Variable, ...]:
    """The descriptors of each channel; of many channels those of their mean course."""
    of_train = _courses(train, features)
    of_test = None if test is None else _courses(test, features)
    names = channel_names({"columns": columns}, len(of_train))
    if len(of_train) > MOST_APART:
        of_train = [np.mean(of_train, axis=0)]
        of_test = None if of_test is None else [np.mean(of_test, axis=0)]
        names = ["mean of channels"]
    found = []
    for position, name in enumerate(names):
        other = None if of_test is None else descriptors(of_test[position])
        for key, values in descriptors(of_train[position]).items():
            held = None if other is None else other[key]
            role: Any = roles.get(name, "feature")
            found.append(Variable(f"{name}: {key}", "numeric", values, held, role=role, is_descriptor=True))
    return tuple(found)


def _courses(inputs: Inputs, features: FeatureMap) -> list[Floats]:
    """Each channel ``(rows, time)``, in the order of the features."""
    flat = [np.asarray(inputs[name], np.float64) for name in features.owners]
    return [array.reshape(*array.shape[:2], -1)[:, :, c] for array in flat for c in range(channels_of(array.shape[1:]))]
