"""The evidence store: files named by the SHA-256 of their content, and a record for every finished node.

Protocol of a write: a temporary file in the target's folder, fsync, rename, fsync of the folder. The record of a
node is written after the objects it names, so that a record never points at nothing. Reads hash what they return;
a damaged object is reported and treated as missing.
"""

import contextlib
import json
import os
import secrets
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pgx_compiler.evidence.canonical import archive, canonical_json, digest, digest_of_file, unarchive


class DamagedEvidence(Exception):  # noqa: N818  (said of evidence, not of the program)
    """Stored content does not match its digest; the object is set aside and the node must run again."""


class UnfitResult(Exception):  # noqa: N818  (said of a result, not of the program)
    """A worker has left something else than a node's result."""


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


class Store:
    """Content-addressed evidence below one folder, shared by all runs of a project."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.damaged: list[str] = []

    def put(self, content: bytes, suffix: str = "") -> str:
        """Keep bytes; returns their digest. Safe when several processes put the same content."""
        name = digest(content)
        path = self.path(name, suffix)
        if not path.exists():
            write_atomically(path, content)
        return name

    def ingest(self, source: Path, sha256: str) -> Path:
        """Copy a model or data file into the store under its digest; only the copy is ever opened.

        Raises `DamagedEvidence` if the file is not what was hashed.
        """
        path = self.path(sha256, source.suffix)
        if path.exists():
            if digest_of_file(path) == sha256:
                return path
            self._set_aside(path)
        write_atomically(path, source.read_bytes())
        if digest_of_file(path) != sha256:
            self._set_aside(path)
            raise DamagedEvidence(f"{source.name} changed while it was being read")
        return path

    def path(self, name: str, suffix: str = "") -> Path:
        """Where an object is kept."""
        return self.root / object_path(name, suffix)

    def get(self, name: str, suffix: str = "") -> bytes:
        """The bytes of a digest. Raises `DamagedEvidence` where they are missing or changed."""
        path = self.path(name, suffix)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise DamagedEvidence(f"object {name[:12]} is missing") from None
        except OSError as error:
            self._set_aside(path)
            raise DamagedEvidence(f"object {name[:12]} cannot be read: {error.strerror}") from error
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
        self, key: str, made: Path, ingredients: Mapping[str, Any], spent: Mapping[str, int], seconds: float
    ) -> Record:
        """Store what a worker has left in its box, under the key of the node that it worked on.

        Raises `UnfitResult` where it is not what a node makes: whatever ran the model may have written anything.
        """
        document, arrays = _left(made / DOCUMENT, required=True), _left(made / ARRAYS, required=False)
        assert document is not None
        try:
            if canonical_json(json.loads(document)) != document:
                raise UnfitResult("the worker's document is not in canonical form")
            if arrays is not None:
                unarchive(arrays)
        except (ValueError, RecursionError, zipfile.BadZipFile, EOFError) as error:
            raise UnfitResult(f"the worker left no readable result: {error}") from error
        kept = None if arrays is None else self.put(arrays, ".npz")
        return self._record(key, self.put(document, ".json"), kept, ingredients, spent, seconds)

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
        body = canonical_json(asdict(record))
        write_atomically(self._record_path(key), canonical_json({"record": asdict(record), "sha256": digest(body)}))
        return record

    def find(self, key: str) -> Record | None:
        """The record of a key, if it is there and whole; a damaged record is set aside and counts as absent."""
        path = self._record_path(key)
        try:
            found = json.loads(path.read_bytes())
            record = Record(**found["record"])
            whole = found["sha256"] == digest(canonical_json(asdict(record))) and record.key == key
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):
            whole = False
        if not whole:
            self._set_aside(path)
            return None
        if not self.path(record.document, ".json").exists():
            return None
        if record.arrays and not self.path(record.arrays, ".npz").exists():
            return None
        return record

    def load(self, record: Record) -> Artifact:
        """The artifact of a record, verified. Raises `DamagedEvidence`."""
        document = json.loads(self.get(record.document, ".json"))
        arrays = unarchive(self.get(record.arrays, ".npz")) if record.arrays else {}
        return Artifact(document, arrays)

    def whole(self, record: Record) -> bool:
        """True where every object of a record is there and matches its digest."""
        try:
            self.get(record.document, ".json")
            if record.arrays:
                self.get(record.arrays, ".npz")
        except DamagedEvidence:
            return False
        return True

    def records(self) -> Iterator[Record]:
        """Every whole record, in the order of the keys."""
        for path in sorted((self.root / "records").glob("*/*.json")):
            record = self.find(path.stem)
            if record is not None:
                yield record

    def _record_path(self, key: str) -> Path:
        return self.root / "records" / key[:2] / f"{key}.json"


def _left(path: Path, *, required: bool) -> bytes | None:
    """A regular file of a box; links are not followed, whoever made them."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        if required:
            raise UnfitResult("the worker left no result") from None
        return None
    except OSError as error:
        raise UnfitResult(f"the worker's result cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UnfitResult("the worker's result is no regular file")
    with os.fdopen(descriptor, "rb") as stream:
        return stream.read()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: temporary file, fsync, rename, fsync of the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a full disk does not say which one
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
