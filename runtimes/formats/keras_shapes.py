"""The shape of what each Keras layer gives, from the configuration alone; None where it does not say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil, prod
from typing import Any

Shape = tuple[int | None, ...]
"""With the row axis, which is None."""

_KEEPS_WORDS = """
Activation Softmax Sigmoid Dropout ReLU LeakyReLU PReLU ELU ThresholdedReLU Identity BatchNormalization
LayerNormalization GroupNormalization RMSNormalization UnitNormalization SpectralNormalization Normalization Rescaling
GaussianNoise GaussianDropout AlphaDropout SpatialDropout1D SpatialDropout2D SpatialDropout3D Masking
ActivityRegularization MultiHeadAttention GroupQueryAttention LayerScale StochasticDepth CustomScaleLayer
"""
_KEEPS = frozenset(_KEEPS_WORDS.split())
"""Layers whose output is shaped as their (first) input."""

_MERGES = frozenset({"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"})
_RECURRENT = frozenset({"LSTM", "GRU", "SimpleRNN"})
_REDUCING = "Any All Mean Sum Max Min Amax Amin Concatenate Stack Matmul Reshape Transpose ExpandDims Squeeze GetItem"
_NOT_ELEMENTWISE = frozenset(_REDUCING.split())

Layers = Callable[[Mapping[str, Any]], list[dict[str, Any]]]


def shapes_in(config: Mapping[str, Any], layers_of: Layers) -> dict[str, Shape | None]:
    """Layer name to the shape of what it gives.

    Args:
        config: of a model.
        layers_of: gives the layers of a model's configuration.
    """
    layers = layers_of(config)
    found: dict[str, Shape | None] = {}
    if config.get("class_name") == "Sequential":
        shape: Shape | None = None
        for layer in layers:
            built = _as_shape((layer.get("build_config") or {}).get("input_shape"))
            shape = _given(layer, [built or shape], layers_of)
            found[str(layer["config"].get("name"))] = shape
        return found
    recorded = {history[0]: shape for layer in layers for history, shape in recorded_tensors(layer) if shape}
    for layer in layers:
        name = str(layer["config"].get("name"))
        read = [shape or found.get(history[0]) for history, shape in recorded_tensors(layer)]
        built = _as_shape((layer.get("build_config") or {}).get("input_shape"))
        own = _given(layer, read or [built], layers_of)
        found[name] = recorded.get(name) or own
    return found


def recorded_tensors(layer: Mapping[str, Any]) -> Iterator[tuple[list[Any], Shape | None]]:
    """The tensors that a layer reads at its first use: where each comes from, and its shape where that is written."""
    for node in (layer.get("inbound_nodes") or [])[:1]:
        for tensor in keras_tensors(node):
            history = tensor.get("keras_history")
            if isinstance(history, list) and history:
                yield history, _as_shape(tensor.get("shape"))


def keras_tensors(value: Any) -> Iterator[Mapping[str, Any]]:
    """The tensors of a model that are named anywhere in a value."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            yield value["config"]
            return
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from keras_tensors(item)


def _as_shape(value: Any) -> Shape | None:
    if not isinstance(value, list | tuple) or not value:
        return None
    return (None, *value[1:]) if all(size is None or isinstance(size, int) for size in value) else None


def _given(layer: Mapping[str, Any], read: Sequence[Shape | None], layers_of: Layers) -> Shape | None:
    """What one layer gives for what it reads."""
    settings, kind = layer["config"], str(layer["class_name"])
    if kind == "InputLayer":
        return _as_shape(settings.get("batch_shape") or settings.get("batch_input_shape"))
    if layers_of(layer):
        inner = shapes_in(layer, layers_of)
        last = settings.get("output_layers") if isinstance(settings, dict) else None
        name = last[0][0] if isinstance(last, list) and last and isinstance(last[0], list) else None
        name = last[0] if isinstance(last, list) and last and isinstance(last[0], str) else name
        return inner.get(name) if name else list(inner.values())[-1]
    shape = read[0] if read else None
    if kind == "Dense":
        return (*(shape or (None, None))[:-1], int(settings["units"]))
    if kind in _RECURRENT:
        units = int(settings["units"])
        return (None, shape[1] if shape else None, units) if settings.get("return_sequences") else (None, units)
    if kind in _MERGES or (str(layer.get("module")).startswith("keras.src.ops") and kind not in _NOT_ELEMENTWISE):
        return _broadcast(read)
    if shape is None:
        return None
    if kind in _KEEPS:
        return shape
    if kind == "Concatenate":
        return _joined(read, int(settings.get("axis", -1)))
    if kind in ("Attention", "AdditiveAttention"):
        value = read[1] if len(read) > 1 else None
        return (*shape[:-1], value[-1] if value else None)
    if kind in ("Bidirectional", "TimeDistributed"):
        return _wrapped(kind, settings, shape, layers_of)
    if "Conv" in kind or "Pooling" in kind:
        return _windowed(kind, settings, shape)
    return _rearranged(kind, settings, shape)


