"""The two sides of a comparison: a spec, a spec at a revision, a plan, a run or a baseline, all brought to one form."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.driver import compile, not_a_run
from pgx_compiler.evidence.canonical import digest
from pgx_compiler.plan.plan import SCHEMA as PLAN_SCHEMA
from pgx_compiler.plan.plan import Plan
from pgx_compiler.plan.semantics import semantic_part
from pgx_compiler.plan.shards import folded_documents
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.spec.extends import MOST_FILES
from pgx_compiler.spec.model import AuditSpec
from pgx_compiler.spec.parse import parse
from pgx_compiler.spec.source import load
from pgx_compiler.versioning.baseline import SCHEMA as BASELINE_SCHEMA
from pgx_compiler.versioning.baseline import Baseline, read_baseline
from pgx_compiler.versioning.ground import Ground, ground_of, ground_of_lock
from pgx_compiler.versioning.history import Revision, open_revision
from pgx_compiler.versioning.lock import NAME as LOCK_NAME
from pgx_compiler.versioning.lock import parse_lock
from pgx_compiler.versioning.measured import Answer, Work, answer_of, work_of
from pgx_compiler.versioning.questions import Question, question_of

NOT_COMPARABLE_FILE = Code(
    5069,
    "nothing-to-compare",
    "`pgx diff` compares specs, specs at a revision (`HEAD~1:specs/audit.yaml`), plans (`pgx compile --format json`), "
    "folders of runs, and baselines. What is named must be one of these, whole, and written by a pgx that keeps the question in "
    "its plans.",
)

Kind = Literal["spec", "revision", "plan", "run", "baseline"]


@dataclass(frozen=True)
class Side:
    """All that one side knows; what it cannot know is None, or a category that is missing."""

    name: str
    kind: Kind
    question: Question | None
    spec_digest: str | None
    ground: Ground
    nodes: Mapping[str, Mapping[str, Any]] | None
    """The plan's nodes with their parameters."""
    work: Mapping[str, Work] | None
    answer: Answer | None
    seed: int | None = None
    """The audit's one seed."""


def open_side(name: str) -> Side:
    """What a person named on the command line. Raises `AuthorError`."""
    path = Path(name)
    if path.is_dir():
        return side_of_run(path)
    if not path.exists() and ":" in name:
        revision, _, file = name.partition(":")
        return _of_revision(open_revision(revision, Path.cwd()), file, name)
    if path.suffix == ".json" and path.is_file():
        return _of_document(path)
    return side_of_plan(compile(path), name)


def side_of_plan(plan: Plan, name: str) -> Side:
    """A spec, compiled now."""
    nodes = _nodes(json.loads(plan.to_json()))
    return Side(
        name, "spec", question_of(plan.audit.spec), plan.spec_digest, ground_of(plan), nodes,
        work_of(nodes, plan.lock), None, plan.audit.spec.seed,
    )  # fmt: skip


def side_of_baseline(baseline: Baseline, name: str) -> Side:
    """An accepted baseline."""
    return Side(
        name, "baseline", Question(baseline.question, baseline.question), baseline.spec_digest, baseline.ground, None, baseline.work,
        baseline.answer, baseline.question.get("seed"),
    )  # fmt: skip


def side_of_run(folder: Path) -> Side:
    """A finished run. Raises `AuthorError`."""
    try:
        factsheet = Factsheet.model_validate_json((folder / "factsheet.json").read_bytes())
        plan = json.loads((folder / "plan.json").read_bytes())
        lock = json.loads((folder / LOCK_NAME).read_bytes())
        text = (folder / "spec.yaml").read_text("utf-8")
        nodes = _nodes(plan)
        work = work_of(nodes, lock, folder)
        ground = ground_of_lock(lock)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise not_a_run(folder, error) from error
    spec = parse(text, str(folder / "spec.yaml")).spec
    question = _question_of_plan(plan)
    if spec is not None and digest(semantic_part(spec)) == factsheet.audit.spec_digest:
        # else the text is not the whole question: other files or the command line had a part in it
        question = question_of(spec)
    return Side(
        str(folder), "run", question, factsheet.audit.spec_digest, ground, nodes, work, answer_of(factsheet),
        factsheet.provenance.seed,
    )  # fmt: skip


def _question_of_plan(plan: Mapping[str, Any]) -> Question | None:
    question = plan["audit"].get("question")
    return Question(question, question) if isinstance(question, dict) else None


