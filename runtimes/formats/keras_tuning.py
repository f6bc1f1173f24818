"""What tuning may change in a Keras file: addresses, where they stand in the configuration, and how to set them."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.formats.keras_file import KerasFile
from runtimes.target import ModelFileError

_CONV = ("Conv1D", "Conv2D", "Conv3D", "SeparableConv1D", "SeparableConv2D")
_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_FIELDS: dict[str, tuple[str, ...]] = {
    "Dense": ("units", "activation", "kernel_regularizer.l2"),
    **dict.fromkeys(_CONV, ("filters", "kernel_size", "activation", "kernel_regularizer.l2")),
    **dict.fromkeys(_RECURRENT, ("units", "activation", "dropout", "recurrent_dropout", "kernel_regularizer.l2")),
    **dict.fromkeys(("DepthwiseConv1D", "DepthwiseConv2D"), ("kernel_size", "activation")),
    **dict.fromkeys(("Dropout", "AlphaDropout", "GaussianDropout"), ("rate",)),
    **dict.fromkeys(("SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D"), ("rate",)),
    "GaussianNoise": ("stddev",),
    "BatchNormalization": ("momentum",),
    "LeakyReLU": ("negative_slope",),
    "Embedding": ("output_dim",),
}
_FIXED_AT_THE_END = ("units", "filters", "activation")
"""The last sizes and activation are the classes themselves."""


@dataclass(frozen=True)
class Place:
    """One address: the declared value, and the keys that lead to it from the model object."""

    keys: tuple[str | int, ...]
    value: Any
    field: str


def tunables_of(file: KerasFile, outputs: Sequence[str]) -> dict[str, Place]:
    """Every address that the file offers."""
    found: dict[str, Place] = {}
    layers = file.config["config"].get("layers", [])
    fixed = _deciding_the_outputs(file.config, layers, set(outputs))
    for position, layer in enumerate(layers):
        settings = layer.get("config")
        if not isinstance(settings, dict) or "name" not in settings:
            continue
        name = str(settings["name"])
        for field in _FIELDS.get(layer.get("class_name", ""), ()):
            if name in fixed and field in _FIXED_AT_THE_END:
                continue
            place = _place(settings, field, ("config", "layers", position, "config"))
            if place is not None:
                found[f"layers.{name}.{field}"] = place
    found.update(_optimizer(file))
    return found


def _place(settings: Mapping[str, Any], field: str, keys: tuple[str | int, ...]) -> Place | None:
    if field == "kernel_regularizer.l2":
        return _regularizer(settings.get("kernel_regularizer"), keys)
    value = settings.get(field)
    if field == "kernel_size":
        sizes = value if isinstance(value, list) else [value]
        value = sizes[0] if len(set(sizes)) == 1 and isinstance(sizes[0], int) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    return Place((*keys, field), value, field)


def _regularizer(declared: Any, keys: tuple[str | int, ...]) -> Place | None:
    """An L2 penalty, 0 where there is none; other penalties are the author's own and stay as they are."""
    if declared is None:
        return Place((*keys, "kernel_regularizer"), 0.0, "kernel_regularizer.l2")
    if isinstance(declared, dict) and declared.get("class_name") == "L2":
        return Place((*keys, "kernel_regularizer"), float(declared["config"]["l2"]), "kernel_regularizer.l2")
    return None


def _optimizer(file: KerasFile) -> Iterator[tuple[str, Place]]:
    optimizer = (file.compile_config or {}).get("optimizer")
    settings: dict[str, Any] = (optimizer.get("config") or {}) if isinstance(optimizer, dict) else {}
    for field, value in settings.items():
        unused = field.startswith("ema_") and not settings.get("use_ema")
        if isinstance(value, int | float) and not isinstance(value, bool) and not unused:
            yield f"optimizer.{field}", Place(("compile_config", "optimizer", "config", field), _shortest(value), field)


def _shortest(value: float) -> float:
    """Keras writes a learning rate of 0.001 as the float32 that it keeps, 0.0010000000474974513."""
    return float(str(np.float32(value))) if isinstance(value, float) and float(np.float32(value)) == value else value


def _deciding_the_outputs(model: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], outputs: set[str]) -> set[str]:
    """Names of the layers between the outputs and the last layer that sets their size, that layer included."""
    by_name = {str(layer["config"].get("name")): layer for layer in layers if isinstance(layer.get("config"), dict)}
    names = list(by_name)
    fixed: set[str] = set()
    pending = [name for name in outputs if name in by_name]
    while pending:
        name = pending.pop()
        if name in fixed:
            continue
        fixed.add(name)
        layer = by_name[name]
        if "units" in layer["config"] or "filters" in layer["config"]:
            continue
        if model.get("class_name") == "Sequential":
            pending.extend(names[max(names.index(name) - 1, 0) : names.index(name)])
        else:
            pending.extend(source for source in _sources(layer.get("inbound_nodes")) if source in by_name)
    return fixed


def _sources(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "keras_history" in value:
            yield str(value["keras_history"][0])
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _sources(item)


def apply_settings(file: KerasFile, places: Mapping[str, Place], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The file's model object with other settings; ``fit.*`` is not the model's and is ignored here.

    Raises:
        ModelFileError: an address that the file does not offer, or a value of another kind than declared.
    """
    config = copy.deepcopy(file.config)
    for address, value in settings.items():
        if address.startswith("fit."):
            continue
        place = places.get(address)
        if place is None:
            known = ", ".join(sorted(places))
            raise ModelFileError(f"`{file.path.name}` has nothing to tune at `{address}`", f"it offers {known}")
        holder: Any = config
        for key in place.keys[:-1]:
            holder = holder[key]
        holder[place.keys[-1]] = _coerced(file, address, place, holder.get(place.keys[-1]), value)
    return config


def _coerced(file: KerasFile, address: str, place: Place, declared: Any, value: Any) -> Any:
    wrong = ModelFileError(
        f"`{address}` of `{file.path.name}` cannot be {value!r}", f"the file declares {place.value!r}"
    )
    if isinstance(place.value, str):
        if not isinstance(value, str):
            raise wrong
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong
    if place.field == "kernel_regularizer.l2":
        penalty = {"module": "keras.regularizers", "class_name": "L2", "config": {"l2": float(value)}}
        return penalty | {"registered_name": None} if value else None
    if isinstance(place.value, int) and place.field in ("units", "filters", "kernel_size", "output_dim"):
        whole = round(value)
        if whole < 1:
            raise wrong
        return [whole] * len(declared) if isinstance(declared, list) else whole
    return type(place.value)(value) if isinstance(place.value, float) else value
