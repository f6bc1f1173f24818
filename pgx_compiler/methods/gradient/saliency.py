"""Saliency: the size of the gradient (Simonyan, Vedaldi & Zisserman, 2013): https://arxiv.org/abs/1312.6034."""

import numpy as np

from pgx_compiler.methods.declaration import Cost, Maps, Params, Shape, attribution
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable


class SaliencyParams(Params):
    """Saliency has no parameters."""


def cost(params: SaliencyParams, shape: Shape) -> Cost:
    """One gradient a row."""
    return Cost(backward=shape.rows)


@attribution(
    paper="https://arxiv.org/abs/1312.6034",
    cost=cost,
    laws=("null_feature", "symmetry", "implementation_invariance", "shift_invariance"),
    signed=False,
    unit="score per input unit",
)
def saliency(model: Differentiable, rows: Rows, params: SaliencyParams) -> Maps:
    """Take the absolute gradient of the score with respect to every element of the input.

    Reading:
        Score per unit of the input, without sign: how fast the score changes when the element is moved a little. The
        value of a feature is the sum over its elements.

    Limits:
        It says where the score is sensitive, not what it rests on: where the model has saturated, what matters most
        can have a gradient near zero. Values do not add up to the score, say nothing of direction, and cannot be
        compared between inputs in different units (years and euros). Features with more elements sum more.
    """
    gradient = model.gradient(rows.inputs, rows.target)
    return {name: np.abs(values).astype(np.float64, copy=False) for name, values in gradient.items()}
