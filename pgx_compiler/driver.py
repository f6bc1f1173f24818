"""The stages in order: check, compile, run, report. The only module that imports every stage.

`check` itself stands in `analysis.checked`, so that `pgx check` starts without the others.
"""

import contextlib
import importlib.metadata
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pgx_compiler.analysis.checked import Checked
from pgx_compiler.analysis.checked import check as check
from pgx_compiler.analysis.resolved import DataFile, MaskFile, ModelFile, VocabularyFile
from pgx_compiler.deliver import copy_evidence, keep_ground, occasion_key, occasion_of, write_factsheet
from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.evidence.canonical import plain
from pgx_compiler.evidence.locks import NoLocks, try_lock_folder
from pgx_compiler.evidence.manifest import BadManifest, open_folder, read_manifest
from pgx_compiler.evidence.store import LaterLayout, Store, write_atomically
from pgx_compiler.execute.journal import Foreseeing, Journal, Listener, Setup, Several
from pgx_compiler.execute.means import Means
from pgx_compiler.execute.run import Observer, RunResult, run_graph
from pgx_compiler.plan.ceiling import beyond_reason
from pgx_compiler.plan.forecast import Forecast, expected, forecast, hold_against_budget
from pgx_compiler.plan.plan import Plan, compile_plan
from pgx_compiler.plan.selection import Selection
from pgx_compiler.plan.selection import select as choose
from pgx_compiler.plan.stale import StalePlan as StalePlan
from pgx_compiler.plan.stale import read_plan, refuse_stale
from pgx_compiler.plan.states import History
from pgx_compiler.report.facts import gather
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats import formats
from pgx_compiler.report.gathering import Ended, NotSelected
from pgx_compiler.sealing import RestsOn, list_again, seal_folder
from pgx_compiler.spec.compose import NOTHING
from pgx_compiler.spec.emit import composed_text
from pgx_compiler.spec.overrides import Overrides
from pgx_compiler.trust.stores import require_own_store

BUDGET_EXCEEDED = Code(
    5010,
    "budget-exceeded",
    "The plan needs more model rows than `strategy.budget.model_rows` allows. `pgx compile` prints what each step costs; "
    "ask for fewer samples, rows or trials, or raise the budget.",
)
CANNOT_WRITE = Code(
    5011,
    "cannot-write",
    "The run's folder or the evidence store cannot be written: no permission, a file in the way, or a full disk. "
    "`--output` and the environment variable PGX_STORE choose other places.",
)
LATER_STORE = Code(
    5015,
    "store-of-later-version",
    "The evidence store was laid out by a later version of pgx, and is not touched by this one. Use that version, or "
    "another store with the environment variable PGX_STORE.",
)
NO_LOCKS = Code(
    5016,
    "no-locks",
    "The evidence store cannot be locked, so that two runs might hurt one another: its file system has no locks (some network "
    "file systems), or the place of its locks is a link or belongs to somebody else. PGX_STORE names a store elsewhere.",
)

FOLDER_IN_USE = Code(
    5018,
    "folder-in-use",
    "Another run is writing to the same folder at this moment, and the files of the two would be mixed. `--output` names "
    "another one; runs without it have a new folder each.",
)


def version() -> str:
    """Version of this program."""
    try:
        return importlib.metadata.version("pgx-compiler")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


def compile(path: str | Path, overrides: Overrides = NOTHING) -> Plan:
    """Check and compile a spec. Raises `AuthorError` with everything that is wrong."""
    checked = check(path, overrides)
    if checked.audit is None:
        raise AuthorError(checked.diagnostics, checked.sources)
    plan = compile_plan(checked.audit, version())
    _check_budget(plan, checked)
    return plan


def _check_budget(plan: Plan, checked: Checked) -> None:
    beyond = beyond_reason(plan)
    if beyond is not None:
        raise AuthorError(Diagnostics([beyond]), checked.sources)
    allowed = plan.audit.spec.strategy.budget.model_rows
    needed = plan.totals["model_rows"]
    if allowed is None or needed <= allowed:
        return
    dear = sorted(plan.folded, key=lambda node: -(node.cost.get("forward", 0) + node.cost.get("backward", 0)))[:3]
    most = ", ".join(f"{n.id} {n.cost.get('forward', 0) + n.cost.get('backward', 0):,}" for n in dear)
    found = Diagnostics()
    path = ("strategy", "budget", "model_rows")
    message = f"the plan needs {needed:,} model rows, but the budget allows {allowed:,}"
    help_ = f"the dearest steps: {most}; ask for fewer samples, rows or trials, or raise the budget"
    found.add(Diagnostic(BUDGET_EXCEEDED, message, plan.audit.span(*path), help_, path=path))
    raise AuthorError(found, checked.sources)


