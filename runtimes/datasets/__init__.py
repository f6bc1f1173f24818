"""One file a data format, found by file name; each exports SUFFIXES, inspect and read.

It may export ``read_column`` and ``batches``, where it can read less than everything; ``WRITES_TEXT``, where it writes numbers
as text; and ``WORKERS_ALONE``, where its content is for workers to read, and the parent process knows its facts alone.
"""

import importlib
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray


class DataFileError(Exception):
    """A data file that cannot be used.

    Attributes:
        reason: one sentence for the author.
        help: what to do about it.
    """

    def __init__(self, reason: str, help: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.help = help


@dataclass(frozen=True)
class ColumnFacts:
    """One named array or column."""

    name: str
    shape: tuple[int, ...]
    """Without the row axis; () for a column of a table."""
    dtype: str
    missing: int | None = None
    """Rows without a value, where the file's own metadata say it."""
    least: float | None = None
    """Least number, where the file's own metadata say it."""
    largest: float | None = None


@dataclass(frozen=True)
class DatasetFacts:
    """What a data file says of itself; reading it costs headers where the format has them."""

    format: str
    """``npz``, ``csv``, ``jsonl`` or ``parquet``."""
    rows: int
    columns: tuple[ColumnFacts, ...]
    tabular: bool
    """True where the file is a table with one name for each column (csv)."""
    feature_names: tuple[str, ...] = ()
    """From the array ``feature_names``, where an archive has it."""
    names_rows: bool = False
    """True where the file calls its rows by ``row_ids``; else they are called by their positions."""


@dataclass(frozen=True)
class RawData:
    """A data file as named arrays; missing values are NaN in float columns and None in object columns."""

    arrays: Mapping[str, NDArray[Any]]
    """Name to ``(rows, ...)``, in file order."""
    row_ids: NDArray[Any] | None = None
    feature_names: tuple[str, ...] = ()


@cache
def formats() -> Mapping[str, Any]:
    """Suffix to the module that reads it."""
    found: dict[str, Any] = {}
    for entry in sorted(pkgutil.iter_modules(__path__), key=lambda entry: entry.name):
        if entry.name.startswith("_"):  # what several formats share
            continue
        module = importlib.import_module(f"runtimes.datasets.{entry.name}")
        for suffix in module.SUFFIXES:
            found[suffix] = module
    return found


def inspect(path: Path) -> DatasetFacts:
    """Read the static facts of a data file. Raises `DataFileError`."""
    facts: DatasetFacts = _format_of(path).inspect(path)
    return facts


def read(path: Path, text: Collection[str] = ()) -> RawData:
    """Read a whole data file. Raises `DataFileError`.

    Args:
        path: the file.
        text: columns whose cells are wanted as they are written, where the format writes numbers as text: a post code
            ``01067`` is not the number 1067, nor is ``10`` the text ``10.0``.
    """
    module = _format_of(path)
    data: RawData = module.read(path, text) if getattr(module, "WRITES_TEXT", False) else module.read(path)
    return data


def read_column(path: Path, name: str, text: bool = False) -> NDArray[Any]:
    """Read one named array or column, ``(rows, ...)``, as `read` gives it. Raises `DataFileError` and `KeyError`.

    Args:
        path: the file.
        name: of the array or column.
        text: its cells are wanted as they are written, as with `read`.
    """
    module = _format_of(path)
    if not hasattr(module, "read_column"):  # a format that cannot read less than everything
        return read(path, {name} if text else ()).arrays[name]
    column: NDArray[Any] = module.read_column(path, name, text)
    return column


def batches(
    path: Path, text: Collection[str] = (), names: Collection[str] | None = None, rows: int | None = None
) -> Iterator[RawData]:
    """Read a data file some rows at a time, in the order of the file; joined they are what `read` gives.

    Formats that cannot be read so give all of it at once. Raises `DataFileError`.

    Args:
        path: the file.
        text: as with `read`.
        names: of the columns or arrays that are wanted; default: all. Row ids are always given.
        rows: how many rows at a time; default: what suits the format.
    """
    module = _format_of(path)
    if hasattr(module, "batches"):
        yield from module.batches(path, text, names, rows)
    else:
        yield read(path, text)


def of_workers_alone(path: Path) -> bool:
    """Whether a file's content is for workers to read: the parent process may know its facts, and no more."""
    return bool(getattr(_format_of(path), "WORKERS_ALONE", False))


def _format_of(path: Path) -> Any:
    module = formats().get(path.suffix.lower())
    if module is None:
        known = ", ".join(sorted(formats()))
        raise DataFileError(f"`{path.name}` has no known data format", f"use one of: {known}")
    return module
