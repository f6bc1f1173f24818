"""Which rows are equal in every value, as a number for each: equal numbers, equal rows."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Inputs, Integers

EACH = 100_000
"""Rows up to which each is digested by itself; more are told apart by a number first, and then compared."""
_AT_ONCE = 50_000
_TURNS = 4
_MIXING = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio, odd: multiples of it are spread evenly (Knuth, The Art of Computer Programming, 6.4)."""


def equal_rows(parts: Sequence[Inputs], rows: Sequence[int]) -> list[Integers]:
    """A number for each row of each part, equal for equal rows; -0 equals 0, and one missing value equals another.

    Args:
        parts: rows of the same inputs.
        rows: how many each part has.
    """
    ends = np.cumsum(rows)[:-1]
    if sum(rows) <= EACH:
        return list(np.split(_digested(parts, rows), ends))
    for turn in range(_TURNS):
        keys = np.concatenate([_keys(part, n, turn) for part, n in zip(parts, rows, strict=True)])
        _, first, groups = np.unique(keys, return_index=True, return_inverse=True)
        del keys
        if _agree(parts, rows, first[groups]):
            return list(np.split(groups.astype(np.int64), ends))
    return list(np.split(_digested(parts, rows), ends))  # rows that were made to share numbers


def _digested(parts: Sequence[Inputs], rows: Sequence[int]) -> Integers:
    digests = []
    for part, n in zip(parts, rows, strict=True):
        # words of one width in all parts, since their bytes are compared
        as_one = {name: np.result_type(*(other[name] for other in parts)) for name in part}
        columns = [
            plain(np.asarray(array, as_one[name] if array.dtype.kind == "U" else None).reshape(n, -1))
            for name, array in part.items()
        ]
        digests += [
            hashlib.blake2b(b"\0".join(c[row].tobytes() for c in columns), digest_size=16).digest() for row in range(n)
        ]
    known: dict[bytes, int] = {}
    return np.array([known.setdefault(digest, len(known)) for digest in digests], np.int64)


def plain(values: NDArray[Any]) -> NDArray[Any]:
    """Values whose bytes are equal where they are."""
    if values.dtype.kind == "O":
        # by their digests: one long text would make all of them as wide
        told = [
            hashlib.blake2b(repr(v).encode("utf-8", "replace"), digest_size=16).hexdigest() for v in values.reshape(-1)
        ]
        return np.array(told, "U32").reshape(values.shape)
    if values.dtype.kind == "f":
        return np.where(np.isnan(values), np.array(np.nan, values.dtype), values + np.array(0, values.dtype))
    return values


def _blocks(part: Inputs, start: int, stop: int) -> list[NDArray[Any]]:
    """Some rows of each input, ``(rows, columns)``."""
    return [plain(np.asarray(array[start:stop]).reshape(stop - start, -1)) for array in part.values()]


def _keys(part: Inputs, rows: int, turn: int) -> NDArray[np.uint64]:
    """64 bits of each row, almost always others for another row."""
    keys = np.empty(rows, np.uint64)
    salt = np.full(1, turn + 1, np.uint64) * _MIXING  # of an array, whose products wrap around without a word
    for start in range(0, rows, _AT_ONCE):
        stop = min(start + _AT_ONCE, rows)
        key = np.repeat(salt, stop - start)
        for block in _blocks(part, start, stop):
            for column in block.T:
                key = (key ^ _bits(column)) * _MIXING
                key ^= key >> np.uint64(29)
        keys[start:stop] = key
    return keys


def _bits(column: NDArray[Any]) -> NDArray[np.uint64]:
    """The values of a column as 64-bit numbers."""
    if column.dtype.kind == "f":
        return np.ascontiguousarray(column, np.float64).view(np.uint64)
    if column.dtype.kind in "biu":
        return column.astype(np.int64).view(np.uint64)
    # words by their digests: of a column few are different, and their width may differ between parts
    words, where = np.unique(column.astype(np.str_), return_inverse=True)
    told = [hashlib.blake2b(word.encode(), digest_size=8).digest() for word in words.tolist()]
    return np.frombuffer(b"".join(told), np.uint64)[where]


def _agree(parts: Sequence[Inputs], rows: Sequence[int], like: Integers) -> bool:
    """Whether every row equals the one that has its number first."""
    offset = 0
    bounds = np.concatenate([[0], np.cumsum(rows)])
    for part, n in zip(parts, rows, strict=True):
        for start in range(0, n, _AT_ONCE):
            stop = min(start + _AT_ONCE, n)
            asked = like[offset + start : offset + stop]
            others = np.flatnonzero(asked != np.arange(offset + start, offset + stop))
            for number, other in enumerate(parts):
                here = others[(asked[others] >= bounds[number]) & (asked[others] < bounds[number + 1])]
                if len(here) and not _same(part, start + here, other, asked[here] - bounds[number]):
                    return False
        offset += n
    return True


def _same(one: Inputs, rows: Integers, other: Inputs, their_rows: Integers) -> bool:
    for name, array in one.items():
        mine = plain(np.asarray(array[rows]).reshape(len(rows), -1))
        theirs = plain(np.asarray(other[name][their_rows]).reshape(len(rows), -1))
        same = mine == theirs
        if mine.dtype.kind == "f":
            same |= np.isnan(mine) & np.isnan(theirs)
        if not same.all():
            return False
    return True
