"""Guided Grad-CAM (Selvaraju, Cogswell, Das, Vedantam, Parikh & Batra, 2017): https://arxiv.org/abs/1610.02391."""

import numpy as np

from pgx_compiler.methods.declaration import PLACED, Cost, Maps, Shape, attribution
from pgx_compiler.methods.gradient._cam import CamParams, class_activation
from pgx_compiler.methods.gradient._layers import admits
from pgx_compiler.methods.gradient.grad_cam import grad_cam_map
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Rectified

TITLE = "Guided Grad-CAM"


class GuidedGradCamParams(CamParams):
    """Parameters of guided Grad-CAM."""


def cost(params: GuidedGradCamParams, shape: Shape) -> Cost:
    """A layer's gradient and a guided one for each row."""
    return Cost(backward=2 * shape.rows)


@attribution(
    modalities=PLACED,
    paper="https://arxiv.org/abs/1610.02391",
    cost=cost,
    laws=("mirrored",),
    unit="",
    admits=admits,
)
def guided_grad_cam(model: Rectified, rows: Rows, params: GuidedGradCamParams) -> Maps:
    """Multiply the map of guided backpropagation with that of Grad-CAM, element by element.

    Reading:
        Fine details, within what Grad-CAM marks for the explained output. Where it lies comes from Grad-CAM, what it
        looks like from guided backpropagation.

    Limits:
        The details hardly depend on what the model has learnt (Adebayo and others, 2018); only the coarse map does. Use it
        to look at a picture, and `grad_cam` or `integrated_gradients` to judge a model. Values do not add up to the score.
    """
    coarse = class_activation(model, rows, params, grad_cam_map)
    fine = model.rectified_gradient(rows.inputs, rows.target, "guided")
    return {name: np.asarray(fine[name], np.float64) * array for name, array in coarse.items()}
