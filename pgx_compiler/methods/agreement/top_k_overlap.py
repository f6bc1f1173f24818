"""Overlap of the top features, "feature agreement" (Krishna et al., 2022): https://arxiv.org/abs/2202.01602."""

from math import ceil
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Attribution, Scores
from pgx_compiler.methods.agreement._rounding import levelled
from pgx_compiler.methods.declaration import Params, agreement
from runtimes.capabilities import Floats


class TopKOverlapParams(Params):
    """Parameters of the overlap of the top features."""

    k: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """How many features of largest magnitude count as top; ``auto``: a quarter of them, rounded up."""


@agreement(paper="https://arxiv.org/abs/2202.01602", laws=("identity", "exchange", "scale", "chance"), version=2)
def top_k_overlap(first: Attribution, second: Attribution, params: TopKOverlapParams) -> Scores:
    """Count which share of the k features of largest magnitude two explanations of a row have in common.

    Where features tie for the last places, each counts in part: the value is then the mean over all ways to break
    the ties, so that an explanation that says nothing scores what chance gives. Magnitudes of a row tie that are no farther
    apart than a billionth of its largest: rounding alone keeps them apart.

    Reading:
        1: the same k features; 0: none in common; chance gives k divided by the number of features. The order
        within the top, and the signs, do not count.

    Limits:
        Agreement does not show that either explanation is true. The value depends on k, and jumps where several
        features are about equally important around the k-th place. Two explanations can name the same features with
        opposite signs: read it beside the agreement of signs.
    """
    rows, features = first.values.shape
    k = max(1, ceil(features / 4)) if params.k == "auto" else params.k
    title = f"Overlap of the {k} most important features"
    if k >= features:
        reason = f"all {features} features are among the top {k}"
        return Scores(np.full(rows, np.nan), title, range=(0.0, 1.0), undefined=reason)
    values: Floats = (top_share(first.values, k) * top_share(second.values, k)).sum(axis=1) / k
    undefined = "an explanation of the row is itself undefined" if np.isnan(values).any() else None
    return Scores(values, title, range=(0.0, 1.0), chance=k / features, undefined=undefined)


def top_share(values: Floats, k: int) -> Floats:
    """How likely each feature is among the k of largest magnitude, with ties broken at random; NaN rows stay NaN."""
    size = levelled(np.abs(np.asarray(values, np.float64)))
    last = -np.partition(-size, k - 1, axis=1)[:, k - 1 : k]
    above, tied = size > last, size == last
    places = k - above.sum(axis=1, keepdims=True)
    share: Floats = above + tied * (places / np.maximum(tied.sum(axis=1, keepdims=True), 1))
    share[np.isnan(size).any(axis=1)] = np.nan
    return share
