"""Arrays on disk, for rows that do not fit into memory: a folder of the worker's own, that goes when the worker goes.

A file mapped into memory is read as it is asked for, and its pages are the system's to take back. So a worker holds what it
works on, and every consumer sees an array like any other. Tables are kept column by column, since most questions are asked
of a column, and a row is only some pages more.

Each worker converts the rows that it needs for itself, once. To share the files would mean that one worker reads what another
has written that may have run a hostile model; a node of the graph would put a copy of the data into the evidence.
"""

import contextlib
import itertools
import mmap
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Scratch:
    """A folder of arrays."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._mapped: list[Any] = []
        self._numbers = itertools.count()

    def array(self, shape: Sequence[int], dtype: Any) -> NDArray[Any]:
        """An array of zeros on disk, to be filled. Tables are laid out column by column.

        Raises:
            OSError: the disk is full, or the array larger than a worker may write.
        """
        path = self._next()
        made: Any = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), tuple(shape), fortran_order=len(shape) == 2)
        # a hole in a file is filled when its page is written: on a full disk that is a signal, and here it is an error
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        self._mapped.append(made._mmap)
        found: NDArray[Any] = np.asarray(made)
        return found

    def keep(self, values: NDArray[Any]) -> NDArray[Any]:
        """The same values, on disk."""
        made = self.array(values.shape, values.dtype)
        made[...] = values
        return made

    def joined_by_name(self, parts: Iterable[Mapping[str, NDArray[Any]]], rows: int) -> dict[str, NDArray[Any]]:
        """Parts of arrays of words, each joined to one that is as wide as the longest of its parts.

        Args:
            parts: arrays by name, some rows at a time.
            rows: how many there are in all.
        """
        paths: dict[str, list[Path]] = {}
        widest: dict[str, NDArray[Any]] = {}
        for part in parts:
            for name, array in part.items():
                paths.setdefault(name, []).append(self._next())
                np.save(paths[name][-1], array, allow_pickle=False)
                # of no rows, since only its shape and its width are asked
                widest[name] = max(widest.get(name, array[:0]), array[:0], key=lambda held: held.dtype.itemsize)
        return {name: self._joined(paths[name], rows, held) for name, held in widest.items()}

    def _joined(self, paths: Sequence[Path], rows: int, like: NDArray[Any]) -> NDArray[Any]:
        whole = self.array((rows, *like.shape[1:]), like.dtype)
        start = 0
        for path in paths:
            part = np.load(path, allow_pickle=False)
            whole[start : start + len(part)] = part
            start += len(part)
            path.unlink()
        return whole

    def release(self) -> None:
        """Give the memory of all pages back that lie on disk as well."""
        for mapped in self._mapped:
            with contextlib.suppress(OSError, ValueError, AttributeError):
                mapped.madvise(mmap.MADV_DONTNEED)

    def _next(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pgx-rows-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder / f"{next(self._numbers)}.npy"


def slices(rows: int, step: int) -> Iterator[slice]:
    """Rows, some at a time."""
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))
