"""Sampling until a requested precision is reached, or the budget spent: when to look, and what counts as reached.

The standard error of *every* value of a row has to be small enough, so that each can be read by itself; a mean would let
one rough value hide among many that are zero. It is measured against the larger of two sizes: the difference that the
values share out, |score - base|, and the largest value. The first alone vanishes in rows whose values cancel, and no
number of samples would do; the second alone asks too much where many small values share the difference.
"""

from collections.abc import Mapping
from typing import Annotated, Final

import numpy as np
from pydantic import Field

from pgx_compiler.methods.declaration import Quantity
from runtimes.capabilities import Floats

Precision = Annotated[float, Field(gt=0.0, lt=1.0)] | None

QUANTITIES: Final[Mapping[str, Quantity]] = {
    "samples": Quantity("Coalitions asked for one row", "coalitions", "mean", "lower"),
    "converged": Quantity("Rows that met the precision asked for", "share", "mean", "higher"),
}

FIRST_LOOK = 64
"""Pairs of coalitions before the first look (own default): an error estimated from fewer is too rough to stop on."""

MOST_GROWTH = 2.0
"""A look asks for at most this many times what has been asked, since the error it plans with is an estimate itself."""

LEAST_GROWTH = 1.25
"""And for at least this many times: each look can stop too early by luck, so that there should be few."""


def excess(values: Floats, error: Floats, total: Floats, precision: float) -> float:
    """The largest standard error over what is allowed, over all outputs."""
    size = np.maximum(np.abs(total), np.abs(values).max(axis=0))
    largest = error.max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(largest > 0, largest / (precision * size), 0.0)
    return float(ratio.max())


def next_look(asked: int, over: float, budget: int) -> int:
    """How much to have asked at the next look: the error falls with the root of it, and a tenth is added for luck."""
    wanted = asked * min(max(1.1 * over**2, LEAST_GROWTH), MOST_GROWTH)
    return min(budget, max(asked + 1, round(wanted)))


def notes(samples: float, precision: float | None, converged: bool) -> dict[str, float]:
    """What a sampled row says of its sampling; whether it converged only where a precision was asked for."""
    said = {"samples": float(samples)}
    return said if precision is None else {**said, "converged": float(converged)}
