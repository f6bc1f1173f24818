"""HSIC of a score with each of many coins: unbiased, with standard errors and p-values, in time linear in the draws.

With signs s = +1 (kept) and -1 (removed) the kernel on a coin is s s' / 2 and a constant, which HSIC does not see. The
kernel matrix of the scores is never held: a pivoted Cholesky decomposition of low rank stands for it (Fine & Scheinberg,
2001, https://jmlr.org/papers/v2/fine01a.html), exact to `TOLERANCE`. A Gaussian kernel on a line needs a few dozen columns.
"""

from dataclasses import dataclass

import numpy as np

from pgx_compiler.modalities.game import Masks
from runtimes.capabilities import Floats

TOLERANCE = 1e-10
"""Largest error of an entry of the kernel matrix, whose diagonal is 1."""

WIDTH_FROM = 1000
"""Scores from whose pairs the kernel's width is taken."""


@dataclass(frozen=True)
class Dependence:
    """Of one score on each feature."""

    values: Floats
    """``(features,)``: normalised HSIC, never below 0."""
    standard_error: Floats
    p_values: Floats
    """``(features,)``: of no dependence, by a gamma approximation (Gretton et al., 2008)."""


def dependence_on(masks: Masks, score: Floats, drawn: bool) -> Dependence:
    """Measure how a score depends on each of the coins.

    Args:
        masks: ``(n, features)``, n at least 4.
        score: ``(n,)``.
        drawn: False where the masks are all there are: the values are then exact.
    """
    count, features = masks.shape
    width = kernel_width(score)
    if width == 0.0 or count < 2:
        return Dependence(np.zeros(features), np.zeros(features), np.ones(features))
    signs = np.where(masks, 1.0, -1.0)
    factor = low_rank_kernel(score, width)
    centred = factor - factor.mean(axis=0)
    squares = ((centred @ (centred.T @ centred)) * centred).sum(axis=1) / count
    own = float(squares.mean())  # HSIC of the score with itself; that of a coin is 1/4
    middle = signs - signs.mean(axis=0)
    plain = middle * (centred @ (centred.T @ middle)) / count  # its mean over draws is E[s s' l], both centred
    if not drawn:
        return Dependence(np.maximum(plain.mean(axis=0) / np.sqrt(own), 0.0), np.zeros(features), np.ones(features))
    values = 2 * _song(signs, factor) / np.sqrt(own)
    slopes = (2 * plain - plain.mean(axis=0) * (squares / own)[:, None]) / np.sqrt(own)
    error = slopes.std(axis=0, ddof=1) / np.sqrt(count)
    diagonal = (centred**2).sum(axis=1)
    off_diagonal = count**2 * own - float((diagonal**2).sum())
    p_values = _gamma_tail(plain.mean(axis=0), float(diagonal.sum()) / count**2, 2 * off_diagonal / count**4)
    return Dependence(np.maximum(values, 0.0), error, p_values)


def kernel_width(score: Floats) -> float:
    """The median distance of two scores that differ; 0 where none do beyond rounding."""
    held = score[:WIDTH_FROM] if np.ptp(score[:WIDTH_FROM]) > 0 else score
    apart = np.abs(np.subtract.outer(held[:WIDTH_FROM], held))
    apart = apart[apart > 1e-12 * np.abs(score).max()]
    return float(np.median(apart)) if len(apart) else 0.0


def low_rank_kernel(score: Floats, width: float) -> Floats:
    """G ``(n, rank)`` with G G^T the Gaussian kernel matrix of the scores, to `TOLERANCE`."""
    left = np.ones(len(score))
    columns: list[Floats] = []
    while left.max() > TOLERANCE and len(columns) < len(score):
        pivot = int(np.argmax(left))
        column = np.exp(-((score - score[pivot]) ** 2) / (2 * width**2))
        for known in columns:
            column = column - known * known[pivot]
        column = column / np.sqrt(left[pivot])
        columns.append(column)
        left = np.maximum(left - column**2, 0.0)
    return np.stack(columns, axis=1)


def _song(signs: Floats, factor: Floats) -> Floats:
    """The unbiased estimator of HSIC, ``(features,)``: Song et al. (2012), equation 5, for the kernel s s' / 2."""
    count = len(signs)
    total = signs.sum(axis=0)
    rows = factor @ factor.sum(axis=0) - 1  # sums of the kernel's rows without the diagonal, which is 1
    trace = (((factor.T @ signs) ** 2).sum(axis=0) - count) / 2
    of_coin = (total**2 - count) / 2
    crossed = (signs * total - 1).T @ rows / 2
    inner = trace + of_coin * rows.sum() / ((count - 1) * (count - 2)) - 2 * crossed / (count - 2)
    return np.asarray(inner / (count * (count - 3)), np.float64)


def _gamma_tail(found: Floats, mean: float, variance: float) -> Floats:
    """Chance of at least ``found`` under a gamma distribution with the moments of no dependence."""
    from scipy.special import gammaincc

    if mean <= 0 or variance <= 0:
        return np.ones_like(found)
    return np.asarray(gammaincc(mean**2 / variance, np.maximum(found, 0.0) * mean / variance), np.float64)
