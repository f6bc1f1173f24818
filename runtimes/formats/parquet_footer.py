"""What a Parquet file says of itself: read from the metadata at its end, bounded, and by no library.

https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift. The parent process reads this much and no
more; the pages are read by a worker. What is said here is not believed: a worker holds the pages against it.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes.formats.thrift_wire import STRUCT, Wire, read_struct

LARGEST_FOOTER = 32 * 2**20
"""Bytes of metadata; a file of 1,000 row groups and 200 columns has about 20 MiB."""
LARGEST_GROUPS = 100_000

_MAGIC, _ENCRYPTED = b"PAR1", b"PARE"
_TYPES = ("BOOLEAN", "INT32", "INT64", "INT96", "FLOAT", "DOUBLE", "BYTE_ARRAY", "FIXED_LEN_BYTE_ARRAY")
_LITTLE = {"BOOLEAN": "<?", "INT32": "<i", "INT64": "<q", "FLOAT": "<f", "DOUBLE": "<d"}
_CONVERTED = {
    0: "STRING", 1: "MAP", 2: "MAP", 3: "LIST", 4: "STRING", 5: "DECIMAL", 6: "DATE", 7: "TIME", 8: "TIME", 9: "TIMESTAMP",
    10: "TIMESTAMP", **dict.fromkeys(range(11, 15), "UNSIGNED"), **dict.fromkeys(range(15, 19), "INTEGER"), 19: "JSON",
    20: "BSON", 21: "INTERVAL",
}  # fmt: skip
_LOGICAL = {
    1: "STRING", 2: "MAP", 3: "LIST", 4: "STRING", 5: "DECIMAL", 6: "DATE", 7: "TIME", 8: "TIMESTAMP", 10: "INTEGER",
    11: "NULL", 12: "JSON", 13: "BSON", 14: "UUID", 15: "FLOAT16",
}  # fmt: skip
_REPEATED = 2


class FooterError(Exception):
    """The metadata cannot be used; one sentence, without the file's name."""


@dataclass(frozen=True)
class Column:
    """One column of the file."""

    name: str
    physical: str
    """One of ``BOOLEAN``, ``INT32``, …, as its values are stored."""
    meaning: str
    """What they mean: ``STRING``, ``DECIMAL``, ``TIMESTAMP``, …; empty where they are what they are stored as."""
    missing: int | None
    """Rows without a value, as far as the file says."""
    least: float | None
    """Least value of a column of numbers, as far as the file says."""
    largest: float | None


@dataclass(frozen=True)
class Footer:
    """The metadata of a file of plain columns."""

    rows: int
    columns: tuple[Column, ...]
    groups: tuple[int, ...]
    """Rows of each row group."""
    unpacked: int
    """Bytes of all pages, unpacked, as the file says."""


@dataclass(frozen=True)
class _Leaf:
    name: str
    physical: str
    meaning: str


def read_footer(path: Path) -> Footer:
    """Read the metadata at the end of a file. Raises `FooterError`, OSError."""
    content, begun = _tail(path)
    try:
        return _footer(content, begun)
    except (ValueError, IndexError, KeyError, OverflowError, struct.error) as error:
        raise FooterError(f"its metadata is damaged: {str(error)[:200]}") from error


