"""Accept a run as the baseline of its audit, and hold a run against the baseline."""

import json
from dataclasses import dataclass
from pathlib import Path

from pgx_compiler.diagnostics.nearest import quoted
from pgx_compiler.driver import not_a_run
from pgx_compiler.evidence.canonical import digest_of_file
from pgx_compiler.evidence.store import DamagedEvidence
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.spec.model import AuditSpec
from pgx_compiler.spec.parse import parse
from pgx_compiler.verifying import verify
from pgx_compiler.versioning.baseline import (
    NEEDS_REASON,
    UNFINISHED,
    Baseline,
    baseline_path,
    mistake,
    read_baseline,
    spec_of_run,
    write_baseline,
)
from pgx_compiler.versioning.comparison import Comparison, compare
from pgx_compiler.versioning.sides import Side, side_of_baseline, side_of_run


@dataclass(frozen=True)
class Acceptance:
    """What accepting a run did."""

    path: Path
    baseline: Baseline
    comparison: Comparison | None
    """With the baseline before it; None where this is the first."""


def accept(run: Path, spec: Path | None = None, reason: str | None = None) -> Acceptance:
    """Make a run the baseline of its audit.

    Args:
        run: the run's folder.
        spec: the spec beside which the baseline stands; default: the one file of the project that the run's copy equals.
        reason: why; kept in the file.

    Raises:
        AuthorError: it is no run, it is unfinished, its spec is not found, or it needs a reason.
        DamagedEvidence: the run's evidence does not match its digests.
    """
    damaged = verify(run).problems
    if damaged:
        raise DamagedEvidence(f"{run}: {'; '.join(map(str, damaged[:3]))}")
    side = side_of_run(run)
    factsheet = Factsheet.model_validate_json((run / "factsheet.json").read_bytes())
    missing = [node.id for node in factsheet.provenance.nodes if node.status != "done"]
    if missing or side.question is None:
        message = f"`{run}` is unfinished: {quoted(missing, 4)} gave no result"
        if not missing:
            message = f"`{run}` does not say what was asked: it was made by an older pgx"
        raise mistake(UNFINISHED, message, "run the audit again")
    home = spec if spec is not None else spec_of_run(run, factsheet.audit.spec_digest)
    path = baseline_path(home, factsheet.audit.name)
    comparison = _with_the_one_before(path, side)
    _demand_reason(factsheet, comparison, reason)
    baseline = _baseline(run, side, factsheet, reason)
    write_baseline(baseline, path)
    return Acceptance(path, baseline, comparison)


def _baseline(run: Path, side: Side, factsheet: Factsheet, reason: str | None) -> Baseline:
    if side.question is None or side.work is None or side.answer is None:
        raise AssertionError("a run's side was read from these very files")
    return Baseline(
        schema="pgx-baseline/1",
        audit=factsheet.audit.name,
        version=factsheet.audit.version,
        run=digest_of_file(run / "factsheet.json"),
        ended=factsheet.audit.ended,
        reason=reason,
        spec_digest=factsheet.audit.spec_digest,
        plan_digest=factsheet.audit.plan_digest,
        question=dict(side.question.semantic),
        ground={category: dict(entries) for category, entries in side.ground.items()},
        work=dict(side.work),
        answer=side.answer,
    )


def _with_the_one_before(path: Path, side: Side) -> Comparison | None:
    return compare(side_of_baseline(read_baseline(path), str(path)), side) if path.exists() else None


def _demand_reason(factsheet: Factsheet, comparison: Comparison | None, reason: str | None) -> None:
    if reason:
        return
    why = ""
    weaker = [change for change in comparison.loud if change.effect != "stronger"] if comparison else []
    if weaker:
        why = f"what must hold has become weaker: {', '.join(change.path for change in weaker)}"
    elif factsheet.verdict.status != "passed":
        why = f"its verdict is {factsheet.verdict.status}"
    elif factsheet.provenance.overrides:
        why = f"the spec was overridden on the command line: {', '.join(factsheet.provenance.overrides)}"
    if why:
        raise mistake(NEEDS_REASON, why, 'say why it is acceptable: --reason "..."')


def against_baseline(run: Path, spec: str | Path, audit: AuditSpec) -> Comparison | None:
    """A run held against the baseline of its audit; None where there is none. Raises `AuthorError` where it is broken."""
    path = baseline_path(spec, audit.metadata.name)
    return compare(side_of_baseline(read_baseline(path), str(path)), side_of_run(run)) if path.exists() else None


def baseline_of(what: Path) -> tuple[Path, Baseline]:
    """The baseline of a spec, or the one in a file. Raises `AuthorError`."""
    if what.suffix == ".json" and what.is_file() and _looks_like_baseline(what):
        return what, read_baseline(what)
    if what.is_dir():
        raise not_a_run(what, OSError("name a spec, or a file under `baselines/`"))
    from pgx_compiler.spec.source import read_source

    data = parse(read_source(what), str(what)).document.at(("metadata", "name"))
    path = baseline_path(what, data if isinstance(data, str) else what.stem)
    return path, read_baseline(path)


def _looks_like_baseline(path: Path) -> bool:
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        return False
    return isinstance(document, dict) and str(document.get("schema", "")).startswith("pgx-baseline/")
