"""Comma-separated tables: every cell kept or named as missing, nothing renamed, nothing guessed away.

A column is numeric where every cell that is not empty is a number; numbers that a float64 cannot hold exactly as
written (whole numbers above 2**53) and codes with leading zeros make a text column. ``NA`` and ``None`` are text.
"""

import codecs
import csv
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.datasets import ColumnFacts, DataFileError, DatasetFacts, RawData

SUFFIXES = (".csv",)
WRITES_TEXT = True
"""Numbers are written as text here, so `read` takes the columns that are to stay as they are written."""
LIMIT_BYTES = 4 * 2**30
"""To look through so much takes minutes; no more than some rows are held at a time."""
LIMIT_COLUMNS = 20_000

_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d*|(?=\.\d))(?:\.\d*)?(?:[eE][+-]?\d+)?")
_NOT_FINITE = frozenset({"nan", "inf", "-inf", "+inf"})
_LARGEST_WHOLE = 2**53
_AT_ONCE = 2**20
"""Cells, or rows, read at a time."""
_PART = 2**22
NEW_LINE = b"\n"
_AGAIN = "save the table again as comma-separated UTF-8 text"


def inspect(path: Path) -> DatasetFacts:
    """Read a table's names, types and number of rows, holding some rows at a time. Raises `DataFileError`."""
    header, kinds, rows = _survey(path)
    columns = tuple(
        ColumnFacts(name, (), "float64" if kind.numeric else "str")
        for name, kind in zip(header, kinds, strict=True)
        if name != "row_ids"
    )
    return DatasetFacts("csv", rows, columns, tabular=True, names_rows="row_ids" in header)


def read(path: Path, text: Collection[str] = ()) -> RawData:
    """Read a table: float64 columns with NaN where empty, object columns with None. Raises `DataFileError`.

    Columns named in ``text`` stay text, whatever they hold.
    """
    header, rows = _table(path)
    return _data(header, rows, [_words if name in text else _column for name in header])


