"""Agreement of the signs of the top features (after Krishna et al., 2022): https://arxiv.org/abs/2202.01602."""

from math import ceil
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Attribution, Scores
from pgx_compiler.methods.agreement._rounding import levelled, without_noise
from pgx_compiler.methods.declaration import Params, agreement
from runtimes.capabilities import Floats


class SignAgreementParams(Params):
    """Parameters of the agreement of signs."""

    k: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    """How many features of largest magnitude of each explanation are looked at; ``auto``: a quarter of them, rounded
    up. More than there are: all."""


@agreement(paper="https://arxiv.org/abs/2202.01602", laws=("identity", "exchange", "scale", "chance"), version=2)
def sign_agreement(first: Attribution, second: Attribution, params: SignAgreementParams) -> Scores:
    """Count for which share of the features that are top in either explanation both give the same sign.

    Unlike the "sign agreement" of the paper, which also demands that a feature is top in both, this looks at signs
    alone. Features that tie for the k-th place are all looked at. Zero agrees with no sign; zero in both is left out.
    Values within a billionth of the row's largest magnitude are zero, and magnitudes so close to one another tie: rounding
    alone keeps them apart.

    Reading:
        1: wherever one of the two says that a feature matters much, they agree whether it raised or lowered
        the score; 0.5: what tossing a coin gives; 0: always opposite.

    Limits:
        Agreement does not show that either explanation is true. Values near zero have signs too: a feature
        that is top in one explanation and all but zero in the other counts as much as a plain contradiction.
        Explanations without signs cannot be compared.
    """
    rows, features = first.values.shape
    k = min(features, max(1, ceil(features / 4)) if params.k == "auto" else params.k)
    title = f"Same sign among the {k} most important features of either"
    if not (first.signed and second.signed):
        values, reason = np.full(rows, np.nan), "one of the two explanations has no signs"
    else:
        a, b = (without_noise(np.asarray(one.values, np.float64)) for one in (first, second))
        looked_at = (_top(a, k) | _top(b, k)) & ~((a == 0) & (b == 0))
        count = looked_at.sum(axis=1)
        same = (looked_at & (np.sign(a) == np.sign(b))).sum(axis=1)
        defined = (count > 0) & np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1)
        values = np.divide(same, count, out=np.full(rows, np.nan), where=defined)
        reason = "both explanations of the row are zero or undefined"
    undefined = reason if np.isnan(values).any() else None
    return Scores(values, title, range=(0.0, 1.0), chance=0.5, undefined=undefined)


def _top(values: Floats, k: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Which features are among the k of largest magnitude, with all that tie for the last place."""
    size = levelled(np.abs(values))
    found: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = size >= -np.partition(-size, k - 1, axis=1)[:, k - 1 : k]
    return found
