"""SmoothGrad (Smilkov, Thorat, Kim, Viégas & Wattenberg, 2017): https://arxiv.org/abs/1706.03825."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import NUMERIC, Cost, Shape, attribution
from pgx_compiler.methods.gradient._noise import NoisyParams, admits, averaged
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable

TITLE = "SmoothGrad"


class SmoothgradParams(NoisyParams):
    """Parameters of SmoothGrad."""

    samples: Annotated[int, Field(ge=4)] = 50
    """Noisy copies of each row, in pairs: rounded down to an even number."""


def cost(params: SmoothgradParams, shape: Shape) -> Cost:
    """A gradient for each noisy copy, of which there are an even number."""
    return Cost(backward=shape.rows * (params.samples // 2 * 2))


@attribution(
    modalities=NUMERIC,
    paper="https://arxiv.org/abs/1706.03825",
    version=2,  # copies come in pairs, and noise is drawn with 32 bits: other copies than before
    cost=cost,
    laws=("null_feature", "linearity", "symmetry", "implementation_invariance"),
    unit="score per input unit",
    admits=admits,
)
def smoothgrad(model: Differentiable, rows: Rows, params: SmoothgradParams, rng: np.random.Generator) -> FeatureValues:
    """Average the gradient over copies of the row with noise added, sign kept.

    Copies come in pairs, the noise of one being that of the other the other way round (antithetic sampling): the mean is
    the same, and what changes its sign with the noise cancels, so that the standard error is smaller at the same price.

    Reading:
        Score per unit of the input: how fast the score changes around the row, with the jitter of single gradients
        averaged out. The value of a feature is the sum over its elements. The standard error says how far it would
        move under other noise: two values whose difference is within about two standard errors must be read as equal.

    Limits:
        It says where the score is sensitive, not what it rests on; values do not add up to the score, and cannot be
        compared between inputs in different units (years and euros). The noise makes rows that may never occur (a
        category half present), and its strength is a choice that changes the result. Elements of opposite sign cancel
        within a feature.
    """
    return averaged(model, rows, params, rng, lambda _rows, gradients: gradients, mirrored=True)
