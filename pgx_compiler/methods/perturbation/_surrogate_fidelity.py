"""How well a global surrogate stands in for the model."""

import numpy as np

from pgx_compiler.evidence.summary import wilson_interval
from runtimes.capabilities import Floats

FIDELITY_WANTED = 0.5
"""Share of the variance below which a surrogate is said not to follow the model (own default, as for local surrogates)."""

_RESAMPLES = 500
_SEED = 20260401
"""Of the bootstrap alone: the same rows give the same interval, whatever the audit's seed."""


def fidelity(truth: Floats, told: Floats) -> tuple[float | None, tuple[float, float] | None]:
    """R² over all outputs together, ``(rows, outputs)`` each, with a 95 % bootstrap interval over rows.

    None where the model gives every row the same score: there is nothing to follow.
    """
    value = _r_squared(truth, told)
    if value is None or len(truth) < 3:
        return value, None
    rng = np.random.default_rng(_SEED)
    drawn = [rng.integers(0, len(truth), len(truth)) for _ in range(_RESAMPLES)]
    found = [one for rows in drawn if (one := _r_squared(truth[rows], told[rows])) is not None]
    if not found:
        return value, None
    low, high = np.quantile(found, [0.025, 0.975])
    return value, (float(low), float(high))


def _r_squared(truth: Floats, told: Floats) -> float | None:
    total = float(((truth - truth.mean(axis=0)) ** 2).sum())
    if total <= 1e-18 * max(1.0, float((truth**2).sum())):
        return None
    return 1.0 - float(((truth - told) ** 2).sum()) / total


def same_answer(truth: Floats, told: Floats) -> tuple[float, tuple[float, float] | None]:
    """Share of rows with the same highest output, with Wilson's interval."""
    same = int((truth.argmax(axis=1) == told.argmax(axis=1)).sum())
    return same / len(truth), wilson_interval(same, len(truth))
