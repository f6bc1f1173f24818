"""The arrays of a result, read from the store one at a time, as they are asked for: all of them may not fit into memory."""

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.disk import open_regular

_Made = TypeVar("_Made")


class StoredArrays(Mapping[str, NDArray[Any]]):
    """An ``.npz`` object of a store by the names of its arrays. Nothing is kept of what has been read.

    Every reading hashes the object again, over the descriptor that the array is then read from: whoever holds the evidence for an
    hour would else use what was changed meanwhile.
    """

    def __init__(self, path: Path, digest: str, damaged: Callable[[str], NoReturn]) -> None:
        """Open an object.

        Args:
            path: of the object.
            digest: its name.
            damaged: raises, and sets the object aside.
        """
        self._path, self._digest, self._damaged = path, digest, damaged
        self._names = tuple(
            self._read(lambda bundle: [entry.filename.removesuffix(".npy") for entry in bundle.infolist()])
        )

    def __getitem__(self, name: str) -> NDArray[Any]:
        if name not in self._names:
            raise KeyError(name)

        def array(bundle: zipfile.ZipFile) -> NDArray[Any]:
            with bundle.open(f"{name}.npy") as member:
                found: NDArray[Any] = np.lib.format.read_array(member, allow_pickle=False)
                return found

        return self._read(array)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def _read(self, reader: Callable[[zipfile.ZipFile], _Made]) -> _Made:
        try:
            with os.fdopen(open_regular(self._path), "rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != self._digest:
                    self._damaged("was changed after it was written")
                with zipfile.ZipFile(stream) as bundle:
                    return reader(bundle)
        except FileNotFoundError:
            self._damaged("is missing")
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            self._damaged(f"cannot be read: {error}")
