"""The stages in order: check, compile, run, report. The only module that imports every stage."""

import importlib
import importlib.metadata
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgx_compiler.analysis.analyse import analyse
from pgx_compiler.analysis.resolved import DataFile, MaskFile, ModelFile, Resolved
from pgx_compiler.deliver import copy_evidence, occasion_of, write_factsheet, write_manifest
from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.evidence.canonical import digest_of_file, plain
from pgx_compiler.evidence.store import Store, write_atomically
from pgx_compiler.execute.journal import Journal, Several
from pgx_compiler.execute.run import Observer, RunResult, run_graph
from pgx_compiler.plan.plan import Plan, compile_plan
from pgx_compiler.report.facts import gather
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats import formats
from pgx_compiler.spec.parse import parse
from pgx_compiler.spec.source import read_source

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


def version() -> str:
    """Version of this program."""
    try:
        return importlib.metadata.version("pgx-compiler")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


@dataclass(frozen=True)
class Checked:
    """What checking gave."""

    audit: Resolved | None
    """None where there is an error."""
    diagnostics: Diagnostics
    sources: dict[str, str]
    """File name to its text, for showing the lines."""


def check(path: str | Path) -> Checked:
    """Read and check a spec; every mistake in one go, no framework imported, no row computed.

    Raises:
        AuthorError: the file itself cannot be read as text.
    """
    path = Path(path)
    text = read_source(path)
    analysis = analyse(parse(text, str(path)), path.parent)
    return Checked(analysis.resolved, analysis.diagnostics, {str(path): text})


def compile(path: str | Path) -> Plan:
    """Check and compile a spec. Raises `AuthorError` with everything that is wrong."""
    checked = check(path)
    if checked.audit is None:
        raise AuthorError(checked.diagnostics, checked.sources)
    plan = compile_plan(checked.audit, version())
    _check_budget(plan, checked)
    return plan


def _check_budget(plan: Plan, checked: Checked) -> None:
    allowed = plan.audit.spec.strategy.budget.model_rows
    needed = plan.totals["model_rows"]
    if allowed is None or needed <= allowed:
        return
    dear = sorted(plan.graph, key=lambda node: -(node.cost.get("forward", 0) + node.cost.get("backward", 0)))[:3]
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


def store_of(spec: str | Path) -> Store:
    """The evidence store of a spec's project.

    ``PGX_STORE``, else ``.pgx/store`` in the nearest folder that has a ``.pgx`` or is a git repository, else beside the
    spec.
    """
    named = os.environ.get("PGX_STORE")
    if named:
        return Store(Path(named))
    folder = Path(spec).resolve().parent
    for candidate in (folder, *folder.parents):
        if (candidate / ".pgx").is_dir() or (candidate / ".git").exists():
            return Store(candidate / ".pgx" / "store")
    return Store(folder / ".pgx" / "store")


def run(
    path: str | Path,
    output: str | Path | None = None,
    jobs: int = 2,
    engine: str = "processes",
    observer: Observer | None = None,
) -> Ran:
    """Compile and run a spec, and write the run's folder.

    Args:
        path: the spec.
        output: folder of the run; default ``runs/<name>/<utc>-<short digest>`` beside the store.
        jobs: nodes computed at a time.
        engine: file name under ``runtimes/engines``.
        observer: told what happens.

    Raises:
        AuthorError: the spec is wrong, or the run's folder cannot be written.
    """
    plan = compile(path)
    store = store_of(Path(path))
    started = datetime.now(UTC)
    folder = Path(output) if output else _default_folder(plan, store, started)
    try:
        return _run(plan, Path(path), store, folder, started, (jobs, engine), observer)
    except OSError as error:
        raise _cannot_write(error, folder, store) from error


def _default_folder(plan: Plan, store: Store, started: datetime) -> Path:
    project = store.root.parent.parent if store.root.parent.name == ".pgx" else Path.cwd()
    stamp = started.strftime("%Y%m%dT%H%M%SZ")
    return project / "runs" / plan.audit.spec.metadata.name / f"{stamp}-{plan.digest[:8]}"


def _run(
    plan: Plan,
    spec: Path,
    store: Store,
    folder: Path,
    started: datetime,
    engine: tuple[int, str],
    observer: Observer | None,
) -> Ran:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "spec.yaml", spec.read_bytes())
    write_atomically(folder / "plan.json", plan.to_json().encode())
    lock = json.dumps(plain(plan.lock), indent=2, sort_keys=True) + "\n"
    write_atomically(folder / "pgx.lock", lock.encode())
    audit = plan.audit
    files: list[ModelFile | DataFile | MaskFile] = [*audit.models.values(), *audit.data.values(), *audit.masks.values()]
    for file in files:
        store.ingest(file.path, file.sha256)
    with Journal(folder / "events.jsonl") as journal:
        watchers = Several([journal, *([observer] if observer else [])])
        result = run_graph(plan.graph, store, lambda: _open_engine(engine, folder), watchers)
    occasion = occasion_of(plan, store, started, result)
    factsheet = gather(plan, result.outcomes, store, occasion)
    notes = (
        [f"evidence that was damaged has been computed again: {', '.join(result.damaged)}"] if result.damaged else []
    )
    copied = copy_evidence(plan, result, store, folder)
    written, problems = write_factsheet(factsheet, folder, plan.audit.spec.factsheet.formats, store)
    write_manifest(folder, copied)
    return Ran(plan, result, factsheet, folder, store, written, notes + problems)


def _open_engine(engine: tuple[int, str], logs: Path) -> Any:
    jobs, name = engine
    module = importlib.import_module(f"runtimes.engines.{name}")
    return module.open_engine(jobs, logs)


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
    return EXIT_STATUS[ran.factsheet.verdict.status]


def report_again(folder: str | Path) -> list[Path]:
    """Write the HTML and PDF of a finished run again, from its ``factsheet.json`` alone. Raises `AuthorError`."""
    place = Path(folder)
    try:
        factsheet = Factsheet.model_validate_json((place / "factsheet.json").read_bytes())
    except (OSError, ValueError) as error:
        raise not_a_run(place, error) from error
    wanted = [name for name in formats() if name != "json"]
    written, problems = write_factsheet(factsheet, place, wanted)
    if problems:
        raise not_a_run(place, OSError("; ".join(problems)))
    return written


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


def verify_run(folder: str | Path) -> list[str]:
    """Hash every file of a run's evidence again; returns what does not match. Raises `AuthorError`."""
    place = Path(folder)
    try:
        files = json.loads((place / "evidence" / "manifest.json").read_bytes())["files"]
    except (OSError, ValueError, KeyError) as error:
        raise not_a_run(place, error) from error
    problems = []
    for entry in files:
        path = place / entry["file"]
        if not path.is_file():
            problems.append(f"{entry['file']} is missing")
        elif digest_of_file(path) != entry["sha256"]:
            problems.append(f"{entry['file']} was changed")
    return problems
