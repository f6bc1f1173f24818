"""The last act of a run: every file of its folder goes into the manifest, and the manifest's root into the store's ledger."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pgx_compiler.deliver import describe_file
from pgx_compiler.evidence.canonical import digest, digest_of_file
from pgx_compiler.evidence.disk import NotRegular
from pgx_compiler.evidence.ledger import FIRST
from pgx_compiler.evidence.manifest import Before, Manifest, clear, files_of, write_manifest
from pgx_compiler.evidence.store import Store
from pgx_compiler.evidence.sweep import seal_run
from pgx_compiler.execute.run import RunResult
from pgx_compiler.plan.plan import Plan
from pgx_compiler.report.templates import folder as templates_folder


@dataclass(frozen=True)
class RestsOn:
    """What a run rests on beside the results of its nodes."""

    files: Sequence[str]
    """Files that it was given, as paths below the store."""
    keys: Sequence[str] = field(default_factory=list)
    """Records: when it was, pages that were drawn."""


def seal_folder(
    folder: Path,
    before: Before,
    written: Iterable[Path],
    plan: Plan,
    result: RunResult,
    store: Store,
    rests_on: RestsOn,
    run_id: str,
    verdict: str,
) -> Manifest:
    """List and seal a run's folder.

    Args:
        folder: of the run; nobody writes to it any more.
        before: what it held before.
        written: what this run wrote; other files of an earlier run are removed.
        plan: what was run.
        result: what became of it.
        store: where its evidence is.
        rests_on: what `pgx gc` must leave for it.
        run_id: as its events say.
        verdict: of the factsheet.

    Raises:
        BrokenLedger: nothing can be sealed in this store.
        OSError: a link or pipe stands in the folder, or something cannot be written.
    """
    clear(folder, before, [path.relative_to(folder).as_posix() for path in written])
    names, strange = files_of(folder, before.beside)
    if strange:
        raise NotRegular(f"{folder / strange[0]} is no regular file")
    told = {
        "id": run_id,
        "audit": plan.audit.spec.metadata.name,
        "folder": folder.resolve().name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "spec": plan.spec_digest,
        "plan": plan.digest,
        "pgx": plan.context.program,
        "code": program_digest(),
        "verdict": verdict,
    }
    manifest = Manifest(told, [describe_file(folder, name) for name in names], before.beside)
    contents = {
        name: (one.record.key, one.record.content) for name, one in result.outcomes.items() if one.record is not None
    }
    root, seal = seal_run(store, line_of(manifest), contents, rests_on.keys, rests_on.files)
    manifest = replace(manifest, sealed={"evidence": root, "ledger": store.ledger.first, "seal": seal})
    write_manifest(manifest, folder)
    return manifest


def line_of(manifest: Manifest) -> dict[str, object]:
    """What the ledger says of a run, beside its evidence."""
    told = {name: manifest.run[name] for name in ("audit", "time", "spec", "plan", "verdict")}
    return {**told, "run": manifest.run["id"], "manifest": manifest.root, "sheets": sheets_of(manifest)}


def sheets_of(manifest: Manifest) -> dict[str, str]:
    """The factsheet's files, with their digests."""
    return {name: found for name, found in manifest.digests.items() if name.startswith("factsheet.")}


def list_again(folder: Path, manifest: Manifest, drawn: Iterable[Path], store: Store) -> Manifest:
    """The manifest of a folder whose pages were drawn again, sealed anew where the store knows the run.

    Only the pages' entries change: a file that was changed besides is still told from what it was.
    """
    names = {path.relative_to(folder).as_posix() for path in drawn}
    entries: dict[str, Mapping[str, object]] = {entry["file"]: entry for entry in manifest.files}
    entries |= {name: describe_file(folder, name) for name in names}
    for name in sheets_of(manifest):
        if not (folder / name).exists():
            del entries[name]
    again = replace(manifest, files=[entries[name] for name in sorted(entries)])
    if again.root == manifest.root:
        return manifest
    sealed = None
    if manifest.sealed is not None and store.ledger.first == manifest.sealed["ledger"] != FIRST:
        body = {"event": "report", **line_of(again), "evidence": manifest.sealed["evidence"]}
        with store.enter():
            sealed = {**manifest.sealed, "seal": store.ledger.append(body)}
    again = replace(again, sealed=sealed)
    write_manifest(again, folder)
    return again


@cache
def program_digest() -> str:
    """Digest of this program's source: two that differ in it may write other factsheets of the same evidence."""
    package = Path(__file__).parent
    roots = (package, package.parent / "runtimes")
    files = [(root.name, path, root) for root in roots for path in sorted(root.rglob("*.py"))]
    pages = templates_folder()
    files += [("templates", path, pages) for path in sorted(pages.rglob("*")) if path.is_file()]
    return digest([[name, path.relative_to(root).as_posix(), digest_of_file(path)] for name, path, root in files])
