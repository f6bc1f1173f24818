"""Configurations as Keras 2 wrote them into ``.h5`` files and archives (``.keras``), in the words of Keras 3.

Keras 2 left modules unsaid, wrote a layer's inputs as ``["name", node, tensor, {…}]``, gave a nested model a node of its own
before its first use, and had settings that Keras 3 no longer takes. Those at their neutral value are dropped; others stay,
so that Keras 3 refuses what it cannot do.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from runtimes.formats.keras_tf_operations import KINDS, as_operation, refuse_others

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

_OF_OPTIMIZERS: Mapping[str, Any] = {"jit_compile": False, "is_legacy_optimizer": False, "decay": 0.0}
"""Settings of Keras 2's optimizers alone, with the value at which they say nothing."""

_ONE_GROUP = ("Depthwise", "Separable", "Transpose")
"""Convolutions that Keras 3 makes of one group only."""

_RENAMED = {"BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization"}
_ENGINES = ("keras.src.engine.", "keras.engine.", "tf_keras.src.engine.")
_PLACES = frozenset({"keras", "keras.models", "keras.src.models", "tf_keras.src.models"})
"""Where Keras 2 said that models come from; tf_keras is Keras 2 under another name. Anywhere else is not its own."""
_PLACES_OF_OPERATIONS = frozenset(
    f"{place}layers.core.tf_op_layer" for place in ("keras.src.", "keras.", "tf_keras.src.", "tensorflow.python.keras.")
)
_MODELS = {"Functional": "keras.src.models.functional", "Model": "keras.src.models.functional", "Sequential": "keras"}
_OF_FIELDS = (
    ("initializer", "keras.initializers"),
    ("regularizer", "keras.regularizers"),
    ("constraint", "keras.constraints"),
)


def modern(config: Mapping[str, Any], version: str = "") -> dict[str, Any]:
    """A model's configuration in the words of Keras 3; one that is in them already comes back as it is.

    Args:
        config: ``class_name`` and ``config`` of a model, and what else stands beside them.
        version: of the Keras that wrote an archive: version 2 said the modules, and all else in its own words.

    Raises:
        ModelFileError: a layer calls a function of TensorFlow that is no operation of Keras.
    """
    layers, inner = _layers(config)
    said = "module" in config and all("module" in layer for layer in layers or [])
    if layers is None or (said and not version.startswith("2.")) or not _is_own(config):
        return dict(config)
    kind = str(config["class_name"])
    changed = [dict(layer) if _is_operation(layer) else _layer(layer, version) for layer in layers]
    settings = dict(inner)
    if kind == "Sequential":
        changed = _with_input(changed)
    else:
        models = _with_a_node_of_their_own(changed, inner)
        changed = [as_operation(one, lambda v: _argument(v, models)) if _is_operation(one) else one for one in changed]
        for layer in changed:
            layer["inbound_nodes"] = [_node(node, models) for node in layer.get("inbound_nodes") or []]
        settings["output_layers"] = _outputs(inner.get("output_layers"), models)
    settings["layers"] = changed
    settings.pop("build_input_shape", None)
    return {
        **config,
        **_compiled(config),
        "module": _MODELS.get(kind, "keras"),
        "class_name": "Functional" if kind == "Model" else kind,
        "config": settings,
        "registered_name": None if config.get("registered_name") == kind else config.get("registered_name"),
    }


def _compiled(config: Mapping[str, Any]) -> dict[str, Any]:
    """A model's loss and optimizer, without settings of the optimizer that Keras 3 does not have."""
    compiled = config.get("compile_config")
    optimizer = compiled.get("optimizer") if isinstance(compiled, dict) else None
    if (
        not isinstance(compiled, dict)
        or not isinstance(optimizer, dict)
        or not isinstance(optimizer.get("config"), dict)
    ):
        return {}
    kept = {key: v for key, v in optimizer["config"].items() if key not in _OF_OPTIMIZERS or v != _OF_OPTIMIZERS[key]}
    return {"compile_config": {**compiled, "optimizer": {**optimizer, "config": kept}}}


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


def _is_own(config: Mapping[str, Any]) -> bool:
    """Whether a model is one of Keras' own classes."""
    module = config.get("module")
    return module is None or module in _PLACES or (isinstance(module, str) and module.startswith(_ENGINES))


def _is_operation(layer: Mapping[str, Any]) -> bool:
    """Whether a layer calls a function of TensorFlow."""
    module = layer.get("module")
    return layer.get("class_name") in KINDS and (module is None or module in _PLACES_OF_OPERATIONS)


def _with_a_node_of_their_own(layers: list[dict[str, Any]], inner: Mapping[str, Any]) -> set[str]:
    """Nested models whose own definition is their node 0, so that uses are counted from 1.

    That is so of functional ones always, and of Sequential ones where a use has a number that else would be one too many.
    """
    names = {str(layer["config"].get("name")): layer for layer in layers if layer["class_name"] in _MODELS}
    highest: dict[str, int] = {}
    for name, node in _uses([[layer.get("inbound_nodes") for layer in layers], inner.get("output_layers")]):
        highest[name] = max(node, highest.get(name, 0))
    return {
        name
        for name, layer in names.items()
        if layer["class_name"] == "Functional" or highest.get(name, 0) >= len(layer.get("inbound_nodes") or [])
    }


def _uses(value: Any) -> Iterator[tuple[str, int]]:
    """The tensors that are named in a value, as layer and node."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0], value[1]
        for item in value:
            yield from _uses(item)


def _outputs(value: Any, models: set[str]) -> Any:
    """The outputs of a model, the uses of nested models counted from 0."""
    if isinstance(value, dict):
        return {key: _outputs(item, models) for key, item in value.items()}
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str) and isinstance(value[1], int):
        return [value[0], value[1] - (value[0] in models and value[1] > 0), value[2]]
    return [_outputs(item, models) for item in value] if isinstance(value, list) else value


def _layer(layer: Mapping[str, Any], version: str) -> dict[str, Any]:
    """One layer; nested models and wrapped layers too."""
    refuse_others(layer)
    if _layers(layer)[0] is not None:
        found = modern(layer, version)
        found["config"].setdefault("name", layer.get("name"))
        return found
    kind = _RENAMED.get(str(layer.get("class_name")), layer.get("class_name"))
    settings = {
        key: _setting(key, value, version) for key, value in layer["config"].items() if not _is_neutral(key, value)
    }
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


def _setting(key: str, value: Any, version: str) -> Any:
    """One setting of a layer: an object of Keras gets its module, a policy its name alone."""
    if not isinstance(value, dict) or "class_name" not in value:
        return value
    if value.get("class_name") in ("Policy", "PolicyV1") and isinstance(value.get("config"), dict):
        return value["config"].get("name")
    if key in ("layer", "backward_layer", "cell") and isinstance(value.get("config"), dict | list):
        return _layer(value, version)
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
