"""How a feature of a table becomes one number and back, whatever its columns are in the model's input."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Floats, Integers


class Codec(Protocol):
    """Between a feature's elements ``(rows, elements)`` and its number ``(rows,)``."""

    def decode(self, block: NDArray[Any]) -> Floats:
        """The number of each row; NaN where it is missing, -1 where no row of the data has such a block."""
        ...

    def encode(self, values: Floats) -> NDArray[Any]:
        """The elements of each number.

        Raises:
            ValueError: a number that stands for nothing the model could read.
        """
        ...


class NumberCodec:
    """A feature of one number: it is its own code. Whole numbers beyond 2^53 are not told apart, as in any float64."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype

    def decode(self, block: NDArray[Any]) -> Floats:
        """The numbers themselves."""
        return np.asarray(block[:, 0], np.float64)

    def encode(self, values: Floats) -> NDArray[Any]:
        """The numbers in the model's dtype, rounded where it reads whole ones."""
        if self._dtype.kind in "iub":
            values = np.round(values)
            least, most = (0, 1) if self._dtype.kind == "b" else (np.iinfo(self._dtype).min, np.iinfo(self._dtype).max)
            if not ((values >= least) & (values <= most)).all():  # nor is NaN
                raise ValueError(f"a value that is missing or does not fit {self._dtype} cannot be encoded")
        return values[:, None].astype(self._dtype)


class BlockCodec:
    """A feature of several elements, or of words: its code is the position of a block that occurs in the data.

    One-hot blocks come first in the order of their columns, so that a category keeps its position although no row has it.
    A block of nothing but NaN, or of empty words, is a missing value and has no position.
    """

    def __init__(self, parts: Sequence[NDArray[Any]]) -> None:
        first = parts[0]
        self._dtype = first.dtype
        self._is_text = first.dtype.kind not in "biuf"
        held = np.concatenate([_as_text(part) if self._is_text else part for part in parts])
        self._words = [np.unique(column) for column in held.T] if self._is_text else []
        codes = self._codes(held)
        blocks = codes[np.unique(_keys(codes), return_index=True)[1]]
        gone = self._is_missing(self._said(blocks))
        self._missing = self._said(blocks[gone][:1]) if gone.any() else None
        blocks = blocks[~gone]
        size = first.shape[1]
        self.is_one_hot = size > 1 and not self._is_text and _is_one_hot(blocks)
        if self.is_one_hot:
            unit = np.eye(size, dtype=blocks.dtype)
            blocks = np.concatenate([unit, np.zeros((int((blocks.sum(axis=1) == 0).any()), size), blocks.dtype)])
        else:
            blocks = blocks[np.lexsort(blocks.T[::-1])]
        self._blocks = self._said(blocks)
        keys = _keys(blocks)
        self._position: Integers = np.argsort(keys, kind="stable").astype(np.int64)
        self._sorted = keys[self._position]

    def categories(self, columns: tuple[str, ...]) -> tuple[str, ...]:
        """Names of the positions; ``columns`` names those of a one-hot group."""
        if self.is_one_hot:
            return (*columns, *["none of these"] * (len(self._blocks) - len(columns)))
        return tuple(
            ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row) for row in self._blocks.tolist()
        )

    @property
    def is_named(self) -> bool:
        """Whether a position is a category, and not a bundle of values."""
        return self.is_one_hot or self._blocks.shape[1] == 1

    def decode(self, block: NDArray[Any]) -> Floats:
        """The position of each row's block."""
        told = _as_text(block) if self._is_text else block
        gone = self._is_missing(told)
        if not len(self._sorted):
            return np.where(gone, np.nan, -1.0)
        keys = _keys(self._codes(told))
        at = np.minimum(np.searchsorted(self._sorted, keys), len(self._sorted) - 1)
        found = np.where(self._sorted[at] == keys, self._position[at], -1).astype(np.float64)
        found[gone] = np.nan
        return found

    def encode(self, values: Floats) -> NDArray[Any]:
        """The block at each position."""
        gone = np.isnan(values)
        codes = np.where(gone, 0.0, values)
        if (gone.any() and self._missing is None) or (codes < 0).any() or (codes >= max(1, len(self._blocks))).any():
            raise ValueError("a category that no row of the data has cannot be encoded")
        if not gone.any():
            return np.asarray(self._blocks[codes.astype(np.int64)])
        assert self._missing is not None
        with_missing = np.concatenate([self._blocks, self._missing])
        return np.asarray(with_missing[np.where(gone, len(self._blocks), codes).astype(np.int64)])

    def _codes(self, block: NDArray[Any]) -> NDArray[Any]:
        """What tells blocks apart: the numbers as they are, of words the positions among those that occur."""
        if not self._is_text:
            return block.astype(self._dtype, copy=False)
        found = []
        for column, words in zip(block.T, self._words, strict=True):
            at = np.minimum(np.searchsorted(words, column), len(words) - 1)
            found.append(np.where(words[at] == column, at, -1))
        return np.stack(found, axis=1).astype(np.int64)

    def _said(self, codes: NDArray[Any]) -> NDArray[Any]:
        """Codes as the elements that they stand for."""
        if not self._is_text:
            return codes
        return np.stack([words[column] for words, column in zip(self._words, codes.T, strict=True)], axis=1)

    def _is_missing(self, block: NDArray[Any]) -> NDArray[np.bool_]:
        if self._is_text:
            return np.asarray((block == "").all(axis=1))
        if self._dtype.kind != "f":
            return np.zeros(len(block), bool)
        return np.asarray(np.isnan(block).all(axis=1))


def _as_text(block: NDArray[Any]) -> NDArray[np.str_]:
    return block if block.dtype.kind == "U" else block.astype(np.str_)


def _is_one_hot(blocks: NDArray[Any]) -> bool:
    return bool(len(blocks) and ((blocks == 0) | (blocks == 1)).all() and (blocks.sum(axis=1) <= 1).all())


def _keys(codes: NDArray[Any]) -> NDArray[Any]:
    """Rows as single values that can be sorted and compared; one NaN is like another, and -0 is 0."""
    if codes.dtype.kind == "f":
        codes = np.where(np.isnan(codes), np.array(np.nan, codes.dtype), codes + codes.dtype.type(0))
    codes = np.ascontiguousarray(codes)
    # Zeros at a string's end are not compared: of equal lengths, only equal ones are equal all the same.
    return codes.view(f"S{codes.shape[1] * codes.dtype.itemsize}").reshape(len(codes))
