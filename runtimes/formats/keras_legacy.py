"""Configurations as Keras 2 wrote them into ``.h5`` files, in the words of Keras 3.

Keras 2 left modules unsaid, wrote a layer's inputs as ``["name", node, tensor, {…}]``, gave a nested model a node of its own
before its first use, and had settings that Keras 3 no longer takes. Those at their neutral value are dropped; others stay,
so that Keras 3 refuses what it cannot do.
"""

from collections.abc import Mapping
from typing import Any

_NEUTRAL: Mapping[str, Any] = {
    "time_major": False,
    "ragged": False,
    "softmax_robust_masking": False,
    "input_length": None,
    "query_shape": None,
    "key_shape": None,
    "value_shape": None,
}
"""Settings of Keras 2 alone, with the value at which they say nothing; None: whatever they say."""

_ONE_GROUP = ("Depthwise", "Separable", "Transpose")
"""Convolutions that Keras 3 makes of one group only."""

_RENAMED = {"BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization"}
_MODELS = {"Functional": "keras.src.models.functional", "Model": "keras.src.models.functional", "Sequential": "keras"}
_OF_FIELDS = (
    ("initializer", "keras.initializers"),
    ("regularizer", "keras.regularizers"),
    ("constraint", "keras.constraints"),
)


def modern(config: Mapping[str, Any]) -> dict[str, Any]:
    """A model's configuration in the words of Keras 3; one that is in them already comes back as it is.

    Args:
        config: ``class_name`` and ``config`` of a model, and what else stands beside them.
    """
    layers, inner = _layers(config)
    if layers is None or ("module" in config and all("module" in layer for layer in layers)):
        return dict(config)
    kind = str(config["class_name"])
    changed = [_layer(layer) for layer in layers]
    if kind == "Sequential":
        changed = _with_input(changed)
    else:
        models = {str(layer["config"].get("name")) for layer in changed if _is_functional(layer)}
        for layer in changed:
            layer["inbound_nodes"] = [_node(node, models) for node in layer.get("inbound_nodes") or []]
    settings = {**inner, "layers": changed}
    settings.pop("build_input_shape", None)
    return {
        **config,
        "module": _MODELS.get(kind, "keras"),
        "class_name": "Functional" if kind == "Model" else kind,
        "config": settings,
        "registered_name": config.get("registered_name"),
    }


def _layers(config: Mapping[str, Any]) -> tuple[list[dict[str, Any]] | None, dict[str, Any]]:
    """The layers of a model's configuration and what stands beside them; None where it is no model's."""
    inner = config.get("config")
    if isinstance(inner, list):  # Sequential before Keras 2.2.3
        inner = {"name": "sequential", "layers": inner}
    found = inner.get("layers") if isinstance(inner, dict) else None
    if config.get("class_name") not in _MODELS or not isinstance(found, list) or not isinstance(inner, dict):
        return None, {}
    good = all(isinstance(layer, dict) and isinstance(layer.get("config"), dict | list) for layer in found)
    return (found, inner) if good else (None, {})


def _is_functional(layer: Mapping[str, Any]) -> bool:
    return layer.get("class_name") == "Functional"


def _layer(layer: Mapping[str, Any]) -> dict[str, Any]:
    """One layer; nested models and wrapped layers too."""
    if _layers(layer)[0] is not None:
        found = modern(layer)
        found["config"].setdefault("name", layer.get("name"))
        return found
    kind = _RENAMED.get(str(layer.get("class_name")), layer.get("class_name"))
    settings = {key: _setting(key, value) for key, value in layer["config"].items() if not _is_neutral(key, value)}
    if isinstance(kind, str) and any(word in kind for word in _ONE_GROUP) and settings.get("groups") == 1:
        del settings["groups"]
    if kind in ("SeparableConv1D", "SeparableConv2D"):  # inherited from a plain convolution, and of no effect
        settings = {
            key: value for key, value in settings.items() if not key.startswith("kernel_") or key == "kernel_size"
        }
    axis = settings.get("axis")
    if kind == "BatchNormalization" and isinstance(axis, list) and len(axis) == 1:
        settings["axis"] = axis[0]
    shape = settings.pop("batch_input_shape", None)
    if kind == "InputLayer" and "batch_shape" not in settings:
        settings["batch_shape"] = shape
    found = {**layer, "class_name": kind, "config": settings}
    found.setdefault("module", "keras.layers")
    found.setdefault("registered_name", None)
    if kind != "InputLayer" and shape is not None:
        found["batch_input_shape"] = shape
    return found


def _is_neutral(key: str, value: Any) -> bool:
    return key in _NEUTRAL and _NEUTRAL[key] in (None, value)


def _setting(key: str, value: Any) -> Any:
    """One setting of a layer: an object of Keras gets its module, a policy its name alone."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    if value.get("class_name") in ("Policy", "PolicyV1") and isinstance(value.get("config"), dict):
        return value["config"].get("name")
    if key in ("layer", "backward_layer", "cell") and isinstance(value.get("config"), dict | list):
        return _layer(value)
    module = next((module for word, module in _OF_FIELDS if word in key), None)
    return {"module": module, "registered_name": None, **value} if module and "module" not in value else value


def _with_input(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The layers of a Sequential model after an input of their own, where the first says what it reads."""
    first: dict[str, Any] = layers[0] if layers else {"class_name": "InputLayer"}
    shape = first.pop("batch_input_shape", None)
    if first["class_name"] == "InputLayer" or not isinstance(shape, list):
        return layers
    said = first["config"]
    words = first["class_name"] == "Embedding"
    dtype = said.get("dtype") if isinstance(said.get("dtype"), str) and not words else "float32"
    settings = {"name": f"{said.get('name')}_input", "batch_shape": shape, "dtype": dtype}
    given = {"module": "keras.layers", "class_name": "InputLayer", "config": settings, "registered_name": None}
    return [given, *layers]


def _node(node: Any, models: set[str]) -> Any:
    """One use of a layer: its arguments, each a tensor by where it comes from."""
    if isinstance(node, dict):
        return node
    calls = [node] if node and isinstance(node[0], str) else list(node)
    tensors = [_tensor(call, models) for call in calls]
    said = calls[0][3] if calls and len(calls[0]) > 3 and isinstance(calls[0][3], dict) else {}
    return {
        "args": [tensors if len(tensors) > 1 else tensors[0]],
        "kwargs": {k: _argument(v, models) for k, v in said.items()},
    }


def _argument(value: Any, models: set[str]) -> Any:
    """An argument of a call: a tensor where it looks like one (``["x", 0, 0]``), lists of them, or plain."""
    if isinstance(value, list) and len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
        return _tensor(value, models)
    return [_argument(item, models) for item in value] if isinstance(value, list) else value


def _tensor(call: Any, models: set[str]) -> dict[str, Any]:
    name, node, tensor = str(call[0]), int(call[1]), int(call[2])
    # In Keras 2 a model's own definition is its node 0, where it is used as a layer.
    history = [name, node - (name in models and node > 0), tensor]
    return {"class_name": "__keras_tensor__", "config": {"shape": [], "dtype": "float32", "keras_history": history}}
