"""Lines of JSON: one object a row, the same keys in each, nothing guessed.

A column holds numbers, or text, or true and false, in all of its rows; ``null`` is missing, as an absent key is not.
Numbers that a float64 cannot hold exactly are refused. Columns that are wanted as text keep numbers as they are written.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from runtimes.datasets import ColumnFacts, DataFileError, DatasetFacts, RawData

SUFFIXES = (".jsonl", ".ndjson")
WRITES_TEXT = True
"""Numbers are written as text here, so `read` takes the columns that are to stay as they are written."""
LIMIT_BYTES = 2**30
LIMIT_COLUMNS = 20_000
_LARGEST_WHOLE = 2**53
_AGAIN = "write one JSON object a line, in UTF-8, with the same keys in every line"


class _Written(str):
    """A number as the file writes it."""

    __slots__ = ()


def inspect(path: Path) -> DatasetFacts:
    """Read the keys, types and number of rows. Raises `DataFileError`."""
    rows = _rows(path)
    columns = []
    for name in rows[0]:
        if name != "row_ids":
            kind = _column(path, rows, name, as_text=False).dtype.kind
            columns.append(ColumnFacts(name, (), "float64" if kind == "f" else "str"))
    return DatasetFacts(
        format="jsonl", rows=len(rows), columns=tuple(columns), tabular=True, names_rows="row_ids" in rows[0]
    )


def read(path: Path, text: Collection[str] = ()) -> RawData:
    """Read all columns: float64 with NaN where missing, object with None. Raises `DataFileError`.

    Columns named in ``text`` stay text, whatever they hold.
    """
    rows = _rows(path)
    names = [name for name in rows[0] if name != "row_ids"]
    arrays = {name: _column(path, rows, name, as_text=name in text) for name in names}
    ids = None
    if "row_ids" in rows[0]:
        ids = np.asarray([str(row["row_ids"]) for row in rows], np.str_)
    return RawData(arrays=arrays, row_ids=ids)


def read_column(path: Path, name: str, text: bool = False) -> NDArray[Any]:
    """Read one column. Raises `DataFileError`, and `KeyError` where the rows have none of that name."""
    rows = _rows(path)
    if name not in rows[0]:
        raise KeyError(name)
    return _column(path, rows, name, as_text=text)


def _rows(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    empty = 0
    for number, line in enumerate(_text(path).split("\n"), 1):
        if not line.strip():
            empty = empty or number
            continue
        if empty:
            raise DataFileError(f"`{path.name}`: line {empty} is empty", "remove the line")
        row = _object(path, number, line)
        if rows and row.keys() != rows[0].keys():
            _refuse_keys(path, number, row, rows[0])
        rows.append(row)
    if not rows[0]:
        raise DataFileError(f"`{path.name}`: line 1 has no keys", _AGAIN)
    if len(rows[0]) > LIMIT_COLUMNS:
        raise DataFileError(f"`{path.name}` has {len(rows[0]):,} keys, above {LIMIT_COLUMNS:,}", "use fewer")
    return rows


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(
            line, object_pairs_hook=_once, parse_int=_Written, parse_float=_Written, parse_constant=_no_constant
        )
    except RecursionError as error:
        raise DataFileError(f"`{path.name}`: line {number} is nested too deeply", _AGAIN) from error
    except ValueError as error:
        raise DataFileError(f"`{path.name}`: line {number} is no JSON: {str(error)[:200]}", _AGAIN) from error
    if not isinstance(row, dict):
        raise DataFileError(f"`{path.name}`: line {number} is no object with keys", _AGAIN)
    for name, value in row.items():
        if isinstance(value, dict | list):
            what = "a list" if isinstance(value, list) else "an object"
            reason = f"`{path.name}`: `{name[:50]}` of line {number} is {what}, and a cell is one value"
            raise DataFileError(reason, "write each value under a key of its own; arrays belong into a `.npz`")
    return row


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for key, value in pairs:
        if key in row:
            raise ValueError(f"the key {key[:50]!r} stands there twice")
        row[key] = value
    return row


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number in JSON; write null where a value is missing")


def _refuse_keys(path: Path, number: int, row: dict[str, Any], first: dict[str, Any]) -> NoReturn:
    missing = [name for name in first if name not in row]
    said = f"has no `{missing[0][:50]}`" if missing else ""
    if not missing:
        said = f"has `{next(name for name in row if name not in first)[:50]}`, which line 1 has not"
    raise DataFileError(f"`{path.name}`: line {number} {said}", "give every line the same keys; null is missing")


def _text(path: Path) -> str:
    if path.is_dir():
        raise DataFileError(f"`{path.name}` is a directory, not lines of JSON", "name the file inside it")
    if not path.exists():
        raise DataFileError(f"`{path.name}` does not exist", "check the path; it is relative to the spec")
    size = path.stat().st_size
    if size > LIMIT_BYTES:
        raise DataFileError(f"`{path.name}` has {size:,} bytes, above the limit of {LIMIT_BYTES:,}", "use a sample")
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataFileError(f"`{path.name}` is UTF-16 text", _AGAIN)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataFileError(
            f"`{path.name}`: line {line} is not UTF-8 (byte {data[error.start]:#04x})", _AGAIN
        ) from error
    if not text.strip():
        raise DataFileError(f"`{path.name}` is empty", _AGAIN)
    if text.lstrip().startswith("[") and "\n" in text.strip():
        raise DataFileError(f"`{path.name}` is one JSON list, not an object a line", _AGAIN)
    return text


def _column(path: Path, rows: list[dict[str, Any]], name: str, *, as_text: bool) -> NDArray[Any]:
    """One column in the type that all its rows have. Raises `DataFileError` naming the first line with another."""
    kind = ""
    for number, row in enumerate(rows, 1):
        found = _kind(row[name])
        if kind and found and found != kind and not as_text:
            reason = f"`{path.name}`: `{name[:50]}` of line {number} is {found}, and {kind} before"
            raise DataFileError(reason, "give a column one type; null is missing")
        kind = kind or found
        _refuse_half_letters(path, number, row[name])
    if as_text or kind == "text":
        words = np.empty(len(rows), object)
        words[:] = [_word(row[name]) for row in rows]
        return words
    return np.array([_number(path, number, name, row[name]) for number, row in enumerate(rows, 1)], np.float64)


def _kind(value: Any) -> str:
    if value is None:
        return ""
    return "true or false" if isinstance(value, bool) else "a number" if isinstance(value, _Written) else "text"


def _word(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(int(value))
    return None if value is None or not str(value).strip() else str(value)


def _number(path: Path, number: int, name: str, value: Any) -> float:
    if value is None:
        return float("nan")
    whole = isinstance(value, _Written) and value.lstrip("-").isdigit()
    if (whole and (len(value) > 17 or abs(int(value)) > _LARGEST_WHOLE)) or not np.isfinite(float(value)):
        reason = f"`{path.name}`: `{name[:50]}` of line {number} is a number that cannot be held exactly"
        raise DataFileError(reason, "write it in quotes, as text")
    return float(value)


def _refuse_half_letters(path: Path, number: int, value: Any) -> None:
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        reason = f"`{path.name}`: line {number} holds half of a letter (an escape \\ud800 to \\udfff alone)"
        raise DataFileError(reason, "write the text as UTF-8")
