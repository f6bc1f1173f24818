"""The compact wire format of Thrift, as far as reading structs needs it without their compiled descriptions.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md: a struct is a row of fields, each a number,
a kind and a value. Everything that is read takes at least one byte, so that the work is bounded by the bytes.
"""

from collections.abc import Iterator
from typing import Any

STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(13)

MOST_NESTED = 24
"""Structs and lists inside one another; the metadata of a Parquet file has eight."""


class Wire:
    """A place in the bytes of a struct, moved on by what is read."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    def fields(self) -> Iterator[tuple[int, int]]:
        """Number and kind of each field of a struct. The value must be read, or skipped, before the next one is asked for.

        Raises:
            ValueError: the bytes are no struct.
        """
        number = 0
        while (head := self._byte()) != STOP:
            number = number + (head >> 4) if head >> 4 else _signed(self._varint())
            yield number, head & 15

    def items(self, kind: int) -> Iterator[int]:
        """The kind of each item of a list, each to be read before the next one is asked for. Raises `ValueError`."""
        if kind not in (LIST, SET):
            raise ValueError(f"a list was expected, not a value of kind {kind}")
        head = self._byte()
        size = head >> 4 if head >> 4 < 15 else self._varint()
        if size > len(self._content) - self._place:
            raise ValueError(f"a list of {size} items in {len(self._content) - self._place} bytes")
        for _ in range(size):
            yield head & 15

    def number(self, kind: int) -> int:
        """A whole number, or a truth value as 1 or 0. Raises `ValueError`."""
        if kind in (TRUE, FALSE):
            return int(kind == TRUE)
        if kind == BYTE:
            return _twos(self._byte(), 8)
        if kind not in (I16, I32, I64):
            raise ValueError(f"a number was expected, not a value of kind {kind}")
        return _signed(self._varint())

    def binary(self, kind: int) -> bytes:
        """Bytes. Raises `ValueError`."""
        if kind != BINARY:
            raise ValueError(f"bytes were expected, not a value of kind {kind}")
        return self._take(self._varint())

    def text(self, kind: int) -> str:
        """A text. Raises `ValueError`."""
        return self.binary(kind).decode("utf-8")

    def skip(self, kind: int, inside: int = 0) -> None:
        """Pass over a value. Raises `ValueError`."""
        if inside > MOST_NESTED:
            raise ValueError(f"more than {MOST_NESTED} values inside one another")
        if kind == BINARY:
            self._take(self._varint())
        elif kind == DOUBLE:
            self._take(8)
        elif kind == BYTE:
            self._byte()
        elif kind in (I16, I32, I64):
            self._varint()
        elif kind in (LIST, SET):
            for item in self.items(kind):
                self._skip_item(item, inside)
        elif kind == MAP:
            self._skip_map(inside)
        elif kind == STRUCT:
            for _, held in self.fields():
                self.skip(held, inside + 1)
        elif kind not in (TRUE, FALSE):
            raise ValueError(f"a value of the unknown kind {kind}")

    def _skip_item(self, kind: int, inside: int) -> None:
        """Of a list or map, where a truth value is a byte."""
        self.skip(BYTE if kind in (TRUE, FALSE) else kind, inside + 1)

    def _skip_map(self, inside: int) -> None:
        size = self._varint()
        if size > len(self._content) - self._place:
            raise ValueError(f"a map of {size} entries in {len(self._content) - self._place} bytes")
        kinds = self._byte() if size else 0
        for _ in range(size):
            self._skip_item(kinds >> 4, inside)
            self._skip_item(kinds & 15, inside)

    def _byte(self) -> int:
        return self._take(1)[0]

    def _take(self, size: int) -> bytes:
        end = self._place + size
        if end > len(self._content):
            raise ValueError("a value ends after the struct")
        found = self._content[self._place : end]
        self._place = end
        return found

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than ten bytes")
        return found


def read_struct(wire: Wire, readers: dict[int, Any]) -> dict[int, Any]:
    """The fields of a struct that somebody reads, by number; others are passed over. Raises `ValueError`.

    Args:
        wire: at the beginning of the struct.
        readers: field number to a function of the field's kind.
    """
    found: dict[int, Any] = {}
    for number, kind in wire.fields():
        reader = readers.get(number)
        if reader is None:
            wire.skip(kind)
        else:
            found[number] = reader(kind)
    return found


def _signed(zigzag: int) -> int:
    return (zigzag >> 1) ^ -(zigzag & 1)


def _twos(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
