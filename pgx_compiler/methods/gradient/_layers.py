"""Which layer of a network is looked at, and how what it says is laid over the input."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from pgx_compiler.methods.declaration import Shape, UnfitParams
from pgx_compiler.modalities.features import FIXED, Rows
from runtimes.capabilities import Floats, LayerDifferentiable, LayerShape
from runtimes.target import ModelFacts

Candidate = tuple[str, str, Sequence[int | None] | None]
"""Name, kind and shape of a layer; None: the file does not say it."""

_CONVOLVES = ("Conv", "SeparableConv", "DepthwiseConv", "QLinearConv")
_KEEPS_PLACE = frozenset(
    {
        "Activation",
        "ReLU",
        "LeakyReLU",
        "PReLU",
        "ELU",
        "BatchNormalization",
        "LayerNormalization",
        "GroupNormalization",
    }
    | {"Add", "Multiply", "Average", "Maximum", "Concatenate"}
    | {
        "Relu",
        "Relu6",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Celu",
        "Gelu",
        "Mish",
        "Swish",
        "HardSwish",
        "Clip",
        "Sigmoid",
    }
    | {
        "Tanh",
        "Softplus",
        "InstanceNormalization",
        "FusedBatchNormV3",
        "BiasAdd",
        "AddV2",
        "AddN",
        "Sum",
        "Sub",
        "Mul",
        "Div",
    }
    | {"RealDiv", "Max", "Min", "Minimum", "Concat", "ConcatV2"}
    | {"QLinearAdd", "QLinearMul", "QLinearConcat", "QLinearLeakyRelu", "QLinearSigmoid"}
)
"""Layers after a convolution that its output is usually taken behind: each place stays where it is. The words are those of
files that hold layers, and of files that hold operations."""


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with a layer that still has places."""
    if last_spatial_layer(facts) is None:
        return "no layer of the model gives a value for each place of its input, as a convolution does"
    return None


def last_spatial_layer(facts: ModelFacts) -> str | None:
    """The layer that a class activation map is taken from where the author names none."""
    return pick_spatial((layer.name, layer.kind, layer.shape) for layer in facts.layers if layer.used == 1)


def pick_spatial(layers: Iterable[Candidate]) -> str | None:
    """The last convolution, behind its normalisation, activation and joins; else the last layer with places."""
    found: str | None = None
    places: str | None = None
    follows = False
    for name, kind, shape in layers:
        spatial = shape is not None and has_places(shape)
        if kind.startswith(_CONVOLVES) and (spatial or shape is None):
            found, follows = name, True
        elif follows and kind in _KEEPS_PLACE and (spatial or shape is None):
            found = name
        else:
            follows = False
        places = name if spatial else places
    return found or places


def has_places(shape: Sequence[int | None]) -> bool:
    """Whether a layer's output ``(*places, channels)`` has more than one place."""
    return len(shape) >= 2 and any(size != 1 for size in shape[:-1])


def layer_called(model: LayerDifferentiable, name: str | None) -> LayerShape:
    """The layer of that name, or the one that is taken where none is named.

    Raises:
        UnfitParams: there is none.
    """
    wanted = name or pick_spatial((layer.name, layer.kind, layer.shape) for layer in model.layers)
    for layer in model.layers:
        if layer.name == wanted:
            return layer
    if wanted is None:
        raise UnfitParams("no layer of the model gives a value for each place of its input; name one by `layer`")
    raise UnfitParams(
        f"the layer `{wanted}` cannot be looked into: it is used more than once, has several outputs, or gives whole numbers"
    )


def spatial_layer(model: LayerDifferentiable, name: str | None) -> LayerShape:
    """The same, where the layer has places.

    Raises:
        UnfitParams: it has none.
    """
    layer = layer_called(model, name)
    if not has_places(layer.shape):
        raise UnfitParams(f"the layer `{layer.name}` has no places: its output is {_words(layer.shape)} for each row")
    return layer


def _words(shape: Sequence[int | None]) -> str:
    return " × ".join("any" if size is None else str(size) for size in shape) or "one number"


def input_under(rows: Rows, places: int) -> str:
    """The input whose axes a layer's places lie on: of as many axes, with or without channels.

    Raises:
        UnfitParams: none does, or several do.
    """
    found = [
        name
        for name, array in rows.inputs.items()
        if array.ndim - 1 in (places, places + 1) and (np.asarray(rows.features.owners[name]) != FIXED).any()
    ]
    if len(found) != 1:
        which = " and ".join(f"`{name}`" for name in found) or "no input"
        raise UnfitParams(f"the layer has {places} axes of places, and {which} of the model has as many")
    return found[0]


def over_input(maps: Floats, rows: Rows) -> dict[str, Floats]:
    """Lay maps ``(rows, *places)`` over the input, by linear interpolation; each value is shared by a place's channels.

    So the values of a place's channels add up to the map there; other inputs get zero.
    """
    places = maps.ndim - 1
    under = input_under(rows, places)
    shape = rows.inputs[under].shape
    resized = resize(maps, shape[1 : places + 1])
    if len(shape) - 1 > places:
        resized = np.repeat(resized[..., None] / shape[-1], shape[-1], axis=-1)
    return {name: resized if name == under else np.zeros(array.shape) for name, array in rows.inputs.items()}


def resize(maps: Floats, sizes: Sequence[int]) -> Floats:
    """Interpolate ``(rows, *places[, channels])`` linearly along its axes of places to other sizes.

    The centres of the outermost places stay half a place within the edge and are continued to it (``align_corners=False``
    elsewhere): what TensorFlow's ``image.resize`` does.
    """
    for axis, size in enumerate(sizes, 1):
        low, high, share = _between(maps.shape[axis], size)
        share = share.reshape(-1, *([1] * (maps.ndim - axis - 1)))
        maps = np.take(maps, low, axis=axis) * (1.0 - share) + np.take(maps, high, axis=axis) * share
    return maps


def _between(here: int, there: int) -> tuple[Any, Any, Floats]:
    """For each new place its two neighbours, and the share of the second."""
    centre = np.clip((np.arange(there) + 0.5) * here / there - 0.5, 0.0, here - 1)
    low = np.floor(centre).astype(np.int64)
    return low, np.minimum(low + 1, here - 1), centre - low
