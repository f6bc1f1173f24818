"""What a run leaves behind: when it happened, the evidence of each step, what the factsheet follows from, and its files."""

import contextlib
import importlib.metadata
import json
import os
import platform
import resource
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pgx_compiler.evidence.canonical import archive, digest, digest_of_file, headers_of
from pgx_compiler.evidence.store import Artifact, DamagedEvidence, Store, write_atomically
from pgx_compiler.execute.run import RunResult
from pgx_compiler.plan.kept import keep_plan
from pgx_compiler.plan.plan import Plan
from pgx_compiler.report.apart import LibraryAbsent, NotDrawn, draw
from pgx_compiler.report.derived import keep_outcomes
from pgx_compiler.report.facts import Occasion
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats import formats
from pgx_compiler.report.gathering import Ended
from pgx_compiler.report.templates import folder as templates_folder


def occasion_of(plan: Plan, store: Store, started: datetime, result: RunResult) -> Occasion:
    """When the results came to be: a run that finds them, or computes the very same again, keeps the dates there are."""
    overrides = plan.audit.document.composition.overrides
    ingredients = _occasion_ingredients(plan, result)
    key = digest(ingredients)
    known = store.find(key)
    if known is not None and store.whole(known):
        document = store.load(known).document
        return Occasion(document["started"], document["ended"], document["host"], overrides)
    ended = datetime.now(UTC)
    occasion = Occasion(
        started.isoformat(timespec="seconds"),
        ended.isoformat(timespec="seconds"),
        dict(sorted((_host() | ({"sandbox": result.sandbox} if result.sandbox else {})).items())),
        overrides,
    )
    if result.complete:
        document = {"started": occasion.started, "ended": occasion.ended, "host": dict(occasion.host)}
        store.keep(key, Artifact(document), ingredients, {}, 0.0)
    return occasion


def _occasion_ingredients(plan: Plan, result: RunResult) -> dict[str, Any]:
    contents = {name: o.record.content if o.record else None for name, o in sorted(result.outcomes.items())}
    return {"operation": ["occasion", 1], "plan": plan.digest, "contents": contents}


def occasion_key(plan: Plan, result: RunResult) -> str:
    """Under which key the store has the dates of these results."""
    return digest(_occasion_ingredients(plan, result))


def _host() -> dict[str, Any]:
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "largest_process_mib": peak // 1024,
    }


def copy_evidence(plan: Plan, result: RunResult, store: Store, folder: Path) -> list[Path]:
    """Place what each step made under ``evidence/<step>/``; returns the files, below the folder."""
    copied = []
    for node in plan.folded:
        outcome = result.outcomes.get(node.id)
        if outcome is None or outcome.record is None or (node.step is None and node.op not in _ALWAYS_COPIED):
            continue
        place = folder / "evidence" / (node.step or node.id)
        stem = "attributions" if node.op == "attribute" else _stem(node.id, node.step)
        for name, suffix in ((outcome.record.arrays, ".npz"), (outcome.record.document, ".json")):
            if name is not None:
                target = place / f"{stem}{suffix}"
                write_atomically(target, store.get(name, suffix))
                copied.append(target)
    return copied


_ALWAYS_COPIED = frozenset({"rows", "references", "repeat", "parity", "performance", "rely"})


def _stem(node_id: str, step: str | None) -> str:
    if step is None:
        return node_id.rsplit(".", 1)[-1]
    return node_id.split(f".{step}.", 1)[1] if f".{step}." in node_id else step


def keep_ground(plan: Plan, ended: Mapping[str, Ended], occasion: Occasion, folder: Path) -> list[Path]:
    """Write what the factsheet follows from besides the evidence: the plan as it was resolved, and what became of it."""
    kept, arrays = keep_plan(plan)
    place = folder / "evidence"
    written = {place / "audit.json": _json(kept), place / "outcomes.json": _json(keep_outcomes(ended, occasion))}
    if arrays:
        written[place / "audit.npz"] = archive(arrays)
    for path, content in written.items():
        write_atomically(path, content)
    return list(written)


