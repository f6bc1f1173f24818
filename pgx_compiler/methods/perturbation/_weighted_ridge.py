"""Weighted ridge regression on kept and removed features, with its standard errors and its error on unseen draws."""

from dataclasses import dataclass

import numpy as np

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
    refitting: of any such fit they are residual / (1 - leverage), exactly.

    Args:
        masks: ``(n, features)``.
        worth: ``(n, k)``.
        weights: ``(n,)``.
        penalty: may be 0; the smallest that makes the matrix invertible is then added where features move together.
        drawn: False where the masks are the whole population.
    """
    count, features = masks.shape
    total = weights.sum()
    middle = weights @ masks / total
    centred = masks - middle
    weighted = centred * weights[:, None]
    gram = weighted.T @ centred
    floor = 1e-10 * (np.trace(gram) / max(1, features)) + 1e-300
    inverse = np.linalg.inv(gram + max(penalty, floor) * np.eye(features))
    mean = weights @ worth / total
    response = worth - mean
    coefficients = inverse @ (weighted.T @ response)
    residuals = response - centred @ coefficients
    influence = weighted @ inverse
    leverage = np.einsum("nf,nf->n", influence, centred) + weights / total
    left = np.maximum(1 - leverage, 1e-9)[:, None] if drawn else np.ones((count, 1))
    error = np.zeros_like(coefficients)
    if drawn:
        error = np.sqrt((influence**2).T @ (residuals**2 / left))
    own_share = (weights / total)[:, None]
    apart = response / np.maximum(1 - own_share, 1e-9) if drawn else response
    spread = weights @ apart**2
    varies = spread > total * (1e-12 * np.abs(worth).max(axis=0, initial=0.0)) ** 2
    missed = weights @ (residuals / left) ** 2
    fidelity = np.where(varies, 1 - missed / np.where(varies, spread, 1.0), np.nan)
    return Ridge(coefficients, mean - middle @ coefficients, error, fidelity)
