"""Gradients with another rule backwards through each ReLU: what guided backpropagation and deconvolution are made of."""

import numpy as np

from pgx_compiler.methods.declaration import Cost, Maps, Params, Shape
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Rectified


def cost(params: Params, shape: Shape) -> Cost:
    """One gradient a row."""
    return Cost(backward=shape.rows)


def by_rule(model: Rectified, rows: Rows, rule: str) -> Maps:
    """The maps of a rule; see `runtimes.capabilities.Rectified`."""
    return {
        name: np.asarray(slopes) for name, slopes in model.rectified_gradient(rows.inputs, rows.target, rule).items()
    }
