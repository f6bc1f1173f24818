"""The factsheet of a run's folder derived again, and its files held against one another."""

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pgx_compiler.evidence.canonical import plain, unarchive
from pgx_compiler.evidence.disk import read_regular
from pgx_compiler.evidence.manifest import PLACE, Manifest
from pgx_compiler.evidence.store import DamagedEvidence
from pgx_compiler.evidence.typed import Unreadable
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.plan.kept import KeptPlan, parse, read_plan_again
from pgx_compiler.plan.plan import environment
from pgx_compiler.report.derived import derive, read_outcomes
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats.json_file import again, text
from pgx_compiler.report.gathering import Ended
from pgx_compiler.report.templates import page
from pgx_compiler.sealing import program_digest
from pgx_compiler.spec.parse import parse as parse_spec
from pgx_compiler.verifying.found import Verified

_ARRAYS_AT_MOST = 4 << 30
"""Bytes that one archive may unfold to: a folder may come from anybody."""


def check_factsheet(found: Verified, manifest: Manifest) -> None:
    """Derive the factsheet again and compare it to the byte; of files that were changed it would tell nothing new."""
    if any(problem.file != "." for problem in found.problems):
        found.notes.append("the factsheet was not derived again, since files are not what they were")
        return
    before = (len(found.problems), len(found.notes))
    try:
        made = _derive(found, manifest)
    except (Unreadable, DamagedEvidence, OSError) as error:
        _say_underivable(found, manifest, f"does not follow from the evidence: {error}")
    except Exception as error:  # noqa: BLE001  (whatever strangers have written into the folder)
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        _say_underivable(found, manifest, f"cannot be derived from the evidence: {reason}")
    else:
        for name, content in made.items():
            there = read_regular(found.folder / name)
            if content != there:
                as_json = "is not what the evidence says" + _first_difference(content, there)
                what = as_json if name.endswith(".json") else "is not the page of factsheet.json"
                _say_underivable(found, manifest, what, name)
    found.derived = (len(found.problems), len(found.notes)) == before


def _say_underivable(found: Verified, manifest: Manifest, what: str, name: str = "factsheet.json") -> None:
    """A file that does not follow from the evidence: damage, unless another program has made it."""
    if others := _other_makers(found.folder, manifest):
        found.notes.append(f"re-deriving {name} needs {' and '.join(others)}: here it {what}")
    else:
        found.say(name, what)


def _derive(found: Verified, manifest: Manifest) -> dict[str, bytes]:
    """The factsheet's files as they follow from the evidence: the JSON, and the page of the JSON that is there."""

    def read(name: str) -> bytes:
        return read_regular(found.folder / name)

    whole = manifest.digests
    arrays = _unarchived(read("evidence/audit.npz")) if "evidence/audit.npz" in whole else {}
    plan = read_plan_again(
        parse(read("evidence/audit.json")), arrays, parse(read("plan.json")), parse(read("pgx.lock"))
    )
    ended, occasion = read_outcomes(parse(read("evidence/outcomes.json")))
    _check_together(found, manifest, plan, ended)
    at = {sha256: name for name, sha256 in whole.items() if name.startswith("evidence/")}

    def content_of(name: str) -> bytes:
        if name not in at:
            raise DamagedEvidence(f"no file under evidence/ holds {name[:12]}, which a step made")
        content = read(at[name])
        if at[name].endswith(".npz"):
            _unarchived(content, only_measure=True)
        return content

    made = {"factsheet.json": text(derive(plan, ended, occasion, content_of)).encode("utf-8")}
    if "factsheet.html" in whole:
        there = Factsheet.model_validate_json(read("factsheet.json"))
        made["factsheet.html"] = page(again(there)).encode("utf-8")
    return made


def _unarchived(content: bytes, only_measure: bool = False) -> Any:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as bundle:
            size = sum(member.file_size for member in bundle.infolist())
        if size > _ARRAYS_AT_MOST:
            raise Unreadable(f"an archive unfolds to {size:,} bytes")
        return None if only_measure else unarchive(content)
    except zipfile.BadZipFile as error:
        raise Unreadable(f"an archive cannot be read: {error}") from error


