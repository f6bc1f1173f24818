"""All results of one run, each loaded once when it is asked for, and how a step's measures become facts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from pgx_compiler.evidence.store import Artifact, Record
from pgx_compiler.plan.plan import Plan
from pgx_compiler.plan.shards import groups_of
from pgx_compiler.report.factsheet import Fact, FindingEntry, Source


class Ended(Protocol):
    """What became of a node, as the report needs it."""

    @property
    def status(self) -> Any:
        """``computed``, ``cached``, ``failed`` or ``blocked``."""

    @property
    def record(self) -> Record | None:
        """Its record, where it has a result."""

    @property
    def reason(self) -> str | None:
        """Why it has none, in a sentence."""


class Evidence(Protocol):
    """Where results are: the store of a run that has just ended, or the folder of an old one."""

    def load(self, record: Record) -> Artifact:
        """The artifact of a record, verified. Raises `pgx_compiler.evidence.store.DamagedEvidence`."""


@dataclass(frozen=True)
class NotSelected:
    """What became of a node that the run was not asked for."""

    status: str = "not_selected"
    record: Record | None = None
    reason: str = "not selected for this run"


@dataclass(frozen=True)
class _Joined:
    """What became of a step that was cut into shards."""

    status: str
    record: Record | None
    reason: str | None


def whole_steps(plan: Plan, ended: Mapping[str, Ended]) -> dict[str, Ended]:
    """What became of the steps, whatever they were cut into: rows and seconds of shards are those of their step."""
    found = dict(ended)
    for name, shards in groups_of(plan.graph).items():
        parts = [found.pop(shard) for shard in shards if shard in found]
        if name in found:
            found[name] = _joined(found[name], parts)
    return found


def _joined(own: Ended, shards: Sequence[Ended]) -> Ended:
    records = [one.record for one in (*shards, own) if one.record is not None]
    if own.record is None:
        # where a shard went wrong, its reason is the step's: that the joining had to wait for it says nothing to anybody
        failed = next((one for one in (*shards, own) if one.status == "failed"), None)
        return _Joined((failed or own).status, None, (failed or (shards or [own])[0]).reason or own.reason)
    spent = {kind: sum(one.spent.get(kind, 0) for one in records) for one in records for kind in one.spent}
    status = "cached" if all(one.status == "cached" for one in (*shards, own)) else "computed"
    return _Joined(status, replace(own.record, spent=spent, seconds=sum(one.seconds for one in records)), own.reason)


class _Artifacts(Mapping[str, Artifact]):
    """Results by node: what nobody asks for, such as the predictions of all rows, is not read."""

    def __init__(self, ended: Mapping[str, Ended], evidence: Evidence) -> None:
        self._records = {name: one.record for name, one in ended.items() if one.record is not None}
        self._evidence = evidence
        self._loaded: dict[str, Artifact] = {}

    def __getitem__(self, name: str) -> Artifact:
        if name not in self._loaded:
            self._loaded[name] = self._evidence.load(self._records[name])
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)


class Gathering:
    """All results of one run, and what is derived from them."""

    def __init__(self, plan: Plan, ended: Mapping[str, Ended], evidence: Evidence) -> None:
        self.plan = plan
        self.ended = whole_steps(plan, ended)
        self.artifacts: Mapping[str, Artifact] = _Artifacts(self.ended, evidence)
        self.facts: dict[str, Fact] = {}
        self.findings: list[FindingEntry] = []

    def reason(self, node_id: str) -> str | None:
        """Why a node has no result, or None."""
        one = self.ended.get(node_id)
        if one is None:
            return "it was not run"
        return None if one.record is not None else (one.reason or "it failed")

    def source(self, node_id: str) -> Source:
        """Where in the spec a node comes from."""
        node = self.plan.folded[node_id]
        audit = self.plan.audit
        span = next((step.span for step in audit.steps if step.id == node.step), None)
        if span is None and node.source:
            span = audit.span(*node.source.split("."))
        line = node.line if node.line is not None else span.line if span else None
        file = audit.document.name_of(span.file) if span and span.file != audit.document.file else ""
        return Source(step=node.step or node.id, spec_path=node.source, line=line, file=file)

    def evidence(self, node_id: str) -> list[str]:
        """The content digest of a node's result."""
        one = self.ended.get(node_id)
        return [one.record.content] if one and one.record else []

    def add_fact(self, fact: Fact) -> str:
        """Remember a fact under its id."""
        self.facts[fact.id] = fact
        return fact.id


COUNTED = frozenset({"rows", "trials", "classes", "features", "columns", "variables", "groups", "pairs"})
"""Units of what is counted: their facts are whole numbers."""


def measures(run: Gathering, node_id: str, prefix: str) -> tuple[list[str], list[str]]:
    """Turn a result's measures into facts and its findings into entries; returns their ids."""
    artifact = run.artifacts.get(node_id)
    if artifact is None:
        return [], []
    source = run.source(node_id)
    facts = []
    for item in artifact.document["measures"]:
        value = item["value"]
        if item["unit"] in COUNTED and value is not None and float(value).is_integer():
            value = int(value)
        facts.append(
            run.add_fact(
                Fact(
                    id=f"{prefix}.{item['name']}",
                    title=item["title"],
                    value=value,
                    unit=item["unit"],
                    n=item["n"],
                    interval=None if item["interval"] is None else tuple(item["interval"]),
                    standard_error=item["standard_error"],
                    status="measured" if value is not None else "not_measured",
                    reason=item["reason"],
                    better=item["better"],
                    subject=item["subject"],
                    source=source,
                    evidence=run.evidence(node_id),
                )
            )
        )
    findings = []
    for item in artifact.document["findings"]:
        subject = f"[{item['subject']}]" if item["subject"] else ""
        name = f"{prefix}.{item['code']}{subject}"
        findings.append(name)
        run.findings.append(
            FindingEntry(
                id=name,
                code=item["code"],
                stage=prefix.split(".")[0],
                step=source.step,
                severity=item["severity"],
                verdict=item["verdict"],
                title=item["title"],
                summary=item["summary"],
                subject=item["subject"],
                facts=[f"{prefix}.{measure}" for measure in item["measures"]],
                advice=list(item["advice"]),
            )
        )
    return facts, findings
