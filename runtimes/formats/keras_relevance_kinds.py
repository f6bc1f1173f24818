"""Which layers relevance can be propagated through, and in what manner; known without Keras, from a file's configuration."""

from collections.abc import Mapping
from typing import Any

_RANKS = ("1D", "2D", "3D")

LINEAR = frozenset(
    {"Dense", "EinsumDense", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D"}
    | {f"Conv{rank}" for rank in _RANKS}
    | {f"Conv{rank}Transpose" for rank in _RANKS}
)
"""Weighted sums: where the rules differ."""

CONVOLUTIONS = LINEAR - {"Dense", "EinsumDense"}

_ELEMENTWISE = """
Activation ReLU LeakyReLU PReLU ELU ThresholdedReLU Elu Gelu HardSigmoid LeakyRelu Relu Relu6 Selu Sigmoid
Silu Softplus Softsign Tanh Negative
"""
ELEMENTWISE = frozenset(_ELEMENTWISE.split())
"""One number becomes one number: relevance passes unchanged."""

AFFINE = frozenset({"BatchNormalization", "Normalization", "Rescaling"})
"""An element times a number plus a number. A batch normalisation is folded into the linear layer before it, where there is
one; what stands at the input passes relevance unchanged; elsewhere the added number absorbs its share, as a bias does."""

SCALED = frozenset({"RMSNormalization", "UnitNormalization"})
"""An element times a number that is taken as given: relevance passes unchanged."""

CENTRED = frozenset({"LayerNormalization"})
"""Linear once the spread is taken as given (Ali et al., 2022)."""

SHARED = frozenset(
    {"Add", "Subtract", "Average", "Mean", "Sum"}
    | {f"{kind}Pooling{rank}" for kind in ("Average", "GlobalAverage") for rank in _RANKS}
)
"""Plain sums and means: relevance is shared in proportion to the terms."""

WINNING = frozenset(
    {"Maximum", "Minimum", "Max"} | {f"{kind}Pooling{rank}" for kind in ("Max", "GlobalMax") for rank in _RANKS}
)
"""The largest term takes all."""

GATED = frozenset({"Multiply", "Divide", "TrueDivide"})
"""The signal takes all, the gate or the divisor nothing (Arras et al., 2017)."""

_MOVED = """
InputLayer Flatten Reshape Permute RepeatVector Concatenate Dropout SpatialDropout1D SpatialDropout2D
SpatialDropout3D GaussianDropout GaussianNoise AlphaDropout ActivityRegularization Identity Masking
Embedding ZeroPadding1D ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D Cropping3D UpSampling1D
UpSampling3D CenterCrop ExpandDims Squeeze Transpose GetItem Stack Cast
"""
MOVED = frozenset(_MOVED.split())
"""Elements change their place, or nothing at all: relevance goes with them."""

GATING_ACTIVATIONS = frozenset({"sigmoid", "hard_sigmoid", "softmax"})

MODELS = frozenset({"Functional", "Sequential", "Model"})

_COVERED = LINEAR | ELEMENTWISE | AFFINE | SCALED | CENTRED | SHARED | WINNING | GATED | MOVED | MODELS
TOGETHER = frozenset({"softmax", "log_softmax", "glu", "sparsemax"})
"""Activations that make a number of all others: no rule says whose relevance that is."""


def without_rule(config: Mapping[str, Any], heads: frozenset[str]) -> str | None:
    """The first layer that relevance cannot be propagated through, in words; None where there is none.

    Args:
        config: of a model; nested models are looked into.
        heads: layers that make outputs, whose softmax is taken away before anything is propagated.
    """
    inner = config.get("config")
    layers = inner.get("layers", []) if isinstance(inner, dict) else inner
    for layer in layers if isinstance(layers, list) else []:
        if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
            continue
        kind, settings = str(layer.get("class_name")), layer["config"]
        name = str(settings.get("name"))
        at_head = name in heads
        if kind in MODELS:
            found = without_rule(layer, _last(layer) if at_head else frozenset())
            if found:
                return found
        elif kind == "UpSampling2D" and settings.get("interpolation", "nearest") == "nearest":
            continue
        elif kind not in _COVERED and not (kind == "Softmax" and at_head):
            return f"layer `{name}` ({kind})"
        elif _activation(settings) in TOGETHER and not at_head:
            return f"layer `{name}` ({kind} with {_activation(settings)})"
        elif settings.get("data_format") == "channels_first":
            return f"layer `{name}` ({kind} with channels first)"
    return None


def _last(model: Mapping[str, Any]) -> frozenset[str]:
    settings = model["config"]
    if model.get("class_name") == "Sequential":
        return frozenset({str(settings["layers"][-1]["config"].get("name"))})
    return frozenset(_names(settings.get("output_layers")))


def _names(value: Any) -> list[str]:
    if isinstance(value, list) and value and isinstance(value[0], str):
        return [value[0]]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [name for item in items for name in _names(item)]


def _activation(settings: Mapping[str, Any]) -> str:
    found = settings.get("activation")
    if isinstance(found, dict):
        found = found.get("config")
    return found if isinstance(found, str) else ""