def _tail(path: Path) -> tuple[bytes, int]:
    """The bytes of the metadata, and where they begin."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        head = file.read(4)
        if size < 12 or head not in (_MAGIC, _ENCRYPTED):
            raise FooterError("it is no Parquet file (it does not begin with `PAR1`)")
        file.seek(size - 8)
        length, magic = struct.unpack("<I4s", file.read(8))
        if _ENCRYPTED in (head, magic):
            raise FooterError("it is encrypted")
        if magic != _MAGIC:
            raise FooterError("it is truncated: it does not end with `PAR1`")
        if length > size - 12:
            raise FooterError(f"it says that it has {length:,} bytes of metadata, in a file of {size:,}")
        if length > LARGEST_FOOTER:
            raise FooterError(f"it has {length:,} bytes of metadata, above {LARGEST_FOOTER:,}")
        file.seek(size - 8 - length)
        return file.read(length), size - 8 - length


def _footer(content: bytes, begun: int) -> Footer:
    wire = Wire(content)
    leaves: tuple[_Leaf, ...] = ()

    def groups(kind: int) -> list[dict[str, Any]]:
        if not leaves:
            raise FooterError("it has no columns")
        found = []
        for _ in wire.items(kind):
            found.append(_group(wire, leaves, begun))
            if len(found) > LARGEST_GROUPS:
                raise FooterError(f"it has more than {LARGEST_GROUPS:,} row groups")
        return found

    def schema(kind: int) -> None:
        nonlocal leaves
        leaves = _schema([_element(wire) for _ in wire.items(kind)])

    said = read_struct(wire, {2: schema, 3: wire.number, 4: groups})
    held, rows = said.get(4, []), said.get(3)
    if not leaves or rows is None:
        raise FooterError("it has no columns, or does not say how many rows")
    if rows < 0 or sum(group["rows"] for group in held) != rows:
        raise FooterError(f"it says {rows} rows, and its row groups hold {sum(group['rows'] for group in held)}")
    columns = tuple(_column(leaf, [group["columns"][place] for group in held]) for place, leaf in enumerate(leaves))
    return Footer(rows, columns, tuple(g["rows"] for g in held), sum(c["unpacked"] for g in held for c in g["columns"]))


def _element(wire: Wire) -> dict[int, Any]:
    """One element of the schema: 1 type, 3 repetition, 4 name, 5 children, 6 converted type, 10 logical type."""

    def logical(kind: int) -> str:
        if kind != STRUCT:
            raise ValueError("a logical type that is no struct")
        told = ""
        for number, held in wire.fields():
            told = _LOGICAL.get(number, "UNKNOWN")
            wire.skip(held)
        return told

    return read_struct(
        wire, {1: wire.number, 3: wire.number, 4: wire.text, 5: wire.number, 6: wire.number, 10: logical}
    )


def _schema(elements: list[dict[int, Any]]) -> tuple[_Leaf, ...]:
    """The columns. Raises `FooterError` where one is not one plain value a row."""
    if not elements or elements[0].get(5, 0) != len(elements) - 1:
        nested = next((str(e.get(4)) for e in elements[1:] if e.get(5)), None)
        if nested is not None:
            raise FooterError(f"the column `{nested[:100]}` holds lists or records, and a cell is one value")
        raise FooterError("its schema is damaged")
    found = []
    for element in elements[1:]:
        name = element[4]
        if element.get(5) or element.get(3) == _REPEATED:
            raise FooterError(f"the column `{name[:100]}` holds lists or records, and a cell is one value")
        meaning = element.get(10) or _CONVERTED.get(element[6], "UNKNOWN") if 6 in element or 10 in element else ""
        found.append(_Leaf(name, _TYPES[_natural(element[1])], str(meaning)))
    return tuple(found)


def _group(wire: Wire, leaves: tuple[_Leaf, ...], begun: int) -> dict[str, Any]:
    """One row group: 1 columns, 3 rows."""

    def columns(kind: int) -> list[dict[str, Any]]:
        return [_chunk(wire, begun) for _ in wire.items(kind)]

    said = read_struct(wire, {1: columns, 3: wire.number})
    rows = _natural(said[3])
    if len(said[1]) != len(leaves):
        raise FooterError(f"a row group has {len(said[1])} columns, the file {len(leaves)}")
    for chunk, leaf in zip(said[1], leaves, strict=True):
        if chunk["path"] != [leaf.name] or chunk["type"] != leaf.physical or chunk["values"] != rows:
            raise FooterError(f"a row group holds something else than the column `{leaf.name[:100]}`")
    return {"columns": said[1], "rows": rows}


def _chunk(wire: Wire, begun: int) -> dict[str, Any]:
    """One column of a row group: 1 file, 3 metadata, 8 encryption.

    Metadata: 1 type, 3 path, 5 values, 6 unpacked and 7 packed bytes, 9 and 11 where its pages begin, 12 statistics.
    """

    def path(kind: int) -> list[str]:
        return [wire.text(item) for item in wire.items(kind)]

    def statistics(kind: int) -> dict[int, Any]:
        if kind != STRUCT:
            raise ValueError("statistics that are no struct")
        return read_struct(wire, {3: wire.number, 5: wire.binary, 6: wire.binary})

    def metadata(kind: int) -> dict[int, Any]:
        if kind != STRUCT:
            raise ValueError("metadata that is no struct")
        whole = dict.fromkeys((1, 5, 6, 7, 9, 11), wire.number)
        return read_struct(wire, {**whole, 3: path, 12: statistics})

    def encrypted(kind: int) -> bool:
        wire.skip(kind)
        return True

    said = read_struct(wire, {1: wire.text, 3: metadata, 8: encrypted})
    if 1 in said:
        raise FooterError("its columns lie in other files")
    if 8 in said:
        raise FooterError("it is encrypted")
    held = said[3]
    first = min(_natural(held[9]), _natural(held[11])) if held.get(11) else _natural(held[9])
    if held[5] and (first < 4 or first + _natural(held[7]) > begun):
        raise FooterError("its pages lie outside of it, or in its metadata")
    told = held.get(12, {})
    return {
        "path": held[3], "type": _TYPES[_natural(held[1])], "values": held[5], "unpacked": _natural(held[6]),
        "missing": told.get(3), "largest": told.get(5), "least": told.get(6),
    }  # fmt: skip


def _column(leaf: _Leaf, chunks: list[dict[str, Any]]) -> Column:
    """What the row groups say together; where one does not say it, nobody knows."""
    gone = [chunk["missing"] for chunk in chunks]
    missing = None if None in gone else sum(gone)
    # a row group without any value has no least one, and says nothing against that of the others
    filled = [chunk for chunk in chunks if chunk["missing"] != chunk["values"]]
    least = [_value(leaf, chunk["least"]) for chunk in filled]
    largest = [_value(leaf, chunk["largest"]) for chunk in filled]
    return Column(
        leaf.name, leaf.physical, leaf.meaning, missing,
        min((value for value in least if value is not None), default=None) if None not in least else None,
        max((value for value in largest if value is not None), default=None) if None not in largest else None,
    )  # fmt: skip


def _value(leaf: _Leaf, stored: bytes | None) -> float | None:
    form = _LITTLE.get(leaf.physical)
    if stored is None or form is None or leaf.meaning not in ("", "INTEGER") or len(stored) != struct.calcsize(form):
        return None
    value = float(struct.unpack(form, stored)[0])
    return value if value == value else None


def _natural(number: int) -> int:
    if number < 0:
        raise ValueError(f"a size of {number}")
    return number