def _broadcast(read: Sequence[Shape | None]) -> Shape | None:
    shapes = [shape for shape in read if shape is not None]
    if not shapes or len(shapes) < len(read) or len({len(shape) for shape in shapes}) > 1:
        return None
    return tuple(
        max(sizes, key=lambda size: size or 0) if None not in sizes else None for sizes in zip(*shapes, strict=True)
    )


def _joined(read: Sequence[Shape | None], axis: int) -> Shape | None:
    shapes = [shape for shape in read if shape is not None]
    if len(shapes) < len(read) or len({len(shape) for shape in shapes}) > 1:
        return None
    axis %= len(shapes[0])
    sizes = [shape[axis] for shape in shapes]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])


def _wrapped(kind: str, settings: Mapping[str, Any], shape: Shape, layers_of: Layers) -> Shape | None:
    inner = settings.get("layer")
    if not isinstance(inner, dict) or not isinstance(inner.get("config"), dict):
        return None
    if kind == "TimeDistributed":
        found = _given(inner, [(None, *shape[2:])], layers_of)
        return None if found is None else (None, shape[1], *found[1:])
    found, merge = _given(inner, [shape], layers_of), settings.get("merge_mode", "concat")
    if found is None or merge is None:
        return None
    return (*found[:-1], (found[-1] or 0) * 2) if merge == "concat" else found


def _windowed(kind: str, settings: Mapping[str, Any], shape: Shape) -> Shape | None:
    """Convolutions and pooling."""
    first = settings.get("data_format") == "channels_first"
    channels, space = (shape[1], shape[2:]) if first else (shape[-1], shape[1:-1])
    if kind.startswith("ConvLSTM"):
        return None
    if kind.startswith("Global"):
        return (None, channels) if not settings.get("keepdims") else _placed([1] * len(space), channels, first)
    if "Pooling" not in kind:
        deep = "Depthwise" in kind
        multiplier = int(settings.get("depth_multiplier", 1))
        channels = (None if channels is None else channels * multiplier) if deep else int(settings["filters"])
    window = _each(settings.get("kernel_size") or settings.get("pool_size"), len(space))
    strides = _each(settings.get("strides") or window, len(space))
    dilation = _each(settings.get("dilation_rate") or 1, len(space))
    if "Transpose" in kind:
        return _placed([None] * len(space), channels, first)
    same = settings.get("padding") in ("same", "causal")
    sizes = [
        None if size is None else max(ceil((size - (0 if same else (w - 1) * d)) / s), 0)
        for size, w, s, d in zip(space, window, strides, dilation, strict=True)
    ]
    return _placed(sizes, channels, first)


def _placed(space: Sequence[int | None], channels: int | None, first: bool) -> Shape:
    return (None, channels, *space) if first else (None, *space, channels)


def _each(value: Any, n: int) -> list[int]:
    return [int(value)] * n if isinstance(value, int) else [int(one) for one in value]


def _rearranged(kind: str, settings: Mapping[str, Any], shape: Shape) -> Shape | None:
    sizes = shape[1:]
    whole = None if None in sizes else prod(size or 0 for size in sizes)
    if kind == "Flatten":
        return (None, whole)
    if kind == "Reshape":
        target = [int(size) for size in settings["target_shape"]]
        rest = prod(size for size in target if size != -1)
        return (None, *[(None if whole is None else whole // max(rest, 1)) if size == -1 else size for size in target])
    if kind == "Permute":
        return (None, *[shape[int(axis)] for axis in settings["dims"]])
    if kind == "RepeatVector":
        return (None, int(settings["n"]), *sizes)
    if kind == "Embedding":
        return (*shape, int(settings["output_dim"]))
    return None
