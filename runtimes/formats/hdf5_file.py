"""HDF5 files read statically: their tree of arrays, the texts of their root, and what is refused in them.

Only what Keras writes is read: groups, plain arrays, texts. A link to elsewhere, an array kept in other files or made of
others, and an array that declares more than the file holds are refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from runtimes.formats import hdf5_layout as layout
from runtimes.formats.hdf5_layout import UNDEFINED, Bytes, Hdf5Error, Message, messages, root_of

TEXT_LIMIT_BYTES = 16 * 2**20
_MOST_OBJECTS = 200_000
_DEEPEST = 64
_DENSE = "it keeps names in a way (dense storage) that is not read"
_KINDS = {0: "i", 1: "f", 3: "S", 4: "b", 5: "V", 8: "e"}
"""Classes of data types to a letter: whole numbers, floats, text, bits, opaque bytes (bfloat16), enumerations (booleans)."""
_FILTERS = frozenset({1, 2, 3})
"""Deflate, shuffle, checksum: all that libhdf5 brings itself. Others are code that it looks for and loads."""
_RATIO_LIMIT = 100


@dataclass(frozen=True)
class Array:
    """One array of a file, as its header declares it."""

    path: str
    """``layers/dense/vars/0``."""
    kind: str
    shape: tuple[int, ...]

    @property
    def numbers(self) -> int:
        """How many it holds."""
        return prod(self.shape)


class Hdf5File:
    """A file that is looked at, never trusted. Every method raises `Hdf5Error`."""

    def __init__(self, source: Bytes) -> None:
        self._source = source
        self._root = root_of(source)

    def texts(self, wanted: frozenset[str]) -> dict[str, str]:
        """The root's attributes of some names that are texts."""
        found = {}
        for message in messages(self._source, self._root):
            if message.kind == layout.ATTRIBUTE:
                name, value = self._attribute(message.data, wanted)
                if value is not None:
                    found[name] = value
            elif message.kind == layout.ATTRIBUTE_INFO and _dense_attributes(message.data):
                raise Hdf5Error(_DENSE)
        return found

    def arrays(self) -> Iterator[Array]:
        """Every array, depth first; each is checked before it is given."""
        pending = [("", self._root)]
        groups = {self._root}
        stored = counted = 0
        while pending:
            path, address = pending.pop()
            counted += 1
            if counted > _MOST_OBJECTS or path.count("/") > _DEEPEST:
                raise Hdf5Error("it holds more groups and arrays than a model needs")
            header = messages(self._source, address)
            if any(message.kind == layout.LAYOUT for message in header):
                array, size = _array(path, header, self._source.size)
                stored += size
                if stored > self._source.size:
                    raise Hdf5Error(f"its arrays up to `{path}` declare {stored:,} bytes in {self._source.size:,}")
                yield array
                continue
            for name, target in self._members(path, header):
                where = f"{path}/{name}".lstrip("/")
                if target in groups:
                    raise Hdf5Error(f"`{where}` leads back to a group that was met before")
                pending.append((where, target))
                groups.add(target)

    def _members(self, path: str, header: list[Message]) -> Iterator[tuple[str, int]]:
        for message in header:
            if message.kind == layout.SYMBOL_TABLE:
                tree, heap = (int.from_bytes(message.data[at : at + 8], "little") for at in (0, 8))
                yield from self._table(path, tree, heap)
            elif message.kind == layout.LINK:
                yield _link(path, message.data)
            elif message.kind == layout.LINK_INFO:
                place = 10 if message.data[1] & 1 else 2
                if int.from_bytes(message.data[place : place + 8], "little") != UNDEFINED:
                    raise Hdf5Error(_DENSE)

    def _table(self, path: str, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        """The members of a group as old files keep them: a tree of tables, and their names in a heap."""
        if self._source.at(heap, 4) != b"HEAP":
            raise Hdf5Error(f"the names of `{path or '/'}` are damaged")
        size, names = self._source.number(heap + 8), self._source.number(heap + 24)
        held = self._source.at(names, min(size, TEXT_LIMIT_BYTES))
        nodes, met = [tree], 0
        while nodes:
            node = nodes.pop()
            met += 1
            kind = self._source.at(node, 4)
            if met > _MOST_OBJECTS or kind not in (b"TREE", b"SNOD"):
                raise Hdf5Error(f"the members of `{path or '/'}` are damaged")
            used = self._source.number(node + 6, 2)
            if kind == b"TREE":
                nodes += [self._source.number(node + 32 + 16 * place) for place in range(used)]
                continue
            for place in range(used):
                entry = self._source.at(node + 8 + 40 * place, 40)
                start = int.from_bytes(entry[:8], "little")
                name = held[start : held.find(b"\0", start)].decode("utf-8", "replace")
                if int.from_bytes(entry[16:20], "little") == 2:
                    raise Hdf5Error(f"`{path}/{name}`".replace("`/", "`") + " is a link to elsewhere")
                yield name, int.from_bytes(entry[8:16], "little")

    def _attribute(self, data: bytes, wanted: frozenset[str]) -> tuple[str, str | None]:
        version, flags = data[0], data[1]
        if version not in (1, 2, 3) or (version > 1 and flags & 3):
            raise Hdf5Error("an attribute is of a kind that is not read")
        sizes = [int.from_bytes(data[at : at + 2], "little") for at in (2, 4, 6)]
        place, parts = (9 if version == 3 else 8), []
        for size in sizes:
            parts.append(data[place : place + size])
            place += (size + 7) // 8 * 8 if version == 1 else size
        name = parts[0].split(b"\0")[0].decode("utf-8", "replace")
        if name not in wanted:
            return name, None
        kind, value = parts[1][0] & 15, data[place:]
        if kind == 3:
            text = value[: int.from_bytes(parts[1][4:8], "little")].split(b"\0")[0]
        elif kind == 9:
            text = self._from_heap(value)
        else:
            raise Hdf5Error(f"its attribute `{name}` is no text")
        return name, text.decode("utf-8")

    def _from_heap(self, reference: bytes) -> bytes:
        """A text of any length: its length, the heap that it stands in, its number there."""
        length = int.from_bytes(reference[:4], "little")
        heap = int.from_bytes(reference[4:12], "little")
        wanted = int.from_bytes(reference[12:16], "little")
        if length > TEXT_LIMIT_BYTES:
            raise Hdf5Error(f"one of its texts declares {length:,} bytes")
        if self._source.at(heap, 4) != b"GCOL":
            raise Hdf5Error("one of its texts is missing")
        place, end = heap + 16, heap + self._source.number(heap + 8)
        while place + 16 <= end:
            number, size = self._source.number(place, 2), self._source.number(place + 8)
            if number == wanted:
                return self._source.at(place + 16, min(length, size))
            if number == 0:
                break
            place += 16 + (size + 7) // 8 * 8
        raise Hdf5Error("one of its texts is missing")


def _dense_attributes(data: bytes) -> bool:
    place = 4 if data[1] & 1 else 2
    return int.from_bytes(data[place : place + 8], "little") != UNDEFINED


def _link(path: str, data: bytes) -> tuple[str, int]:
    """A ``Link`` message: its name, and the object that it leads to."""
    flags, place, kind = data[1], 2, 0
    if flags & 0x08:
        kind, place = data[place], place + 1
    place += (8 if flags & 0x04 else 0) + (1 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size = int.from_bytes(data[place : place + width], "little")
    place += width
    name = data[place : place + size].decode("utf-8", "replace")
    if kind != 0:
        raise Hdf5Error(f"`{path}/{name}`".replace("`/", "`") + " is a link to elsewhere")
    return name, int.from_bytes(data[place + size : place + size + 8], "little")


def _array(path: str, header: list[Message], whole: int) -> tuple[Array, int]:
    """An array, and the bytes of the file that it says are its own."""
    found = {message.kind: message.data for message in header}
    if layout.EXTERNAL in found:
        raise Hdf5Error(f"the array `{path}` stands in another file (external storage)")
    if layout.DATATYPE not in found or layout.DATASPACE not in found:
        raise Hdf5Error(f"the array `{path}` has no type or shape")
    kind = _KINDS.get(found[layout.DATATYPE][0] & 15)
    if kind is None:
        raise Hdf5Error(f"the array `{path}` holds no plain numbers or text")
    itemsize = int.from_bytes(found[layout.DATATYPE][4:8], "little")
    array = Array(path, kind, _shape(path, found[layout.DATASPACE]))
    declared = array.numbers * itemsize
    packed = layout.FILTERS in found
    if packed and not set(_filters(found[layout.FILTERS])) <= _FILTERS:
        raise Hdf5Error(f"the array `{path}` is packed by code that is not part of HDF5")
    data = found[layout.LAYOUT]
    version, storage = data[0], data[1]
    if version not in (3, 4) or storage > 3:
        raise Hdf5Error(f"the array `{path}` is kept in a way that is not read")
    if storage == 3:
        raise Hdf5Error(f"the array `{path}` is made of others, maybe in other files (virtual)")
    if storage == 0:
        size = int.from_bytes(data[2:4], "little")
    elif storage == 1:
        address, size = (int.from_bytes(data[at : at + 8], "little") for at in (2, 10))
        size = 0 if address == UNDEFINED else size
        if size and address + size > whole:
            raise Hdf5Error(f"it is truncated: the array `{path}` ends after it")
    else:
        size = declared // _RATIO_LIMIT if packed else min(declared, whole)
        if declared > (_RATIO_LIMIT if packed else 1) * whole:
            raise Hdf5Error(f"the array `{path}` declares {array.numbers:,} numbers that the file does not hold")
    if storage < 2 and declared > size:
        raise Hdf5Error(f"the array `{path}` declares {array.numbers:,} numbers that the file does not hold")
    return array, size


def _shape(path: str, data: bytes) -> tuple[int, ...]:
    version, rank = data[0], data[1]
    if version not in (1, 2) or rank > 32:
        raise Hdf5Error(f"the array `{path}` has no shape that is read")
    start = 8 if version == 1 else 4
    if version == 2 and data[3] == 2:
        return (0,)
    return tuple(int.from_bytes(data[start + 8 * axis : start + 8 * axis + 8], "little") for axis in range(rank))


def _filters(data: bytes) -> Iterator[int]:
    """The numbers of the filters of a pipeline."""
    version, count = data[0], data[1]
    place = 8 if version == 1 else 2
    for _ in range(count):
        number = int.from_bytes(data[place : place + 2], "little")
        named = version == 1 or number >= 256
        name = int.from_bytes(data[place + 2 : place + 4], "little") if named else 0
        place += 4 if named else 2
        values = int.from_bytes(data[place + 2 : place + 4], "little")
        place += 4 + ((name + 7) // 8 * 8 if version == 1 else name) + 4 * values
        place += 4 if version == 1 and values % 2 else 0
        yield number
