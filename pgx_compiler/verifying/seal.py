"""A run's manifest against the ledger of a store, and what the store has of the run's evidence."""

from pathlib import Path

from pgx_compiler.evidence.disk import read_regular
from pgx_compiler.evidence.inspection import Damaged, Problem, inspect_run, record_at
from pgx_compiler.evidence.ledger import BrokenLedger, Entry
from pgx_compiler.evidence.manifest import PLACE, Manifest
from pgx_compiler.evidence.store import Store
from pgx_compiler.evidence.typed import Unreadable
from pgx_compiler.plan.kept import parse
from pgx_compiler.sealing import line_of, sheets_of
from pgx_compiler.verifying.found import Verified


def check_sealed(found: Verified, manifest: Manifest, store: Store) -> None:
    """The run's line in the ledger, and what the store has of its evidence."""
    if not store.ledger.path.exists() and not store.ledger.path.is_symlink():
        found.notes.append(f"no ledger was asked: there is none at {store.root} (PGX_STORE or --store name another)")
        return
    entries: list[Entry] = []
    broken = None
    try:
        for entry in store.ledger.entries():
            entries.append(entry)  # noqa: PERF402  (the lines before a bad one count)
    except (BrokenLedger, OSError) as error:
        broken = Problem(str(store.ledger.path), f"is damaged: {error}")
        found.problems.append(broken)
    lines = [
        (number, entry)
        for number, entry in enumerate(entries, 1)
        if entry.body.get("event") in ("run", "report") and entry.body.get("run") == manifest.run["id"]
    ]
    if not lines:
        if broken is None:
            _say_unknown(found, manifest, store, entries)
        return
    number, entry = lines[-1]
    _compare_line(found, manifest, store, number, entry)
    if not any(problem.file == str(PLACE) for problem in found.problems):
        found.ledger = f"line {number} of {store.ledger.path}"
    problems, gone = inspect_run(store, str(entry.body["evidence"]))
    found.problems += [Problem(str(store.root / one.file), one.what) for one in problems]
    swept = any(later.body.get("event") == "sweep" for later in entries[number:])
    if any(one.body.get("event") == "forget" and one.body.get("run") == manifest.run["id"] for one in entries[number:]):
        found.notes.append("the store has given up this run (`pgx gc --forget`), as its evidence was damaged")
    names = list(gone)
    if names and swept:
        found.notes.append(f"the store has swept away {len(names)} of the files that the run rests on")
    else:
        found.problems += [Problem(str(store.root / name), "is missing") for name in names]


def _compare_line(found: Verified, manifest: Manifest, store: Store, number: int, entry: Entry) -> None:
    """The ledger's line of the run against the manifest of now."""
    at = f"line {number} of {store.ledger.path}"
    body = entry.body
    wanted = line_of(manifest)
    sheets = body.get("sheets")
    if isinstance(sheets, dict):
        for name, sha256 in sorted(sheets_of(manifest).items()):
            if sheets.get(name) != sha256:
                found.say(name, f"is not the one that {at} sealed")
    differing = sorted(name for name in wanted if name != "sheets" and body.get(name) != wanted[name])
    if manifest.sealed is None or manifest.sealed["seal"] != entry.seal:
        differing.append("seal")
    elif manifest.sealed["evidence"] != body.get("evidence"):
        differing.append("evidence")
    if differing:
        said = "it was written anew after the run" if "manifest" in differing else f"it differs in {differing[0]}"
        found.say(str(PLACE), f"is not the one that {at} sealed: {said}")


def _say_unknown(found: Verified, manifest: Manifest, store: Store, entries: list[Entry]) -> None:
    """The ledger is whole but has no line of the run."""
    whose = f"run {manifest.run['id'][:12]} of {manifest.run['time']}"
    if manifest.sealed is None:
        found.notes.append(
            f"{store.ledger.path} knows nothing of {whose}, whose pages were drawn again without a ledger"
        )
        return
    if manifest.sealed["seal"] in {entry.seal for entry in entries}:
        found.say(str(PLACE), f"gives the run another id than the line of {store.ledger.path} that it names")
    elif store.ledger.first == manifest.sealed["ledger"]:
        found.say(str(store.ledger.path), f"has lost the line of {whose}: its end was cut off, or written anew")
    elif _has_records(found.folder, store):
        found.say(
            str(store.ledger.path), f"was written anew: the store has the evidence of {whose}, the ledger no line of it"
        )
    else:
        found.notes.append(f"{store.root} is not the store of {whose}: no ledger was asked (--store names another)")


def _has_records(folder: Path, store: Store) -> bool:
    """Whether a store holds results of the run."""
    try:
        nodes = parse(read_regular(folder / "evidence" / "outcomes.json"))["nodes"]
        records = [(store.record_path(one["key"]), one["content"]) for one in nodes.values() if "key" in one]
        for path, content in records:
            try:
                if record_at(path).content == content:
                    return True
            except (Damaged, FileNotFoundError):
                continue
    except (Unreadable, KeyError, TypeError, AttributeError, OSError):
        pass
    return False
