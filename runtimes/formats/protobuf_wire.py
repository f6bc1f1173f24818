"""The wire format of protocol buffers, as far as reading messages needs it without their compiled descriptions.

https://protobuf.dev/programming-guides/encoding/: a message is a row of fields, each a number, a kind and a value.
"""

from collections.abc import Iterator

Value = int | memoryview
"""A number, or the bytes of a text, a nested message, or numbers packed together."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5


def fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Every field of a message in order: its number and its value.

    Raises:
        ValueError: the bytes are no message.
    """
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, place = _varint(message, place)
            yield number, value
            continue
        if kind == _LENGTH:
            size, place = _varint(message, place)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"field {number} is of the unknown kind {kind}")
        if place + size > end:
            raise ValueError(f"field {number} ends after its message")
        yield number, message[place : place + size]
        place += size


def parts(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """The nested messages (or texts) of one field number."""
    for number, value in fields(message):
        if number == wanted and isinstance(value, memoryview):
            yield value


def part(message: memoryview, wanted: int) -> memoryview:
    """The nested message of one field number, the last where there are several; empty where there is none."""
    found = [memoryview(b""), *parts(message, wanted)]
    return found[-1]


def number(message: memoryview, wanted: int) -> int:
    """The number in one field, as a signed 64-bit one; 0 where it is not said."""
    found = 0
    for at, value in fields(message):
        if at == wanted and isinstance(value, int):
            found = value
    return found - 2**64 if found >= 2**63 else found


def numbers(message: memoryview, wanted: int) -> Iterator[int]:
    """The numbers of one repeated field, packed together or not."""
    for at, value in fields(message):
        if at != wanted:
            continue
        if isinstance(value, int):
            yield value
            continue
        place = 0
        while place < len(value):
            one, place = _varint(value, place)
            yield one


def text(message: memoryview, wanted: int) -> str:
    """The text of one field; empty where it is not said."""
    return str(bytes(part(message, wanted)), "utf-8")


def texts(message: memoryview, wanted: int) -> list[str]:
    """The texts of one repeated field."""
    return [str(bytes(value), "utf-8") for value in parts(message, wanted)]


def entries(message: memoryview, wanted: int) -> Iterator[tuple[str, memoryview]]:
    """The entries of a map field from texts to messages."""
    for entry in parts(message, wanted):
        yield text(entry, 1), part(entry, 2)


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise ValueError("a number does not end")
        byte = message[place]
        value |= (byte & 127) << shift
        place += 1
        if byte < 128:
            return value, place
        shift += 7
