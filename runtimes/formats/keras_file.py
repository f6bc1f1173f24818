"""Keras files read statically: the archive's members, its configuration, and what is refused in it."""

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes.formats.hdf5_file import Hdf5File
from runtimes.formats.hdf5_layout import Bytes
from runtimes.formats.keras_foreign import foreign_objects, refuse_foreign
from runtimes.formats.keras_legacy import modern
from runtimes.formats.keras_weights import MEMBER, check_members, weights_in_archive, weights_in_file
from runtimes.formats.signature import describe_content, refuse_content, require_model_file
from runtimes.powers import NO_POWERS, Powers
from runtimes.target import ModelFileError

_EXPECTED = "a Keras model"
_LIMIT_BYTES = 8 * 2**30
_CONFIG_LIMIT_BYTES = 16 * 2**20
"""The largest published configurations are about 1 MB; a 1 GB one takes Keras 34 s and 5.7 GB to refuse."""
_DEPTH_LIMIT = 64
_PARTS_LIMIT = 1_000_000
"""Values in a configuration: 16 MB of empty lists would take a gigabyte once they are read."""
_LIMITS = {"metadata.json": _CONFIG_LIMIT_BYTES, "config.json": _CONFIG_LIMIT_BYTES, MEMBER: _LIMIT_BYTES}
"""Exactly the members of an archive, and the most bytes that each may declare."""
_TEXTS = frozenset({"model_config", "training_config", "keras_version"})
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError, ValueError)


@dataclass(frozen=True)
class KerasFile:
    """A Keras file's declaration, and how many bytes of weights it holds."""

    path: Path
    config: dict[str, Any]
    """The model object: ``class_name``, ``config`` and, where it was compiled, ``compile_config``."""
    weights_bytes: int
    version: str
    """Of the Keras that wrote it."""
    weights: int = 0
    """Trained numbers in it, from the shapes of its arrays (optimizer and seeds left out)."""
    is_hdf5: bool = False
    """Whether it is an ``.h5`` file, not an archive; its configuration is in the words of Keras 3 all the same."""

    powers: Powers = NO_POWERS
    """What a person has trusted this file to do."""

    @property
    def compile_config(self) -> dict[str, Any] | None:
        """Loss, optimizer and metrics, where the file has them and names nothing of its own."""
        found = self.config.get("compile_config")
        if not isinstance(found, dict) or not found.get("loss") or next(foreign_objects(found), None) is not None:
            return None
        return found


def read_keras(path: Path, powers: Powers = NO_POWERS) -> KerasFile:
    """Read and judge a ``.keras`` or ``.h5`` file without importing Keras.

    Args:
        path: the file.
        powers: what a person has trusted exactly this file to do.

    Raises:
        ModelFileError: not a Keras model, damaged, or refused: code, custom objects, shapes beyond its weights.
    """
    head = require_model_file(path, _EXPECTED, _LIMIT_BYTES)
    found = describe_content(head)
    if found == "a zip archive":
        file = _read_archive(path, powers)
    elif found == "an HDF5 file":
        file = _read_hdf5(path, powers)
    else:
        refuse_content(path, _EXPECTED, head)
        raise ModelFileError(
            f"`{path.name}` is neither a Keras archive nor an HDF5 file", "save the model again with `model.save`"
        )
    refuse_foreign(path, file.config, powers)
    return file


def _read_archive(path: Path, powers: Powers) -> KerasFile:
    again = "save the model again with `model.save('….keras')`"
    try:
        with zipfile.ZipFile(path) as archive:
            check_members(path, archive, frozenset(_LIMITS), _LIMITS)
            config = archive.read("config.json")
            metadata = archive.read("metadata.json")
            held = archive.getinfo(MEMBER).file_size
            counted = weights_in_archive(path, archive)
    except _DAMAGED as error:
        raise ModelFileError(f"`{path.name}` is a damaged archive: {error}", again) from error
    version = str(_parse(path, metadata, "metadata.json").get("keras_version", ""))
    return KerasFile(path, modern(_parse(path, config, "config.json"), version), held, version, counted, powers=powers)


def _parse(path: Path, text: bytes, member: str) -> dict[str, Any]:
    again = "save the model again with `model.save`"
    if sum(map(text.count, (b",", b"[", b"{"))) > _PARTS_LIMIT:
        raise ModelFileError(f"`{path.name}`: `{member}` holds more than {_PARTS_LIMIT:,} values", again)
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


def _read_hdf5(path: Path, powers: Powers) -> KerasFile:
    again = "save the model again with `model.save`"
    stored = path.stat().st_size
    try:
        with path.open("rb") as file:
            texts = Hdf5File(Bytes(file, 0, stored)).texts(_TEXTS)
            if "model_config" not in texts:
                raise ModelFileError(
                    f"`{path.name}` holds weights only, no model",
                    "save the whole model with `model.save`, not its weights",
                )
            counted = weights_in_file(path, file)
    except (OSError, LookupError, ValueError) as error:
        raise ModelFileError(f"`{path.name}` is a damaged HDF5 file: {error}", again) from error
    config = _parse(path, texts["model_config"].encode(), "model_config")
    if "training_config" in texts:
        compiled = _parse(path, texts["training_config"].encode(), "training_config")
        config["compile_config"] = _modern_compile_config(compiled)
    return KerasFile(path, modern(config), stored, texts.get("keras_version", ""), counted, is_hdf5=True, powers=powers)


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
