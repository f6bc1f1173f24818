"""NumPy archives: arrays with rows on axis 0, nothing pickled, nothing inflated beyond what it declares."""

import contextlib
import tokenize
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from runtimes.datasets import ColumnFacts, DataFileError, DatasetFacts, RawData

SUFFIXES = (".npz",)
LIMIT_BYTES = 4 * 2**30
"""Of all arrays together, as their headers declare it; a 2 MB archive can declare thousands of times its size."""

_RATIO_LIMIT = 200
_AT_ONCE = 2**24
"""Bytes of an array read at a time."""
_BOMB_BYTES = 64 * 2**20
"""An array above this size that is packed more than so many times is no data: rows that differ do not pack like that."""

_NOT_COLUMNS = ("feature_names", "row_ids")
_KINDS = {"O": "Python objects", "V": "records", "c": "complex numbers", "M": "dates", "m": "durations"}
_AGAIN = "save the file again with `numpy.savez`"


@dataclass(frozen=True)
class Header:
    """What one array of an archive declares of itself."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


_DAMAGED = (
    *(ArithmeticError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError, TypeError, ValueError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
"""What NumPy and zipfile raise of an array that is not what its header says, or of a header that is no Python literal."""


def inspect(path: Path) -> DatasetFacts:
    """Read the headers of an archive, without its arrays. Raises `DataFileError`."""
    with _opened(path) as archive:
        headers = _headers(path, archive)
        _check_rows(path, headers)
        names = _feature_names(path, archive, headers)
    columns = [header for header in headers if header.name not in _NOT_COLUMNS]
    return DatasetFacts(
        format="npz",
        rows=columns[0].shape[0],
        columns=tuple(ColumnFacts(header.name, header.shape[1:], _dtype_name(header.dtype)) for header in columns),
        tabular=False,
        feature_names=names,
        names_rows=any(header.name == "row_ids" for header in headers),
    )


def read(path: Path) -> RawData:
    """Read every array of an archive. Raises `DataFileError`."""
    with _opened(path) as archive:
        headers = _headers(path, archive)
        _check_rows(path, headers)
        names = _feature_names(path, archive, headers)
        arrays = {header.name: _array(path, archive, header) for header in headers if header.name != "feature_names"}
    row_ids = arrays.pop("row_ids", None)
    return RawData(arrays=arrays, row_ids=row_ids, feature_names=names)


def batches(
    path: Path,
    text: Collection[str] = (),  # noqa: ARG001  (arrays are numbers or words by their type)
    names: Collection[str] | None = None,
    rows: int | None = None,
) -> Iterator[RawData]:
    """Read an archive some rows at a time; see `runtimes.datasets.batches`. Raises `DataFileError`.

    An array that is stored column by column is read whole, and then given in parts.
    """
    with _opened(path) as archive, contextlib.ExitStack() as open_:
        headers = _headers(path, archive)
        _check_rows(path, headers)
        named = _feature_names(path, archive, headers)
        kept = ("row_ids",) if names is None else (*names, "row_ids")
        wanted = [h for h in headers if h.name != "feature_names" and (names is None or h.name in kept)]
        widest = max((prod(h.shape[1:]) * h.dtype.itemsize for h in wanted), default=1)
        step = rows or max(1, _AT_ONCE // max(1, widest))
        parts = {header.name: _in_parts(path, archive, header, step, open_) for header in wanted}
        for _ in range(-(-max((h.shape[0] for h in wanted), default=0) // step)):
            arrays = {name: next(part) for name, part in parts.items()}
            ids = arrays.pop("row_ids", None)
            yield RawData(arrays, ids, named)


def _in_parts(
    path: Path, archive: zipfile.ZipFile, header: Header, step: int, open_: contextlib.ExitStack
) -> Iterator[NDArray[Any]]:
    """Some rows of an array at a time."""
    try:
        member = open_.enter_context(archive.open(f"{header.name}.npy"))
        version = np.lib.format.read_magic(member)
        reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        _, by_columns, _ = reader(member)
        if by_columns and len(header.shape) > 1:
            whole = _array(path, archive, header)
            yield from (whole[start : start + step] for start in range(0, len(whole), step))
            return
        row = prod(header.shape[1:]) * header.dtype.itemsize
        for start in range(0, header.shape[0], step):
            count = min(step, header.shape[0] - start)
            content = member.read(count * row)
            if len(content) != count * row:
                raise EOFError("it ends too early")
            part = np.frombuffer(content, header.dtype).reshape(count, *header.shape[1:])
            yield np.char.decode(part, "utf-8") if part.dtype.kind == "S" else part
    except _DAMAGED as error:
        raise DataFileError(f"`{path.name}`: the array `{header.name}` is damaged: {error}", _AGAIN) from error


def read_column(path: Path, name: str, text: bool = False) -> NDArray[Any]:  # noqa: ARG001
    """Read one array of an archive, leaving the others compressed. Raises `DataFileError`, and `KeyError`."""
    with _opened(path) as archive:
        found = {header.name: header for header in _headers(path, archive)}
        return _array(path, archive, found[name])


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Every array of an archive by name, whatever their lengths. Raises `DataFileError`."""
    with _opened(path) as archive:
        return {header.name: _array(path, archive, header) for header in _headers(path, archive)}


