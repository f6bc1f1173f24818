"""What of a Keras file's configuration is not Keras' own: code, classes of others, switches. An allow-list of names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes.formats.keras_names import KERAS_CLASSES, KERAS_MODULES, MARKERS, OF_NETWORKS, OPERATIONS
from runtimes.powers import NO_POWERS, Powers
from runtimes.target import ModelFileError

_EXPORT = "export the model as a SavedModel (`model.export('FOLDER')`) and name that folder"
_FUNCTIONS = frozenset({"relu", "softmax", "sigmoid", "tanh", "linear", "gelu", "silu", "elu", "selu"})


@dataclass(frozen=True)
class Foreign:
    """One serialised object that is not Keras' own."""

    layer: str
    """The layer that it belongs to."""
    kind: str
    """Its class."""
    why: str
    """What is wrong with it, after its class' name: ``holds code``."""
    needs: str = ""
    """The power that would allow it; empty where none would."""


def refuse_foreign(path: Path, config: dict[str, Any], powers: Powers = NO_POWERS) -> None:
    """Refuse a model's configuration that names anything beyond Keras' own layers and what a person has granted.

    Raises:
        ModelFileError: it does.
    """
    model = {key: value for key, value in config.items() if key != "compile_config"}
    own = config.get("class_name")
    if isinstance(own, str) and own not in KERAS_CLASSES and own not in ("Lambda", "__lambda__"):
        raise ModelFileError(
            f"`{path.name}` is a model of a class of its own (`{own}`), and the file does not hold that class' code",
            f"{_EXPORT}, which keeps what the model computes",
        )
    for found in foreign_objects(model, powers=powers):
        raise ModelFileError(
            f"`{path.name}`: layer `{found.layer[:80]}` is refused: {found.kind[:80]} {found.why}",
            f"rebuild the layer from the ones that Keras itself brings, or {_EXPORT}",
            found.needs,
        )


def foreign_objects(value: Any, layer: str = "model", powers: Powers = NO_POWERS) -> Iterator[Foreign]:
    """Every serialised object that is not Keras' own, and that no power allows."""
    if isinstance(value, list):
        for item in value:
            yield from foreign_objects(item, layer, powers)
    if not isinstance(value, dict):
        return
    kind = value.get("class_name")
    if isinstance(kind, str):
        inner = value.get("config")
        layer = str(inner.get("name", layer)) if isinstance(inner, dict) else layer
        why, needs = _why_foreign(value, kind, powers)
        if why:
            yield Foreign(layer, kind, why, needs)
    elif kind is not None:
        yield Foreign(layer, repr(kind), "is no class name")
    for key, item in value.items():
        # Switches that Keras reads from inside the file have turned its own safe mode off before.
        if key in ("safe_mode", "custom_objects", "enable_unsafe_deserialization"):
            yield Foreign(layer, key, "is not part of a model")
        yield from foreign_objects(item, layer, powers)


def _why_foreign(value: dict[str, Any], kind: str, powers: Powers) -> tuple[str, str]:
    """Why an object is refused, and the power that would allow it; both empty where it is not refused."""
    module, registered = value.get("module"), value.get("registered_name")
    if kind in ("Lambda", "__lambda__"):
        return ("", "") if powers.lambdas else ("holds code", "lambda")
    if kind in MARKERS:
        return "", ""
    if kind == "function":
        name, why = value.get("config"), "names a function of its own"
        if module in (None, "builtins") and name in _FUNCTIONS:
            return "", ""
        of_others = isinstance(name, str) and isinstance(registered, str)
        return _asked(str(name).rpartition(">")[2], why, powers) if of_others else (why, "")
    if isinstance(registered, str) and (registered != kind or _is_of_others(module)):
        return _asked(kind, f"is a custom object (`{registered[:80]}`)", powers)
    if registered not in (None, kind):
        return "is registered by no name", ""
    if module in OPERATIONS:
        return ("", "") if kind in OPERATIONS[module] else (f"is not an allowed operation of `{module}`", "")
    if kind in OF_NETWORKS.get(str(module), ()):
        return "", ""
    if module is not None and module not in KERAS_MODULES:
        return f"comes from the module `{str(module)[:80]}`", ""
    return ("", "") if kind in KERAS_CLASSES else ("is not on the list of allowed Keras classes", "")


def _is_of_others(module: Any) -> bool:
    return isinstance(module, str) and module.partition(".")[0] not in ("keras", "builtins")


def _asked(name: str, why: str, powers: Powers) -> tuple[str, str]:
    return ("", "") if name in powers.custom_objects else (why, f"custom-objects:{name}")
