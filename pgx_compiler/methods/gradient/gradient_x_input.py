"""Gradient times input (Shrikumar, Greenside, Shcherbina & Kundaje, 2016): https://arxiv.org/abs/1605.01713."""

import numpy as np

from pgx_compiler.methods.declaration import MODALITIES, Cost, Maps, Params, Shape, attribution
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable

TITLE = "Gradient × input"


class GradientXInputParams(Params):
    """Gradient times input has no parameters."""


def cost(params: GradientXInputParams, shape: Shape) -> Cost:
    """One gradient a row."""
    return Cost(backward=shape.rows)


@attribution(
    modalities=MODALITIES,
    paper="https://arxiv.org/abs/1605.01713",
    cost=cost,
    laws=("null_feature", "linearity", "symmetry", "implementation_invariance"),
)
def gradient_x_input(model: Differentiable, rows: Rows, params: GradientXInputParams) -> Maps:
    """Multiply the gradient of the score with the input, element by element.

    Reading:
        In the score's own unit: what the element would add to the score, against the value zero, if the model
        were the straight line that touches it at this row. Positive: raises the score of the explained
        output.

    Limits:
        It looks at one point of the model only and is exact for a linear model alone; values do not add up to
        the score of any other. An element that is zero gets zero whatever the model thinks of it (a black
        pixel, an absent category): the comparison is always with zero, not with the references of the audit.
    """
    gradient = model.gradient(rows.inputs, rows.target)
    return {name: np.asarray(values, np.float64) * rows.inputs[name] for name, values in gradient.items()}