@dataclass(frozen=True)
class Ran:
    """A finished run."""

    plan: Plan
    result: RunResult
    factsheet: Factsheet
    folder: Path
    store: Store
    written: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a person should know besides: a format that could not be written, damaged evidence that was recomputed."""
    missing: list[str] = field(default_factory=list)
    """Files asked for whose drawing died, hung or hit a limit: the run is not complete."""


def store_of(spec: str | Path) -> Store:
    """The evidence store of a spec's project.

    ``PGX_STORE``, else ``.pgx/store`` in the nearest folder that has a ``.pgx`` or is a git repository, else beside the
    spec.
    """
    named = os.environ.get("PGX_STORE")
    if named:
        return Store(Path(named).absolute())  # workers live in folders of their own
    folder = Path(spec).resolve().parent
    for candidate in (folder, *folder.parents):
        if (candidate / ".pgx").is_dir() or (candidate / ".git").exists():
            return Store(candidate / ".pgx" / "store")
    return Store(folder / ".pgx" / "store")


def run(
    path: str | Path,
    output: str | Path | None = None,
    jobs: int | None = None,
    engine: str = "processes",
    observer: Observer | None = None,
    select: Sequence[str] = (),
    agreed: str | Path | None = None,
    overrides: Overrides = NOTHING,
    listeners: Sequence[Listener] = (),
    means: Means | None = None,
) -> Ran:
    """Compile and run a spec, and write the run's folder.

    Args:
        path: the spec.
        output: folder of the run; default ``runs/<name>/<utc>-<short digest>`` beside the store.
        jobs: nodes computed at a time; default: one for each usable core.
        engine: ``processes``, ``inline`` or ``ray``.
        observer: told what happens.
        select: run only these nodes and what they rest on (`plan.selection`); such a run is never complete.
        agreed: a ``plan.json``: run only if the plan of now is that plan.
        overrides: profiles and values laid over the spec.
        listeners: told every event of ``events.jsonl`` as it happens.
        means: engine, jobs, sandbox and limits together; `jobs` and `engine` are then not looked at.

    Raises:
        AuthorError: the spec is wrong, the engine or the sandbox that is required is not there, or the run's folder cannot be
            written.
        StalePlan: the plan of now is not the one agreed to.
    """
    means = means or Means(engine, jobs)
    plan = compile(path, overrides)
    means.require_sandbox()
    means.require_engine()
    if agreed is not None:
        refuse_stale(read_plan(agreed), plan)
    store = store_of(Path(path))
    # looking ahead reads every record of the store: only where something hangs on it
    needed = bool(select) or plan.audit.spec.strategy.budget.seconds is not None
    outlook = look_ahead(plan, store, select) if needed else None
    if outlook is not None and outlook.warning is not None and outlook.warning.severity == "error":
        raise said_of_budget(outlook.warning, plan)
    started = datetime.now(UTC)
    folder = Path(output) if output else _default_folder(plan, store, started)
    try:
        unsure = None if os.environ.get("PGX_STORE") else require_own_store(store.root)
        # the store first: where it cannot be used, no folder is made in vain
        with _taking_part(store), _folder_of_ones_own(folder, named=output is not None) as folder:
            ran = _run(plan, store, folder, started, means, observer, outlook, listeners)
            return replace(ran, notes=[*ran.notes, unsure]) if unsure else ran
    except OSError as error:
        raise _cannot_write(error, folder, store) from error


@contextlib.contextmanager
def _taking_part(store: Store) -> Iterator[None]:
    """Nothing is swept away meanwhile. Raises `AuthorError`, and `BrokenLedger` before anything is computed in vain."""
    try:
        held = store.enter()
    except LaterLayout as error:
        help_ = "run it with that version, or name another store with PGX_STORE"
        raise AuthorError(
            Diagnostics([Diagnostic(LATER_STORE, f"the store cannot be used: {error}", None, help_)])
        ) from error
    except NoLocks as error:
        help_ = "name a store on a local disk with PGX_STORE; the run's folder may stay where it is"
        raise AuthorError(
            Diagnostics([Diagnostic(NO_LOCKS, f"the store cannot be used: {error}", None, help_)])
        ) from error
    with held:
        store.ledger.check_end()
        yield


@contextlib.contextmanager
def _folder_of_ones_own(folder: Path, named: bool) -> Iterator[Path]:
    """The run's folder, that no other run writes to meanwhile; of a folder that nobody named, one that is new.

    Raises AuthorError, OSError.
    """
    numbered = (folder.with_name(f"{folder.name}-{number}") for number in itertools.count(2))
    for place in [folder] if named else itertools.chain([folder], numbered):
        try:
            place.mkdir(parents=True, exist_ok=named)
        except FileExistsError:
            if named:
                raise
            continue  # two runs of one plan have begun in the same second
        try:
            held = try_lock_folder(place)
        except NoLocks:  # evidence does not depend on it: the store has locks of its own
            yield place
            return
        if held is None:
            help_ = "wait until it has ended, or name another folder with --output"
            raise AuthorError(
                Diagnostics([Diagnostic(FOLDER_IN_USE, f"another run is writing to {place}", None, help_)])
            )
        with held:
            yield place
        return


@dataclass(frozen=True)
class Outlook:
    """What a run would do, by what the store holds."""

    found: Forecast
    selection: Selection | None
    """None: everything."""
    warning: Diagnostic | None
    """That the time allowed will not do."""


def look_ahead(plan: Plan, store: Store, select: Sequence[str] = ()) -> Outlook:
    """States, predicted seconds and the part selected of a plan. Raises `AuthorError` where nothing is selected."""
    history = History(store)
    selection = choose(plan.graph, select, lambda: history.states(plan.graph)) if select else None
    found = forecast(plan.graph if selection is None else plan.graph.only(selection.nodes), history)
    return Outlook(found, selection, hold_against_budget(plan, found))


def said_of_budget(item: Diagnostic, plan: Plan) -> AuthorError:
    """One diagnostic that only the store could give, with the line it is about."""
    found = Diagnostics()
    found.add(item)
    return AuthorError(found, dict(plan.audit.document.composition.sources))


def _default_folder(plan: Plan, store: Store, started: datetime) -> Path:
    project = store.root.parent.parent if store.root.parent.name == ".pgx" else Path.cwd()
    stamp = started.strftime("%Y%m%dT%H%M%SZ")
    return project / "runs" / plan.audit.spec.metadata.name / f"{stamp}-{plan.digest[:8]}"


def _run(
    plan: Plan,
    store: Store,
    folder: Path,
    started: datetime,
    means: Means,
    observer: Observer | None,
    outlook: Outlook | None,
    listeners: Sequence[Listener],
) -> Ran:
    before = open_folder(folder)
    write_atomically(folder / "spec.yaml", composed_text(plan.audit.document).encode())
    write_atomically(folder / "plan.json", plan.to_json().encode())
    lock = json.dumps(plain(plan.lock), indent=2, sort_keys=True) + "\n"
    write_atomically(folder / "pgx.lock", lock.encode())
    given = _take_in(plan, store)
    selection = outlook.selection if outlook is not None else None
    graph = plan.graph.only(selection.nodes) if selection else plan.graph
    setup = Setup(version(), plan.audit.spec.metadata.name, plan.digest, means.engine, means.at_a_time)
    for listener in listeners:
        if isinstance(listener, Foreseeing):
            listener.foresee(lambda: expected(graph, History(Store(store.root))))
    with Journal(folder / "events.jsonl", graph, setup, listeners) as journal:
        watchers = Several([journal, *([observer] if observer else [])])
        result = run_graph(
            graph, store, lambda lanes: means.open_engine(store.root, folder, lanes), watchers, means.policy
        )
        ran, left, keys = _conclude(plan, store, folder, started, result, outlook)
        sheets = [path.name for path in ran.written]
        complete = result.complete and not ran.missing
        journal.finish(complete=complete, verdict=ran.factsheet.verdict.status, files=sheets)
    # after the last event: the manifest lists the events too
    written = [*left, *(folder / name for name in ("spec.yaml", "plan.json", "pgx.lock", "events.jsonl"))]
    rests_on = RestsOn(given, keys)
    verdict = ran.factsheet.verdict.status
    seal_folder(folder, before, written, plan, result, store, rests_on, journal.run_id, verdict)
    return replace(ran, notes=[*ran.notes, journal.problem]) if journal.problem else ran


def _take_in(plan: Plan, store: Store) -> list[str]:
    """Copy the files that the audit names into the store; returns them as paths below it."""
    audit = plan.audit
    files: list[ModelFile | DataFile | MaskFile | VocabularyFile]
    files = [*audit.models.values(), *audit.data.values(), *audit.masks.values()]
    if audit.vocabulary is not None:
        files.append(audit.vocabulary)
    named = [(file.path, file.sha256) for file in files]
    named += [place for model in audit.models.values() for place in model.beside.values()]
    return sorted({store.ingest(path, sha256).relative_to(store.root).as_posix() for path, sha256 in named})


def _conclude(
    plan: Plan, store: Store, folder: Path, started: datetime, result: RunResult, outlook: Outlook | None
) -> tuple[Ran, list[Path], list[str]]:
    """Write the factsheet and the evidence of a graph that was run; returns what it wrote, and keys that it rests on."""
    selection = outlook.selection if outlook is not None else None
    occasion = occasion_of(plan, store, started, result)
    ended: dict[str, Ended] = dict(result.outcomes)
    if selection is not None:
        occasion = replace(occasion, selection=selection.words)
        ended |= {node.id: NotSelected() for node in plan.graph if node.id not in selection.nodes}
    factsheet = gather(plan, ended, store, occasion)
    notes = (
        [f"evidence that was damaged has been computed again: {', '.join(result.damaged)}"] if result.damaged else []
    )
    if outlook is not None and outlook.warning is not None:
        notes.append(outlook.warning.message)
    notes += [_said_of_conflict(plan, key, store) for key in store.conflicts]
    written = copy_evidence(plan, result, store, folder) + keep_ground(plan, ended, occasion, folder)
    sheets = write_factsheet(factsheet, folder, plan.audit.spec.factsheet.formats, store)
    ran = Ran(plan, result, factsheet, folder, store, sheets.written, notes + sheets.problems, sheets.missing)
    return ran, [*written, *sheets.written], [occasion_key(plan, result), *sheets.keys]


def _said_of_conflict(plan: Plan, key: str, store: Store) -> str:
    """That one piece of work, done again, came to something else: what was not damaged before must not change."""
    nodes = [node.id for node in plan.graph if node.key == key]
    what = f"`{nodes[0]}`" if nodes else f"the record {key[:12]}"
    return (
        f"{what} was computed again and gave another result than before, from the same inputs and seed: it depends on "
        f"something that is not in its key. Both results are kept, the other one in {store.root / 'conflicts' / key}"
    )


def _cannot_write(error: OSError, folder: Path, store: Store) -> AuthorError:
    found = Diagnostics()
    place = error.filename or folder
    message = f"cannot write {place}: {error.strerror or error}"
    help_ = f"choose another folder with --output, or another store with PGX_STORE (now {store.root})"
    found.add(Diagnostic(CANNOT_WRITE, message, None, help_))
    return AuthorError(found)


EXIT_STATUS: dict[str, int] = {"passed": 0, "failed": 1, "incomplete": 3}
"""Verdict to exit status."""


def exit_status(ran: Ran) -> int:
    """What the command ends with: the author's mistake that only running showed is 2, whatever else is missing."""
    from pgx_compiler.execute.run import AUTHORS_MISTAKES

    if any(outcome.kind in AUTHORS_MISTAKES for outcome in ran.result.outcomes.values()):
        return 2
    status = EXIT_STATUS[ran.factsheet.verdict.status]
    return EXIT_STATUS["incomplete"] if ran.missing and not status else status


