"""The factsheet again, from what stands in a run's folder: without the store, the model, the data or any framework."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pgx_compiler.evidence.canonical import digest, plain, unarchive
from pgx_compiler.evidence.store import Artifact, DamagedEvidence, Record
from pgx_compiler.evidence.typed import Unreadable
from pgx_compiler.plan.kept import KeptPlan
from pgx_compiler.report.facts import Occasion, gather
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.gathering import Ended

SCHEMA = "pgx-outcomes/1"


@dataclass(frozen=True)
class _Kept:
    """What became of a node, as the folder says it."""

    status: str
    record: Record | None
    reason: str | None


def keep_outcomes(ended: Mapping[str, Ended], occasion: Occasion) -> dict[str, Any]:
    """What became of each node and when, as JSON values: the same for a run and for one that finds everything there."""
    nodes = {}
    for name, one in sorted(ended.items()):
        record = one.record
        kept: dict[str, Any] = {"status": "done" if record is not None else str(one.status), "reason": one.reason}
        if record is not None:
            told = ("key", "content", "document", "arrays", "spent", "seconds")
            kept |= {field: getattr(record, field) for field in told}
        nodes[name] = {field: value for field, value in kept.items() if value is not None}
    found: dict[str, Any] = plain({"schema": SCHEMA, "occasion": occasion, "nodes": nodes})
    return found


def read_outcomes(kept: Mapping[str, Any]) -> tuple[dict[str, Ended], Occasion]:
    """What `keep_outcomes` wrote. Raises `pgx_compiler.evidence.typed.Unreadable`."""
    if kept.get("schema") != SCHEMA:
        raise Unreadable(f"its schema is {kept.get('schema')!r}, not {SCHEMA}")
    try:
        return {name: _outcome(one) for name, one in kept["nodes"].items()}, Occasion(**kept["occasion"])
    except (KeyError, TypeError, AttributeError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from error


def _outcome(one: Mapping[str, Any]) -> Ended:
    if "key" not in one:
        return _Kept(one["status"], None, one.get("reason"))
    arrays = one.get("arrays")
    if one["content"] != digest({"document": one["document"], "arrays": arrays}):
        raise Unreadable(f"the content of {one['key'][:12]} is not that of its document and arrays")
    record = Record(one["key"], one["content"], one["document"], arrays, {}, one["spent"], one["seconds"])
    return _Kept(one["status"], record, one.get("reason"))


class Bundled:
    """Evidence in a run's folder: files found by the digest of their content."""

    def __init__(self, content_of: Callable[[str], bytes]) -> None:
        self._content_of = content_of

    def load(self, record: Record) -> Artifact:
        """The artifact of a record, verified. Raises `DamagedEvidence`."""
        try:
            document = json.loads(self._get(record.document))
            arrays = unarchive(self._get(record.arrays)) if record.arrays else {}
        except (ValueError, OSError, RecursionError) as error:
            raise DamagedEvidence(f"evidence {record.content[:12]} cannot be read: {error}") from error
        return Artifact(document, arrays)

    def _get(self, name: str) -> bytes:
        content = self._content_of(name)
        if digest(content) != name:
            raise DamagedEvidence(f"evidence {name[:12]} was changed")
        return content


def derive(
    plan: KeptPlan, ended: Mapping[str, Ended], occasion: Occasion, content_of: Callable[[str], bytes]
) -> Factsheet:
    """The factsheet that follows from a run's folder.

    Args:
        plan: the plan that was run.
        ended: what became of its nodes.
        occasion: when and where it was run.
        content_of: from the digest of a document or of arrays to its bytes; raises `DamagedEvidence` where there are none.
    """
    return gather(plan, ended, Bundled(content_of), occasion)
