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
Silu Softplus Softsign Tanh Negative Exp
"""
ELEMENTWISE = frozenset(_ELEMENTWISE.split())
"""One number becomes one number: relevance passes unchanged."""

AFFINE = frozenset({"BatchNormalization", "Normalization", "Rescaling"})
"""An element times a number plus a number. A batch normalisation is folded into the linear layer before it, where there is
one; what stands at the input passes relevance unchanged; elsewhere the added number absorbs its share, as a bias does."""

SCALED = frozenset({"RMSNormalization", "UnitNormalization", "LayerScale"})
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

RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN", "RNN"})
"""Step by step; the signal takes all, the gates nothing (Arras et al., 2017)."""

CELLS = frozenset({"LSTMCell", "GRUCell", "SimpleRNNCell"})
"""What an ``RNN`` may be made of."""

ATTENDING = frozenset(
    {"MultiHeadAttention", "GroupedQueryAttention", "GroupQueryAttention", "Attention", "AdditiveAttention"}
)
"""Sums of values, weighted by what is looked at, which gets nothing (Ali et al., 2022)."""

WRAPPING = frozenset({"Bidirectional", "TimeDistributed"})
"""As the layer that they hold."""

_MOVED = """
InputLayer Flatten Reshape Permute RepeatVector Concatenate Dropout SpatialDropout1D SpatialDropout2D
SpatialDropout3D GaussianDropout GaussianNoise AlphaDropout ActivityRegularization Identity Masking
Embedding ZeroPadding1D ZeroPadding2D ZeroPadding3D Cropping1D Cropping2D Cropping3D UpSampling1D
UpSampling3D CenterCrop ExpandDims Squeeze Transpose GetItem Stack Cast StochasticDepth
"""
MOVED = frozenset(_MOVED.split())
"""Elements change their place, or nothing at all: relevance goes with them."""

_SAYING = "Equal NotEqual Greater GreaterEqual Less LessEqual LogicalAnd LogicalNot LogicalOr Any All"
SAYING = frozenset(_SAYING.split())
"""True or false (a mask, for one): no relevance gets there."""

GATING_ACTIVATIONS = frozenset({"sigmoid", "hard_sigmoid", "softmax"})

MODELS = frozenset({"Functional", "Sequential", "Model"})

_COVERED = (
    LINEAR
    | ELEMENTWISE
    | AFFINE
    | SCALED
    | CENTRED
    | SHARED
    | WINNING
    | GATED
    | MOVED
    | SAYING
    | MODELS
    | RECURRENT
    | ATTENDING
)
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
    found = (_why(layer, heads) for layer in (layers if isinstance(layers, list) else []))
    return next((why for why in found if why), None)


def without_rescaling(config: Any) -> str | None:
    """The first layer whose slopes are rounded, so that no rule shares out its differences, in words; None: there is none.

    Args:
        config: of a model; whatever layers hold is looked into.
    """
    if isinstance(config, list):
        return next((why for one in config if (why := without_rescaling(one))), None)
    if not isinstance(config, dict):
        return None
    settings = config.get("config")
    if isinstance(settings, dict) and "class_name" in config and _quantised(settings) == "float8":
        return f"layer `{settings.get('name')}` ({config['class_name']} quantised to float8)"
    return next((why for one in config.values() if (why := without_rescaling(one))), None)


def _why(layer: Any, heads: frozenset[str]) -> str | None:
    """Which layer of this one, and of what is nested in it, has no rule, in words."""
    if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
        return None
    kind, settings = str(layer.get("class_name")), layer["config"]
    name = str(settings.get("name"))
    at_head = name in heads
    if kind in MODELS:
        return without_rule(layer, _last(layer) if at_head else frozenset())
    if kind in WRAPPING:
        held = [settings[key] for key in ("layer", "backward_layer") if isinstance(settings.get(key), dict)]
        coded = [one for one in held if _quantised(one["config"])]
        if coded:
            # Keras runs such a layer on its codes as if they were weights: its answers are not those of the layer.
            return (
                f"layer `{coded[0]['config'].get('name')}` (quantised to {_quantised(coded[0]['config'])}) in `{name}`"
            )
        if kind == "Bidirectional" and any(one.get("class_name") not in RECURRENT for one in held):
            return f"layer `{name}` ({kind} of {', '.join(str(one.get('class_name')) for one in held)})"
        return next((f"{why} in `{name}`" for one in held if (why := _why(one, frozenset()))), None)
    if kind == "UpSampling2D" and settings.get("interpolation", "nearest") == "nearest":
        return None
    if kind not in _COVERED and not (kind == "Softmax" and at_head):
        return f"layer `{name}` ({kind})"
    if kind in RECURRENT:
        cell = settings.get("cell") if kind == "RNN" else layer
        if not isinstance(cell, dict) or (kind == "RNN" and cell.get("class_name") not in CELLS):
            return f"layer `{name}` ({kind} of {cell.get('class_name') if isinstance(cell, dict) else 'several cells'})"
        settings, at_head = cell["config"], False
    if _activation(settings) in TOGETHER and not at_head:
        return f"layer `{name}` ({kind} with {_activation(settings)})"
    if kind in ATTENDING | LINEAR and (mode := _quantised(settings)) and (mode != "int8" or kind in ATTENDING):
        return f"layer `{name}` ({kind} quantised to {mode})"
    if settings.get("data_format") == "channels_first":
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


def _quantised(settings: Mapping[str, Any]) -> str:
    """What the weights of a layer are quantised to; of a map of policies the first that says so; empty where none does."""
    return _mode(settings.get("dtype"))


def _mode(policy: Any) -> str:
    """``int8`` of ``int8_from_float32``, as a name or as its parts; the size of blocks (``int4/128``) left out."""
    if isinstance(policy, str):
        return policy.partition("_from_")[0].partition("/")[0] if "_from_" in policy else ""
    inner = policy.get("config") if isinstance(policy, dict) else None
    if not isinstance(inner, dict):
        return ""
    if isinstance(inner.get("mode"), str):
        return str(inner["mode"]).partition("/")[0]
    named = inner.get("policy_map")
    others = list(named.values()) if isinstance(named, dict) else []
    parts = (inner.get("name"), inner.get("default_policy"), *others)
    return next((found for part in parts if (found := _mode(part))), "")


def activation_name(operation: Any) -> str:
    """The name of the activation that a layer or operation has, or is; empty where it has none."""
    kind = type(operation).__name__
    if kind in ("ReLU", "Relu", "Relu6"):
        slope = getattr(operation, "negative_slope", 0.0)
        return "relu" if not slope else ""
    if kind in ("Sigmoid", "HardSigmoid"):
        return "hard_sigmoid" if kind == "HardSigmoid" else "sigmoid"
    return str(getattr(getattr(operation, "activation", None), "__name__", ""))


def _activation(settings: Mapping[str, Any]) -> str:
    found = settings.get("activation")
    if isinstance(found, dict):
        found = found.get("config")
    return found if isinstance(found, str) else ""
