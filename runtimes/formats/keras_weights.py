"""The weights of a Keras file, read without h5py: an HDF5 file of its own, or a member of an archive."""

import os
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from runtimes.formats.hdf5_file import Hdf5File
from runtimes.formats.hdf5_layout import Bytes, Hdf5Error
from runtimes.target import ModelFileError

MEMBER = "model.weights.h5"
_AGAIN = "save the model again with `model.save`"
_INFLATED_LIMIT_BYTES = 2**30
"""Weights are hardly ever compressed, and Keras does not: what is, is inflated into a temporary file to be looked at."""
_NOT_TRAINED = ("optimizer", "optimizer_weights", "seed_generator")


def weights_in_archive(path: Path, archive: zipfile.ZipFile) -> int:
    """Check every array of an archive's weights, and count its trained numbers.

    Raises:
        ModelFileError: the weights are damaged, link to elsewhere, or declare more than they hold.
    """
    with _member(path, archive) as source:
        return _count(path, source, "")


def weights_in_file(path: Path, file: IO[bytes]) -> int:
    """As `weights_in_archive`, of an ``.h5`` file."""
    return _count(path, Bytes(file, 0, os.fstat(file.fileno()).st_size), "model_weights/")


def _count(path: Path, source: Bytes, below: str) -> int:
    try:
        arrays = list(Hdf5File(source).arrays())
    except (Hdf5Error, LookupError, UnicodeDecodeError) as error:
        raise ModelFileError(f"`{path.name}`: its weights are damaged or refused: {error}", _AGAIN) from error
    total = 0
    for array in arrays:
        parts = array.path.removeprefix(below).split("/")
        trained = array.path.startswith(below) and parts[0] not in _NOT_TRAINED and "seed_generator" not in parts
        total += array.numbers if array.kind == "f" and trained else 0
    return total


@contextmanager
def _member(path: Path, archive: zipfile.ZipFile) -> Iterator[Bytes]:
    """The weights inside an archive as a window of its file; compressed ones as a file that has no name."""
    entry = archive.getinfo(MEMBER)
    with archive.open(entry) as member:  # also checks that the member is where the archive says
        if entry.compress_type == zipfile.ZIP_STORED:
            with path.open("rb") as file:
                file.seek(entry.header_offset + 26)
                lengths = file.read(4)
                start = entry.header_offset + 30 + sum(int.from_bytes(lengths[at : at + 2], "little") for at in (0, 2))
                yield Bytes(file, start, entry.file_size)
            return
        if entry.file_size > _INFLATED_LIMIT_BYTES:
            raise ModelFileError(
                f"`{path.name}`: its weights are compressed, and have {entry.file_size:,} bytes without",
                "save the model again with `model.save`, which does not compress them",
            )
        with tempfile.TemporaryFile() as held:
            while chunk := member.read(2**20):
                held.write(chunk)
            yield Bytes(held, 0, held.tell())


def check_members(path: Path, archive: zipfile.ZipFile, wanted: frozenset[str], limits: dict[str, int]) -> None:
    """Check the members of an archive before any is read: names, kinds, sizes and how far they are compressed.

    Args:
        path: of the archive, for messages.
        archive: opened.
        wanted: exactly these members.
        limits: the most bytes that each may declare.

    Raises:
        ModelFileError: it is not such an archive.
    """
    entries = archive.infolist()
    names = {entry.filename for entry in entries}
    again = "save the model again with `model.save('….keras')`"
    if len(names) != len(entries):
        raise ModelFileError(f"`{path.name}` holds two members of one name", again)
    missing = wanted - names
    if missing:
        raise ModelFileError(
            f"`{path.name}` is a zip archive, but not a Keras model: it has no {', '.join(sorted(missing))}", again
        )
    extra = sorted(names - wanted)
    if extra:
        raise ModelFileError(
            f"`{path.name}` holds the unexpected member `{extra[0][:80]}`",
            "models with assets or other files are refused",
        )
    for entry in sorted(entries, key=lambda entry: entry.filename):
        if entry.flag_bits & 1:
            raise ModelFileError(f"`{path.name}`: `{entry.filename}` is encrypted", again)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise ModelFileError(f"`{path.name}`: `{entry.filename}` is a link or special file", again)
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelFileError(f"`{path.name}`: `{entry.filename}` is compressed in an unusual way", again)
        ratio = entry.file_size / max(entry.compress_size, 1)
        if entry.file_size > limits[entry.filename] or (ratio > _RATIO_LIMIT and entry.file_size > 2**20):
            raise ModelFileError(
                f"`{path.name}`: `{entry.filename}` declares {entry.file_size:,} bytes in {entry.compress_size:,}",
                "an honest model stores its configuration in a few hundred kilobytes",
            )


_RATIO_LIMIT = 100
