"""Which values of an explanation are the same but for rounding; for whatever ranks them.

Two explanations that are the same in exact arithmetic differ in their last bits where they sum in another order, and a feature
that does nothing is given 0 by one and 3e-17 by the other. Order and sign of such numbers say nothing.
"""

import numpy as np

from runtimes.capabilities import Floats

ROUNDING = 1e-9
"""Share of the largest magnitude of a row within which values are equal (own choice). Sums in float64 of a few million scores err
by up to about 1e-13 of the scores, which may well be a thousand times as large as what is shared out of them. It is
little beside the 6e-8 to which a model tells its scores in float32: what such a model shows in a score is not lost."""


def levelled(values: Floats, within: Floats | None = None) -> Floats:
    """The values ``(rows, features)``, those of a row that rounding alone keeps apart being made the same.

    In their order, each that is no farther from the one before it than rounding goes is equal to it: so that "equal" holds
    from one to the next, and does not depend on where the features stand. All take the least value among them. NaN stays.

    Args:
        values: to be ranked row by row.
        within: how far rounding goes, ``(rows, features)`` (of two values the farther of both counts) or ``(rows, 1)``; left
            out: by the largest of each row.
    """
    order = np.argsort(values, axis=1, kind="stable")
    ascending = np.take_along_axis(np.asarray(values, np.float64), order, axis=1)
    reach = np.broadcast_to(rounding(values) if within is None else within, ascending.shape)
    reach = np.take_along_axis(reach, order, axis=1)
    begins = np.ones(ascending.shape, bool)
    with np.errstate(invalid="ignore"):  # infinities, of which two of the same sign are equal
        apart = ~(np.diff(ascending, axis=1) <= np.maximum(reach[:, 1:], reach[:, :-1]))
        begins[:, 1:] = apart & (ascending[:, 1:] != ascending[:, :-1])
    first = np.maximum.accumulate(np.where(begins, np.arange(values.shape[1]), 0), axis=1)
    level = np.empty_like(ascending)
    np.put_along_axis(level, order, np.take_along_axis(ascending, first, axis=1), axis=1)
    return level


def without_noise(values: Floats, within: Floats | None = None) -> Floats:
    """The values ``(rows, features)``, those that rounding alone keeps from 0 being 0: they have no sign.

    ``within`` says how far rounding goes, as `levelled` takes it.
    """
    return np.where(np.abs(values) <= (rounding(values) if within is None else within), 0.0, values)


def rounding(values: Floats) -> Floats:
    """``(rows, 1)``: how far rounding goes, by the largest finite magnitude of each row."""
    size = np.abs(np.asarray(values, np.float64))
    return np.asarray(ROUNDING * np.where(np.isfinite(size), size, 0.0).max(axis=1, keepdims=True), np.float64)