def _json(value: Any) -> bytes:
    """With the order that mappings have: the factsheet shows it."""
    return (json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n").encode("ascii")


def describe_file(folder: Path, name: str) -> dict[str, Any]:
    """A file as the manifest lists it: digest and size, and of arrays what they are."""
    path = folder / name
    entry: dict[str, Any] = {"file": name, "sha256": digest_of_file(path), "bytes": path.stat().st_size}
    if path.suffix == ".npz":
        with contextlib.suppress(
            ValueError, zipfile.BadZipFile
        ):  # a file of somebody else, which is listed all the same
            entry["arrays"] = {
                array: {"shape": list(shape), "dtype": dtype, "axes": _axes(array, len(shape))}
                for array, shape, dtype in headers_of(path)
            }
    return entry


def _axes(name: str, dimensions: int) -> list[str]:
    known = {"feature_names": ["features"], "values": ["rows", "features"], "standard_error": ["rows", "features"]}
    known |= {"values_all": ["rows", "features", "outputs"], "standard_error_all": ["rows", "features", "outputs"]}
    known |= {key: ["rows", "outputs"] for key in ("targets_all", "base_values_all", "scores_all")}
    if name in known:
        return known[name][:dimensions]
    return (["rows"] + [f"axis {n}" for n in range(1, dimensions)])[:dimensions]


@dataclass
class Sheets:
    """The factsheet's files."""

    written: list[Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """A sentence for each that could not be made."""
    missing: list[str] = field(default_factory=list)
    """Those that hung, died or hit a limit while they were drawn; a library that is not installed is no such thing."""
    keys: list[str] = field(default_factory=list)
    """Of the store's records of those that it holds."""


def write_factsheet(factsheet: Factsheet, folder: Path, wanted: Sequence[str], store: Store | None = None) -> Sheets:
    """Write the formats asked for: JSON always, and first, so that whatever hangs later leaves the facts.

    With a store, a page that was drawn from the same facts by the same program is taken from there.
    """
    sheets = Sheets()
    for name, module in sorted(
        formats().items(), key=lambda item: (item[0] != "json", module_is_apart(item[1]), item[0])
    ):
        if name not in {*wanted, "json"}:
            continue
        path = folder / f"factsheet{module.SUFFIX}"
        try:
            sheets.keys += _write_format(factsheet, module, path, store)
            sheets.written.append(path)
        except LibraryAbsent as error:
            sheets.problems.append(
                f"no {name.upper()}: {error}; HTML and JSON are complete. On Debian: apt-get install libpango-1.0-0 "
                "libpangoft2-1.0-0 libharfbuzz-subset0"
            )
        except NotDrawn as error:
            sheets.problems.append(f"no {name.upper()}: {error}; the other files are complete")
            sheets.missing.append(path.name)
        if path not in sheets.written:
            path.unlink(missing_ok=True)  # of an earlier run into the same folder: it would tell of other facts
    return sheets


def module_is_apart(module: Any) -> bool:
    """True for a format that is drawn in a process of its own."""
    return getattr(module, "APART", False)


def _write_format(factsheet: Factsheet, module: Any, path: Path, store: Store | None) -> list[str]:
    """Write one file; returns the keys of the store's records that it rests on."""
    if store is None or module.SUFFIX == ".json":
        _draw(factsheet, module, path)
        return []
    ingredients = {
        "operation": ["render", module.SUFFIX],
        "factsheet": digest(factsheet.model_dump(mode="json", by_alias=True)),
        "renderer": renderer_digest(),
    }
    key = digest(ingredients)
    known = store.find(key)
    if known is not None:
        with contextlib.suppress(DamagedEvidence):
            write_atomically(path, store.get(store.load(known).document["object"], module.SUFFIX))
            return [key]
    _draw(factsheet, module, path)
    kept = store.put(path.read_bytes(), module.SUFFIX)
    store.keep(key, Artifact({"object": kept}), ingredients, {}, 0.0)
    return [key]


def _draw(factsheet: Factsheet, module: Any, path: Path) -> None:
    if module_is_apart(module):
        write_atomically(path, draw(factsheet, module.__name__, module.SUFFIX))
    else:
        module.write(factsheet, path)


def renderer_digest() -> str:
    """Digest of everything that draws: the report's code, the templates, and the library that sets the pages."""
    report = Path(__file__).parent / "report"
    files = [*sorted(report.rglob("*.py")), *sorted(p for p in templates_folder().rglob("*") if p.is_file())]
    try:
        typesetter = importlib.metadata.version("weasyprint")
    except importlib.metadata.PackageNotFoundError:
        typesetter = ""
    return digest([typesetter, *(digest_of_file(file) for file in files)])
