"""The statistical policy that all precaution methods share: three gates, false discovery rate, intervals."""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Literal

import numpy as np

from pgx_compiler.methods.precaution._thresholds import threshold
from runtimes.capabilities import Floats

Verdict = Literal["finding", "unknown", "none"]


def judge(exceeds: bool, q: float, n: float, n_min: float) -> Verdict:
    """Pass one comparison through the three gates: enough rows, an effect, significance.

    Args:
        exceeds: the effect lies beyond its threshold.
        q: p-value after correction for the number of tests.
        n: rows that the comparison rests on.
        n_min: rows below which it says nothing.

    Returns:
        ``unknown`` where the rows are too few, or where the effect is seen but may be chance; never a silent pass.
    """
    if n < n_min:
        return "unknown"
    if not exceeds:
        return "none"
    return "finding" if q < threshold("false_discovery_rate") else "unknown"


def benjamini_hochberg(p_values: Sequence[float] | Floats) -> Floats:
    """Adjust p-values for the false discovery rate (Benjamini and Hochberg 1995); NaN stays NaN and is not counted."""
    p = np.asarray(p_values, np.float64)
    q = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    if not len(tested):
        return q
    order = tested[np.argsort(p[tested], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    q[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return q


def normal_quantile(confidence: float = 0.95, comparisons: int = 1) -> float:
    """Normal quantile of a two-sided interval, wider (Bonferroni) where it is picked among several comparisons."""
    return NormalDist().inv_cdf(1 - (1 - confidence) / 2 / max(1, comparisons))


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share (1927); (0, 1) where there are no rows."""
    if n <= 0:
        return 0.0, 1.0
    z = normal_quantile(confidence)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low, high = float(centre - half), float(centre + half)
    return (0.0 if successes == 0 else max(0.0, low)), (1.0 if successes == n else min(1.0, high))


def ratio_interval(
    successes: tuple[float, float], n: tuple[float, float], comparisons: int = 1
) -> tuple[float, float] | None:
    """Interval of a ratio of two shares by the delta method on its logarithm; None where a count is zero."""
    (a, b), (n_a, n_b) = successes, n
    if min(a, b) <= 0:
        return None
    spread = normal_quantile(comparisons=comparisons) * np.sqrt(1 / a - 1 / n_a + 1 / b - 1 / n_b)
    ratio = (a / n_a) / (b / n_b)
    return float(ratio * np.exp(-spread)), float(ratio * np.exp(spread))


def chi_square_tail(statistic: float, degrees: float) -> float:
    """P(chi-square with `degrees` of freedom is at least `statistic`); 1 without any degree of freedom."""
    from scipy.special import chdtrc

    return float(chdtrc(degrees, max(statistic, 0.0))) if degrees > 0 else 1.0


def homogeneity(counts: Floats) -> float:
    """P-value of Pearson's chi-square test that the rows of a table of counts share one distribution."""
    counts = np.asarray(counts, np.float64)
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape, default=0) < 2:
        return 1.0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    statistic = float(((counts - expected) ** 2 / expected).sum())
    return chi_square_tail(statistic, (counts.shape[0] - 1) * (counts.shape[1] - 1))


def binomial_tail(successes: int, n: int, share: float) -> float:
    """P(at least `successes` of `n`) where each happens with probability `share`."""
    from scipy.special import bdtrc

    return 1.0 if successes <= 0 else float(bdtrc(successes - 1, n, share))
