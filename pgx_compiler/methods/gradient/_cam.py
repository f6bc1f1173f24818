"""What class activation maps have in common: a layer's channels, weighted, added up and laid over the input."""

from collections.abc import Callable
from typing import Annotated

import numpy as np

from pgx_compiler.methods.declaration import Cost, NamesLayer, Params, Shape
from pgx_compiler.methods.gradient._layers import last_spatial_layer, over_input, spatial_layer
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, LayerDifferentiable

Weigh = Callable[[Floats, Floats], Floats]
"""From a layer's activations and the score's gradient by them, ``(rows, *places, channels)``, to ``(rows, *places)``."""


class CamParams(Params):
    """Parameters of class activation maps."""

    layer: Annotated[str | None, NamesLayer(last_spatial_layer)] = None
    """The layer whose channels are added up; one in a nested model as ``outer/inner``. Left out: the last convolution,
    behind its normalisation and activation; the plan says which it is."""
    relu: bool = True
    """Whether only what raises the score is shown, as in the paper; else the map has both signs."""


def one_gradient(params: CamParams, shape: Shape) -> Cost:
    """A layer's gradient for each row."""
    return Cost(backward=shape.rows)


def class_activation(model: LayerDifferentiable, rows: Rows, params: CamParams, weigh: Weigh) -> dict[str, Floats]:
    """The map of each row on the model's inputs.

    Raises:
        UnfitParams: the layer cannot be looked into, has no places, or lies on no input.
    """
    layer = spatial_layer(model, params.layer)
    activations, slopes = model.layer_gradient(rows.inputs, rows.target, layer.name)
    return over_input(cut(weigh(activations, slopes), relu=params.relu), rows)


def cut(maps: Floats, *, relu: bool) -> Floats:
    """The maps, or what is positive of them."""
    return np.maximum(maps, 0.0) if relu else maps


def mean_over_places(array: Floats) -> Floats:
    """Mean of ``(rows, *places, channels)`` over the places, with axes of length one."""
    return np.asarray(array.mean(axis=tuple(range(1, array.ndim - 1)), keepdims=True), np.float64)


def sum_over_places(array: Floats) -> Floats:
    """Sum of ``(rows, *places, channels)`` over the places, with axes of length one."""
    return np.asarray(array.sum(axis=tuple(range(1, array.ndim - 1)), keepdims=True), np.float64)
