"""Grad-CAM (Selvaraju, Cogswell, Das, Vedantam, Parikh & Batra, 2017): https://arxiv.org/abs/1610.02391."""

import numpy as np

from pgx_compiler.methods.declaration import PLACED, Cost, Maps, Shape, attribution
from pgx_compiler.methods.gradient._cam import CamParams, class_activation, mean_over_places, one_gradient
from pgx_compiler.methods.gradient._layers import admits
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, LayerDifferentiable

TITLE = "Grad-CAM"


class GradCamParams(CamParams):
    """Parameters of Grad-CAM."""


def cost(params: GradCamParams, shape: Shape) -> Cost:
    """A layer's gradient for each row."""
    return one_gradient(params, shape)


@attribution(
    modalities=PLACED,
    paper="https://arxiv.org/abs/1610.02391",
    cost=cost,
    laws=("mirrored",),
    unit="",
    admits=admits,
)
def grad_cam(model: LayerDifferentiable, rows: Rows, params: GradCamParams) -> Maps:
    """Add up the channels of a late layer, each weighted by the mean gradient of the score by it, and lay the sum over the input.

    Reading:
        Where in the input the layer found what raises the score of the explained output. Values have no unit of their
        own: compare places of one row, not rows with each other. The map is as coarse as the layer (the plan names it)
        and is interpolated linearly between its places. Where the model ends in a mean over places and one dense layer,
        it is the class's weights times the channels: exact (Zhou and others, 2016).

    Limits:
        A channel has one weight for all places: where the score owes to it with different signs at different places, the
        map shows places that the model did not use (`hires_cam` does not). A place of the map stands for all of the input
        that it can see, which is more than is painted. Values do not add up to the score.
    """
    return class_activation(model, rows, params, grad_cam_map)


def grad_cam_map(activations: Floats, slopes: Floats) -> Floats:
    """Equations 1 and 2 of the paper without the ReLU, ``(rows, *places)``."""
    return np.asarray((mean_over_places(slopes) * activations).sum(axis=-1), np.float64)
