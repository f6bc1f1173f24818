"""How far two rows of a table are from one another, feature by feature, and what is usual among training rows."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Floats

Scaling = Literal["mad", "range"]
"""``mad``: differences of a scale count in median absolute deviations of the training data (Wachter 2017); ``range``: as
shares of its range (Gower 1971). A category that differs counts 1, and so does a value that one of the two lacks."""

USUAL = 0.95
"""Share of the training rows whose nearest neighbour is nearer than what is called usual (own choice)."""


@dataclass(frozen=True)
class Metric:
    """Differences of rows, each feature in a unit of its own."""

    scales: Floats
    """``(features,)``: what counts as 1; 1 where values are only equal or different."""
    is_scale: NDArray[np.bool_]
    """``(features,)``."""

    def differences(self, one: Floats, other: Floats) -> Floats:
        """``(..., features)``, none negative."""
        apart = np.where(self.is_scale, np.abs(one - other) / self.scales, one != other)
        gone, missing = np.isnan(one), np.isnan(other)
        return np.where(gone | missing, gone != missing, apart).astype(np.float64)


@dataclass(frozen=True)
class Neighbourhood:
    """Training rows, to judge whether a row made up lies among them."""

    metric: Metric
    z: Floats
    """``(rows, features)``."""
    usual: float
    """How far 95 of 100 of these rows have their nearest neighbour at most (sum of differences)."""

    def nearest(self, z: Floats) -> Floats:
        """The distance of each row to the nearest of these, ``(rows,)``."""
        return np.asarray(_distances(self.metric, z, self.z).min(axis=1))


def metric_of(z: Floats, is_scale: NDArray[np.bool_], scaling: Scaling) -> Metric:
    """The metric of training rows. Where the median absolute deviation is 0, the standard deviation stands for it."""
    scales = np.ones(z.shape[1])
    for feature in np.flatnonzero(is_scale):
        known = z[np.isfinite(z[:, feature]), feature]
        if len(known):
            spread = np.median(np.abs(known - np.median(known))) or known.std()
            scales[feature] = (np.ptp(known) if scaling == "range" else spread) or 1.0
    return Metric(scales, is_scale)


def neighbourhood_of(z: Floats, metric: Metric) -> Neighbourhood:
    """Rows with the distance that is usual between neighbours."""
    apart = _distances(metric, z, z)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(axis=1) if len(z) > 1 else np.zeros(1)
    return Neighbourhood(metric, z, float(np.quantile(nearest, USUAL)))


def _distances(metric: Metric, one: Floats, other: Floats) -> Floats:
    """Sums of differences ``(rows, other rows)``, one feature at a time: all at once would not fit."""
    total = np.zeros((len(one), len(other)))
    for feature in range(one.shape[1]):
        part = Metric(metric.scales[feature : feature + 1], metric.is_scale[feature : feature + 1])
        total += part.differences(one[:, None, feature, None], other[None, :, feature, None])[..., 0]
    return total
