"""How far two samples of one variable lie apart, each with the p-value of there being no difference.

PSI: Yurdakul and Naranjo, Statistical properties of the population stability index, 2020: without drift it follows
(1/n + 1/m) times a chi-square with one degree of freedom fewer than there are cells.
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from pgx_compiler.methods.precaution._significance import chi_square_tail
from runtimes.capabilities import Floats, Integers

FEWEST_IN_CELL = 5
PSEUDO_COUNT = 0.5
"""Jeffreys' prior: an empty cell has a small share, not an infinite logarithm."""
TRIM = 0.01
NORMAL_IQR = 2 * NormalDist().inv_cdf(0.75)


@dataclass(frozen=True)
class Divergence:
    """One comparison of two samples."""

    value: float
    p: float
    in_sd: float | None
    """The shift of a normal variable's mean, in standard deviations, that would give the same value."""


def psi_of_counts(train: Floats | Integers, test: Floats | Integers) -> Divergence:
    """Population stability index of counts in the same cells; cells with too few rows are joined into one."""
    counts = _join_rare(np.stack([train, test]).astype(np.float64))
    n, m = counts.sum(axis=1)
    cells = counts.shape[1]
    if cells < 2 or min(n, m) == 0:
        return Divergence(0.0, 1.0, 0.0)
    share = (counts + PSEUDO_COUNT) / (counts.sum(axis=1, keepdims=True) + PSEUDO_COUNT * cells)
    value = float(((share[0] - share[1]) * np.log(share[0] / share[1])).sum())
    return Divergence(value, chi_square_tail(value / (1 / n + 1 / m), cells - 1), float(np.sqrt(value)))


def _join_rare(counts: Floats) -> Floats:
    """Pool the cells whose expected count without drift is below `FEWEST_IN_CELL` in either sample."""
    total = counts.sum()
    if total == 0:
        return counts
    expected = counts.sum(axis=0) * counts.sum(axis=1).min() / total
    rare = expected < FEWEST_IN_CELL
    joined = np.concatenate([counts[:, ~rare], counts[:, rare].sum(axis=1, keepdims=True)], axis=1)
    return joined[:, joined.sum(axis=0) > 0]


def psi(train: Floats, test: Floats, bins: int = 10) -> Divergence:
    """PSI over quantile bins of the training values; values beyond them fall into the outer bins."""
    edges = np.unique(np.quantile(train, np.linspace(0, 1, bins + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, s), minlength=len(edges) + 1) for s in (train, test)]
    if (counts[0] > 0).sum() < 2:  # nearly all training values are equal: that value against all others
        usual = np.median(train)
        counts = [np.array([(s < usual).sum(), (s == usual).sum(), (s > usual).sum()]) for s in (train, test)]
    return psi_of_counts(counts[0], counts[1])


def ks(train: Floats, test: Floats) -> Divergence:
    """Kolmogorov-Smirnov distance: the largest gap between the two cumulative distributions."""
    from scipy.special import kolmogorov

    n, m = len(train), len(test)
    first, second = np.sort(train), np.sort(test)
    grid = np.concatenate([first, second])
    below = (np.searchsorted(s, grid, side="right") / len(s) for s in (first, second))
    value = float(np.abs(np.subtract(*below)).max())
    # The limiting distribution: from a hundred rows on it errs on the side of no finding.
    p = float(kolmogorov(np.sqrt(n * m / (n + m)) * value))
    in_sd = 2 * NormalDist().inv_cdf(min((value + 1) / 2, 1 - 1e-12))
    return Divergence(value, p, in_sd)


def wasserstein(train: Floats, test: Floats) -> Divergence:
    """Mean distance of the two quantile functions from 1 to 99 %, in interquartile ranges of the training values.

    Trimmed, because a single absurd value otherwise decides it. Its p-value is that of the Kolmogorov-Smirnov test,
    which has the same null hypothesis and a known distribution.
    """
    low, high = np.quantile(train, [0.25, 0.75])
    p = ks(train, test).p
    scale = float(high - low)
    if scale == 0:  # more than half of the values are equal: no interquartile range; the full spread must do
        scale = float(np.quantile(train, 1 - TRIM) - np.quantile(train, TRIM)) or float(np.ptp(train))
    levels = np.linspace(TRIM, 1 - TRIM, 981)
    gap = float(np.abs(np.quantile(train, levels) - np.quantile(test, levels)).mean())
    if scale == 0:  # a constant: any other value is as far as can be said
        return Divergence(1.0 if gap > 0 else 0.0, p, None)
    return Divergence(gap / scale, p, gap / scale * NORMAL_IQR)
