"""Weighted least squares on masks that are centred, solved in double precision at the price of single.

The matrix of such a regression takes most of its time, and so do the products with it that standard errors need. Where the
matrix is well-conditioned it is computed in single precision, and the solution is then corrected with residuals in double
precision until nothing is left to correct (iterative refinement: Wilkinson, 1963; with mixed precision: Higham & Mary, 2022).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.methods.perturbation._positive_matrix import inverse_of
from pgx_compiler.modalities.game import Masks
from runtimes.capabilities import Floats

SINGLE_UP_TO = 100.0
"""Largest diagonal of a matrix times that of its inverse, 1 where the columns are uncorrelated, up to which single precision
is used: a standard error then keeps four to five digits, and one correction leaves twelve of a solution."""

FEW = 2**15
"""Numbers of a design up to which double precision takes no time that would count."""

ENOUGH = 3e-6
"""Largest correction, over the largest coefficient, after which another would be below its square, 1e-11."""

MOST_CORRECTIONS = 4
"""Far more than a well-conditioned matrix needs; if they do not suffice, all is done in double precision."""


Precision = type[np.float32] | type[np.float64]


class Design(Protocol):
    """The matrix of a regression."""

    @property
    def masks(self) -> Masks:
        """``(n, features)``."""
        ...

    @property
    def blocks(self) -> Sequence[slice]:
        """The masks a few at a time."""
        ...

    def rows(self, part: slice, dtype: Precision) -> NDArray[Any]:
        """What products are made of, for some masks, ``(rows, features)``."""
        ...

    def gram(self, rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """The matrix' product with itself, from its rows in all blocks, ``(features, features)``."""
        ...

    def times(self, coefficients: Floats) -> Floats:
        """The product with ``(features, k)``, in double precision: ``(n, k)``."""
        ...

    def transposed(self, values: Floats) -> Floats:
        """The product of the transposed with ``(n, k)``, in double precision: ``(features, k)``."""
        ...


@dataclass(frozen=True)
class CentredMasks:
    """Rows root * (mask - centre), a few at a time."""

    masks: Masks
    """``(n, features)``."""
    centre: Floats
    """``(1, features)``, the same for all rows, or ``(n, 1)``, one for each: of two features or more."""
    root: Floats
    """``(n, 1)``: square roots of weights."""
    blocks: Sequence[slice]

    def rows(self, part: slice, dtype: Precision) -> NDArray[Any]:
        """Some rows, ``(rows, features)``."""
        held: NDArray[Any] = np.subtract(self.masks[part], self._centre(part).astype(dtype), dtype=dtype)
        held *= self.root[part].astype(dtype)
        return held

    def gram(self, rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Rows' rows, ``(features, features)``."""
        total: NDArray[Any] = rows[0].T @ rows[0]
        for held in rows[1:]:
            total += held.T @ held
        return total

    def times(self, coefficients: Floats) -> Floats:
        """The product with ``(features, k)``, in double precision: ``(n, k)``."""
        found = np.empty((len(self.masks), coefficients.shape[1]))
        for part in self.blocks:
            of_centre = (
                self._centre(part) @ coefficients if self._common else self._centre(part) * coefficients.sum(axis=0)
            )
            found[part] = self.root[part] * (self.masks[part] @ coefficients - of_centre)
        return found

    def transposed(self, values: Floats) -> Floats:
        """The product of the transposed with ``(n, k)``, in double precision: ``(features, k)``."""
        found = np.zeros((self.masks.shape[1], values.shape[1]))
        for part in self.blocks:
            weighted = self.root[part] * values[part]
            found += (
                weighted.T @ self.masks[part]
            ).T  # masks are turned into numbers on the way: not the transposed ones
            centre = self._centre(part)
            found -= centre.T @ weighted.sum(axis=0, keepdims=True) if self._common else (centre * weighted).sum(axis=0)
        return found

    @property
    def _common(self) -> bool:
        return bool(self.centre.shape[1] == self.masks.shape[1])

    def _centre(self, part: slice) -> Floats:
        return self.centre if self._common else self.centre[part]


@dataclass(frozen=True)
class Solution:
    """Coefficients, and what standard errors are made of."""

    coefficients: Floats
    """``(features, k)``."""
    missed: Floats
    """``(n, k)``: response less fit, as weighted as the rows are."""
    inverse: NDArray[Any]
    """``(features, features)`` of the matrix with what was added, in the precision of `rows`."""
    rows: Sequence[NDArray[Any]]
    """The rows block by block; in single precision where that does no harm."""


def solve(design: Design, response: Floats, added: Callable[[Floats], Floats]) -> Solution:
    """Minimise |response - rows @ coefficients|^2 plus a quadratic form of the coefficients.

    Args:
        design: the rows.
        response: ``(n, k)``, weighted as the rows are.
        added: makes of the matrix rows' rows what is added to it, ``(features, features)``: a penalty.
    """
    if design.masks.size > FEW:
        found = _in_single(design, response, added)
        if found is not None:
            return found
    rows = [design.rows(part, np.float64) for part in design.blocks]
    gram = design.gram(rows)
    inverse = inverse_of(gram + added(gram))
    coefficients = inverse @ design.transposed(response)
    return Solution(coefficients, response - design.times(coefficients), inverse, rows)


def _in_single(design: Design, response: Floats, added: Callable[[Floats], Floats]) -> Solution | None:
    rows = [design.rows(part, np.float32) for part in design.blocks]
    gram = design.gram(rows).astype(np.float64)
    more = added(gram)
    whole = gram + more
    inverse = inverse_of(whole)
    if float(np.diag(whole).max()) * float(np.abs(np.diag(inverse)).max()) >= SINGLE_UP_TO:
        return None
    coefficients: Floats = inverse @ design.transposed(response)
    for _ in range(MOST_CORRECTIONS):
        missed = response - design.times(coefficients)
        step = inverse @ (design.transposed(missed) - more @ coefficients)
        coefficients = coefficients + step
        if np.all(np.abs(step).max(axis=0) <= ENOUGH * np.abs(coefficients).max(axis=0)):
            missed = response - design.times(coefficients)
            return Solution(coefficients, missed, inverse.astype(np.float32), rows)
    return None
