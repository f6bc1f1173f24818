"""The bytes of an HDF5 file: its superblock, and the messages of an object's header.

https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html ("HDF5 File Format Specification 3.0"). Read here and not
by libhdf5, because a file may be anybody's: one of 6,833 damaged files makes libhdf5 1.14.6 write where it must not, and
whoever looks at a file before it is trusted must outlive that. What is not understood here is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

SIGNATURE = b"\x89HDF\r\n\x1a\n"
UNDEFINED = 2**64 - 1
"""An address that leads nowhere."""
DATASPACE, LINK_INFO, DATATYPE, LINK, EXTERNAL, LAYOUT = 1, 2, 3, 6, 7, 8
FILTERS, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 11, 12, 16, 17, 21

_MOST_READS = 2_000_000
_MOST_BYTES = 256 * 2**20
"""Of everything but weights: the largest published networks have a few megabytes of names and headers."""
_MOST_MESSAGES = 4096


class Hdf5Error(ValueError):
    """Bytes that are no HDF5 file, or one of a kind that is not read."""


@dataclass(frozen=True)
class Message:
    """One message of an object's header."""

    kind: int
    data: bytes


class Bytes:
    """A window of an open file in which HDF5 stands, read in small pieces and within limits."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._start = start
        self.size = size
        self._reads = 0
        self._read = 0

    def at(self, place: int, size: int) -> bytes:
        """The bytes at a place.

        Raises:
            Hdf5Error: they reach beyond the file, or too many have been asked for.
        """
        if place < 0 or size < 0 or place + size > self.size:
            raise Hdf5Error(f"it is truncated: byte {place:,} is beyond its {self.size:,}")
        self._reads += 1
        self._read += size
        if self._reads > _MOST_READS or self._read > _MOST_BYTES:
            raise Hdf5Error("it holds more names and headers than a model needs")
        self._file.seek(self._start + place)
        found = self._file.read(size)
        if len(found) != size:
            raise Hdf5Error("it is truncated")
        return found

    def number(self, place: int, size: int = 8) -> int:
        """The little-endian number at a place."""
        return int.from_bytes(self.at(place, size), "little")


def root_of(source: Bytes) -> int:
    """The address of the root group's header. Raises `Hdf5Error`."""
    if source.at(0, 8) != SIGNATURE:
        raise Hdf5Error("it does not begin as an HDF5 file")
    version = source.number(8, 1)
    if version in (0, 1):
        widths, base = source.at(13, 2), 24 + 4 * version
        addresses = [source.number(base + 8 * place) for place in range(4)]
        outside, root = addresses[3], source.number(base + 40)
    elif version in (2, 3):
        widths = source.at(9, 2)
        addresses = [source.number(12 + 8 * place) for place in range(4)]
        outside, root = addresses[1], addresses[3]
    else:
        raise Hdf5Error(f"its superblock has the unknown version {version}")
    if widths != b"\x08\x08" or addresses[0] != 0:
        raise Hdf5Error("its addresses are not of 8 bytes from its beginning")
    if outside != UNDEFINED:
        raise Hdf5Error("it says that parts of it stand in other files (a driver block)")
    if addresses[2] > source.size:
        raise Hdf5Error(f"it is truncated: it says that it has {addresses[2]:,} bytes, and has {source.size:,}")
    return root


def messages(source: Bytes, address: int) -> list[Message]:
    """Every message of the object at an address, its continuations included. Raises `Hdf5Error`."""
    found: list[Message] = []
    if source.at(address, 4) == b"OHDR":
        pending, read = [_first_chunk(source, address)], _new_chunk
        flags = source.number(address + 5, 1)
    else:
        if source.number(address, 1) != 1:
            raise Hdf5Error(f"the object at byte {address:,} has no header")
        pending, read, flags = [(address + 16, source.number(address + 8, 4))], _old_chunk, 0
    visited = 0
    while pending:
        place, size = pending.pop(0)
        visited += 1
        if visited > _MOST_MESSAGES:
            raise Hdf5Error(f"the header at byte {address:,} goes on for ever")
        for message in read(source.at(place, size), flags):
            if message.kind == CONTINUATION:
                where, length = (int.from_bytes(message.data[at : at + 8], "little") for at in (0, 8))
                pending.append((where + 4, length - 8) if read is _new_chunk else (where, length))
            else:
                found.append(message)
            if len(found) > _MOST_MESSAGES:
                raise Hdf5Error(f"the header at byte {address:,} holds too many messages")
    return found


def _first_chunk(source: Bytes, address: int) -> tuple[int, int]:
    version, flags = source.at(address + 4, 2)
    if version != 2:
        raise Hdf5Error(f"the header at byte {address:,} has the unknown version {version}")
    place = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    return place + width, source.number(place, width)


def _old_chunk(chunk: bytes, flags: int) -> Iterator[Message]:  # noqa: ARG001  (old messages have their own)
    place = 0
    while place + 8 <= len(chunk):
        kind = int.from_bytes(chunk[place : place + 2], "little")
        size = int.from_bytes(chunk[place + 2 : place + 4], "little")
        yield _message(kind, chunk[place + 4], chunk[place + 8 : place + 8 + size], size)
        place += 8 + size


def _new_chunk(chunk: bytes, flags: int) -> Iterator[Message]:
    head = 6 if flags & 0x04 else 4
    place = 0
    while place + head <= len(chunk):
        size = int.from_bytes(chunk[place + 1 : place + 3], "little")
        start = place + head
        yield _message(chunk[place], chunk[place + 3], chunk[start : start + size], size)
        place = start + size


def _message(kind: int, flags: int, data: bytes, size: int) -> Message:
    if len(data) != size:
        raise Hdf5Error("a message ends after its header")
    if flags & 0x02 and kind != 0:
        raise Hdf5Error("it shares parts of its headers, which is not read")
    return Message(kind, data)
