"""Weighted ridge regression on kept and removed features, with its standard errors and its error on unseen draws."""

from dataclasses import dataclass

import numpy as np

from pgx_compiler.methods.perturbation._centred_masks import CentredMasks, solve
from pgx_compiler.methods.perturbation._random_masks import in_blocks, weighted_sum
from pgx_compiler.modalities.game import Masks
from runtimes.capabilities import Floats


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


def fit_ridge(masks: Masks, worth: Floats, weights: Floats, penalty: float, drawn: bool = True) -> Ridge:
    """Minimise the sum of weights * (worth - intercept - masks @ coefficients)^2 + penalty * |coefficients|^2.

    The standard error is that of a misspecified model with random masks (sandwich, HC2). Leave-one-out residuals need no
    refitting: of any such fit they are residual / (1 - leverage), exactly. Leverages and standard errors are computed in
    single precision where the matrix allows it; values never are.

    Args:
        masks: ``(n, features)``.
        worth: ``(n, k)``.
        weights: ``(n,)``.
        penalty: may be 0; the smallest that makes the matrix invertible is then added where features move together.
        drawn: False where the masks are the whole population.
    """
    (count, features), total = masks.shape, weights.sum()
    root, own_share = np.sqrt(weights)[:, None], (weights / total)[:, None]
    blocks = list(in_blocks(count, features // 2))
    middle = sum(weights[part] @ masks[part] for part in blocks) / total
    mean = weights @ worth / total
    response = root * (worth - mean)

    least = 1e-10 / max(1, features)

    def penalised(gram: Floats) -> Floats:
        return np.diag(np.full(features, max(penalty, least * float(np.trace(gram)) + 1e-300)))

    found = solve(CentredMasks(masks, middle[None], root, blocks), response, penalised)
    coefficients, missed = found.coefficients, found.missed
    variance = np.zeros_like(coefficients)
    if drawn:
        for part, kept in zip(blocks, found.rows, strict=True):
            influence = kept @ found.inverse
            leverage = np.einsum("nf,nf->n", influence, kept)[:, None] + own_share[part]
            left = np.maximum(1 - leverage, 1e-9)
            variance += weighted_sum(np.square(influence, out=influence), missed[part] ** 2 / left)
            missed[part] /= left
    apart = response / np.maximum(1 - own_share, 1e-9) if drawn else response
    spread = (apart**2).sum(axis=0)
    varies = spread > total * (1e-12 * np.abs(worth).max(axis=0, initial=0.0)) ** 2
    fidelity = np.where(varies, 1 - (missed**2).sum(axis=0) / np.where(varies, spread, 1.0), np.nan)
    return Ridge(coefficients, mean - middle @ coefficients, np.sqrt(variance), fidelity)
