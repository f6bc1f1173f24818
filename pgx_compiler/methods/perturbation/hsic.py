"""HSIC attribution, dependence of the score on each feature (Novello, Fel & Vigouroux, 2022): https://arxiv.org/abs/2206.06219.

The kernel on "kept or removed" is the paper's (1 where equal, centred), that on scores a Gaussian with the median distance
as its width. The values are divided as in Da Veiga (2015, https://arxiv.org/abs/1311.2483), so that rows and models can be
compared: HSIC(m_j, f) / sqrt(HSIC(m_j, m_j) HSIC(f, f)). The estimator is the unbiased one of Song et al. (2012,
https://jmlr.org/papers/v13/song12a.html), which is zero on average for a feature without influence.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, attribution
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation._binary_dependence import Dependence, dependence_on
from pgx_compiler.methods.perturbation._random_masks import (
    Samples,
    all_coalitions,
    are_all_affordable,
    ask_in_rounds,
    forward_rows,
    most_draws,
)
from pgx_compiler.modalities.game import Game, Masks
from runtimes.capabilities import Floats

LEVEL = 0.05
"""False discovery rate of the features counted as detected."""

TITLE = "HSIC"


class HsicParams(Params):
    """Parameters of HSIC attribution."""

    samples: Annotated[int, Field(ge=8)] | Samples = "auto"
    """Random masks asked of the model for each row; ``auto``: 2 for each feature, and 2048, as many as Kernel SHAP asks for
    (peers take 500 on a grid of 64 cells). Rounded down to an even number; never fewer than 4 for each feature. Where there
    are no more coalitions than that, all are asked and the values are exact."""
    precision: _precision.Precision = None
    """Stop as soon as the largest standard error of the row's values is below this share of their sum (or of the largest
    one, where that is larger); ``samples`` is then the most that is asked. Not given: all ``samples`` are asked."""


def cost(params: HsicParams, shape: Shape) -> Cost:
    """The masks over all references; where all coalitions are asked, the full one is the row itself."""
    draws = most_draws(params.samples, shape.features)
    return Cost(
        forward=forward_rows(params.samples, shape, beside=0),
        bytes=draws * (32 * shape.features + 16 * shape.outputs + 1024),
    )


@attribution(
    paper="https://arxiv.org/abs/2206.06219",
    cost=cost,
    laws=("null_feature", "symmetry"),
    signed=False,
    unit="",
    quantities={
        "detected": Quantity("Features on which the score depends (5 % false discoveries allowed)", "features"),
        **_precision.QUANTITIES,
    },
)
def hsic(game: Game, params: HsicParams, rng: np.random.Generator) -> FeatureValues:
    """Measure how far the distribution of the score depends on whether a feature is kept or removed by a coin.

    Reading:
        Between 0 and 1, without a sign: 0 says that the scores with the feature are distributed as those without it,
        whatever moment of the distribution one looks at. The standard error says how far a value would move if other
        masks were drawn; it is zero where all coalitions were asked. How many features depend beyond what chance allows
        is counted (gamma approximation of the null distribution, Benjamini-Hochberg at 5 %).

    Limits:
        A value says that a feature matters, not in which direction, and values are no parts of a whole: they neither add
        up nor compare with those of other methods. A feature that acts only through an even interaction with others may go
        unseen, as each is looked at alone. The width of the kernel is a convention. The values speak of rows of which half
        is filled from the references, not of the row itself.
    """
    features = game.n_features
    if are_all_affordable(params.samples, features):
        masks, worth = all_coalitions(game)
        found, notes = _of_outputs(masks, worth, drawn=False), _precision.notes(len(masks), params.precision, True)
        return _told(found, notes, drawn=False)
    seen: list[list[Dependence]] = []

    def fit(masks: Masks, worth: Floats) -> tuple[Floats, Floats]:
        seen.append(_of_outputs(masks, worth, drawn=True))
        return _values(seen[-1])

    asked = ask_in_rounds(
        game, lambda count: rng.random((count, features)) < 0.5, params.samples, params.precision, fit
    )
    return _told(seen[-1], _precision.notes(len(asked.masks), params.precision, asked.converged), drawn=True)


def _of_outputs(masks: Masks, worth: Floats, *, drawn: bool) -> list[Dependence]:
    return [dependence_on(masks, worth[:, output], drawn) for output in range(worth.shape[1])]


def _values(found: list[Dependence]) -> tuple[Floats, Floats]:
    """Values and standard errors, ``(features, k)`` each."""
    return np.stack([one.values for one in found], axis=1), np.stack([one.standard_error for one in found], axis=1)


def _told(found: list[Dependence], notes: dict[str, float], *, drawn: bool) -> FeatureValues:
    values, error = _values(found)
    counted = np.array([detected(one, drawn) for one in found], np.float64)
    return FeatureValues(values, error, {"detected": counted, **notes})


def detected(found: Dependence, drawn: bool) -> int:
    """How many features depend: by Benjamini and Hochberg's step-up rule, or above rounding where nothing was drawn."""
    if not drawn:
        return int((found.values > 1e-12).sum())
    ordered = np.sort(found.p_values)
    allowed = LEVEL * np.arange(1, len(ordered) + 1) / max(1, len(ordered))
    below = np.flatnonzero(ordered <= allowed)
    return int(below[-1]) + 1 if len(below) else 0
