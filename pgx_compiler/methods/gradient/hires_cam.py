"""HiResCAM (Draelos & Carin, 2020): https://arxiv.org/abs/2011.08891."""

import numpy as np

from pgx_compiler.methods.declaration import PLACED, Cost, Maps, Shape, attribution
from pgx_compiler.methods.gradient._cam import CamParams, class_activation, one_gradient
from pgx_compiler.methods.gradient._layers import admits
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, LayerDifferentiable

TITLE = "HiResCAM"


class HiresCamParams(CamParams):
    """Parameters of HiResCAM."""

    relu: bool = False
    """Whether only what raises the score is shown. With both signs, the layer's map adds up to the score but for a
    constant where one dense layer stands above."""


def cost(params: HiresCamParams, shape: Shape) -> Cost:
    """A layer's gradient for each row."""
    return one_gradient(params, shape)


@attribution(
    modalities=PLACED,
    paper="https://arxiv.org/abs/2011.08891",
    cost=cost,
    laws=("mirrored",),
    unit="",
    admits=admits,
)
def hires_cam(model: LayerDifferentiable, rows: Rows, params: HiresCamParams) -> Maps:
    """Multiply a late layer with the gradient of the score by it, place by place, add up the channels and lay the sum over the input.

    Reading:
        Positive: what the layer found there raises the score of the explained output. Where nothing but one dense layer
        stands above the layer, each place has exactly the share of the score that it adds, so the map shows only places
        that the model has used. The map is as coarse as the layer and is interpolated between its places.

    Limits:
        With more than one layer above it is a straight-line estimate, as gradient times input is. A place of the map
        stands for all of the input that it can see. After the map is laid over the input, values no longer add up to the
        score.
    """
    return class_activation(model, rows, params, hires_cam_map)


def hires_cam_map(activations: Floats, slopes: Floats) -> Floats:
    """Equation 4 of the paper: no mean over the places is taken."""
    return np.asarray((slopes * activations).sum(axis=-1), np.float64)
