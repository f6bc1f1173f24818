"""The layers of a Keras file, those of nested models too, as `LayerFacts`: read from its configuration."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from runtimes.formats.keras_rectified import has_rectifiers
from runtimes.target import LayerFacts

Settings = Callable[[Mapping[str, Any]], dict[str, Any]]
Layers = Callable[[Mapping[str, Any]], list[dict[str, Any]]]


def layer_facts(
    config: Mapping[str, Any], layers_of: Layers, settings: Settings, prefix: str = "", times: int = 1
) -> Iterator[LayerFacts]:
    """Every layer in file order; those of a nested model before it, as ``outer/inner``.

    Args:
        config: of a model.
        layers_of: gives the layers of a model's configuration.
        settings: gives the plain settings of a layer's configuration.
        prefix: what stands before the names.
        times: how often one call uses this model.
    """
    layers = layers_of(config)
    shapes = _shapes(layers, sequential=config.get("class_name") == "Sequential")
    for layer in layers:
        name, kind = str(layer["config"].get("name")), str(layer["class_name"])
        used = times * _uses(layer, kind)
        if layers_of(layer):
            yield from layer_facts(layer, layers_of, settings, f"{prefix}{name}/", used)
        yield LayerFacts(f"{prefix}{name}", kind, settings(layer), used, shapes.get(name))


def inside(config: Any) -> set[str]:
    """What can be asked of the layers of a model with gradients, by the capabilities' names."""
    found = {"LayerDifferentiable"}
    if has_rectifiers(config):
        found.add("Rectified")
    if '"MultiHeadAttention"' in json.dumps(config):
        found.add("AttentionReadable")
    return found


def _uses(layer: Mapping[str, Any], kind: str) -> int:
    """How often one call uses a layer; an input and a plain operation (``x * 2``) is none."""
    if kind == "InputLayer" or str(layer.get("module") or "").startswith("keras.src.ops"):
        return 0
    nodes = layer.get("inbound_nodes")
    return len(nodes) if isinstance(nodes, list) and nodes else 1


def _shapes(layers: Sequence[Mapping[str, Any]], *, sequential: bool) -> dict[str, tuple[int | None, ...]]:
    """What layers give, without the row axis, where those that read it say so."""
    found: dict[str, tuple[int | None, ...]] = {}
    if sequential:
        for layer, after in pairwise(layers):
            shape = _shape((after.get("build_config") or {}).get("input_shape"))
            if shape is not None:
                found[str(layer["config"].get("name"))] = shape
        return found
    for layer in layers:
        for tensor in _tensors(layer.get("inbound_nodes")):
            history, shape = tensor.get("keras_history"), _shape(tensor.get("shape"))
            if isinstance(history, list) and history and shape is not None:
                found[str(history[0])] = shape
    return found


def _shape(value: Any) -> tuple[int | None, ...] | None:
    """A shape without its row axis, or None where it is none."""
    if isinstance(value, list) and value and all(size is None or isinstance(size, int) for size in value):
        return tuple(value[1:])
    return None


def _tensors(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__" and isinstance(value.get("config"), dict):
            yield value["config"]
            return
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _tensors(item)
