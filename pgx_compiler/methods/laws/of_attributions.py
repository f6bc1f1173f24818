"""What attributions promise: that they add up, and that they say nothing of what the model does not read."""

from collections.abc import Sequence

import numpy as np

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.declaration import Declaration
from pgx_compiler.methods.laws.bench import STANDARD_ERRORS, Bench, beyond, contributions, error_of, explained, size_of


def completeness(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """The values of a row add up to its score minus the mean score of its references (efficiency)."""
    found = explained(declaration, bench, seed)
    gap = np.abs(found.values.sum(axis=1) - (found.scores - found.base_values))
    return beyond(gap, 1e-4 * size_of(found), "values do not add up to the difference")


def null_feature(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """A feature that the model does not read gets zero."""
    if not bench.ignored:
        return None
    found = explained(declaration, bench, seed)
    ignored = list(bench.ignored)
    allowed = 1e-9 * size_of(found) + STANDARD_ERRORS * error_of(found)[:, ignored]
    return beyond(np.abs(found.values[:, ignored]), allowed, "an ignored feature has a value")


def symmetry(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Two features that the model treats alike, with equal values, get the same."""
    if not bench.symmetric:
        return None
    found = explained(declaration, bench, seed)
    one, other = (list(side) for side in zip(*bench.symmetric, strict=True))
    error = np.hypot(error_of(found)[:, one], error_of(found)[:, other])
    apart = np.abs(found.values[:, one] - found.values[:, other])
    return beyond(apart, 1e-6 * size_of(found) + STANDARD_ERRORS * error, "equal features have different values")


def linearity(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """The values for a weighted sum of models are the weighted sum of their values, drawn with the same generator."""
    if not bench.parts:
        return None
    whole = explained(declaration, bench, seed)
    params = declaration.params()
    parts = [weight * attribute(declaration, model, bench.rows, params, seed).values for weight, model in bench.parts]
    return beyond(np.abs(whole.values - np.sum(parts, axis=0)), 1e-7 * size_of(whole), "values are not linear")


def completeness_in_expectation(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """As completeness, but for sampling error; of a row's sum it is told as ``sum_error``."""
    found = explained(declaration, bench, seed)
    gap = np.abs(found.values.sum(axis=1) - (found.scores - found.base_values))
    allowed = 1e-6 * size_of(found) + STANDARD_ERRORS * found.notes["sum_error"]
    return beyond(gap, allowed, "values do not add up to the difference")


def completeness_of_its_own(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """The values of a row add up to a difference of scores that the method tells, as ``difference``."""
    found = explained(declaration, bench, seed)
    gap = np.abs(found.values.sum(axis=1) - found.notes["difference"])
    return beyond(gap, 1e-4 * size_of(found), "values do not add up to the difference that is told")


def additive_contributions(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where features do not interact, each gets what it alone adds, but for sampling error and a penalty of 2 %."""
    if not bench.additive:
        return None
    found = explained(declaration, bench, seed)
    apart = np.abs(found.values - contributions(bench))
    return beyond(apart, 0.02 * size_of(found) + STANDARD_ERRORS * error_of(found), "values are not what features add")


def variance_shares(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where features do not interact, each gets its share in the sum of the squares of what they add."""
    if not bench.additive:
        return None
    found = explained(declaration, bench, seed)
    squares = contributions(bench) ** 2
    shares = squares / squares.sum(axis=1, keepdims=True)
    return beyond(
        np.abs(found.values - shares), 1e-6 + STANDARD_ERRORS * error_of(found), "values are no shares of variance"
    )
