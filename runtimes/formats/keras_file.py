"""Keras files read statically: the archive's members, its configuration, and what is refused in it."""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.formats.keras_legacy import modern
from runtimes.formats.keras_names import KERAS_CLASSES, KERAS_MODULES, MARKERS, OPERATIONS
from runtimes.formats.signature import describe_content, refuse_content, require_model_file
from runtimes.target import ModelFileError

_EXPECTED = "a Keras model"
_EXPORT = "export the model as a SavedModel (`model.export('FOLDER')`) and name that folder"
_LIMIT_BYTES = 8 * 2**30
_CONFIG_LIMIT_BYTES = 16 * 2**20
"""The largest published configurations are about 1 MB; a 1 GB one takes Keras 34 s and 5.7 GB to refuse."""
_RATIO_LIMIT = 100
_DEPTH_LIMIT = 64
_MEMBERS = frozenset({"metadata.json", "config.json", "model.weights.h5"})


@dataclass(frozen=True)
class KerasFile:
    """A Keras file's declaration, and how many bytes of weights it holds."""

    path: Path
    config: dict[str, Any]
    """The model object: ``class_name``, ``config`` and, where it was compiled, ``compile_config``."""
    weights_bytes: int
    version: str
    """Of the Keras that wrote it."""
    is_hdf5: bool = False
    """Whether it is an ``.h5`` file, not an archive; its configuration is in the words of Keras 3 all the same."""

    @property
    def compile_config(self) -> dict[str, Any] | None:
        """Loss, optimizer and metrics, where the file has them and names nothing of its own."""
        found = self.config.get("compile_config")
        if not isinstance(found, dict) or not found.get("loss") or next(foreign_objects(found), None) is not None:
            return None
        return found


def read_keras(path: Path) -> KerasFile:
    """Read and judge a ``.keras`` or ``.h5`` file without importing Keras.

    Raises:
        ModelFileError: not a Keras model, damaged, or refused: code, custom objects, shapes beyond its weights.
    """
    head = require_model_file(path, _EXPECTED, _LIMIT_BYTES)
    found = describe_content(head)
    if found == "a zip archive":
        file = _read_archive(path)
    elif found == "an HDF5 file":
        file = _read_hdf5(path)
    else:
        refuse_content(path, _EXPECTED, head)
        raise ModelFileError(
            f"`{path.name}` is neither a Keras archive nor an HDF5 file", "save the model again with `model.save`"
        )
    _refuse_foreign(path, file.config)
    return file


def _read_archive(path: Path) -> KerasFile:
    again = "save the model again with `model.save('….keras')`"
    try:
        with zipfile.ZipFile(path) as archive:
            members = {entry.filename: entry for entry in archive.infolist()}
            if len(members) != len(archive.infolist()):
                raise ModelFileError(f"`{path.name}` holds two members of one name", again)
            _check_members(path, members)
            config = archive.read("config.json")
            metadata = archive.read("metadata.json")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError, ValueError) as error:
        raise ModelFileError(f"`{path.name}` is a damaged archive: {error}", again) from error
    version = _parse(path, metadata, "metadata.json").get("keras_version", "")
    return KerasFile(path, _parse(path, config, "config.json"), members["model.weights.h5"].file_size, str(version))


def _check_members(path: Path, members: dict[str, zipfile.ZipInfo]) -> None:
    missing = _MEMBERS - set(members)
    if missing:
        raise ModelFileError(
            f"`{path.name}` is a zip archive, but not a Keras model: it has no {', '.join(sorted(missing))}",
            "save the model again with `model.save('….keras')`",
        )
    extra = sorted(set(members) - _MEMBERS)
    if extra:
        raise ModelFileError(
            f"`{path.name}` holds the unexpected member `{extra[0]}`", "models with assets or other files are refused"
        )
    for name in sorted(_MEMBERS):
        entry = members[name]
        ratio = entry.file_size / max(entry.compress_size, 1)
        limit = _LIMIT_BYTES if name == "model.weights.h5" else _CONFIG_LIMIT_BYTES
        if entry.file_size > limit or (ratio > _RATIO_LIMIT and entry.file_size > 2**20):
            raise ModelFileError(
                f"`{path.name}`: `{name}` declares {entry.file_size:,} bytes in {entry.compress_size:,}",
                "an honest model stores its configuration in a few hundred kilobytes",
            )


def _parse(path: Path, text: bytes, member: str) -> dict[str, Any]:
    again = "save the model again with `model.save`"
    try:
        parsed = json.loads(text)
    except RecursionError as error:
        raise ModelFileError(f"`{path.name}`: `{member}` is nested too deeply", again) from error
    except ValueError as error:
        raise ModelFileError(f"`{path.name}`: `{member}` is not JSON: {error}", again) from error
    if not isinstance(parsed, dict):
        raise ModelFileError(f"`{path.name}`: `{member}` holds no object", again)
    if _depth(parsed) > _DEPTH_LIMIT:
        raise ModelFileError(f"`{path.name}`: `{member}` is nested too deeply", again)
    return parsed


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        depth += 1
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return depth