def report_again(folder: str | Path) -> list[Path]:
    """Write the HTML and PDF of a finished run again, from its ``factsheet.json`` alone. Raises `AuthorError`."""
    place = Path(folder)
    try:
        factsheet = Factsheet.model_validate_json((place / "factsheet.json").read_bytes())
    except (OSError, ValueError) as error:
        raise not_a_run(place, error) from error
    wanted = [name for name in formats() if name != "json"]
    try:
        manifest = read_manifest(place)
    except (BadManifest, OSError):
        manifest = None  # of a run that was killed, or of an older program: there is nothing to keep true
    sheets = write_factsheet(factsheet, place, wanted)
    if manifest is not None:
        list_again(place, manifest, sheets.written, store_of(place / "spec.yaml"))
    if sheets.problems:
        raise not_a_run(place, OSError("; ".join(sheets.problems)))
    return sheets.written


NOT_A_RUN = Code(
    5012,
    "not-a-run",
    "The folder is not that of a finished run: it holds no readable factsheet.json or evidence/manifest.json.",
)


def not_a_run(folder: Path, error: Exception) -> AuthorError:
    """What to say of a folder that holds no finished run."""
    reason = str(error).splitlines()[0]
    found = Diagnostics()
    help_ = "name the folder of a finished run, such as runs/digits/20260401T120000Z-1a2b3c4d"
    found.add(Diagnostic(NOT_A_RUN, f"`{folder}` cannot be used as a run: {reason}", None, help_))
    return AuthorError(found)
