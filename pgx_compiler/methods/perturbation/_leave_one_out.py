"""A kernel regression whose answers without any one of its rows are known in closed form, and the kernel of a forest.

With M the kernel matrix, the penalty on its diagonal, bordered by ones for the constant, the answer is k M⁻¹ y. Leaving out row i
takes its weight in the answer times its residual without itself off it, exactly (Cawley & Talbot, 2004).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pgx_compiler.methods.perturbation._positive_matrix import inverse_of
from pgx_compiler.methods.perturbation._surrogate_columns import Columns
from runtimes.capabilities import Floats, Integers

TREES = 200
"""Of the forest (own choice): the kernel of twice as many differs by less than its rows do."""

_SHARE_OF_COLUMNS = 0.5
"""Of those that a split may choose from (own choice), so that trees differ."""


@dataclass(frozen=True)
class ForestKernel:
    """How alike two rows are to a model: the share of trees of a forest, fitted to its scores, that put both in one leaf.

    This is the kernel of Breiman's proximity (2001), as in TREX (Brophy & Lowd, 2020), here of a forest that imitates the model.
    """

    columns: Columns
    forest: object
    leaves: Integers
    """``(training rows, trees)``."""

    def __call__(self, z: Floats) -> Floats:
        """``(rows, training rows)``."""
        return _shared_leaves(self._leaves(z), self.leaves)

    def _leaves(self, z: Floats) -> Integers:
        return np.asarray(self.forest.apply(self.columns.matrix(z)), np.int64)  # type: ignore[attr-defined]

    @cached_property
    def among(self) -> Floats:
        """Of the training rows with each other."""
        return _shared_leaves(self.leaves, self.leaves)


def forest_kernel(columns: Columns, z: Floats, scores: Floats, smallest_leaf: int, seed: int) -> ForestKernel:
    """Fit a forest to a model's scores of some rows, every output counting by its spread."""
    from sklearn.ensemble import RandomForestRegressor

    spread = scores.std(axis=0)
    told = (scores - scores.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    forest = RandomForestRegressor(
        TREES, min_samples_leaf=smallest_leaf, max_features=_SHARE_OF_COLUMNS, random_state=seed, n_jobs=1
    )
    matrix = columns.matrix(z)
    forest.fit(matrix, told if told.shape[1] > 1 else told[:, 0])
    return ForestKernel(columns, forest, np.asarray(forest.apply(matrix), np.int64))


def _shared_leaves(one: Integers, other: Integers) -> Floats:
    same = np.zeros((len(one), len(other)))
    for tree in range(one.shape[1]):
        same += one[:, tree, None] == other[None, :, tree]
    found: Floats = same / one.shape[1]
    return found


@dataclass(frozen=True)
class KernelRegression:
    """What is told of some rows, by those that are like them."""

    inverse: Floats
    """``(rows + 1, rows + 1)``: of the bordered matrix."""
    told: Floats
    """``(rows, outputs)``: what it has learned."""
    penalty: float

    @cached_property
    def coefficients(self) -> Floats:
        """``(rows + 1, outputs)``: of the rows, and the constant."""
        return self.inverse[:, :-1] @ self.told

    def answers(self, kernel: Floats) -> Floats:
        """Of rows with the given likeness to those learned from, ``(rows, outputs)``."""
        return _bordered(kernel) @ self.coefficients

    def weights(self, kernel: Floats) -> Floats:
        """How much each row learned from weighs in each answer ``(rows, rows learned from)``; they sum to 1."""
        return np.asarray((_bordered(kernel) @ self.inverse)[:, :-1], np.float64)

    @cached_property
    def surprises(self) -> Floats:
        """What was told of each row less what would be answered without it, ``(rows, outputs)``."""
        return self.coefficients[:-1] / np.diag(self.inverse)[:-1, None]


def _bordered(kernel: Floats) -> Floats:
    return np.concatenate([kernel, np.ones((len(kernel), 1))], axis=1)


def regress(kernel: Floats, told: Floats, penalty: float) -> KernelRegression:
    """Learn what is told of rows from those like them; the constant is free."""
    n = len(kernel)
    matrix = np.ones((n + 1, n + 1))
    matrix[:n, :n] = kernel + penalty * np.eye(n)
    matrix[n, n] = 0.0
    return KernelRegression(inverse_of(matrix), told, penalty)


def most_like(kernel: Floats, told: Floats, wanted: Floats, penalties: Sequence[float]) -> KernelRegression:
    """The regression whose answers without each row itself are nearest to what is wanted of that row."""

    def apart(one: KernelRegression) -> float:
        return float(((told - one.surprises - wanted) ** 2).sum())

    return min((regress(kernel, told, penalty) for penalty in penalties), key=apart)