def batches(
    path: Path, text: Collection[str] = (), names: Collection[str] | None = None, rows: int | None = None
) -> Iterator[RawData]:
    """Read a table some rows at a time; see `runtimes.datasets.batches`. Raises `DataFileError`.

    The file is read twice: only its last cell may show that a column is not one of numbers.
    """
    header, kinds, _ = _survey(path)
    readers: list[Callable[[list[str]], NDArray[Any]] | None] = [
        (_numbers if kind.numeric and name not in text else _words) if names is None or name in names else None
        for name, kind in zip(header, kinds, strict=True)
    ]
    blocks = _blocks(path, rows or max(1, _AT_ONCE // len(header)))
    next(blocks)
    for block in blocks:
        yield _data(header, block, readers)


def read_column(path: Path, name: str, text: bool = False) -> NDArray[Any]:
    """Read one column of a table. Raises `DataFileError`, and `KeyError` where the table has none of that name."""
    blocks = _blocks(path, _AT_ONCE)
    (header,) = next(blocks)
    if name not in header:
        raise KeyError(name)
    place = header.index(name)
    cells = [row[place] for block in blocks for row in block]
    return _words(cells) if text else _column(cells)


def _data(
    header: list[str], rows: list[list[str]], readers: Sequence[Callable[[list[str]], NDArray[Any]] | None]
) -> RawData:
    arrays = {}
    row_ids = None
    for place, (name, reader) in enumerate(zip(header, readers, strict=True)):
        if name == "row_ids":
            row_ids = np.asarray([row[place] for row in rows], np.str_)
        elif reader is not None:
            arrays[name] = reader([row[place] for row in rows])
    return RawData(arrays=arrays, row_ids=row_ids)


@dataclass
class _Kind:
    """What the cells of a column have been so far."""

    filled: bool = False
    counted: bool = False
    """Whether one of them is a number, and not just ``nan`` or ``inf``."""
    exact: bool = True
    """Whether all of them are numbers that a float64 can hold."""

    @property
    def numeric(self) -> bool:
        """Whether all that is not empty is a number."""
        return (self.counted or not self.filled) and self.exact

    def see(self, cells: Iterable[str]) -> None:
        """Most columns hold few different cells; each is looked at once."""
        filled = {cell.strip() for cell in set(cells)} - {""}
        numbers = {cell for cell in filled if cell.lower() not in _NOT_FINITE}
        self.filled |= bool(filled)
        self.counted |= bool(numbers)
        self.exact = self.exact and all(_is_exact_number(cell) for cell in numbers)


def _survey(path: Path) -> tuple[list[str], list[_Kind], int]:
    """The header, what each column holds, and the number of rows."""
    blocks = _blocks(path, _AT_ONCE // 16)
    (header,) = next(blocks)
    kinds = [_Kind() for _ in header]
    count = 0
    for block in blocks:
        count += len(block)
        for place, kind in enumerate(kinds):
            if kind.exact:
                kind.see(row[place] for row in block)
    return header, kinds, count


def _table(path: Path) -> tuple[list[str], list[list[str]]]:
    """The header and the rows, each with as many cells as the header."""
    blocks = _blocks(path, _AT_ONCE)
    (header,) = next(blocks)
    return header, [row for block in blocks for row in block]


def _blocks(path: Path, rows: int) -> Iterator[list[list[str]]]:
    """The header by itself, then the rows, some at a time, each with as many cells as the header."""
    _check_bytes(path)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            _check_header(path, header)
            yield [header]
            yield from _checked(path, header, reader, rows)
        except csv.Error as error:
            raise DataFileError(f"`{path.name}`: line {reader.line_num}: {error}", _AGAIN) from error


def _checked(path: Path, header: list[str], reader: Any, rows: int) -> Iterator[list[list[str]]]:
    block: list[list[str]] = []
    count = blank = 0
    for row in reader:
        if not row:
            blank = blank or reader.line_num
            continue
        if blank:
            raise DataFileError(f"`{path.name}`: line {blank} is empty", "remove the line, or fill its cells")
        count += 1
        if len(row) != len(header):
            raise DataFileError(
                f"`{path.name}`: row {count} (line {reader.line_num}) has {len(row)} cells, "
                f"the header has {len(header)}",
                "quote cells that hold commas, and keep one cell for each column",
            )
        block.append(row)
        if len(block) == rows:
            yield block
            block = []
    if not count:
        raise DataFileError(f"`{path.name}` has a header and no rows", "add at least one row")
    if block:
        yield block


def _check_bytes(path: Path) -> None:
    """Hold the file against what text may be, a part at a time. Raises `DataFileError` naming the line."""
    if path.is_dir():
        raise DataFileError(f"`{path.name}` is a directory, not a table", "name the file inside it")
    if not path.exists():
        raise DataFileError(f"`{path.name}` does not exist", "check the path; it is relative to the spec")
    size = path.stat().st_size
    if size > LIMIT_BYTES:
        help_ = "save the table as `.parquet`, or use a sample"
        raise DataFileError(f"`{path.name}` has {size:,} bytes, above the limit of {LIMIT_BYTES:,}", help_)
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    line, holds = 1, False
    wrong: DataFileError | None = None
    with path.open("rb") as stream:
        for number in itertools.count():
            part = stream.read(_PART)
            if not number and part.startswith((b"\xff\xfe", b"\xfe\xff")):
                raise DataFileError(f"`{path.name}` is UTF-16 text", _AGAIN)
            if b"\0" in part:
                told = f"line {line + part.count(NEW_LINE, 0, part.index(0))} holds a NUL byte"
                raise DataFileError(f"`{path.name}`: {told}", _AGAIN)
            wrong = wrong or _undecodable(path, decoder, part, line)
            if not part:
                break
            line += part.count(NEW_LINE)
            holds = holds or bool(part.removeprefix(codecs.BOM_UTF8).strip())
    if wrong is not None:  # a NUL byte further on says more
        raise wrong
    if not holds:
        raise DataFileError(f"`{path.name}` is empty", "save a table with a header and rows")


def _undecodable(path: Path, decoder: codecs.IncrementalDecoder, part: bytes, line: int) -> DataFileError | None:
    """What is wrong with a part of the file, the last of which is empty; None where it is UTF-8."""
    held = decoder.getstate()[0]
    try:
        decoder.decode(part, final=not part)
    except UnicodeDecodeError as error:
        bad: bytes = error.object[error.start : error.start + 1]
        at = line + error.object.count(NEW_LINE, len(held), error.start)
        found = DataFileError(f"`{path.name}`: line {at} is not UTF-8 (byte {bad[0]:#04x})", _AGAIN)
        found.__cause__ = error
        return found
    return None


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
    kind = _Kind()
    kind.see(cells)
    return _numbers(cells) if kind.numeric else _words(cells)


def _numbers(cells: list[str]) -> NDArray[Any]:
    return np.array([float(cell) if cell.strip() else np.nan for cell in cells], np.float64)


def _words(cells: list[str]) -> NDArray[Any]:
    column = np.empty(len(cells), object)
    column[:] = [cell if cell.strip() else None for cell in cells]
    return column


def _is_exact_number(cell: str) -> bool:
    if not _NUMBER.fullmatch(cell):
        return False
    return not cell.lstrip("+-").isdigit() or abs(int(cell)) <= _LARGEST_WHOLE
