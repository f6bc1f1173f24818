"""Weighted ridge regression on kept and removed features, with its standard errors and its error on unseen draws.

Coalitions come in pairs with their complements: what is computed of the one says what it would be for the other, so that the
matrix and its products take half the time that as many coalitions without a pair would take.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.methods.perturbation._centred_masks import CentredMasks, Precision, solve
from pgx_compiler.methods.perturbation._random_masks import in_blocks, weighted_sum
from pgx_compiler.modalities.game import Masks
from runtimes.capabilities import Floats

_TINY = 1e-150
"""The least root of a pair's weights: far below what a kernel gives to anything that matters, and no division by zero."""


@dataclass(frozen=True)
class Pairs:
    """Coalitions and their complements with what they are worth."""

    masks: Masks
    """``(n, features)``; the complements are not stored."""
    worth: Floats
    """``(2, n, k)``: of the coalitions, then of their complements."""
    weights: Floats
    """``(2, n)``; 0 for one that is not there. Of a pair at least one is."""


@dataclass(frozen=True)
class Ridge:
    """A fitted linear surrogate."""

    coefficients: Floats
    """``(features, k)``."""
    intercept: Floats
    """``(k,)``, not penalised."""
    standard_error: Floats
    """``(features, k)``; zero where the masks are all there are."""
    fidelity: Floats
    """``(k,)``: weighted R² of leave-one-out predictions, where the masks were drawn; of the fit where they are all there
    are. NaN where the score does not vary."""


@dataclass(frozen=True)
class _CentredPairs:
    """Rows r (mask - centre), then rows r' (1 - mask - centre), from products with sqrt(r^2 + r'^2) (mask - centre) alone."""

    half: CentredMasks
    roots: Floats
    """``(2, n, 1)``: r and r'."""

    @property
    def masks(self) -> Masks:
        return self.half.masks

    @property
    def blocks(self) -> Sequence[slice]:
        return self.half.blocks

    @property
    def of_all(self) -> Floats:
        """1 - 2 centre, ``(1, features)``: what a mask and its complement, both centred, add up to."""
        return np.asarray(1 - 2 * self.half.centre)

    def rows(self, part: slice, dtype: Precision) -> NDArray[Any]:
        return self.half.rows(part, dtype)

    def gram(self, rows: Sequence[NDArray[Any]]) -> NDArray[Any]:
        # With u the centred mask and g = 1 - 2 centre: r^2 u u' + r'^2 (g - u)(g - u)', added up.
        others = self.roots[1] ** 2
        crossed = self.half.transposed(others / self.half.root) @ self.of_all
        found = self.half.gram(rows) - (crossed + crossed.T) + others.sum() * (self.of_all.T @ self.of_all)
        return np.asarray(found)

    def times(self, coefficients: Floats) -> Floats:
        of_masks = self.half.times(coefficients) / self.half.root
        return np.concatenate([self.roots[0] * of_masks, self.roots[1] * (self.of_all @ coefficients - of_masks)])

    def transposed(self, values: Floats) -> Floats:
        of_masks, of_complements = (root * held for root, held in zip(self.roots, np.split(values, 2), strict=True))
        apart = self.half.transposed((of_masks - of_complements) / self.half.root)
        return np.asarray(apart + self.of_all.T @ of_complements.sum(axis=0, keepdims=True))