def _opened(path: Path) -> zipfile.ZipFile:
    if path.is_dir():
        raise DataFileError(f"`{path.name}` is a directory, not a NumPy archive", "name the file inside it")
    if not path.exists():
        raise DataFileError(f"`{path.name}` does not exist", "check the path; it is relative to the spec")
    if path.stat().st_size == 0:
        raise DataFileError(f"`{path.name}` is empty (0 bytes)", _AGAIN)
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise DataFileError(f"`{path.name}` is truncated or not a NumPy archive", _AGAIN) from error


def _headers(path: Path, archive: zipfile.ZipFile) -> list[Header]:
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if not names:
        raise DataFileError(f"`{path.name}` holds no arrays", "save at least the model's inputs in it")
    if len(set(names)) != len(names):
        raise DataFileError(f"`{path.name}` holds two arrays of one name", _AGAIN)
    foreign = [name for name in names if not name.endswith(".npy") or "/" in name or "\\" in name]
    if foreign:
        raise DataFileError(f"`{path.name}` holds `{foreign[0]}`, which is no array", _AGAIN)
    headers = []
    total = 0
    for entry in entries:
        header = _header(path, archive, entry)
        total += prod(header.shape) * header.dtype.itemsize
        if total > LIMIT_BYTES:
            raise DataFileError(
                f"`{path.name}` declares more than {LIMIT_BYTES:,} bytes, up to `{header.name}`",
                "use a sample of the rows, or a smaller dtype",
            )
        if entry.file_size > _BOMB_BYTES and entry.file_size > _RATIO_LIMIT * entry.compress_size:
            packed = f"{entry.file_size:,} bytes packed into {entry.compress_size:,}"
            raise DataFileError(
                f"`{path.name}`: the array `{header.name}` is {packed}",
                "if so many equal numbers are meant, save them unpacked with `numpy.savez`",
            )
        headers.append(header)
    return headers


def _header(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Header:
    name = entry.filename.removesuffix(".npy")
    try:
        with archive.open(entry) as member:
            shape, dtype = _read_header(member)
            begun = member.tell()
    except _DAMAGED as error:
        raise DataFileError(f"`{path.name}`: the array `{name}` is damaged: {error}", _AGAIN) from error
    if dtype.hasobject or dtype.kind in _KINDS:
        raise DataFileError(
            f"`{path.name}`: the array `{name}` holds {_KINDS.get(dtype.kind, 'Python objects')}, which are not read",
            "save numbers or text: `array.astype(str)`, `array.astype('float32')`",
        )
    if any(size < 0 for size in shape):
        raise DataFileError(f"`{path.name}`: the array `{name}` declares the shape {shape}", _AGAIN)
    declared = prod(shape) * dtype.itemsize
    if declared <= LIMIT_BYTES and begun + declared != entry.file_size:
        reason = f"`{path.name}`: the array `{name}` declares {declared:,} bytes and holds {entry.file_size - begun:,}"
        raise DataFileError(reason, _AGAIN)
    return Header(name, shape, dtype)


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    else:
        raise ValueError(f"format version {version[0]}.{version[1]} is not read")
    return shape, dtype


def _check_rows(path: Path, headers: list[Header]) -> None:
    columns = [header for header in headers if header.name not in _NOT_COLUMNS]
    if not columns:
        raise DataFileError(f"`{path.name}` holds no data beside names", "save the model's inputs in it")
    for header in columns:
        if not header.shape:
            raise DataFileError(
                f"`{path.name}`: the array `{header.name}` is a single value, without rows", "leave it out of the file"
            )
    rows = columns[0].shape[0]
    counted = [*columns, *(header for header in headers if header.name == "row_ids")]
    for header in counted:
        if header.shape[:1] != (rows,):
            raise DataFileError(
                f"`{path.name}`: `{columns[0].name}` has {rows} rows, `{header.name}` has {header.shape[0]}",
                "save one file for each split, with the same rows in every array",
            )
    if rows == 0:
        raise DataFileError(f"`{path.name}` has no rows", "save at least one row")


def _feature_names(path: Path, archive: zipfile.ZipFile, headers: list[Header]) -> tuple[str, ...]:
    for header in headers:
        if header.name == "feature_names":
            return tuple(str(name) for name in _array(path, archive, header).reshape(-1))
    return ()


def _array(path: Path, archive: zipfile.ZipFile, header: Header) -> NDArray[Any]:
    try:
        with archive.open(f"{header.name}.npy") as member:
            array: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
        return np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
    except _DAMAGED as error:
        raise DataFileError(f"`{path.name}`: the array `{header.name}` is damaged: {error}", _AGAIN) from error


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return "str" if dtype.kind in "SU" else dtype.name
