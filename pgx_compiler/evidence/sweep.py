"""Sweeping a store: what no run that counts rests on goes, in two steps, and only while nobody takes part in the store.

A finished run seals in the ledger which records and files it rests on (`seal_run`). Of each audit the last few runs count. What
they rest on stays, and so does everything young: a run that is not finished has sealed nothing yet. The rest is moved to ``trash/``,
and deleted by the next sweep. A run that counts and is damaged stops every sweep, until it is made again or given up by name.
"""

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgx_compiler.evidence.canonical import canonical_json, digest
from pgx_compiler.evidence.disk import NotRegular, make_folder, read_regular, sync_folder
from pgx_compiler.evidence.inspection import Damaged, objects_of, record_at
from pgx_compiler.evidence.retention import Rule
from pgx_compiler.evidence.store import Record, Store, object_path


class LostTrack(Exception):  # noqa: N818  (said of evidence, not of the program)
    """What a run that counts rests on cannot be told, so that nothing may go: the message says of which run, and why."""

    def __init__(self, reason: str, run: str) -> None:
        super().__init__(reason)
        self.run = run
        """What the run is called where it is given up."""


class NotForgotten(Exception):  # noqa: N818  (said of what was asked for)
    """A run cannot be given up: there is none of that name, or nothing of it was lost. The message says which."""


@dataclass
class Swept:
    """What a sweep has found, and done where it was not only asked."""

    kept: int = 0
    kept_bytes: int = 0
    young: int = 0
    """Of the files kept: those that nothing rests on, but that are too young to go."""
    moved: list[str] = field(default_factory=list)
    """Files that went to the trash, as paths below the store."""
    moved_bytes: int = 0
    emptied_bytes: int = 0
    """What the last sweep had moved to the trash, and this one has deleted."""
    litter: int = 0
    """Boxes and unfinished files of processes that are gone."""
    runs: int = 0
    """Runs that count."""
    forgotten: list[str] = field(default_factory=list)
    """Runs that were given up now."""


def seal_run(
    store: Store,
    body: Mapping[str, Any],
    contents: Mapping[str, tuple[str, str]],
    also: Iterable[str],
    files: Iterable[str],
) -> tuple[str, str]:
    """Write a finished run into the ledger.

    Args:
        store: where its evidence is.
        body: what the line says of the run; ``audit`` names whose run it is.
        contents: node to key and content digest of its record: all evidence of the run.
        also: keys of records that it rests on besides: when it was, pages that were drawn.
        files: paths below the store of the files that it was given.

    Returns:
        The digest of the object that lists the evidence (the root of the run's evidence), and the line's seal.
    """
    listed = {
        "nodes": {name: list(pair) for name, pair in sorted(contents.items())},
        "also": sorted(also),
        "files": sorted(files),
    }
    root = store.put(canonical_json(listed), ".json")
    return root, store.ledger.append({"event": "run", **body, "evidence": root})


def sweep(
    store: Store, rule: Rule, *, pretend: bool, now: float | None = None, forget: Sequence[str] = ()
) -> Swept | None:
    """Sweep a store; None where somebody takes part in it. With `pretend`, nothing is touched.

    Args:
        store: to be swept.
        rule: which runs count, and what is young.
        pretend: only say what would go.
        now: seconds since the epoch.
        forget: runs that were lost and are given up, by their name or the beginning of their line's seal: they count no more,
            now and in every later sweep, and the ledger says so.

    Raises:
        BrokenLedger: without the ledger it is not known what counts.
        LostTrack: of a run that counts it is not known what it rests on.
        NotForgotten: there is no such run, or nothing of it was lost.
        OSError: the store cannot be read, or not be written.
    """
    held = store.enter_alone()
    if held is None:
        return None
    with held:
        return _sweep(store, rule, pretend, time.time() if now is None else now, forget)


