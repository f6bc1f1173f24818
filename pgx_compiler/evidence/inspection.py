"""A store looked over without touching it: every object, record and conflict against its digest, and the ledger's chain.

Nothing is set aside here, so that a look changes nothing; a run that is going on meanwhile raises no alarm.
"""

import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from pgx_compiler.evidence.canonical import canonical_json, digest, digest_of_file
from pgx_compiler.evidence.disk import NotRegular, read_regular
from pgx_compiler.evidence.ledger import BrokenLedger, Entry
from pgx_compiler.evidence.store import LAYOUT, Record, Store, object_path

_OBJECT = re.compile(r"([0-9a-f]{64})(\.[A-Za-z0-9_]{1,16})?")
_NAMED = re.compile(r"([0-9a-f]{64})\.json")


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it was written."""

    file: str
    """Below the folder that was looked at."""
    what: str

    def __str__(self) -> str:
        return f"{self.file} {self.what}"


@dataclass
class Inspected:
    """What was found in a store."""

    problems: list[Problem] = field(default_factory=list)
    objects: int = 0
    records: int = 0
    conflicts: int = 0
    lines: int = 0
    """Of the ledger."""
    runs: int = 0
    set_aside: int = 0
    """Files that runs have found damaged and put out of the way."""
    bytes: int = 0


class Damaged(Exception):  # noqa: N818  (said of evidence, not of the program)
    """A file of the store is not what was written; the message says how, after its name."""


def record_at(path: Path) -> Record:
    """The record in a file. Raises `Damaged`, `FileNotFoundError`."""
    try:
        content = read_regular(path)
        found = json.loads(content)
        record = Record(**found["record"])
        whole = canonical_json(found) == content and found["sha256"] == digest(asdict(record))
    except FileNotFoundError:
        raise
    except NotRegular as error:
        raise Damaged("is no regular file") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise Damaged("cannot be read") from error
    if not whole or set(found) != {"record", "sha256"}:
        raise Damaged("was changed")
    if record.content != digest({"document": record.document, "arrays": record.arrays}):
        raise Damaged("does not say what its objects are")
    return record


def check_file(path: Path, sha256: str) -> None:
    """Raises `Damaged` where a file has not the digest, `FileNotFoundError` where it is not there."""
    try:
        mode = os.lstat(path).st_mode
        if not stat.S_ISREG(mode):
            raise Damaged("is no regular file but " + kind_of(mode))
        found = digest_of_file(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Damaged(f"cannot be read: {error.strerror or error}") from error
    if found != sha256:
        raise Damaged("was changed")


def kind_of(mode: int) -> str:
    """What stands in place of a file, in words."""
    kinds = (
        (stat.S_ISLNK, "a link"),
        (stat.S_ISDIR, "a folder"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
    )
    return next((word for test, word in kinds if test(mode)), "a device")


def inspect_store(store: Store) -> Inspected:
    """Everything in a store against its digest."""
    found = Inspected()
    _check_layout(store, found)
    known: dict[str, str] = {}
    for path, name, mode in _files(store.root, "objects"):
        found.bytes += _checked(found, name, mode, lambda path=path, name=name: _check_object(path, name))  # type: ignore[misc]
        found.objects += 1
    for path, name, mode in _files(store.root, "records"):
        _checked(found, name, mode, lambda path=path, name=name: known.update(_check_record(store, path, name)))  # type: ignore[misc]
        found.records += 1
    for path, name, mode in _files(store.root, "conflicts"):
        _checked(found, name, mode, lambda path=path, name=name: _check_conflict(path, name))  # type: ignore[misc]
        found.conflicts += 1
    found.set_aside = sum(1 for _ in _files(store.root, "damaged"))
    _check_ledger(store, known, found)
    found.problems.sort(key=lambda problem: problem.file)
    return found


def _files(root: Path, below: str) -> Iterator[tuple[Path, str, int]]:
    """Every entry of a folder that is none itself, but for files that are being written."""
    open_ = [root / below]
    while open_:
        place = open_.pop()
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except FileNotFoundError:
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if _OBJECT.fullmatch(entry.name) and place != root / "conflicts":
                    yield Path(entry.path), Path(entry.path).relative_to(root).as_posix(), stat.S_IFDIR
                else:
                    open_.append(Path(entry.path))
            elif not entry.name.startswith("."):
                try:
                    mode = entry.stat(follow_symlinks=False).st_mode
                except FileNotFoundError:
                    continue  # a run has just set it aside, or a sweep has taken it
                yield Path(entry.path), Path(entry.path).relative_to(root).as_posix(), mode


def _checked(found: Inspected, name: str, mode: int, check: Callable[[], Any]) -> int:
    try:
        if stat.S_ISREG(mode):
            return check() or 0
        found.problems.append(Problem(name, "is no regular file but " + kind_of(mode)))
    except FileNotFoundError:
        pass  # a run has just set it aside, or a sweep has taken it
    except Damaged as damage:
        found.problems.append(Problem(name, str(damage)))
    return 0


def _check_object(path: Path, name: str) -> int:
    matched = _OBJECT.fullmatch(path.name)
    if matched is None or name != object_path(matched[1], matched[2] or ""):
        raise Damaged("is no object: it has not the name of one")
    size = path.stat().st_size
    check_file(path, matched[1])
    return size


def _check_record(store: Store, path: Path, name: str) -> dict[str, str]:
    matched = _NAMED.fullmatch(path.name)
    if matched is None or name != f"records/{matched[1][:2]}/{path.name}":
        raise Damaged("is no record: it has not the name of one")
    record = record_at(path)
    if record.key != matched[1]:
        raise Damaged(f"is the record of another key, {record.key[:12]}")
    for object_ in objects_of(record):
        if not (store.root / object_).exists() and path.exists():
            raise Damaged(f"names {object_}, which is missing")
    return {record.key: record.content}


def objects_of(record: Record) -> list[str]:
    """Paths below the store of a record's objects."""
    found = [object_path(record.document, ".json")]
    return found if record.arrays is None else [*found, object_path(record.arrays, ".npz")]