def _nodes(plan: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return folded_documents({node["id"]: node for node in plan["nodes"]})


def _of_document(path: Path) -> Side:
    try:
        document = json.loads(path.read_bytes())
        schema = document.get("schema") if isinstance(document, dict) else None
        if schema == PLAN_SCHEMA:
            return _of_plan_document(document, str(path))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"`{path}` cannot be read as a plan: {type(error).__name__}: {error}"
        raise _unfit(reason) from error
    if schema == BASELINE_SCHEMA:
        return side_of_baseline(read_baseline(path), str(path))
    return side_of_plan(compile(path), str(path))  # JSON is YAML: a spec may be written so


def _of_plan_document(document: Mapping[str, Any], name: str) -> Side:
    nodes = _nodes(document)
    files = document["files"]
    ground: dict[str, dict[str, str]] = {
        "models": {entry["path"]: entry["sha256"] for entry in files["models"].values()},
        "data": {entry["path"]: entry["sha256"] for entry in files["data"].values()},
        "environment": dict(document["environment"]),
        "pgx": {"pgx": document["pgx"]},
    }
    about = document["audit"]
    question = _question_of_plan(document)
    return Side(name, "plan", question, about["spec_digest"], ground, nodes, work_of(nodes, {}), None, about["seed"])


def _of_revision(revision: Revision, file: str, name: str) -> Side:
    revision.read(file)  # says what is wrong with the path, before anything is written
    with tempfile.TemporaryDirectory(prefix="pgx-") as folder:
        _copy_with_bases(revision, file, Path(folder))
        text = (Path(folder) / file).read_text("utf-8", "replace")
        parsed = parse(text, name, (Path(folder) / file).parent)
    if parsed.spec is None:
        raise AuthorError(parsed.diagnostics, {name: text})
    ground = {category: found for category, found in _files(parsed.spec, revision, file).items() if found is not None}
    lock = _lock_at(revision, file)
    if lock is not None:
        ground = {**{key: value for key, value in lock.items() if key not in ("models", "data", "masks")}, **ground}
    question = question_of(parsed.spec)
    return Side(name, "revision", question, digest(semantic_part(parsed.spec)), ground, None, None, None)


def _copy_with_bases(revision: Revision, file: str, folder: Path) -> None:
    """Write a spec as it was, and all that it extends, below a folder; what was not committed is missing there."""
    waiting: list[Path] = [Path(file)]
    seen: set[Path] = set()
    while waiting and len(seen) <= MOST_FILES:
        at = waiting.pop()
        if at in seen or at.is_absolute() or ".." in at.parts:
            continue  # refused by name when the spec is put together
        seen.add(at)
        if at != Path(file) and revision.digest(at.as_posix()) is None:
            continue
        content = revision.read(at.as_posix())
        (folder / at).parent.mkdir(parents=True, exist_ok=True)
        (folder / at).write_bytes(content)
        extends = load(content.decode("utf-8", "replace"), str(at)).at(("extends",))
        named = extends if isinstance(extends, list) else [extends]
        waiting += [at.parent / one for one in named if isinstance(one, str)]


def _files(spec: AuditSpec, revision: Revision, file: str) -> dict[str, dict[str, str] | None]:
    """Digests of the files that a spec names, as they were then; None for a category that was not all committed."""
    named = {
        "models": [path for path in (spec.model.keras, spec.model.onnx) if path],
        "data": [split.path for split in (spec.data.train, spec.data.test) if split] + _vocabularies(spec),
        "masks": [feature.mask for feature in spec.data.features.values() if feature.mask],
    }
    found: dict[str, dict[str, str] | None] = {}
    for category, paths in named.items():
        digests = {path: revision.digest((Path(file).parent / path).as_posix()) for path in paths}
        known = {path: value for path, value in digests.items() if value is not None}
        found[category] = known if len(known) == len(digests) else None
    return found


def _vocabularies(spec: AuditSpec) -> list[str]:
    """The vocabulary of a text model, wherever the spec names it."""
    named = [spec.data.tokenizer.vocabulary] if spec.data.tokenizer else []
    named += [one.vocabulary for one in spec.model.inputs.values() if one.vocabulary]
    return named[:1]


def _lock_at(revision: Revision, file: str) -> dict[str, dict[str, str]] | None:
    path = (Path(file).parent / LOCK_NAME).as_posix()
    if revision.digest(path) is None:
        return None
    section = parse_lock(revision.read(path).decode("utf-8", "replace"), Path(f"{revision.shown}:{path}")).specs
    return ground_of_lock(section[Path(file).name]) if Path(file).name in section else None


def _unfit(message: str) -> AuthorError:
    return AuthorError(Diagnostics([Diagnostic(NOT_COMPARABLE_FILE, message, None, "see `pgx explain PGX5069`")]))


def require_common_ground(old: Side, new: Side) -> None:
    """Raise `AuthorError` where two sides have nothing that could be compared."""
    if (old.question is None or new.question is None) and (old.work is None or new.work is None):
        raise _unfit(f"`{old.name}` ({old.kind}) and `{new.name}` ({new.kind}) hold nothing that could be compared")


__all__ = ["Side", "open_side", "require_common_ground", "side_of_baseline", "side_of_plan", "side_of_run"]
