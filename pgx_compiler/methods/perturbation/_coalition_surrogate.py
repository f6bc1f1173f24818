"""A cheap model of a game on its coalitions, whose Shapley values are known in closed form.

Write a coalition S as signs z (+1 present, -1 removed). Of a game only the part that changes its sign with z has to do with
Shapley values, and half the difference between a coalition and its complement shows it without the rest. That part is a sum
over sets T of 1, 3, 5, ... features of c_T * (product of z over T), and feature i is worth 2 * (sum over T with i of c_T / |T|).

The surrogate is kernel ridge regression (a Gaussian process) with the kernel

    k(z, y) = e1(b^2 z y) + s3 e3(r z y) + s5 e5(r z y)        e_d: elementary symmetric polynomial over the features

where b says how large a feature's own part may be, and r how much it may take part in interactions (the ANOVA kernel: Duvenaud
et al., 2011). z y is +1 or -1, so that its even powers are 1: e_d needs a few matrix products (Newton's identities), however
many sets there are. r is first the size of the features' own parts (who matters much, interacts much), then three times
relearned from how much the surrogate's interactions change with each feature (as in recursive feature machines: Radhakrishnan
et al., 2024). The strengths s3 and s5 = s3 / 10 maximise the marginal likelihood.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pgx_compiler.methods.perturbation._positive_matrix import inverse_of
from pgx_compiler.methods.perturbation._random_masks import in_blocks
from runtimes.capabilities import Floats, Integers

ORDER = 5
QUINTIC = 0.1
"""s5 over s3: measured on boosted trees and networks of 20 to 100 features, 0.1 was better than 0.3 and 1."""

STRENGTHS = (0.001, 0.003, 0.01, 0.03)
"""Tried for s3, where both kernels have one on the diagonal."""

RIDGE = 1e-5
"""Where the kernel has one on the diagonal. Choosing it by the likelihood as well was no better, and took a third longer."""

RELEARNED = 3
"""Once is enough for trees and networks; where those that interact are not those that matter, each time halves the error."""

LEAST_RELEVANCE = 0.02
"""No feature is shut out: it might interact where the first pairs did not show it."""

MOST_LEARNING = 192
"""Pairs on which strengths and relevances are learned; all are then fitted."""

MOST_CENTRES = 512
"""Pairs that are fitted; its cost grows with their third power. Further pairs only correct."""

MOST_CENTRES_OF_A_PART = 256
"""The same where the references are divided, so that there are several surrogates to pay for."""


@dataclass(frozen=True)
class Setting:
    """How much features may matter by themselves and together."""

    own: Floats
    """``(features,)``: b squared."""
    relevance: Floats
    """``(features,)``: r."""
    cubic: float
    quintic: float
    ridge: float


def signs_of(masks: Any) -> Floats:
    """Coalitions as +1 and -1."""
    return np.where(masks, 1.0, -1.0)


def learn(signs: Floats, response: Floats, own: Floats) -> Setting:
    """Find the setting that makes the half differences likeliest.

    Args:
        signs: ``(pairs, features)``.
        response: half differences, ``(pairs,)``, of about unit size.
        own: first guess of how large the features' own parts are, ``(features,)``, not negative.
    """
    size = np.maximum(own / max(float(own.max()), 1e-300), 1e-3)
    linear = (signs * size**2) @ signs.T / float((size**2).sum())
    best: tuple[float, Setting] | None = None
    relevance = np.maximum(size, LEAST_RELEVANCE)
    for _ in range(RELEARNED + 1):
        sums = _elementary(signs, signs, relevance)
        cubic, quintic = sums[3][0, 0], sums[5][0, 0]
        unit = sums[3] / cubic + QUINTIC * sums[5] / quintic
        here: tuple[float, float, Floats] | None = None
        for strength in STRENGTHS:
            likelihood, weights = _fit(linear + strength * unit, response, RIDGE)
            if here is None or likelihood > here[0]:
                here = (likelihood, strength, weights)
            if best is None or likelihood > best[0]:
                scaled = (strength / cubic, QUINTIC * strength / quintic, RIDGE)
                best = (likelihood, Setting(size**2 / float((size**2).sum()), relevance, *scaled))
        assert here is not None
        change = _change(signs, here[2], sums, relevance, 1 / cubic, QUINTIC / quintic)
        relevance = np.maximum(change / max(float(change.max()), 1e-300), LEAST_RELEVANCE)
    assert best is not None
    return best[1]


def _fit(kernel: Floats, response: Floats, ridge: float) -> tuple[float, Floats]:
    """Log marginal likelihood at the best overall scale, and the weights of the centres."""
    from scipy.linalg.lapack import dpotrf, dpotrs  # without the checks around them, which take as long

    held = kernel.copy()
    held[np.diag_indices(len(held))] += ridge
    upper, failed = dpotrf(held, overwrite_a=1)
    if failed:  # not positive within rounding: this ridge is too small
        return -np.inf, np.zeros(len(response))
    weights = dpotrs(upper, response)[0]
    variance = max(float(response @ weights) / len(response), 1e-300)
    return float(-0.5 * len(response) * np.log(variance) - np.log(np.diag(upper)).sum()), weights


def _elementary(signs: Floats, centres: Floats, relevance: Floats) -> list[Any]:
    """e_0 to e_5 of r z y for each sign vector and centre, ``(pairs, centres)`` each, by Newton's identities written out."""
    first, third, square, second, fourth = _power_sums(signs, centres, relevance)
    e3, e5 = _odd(signs, centres, relevance)
    e4 = (square * (square - 6.0 * second) + 8.0 * first * third + (3.0 * second**2 - 6.0 * fourth)) / 24.0
    return [1.0, first, (square - second) / 2.0, e3, e4, e5]


