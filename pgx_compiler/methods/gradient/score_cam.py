"""Score-CAM (Wang, Wang, Du, Yang, Zhang, Ding, Mardziel & Hu, 2020): https://arxiv.org/abs/1910.01279."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.methods.declaration import NUMERIC, PLACED, Cost, Maps, Shape, UnfitParams, attribution
from pgx_compiler.methods.gradient import _layers
from pgx_compiler.methods.gradient._cam import CamParams, cut
from pgx_compiler.methods.gradient._layers import input_under, over_input, resize, spatial_layer
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, Integers, LayerDifferentiable
from runtimes.target import ModelFacts

TITLE = "Score-CAM"


class ScoreCamParams(CamParams):
    """Parameters of Score-CAM."""

    channels: Annotated[int, Field(ge=1)] = 64
    """At most so many channels of the layer are tried: those that vary most over the places of the row."""
    softmax: bool = True
    """Whether the channels' scores are turned into weights by a softmax, as in the paper. Else the weight is how much the
    score rises over that of an input of zeros, which may be negative."""


def cost(params: ScoreCamParams, shape: Shape) -> Cost:
    """A forward pass for each channel, one for the layer, and one of zeros for all rows where weights are rises.

    Where the file does not say how many channels the layer has (a size that only a call would tell), it may have fewer than
    ``channels``, and cost less.
    """
    channels = params.channels if shape.channels is None else min(params.channels, shape.channels)
    return Cost(forward=shape.rows * (channels + (1 if params.softmax else 2)))


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with a layer that has places, and an input that can be dimmed."""
    if not any(tensor.dtype.startswith(("float", "bfloat")) for tensor in facts.inputs):
        return "the model reads no floating-point numbers, so that nothing of its input can be dimmed"
    return _layers.admits(facts, shape, score)


@attribution(
    modalities=PLACED & NUMERIC,
    paper="https://arxiv.org/abs/1910.01279",
    cost=cost,
    laws=("mirrored",),
    unit="",
    admits=admits,
)
def score_cam(model: LayerDifferentiable, rows: Rows, params: ScoreCamParams) -> Maps:
    """Show the model the input through each channel of a late layer, and weigh the channels by the scores that this gives.

    Reading:
        Where in the input the channels look that keep the score up on their own. No gradient is used. Compare places of
        one row, not rows with each other.

    Limits:
        An input dimmed by a mask is multiplied with it, and so moved towards zero, whatever zero means to the model; such
        inputs may be unlike all that it was trained on. The softmax gives every channel some weight, even where the score
        does not depend on the input; and where scores are logits, nearly all weight may fall on one channel. Values do
        not add up to the score.
    """
    layer = spatial_layer(model, params.layer)
    under = input_under(rows, len(layer.shape) - 1)
    if not np.issubdtype(rows.inputs[under].dtype, np.floating):
        raise UnfitParams(
            f"the input `{under}` under the layer `{layer.name}` holds whole numbers, which cannot be dimmed"
        )
    activations = model.activations(rows.inputs, layer.name)
    maps = np.zeros(activations.shape[:-1])
    for row, given in enumerate(activations):
        channels = _most_varied(given, params.channels)
        scores = _scores_through(model, rows, row, under, given[..., channels])
        weights = _softmax(scores) if params.softmax else scores - _score_of_nothing(model, rows, row, under)
        maps[row] = given[..., channels] @ weights
    return over_input(cut(maps, relu=params.relu), rows)


def _most_varied(given: Floats, most: int) -> Integers:
    """The channels of one row's activations that vary most, in their own order."""
    spread = given.reshape(-1, given.shape[-1]).std(axis=0)
    return np.sort(np.argsort(-spread, kind="stable")[:most])


def _scores_through(model: LayerDifferentiable, rows: Rows, row: int, under: str, given: Floats) -> Floats:
    """The score of one row seen through each channel as a mask from 0 to 1, ``(channels,)``."""
    image = rows.inputs[under][row]
    found: list[Floats] = []
    for start in range(0, given.shape[-1], model.rows_per_call):
        masks = np.moveaxis(given[..., start : start + model.rows_per_call], -1, 0)
        masks = resize(masks, image.shape[: masks.ndim - 1])
        places = tuple(range(1, masks.ndim))
        low, high = masks.min(axis=places, keepdims=True), masks.max(axis=places, keepdims=True)
        masks = np.divide(masks - low, high - low, out=np.zeros_like(masks), where=high > low)
        masks = masks.reshape(*masks.shape, *([1] * (image.ndim + 1 - masks.ndim)))
        seen = {name: np.repeat(array[row][None], len(masks), axis=0) for name, array in rows.inputs.items()}
        seen[under] = (masks * image).astype(image.dtype)
        found.append(model.predict(seen)[:, rows.target[row]])
    return np.concatenate(found)


def _score_of_nothing(model: LayerDifferentiable, rows: Rows, row: int, under: str) -> float:
    nothing = {name: array[row : row + 1] for name, array in rows.inputs.items()}
    nothing[under] = np.zeros_like(nothing[under])
    return float(model.predict(nothing)[0, rows.target[row]])


def _softmax(scores: Floats) -> Floats:
    raised = np.exp(scores - scores.max())
    return np.asarray(raised / raised.sum(), np.float64)
