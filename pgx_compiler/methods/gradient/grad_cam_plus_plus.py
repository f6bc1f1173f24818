"""Grad-CAM++ (Chattopadhay, Sarkar, Howlader & Balasubramanian, 2018): https://arxiv.org/abs/1710.11063."""

import numpy as np

from pgx_compiler.methods.declaration import PLACED, Cost, Maps, Shape, attribution
from pgx_compiler.methods.gradient._cam import CamParams, class_activation, one_gradient, sum_over_places
from pgx_compiler.methods.gradient._layers import admits
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, LayerDifferentiable

TITLE = "Grad-CAM++"


class GradCamPlusPlusParams(CamParams):
    """Parameters of Grad-CAM++."""


def cost(params: GradCamPlusPlusParams, shape: Shape) -> Cost:
    """A layer's gradient for each row."""
    return one_gradient(params, shape)


@attribution(
    modalities=PLACED,
    paper="https://arxiv.org/abs/1710.11063",
    cost=cost,
    laws=("mirrored",),
    unit="",
    admits=admits,
)
def grad_cam_plus_plus(model: LayerDifferentiable, rows: Rows, params: GradCamPlusPlusParams) -> Maps:
    """Weigh the channels of a late layer by their positive gradients alone, so that several objects of a class all show.

    Reading:
        Where in the input the layer found what raises the score of the explained output, as in Grad-CAM; small and
        repeated objects show more fully. Compare places of one row, not rows with each other.

    Limits:
        Channels that speak against the output count as nothing, so that the map cannot say what is missing for it. The
        second and third derivatives are those of the exponential of the score in a network of ReLUs; elsewhere the
        weights are a rule of thumb. A channel has one weight for all places. Values do not add up to the score.
    """
    return class_activation(model, rows, params, plus_plus_map)


def plus_plus_map(activations: Floats, slopes: Floats) -> Floats:
    """Equations 5, 7 and 19 of the paper without the last ReLU: the exponential of the score cancels from the shares."""
    square = slopes * slopes
    cube = square * slopes  # a power of floats takes a hundred times as long
    below = 2.0 * square + sum_over_places(activations) * cube
    share = np.divide(square, below, out=np.zeros_like(square), where=below != 0)
    weights = sum_over_places(share * np.maximum(slopes, 0.0))
    return np.asarray((weights * activations).sum(axis=-1), np.float64)