def _power_sums(signs: Floats, centres: Floats, relevance: Floats) -> tuple[Floats, Floats, Floats, float, float]:
    """p_1, p_3 and p_1 squared, ``(pairs, centres)``; p_2 and p_4, which are the same for all."""
    first, third = ((signs * relevance**degree) @ centres.T for degree in (1, 3))
    return first, third, first * first, float((relevance**2).sum()), float((relevance**4).sum())


def _odd(signs: Floats, centres: Floats, relevance: Floats) -> tuple[Floats, Floats]:
    """e_3 and e_5, ``(pairs, centres)`` each."""
    first, third, square, second, fourth = _power_sums(signs, centres, relevance)
    e3 = square - 3.0 * second
    e3 *= first
    e3 += 2.0 * third
    e3 /= 6.0
    # 120 e5 = p1 (p1^2 (p1^2 - 10 p2) + 15 p2^2 - 30 p4) + 20 p3 (p1^2 - p2) + 24 p5
    e5 = square - 10.0 * second
    e5 *= square
    e5 += 15.0 * second**2 - 30.0 * fourth
    e5 *= first
    square -= second
    square *= third
    square *= 20.0
    e5 += square
    e5 += (signs * (24.0 * relevance**5)) @ centres.T
    e5 /= 120.0
    return e3, e5


def _newton(powers: list[Any]) -> list[Any]:
    """Elementary symmetric polynomials from power sums."""
    found: list[Any] = [1.0]
    for degree in range(1, len(powers)):
        terms = [(-1) ** (k - 1) * found[degree - k] * powers[k] for k in range(1, degree + 1)]
        found.append(sum(terms) / degree)
    return found


