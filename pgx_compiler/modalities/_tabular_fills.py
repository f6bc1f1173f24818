"""What a removed column of a table is replaced by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.data import MOST_ROWS
from pgx_compiler.modalities.features import FeatureMap, References
from runtimes.capabilities import Floats, Inputs, Integers

FILLS: Mapping[str, Mapping[str, Any]] = {
    "background": {"size": 50},
    "mean": {},
    "kmeans": {"size": 50},
    "conditional": {"size": 20},
    "maximum_distance": {},
    "value": {"value": 0.0},
    "uniform": {"size": 10},
}
"""50 background rows are our default; the standard error of a base value over them is a seventh of the score's spread. 20
neighbours keep close to the row and still average over it."""

_STARTS, _ROUNDS = 4, 100
"""Of Lloyd's algorithm: how often it is begun anew, the tightest clusters being kept, and its rounds, at most; it mostly
ends after ten to thirty."""

_CLUSTERED = 10_000
"""Training rows that are clustered, at most; of more, so many are drawn."""

_AT_ONCE = 1_000_000
"""Distances held at once."""


def table_references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
) -> References:
    """The reference rows; see `FILLS` for the kinds and their keys.

    - ``background``: ``size`` training rows drawn without replacement. Shared by all rows.
    - ``mean``: the mean training row; of text the commonest. Shared by all rows.
    - ``kmeans``: the training rows nearest to the ``size`` centres of k-means (Lloyd's algorithm from a k-means++ start),
      each taken once: real rows, so that categories stay whole. They cover the data more evenly than rows drawn at random,
      rare regions included; as references count alike and clusters differ in size, their mean score is not the mean score
      of the data. Shared by all rows.
    - ``conditional``: for each row its ``size`` nearest training rows that are not equal to it: a local background. A
      removed feature takes the values that it has among rows like this one, so that composed rows are likelier to occur
      than with a background from everywhere, and the values say what tells the row from those like it. It is not the
      distribution given exactly the features that are kept: the neighbours are chosen once, by all features, the removed
      ones included.
    - ``value``: one number in every column; of text the commonest. What a zero means is the columns' affair: where they are
      standardised, the mean. Shared by all rows.
    - ``uniform``: ``size`` rows, each element drawn evenly from the range that it has in the training data (of text, from the
      words). Elements are drawn by themselves, so that several of a one-hot group may be set. Shared by all rows.
    - ``maximum_distance``: for each row one reference whose every feature has the training value furthest from the row's
      own (of several as far, such as other categories, the commonest), so that no feature of the row is overlooked for
      being like the reference; what images have by the same name (Sturmfels, Lundberg & Lee 2020,
      https://distill.pub/2020/attribution-baselines). Each value occurs, all of them together hardly ever do.

    Rows are near where they differ little over the features, each standardised so that all of them weigh alike: a
    group of columns as much as a single one. Where all rows are compared, at most `MOST_ROWS` of them are, and the name says so.
    """
    n = len(next(iter(train.values())))
    kind = fill["kind"]
    if kind == "mean":
        return References({k: _middle(v)[None, None] for k, v in train.items()}, f"mean of {n} training rows")
    size = min(int(fill.get("size", 1)), n)
    if kind == "value":
        number = float(fill["value"])
        told = f"{number:g} in every column" + (", of text the commonest" if _has_text(train) else "")
        return References({k: _constant(v, number)[None, None] for k, v in train.items()}, told)
    if kind == "uniform":
        count = int(fill["size"])
        told = f"{count} rows, each value drawn evenly from its range over {n} training rows"
        return References({k: _evenly(v, count, rng)[None] for k, v in train.items()}, told)
    if kind == "background":
        chosen = np.sort(rng.choice(n, size, replace=False))
        return References({k: v[chosen][None] for k, v in train.items()}, f"{size} training rows, drawn at random")
    among = ""
    if n > MOST_ROWS:  # these compare rows with all others, and hold them in float64
        among = f", among {MOST_ROWS:,} of {n:,} drawn at random"
        drawn = np.sort(rng.choice(n, MOST_ROWS, replace=False))
        train, n = {name: array[drawn] for name, array in train.items()}, MOST_ROWS
    if kind == "maximum_distance":
        told = f"of each feature the training value furthest from the row's{among}"
        return References({k: v[:, None] for k, v in _furthest(train, rows, features).items()}, told)
    points, explained = (np.concatenate(side, axis=1) for side in _standardised(train, rows, features))
    if kind == "kmeans":
        drawn = np.sort(rng.permutation(n)[:_CLUSTERED])
        chosen = drawn[_central(points[drawn], size, rng)]
        told = f"{size} training rows, the nearest to the centres of k-means{among}"
        return References({k: v[chosen][None] for k, v in train.items()}, told)
    near = np.stack([_nearest(points, one, size) for one in explained])
    return References({k: v[near] for k, v in train.items()}, f"the {size} training rows nearest to each row{among}")


def _middle(values: NDArray[Any]) -> NDArray[Any]:
    """The mean of each element over the rows, rounded where the model reads whole numbers; of text the commonest."""
    if values.dtype.kind == "f" and len(values) <= MOST_ROWS:
        return np.asarray(np.nanmean(values, axis=0, dtype=np.float64)).astype(values.dtype)
    flat = values.reshape(len(values), -1)
    if (
        values.dtype.kind == "f"
    ):  # of many rows one element at a time: a copy without gaps would be all of them once more
        means = [np.nanmean(column, dtype=np.float64) for column in flat.T]
        return np.array(means, np.float64).astype(values.dtype).reshape(values.shape[1:])
    if values.dtype.kind in "biu":
        return np.asarray(np.round(values.mean(axis=0, dtype=np.float64))).astype(values.dtype)
    usual = [max(zip(*np.unique(c, return_counts=True), strict=True), key=lambda p: p[1])[0] for c in flat.T]
    return np.array(usual, values.dtype).reshape(values.shape[1:])


def _has_text(train: Inputs) -> bool:
    return any(values.dtype.kind not in "biuf" for values in train.values())


def _constant(values: NDArray[Any], number: float) -> NDArray[Any]:
    """One number for each element, in the elements' own dtype; of text the commonest."""
    if values.dtype.kind not in "biuf":
        return _middle(values)
    if values.dtype.kind in "iu":
        limits = np.iinfo(values.dtype)
        number = float(np.clip(round(number), limits.min, limits.max))
    return np.full(values.shape[1:], number, values.dtype)


def _evenly(values: NDArray[Any], count: int, rng: np.random.Generator) -> NDArray[Any]:
    """``(count, *feature shape)``, each element evenly from its own range, whole numbers with both ends; text from its words."""
    if values.dtype.kind == "f":
        low, high = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
        drawn = rng.uniform(low.astype(np.float64), high.astype(np.float64), (count, *values.shape[1:]))
        return drawn.astype(values.dtype)
    if values.dtype.kind in "biu":
        whole = rng.integers(
            values.min(axis=0), values.max(axis=0), (count, *values.shape[1:]), np.int64, endpoint=True
        )
        return whole.astype(values.dtype)
    flat = values.reshape(len(values), -1)
    words = np.stack([rng.choice(np.unique(column), count) for column in flat.T], axis=1)
    return words.astype(values.dtype).reshape(count, *values.shape[1:])


def _furthest(train: Inputs, rows: Inputs, features: FeatureMap) -> dict[str, NDArray[Any]]:
    """Rows whose every feature has the training value that is furthest from their own; of several the commonest."""
    found = {name: array.copy() for name, array in rows.items()}
    owners = {name: owner.reshape(-1) for name, owner in features.owners.items()}
    seen, explained = _standardised(train, rows, features)
    for position in range(len(features)):
        _, where, count = np.unique(seen[position], axis=0, return_index=True, return_counts=True)
        where, count = np.sort(where), count[np.argsort(where)]  # of values as common, the one that is met first
        distinct = seen[position][where]
        known = _known(features.elements(train, position)[where])
        for row, point in enumerate(explained[position]):
            apart = np.where(known | ~known.any(), ((distinct - point) ** 2).sum(axis=1), -1.0)
            usual = np.where(apart >= apart.max() * (1 - 1e-9), count, 0).argmax()
            chosen = slice(where[usual], where[usual] + 1)
            for name, owner in owners.items():
                taken = train[name][chosen].reshape(-1)[owner == position]
                found[name].reshape(len(found[name]), -1)[row, owner == position] = taken
    return found


def _known(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Which of ``(values, columns)`` have nothing missing."""
    found = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, bool)
    return np.asarray(found.all(axis=1), bool)


def _standardised(train: Inputs, rows: Inputs, features: FeatureMap) -> tuple[list[Floats], list[Floats]]:
    """Training and explained rows as points, ``(rows, columns)`` for each feature of a total variance of 1 over the former.

    A missing value stands in the middle; words are as far apart from one another as they can be.
    """
    sides: tuple[list[Floats], list[Floats]] = ([], [])
    for position in range(len(features)):
        blocks = [features.elements(side, position) for side in (train, rows)]
        if blocks[0].dtype.kind in "biuf":
            numbers = [block.astype(np.float64) for block in blocks]
        else:
            words = sorted({str(word) for block in blocks for word in block.reshape(-1)})
            numbers = [
                np.concatenate([c[:, None].astype(str) == words for c in block.T], axis=1).astype(np.float64)
                for block in blocks
            ]
        known = np.isfinite(numbers[0])
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, numbers[0], 0.0).sum(axis=0) / count
        spread = np.sqrt((np.where(known, numbers[0] - mean, 0.0) ** 2).sum(axis=0) / count)
        scale = float(np.sqrt((spread**2).sum())) or 1.0
        for side, held in zip(sides, numbers, strict=True):
            side.append(np.where(np.isfinite(held), (held - mean) / scale, 0.0))
    return sides


def _central(points: Floats, size: int, rng: np.random.Generator) -> Integers:
    """Positions of the points nearest to the centres of k-means, in order, each once."""
    centres, _ = min((_k_means(points, size, rng) for _ in range(_STARTS)), key=lambda found: found[1])
    chosen: list[int] = []
    left = np.ones(len(points), bool)
    for centre in centres:
        apart = np.where(left, ((points - centre) ** 2).sum(axis=1), np.inf)
        chosen.append(int(np.argmin(apart)))
        left[chosen[-1]] = False
    return np.sort(np.array(chosen, np.int64))


def _k_means(points: Floats, size: int, rng: np.random.Generator) -> tuple[Floats, float]:
    """Centres ``(size, columns)`` and the sum of squared distances to them.

    Where the points are fewer than that, apart from repeats, some centres are equal.
    """
    first = [int(rng.integers(len(points)))]
    apart = ((points - points[first[0]]) ** 2).sum(axis=1)
    while len(first) < size:
        total = apart.sum()
        weights = apart / total if total > 0 else np.full(len(points), 1 / len(points))
        first.append(int(rng.choice(len(points), p=weights)))
        apart = np.minimum(apart, ((points - points[first[-1]]) ** 2).sum(axis=1))
    centres = points[first].copy()
    before = np.full(len(points), -1)
    for _ in range(_ROUNDS):
        step = max(1, _AT_ONCE // size)
        parts = [points[start : start + step] for start in range(0, len(points), step)]
        length = (centres**2).sum(axis=1)
        nearest = np.concatenate([(length - 2 * (part @ centres.T)).argmin(axis=1) for part in parts])
        if (nearest == before).all():
            break
        before = nearest
        for cluster in np.unique(nearest):
            centres[cluster] = points[nearest == cluster].mean(axis=0)
    return centres, float(((points - centres[nearest]) ** 2).sum())


def _nearest(points: Floats, one: Floats, size: int) -> Integers:
    """Positions of the points nearest to one, nearest first; equal points only where there are not enough others."""
    apart = ((points - one) ** 2).sum(axis=1)
    order = np.lexsort((apart, apart <= 1e-12))
    return order[:size].astype(np.int64)
