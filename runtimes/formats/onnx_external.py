"""Weights that stand in files beside an ONNX file: which they are, what is refused, and how they are read from elsewhere."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runtimes.formats.onnx_graphs import tensors_of
from runtimes.target import ModelFileError

_ADVICE = "keep the data file beside the model, or save the model with its weights inside"


def has_external_data(model: Any) -> bool:
    """True where some weights stand in files beside the model."""
    return any(tensor.data_location == tensor.EXTERNAL for tensor in tensors_of(model))


def external_files(path: Path, model: Any) -> dict[str, Path]:
    """The files that hold weights of a model, by the location that it says.

    Raises:
        ModelFileError: one that is missing, or is not below the model's own folder.
    """
    folder = path.parent.resolve()
    found: dict[str, Path] = {}
    for tensor in tensors_of(model):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        location = _entries(tensor).get("location", "")
        if location in found:
            _require_length(path, location, _entries(tensor), found[location].stat().st_size)
            continue
        target = path.parent / location
        if not location or "\0" in location or os.path.isabs(location) or ".." in Path(location).parts:
            raise ModelFileError(f"`{path.name}` reads external data outside its folder: `{location}`", _ADVICE)
        try:
            facts = target.lstat()
        except OSError:
            raise ModelFileError(
                f"`{path.name}` needs the external data `{location}`, which is missing", _ADVICE
            ) from None
        # A hard link passes every check of its path, and may still be a file from elsewhere.
        plain = stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1
        if not plain or not target.resolve().is_relative_to(folder):
            raise ModelFileError(
                f"`{path.name}` reads external data through a link or special file: `{location}`", _ADVICE
            )
        _require_length(path, location, _entries(tensor), facts.st_size)
        found[location] = target
    return found


def _require_length(path: Path, location: str, said: Mapping[str, str], size: int) -> tuple[int, int]:
    """Where the weights of a tensor begin in a file, and how many bytes they have.

    Raises:
        ModelFileError: they are not in it.
    """
    try:
        start = int(said.get("offset") or 0)
        length = int(said.get("length") or size - start)
    except ValueError:
        start = length = -1
    if start < 0 or length < 0:
        raise ModelFileError(f"`{path.name}`: no place in the external data `{location}` is said", "export it again")
    if start + length > size:
        raise ModelFileError(f"`{path.name}`: the external data `{location}` is truncated", "export it again")
    return start, length


def embed(path: Path, model: Any, files: Mapping[str, Path]) -> None:
    """Put the weights that stand in other files into the model itself.

    Args:
        path: the model's file, for messages.
        model: the ``onnx.ModelProto``, changed in place.
        files: where each location is now.

    Raises:
        ModelFileError: a location that is not there, or ends before the weights do.
    """
    for tensor in tensors_of(model):
        if tensor.data_location != tensor.EXTERNAL:
            continue
        said = _entries(tensor)
        location = said.get("location", "")
        source = files.get(location)
        if source is None or not source.is_file():
            raise ModelFileError(f"`{path.name}` needs the external data `{location}`, which is missing", _ADVICE)
        start, length = _require_length(path, location, said, source.stat().st_size)
        with source.open("rb") as file:
            file.seek(start)
            content = file.read(length)
        if len(content) < length:
            raise ModelFileError(f"`{path.name}`: the external data `{location}` is truncated", "export it again")
        tensor.raw_data = content
        tensor.data_location = tensor.DEFAULT
        del tensor.external_data[:]


def _entries(tensor: Any) -> dict[str, str]:
    return {entry.key: entry.value for entry in tensor.external_data}