def _sweep(store: Store, rule: Rule, pretend: bool, now: float, forget: Sequence[str]) -> Swept:
    every = _runs(store)
    given_up = {run: why for name in forget for run, why in [_lost(store, every, name)]}
    runs = _counting([run for run in every if not run.forgotten and run not in given_up], rule)
    resting = {run: _rested_on(store, run) for run in runs}
    files = {path.relative_to(store.root).as_posix(): path.stat() for path in _evidence(store.root)}
    if rule.most_bytes is not None:
        runs = _fitting(runs, resting, {name: found.st_size for name, found in files.items()}, rule.most_bytes)
    needed = set().union(*(resting[run] for run in runs))
    swept = Swept(runs=len(runs))
    for name, found in sorted(files.items()):
        young = now - found.st_mtime < rule.grace
        if name in needed or young:
            swept.kept += 1
            swept.kept_bytes += found.st_size
            swept.young += young and name not in needed
        else:
            swept.moved.append(name)
            swept.moved_bytes += found.st_size
    trash = store.root / "trash"
    swept.emptied_bytes = (
        sum(path.stat().st_size for path in trash.rglob("*") if path.is_file()) if trash.is_dir() else 0
    )
    swept.litter = len(list(_litter(store.root)))
    swept.forgotten = [run.name for run in given_up]
    if not pretend:
        for run, why in given_up.items():
            if not run.forgotten:
                store.ledger.append(
                    {"event": "forget", "audit": run.audit, "run": run.name, "line": run.seal, "why": why}
                )
        _carry_out(store, swept, sorted({run.root for run in runs}))
    return swept


def _lost(store: Store, runs: Sequence["_Run"], name: str) -> tuple["_Run", str]:
    """The run of a name, and what was lost of it. Raises `NotForgotten`."""
    found = [run for run in runs if name == run.name or (len(name) >= _SHORTEST and run.seal.startswith(name))]
    if len(found) != 1:
        many = f"{len(found)} runs are called" if found else "the ledger has no run that is called"
        raise NotForgotten(f"{many} `{name}`")
    try:
        _rested_on(store, found[0])
    except LostTrack as lost:
        return found[0], str(lost)
    if found[0].forgotten:
        return found[0], ""
    reason = f"all that the run `{name}` rests on is known: it is given up only where that was lost"
    raise NotForgotten(f"{reason}; `--keep-runs` says how many runs of an audit count")


_SHORTEST = 8
"""Characters of a seal that tell one line of a ledger from all others."""