def fit_ridge(pairs: Pairs, penalty: float, drawn: int) -> Ridge:
    """Minimise the sum of weights * (worth - intercept - masks @ coefficients)^2 + penalty * |coefficients|^2.

    The standard error is that of a misspecified model with random pairs of masks (sandwich, HC2, a pair for a cluster).
    Leave-one-out residuals need no refitting: of any such fit they are residual / (1 - leverage), exactly. Leverages and
    standard errors are computed in single precision where the matrix allows it; values never are.

    Args:
        pairs: the coalitions.
        penalty: may be 0; the smallest that makes the matrix invertible is then added where features move together.
        drawn: how many of the pairs, from the first, were drawn at random; the others are always asked. 0: the pairs are
            the whole population.
    """
    (count, features), outputs = pairs.masks.shape, pairs.worth.shape[2]
    weights, worth = pairs.weights.reshape(-1), pairs.worth.reshape(2 * count, outputs)
    total = weights.sum()
    roots, own_share = np.sqrt(pairs.weights)[:, :, None], (weights / total)[:, None]
    blocks = list(in_blocks(count, features // 2))
    more = pairs.weights[0] - pairs.weights[1]
    middle = (sum(more[part] @ pairs.masks[part] for part in blocks) + pairs.weights[1].sum()) / total
    mean = weights @ worth / total
    response = np.sqrt(weights)[:, None] * (worth - mean)

    least = 1e-10 / max(1, features)

    def penalised(gram: Floats) -> Floats:
        return np.diag(np.full(features, max(penalty, least * float(np.trace(gram)) + 1e-300)))

    together = np.maximum(np.sqrt(pairs.weights.sum(axis=0)), _TINY)[:, None]
    design = _CentredPairs(CentredMasks(pairs.masks, middle[None], together, blocks), roots)
    found = solve(design, response, penalised)
    coefficients, missed = found.coefficients, found.missed
    variance = np.zeros_like(coefficients)
    if drawn:
        variance, leverage = _influences(design, found.rows, found.inverse, missed, own_share, drawn)
        missed = missed / np.maximum(1 - leverage, 1e-9)
    apart = response / np.maximum(1 - own_share, 1e-9) if drawn else response
    spread = (apart**2).sum(axis=0)
    varies = spread > total * (1e-12 * np.abs(worth).max(axis=0, initial=0.0)) ** 2
    fidelity = np.where(varies, 1 - (missed**2).sum(axis=0) / np.where(varies, spread, 1.0), np.nan)
    return Ridge(coefficients, mean - middle @ coefficients, np.sqrt(variance), fidelity)


def _influences(
    design: _CentredPairs,
    rows: Sequence[NDArray[Any]],
    inverse: NDArray[Any],
    missed: Floats,
    own_share: Floats,
    drawn: int,
) -> tuple[Floats, Floats]:
    """Variances of the coefficients ``(features, k)``, and leverages of all coalitions, the intercept's share in them.

    With A the inverse, u a centred mask and g = 1 - 2 centre, the coalitions of a pair move the coefficients by r A u and
    r' (A g - A u), and their leverages are r^2 u'A u and r'^2 (g'A g - 2 u'A g + u'A u): one product with A serves both.
    """
    of_all = (design.of_all @ inverse).astype(np.float64)  # A g
    own, with_all = np.empty((2, len(design.masks), 1))
    influences = []
    for part, held in zip(design.blocks, rows, strict=True):
        influences.append(held @ inverse)
        own[part, 0] = np.einsum("nf,nf->n", influences[-1], held)
        with_all[part, 0] = held @ of_all[0].astype(held.dtype)
    root = design.half.root
    own /= root**2
    with_all /= root
    of_complements = float(of_all[0] @ design.of_all[0]) - 2 * with_all + own
    leverage = np.concatenate([design.roots[0] ** 2 * own, design.roots[1] ** 2 * of_complements]) + own_share
    # A pair moves them by (a - a') A u + a' A g, with a = r residual / sqrt(1 - leverage) of each.
    scaled = np.sqrt(design.roots.reshape(-1, 1) ** 2 / np.maximum(1 - leverage, 1e-9)) * missed
    of_masks, of_others = np.split(scaled, 2)
    apart = (of_masks - of_others) / root
    variance = of_all.T**2 @ (of_others[:drawn] ** 2).sum(axis=0, keepdims=True)
    for part, influence in zip(design.blocks, influences, strict=True):
        some = influence[: max(0, drawn - part.start)]
        among = slice(part.start, part.start + len(some))
        if len(some):
            variance += 2 * of_all.T * weighted_sum(some, apart[among] * of_others[among])
            variance += weighted_sum(np.square(some, out=some), apart[among] ** 2)
    return np.maximum(variance, 0.0), leverage
