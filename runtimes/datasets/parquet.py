"""Parquet tables: columns of numbers and of text, read row group by row group.

Facts come from the metadata at the file's end alone (`runtimes.formats.parquet_footer`), without any library; pages are
read by pyarrow, in workers. Numbers and truth values become float64, or float32 where they are stored so, with NaN where
they are missing; text stays text, with None. Times, decimals and lists are refused: what number they should be is the author's to say.
"""

from collections.abc import Collection, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.datasets import ColumnFacts, DataFileError, DatasetFacts, RawData
from runtimes.formats.parquet_footer import Column, Footer, FooterError, read_footer

SUFFIXES = (".parquet", ".pq")
WORKERS_ALONE = True
"""Its content is never read by the parent process: the library is native code, and the file may be anybody's."""
LIMIT_ROWS = 2**31 - 1
LIMIT_CELLS = 2**33
"""Rows times columns: a small file can declare as many as it likes, since equal values are packed together."""
LIMIT_COLUMNS = 20_000
_AT_ONCE = 2**21
"""Cells read at a time."""
_LARGEST_WHOLE = 2**53

_AGAIN = "write the file again, as plain columns of numbers and text"
_REFUSED = {
    "DECIMAL": ("decimal numbers", "write it as a floating-point number, or as text"),
    "DATE": ("dates", "write it as a number, such as days since a date"),
    "TIME": ("times of day", "write it as a number, such as seconds"),
    "TIMESTAMP": ("points in time", "write it as a number, such as seconds since a date"),
    "INTERVAL": ("durations", "write it as a number, such as days"),
    "NULL": ("no values at all", "leave the column out"),
    "JSON": ("JSON", "write each value into a column of its own"),
    "BSON": ("BSON", "write each value into a column of its own"),
    "UUID": ("identifiers in binary", "write it as text"),
    "FLOAT16": ("half-precision numbers", "write it as float32"),
}


def inspect(path: Path) -> DatasetFacts:
    """Read a table's names, types and number of rows from its metadata. Raises `DataFileError`."""
    footer = _footer(path)
    if find_spec("pyarrow") is None:
        raise DataFileError(
            f"`{path.name}` is a Parquet file, and the package pyarrow is not installed",
            "install pgx-compiler with the extra `parquet`, or save the table as `.csv` or `.npz`",
        )
    columns = tuple(
        ColumnFacts(column.name, (), _dtype(column), column.missing, column.least, column.largest)
        for column in footer.columns
        if column.name != "row_ids"
    )
    named = any(column.name == "row_ids" for column in footer.columns)
    return DatasetFacts("parquet", footer.rows, columns, tabular=True, names_rows=named)


def read(path: Path) -> RawData:
    """Read a whole table. Raises `DataFileError`."""
    parts = list(batches(path))
    arrays = {name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays}
    ids = None
    if parts[0].row_ids is not None:
        ids = np.concatenate([part.row_ids for part in parts if part.row_ids is not None])
    return RawData(arrays, ids)


def read_column(path: Path, name: str, text: bool = False) -> NDArray[Any]:  # noqa: ARG001  (numbers are no text here)
    """Read one column. Raises `DataFileError`, and `KeyError` where the table has none of that name."""
    if name not in [column.name for column in _footer(path).columns]:
        raise KeyError(name)
    parts = list(batches(path, names={name}))
    return np.concatenate([part.arrays[name] if name != "row_ids" else _ids(part) for part in parts])


