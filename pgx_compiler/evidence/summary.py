"""From one number a row to the numbers that a factsheet prints, with bootstrap intervals."""

from typing import Any

import numpy as np

from runtimes.capabilities import Floats

RESAMPLES = 2000
"""Bootstrap resamples; the 95 % interval's ends then vary by about 1 % of its width (own choice)."""

_SEED = 20260401
"""Of the resampling alone: the same rows give the same interval, whatever the audit's seed."""


_DRAWN_AT_ONCE = 4_000_000
"""Numbers: 32 MB. All resamples of 200,000 rows together would be 3 GB."""


def _resamples_at_once(rows: int) -> list[int]:
    """`RESAMPLES` in parts that fit `_DRAWN_AT_ONCE`; the generator goes on from part to part, so the draws are the same."""
    most = max(1, _DRAWN_AT_ONCE // rows)
    return [min(most, RESAMPLES - start) for start in range(0, RESAMPLES, most)]


def bootstrap_interval(values: Floats, statistic: str = "median") -> tuple[float, float] | None:
    """95 % percentile bootstrap interval of a statistic over rows (axis 0); None below two rows."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return None
    rng = np.random.default_rng(_SEED)
    centre = np.median if statistic == "median" else np.mean
    parts = [
        centre(known[rng.integers(0, len(known), (count, len(known)))], axis=1)
        for count in _resamples_at_once(len(known))
    ]
    centres = np.concatenate(parts)
    low, high = np.quantile(centres, [0.025, 0.975])
    return float(low), float(high)


def column_intervals(table: Floats) -> list[tuple[float, float]] | None:
    """95 % bootstrap interval of each column's mean, ``(rows, columns)``; None below two rows."""
    if len(table) < 2:
        return None
    rng = np.random.default_rng(_SEED)
    even = np.full(len(table), 1 / len(table))
    means = np.concatenate(
        [rng.multinomial(len(table), even, count) @ table / len(table) for count in _resamples_at_once(len(table))]
    )
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]


def summarise(values: Floats) -> dict[str, Any]:
    """Median, mean, extremes and intervals of the defined rows; None where there are none."""
    known = values[np.isfinite(values)]
    if not len(known):
        return {"n": 0, "median": None, "mean": None, "min": None, "max": None}
    return {
        "n": len(known),
        "median": float(np.median(known)),
        "mean": float(known.mean()),
        "min": float(known.min()),
        "max": float(known.max()),
        "median_interval": bootstrap_interval(known, "median"),
        "mean_interval": bootstrap_interval(known, "mean"),
    }


def wilson_interval(successes: int, n: int, z: float = 1.959964) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a share (Wilson, 1927); None without rows."""
    if n == 0:
        return None
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))
