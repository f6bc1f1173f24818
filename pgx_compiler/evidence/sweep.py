"""Sweeping a store: what no run that counts rests on goes, in two steps, and only while nobody takes part in the store.

A finished run seals in the ledger which records and files it rests on (`seal_run`). Of each audit the last few runs count. What
they rest on stays, and so does everything young: a run that is not finished has sealed nothing yet. The rest is moved to ``trash/``,
and deleted by the next sweep.
"""

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgx_compiler.evidence.canonical import canonical_json
from pgx_compiler.evidence.disk import make_folder, sync_folder
from pgx_compiler.evidence.retention import Rule
from pgx_compiler.evidence.store import DamagedEvidence, Store, object_path


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


def sweep(store: Store, rule: Rule, *, pretend: bool, now: float | None = None) -> Swept | None:
    """Sweep a store; None where somebody takes part in it. With `pretend`, nothing is touched.

    Raises `pgx_compiler.evidence.ledger.BrokenLedger`: without the ledger it is not known what counts.
    """
    held = store.enter_alone()
    if held is None:
        return None
    with held:
        return _sweep(store, rule, pretend, time.time() if now is None else now)


def _sweep(store: Store, rule: Rule, pretend: bool, now: float) -> Swept:
    runs = _counting(store, rule)
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
    if not pretend:
        _carry_out(store, swept)
    return swept


def _carry_out(store: Store, swept: Swept) -> None:
    trash = store.root / "trash"
    shutil.rmtree(trash, ignore_errors=True)
    for path in list(_litter(store.root)):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    if not swept.moved:
        return
    # records first, and flushed: one whose objects are gone points at nothing, an object without a record harms nobody
    records = [name for name in swept.moved if name.startswith("records/")]
    for batch in (records, sorted(set(swept.moved) - set(records))):
        for name in batch:
            target = trash / name
            make_folder(target.parent)
            os.replace(store.root / name, target)
        for folder in sorted({(store.root / name).parent for name in batch}):
            sync_folder(folder)
    store.ledger.append({"event": "sweep", "files": len(swept.moved), "bytes": swept.moved_bytes})


@dataclass(frozen=True)
class _Run:
    number: int
    """Its line."""
    audit: str
    root: str


def _counting(store: Store, rule: Rule) -> Sequence[_Run]:
    """The last runs of each audit, oldest first."""
    runs = [
        _Run(number, str(entry.body.get("audit")), str(entry.body["evidence"]))
        for number, entry in enumerate(store.ledger.entries())
        if entry.body.get("event") == "run"
    ]
    last: dict[str, list[_Run]] = {}
    for run in runs:
        last.setdefault(run.audit, []).append(run)
    counting = {run for of in last.values() for run in of[-max(1, rule.keep_runs) :]}
    return [run for run in runs if run in counting]


def _rested_on(store: Store, run: _Run) -> frozenset[str]:
    """Paths below the store of all that a run rests on."""
    listed_at = object_path(run.root, ".json")
    try:
        listed = json.loads(store.get(run.root, ".json"))
    except DamagedEvidence:
        return frozenset({listed_at})
    found = {listed_at, *listed["files"]}
    for key in (*(pair[0] for pair in listed["nodes"].values()), *listed["also"]):
        record = store.find(key)
        if record is None:
            continue
        found |= {store.record_path(key).relative_to(store.root).as_posix(), object_path(record.document, ".json")}
        if record.arrays is not None:
            found.add(object_path(record.arrays, ".npz"))
        found |= _drawn(store, record.ingredients, record.document)
    return frozenset(found)


def _drawn(store: Store, ingredients: Mapping[str, Any], document: str) -> set[str]:
    """A page that was drawn is an object that the document of its record names."""
    operation = ingredients.get("operation") or [""]
    if operation[0] != "render":
        return set()
    try:
        return {object_path(json.loads(store.get(document, ".json"))["object"], operation[1])}
    except (DamagedEvidence, KeyError):
        return set()


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
