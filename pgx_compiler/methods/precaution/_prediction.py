"""How well one thing can be told from others: cross-validated AUC, with its interval and p-value."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.methods.precaution._significance import normal_quantile
from pgx_compiler.modalities.data import Variable
from runtimes.capabilities import Floats, Integers

FOLDS = 2
"""Halves: what one half teaches is tried on the other, whose labels it has not seen, so that the rank-sum test holds.

More folds would share rows between fits, and the pooled test then raises four times too many false alarms.
"""
BINS = 20
MOST_ROWS = 20_000
MOST_CATEGORIES = 255


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve: chance that a row of the group scores above a row outside it."""

    value: float
    interval: tuple[float, float]
    p: float
    """One-sided p-value against 0.5."""


def auc(scores: Floats, positive: NDArray[np.bool_]) -> Auc:
    """AUC with DeLong's standard error (1988) and the rank-sum test's p-value."""
    from scipy.stats import rankdata

    m, n = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores)
    above = (ranks[positive] - rankdata(scores[positive])) / n
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / m
    value = float(above.mean())
    error = np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n) if min(m, n) > 1 else 0.5
    half = normal_quantile() * float(error)
    z = (value - 0.5) / np.sqrt((m + n + 1) / (12 * m * n))
    return Auc(value, (max(0.0, value - half), min(1.0, value + half)), 1 - NormalDist().cdf(float(z)))


def mean_auc(scores: Floats, groups: Integers, fold: Integers) -> Auc:
    """Mean over the halves, and over the groups, of each group's AUC against all others; two groups have one AUC.

    Args:
        scores: ``(rows, groups)``, each half's from what the other half teaches.
        groups: ``(rows,)``.
        fold: ``(rows,)``, the half of each row.
    """
    present = [g for g in range(scores.shape[1]) if (groups == g).any()]
    asked = present[1:] if len(present) == 2 else present
    each = [auc(scores[fold == f, g], groups[fold == f] == g) for f in range(FOLDS) for g in asked]
    value = float(np.mean([a.value for a in each]))
    # The groups' AUCs share their rows: their mean width holds without assuming independence. The halves share none.
    half = float(np.mean([a.interval[1] - a.interval[0] for a in each])) / 2 / float(np.sqrt(FOLDS))
    # Bonferroni: the least p-value times their number is valid whatever their dependence.
    p = min(1.0, min(a.p for a in each) * len(each))
    return Auc(value, (max(0.0, value - half), min(1.0, value + half)), p)


def folds_of(groups: Integers, rng: np.random.Generator) -> Integers:
    """A half for each row, every group spread evenly over both."""
    fold = np.empty(len(groups), np.int64)
    start = 0
    for group in np.unique(groups):
        rows = rng.permutation(np.flatnonzero(groups == group))
        fold[rows] = (start + np.arange(len(rows))) % FOLDS
        start += len(rows)
    return fold


def cells(variable: Variable) -> Integers:
    """Each training row's cell: its category, or its quantile bin; missing is a cell of its own (the last)."""
    if variable.kind == "categorical":
        return np.where(variable.train < 0, len(variable.categories), variable.train).astype(np.int64)
    values = np.asarray(variable.train, np.float64)
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, BINS + 1)[1:-1]))
    cell = np.searchsorted(edges, values)
    cell[~known] = len(edges) + 1
    return cell.astype(np.int64)


def scores_from_one(variable: Variable, groups: Integers, fold: Integers) -> Floats:
    """Out-of-fold group shares of each row's cell, ``(rows, groups)``: a one-variable tree without a model."""
    cell = cells(variable)
    n_groups, n_cells = int(groups.max()) + 1, int(cell.max()) + 1
    scores = np.empty((len(groups), n_groups))
    for held_out in range(FOLDS):
        seen = fold != held_out
        counts = np.zeros((n_cells, n_groups))
        np.add.at(counts, (cell[seen], groups[seen]), 1.0)
        prior = counts.sum(axis=0) / max(1.0, counts.sum())
        shares = (counts + 2 * prior) / (counts.sum(axis=1, keepdims=True) + 2)
        scores[~seen] = shares[cell[~seen]]
    return scores


def scores_from_all(
    variables: Sequence[Variable], groups: Integers, fold: Integers, rng: np.random.Generator
) -> Floats:
    """Out-of-fold probabilities of gradient boosting on all variables together, ``(rows, groups)``."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits

    columns, categorical = [], []
    for variable in variables:
        values = np.asarray(variable.train, np.float64)
        coded = variable.kind == "categorical"
        columns.append(np.where(values < 0, np.nan, values) if coded else np.where(np.isinf(values), np.nan, values))
        categorical.append(coded and len(variable.categories) <= MOST_CATEGORIES)
    table = np.stack(columns, axis=1)
    scores = np.zeros((len(groups), int(groups.max()) + 1))
    for held_out in range(FOLDS):
        seen = fold != held_out
        model: Any = HistGradientBoostingClassifier(
            max_iter=40,
            max_leaf_nodes=15,
            early_stopping=False,
            categorical_features=categorical,
            random_state=int(rng.integers(2**31)),
        )
        # One thread: the same numbers everywhere, and no threads spinning for each other on a busy machine.
        with threadpool_limits(1):
            model.fit(table[seen], groups[seen])
            probabilities = model.predict_proba(table[~seen])
        scores[np.ix_(~seen, np.asarray(model.classes_, np.int64))] = probabilities
    return scores