def _change(signs: Floats, weights: Floats, sums: list[Any], relevance: Floats, cubic: float, quintic: float) -> Floats:
    """How much the interactions change with each feature, root mean square over the pairs, ``(features,)``.

    Without its sign the change is sum over centres of w r y_i e_{d-1}(the others), and e_2(others) = e2 - r z y e1 + r^2,
    e_4(others) = e4 - r z y e3 + r^2 e2 - r^3 z y e1 + r^4.
    """
    drawn = weights @ signs
    first, second, third, fourth = (np.asarray(sums[degree]) for degree in (1, 2, 3, 4))
    by_second = (second * weights) @ signs
    r = relevance
    of_cubic = by_second * r - signs * (first @ weights)[:, None] * r**2 + drawn * r**3
    of_quintic = (
        ((fourth * weights) @ signs) * r
        - signs * ((third @ weights)[:, None] * r**2 + (first @ weights)[:, None] * r**4)
        + by_second * r**3
        + drawn * r**5
    )
    change: Floats = np.sqrt(((cubic * of_cubic + quintic * of_quintic) ** 2).mean(axis=0))
    return change


@dataclass(frozen=True)
class Held:
    """The surrogate's Shapley values and what it leaves unexplained, as if each pair had been left out of its fit."""

    values: Floats
    """``(features,)``: the mean, over the pairs, of the values of the surrogate without that pair."""
    residuals: Floats
    """``(pairs,)``: half difference less the prediction of the surrogate that has not seen it."""
    fitted: Floats
    """``(pairs,)``: half difference less the prediction of the surrogate that has seen it; zero for pairs that are no centres."""


def fit_without_each(signs: Floats, response: Floats, whole: float, setting: Setting, centres: Integers) -> Held:
    """Fit the centres, and say what would be without each pair: leaving one out has a closed form.

    Args:
        signs: ``(pairs, features)``.
        response: half differences, ``(pairs,)``.
        whole: half the difference between the full and the empty coalition, which is known and always fitted.
        setting: what `learn` has found.
        centres: positions of the pairs that are fitted.
    """
    known = np.concatenate([signs[centres], np.ones((1, signs.shape[1]))])
    target = np.append(response[centres], whole)
    kernel = _kernel(known, known, setting)
    ridge = max(setting.ridge, 1e-9)
    kernel[np.diag_indices(len(kernel))] += ridge
    inverse = inverse_of(kernel)
    weights = inverse @ target
    residuals = response.copy()
    others = np.setdiff1d(np.arange(len(signs)), centres)
    for block in in_blocks(len(others), len(known)):
        part = others[block]
        residuals[part] -= _kernel(signs[part], known, setting) @ weights
    own = (weights / np.diag(inverse))[:-1]
    residuals[centres] = own
    # Without pair p the weights are w - K^-1[:, p] (own residual of p); their mean over all pairs:
    mean_weights = weights - inverse[:, :-1] @ own / len(signs)
    fitted = np.zeros(len(signs))
    fitted[centres] = ridge * weights[:-1]
    return Held(_shapley(known, setting).T @ mean_weights, residuals, fitted)


def _kernel(signs: Floats, centres: Floats, setting: Setting) -> Floats:
    kernel: Floats = (signs * setting.own) @ centres.T
    for of_degree, strength in zip(
        _odd(signs, centres, setting.relevance), (setting.cubic, setting.quintic), strict=True
    ):
        of_degree *= strength
        kernel += of_degree
    return kernel


def _shapley(centres: Floats, setting: Setting) -> Floats:
    """Shapley values of the kernel's function at each centre, ``(centres, features)``: 2 / d * a_i * e_{d-1}(others)."""
    drawn = centres * setting.relevance
    sums = _newton([None, *((drawn**degree).sum(axis=1, keepdims=True) for degree in range(1, ORDER + 1))])
    others: list[Any] = [np.ones_like(drawn)]
    for degree in range(1, ORDER):
        others.append(sums[degree] - drawn * others[degree - 1])
    values: Floats = 2.0 * centres * setting.own
    values += 2.0 / 3.0 * setting.cubic * drawn * others[2] + 2.0 / 5.0 * setting.quintic * drawn * others[4]
    return values