def _read_hdf5(path: Path) -> KerasFile:
    import h5py

    again = "save the model again with `model.save`"
    try:
        with h5py.File(path, "r") as file:
            text = file.attrs.get("model_config")
            training = file.attrs.get("training_config")
            version = file.attrs.get("keras_version", "")
            stored = path.stat().st_size
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise ModelFileError(f"`{path.name}` is a damaged HDF5 file: {error}", again) from error
    if text is None:
        raise ModelFileError(
            f"`{path.name}` holds weights only, no model", "save the whole model with `model.save`, not its weights"
        )
    config = _parse(path, text if isinstance(text, bytes) else str(text).encode(), "model_config")
    if training is not None:
        compiled = _parse(path, training if isinstance(training, bytes) else str(training).encode(), "training_config")
        config["compile_config"] = _modern_compile_config(compiled)
    return KerasFile(path, modern(config), stored, str(version), is_hdf5=True)


def _modern_compile_config(training: dict[str, Any]) -> dict[str, Any]:
    """An ``.h5`` file's ``training_config`` in the words of a ``.keras`` file."""
    optimizer = training.get("optimizer_config")
    if isinstance(optimizer, dict):
        optimizer = {
            "module": "keras.optimizers",
            "class_name": optimizer.get("class_name"),
            "config": optimizer.get("config", {}),
            "registered_name": None,
        }
    return {
        "optimizer": optimizer,
        "loss": training.get("loss"),
        "metrics": training.get("metrics"),
        "weighted_metrics": training.get("weighted_metrics"),
        "loss_weights": training.get("loss_weights"),
    }


def _refuse_foreign(path: Path, config: dict[str, Any]) -> None:
    model = {key: value for key, value in config.items() if key != "compile_config"}
    own = config.get("class_name")
    if isinstance(own, str) and own not in KERAS_CLASSES:
        raise ModelFileError(
            f"`{path.name}` is a model of a class of its own (`{own}`), and the file does not hold that class' code",
            f"{_EXPORT}, which keeps what the model computes",
        )
    for name, kind, why in foreign_objects(model):
        raise ModelFileError(
            f"`{path.name}`: layer `{name}` is refused: {kind} {why}",
            f"rebuild the layer from the ones that Keras itself brings, or {_EXPORT}",
        )


def foreign_objects(value: Any, layer: str = "model") -> Iterator[tuple[str, str, str]]:
    """Every serialised object that is not Keras' own: ``(layer, class, why)``."""
    if isinstance(value, list):
        for item in value:
            yield from foreign_objects(item, layer)
    if not isinstance(value, dict):
        return
    kind = value.get("class_name")
    if isinstance(kind, str):
        inner = value.get("config")
        layer = str(inner.get("name", layer)) if isinstance(inner, dict) else layer
        why = _why_foreign(value, kind)
        if why:
            yield layer, kind, why
    elif kind is not None:
        yield layer, repr(kind), "is no class name"
    for key, item in value.items():
        # Switches that Keras reads from inside the file have turned its own safe mode off before.
        if key in ("safe_mode", "custom_objects", "enable_unsafe_deserialization"):
            yield layer, key, "is not part of a model"
        yield from foreign_objects(item, layer)


def _why_foreign(value: dict[str, Any], kind: str) -> str:
    module = value.get("module")
    if kind in ("Lambda", "__lambda__"):
        return "holds code"
    if kind in MARKERS:
        return ""
    if kind == "function":
        known = value.get("config") in ("relu", "softmax", "sigmoid", "tanh", "linear", "gelu", "silu", "elu", "selu")
        return "" if module in (None, "builtins") and known else "names a function of its own"
    registered = value.get("registered_name")
    if registered not in (None, kind):
        return f"is a custom object (`{registered}`)"
    if module in OPERATIONS:
        return "" if kind in OPERATIONS[module] else f"is not an allowed operation of `{module}`"
    if module is not None and module not in KERAS_MODULES:
        return f"comes from the module `{module}`"
    return "" if kind in KERAS_CLASSES else "is not on the list of allowed Keras classes"


def count_weights(file: KerasFile) -> int:
    """Trained numbers in the file, from the shapes of its weight arrays (optimizer and seeds left out).

    Raises:
        ModelFileError: the weights are damaged, or declare more than they store.
    """
    import h5py

    total = 0
    try:
        if file.path.suffix.lower() == ".keras" or zipfile.is_zipfile(file.path):
            with (
                zipfile.ZipFile(file.path) as archive,
                archive.open("model.weights.h5") as member,
                h5py.File(member, "r") as weights,
            ):
                total = _count(file.path, weights, file.weights_bytes)
        else:
            with h5py.File(file.path, "r") as weights:
                total = _count(file.path, weights["model_weights"], file.weights_bytes)
    except (OSError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        raise ModelFileError(
            f"`{file.path.name}`: its weights are damaged: {error}", "save the model again with `model.save`"
        ) from error
    return total


def _count(path: Path, group: Any, stored: int) -> int:
    import h5py

    total, pending = 0, [("", group)]
    while pending:
        prefix, here = pending.pop()
        for name in here:
            link = here.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise ModelFileError(
                    f"`{path.name}`: the weights `{prefix}{name}` are a link", "save the model again with `model.save`"
                )
            item = here[name]
            if isinstance(item, h5py.Group):
                if not (prefix == "" and name in ("optimizer", "optimizer_weights")) and name != "seed_generator":
                    pending.append((f"{prefix}{name}/", item))
                continue
            if item.dtype.kind == "f":
                total += int(np.prod(item.shape))
            if item.is_virtual or item.external or item.size * item.dtype.itemsize > 100 * stored:
                raise ModelFileError(
                    f"`{path.name}`: the weights `{prefix}{name}` declare {item.size:,} numbers that it does not hold",
                    "save the model again with `model.save`",
                )
    return total
