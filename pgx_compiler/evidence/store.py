"""The evidence store: files named by the SHA-256 of their content, and a record for every finished node.

The record of a node is written after the objects it names, so that a record never points at nothing; how a file is made
durable is `pgx_compiler.evidence.disk`'s affair. Reads hash what they return; a damaged object is set aside, reported and
treated as missing. A result that differs from the one already kept under its key is never written over it.
"""

import contextlib
import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.canonical import archive, canonical_json, digest, digest_of_file, headers_of, unarchive
from pgx_compiler.evidence.disk import (
    READ_ONLY,
    copy_whole,
    open_regular,
    read_regular,
    says_nothing_of_the_file,
    sync_folder,
    write_whole,
)
from pgx_compiler.evidence.disk import write_whole as write_atomically
from pgx_compiler.evidence.ledger import Ledger
from pgx_compiler.evidence.left_results import UnfitResult, all_finite, check_arrays, left_document
from pgx_compiler.evidence.locks import Held, try_lock
from pgx_compiler.evidence.stored_arrays import StoredArrays

LAYOUT = 1
"""Raised when files of the store mean something else; a store of a later layout is not touched."""


class DamagedEvidence(Exception):  # noqa: N818  (said of evidence, not of the program)
    """Stored content does not match its digest; the object is set aside and the node must run again."""


class LaterLayout(Exception):  # noqa: N818  (said of a store, not of the program)
    """The store was laid out by a later version of this program."""


DOCUMENT = "document.json"
ARRAYS = "arrays.npz"


@dataclass(frozen=True)
class Artifact:
    """What a node made: a document and arrays."""

    document: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """That a node has been computed, from what, and into what."""

    key: str
    content: str
    """Digest of document and arrays together: equal content under another key is the same result."""
    document: str
    """Digest of the JSON object."""
    arrays: str | None
    """Digest of the ``.npz`` object; None where there are none."""
    ingredients: Mapping[str, Any]
    """Everything that the key was made from: answers ``pgx explain NODE``."""
    spent: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def object_path(name: str, suffix: str = "") -> str:
    """Where an object is kept, below the folder of its store."""
    return f"objects/{name[:2]}/{name}{suffix}"


Headers = Mapping[str, tuple[tuple[int, ...], str]]
"""Of arrays by name: shape, and NumPy's letter for the kind of their values."""
Finite = Callable[[str], bool]
"""Whether all numbers of an array are finite, by its name."""