def _check_together(found: Verified, manifest: Manifest, plan: KeptPlan, ended: Mapping[str, Ended]) -> None:
    """Whether the files speak of one run: each of them is whole, but they may come from several."""
    written = plan.written
    if written.get("digest") != plan.digest:
        found.say("plan.json", "does not match its own digest")
    for name, there in (("plan", plan.digest), ("spec", plan.spec_digest), ("audit", plan.audit.spec.metadata.name)):
        if manifest.run[name] != there:
            found.say(str(PLACE), f"names another {name} than the plan")
    nodes = {node["id"]: node for node in written["nodes"]}
    if {node.id: node.key for node in plan.graph} != {name: node["key"] for name, node in nodes.items()}:
        found.say("plan.json", "has other nodes than evidence/audit.json")
    elif any(plain(node.params) != nodes[node.id].get("params", {}) for node in plan.graph):
        found.say("plan.json", "has nodes with other parameters than evidence/audit.json")
    spec = parse_spec((found.folder / "spec.yaml").read_text("utf-8", "replace"), "spec.yaml").spec
    if spec != plan.audit.spec:
        found.say("spec.yaml", "asks for something else than the plan")
    known = {one.record.key: one.record for one in ended.values() if one.record is not None}
    for name, one in ended.items():
        if one.record is not None and name in nodes and nodes[name]["key"] != one.record.key:
            found.say("evidence/outcomes.json", f"gives `{name}` another key than plan.json")
    digests = {name for record in known.values() for name in (record.document, record.arrays)}
    for name, sha256 in manifest.digests.items():
        if name.startswith("evidence/") and name.count("/") > 1 and sha256 not in digests:
            found.say(name, "is not what any step of the run made")
    _check_events(found, manifest, ended)


def _check_events(found: Verified, manifest: Manifest, ended: Mapping[str, Ended]) -> None:
    """The events of the run tell the same results."""
    told: dict[str, str] = {}
    last = None
    for event in _events(found.folder / "events.jsonl"):
        if event.get("run_id") != manifest.run["id"]:
            continue
        last = event.get("event")
        if last == "ended" and event.get("content") is not None:
            told[event["node"]] = event["content"]
    if last is None:
        found.say("events.jsonl", f"tells nothing of run {manifest.run['id'][:12]}")
        return
    made = {name: one.record.content for name, one in ended.items() if one.record is not None}
    if last == "run_ended" and told != made:
        name = min(name for name in {*told, *made} if told.get(name) != made.get(name))
        found.say("events.jsonl", f"tells another result of `{name}` than evidence/outcomes.json")


def _events(path: Path) -> Iterator[dict[str, Any]]:
    for line in read_regular(path).splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue  # torn where an earlier run was killed
        if isinstance(event, dict):
            yield event


def _other_makers(folder: Path, manifest: Manifest) -> list[str]:
    """What made the run and is another one here: where the factsheet then differs, that is no damage."""
    if manifest.run.get("code") == program_digest():
        others = []
    else:
        others = [f"pgx {manifest.run.get('pgx')} (source {str(manifest.run.get('code'))[:12]})"]
    try:
        lock = parse(read_regular(folder / "pgx.lock"))
        wanted = dict(lock["methods"])
        numpy = lock["environment"].get("numpy")
    except (Unreadable, KeyError, TypeError, AttributeError, ValueError, OSError):
        return others
    for name, version in sorted(wanted.items()):
        here = catalogue()[name].version if name in catalogue() else None
        if here != version:
            others.append(f"version {version} of the method {name}")
    if numpy != environment().get("numpy"):
        others.append(f"numpy {numpy}")
    return others


def _first_difference(made: bytes, there: bytes) -> str:
    try:
        place = _differing(json.loads(made), json.loads(there), "")
    except ValueError:
        return ""
    return f", first at {place}" if place else ""


def _differing(made: Any, there: Any, at: str) -> str | None:
    if isinstance(made, dict) and isinstance(there, dict) and list(made) == list(there):
        pairs = [(f"{at}.{key}" if at else str(key), made[key], there[key]) for key in made]
    elif isinstance(made, list) and isinstance(there, list) and len(made) == len(there):
        pairs = [(f"{at}[{number}]", one, there[number]) for number, one in enumerate(made)]
    else:
        return at if made != there else None
    return next((place for name, one, other in pairs if (place := _differing(one, other, name))), None)