def _carry_out(store: Store, swept: Swept, roots: Sequence[str]) -> None:
    trash = store.root / "trash"
    shutil.rmtree(trash, ignore_errors=True)
    for path in list(_litter(store.root)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not swept.moved:
        return
    # before anything goes: whoever misses a file later reads here whether it was swept away, or lost
    store.ledger.append({"event": "sweep", "files": len(swept.moved), "bytes": swept.moved_bytes, "runs": roots})
    # records first, and flushed: one whose objects are gone points at nothing, an object without a record harms nobody
    records = [name for name in swept.moved if name.startswith("records/")]
    for batch in (records, sorted(set(swept.moved) - set(records))):
        for name in batch:
            target = trash / name
            make_folder(target.parent)
            os.replace(store.root / name, target)
        for folder in sorted({(store.root / name).parent for name in batch}):
            sync_folder(folder)


@dataclass(frozen=True)
class _Run:
    number: int
    """Its line."""
    audit: str
    root: str
    swept: bool
    """Whether a later sweep did not count it: what it rested on may be gone, and nobody has lost it."""
    seal: str
    """Of its line."""
    name: str
    """By which it can be given up: its own id, or the beginning of the seal."""
    forgotten: bool
    """Whether it was given up."""


def _runs(store: Store) -> Sequence[_Run]:
    """Every run of the ledger, oldest first."""
    entries = list(store.ledger.entries())
    sweeps = [(at, one.body.get("runs", ())) for at, one in enumerate(entries) if one.body.get("event") == "sweep"]
    forgotten = {str(one.body.get("line")) for one in entries if one.body.get("event") == "forget"}
    found = []
    for number, entry in enumerate(entries):
        body = entry.body
        if body.get("event") == "run" and (root := str(body["evidence"])):
            swept = any(at > number and root not in counted for at, counted in sweeps)
            name = str(body.get("run") or entry.seal[:12])
            gone = entry.seal in forgotten
            found.append(_Run(number, str(body.get("audit")), root, swept, entry.seal, name, gone))
    return found


def _counting(runs: Sequence[_Run], rule: Rule) -> Sequence[_Run]:
    """The last runs of each audit, oldest first."""
    last: dict[str, list[_Run]] = {}
    for run in runs:
        last.setdefault(run.audit, []).append(run)
    counting = {run for of in last.values() for run in of[-max(1, rule.keep_runs) :]}
    return [run for run in runs if run in counting]


def _rested_on(store: Store, run: _Run) -> frozenset[str]:
    """Paths below the store of all that a run rests on. Raises `LostTrack`.

    Nothing is set aside here: a sweep that only pretends touches nothing, and a damaged file stays where it can be mended.
    """
    reading = _Reading(store, run)
    content = reading.object(run.root, ".json")
    if content is None:
        return frozenset()
    listed = json.loads(content)
    found = {object_path(run.root, ".json"), *listed["files"]}
    made: dict[str, str | None] = dict(listed["nodes"].values())
    for key in (*made, *(key for key in listed["also"] if key not in made)):
        for path in _records(store, key, made.get(key)):
            record = reading.record(path)
            if record is not None:
                found |= {path.relative_to(store.root).as_posix(), *objects_of(record), *_drawn(reading, record)}
    return frozenset(found)


def _records(store: Store, key: str, content: str | None) -> Iterator[Path]:
    """Where the record of a key is; a result that did not stand against another one is kept as a conflict."""
    yield store.record_path(key)
    conflict = store.root / "conflicts" / key / f"{content}.json"
    if content is not None and conflict.exists():
        yield conflict


@dataclass(frozen=True)
class _Reading:
    """Reads what a run rests on: None where it was swept away, `LostTrack` where it was damaged or lost."""

    store: Store
    run: _Run

    def object(self, name: str, suffix: str) -> bytes | None:
        """The bytes of an object."""
        path = self.store.path(name, suffix)
        try:
            content = read_regular(path)
        except FileNotFoundError:
            self._missing(path)
            return None
        except NotRegular as error:
            raise self._lost(path, "is no regular file") from error
        if digest(content) != name:
            raise self._lost(path, "was changed")
        return content

    def record(self, path: Path) -> Record | None:
        """The record in a file."""
        try:
            return record_at(path)
        except FileNotFoundError:
            self._missing(path)
            return None
        except Damaged as error:
            raise self._lost(path, str(error)) from error

    def _missing(self, path: Path) -> None:
        """Raise `LostTrack` unless a sweep took it."""
        # a sweep moves to the trash; what was damaged is set aside, and its run may have been swept besides
        if not self.run.swept or any((self.store.root / "damaged").glob(f"{path.name}.*")):
            raise self._lost(path, "is missing")

    def _lost(self, path: Path, what: str) -> LostTrack:
        name = path.relative_to(self.store.root).as_posix()
        at = f"line {self.run.number + 1} of the ledger"
        return LostTrack(f"{name} {what}, on which the run of `{self.run.audit}` at {at} rests", self.run.name)


def _drawn(reading: _Reading, record: Record) -> set[str]:
    """A page that was drawn is an object that the document of its record names."""
    operation = record.ingredients.get("operation") or [""]
    if operation[0] != "render":
        return set()
    content = reading.object(record.document, ".json")
    drawn = json.loads(content).get("object") if content is not None else None
    return set() if drawn is None else {object_path(drawn, operation[1])}


def _fitting(
    runs: Sequence[_Run], resting: Mapping[_Run, frozenset[str]], sizes: Mapping[str, int], most: int
) -> Sequence[_Run]:
    newest = {run.audit: run for run in runs}
    left = list(runs)
    for run in runs:
        if sum(sizes.get(name, 0) for name in set().union(*(resting[one] for one in left))) <= most:
            break
        if newest[run.audit] is not run:
            left.remove(run)
    return left


def _evidence(root: Path) -> Iterator[Path]:
    """Every object, record and conflict under its final name."""
    for folder in ("objects", "records", "conflicts", "damaged"):
        for path in (root / folder).rglob("*"):
            if not path.name.startswith(".") and not path.is_dir():
                yield path


def _litter(root: Path) -> Iterator[Path]:
    """What processes that are gone have left: nobody takes part in the store, so it is nobody's."""
    for folder in ("boxes", "incoming", "locks/keys"):
        yield from (root / folder).glob("*") if (root / folder).is_dir() else ()
    for folder in ("objects", "records", "conflicts"):
        yield from (path for path in (root / folder).rglob(".*") if path.is_file())
