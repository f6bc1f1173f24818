"""What a worker has left in its box, looked at as what it is: files that a hostile model may have written.

Sizes come before contents, and arrays are inflated a piece at a time: whatever is left, looking at it takes little memory.
What passes can be read again by anybody.
"""

import json
import math
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from pgx_compiler.evidence.canonical import canonical_json
from pgx_compiler.evidence.disk import open_regular

LARGEST_DOCUMENT = 2**25
"""Bytes: a hundred times those of the longest document of an honest step."""
MOST_VALUES = 2**20
"""Values in a document, counted by commas and brackets; each takes about a hundred bytes once it is read."""
MOST_ARRAYS = 10_000
LARGEST_LIST = 2**22
"""Bytes of a bundle's list of members."""
LARGEST_INFLATED = 2**28
"""Bytes of all arrays together, from which on `MOST_INFLATED` holds."""
MOST_INFLATED = 200
"""Times a bundle's own size that its arrays may have. Arrays of nothing but zeros shrink to a thousandth."""
_LARGEST_NUMBER = 1e290
"""Sums of as many as there can be are finite."""

_AT_ONCE = 2**20


class UnfitResult(Exception):  # noqa: N818  (said of a result, not of the program)
    """A worker has left something else than a node's result."""


def left_document(path: Path) -> bytes:
    """The document of a box: canonical JSON in a regular file; links are not followed, whoever made them.

    Raises `UnfitResult`.
    """
    try:
        with os.fdopen(open_regular(path), "rb") as stream:
            content = stream.read(LARGEST_DOCUMENT + 1)
    except FileNotFoundError:
        raise UnfitResult("the worker left no result") from None
    except OSError as error:
        raise UnfitResult(f"the worker's result cannot be read: {error.strerror or error}") from error
    if len(content) > LARGEST_DOCUMENT or sum(map(content.count, (b",", b"[", b"{"))) > MOST_VALUES:
        raise UnfitResult(f"the worker's document is too large: {len(content):,} bytes or more")
    try:
        if canonical_json(json.loads(content)) != content:
            raise UnfitResult("the worker's document is not in canonical form")
    except (ValueError, RecursionError) as error:
        raise UnfitResult(f"the worker left no readable result: {error}") from error
    return content


def check_arrays(path: Path) -> None:
    """Every member of an ``.npz`` is one array of numbers or words whose header tells its size. Raises `UnfitResult`."""
    try:
        with path.open("rb") as file:
            _check_list(file)
            with zipfile.ZipFile(file) as bundle:
                members = bundle.infolist()
                _check_sizes(members, path.stat().st_size)
                for member in members:
                    _check_member(bundle, member)
    except UnfitResult:
        raise
    except Exception as error:  # readers of damaged archives raise whatever they stumble over
        raise UnfitResult(f"the worker's arrays cannot be read: {error}") from error


def all_finite(path: Path, name: str) -> bool:
    """Whether an array of numbers of a checked ``.npz`` can be reckoned with: no NaN, nothing whose mean would be infinite."""
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with zipfile.ZipFile(path) as bundle, bundle.open(f"{name}.npy") as stream:
        _, _, dtype = read[np.lib.format.read_magic(stream)](stream)
        while piece := stream.read(_AT_ONCE * dtype.itemsize):
            if not (np.abs(np.frombuffer(piece, dtype).astype(np.float64)) < _LARGEST_NUMBER).all():
                return False
    return True


def _check_list(file: IO[bytes]) -> None:
    """The list of members is short: it is read whole by whoever opens the archive."""
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - 98))
    tail = file.read()
    end = tail[-22:]
    if end[:4] != b"PK\5\6" or end[20:] != b"\0\0":
        raise UnfitResult("the worker's arrays are no plain archive")
    count, size = int.from_bytes(end[10:12], "little"), int.from_bytes(end[12:16], "little")
    if tail[-42:-38] == b"PK\6\7":  # the end of a large archive stands before it
        count, size = int.from_bytes(tail[32:40], "little"), int.from_bytes(tail[40:48], "little")
    if count > MOST_ARRAYS or size > LARGEST_LIST:
        raise UnfitResult(f"the worker left too many arrays: {count:,}")


def _check_sizes(members: Sequence[zipfile.ZipInfo], stored: int) -> None:
    if len({member.filename for member in members}) != len(members):
        raise UnfitResult("two of the worker's arrays have one name")
    inflated = sum(member.file_size for member in members)
    if inflated > LARGEST_INFLATED and inflated > MOST_INFLATED * stored:
        raise UnfitResult(f"the worker's arrays swell from {stored:,} bytes to {inflated:,}")


def _check_member(bundle: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnfitResult(f"`{member.filename}` of the worker's arrays is packed in a way that is not ours")
    with bundle.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        shape, _, dtype = read[version](stream)
        np.broadcast_to(np.zeros((), dtype), shape)  # raises where no array has this shape
        size = dtype.itemsize * math.prod(shape)
        plain = dtype.kind in "biufcSU" and (dtype.itemsize > 0 or not math.prod(shape))
        if not plain or not member.filename.endswith(".npy") or stream.tell() + size != member.file_size:
            raise UnfitResult(f"`{member.filename}` of the worker's arrays is no plain array")
        while stream.read(_AT_ONCE):  # to the end, where its checksum is compared
            pass