class Store:
    """Content-addressed evidence below one folder, shared by all runs of a project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.damaged: list[str] = []
        self.conflicts: list[str] = []
        """Keys whose result, computed again, was another one."""
        self.ledger = Ledger(root)

    def enter(self) -> Held:
        """Take part in the store: until the lock is released, nothing in it is swept away.

        Raises `LaterLayout`, and `pgx_compiler.evidence.locks.NoLocks`.
        """
        held = try_lock(self.root / "locks" / "store", shared=True, wait=True)
        assert held is not None
        try:
            self._check_layout()
        except BaseException:
            held.release()
            raise
        return held

    def enter_alone(self) -> Held | None:
        """The store for oneself: to sweep it. None while anybody takes part in it. Raises as `enter`."""
        held = try_lock(self.root / "locks" / "store")
        if held is not None:
            try:
                self._check_layout()
            except BaseException:
                held.release()
                raise
        return held

    def claim(self, key: str) -> Held | None:
        """The right to compute a key; None while another process has it."""
        return try_lock(self.root / "locks" / "keys" / key, fleeting=True)

    def _check_layout(self) -> None:
        place = self.root / "layout.json"
        try:
            found = json.loads(place.read_bytes())["layout"]
        except FileNotFoundError:
            write_whole(place, canonical_json({"layout": LAYOUT}))
            return
        except (ValueError, KeyError, TypeError) as error:
            raise LaterLayout(f"{place} cannot be read: {error}") from error
        if not isinstance(found, int) or found > LAYOUT:
            raise LaterLayout(f"{self.root} has layout {found}; this program knows {LAYOUT}")

    def put(self, content: bytes, suffix: str = "") -> str:
        """Keep bytes; returns their digest. Safe when several processes put the same content."""
        name = digest(content)
        path = self.path(name, suffix)
        if not self._is_whole(path, name):
            write_whole(path, content, READ_ONLY)
        return name

    def _is_whole(self, path: Path, name: str) -> bool:
        """Whether an object is there already; one that is damaged is set aside, so that it can be written again."""
        try:
            whole = digest_of_file(path) == name
        except FileNotFoundError:
            return False
        except OSError as error:
            if says_nothing_of_the_file(error):
                raise
            whole = False
        if whole:
            # whoever put it there may not have come to flushing its name yet, and a record will soon rest on it
            sync_folder(path.parent)
        else:
            self._set_aside(path)
        return whole

    def ingest(self, source: Path, sha256: str) -> Path:
        """Copy a model or data file into the store under its digest; only the copy is ever opened.

        Raises `DamagedEvidence` if the file is not what was hashed.
        """
        path = self.path(sha256, source.suffix)
        if self._is_whole(path, sha256):
            return path
        with source.open("rb") as stream:

            def unchanged(copy: Path) -> None:
                if digest_of_file(copy) != sha256:
                    raise DamagedEvidence(f"{source.name} changed while it was being read")

            copy_whole(stream.fileno(), self.root / "incoming", unchanged, lambda name: self.path(name, source.suffix))
        return path

    def path(self, name: str, suffix: str = "") -> Path:
        """Where an object is kept."""
        return self.root / object_path(name, suffix)

    def get(self, name: str, suffix: str = "") -> bytes:
        """The bytes of a digest. Raises `DamagedEvidence` where they are missing or changed."""
        path = self.path(name, suffix)
        try:
            content = read_regular(path)
        except FileNotFoundError:
            raise DamagedEvidence(f"object {name[:12]} is missing") from None
        except OSError as error:
            if says_nothing_of_the_file(error):
                raise
            self._set_aside(path)
            raise DamagedEvidence(f"object {name[:12]} cannot be read: {error.strerror or error}") from error
        if digest(content) != name:
            self._set_aside(path)
            raise DamagedEvidence(f"object {name[:12]} was changed after it was written")
        return content

    def _set_aside(self, path: Path) -> None:
        self.damaged.append(path.name)
        with contextlib.suppress(OSError):
            quarantine = self.root / "damaged"
            quarantine.mkdir(parents=True, exist_ok=True)
            os.replace(path, quarantine / f"{path.name}.{secrets.token_hex(4)}")

    def keep(
        self, key: str, artifact: Artifact, ingredients: Mapping[str, Any], spent: Mapping[str, int], seconds: float
    ) -> Record:
        """Store a node's result under its key; the record is written last."""
        document = self.put(canonical_json(artifact.document), ".json")
        arrays = self.put(archive(artifact.arrays), ".npz") if artifact.arrays else None
        return self._record(key, document, arrays, ingredients, spent, seconds)

    def accept(
        self,
        key: str,
        made: Path,
        ingredients: Mapping[str, Any],
        spent: Mapping[str, int],
        seconds: float,
        fits: Callable[[Any, Headers, Finite], None] | None = None,
    ) -> Record:
        """Store what a worker has left in its box, under the key of the node that it worked on.

        Raises `UnfitResult` where it is not what a node makes: whatever ran the model may have written anything.

        Args:
            key: of the node.
            made: the box.
            ingredients: what the key was made from.
            spent: model rows.
            seconds: that it took.
            fits: given the document, the arrays' headers and a way to ask for finite numbers, raises `UnfitResult` where they are not of the node's form. It sees what is kept: whoever wrote
                the files may still be changing them.
        """
        document = left_document(made / DOCUMENT)
        arrays = self._accept_arrays(made / ARRAYS)
        if fits is not None:
            path = self.path(arrays or "", ".npz")
            headers = () if arrays is None else headers_of(path)
            told = {name: (shape, np.dtype(kind).kind) for name, shape, kind in headers}
            fits(json.loads(document), told, lambda name: all_finite(path, name))
        return self._record(key, self.put(document, ".json"), arrays, ingredients, spent, seconds)

    def _accept_arrays(self, left: Path) -> str | None:
        """Copy a box's arrays into the store, unread: only their headers are looked at, in the copy."""
        try:
            descriptor = open_regular(left)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnfitResult(f"the worker's arrays cannot be read: {error.strerror or error}") from error
        try:
            return copy_whole(descriptor, self.root / "incoming", check_arrays, lambda name: self.path(name, ".npz"))
        finally:
            os.close(descriptor)

    def _record(
        self,
        key: str,
        document: str,
        arrays: str | None,
        ingredients: Mapping[str, Any],
        spent: Mapping[str, int],
        seconds: float,
    ) -> Record:
        record = Record(
            key,
            digest({"document": document, "arrays": arrays}),
            document,
            arrays,
            ingredients,
            dict(sorted(spent.items())),  # as it will be read back
            seconds,
        )
        path = self.record_path(key)
        # an earlier result counts although its objects were damaged: that is why the work was done again
        if path.exists() and (earlier := self._known(key)) is not None and earlier.content != record.content:
            return self._conflict(earlier, record)
        write_whole(path, _sealed(record))
        return record

    def _conflict(self, earlier: Record, later: Record) -> Record:
        """Two results for one key: both are kept, and the first one stands where it is still whole."""
        self.conflicts.append(later.key)
        stands, other = (earlier, later) if self.whole(earlier) else (later, earlier)
        place = self.root / "conflicts" / later.key / f"{other.content}.json"
        write_whole(place, _sealed(other), READ_ONLY)
        write_whole(self.record_path(later.key), _sealed(stands))
        self.ledger.append({"event": "conflict", "key": later.key, "stands": stands.content, "other": other.content})
        return stands

    def find(self, key: str) -> Record | None:
        """The record of a key, if it is there and whole; a damaged record is set aside and counts as absent."""
        record = self._known(key)
        if record is None or not self.path(record.document, ".json").exists():
            return None
        if record.arrays and not self.path(record.arrays, ".npz").exists():
            return None
        return record

    def _known(self, key: str) -> Record | None:
        """The record of a key, whether or not its objects are there."""
        path = self.record_path(key)
        try:
            content = read_regular(path)
            record = Record(**json.loads(content)["record"])
            # byte by byte: a number may have another last digit and be the same
            whole = content == _sealed(record) and record.key == key
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            if isinstance(error, OSError) and says_nothing_of_the_file(error):
                raise
            whole = False
        if not whole:
            self._set_aside(path)
            return None
        return record

    def load(self, record: Record, at_hand: int | None = None) -> Artifact:
        """The artifact of a record, verified. Raises `DamagedEvidence`.

        Args:
            record: of the node.
            at_hand: bytes of its stored arrays, above which each is read, and verified again, when it is asked for; None: all are
                read now.
        """
        document = json.loads(self.get(record.document, ".json"))
        if record.arrays is None:
            return Artifact(document)
        if at_hand is not None and self._size(record.arrays, ".npz") > at_hand:
            return Artifact(document, self._stored(record.arrays))
        return Artifact(document, unarchive(self.get(record.arrays, ".npz")))

    def whole(self, record: Record) -> bool:
        """True where every object of a record is there and matches its digest."""
        try:
            self.get(record.document, ".json")
            if record.arrays:
                self._stored(record.arrays)
        except DamagedEvidence:
            return False
        return True

    def _size(self, name: str, suffix: str) -> int:
        try:
            return self.path(name, suffix).stat().st_size
        except OSError:
            return 0  # reading it says what is wrong

    def _stored(self, name: str) -> StoredArrays:
        """An object of arrays, hashed and left where it is. Raises `DamagedEvidence`."""
        path = self.path(name, ".npz")

        def damaged(why: str) -> NoReturn:
            if why != "is missing":
                self._set_aside(path)
            raise DamagedEvidence(f"object {name[:12]} {why}")

        return StoredArrays(path, name, damaged)

    def records(self) -> Iterator[Record]:
        """Every whole record, in the order of the keys."""
        for path in sorted((self.root / "records").glob("*/*.json")):
            record = self.find(path.stem)
            if record is not None:
                yield record

    def record_path(self, key: str) -> Path:
        """Where a key's record is kept."""
        return self.root / "records" / key[:2] / f"{key}.json"


def _sealed(record: Record) -> bytes:
    body = asdict(record)
    return canonical_json({"record": body, "sha256": digest(body)})


def copy_out(store: Store, name: str, suffix: str, destination: Path) -> None:
    """Place a verified copy of an object where a person will find it."""
    write_atomically(destination, store.get(name, suffix))


__all__ = [
    "ARRAYS",
    "DOCUMENT",
    "Artifact",
    "DamagedEvidence",
    "Record",
    "Store",
    "UnfitResult",
    "copy_out",
    "write_atomically",
]
