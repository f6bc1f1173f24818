"""How many weights and multiply-adds each Keras layer has, from its configuration alone."""

from collections.abc import Mapping, Sequence
from math import ceil, prod
from typing import Any

_WEIGHTLESS_WORDS = """
Pooling Dropout Flatten Reshape Activation Softmax ReLU Padding Cropping Add Concatenate Multiply Subtract Rescaling
Permute Identity InputLayer Noise Average Maximum Minimum UpSampling RepeatVector Masking ELU StochasticDepth
CustomScaleLayer
"""
_WEIGHTLESS = tuple(_WEIGHTLESS_WORDS.split())
"""Parts of the names of layers that hold no weights."""


def weights_of(layers: Sequence[Mapping[str, Any]]) -> int | None:
    """Trained numbers of all layers; None where one of them is not known here."""
    counts = [_layer_weights(layer) for layer in layers]
    return None if any(count is None for count in counts) else sum(count or 0 for count in counts)


def work_of(layers: Sequence[Mapping[str, Any]]) -> int:
    """Multiply-adds of one row, roughly: weights times the positions where they are applied."""
    return sum((_layer_weights(layer) or 0) * _positions(layer) for layer in layers)


def _shape(layer: Mapping[str, Any]) -> list[Any]:
    shape = (layer.get("build_config") or {}).get("input_shape")
    return list(shape) if isinstance(shape, list) else []


def _layer_weights(layer: Mapping[str, Any]) -> int | None:
    kind, settings, shape = layer["class_name"], layer["config"], _shape(layer)
    if kind != "PReLU" and "Attention" not in kind and any(word in kind for word in _WEIGHTLESS):
        return 0
    if kind == "Embedding":
        return int(settings["input_dim"]) * int(settings["output_dim"])
    if kind == "LayerScale":
        return int(settings["projection_dim"])
    if not shape or not isinstance(shape[-1], int) or settings.get("data_format") == "channels_first":
        return None
    channels = int(shape[-1])
    bias = int(bool(settings.get("use_bias", True)))
    if kind == "Dense":
        return int(settings["units"]) * (channels + bias)
    if kind in ("Conv1D", "Conv2D", "Conv3D"):
        window = prod(settings["kernel_size"]) * channels // int(settings.get("groups", 1))
        return int(settings["filters"]) * int(window + bias)
    if kind in ("DepthwiseConv1D", "DepthwiseConv2D"):
        return channels * int(settings["depth_multiplier"]) * int(prod(settings["kernel_size"]) + bias)
    if kind == "BatchNormalization":
        return channels * (2 + int(bool(settings.get("center", True))) + int(bool(settings.get("scale", True))))
    return _recurrent_weights(kind, settings, channels, bias)


def _recurrent_weights(kind: str, settings: Mapping[str, Any], channels: int, bias: int) -> int | None:
    gates = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1}.get(kind)
    if gates is None:
        return None
    units = int(settings["units"])
    biases = bias * (2 if kind == "GRU" and settings.get("reset_after", True) else 1)
    return gates * units * (channels + units + biases)


def _positions(layer: Mapping[str, Any]) -> int:
    kind, settings, shape = layer["class_name"], layer["config"], _shape(layer)
    inner = [size if isinstance(size, int) else 1 for size in shape[1:-1]]
    if "Conv" in kind and "Transpose" not in kind:
        strides = settings.get("strides") or [1] * len(inner)
        window = settings.get("kernel_size") or [1] * len(inner)
        same = settings.get("padding") in ("same", "causal")
        lost = [0 if same else size - 1 for size in window]
        return prod(max(ceil((a - b) / c), 1) for a, b, c in zip(inner, lost, strides, strict=False))
    if kind == "Embedding":
        return 0
    return prod(inner)