def _check_conflict(path: Path, name: str) -> None:
    matched = _NAMED.fullmatch(path.name)
    record = record_at(path)
    if matched is None or name != f"conflicts/{record.key}/{record.content}.json":
        raise Damaged("is the record of another conflict")


def _check_layout(store: Store, found: Inspected) -> None:
    try:
        content = read_regular(store.root / "layout.json")
    except FileNotFoundError:
        return
    except OSError:
        content = b""
    if content != canonical_json({"layout": LAYOUT}):
        found.problems.append(Problem("layout.json", f"is not that of layout {LAYOUT}"))


def _check_ledger(store: Store, known: Mapping[str, str], found: Inspected) -> None:
    """The chain, and whether the records of now are those that finished runs rest on."""
    entries: list[Entry] = []
    try:
        for entry in store.ledger.entries():
            entries.append(entry)  # noqa: PERF402  (what stands before a bad line counts)
    except BrokenLedger as error:
        found.problems.append(Problem("ledger.jsonl", str(error)))
    except OSError as error:
        found.problems.append(Problem("ledger.jsonl", f"cannot be read: {error.strerror or error}"))
    found.lines = len(entries)
    told = {str(e.body.get("other")) for e in entries if e.body.get("event") == "conflict"}
    told |= {str(e.body.get("stands")) for e in entries if e.body.get("event") == "conflict"}
    other: dict[str, str] = {}
    for entry in entries:
        if entry.body.get("event") == "run":
            found.runs += 1
            made = contents_of(store, str(entry.body.get("evidence")))
            other |= {key: it for key, it in made.items() if known.get(key, it) != it and not {known[key], it} <= told}
    for key in sorted(other):
        name = PurePosixPath("records") / key[:2] / f"{key}.json"
        what = f"has another result than the ledger's runs rest on ({other[key][:12]}), and no conflict was noted"
        found.problems.append(Problem(str(name), what))


def contents_of(store: Store, root: str) -> dict[str, str]:
    """Key to content of everything that a run made; empty where the list is gone or not whole."""
    listed = listed_of(store, root)
    return dict(listed["nodes"].values()) if listed else {}


def listed_of(store: Store, root: str) -> dict[str, Any] | None:
    """The list of all that a run rests on (`pgx_compiler.evidence.sweep.seal_run`); None where it is gone or not whole."""
    try:
        content = read_regular(store.path(root, ".json"))
        if digest(content) != root:
            return None
        listed: dict[str, Any] = json.loads(content)
    except (OSError, ValueError):
        return None
    return listed


def inspect_run(store: Store, root: str) -> tuple[list[Problem], Iterable[str]]:
    """What a run rests on, as a store has it; returns what is changed, and what is not there (any more)."""
    listed = listed_of(store, root)
    name = object_path(root, ".json")
    if listed is None:
        there = (store.root / name).exists()
        return ([Problem(name, "was changed")], []) if there else ([], [name])
    problems: list[Problem] = []
    gone: list[str] = []

    def look(name: str, check: Callable[[], Any]) -> Any:
        try:
            return check()
        except FileNotFoundError:
            gone.append(name)
        except Damaged as damage:
            problems.append(Problem(name, str(damage)))
        return None

    def look_at(name: str) -> None:
        place = store.root / name
        look(name, lambda: check_file(place, PurePosixPath(name).name.split(".")[0]))

    for key, content in (*sorted(listed["nodes"].values()), *((key, None) for key in listed["also"])):
        place = store.record_path(key)
        below = place.relative_to(store.root).as_posix()
        record = look(below, lambda place=place: record_at(place))  # type: ignore[misc]
        if record is not None and content is not None and record.content != content:
            kept = store.root / "conflicts" / key / f"{content}.json"
            record = look(kept.relative_to(store.root).as_posix(), lambda kept=kept: record_at(kept))  # type: ignore[misc]
        if record is not None:
            for object_ in objects_of(record):
                look_at(object_)
    for file in listed["files"]:
        look_at(file)
    return problems, gone
