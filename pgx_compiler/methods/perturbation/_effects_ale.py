"""The sums of accumulated local effects (Apley & Zhu, 2020, equations 15 to 20), apart from who asks the model."""

from dataclasses import dataclass

import numpy as np

from pgx_compiler.modalities.table import TableFeature
from runtimes.capabilities import Floats, Integers

FEWEST_IN_A_BIN = 4
"""Rows that a bin holds at least, on average (Alibi's ``min_bin_points``)."""


def edges_of(known: Floats, bins: int) -> Floats:
    """Edges of bins that hold about as many rows each: observed values, distinct, the extremes among them."""
    bins = max(1, min(bins, len(known) // FEWEST_IN_A_BIN))
    return np.unique(np.quantile(known, np.linspace(0, 1, bins + 1), method="inverted_cdf"))


def bins_of(values: Floats, edges: Floats) -> Integers:
    """The bin of each value: those above an edge and up to the next one; the least edge belongs to the first bin."""
    return np.clip(np.searchsorted(edges, values, side="left") - 1, 0, max(len(edges) - 2, 0)).astype(np.int64)


@dataclass(frozen=True)
class Steps:
    """The local differences of one feature: what moving a row from one point to the next changes."""

    points: Floats
    """``(points,)``: bin edges, or categories in order."""
    step: Integers
    """``(differences,)``: between which points, by the first one's position."""
    row: Integers
    """``(differences,)``: of which row."""
    change: Floats
    """``(differences, outputs)``."""
    mass: Floats
    """``(rows, points)``: where each row lies, for centring: half at either edge of its bin, or at its category."""


def accumulated(steps: Steps, weights: Floats) -> Floats:
    """The centred effect at each point for each vector of row weights: ``(weights, points, outputs)``.

    A step that none of the rows drawn has, as happens in a resample, keeps the mean change of all rows.
    """
    between = len(steps.points) - 1
    outputs = steps.change.shape[1]
    if between < 1:
        return np.zeros((len(weights), len(steps.points), outputs))
    member = np.zeros((len(steps.step), between))
    member[np.arange(len(steps.step)), steps.step] = 1.0
    drawn = weights[:, steps.row]
    count = drawn @ member
    whole = member.sum(axis=0)
    effects = np.zeros((len(weights), len(steps.points), outputs))
    for output in range(outputs):
        summed = drawn @ (member * steps.change[:, output, None])
        usual = (member * steps.change[:, output, None]).sum(axis=0) / np.maximum(whole, 1)
        mean = np.where(count > 0, summed / np.where(count > 0, count, 1.0), usual)
        effects[:, 1:, output] = np.cumsum(mean, axis=1)
    mass = weights @ steps.mass
    centre = np.einsum("bp,bpk->bk", mass, effects) / mass.sum(axis=1, keepdims=True)
    return np.asarray(effects - centre[:, None], np.float64)


def similarity_order(z: Floats, position: int, features: tuple[TableFeature, ...], categories: Floats) -> Floats:
    """Categories in the order of the first principal coordinate of how differently their rows look.

    As Apley and Zhu propose: the distance of two categories is summed over the other features, for scales the
    Kolmogorov-Smirnov distance, for others half the absolute differences of the shares; classical scaling to one line.
    """
    if len(categories) < 3:
        return categories
    apart = np.zeros((len(categories), len(categories)))
    for other, feature in enumerate(features):
        if other != position:
            apart += _apart(z[:, other], z[:, position], categories, feature.is_scale)
    centred = np.eye(len(categories)) - 1 / len(categories)
    _, vectors = np.linalg.eigh(-0.5 * centred @ apart**2 @ centred)
    first = vectors[:, -1]
    first = first * (1.0 if first[np.abs(first).argmax()] >= 0 else -1.0)  # an axis has no direction: fix one
    return np.asarray(categories[np.argsort(np.round(first, 12), kind="stable")], np.float64)


def _apart(values: Floats, held: Floats, categories: Floats, is_scale: bool) -> Floats:
    grid = np.unique(values[np.isfinite(values)])
    shares = np.zeros((len(categories), max(len(grid), 1)))
    for place, category in enumerate(categories):
        own = np.sort(values[(held == category) & np.isfinite(values)])
        if len(own):
            counts = np.searchsorted(own, grid, side="right") - np.searchsorted(own, grid, side="left")
            shares[place] = counts / len(own)
    if is_scale:
        cumulated = shares.cumsum(axis=1)
        return np.asarray(np.abs(cumulated[:, None] - cumulated[None]).max(axis=2), np.float64)
    return np.asarray(np.abs(shares[:, None] - shares[None]).sum(axis=2) / 2, np.float64)


def second_order(change: Floats, first: Integers, second: Integers, sizes: tuple[int, int]) -> tuple[Floats, Floats]:
    """The centred effect of a pair beyond both main effects, from each row's second difference in its cell.

    Args:
        change: ``(rows,)`` second differences over the row's own cell.
        first: bin of each row in the first feature.
        second: bin of each row in the second feature.
        sizes: number of bins of either.

    Returns:
        The effect at the corners of the cells ``(bins + 1, bins + 1)``, and the rows in each cell.
    """
    count, summed = np.zeros(sizes), np.zeros(sizes)
    np.add.at(count, (first, second), 1.0)
    np.add.at(summed, (first, second), change)
    mean = _filled(np.where(count > 0, summed / np.maximum(count, 1.0), np.nan))
    height = np.zeros((sizes[0] + 1, sizes[1] + 1))
    height[1:, 1:] = mean.cumsum(axis=0).cumsum(axis=1)
    along = [_main(height, count), _main(height.T, count.T)]
    height = height - along[0][:, None] - along[1][None]
    corners = (height[:-1, :-1] + height[1:, :-1] + height[:-1, 1:] + height[1:, 1:]) / 4
    return np.asarray(height - (corners * count).sum() / count.sum(), np.float64), count


def _main(height: Floats, count: Floats) -> Floats:
    """The first-order effect that a second-order sum still holds along axis 0: its mean steps over the rows, summed up."""
    step = np.diff(height, axis=0)
    middle = (step[:, :-1] + step[:, 1:]) / 2
    mean = (middle * count).sum(axis=1) / np.maximum(count.sum(axis=1), 1.0)
    return np.concatenate([[0.0], mean.cumsum()])


def _filled(mean: Floats) -> Floats:
    """Cells without rows take the value of the nearest cell that has some."""
    known = np.argwhere(np.isfinite(mean))
    out = mean.copy()
    for cell in np.argwhere(~np.isfinite(mean)):
        away = np.abs((known - cell) / np.array(mean.shape)).max(axis=1)
        out[tuple(cell)] = mean[tuple(known[away.argmin()])]
    return out
