"""SquareGrad, squared SmoothGrad (Hooker, Erhan, Kindermans & Kim, 2019): https://arxiv.org/abs/1806.10758."""

import numpy as np

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import NUMERIC, attribution
from pgx_compiler.methods.gradient._noise import NoisyParams, admits, averaged, cost
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable

TITLE = "SquareGrad"


class SquaregradParams(NoisyParams):
    """Parameters of SquareGrad."""


@attribution(
    modalities=NUMERIC,
    paper="https://arxiv.org/abs/1806.10758",
    version=2,  # noise is drawn with 32 bits: other copies than before
    cost=cost,
    laws=("null_feature", "symmetry", "implementation_invariance"),
    signed=False,
    unit="score² per input unit²",
    admits=admits,
)
def squaregrad(model: Differentiable, rows: Rows, params: SquaregradParams, rng: np.random.Generator) -> FeatureValues:
    """Average the squared gradient over copies of the row with noise added.

    Reading:
        The mean squared slope, without sign: how strongly the score reacts to the element around the row, upwards or
        downwards. The value of a feature is the sum over its elements. It is the square of SmoothGrad's mean slope plus
        VarGrad's variance, so that slopes of changing sign do not cancel. The standard error says how far a value would
        move under other noise: two values whose difference is within about two standard errors must be read as equal.

    Limits:
        It says where the score is sensitive, not what it rests on, and nothing of direction. Squares make the largest
        slopes stand out more than they are larger: half the value is not half the influence. Values do not add up to the
        score, and cannot be compared between inputs in different units (years and euros); the strength of the noise is a
        choice that changes them. Features with more elements sum more.
    """
    return averaged(model, rows, params, rng, lambda _rows, gradients: {name: g**2 for name, g in gradients.items()})
