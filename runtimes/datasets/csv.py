"""Comma-separated tables: every cell kept or named as missing, nothing renamed, nothing guessed away.

A column is numeric where every cell that is not empty is a number; numbers that a float64 cannot hold exactly as
written (whole numbers above 2**53) and codes with leading zeros make a text column. ``NA`` and ``None`` are text.
"""

import csv
import io
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.datasets import ColumnFacts, DataFileError, DatasetFacts, RawData

SUFFIXES = (".csv",)
WRITES_TEXT = True
"""Numbers are written as text here, so `read` takes the columns that are to stay as they are written."""
LIMIT_BYTES = 2**30
LIMIT_COLUMNS = 20_000

_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*|(?=\.\d))(?:\.\d*)?(?:[eE][+-]?\d+)?")
_NOT_FINITE = frozenset({"nan", "inf", "-inf", "+inf"})
_LARGEST_WHOLE = 2**53
_AGAIN = "save the table again as comma-separated UTF-8 text"


def inspect(path: Path) -> DatasetFacts:
    """Read a table's names, types and number of rows. Raises `DataFileError`."""
    header, rows = _table(path)
    columns = tuple(
        ColumnFacts(name, (), "float64" if _is_numeric([row[place] for row in rows]) else "str")
        for place, name in enumerate(header)
        if name != "row_ids"
    )
    return DatasetFacts(format="csv", rows=len(rows), columns=columns, tabular=True)


def read(path: Path, text: Collection[str] = ()) -> RawData:
    """Read a table: float64 columns with NaN where empty, object columns with None. Raises `DataFileError`.

    Columns named in ``text`` stay text, whatever they hold.
    """
    header, rows = _table(path)
    arrays = {}
    row_ids = None
    for place, name in enumerate(header):
        cells = [row[place] for row in rows]
        if name == "row_ids":
            row_ids = np.asarray(cells, np.str_)
        else:
            arrays[name] = _words(cells) if name in text else _column(cells)
    return RawData(arrays=arrays, row_ids=row_ids)


def read_column(path: Path, name: str, text: bool = False) -> NDArray[Any]:
    """Read one column of a table. Raises `DataFileError`, and `KeyError` where the table has none of that name."""
    header, rows = _table(path)
    if name not in header:
        raise KeyError(name)
    place = header.index(name)
    cells = [row[place] for row in rows]
    return _words(cells) if text else _column(cells)


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the rows, each with as many cells as the header."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows: list[list[str]] = []
    header: list[str] = []
    blank = 0
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        for row in reader:
            if not row:
                blank = blank or reader.line_num
                continue
            if blank:
                raise DataFileError(f"`{path.name}`: line {blank} is empty", "remove the line, or fill its cells")
            if len(row) != len(header):
                raise DataFileError(
                    f"`{path.name}`: row {len(rows) + 1} (line {reader.line_num}) has {len(row)} cells, "
                    f"the header has {len(header)}",
                    "quote cells that hold commas, and keep one cell for each column",
                )
            rows.append(row)
    except csv.Error as error:
        raise DataFileError(f"`{path.name}`: line {reader.line_num}: {error}", _AGAIN) from error
    if not rows:
        raise DataFileError(f"`{path.name}` has a header and no rows", "add at least one row")
    return header, rows


def _text(path: Path) -> str:
    if path.is_dir():
        raise DataFileError(f"`{path.name}` is a directory, not a table", "name the file inside it")
    if not path.exists():
        raise DataFileError(f"`{path.name}` does not exist", "check the path; it is relative to the spec")
    size = path.stat().st_size
    if size > LIMIT_BYTES:
        raise DataFileError(f"`{path.name}` has {size:,} bytes, above the limit of {LIMIT_BYTES:,}", "use a sample")
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataFileError(f"`{path.name}` is UTF-16 text", _AGAIN)
    if b"\0" in data:
        raise DataFileError(f"`{path.name}`: line {_line(data, data.index(0))} holds a NUL byte", _AGAIN)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line(data, error.start)
        reason = f"`{path.name}`: line {line} is not UTF-8 (byte {data[error.start]:#04x})"
        raise DataFileError(reason, _AGAIN) from error
    if not text.strip():
        raise DataFileError(f"`{path.name}` is empty", "save a table with a header and rows")
    return text


def _line(data: bytes, position: int) -> int:
    return data.count(b"\n", 0, position) + 1


def _check_header(path: Path, header: list[str]) -> None:
    if len(header) > LIMIT_COLUMNS:
        raise DataFileError(f"`{path.name}` has {len(header):,} columns, above {LIMIT_COLUMNS:,}", "use fewer columns")
    if len(header) <= 1:
        for separator, name in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if separator in "".join(header):
                raise DataFileError(f"`{path.name}` is separated by {name}, not by commas", _AGAIN)
    for place, name in enumerate(header):
        if not name:
            raise DataFileError(f"`{path.name}`: column {place + 1} has no name", "give every column a name")
        if name in header[:place]:
            raise DataFileError(
                f"`{path.name}`: columns {header.index(name) + 1} and {place + 1} are both called `{name}`",
                "give every column its own name",
            )
    if header and all(_NUMBER.fullmatch(name) for name in header):
        raise DataFileError(f"`{path.name}`: the first line holds numbers, not names", "add a header line")


def _column(cells: list[str]) -> NDArray[Any]:
    if _is_numeric(cells):
        return np.array([float(cell) if cell.strip() else np.nan for cell in cells], np.float64)
    return _words(cells)


def _is_numeric(cells: list[str]) -> bool:
    """Whether all that is not empty is a number. Most columns hold few different cells; each is looked at once."""
    filled = {cell.strip() for cell in set(cells)} - {""}
    numbers = {cell for cell in filled if cell.lower() not in _NOT_FINITE}
    return bool(numbers or not filled) and all(_is_exact_number(cell) for cell in numbers)


def _words(cells: list[str]) -> NDArray[Any]:
    column = np.empty(len(cells), object)
    column[:] = [cell if cell.strip() else None for cell in cells]
    return column


def _is_exact_number(cell: str) -> bool:
    if not _NUMBER.fullmatch(cell):
        return False
    return not cell.lstrip("+-").isdigit() or abs(int(cell)) <= _LARGEST_WHOLE
