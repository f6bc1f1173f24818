"""Rank correlation of two explanations (Spearman, 1904; Krishna et al., 2022): https://arxiv.org/abs/2202.01602."""

import numpy as np

from pgx_compiler.evidence.results import Attribution, Scores
from pgx_compiler.methods.agreement._rounding import levelled
from pgx_compiler.methods.declaration import Params, agreement
from runtimes.capabilities import Floats


class RankCorrelationParams(Params):
    """Parameters of rank correlation."""

    signed: bool = False
    """Compare signed values; else their magnitudes, as the importance of a feature is usually read."""


@agreement(paper="https://arxiv.org/abs/2202.01602", laws=("identity", "exchange", "scale", "chance"), version=2)
def rank_correlation(first: Attribution, second: Attribution, params: RankCorrelationParams) -> Scores:
    """Correlate the order in which two explanations of a row put the features (Spearman).

    Reading:
        1: the same order of importance; 0: no more alike than two random orders; -1: opposite orders.
        Features of equal importance share the mean of their ranks; values of a row that are no farther apart than a
        billionth of its largest magnitude are equal, since rounding alone keeps them apart. Every feature counts the same,
        the least important ones too.

    Limits:
        Agreement does not show that either explanation is true, only that two ways of asking give the same
        order. With many features that hardly matter, their random order pulls the value down although the
        important ones agree: read it beside the overlap of the top features. With five features or fewer,
        values of 0.5 are common by chance. The noise of a method that samples is no rounding: it is ranked.
    """
    title = "Rank correlation of signed values" if params.signed else "Rank correlation of magnitudes"
    if params.signed and not (first.signed and second.signed):
        values, reason = np.full(len(first.values), np.nan), "one of the two explanations has no signs"
    else:
        pair = [a.values if params.signed else np.abs(a.values) for a in (first, second)]
        values = _correlation(*(_average_ranks(levelled(np.asarray(v, np.float64))) for v in pair))
        reason = "an explanation that gives every feature the same value (or an undefined one) has no order"
    undefined = reason if np.isnan(values).any() else None
    return Scores(values, title, range=(-1.0, 1.0), chance=0.0, undefined=undefined)


def _average_ranks(values: Floats) -> Floats:
    """Ranks from 1 within each row; equal values share their mean rank; NaN anywhere makes the row NaN."""
    below = np.stack([np.searchsorted(np.sort(row), row, "left") for row in values])
    up_to = np.stack([np.searchsorted(np.sort(row), row, "right") for row in values])
    ranks: Floats = (below + up_to + 1) / 2
    ranks[np.isnan(values).any(axis=1)] = np.nan
    return ranks


def _correlation(a: Floats, b: Floats) -> Floats:
    """Pearson correlation of each pair of rows, NaN where one is constant."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    product = (a * b).sum(axis=1)
    return np.asarray(np.divide(product, scale, out=np.full(len(a), np.nan), where=scale > 0), np.float64)
