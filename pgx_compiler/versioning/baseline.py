"""The accepted answer of an audit: a small file beside the spec that moves only by ``pgx baseline accept``."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.diagnostics.nearest import quoted
from pgx_compiler.evidence.canonical import digest, plain
from pgx_compiler.evidence.store import write_atomically
from pgx_compiler.plan.semantics import semantic_part
from pgx_compiler.spec.parse import parse
from pgx_compiler.spec.source import read_source
from pgx_compiler.versioning.measured import Answer, Part, Work

SCHEMA = "pgx-baseline/1"
FOLDER = "baselines"

BROKEN_BASELINE = Code(
    5064,
    "broken-baseline",
    "The file under `baselines/` is not one that `pgx baseline accept` wrote: it was edited by hand, is left half merged, "
    "or comes from a newer pgx. Take it back from version control, or accept a run again.",
)
NO_BASELINE = Code(
    5065,
    "no-baseline",
    "No run of this audit has been accepted as its baseline yet. `pgx baseline accept RUN` does so.",
)
NO_HOME = Code(
    5066,
    "no-spec-of-this-run",
    "A baseline stands beside the spec that it belongs to. The run's own copy of the spec is not like any one file of the "
    "project: the spec was changed since, or there are several copies. `--spec FILE` names it.",
)
NEEDS_REASON = Code(
    5067,
    "needs-a-reason",
    "A run that failed, that could not decide everything, or that was held to weaker thresholds than the baseline before it "
    "becomes the baseline only with `--reason`: the words are kept in the file, where review sees them.",
)
UNFINISHED = Code(
    5068,
    "unfinished-run",
    "A run in which steps gave no result cannot be a baseline: nothing could be held against what is missing. Run the audit "
    "again; finished steps are not computed twice.",
)


class Baseline(Part):
    """What ``baselines/<audit name>.json`` holds."""

    schema_: Literal["pgx-baseline/1"] = Field(alias="schema")
    audit: str
    """Name of the audit."""
    version: str
    """Version of its spec."""
    run: str
    """SHA-256 of the run's ``factsheet.json``."""
    ended: str
    """When the results came to be; UTC."""
    reason: str | None
    spec_digest: str
    plan_digest: str
    question: dict[str, Any]
    """Everything of the spec that changes the answer, defaults filled in."""
    ground: dict[str, dict[str, str]]
    work: dict[str, Work]
    answer: Answer


def baseline_path(spec: str | Path, audit: str) -> Path:
    """Where the baseline of an audit is."""
    return Path(spec).parent / FOLDER / f"{audit}.json"


def read_baseline(path: Path) -> Baseline:
    """A baseline from its file. Raises `AuthorError`."""
    try:
        return Baseline.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        message, code, help_ = f"there is no `{path}`", NO_BASELINE, "accept a run: pgx baseline accept RUN"
    except (OSError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        message, code, help_ = f"`{path}` is not a baseline: {reason}", BROKEN_BASELINE, "take it from version control"
    raise mistake(code, message, help_)


def mistake(code: Code, message: str, help: str) -> AuthorError:
    """One mistake that no line of a spec is to blame for."""
    return AuthorError(Diagnostics([Diagnostic(code, message, None, help)]))


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write it canonically: sorted, and each number of the answer on a line of its own with its name."""
    text = pretty(plain(baseline.model_dump(mode="json", by_alias=True)))
    write_atomically(path, f"{text}\n".encode())


_WIDEST = 150


def pretty(value: Any, indent: str = "") -> str:
    """JSON with sorted keys; what fits on a line and holds no mapping stands on one."""
    flat = json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    if not isinstance(value, dict | list) or (len(flat) <= _WIDEST and _is_leaf(value)):
        return flat
    inner = indent + "  "
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + pretty(item, inner) for item in value) + f"\n{indent}]"
    lines = (f"{inner}{json.dumps(key, ensure_ascii=False)}: {pretty(value[key], inner)}" for key in sorted(value))
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _is_leaf(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value
    return not any(isinstance(item, dict) or (isinstance(item, list) and not _is_leaf(item)) for item in inside)


# where the spec of a run is


@dataclass(frozen=True)
class _Project:
    folder: Path

    def specs(self) -> Iterator[Path]:
        """Every YAML file below the project's folder, but for hidden folders and those of runs."""
        for folder, inner, files in os.walk(self.folder):
            inner[:] = sorted(
                name for name in inner if not name.startswith(".") and name not in ("runs", "node_modules")
            )
            for name in sorted(files):
                if re.search(r"\.ya?ml$", name):
                    yield Path(folder) / name


def spec_of_run(run: Path, spec_digest: str) -> Path:
    """The spec that a run was made from: the one file of the project that says or asks the same. Raises `AuthorError`."""
    copy = (run / "spec.yaml").read_bytes()
    project = _project_of(run)
    here = run.resolve()
    near = [p for p in (project.specs() if project else ()) if p.is_file() and not p.resolve().is_relative_to(here)]
    like = [p for p in near if p.stat().st_size == len(copy) and p.read_bytes() == copy]
    like = like or [
        p for p in near if _asks(p) == spec_digest
    ]  # put together from several files, or with comments mended
    if len(like) == 1:
        return like[0]
    found = f"several files ask the same: {quoted(like, 4)}" if like else "no file of the project asks the same"
    raise mistake(NO_HOME, f"which spec `{run}` was made from is not clear: {found}", "name it with --spec FILE")


def _asks(path: Path) -> str | None:
    """Digest of the question of a spec; None for what is none."""
    try:
        spec = parse(read_source(path), str(path)).spec
    except AuthorError:
        return None  # some other YAML file
    return None if spec is None else digest(semantic_part(spec))


def _project_of(run: Path) -> _Project | None:
    for folder in run.resolve().parents:
        if (folder / ".pgx").is_dir() or (folder / ".git").exists():
            return _Project(folder)
    return None