def batches(
    path: Path,
    text: Collection[str] = (),  # noqa: ARG001  (numbers are no text here)
    names: Collection[str] | None = None,
    rows: int | None = None,
) -> Iterator[RawData]:
    """Read a table some rows at a time; see `runtimes.datasets.batches`. Raises `DataFileError`."""
    footer = _footer(path)
    wanted = [c for c in footer.columns if names is None or c.name in names or c.name == "row_ids"]
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DataFileError(
            f"`{path.name}` is a Parquet file, and the package pyarrow cannot be imported: {error}",
            "install pgx-compiler with the extra `parquet`, or save the table as `.csv` or `.npz`",
        ) from error
    words = [column.name for column in wanted if _dtype(column) == "str"]
    step = rows or max(1, _AT_ONCE // max(1, len(wanted)))
    seen = 0
    try:
        # one thread, and pages as they are needed: a worker is one of many on its machine
        with pq.ParquetFile(
            path, memory_map=False, pre_buffer=False, buffer_size=2**20, read_dictionary=words,
            page_checksum_verification=True,
            thrift_string_size_limit=2**25, thrift_container_size_limit=2**22,
        ) as file:  # fmt: skip
            for batch in file.iter_batches(step, columns=[c.name for c in wanted], use_threads=False):
                batch.validate(full=True)
                arrays = {c.name: _array(path, c, batch.column(c.name), seen) for c in wanted}
                seen += batch.num_rows
                ids = arrays.pop("row_ids", None)
                yield RawData(arrays, None if ids is None else _called(ids))
    except (pa.ArrowException, OSError, MemoryError, KeyError, UnicodeDecodeError) as error:
        reason = f"`{path.name}` cannot be read: {' '.join(str(error).split())[:300]}"
        raise DataFileError(reason, "the file is damaged: write it again") from error
    finally:
        pa.default_memory_pool().release_unused()
    if seen != footer.rows:
        raise DataFileError(f"`{path.name}` says that it has {footer.rows:,} rows, and holds {seen:,}", _AGAIN)


def _footer(path: Path) -> Footer:
    """The metadata of a file, as far as the reader takes it. Raises `DataFileError`."""
    if path.is_dir():
        raise DataFileError(f"`{path.name}` is a directory, not a table", "name the file inside it")
    if not path.exists():
        raise DataFileError(f"`{path.name}` does not exist", "check the path; it is relative to the spec")
    try:
        footer = read_footer(path)
    except (FooterError, OSError) as error:
        raise DataFileError(f"`{path.name}` cannot be used: {error}", _AGAIN) from error
    _check_size(path, footer)
    _check_names(path, [column.name for column in footer.columns])
    for column in footer.columns:
        _check_type(path, column)
    return footer


def _check_size(path: Path, footer: Footer) -> None:
    if footer.rows == 0:
        raise DataFileError(f"`{path.name}` has columns and no rows", "add at least one row")
    if len(footer.columns) > LIMIT_COLUMNS:
        reason = f"`{path.name}` has {len(footer.columns):,} columns, above {LIMIT_COLUMNS:,}"
        raise DataFileError(reason, "use fewer columns")
    cells = footer.rows * len(footer.columns)
    if footer.rows > LIMIT_ROWS or cells > LIMIT_CELLS:
        reason = f"`{path.name}` says that it has {footer.rows:,} rows of {len(footer.columns):,} columns"
        raise DataFileError(reason, f"use a sample: {LIMIT_CELLS:,} values are the most that is read")


def _check_names(path: Path, names: Sequence[str]) -> None:
    seen: set[str] = set()
    for place, name in enumerate(names):
        if not name.strip():
            raise DataFileError(f"`{path.name}`: column {place + 1} has no name", "give every column a name")
        if name in seen:
            raise DataFileError(f"`{path.name}`: two columns are called `{name[:100]}`", "give each its own name")
        seen.add(name)


def _check_type(path: Path, column: Column) -> None:
    what, help_ = _REFUSED.get(column.meaning, ("", _AGAIN))
    if not what and column.physical == "INT96":
        what, help_ = _REFUSED["TIMESTAMP"]
    if not what and (column.meaning == "UNKNOWN" or (column.physical == "FIXED_LEN_BYTE_ARRAY")):
        what = "values of a type that is not known"
    if not what and column.physical == "BYTE_ARRAY" and column.meaning != "STRING":
        what, help_ = "bytes", "write it as text"
    if what:
        raise DataFileError(f"`{path.name}`: the column `{column.name[:100]}` holds {what}, which are not read", help_)


def _dtype(column: Column) -> str:
    if column.physical == "BYTE_ARRAY":
        return "str"
    return "float32" if column.physical == "FLOAT" else "float64"


def _array(path: Path, column: Column, held: Any, start: int) -> NDArray[Any]:
    """The values of some rows, the first of which is row ``start``."""
    import pyarrow as pa
    import pyarrow.types as types

    if _dtype(column) == "str":
        if types.is_dictionary(held.type) and types.is_string(held.type.value_type):
            words = np.array([*held.dictionary.to_pylist(), None], object)
            found: NDArray[Any] = words[held.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)]
            return found
        if types.is_string(held.type) or types.is_large_string(held.type):
            return np.array(held.to_pylist(), object)
    elif types.is_floating(held.type) or types.is_integer(held.type) or types.is_boolean(held.type):
        gone = held.is_null().to_numpy(zero_copy_only=False)
        if types.is_boolean(held.type):
            held = held.cast(pa.int8())
        numbers: NDArray[Any] = held.fill_null(0).to_numpy(zero_copy_only=False)
        if numbers.dtype.kind in "iu":
            _check_exact(path, column, numbers, start)
        numbers = numbers.astype(_dtype(column))
        numbers[gone] = np.nan
        return numbers
    reason = f"`{path.name}`: the column `{column.name[:100]}` holds values of the type {str(held.type)[:100]}"
    raise DataFileError(reason, _AGAIN)


def _check_exact(path: Path, column: Column, numbers: NDArray[Any], start: int) -> None:
    beyond = np.flatnonzero(
        (numbers > _LARGEST_WHOLE) | (numbers < -_LARGEST_WHOLE if numbers.dtype.kind == "i" else False)
    )
    if len(beyond):
        reason = f"`{path.name}`: `{column.name[:100]}` of row {start + beyond[0]} cannot be held exactly as a number"
        raise DataFileError(reason, "write the column as text, or leave it out")


def _called(ids: NDArray[Any]) -> NDArray[np.str_]:
    """Row ids as words; whole numbers without a point."""
    if ids.dtype.kind == "f":
        return np.array(
            [f"{value:.0f}" if value == np.floor(value) else f"{value!r}" for value in ids.tolist()], np.str_
        )
    return np.array(["" if value is None else value for value in ids], np.str_)


def _ids(part: RawData) -> NDArray[Any]:
    assert part.row_ids is not None
    return part.row_ids
