"""From plan and evidence to the factsheet: gathers, never explains."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pgx_compiler.evidence.canonical import digest
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.plan.plan import Plan
from pgx_compiler.plan.stages import stage_of
from pgx_compiler.report import conclusions, explained, stated
from pgx_compiler.report.examples import examples
from pgx_compiler.report.factsheet import (
    SCHEMA,
    AuditEntry,
    CheckEntry,
    ExpectationEntry,
    Factsheet,
    FindingEntry,
    NodeEntry,
    Provenance,
    TuningEntry,
)
from pgx_compiler.report.gates import judge_gates
from pgx_compiler.report.gathering import Ended, Evidence, Gathering, measures
from pgx_compiler.report.table_entry import TableEntry


@dataclass(frozen=True)
class Occasion:
    """When and where a run took place: the only part of a factsheet that differs between equal runs."""

    started: str
    """UTC, ISO 8601."""
    ended: str
    host: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    selection: str = ""
    """The part of the audit that was run, as it was asked for; empty: all of it."""


def gather(plan: Plan, ended: Mapping[str, Ended], evidence: Evidence, occasion: Occasion) -> Factsheet:
    """The factsheet of a run. Raises `pgx_compiler.evidence.store.DamagedEvidence`."""
    run = Gathering(plan, ended, evidence)
    asked = {step.id: number for number, step in enumerate(plan.audit.steps)}
    in_order = sorted(
        (node for node in plan.folded if node.op == "check"), key=lambda node: asked.get(node.step or "", 0)
    )
    checks = [_check(run, node.id) for node in in_order]
    for format in plan.audit.models:
        if f"model.{format}.repeat" in plan.folded:
            measures(run, f"model.{format}.repeat", f"model.{format}")
    for name in ("model.parity", "model.performance", "reliance", "tuning"):
        if name in plan.folded:
            measures(run, name, name)
    explanations = explained.explanations(run)
    statements = stated.statements(run)
    agreement = explained.agreement(run)
    faithfulness = explained.faithfulness(run)
    gates = judge_gates(plan.audit.spec.gates, run.facts)
    nodes = _nodes(run)
    expectations = _expectations(run)
    run.findings.extend(explained.disagreements(agreement, faithfulness))
    findings = [_accepted(run, finding, occasion) for finding in run.findings]
    headline = conclusions.headline(gates, run.facts)
    may = conclusions.may_conclude(run.facts, agreement, faithfulness, expectations, explanations, findings)
    may_not = conclusions.may_not_conclude(
        agreement,
        findings,
        gates,
        expectations,
        explained.row_count(run),
        bool(explanations),
        even=plan.audit.spec.explain.rows.stratify is not None,
    )
    return Factsheet(
        schema=SCHEMA,
        pgx=plan.context.program,
        audit=_audit(run, occasion),
        verdict=conclusions.verdict(gates, findings, nodes, headline, may, may_not, occasion.selection),
        findings=sorted(findings, key=_order_of_findings),
        facts=list(run.facts.values()),
        gates=gates,
        precaution=checks,
        explanations=explanations,
        statements=statements,
        examples=examples(run),
        agreement=agreement,
        faithfulness=faithfulness,
        expectations=expectations,
        tuning=_tuning(run),
        provenance=_provenance(run, nodes, occasion),
    )


def _order_of_findings(finding: FindingEntry) -> tuple[int, int, str]:
    severity = {"error": 0, "warning": 1, "info": 2}[finding.severity]
    return ({"holds": 0, "unknown": 1, "accepted": 2}[finding.verdict], severity, finding.id)


def _check(run: Gathering, node_id: str) -> CheckEntry:
    node = run.plan.folded[node_id]
    declaration = catalogue()[node.method or ""]
    facts, findings = measures(run, node_id, node_id)
    artifact = run.artifacts.get(node_id)
    tables = artifact.document["tables"] if artifact else []
    one = run.ended.get(node_id)
    failed = one is not None and one.status == "failed"
    status: Literal["done", "failed", "blocked"] = "done" if artifact else "failed" if failed else "blocked"
    return CheckEntry(
        step=node.step or node_id,
        method=declaration.name,
        title=declaration.title,
        status=status,
        reason=run.reason(node_id),
        facts=facts,
        findings=findings,
        tables=[
            TableEntry(
                step=node.step or node_id,
                title=t["title"],
                columns=list(t["columns"]),
                rows=[list(r) for r in t["rows"]],
            )
            for t in tables
        ],
        summary=declaration.summary,
        reading=declaration.reading,
        limits=declaration.limits,
        paper=declaration.paper,
    )


def _accepted(run: Gathering, finding: FindingEntry, occasion: Occasion) -> FindingEntry:
    """A finding that the spec answers for, while the answer is still valid."""
    for item in run.plan.audit.spec.accept:
        if item.code != finding.code or item.subject not in (None, finding.subject, finding.step):
            continue
        if item.until is not None and occasion.ended[:10] > item.until:
            continue
        return finding.model_copy(update={"verdict": "accepted", "reason": item.reason, "until": item.until})
    return finding


def _expectations(run: Gathering) -> list[ExpectationEntry]:
    stated = run.plan.audit.spec.strategy.expectations
    artifact = run.artifacts.get("reliance")
    if artifact is None:
        return [
            ExpectationEntry(
                feature=e.feature, effect=e.effect, on=e.on, source=e.source, status="unknown",
                summary=f"Not tested: {run.reason('reliance') or 'nothing was explained'}.",
            )
            for e in stated
        ]  # fmt: skip
    return [
        ExpectationEntry(
            feature=outcome["feature"],
            effect=outcome["effect"],
            on=outcome["on"],
            source=stated[outcome["number"]].source,
            status=outcome["status"],
            summary=outcome["summary"],
            facts=[f"reliance.{name}" for name in outcome["names"]],
        )
        for outcome in artifact.document["expectations"]
    ]


def _tuning(run: Gathering) -> TuningEntry | None:
    artifact = run.artifacts.get("tuning")
    if artifact is None:
        return None
    entry = artifact.document["entry"]
    return TuningEntry.model_validate({**entry, "decision": entry["decision"][:1].upper() + entry["decision"][1:]})


def _audit(run: Gathering, occasion: Occasion) -> AuditEntry:
    audit, spec = run.plan.audit, run.plan.audit.spec
    references = run.artifacts.get("references")
    return AuditEntry(
        name=spec.metadata.name,
        version=spec.metadata.version,
        owner=spec.metadata.owner,
        description=spec.metadata.description,
        labels=dict(spec.metadata.labels),
        strategy=spec.strategy.model_dump(mode="json"),
        modality=spec.data.modality,
        task=spec.model.task,
        score=audit.score,
        classes=list(audit.classes),
        started=occasion.started,
        ended=occasion.ended,
        spec_digest=run.plan.spec_digest,
        plan_digest=run.plan.digest,
        lock_digest=digest(run.plan.lock),
        model_digests={format: file.sha256 for format, file in audit.models.items()},
        data_digests={split: file.sha256 for split, file in audit.data.items()},
        rows_explained=explained.row_count(run),
        features=len(audit.features),
        layout=dict(audit.features.layout),
        references=references.document["name"] if references else "",
        language=spec.factsheet.language,
    )


def _nodes(run: Gathering) -> list[NodeEntry]:
    entries = []
    for node in run.plan.folded:
        if node.op in ("model", "data"):
            continue
        one = run.ended.get(node.id)
        record = one.record if one else None
        entries.append(
            NodeEntry(
                id=node.id,
                op=node.op if node.method is None else f"{node.op} {node.method}",
                runtime=node.runtime or "host",
                key=node.key,
                content=record.content if record else None,
                status="done" if record else _without_result(one),
                stage=stage_of(node),
                inputs=sorted(node.inputs.values()),
                seconds=record.seconds if record else None,
                cost_planned={k: v for k, v in node.cost.items() if k != "bytes"},
                cost_spent=dict(record.spent) if record else {},
                reason=one.reason if one else None,
            )
        )
    return entries


def _without_result(one: Ended | None) -> Literal["failed", "blocked", "not_selected"]:
    if one is not None and one.status == "not_selected":
        return "not_selected"
    return "failed" if one is not None and one.status == "failed" else "blocked"


def _provenance(run: Gathering, nodes: list[NodeEntry], occasion: Occasion) -> Provenance:
    audit = run.plan.audit
    models = []
    for format, file in audit.models.items():
        facts = file.facts
        models.append(
            {
                "format": format,
                "path": file.relative,
                "sha256": file.sha256,
                "structure": facts.structure,
                "parameters": facts.parameters,
                "producer": facts.producer,
                "inputs": [f"{t.name} {list(t.shape)} {t.dtype}" for t in facts.inputs],
                "outputs": [f"{t.name} {list(t.shape)} {t.dtype}" for t in facts.outputs],
                "operators": dict(facts.operators),
            }
        )
    data = [
        {"split": split, "path": file.relative, "sha256": file.sha256, "rows": file.facts.rows}
        for split, file in audit.data.items()
    ]
    data += [
        {"split": f"mask {name}", "path": file.relative, "sha256": file.sha256} for name, file in audit.masks.items()
    ]
    return Provenance(
        models=models,
        data=data,
        versions=dict(run.plan.context.versions),
        seed=audit.spec.seed,
        host=dict(occasion.host),
        nodes=nodes,
        overrides=list(occasion.overrides),
        selection=occasion.selection,
        trust=run.plan.trust,
    )
