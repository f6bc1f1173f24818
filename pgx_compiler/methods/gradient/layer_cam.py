"""LayerCAM (Jiang, Zhang, Hou, Cheng & Wei, 2021): https://doi.org/10.1109/TIP.2021.3089943."""

import numpy as np

from pgx_compiler.methods.declaration import PLACED, Cost, Maps, Shape, attribution
from pgx_compiler.methods.gradient._cam import CamParams, class_activation, one_gradient
from pgx_compiler.methods.gradient._layers import admits
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, LayerDifferentiable

TITLE = "LayerCAM"


class LayerCamParams(CamParams):
    """Parameters of LayerCAM."""


def cost(params: LayerCamParams, shape: Shape) -> Cost:
    """A layer's gradient for each row."""
    return one_gradient(params, shape)


@attribution(
    modalities=PLACED,
    paper="https://doi.org/10.1109/TIP.2021.3089943",
    cost=cost,
    laws=("mirrored",),
    unit="",
    admits=admits,
)
def layer_cam(model: LayerDifferentiable, rows: Rows, params: LayerCamParams) -> Maps:
    """Weigh each place of each channel by its own positive gradient, so that early and fine layers can be read too.

    Reading:
        Where in the input the layer found what raises the score of the explained output. Name an earlier layer for a
        finer map. Compare places of one row, not rows with each other.

    Limits:
        What speaks against the output counts as nothing. Early layers show edges that many classes share. Values do not
        add up to the score.
    """
    return class_activation(model, rows, params, layer_cam_map)


def layer_cam_map(activations: Floats, slopes: Floats) -> Floats:
    """Equations 6 to 8 of the paper without the last ReLU."""
    return np.asarray((np.maximum(slopes, 0.0) * activations).sum(axis=-1), np.float64)
