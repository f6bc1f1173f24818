"""The entries about explanations: attributions, example rows, agreement and faithfulness."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from pgx_compiler.analysis.targets import output_words, target_name, target_words
from pgx_compiler.evidence.results import Severity
from pgx_compiler.evidence.store import Artifact, Record
from pgx_compiler.evidence.summary import column_intervals
from pgx_compiler.ir.node import Node
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.report.factsheet import (
    AgreementEntry,
    Explanation,
    Fact,
    FaithfulnessEntry,
    FindingEntry,
    WordImportance,
)
from pgx_compiler.report.gathering import Gathering, measures
from pgx_compiler.report.target_entry import by_target

DISAGREE_BELOW = 0.2
"""Median rank correlation across the directions below which they are said to disagree (own default)."""


def row_count(run: Gathering) -> int:
    """How many rows were explained."""
    rows = run.artifacts.get("rows")
    return len(rows.arrays["index"]) if rows else 0


def _rows_of(run: Gathering, node: Node) -> int:
    """How many rows a node explained."""
    rows = run.artifacts.get(node.inputs["rows"])
    return len(rows.arrays["index"]) if rows else 0


def asked(run: Gathering, op: str) -> list[Node]:
    """Nodes of an operation that the author asked for, in the order of the spec."""
    position = {step.id: number for number, step in enumerate(run.plan.audit.steps)}
    found = [node for node in run.plan.folded if node.op == op and node.step is not None]
    return sorted(found, key=lambda node: position.get(node.step or "", 0))


def _target_words(run: Gathering) -> str:
    audit = run.plan.audit
    if audit.spec.model.task == "regression":
        return output_words(audit.target) if audit.outputs else "the predicted value"
    return target_words(audit.target, audit.classes)


def _target_names(run: Gathering) -> list[str]:
    """The heads of the columns of several targets."""
    audit = run.plan.audit
    if audit.outputs:
        return [output_words(audit.outputs[place]) for place in audit.chosen_outputs]
    return [target_name(target, audit.classes) for target in audit.targets]


def explanations(run: Gathering) -> list[Explanation]:
    """One entry for each attribution step; its measures become facts."""
    entries = []
    for node in asked(run, "attribute"):
        artifact = run.artifacts.get(node.id)
        measures(run, node.id, node.id)
        entries.append(_explanation(run, node, artifact))
    return entries


def _explanation(run: Gathering, node: Node, artifact: Artifact | None) -> Explanation:
    declaration = catalogue()[node.method or ""]
    step = run.plan.audit.step(node.step or "")
    one = run.ended.get(node.id)
    record: Record | None = one.record if one else None
    features = run.plan.audit.ground(step).features
    names = list(features.names)
    values = artifact.arrays["values"] if artifact else np.zeros((0, len(names)))
    own = artifact is not None and "present" in artifact.arrays
    layout = step.ground.features.layout if step.ground else run.plan.audit.features.layout
    several = artifact is not None and "values_all" in artifact.arrays
    named = _target_names(run) if several else []
    shown = values[:, :0] if own else values
    magnitude = np.abs(shown)
    error = artifact.arrays.get("standard_error") if artifact else None
    if error is not None and own and artifact:
        error = error[artifact.arrays["present"]]  # what is absent from a row has no error, which is no merit
    spent = dict(record.spent) if record else {}
    for kind in ("forward", "backward"):
        if record:
            cost_fact(run, node, kind, spent.get(kind, 0))
    return Explanation(
        step=node.step or node.id,
        method=step.declaration.name,
        title=step.declaration.title,
        computed_by=declaration.name,
        chosen_because=node.note,
        direction=node.params["direction"],
        runtime=engine_of(run, node),
        target=_target_words(run),
        targets=named,
        unit=run.plan.audit.score
        if declaration.unit == "score"
        else declaration.unit.replace("score", run.plan.audit.score),
        signed=declaration.signed,
        parameters=dict(node.params["with"]),
        feature_names=names,
        mean_absolute=magnitude.mean(axis=0).tolist() if len(values) else [0.0] * len(names),
        mean_absolute_interval=None if own else column_intervals(magnitude),
        mean_signed=shown.mean(axis=0).tolist() if len(values) else [0.0] * len(names),
        by_word=_by_word(run, artifact.arrays) if own and artifact else [],
        by_target=by_target(artifact.arrays, named, layout, signed=declaration.signed) if artifact and named else None,
        mean_standard_error=None if error is None else float(error.mean()),
        rows=len(values),
        ground=step.ground.name.strip("[]") if step.ground else "",
        layout=dict(step.ground.features.layout)
        if step.ground and step.ground.described != run.plan.audit.described
        else {},
        cost_planned={k: v for k, v in node.cost.items() if k != "bytes"},
        cost_spent=spent,
        seconds=record.seconds if record else None,
        arrays=f"evidence/{node.step}/attributions.npz",
        digest=record.content if record else "",
        paper=declaration.paper,
        summary=declaration.summary,
        reading=declaration.reading,
        limits=declaration.limits,
        status=status_of(run, node),
        reason=run.reason(node.id),
    )


MOST_WORDS = 30


def _by_word(run: Gathering, arrays: Any) -> list[WordImportance]:
    """The words of the explained texts by their mean magnitude; words are raw data."""
    are_words = run.plan.audit.features.layout.get("kind") == "words"
    if not are_words or not run.plan.audit.spec.factsheet.show_rows or "feature_labels" not in arrays:
        return []
    values, present, labels = arrays["values"], arrays["present"], arrays["feature_labels"]
    held: dict[str, list[tuple[int, float]]] = {}
    for row, feature in zip(*np.nonzero(present), strict=True):
        held.setdefault(str(labels[row, feature]), []).append((int(row), float(values[row, feature])))
    found = [
        WordImportance(
            word=word,
            rows=len({row for row, _ in pairs}),
            mean=float(np.mean([value for _, value in pairs])),
            mean_absolute=float(np.mean([abs(value) for _, value in pairs])),
        )
        for word, pairs in held.items()
    ]
    return sorted(found, key=lambda one: (-float(one.mean_absolute), one.word))[:MOST_WORDS]


def engine_of(run: Gathering, node: Node) -> str:
    """What computed a node, with its version: ``onnxruntime 1.32.0``."""
    versions = run.plan.context.versions
    computed_by = node.ingredients.get("computed_by", {})
    main = next((name for name in ("onnxruntime", "tensorflow") if name in computed_by), node.runtime or "")
    return f"{main} {versions.get(main, '')}".strip()


def status_of(run: Gathering, node: Node) -> Literal["done", "failed", "blocked"]:
    """What became of a node."""
    one = run.ended.get(node.id)
    if node.id in run.artifacts:
        return "done"
    return "failed" if one and one.status == "failed" else "blocked"


def cost_fact(run: Gathering, node: Node, kind: str, rows: int) -> str:
    """State the model rows that a step took, and give the fact's id."""
    return run.add_fact(
        Fact(
            id=f"{node.id}.rows_{kind}",
            title=f"Model rows {kind} that {node.step} took",
            value=rows,
            unit="rows",
            n=_rows_of(run, node),
            status="measured",
            source=run.source(node.id),
            evidence=run.evidence(node.id),
        )
    )


def _summary_facts(run: Gathering, node: Node, name: str, title: str, unit: str, better: Any, summary: Any) -> None:
    reason = run.reason(node.id) or (
        run.artifacts[node.id].document.get("blocked") if node.id in run.artifacts else None
    )
    worst_first = dict(_AGGREGATE) | ({"min": _AGGREGATE["max"], "max": _AGGREGATE["min"]} if better == "lower" else {})
    for aggregate in ("median", "mean", "min", "max"):
        value = summary.get(aggregate)
        interval = summary.get(f"{aggregate}_interval")
        run.add_fact(
            Fact(
                id=f"{name}.{aggregate}",
                title=f"{title}, {worst_first[aggregate]}",
                value=value,
                unit=unit,
                n=summary.get("n", 0),
                interval=tuple(interval) if interval else None,
                status="derived" if value is not None else "not_measured",
                reason=None if value is not None else (reason or "it is undefined for every row"),
                better=better,
                source=run.source(node.id),
                evidence=run.evidence(node.id),
            )
        )


_AGGREGATE = {"median": "median over rows", "mean": "mean over rows", "min": "worst row", "max": "best row"}


def _listed(values: Any) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def agreement(run: Gathering) -> list[AgreementEntry]:
    """One entry for each pair and method, self-comparisons among them; aggregates become facts."""
    stage = {step.id: step.stage for step in run.plan.audit.steps}
    entries = []
    for node in asked(run, "compare"):
        declaration = catalogue()[node.method or ""]
        first, second = (str(run.plan.folded[node.inputs[p]].step or "") for p in ("first", "second"))
        again = second == ""
        second = second or first
        artifact = run.artifacts.get(node.id)
        document = artifact.document if artifact else {"summary": {}}
        summary = document["summary"]
        better = document.get("better", declaration.better)
        what = f"{first} under two seeds" if again else f"{first} and {second}"
        _summary_facts(run, node, node.id, f"{declaration.title} of {what}", "", better, summary)
        entries.append(
            AgreementEntry(
                step=node.step or "",
                method=declaration.name,
                title=declaration.title,
                first=first,
                second=second,
                across=not again and stage[first] != stage[second],
                kind="self" if again else "pair",
                median=summary.get("median"),
                mean=summary.get("mean"),
                interval=summary.get("median_interval"),
                minimum=summary.get("min"),
                maximum=summary.get("max"),
                n=summary.get("n", 0),
                chance=document.get("chance"),
                other_rows=document.get("other_rows"),
                range=document.get("range"),
                better=better,
                values=_listed(artifact.arrays["values"]) if artifact and "values" in artifact.arrays else [],
                reason=run.reason(node.id) or document.get("blocked") or document.get("undefined"),
                reading=declaration.reading,
                limits=declaration.limits,
            )
        )
    return entries


def faithfulness(run: Gathering) -> list[FaithfulnessEntry]:
    """One entry for each check of each attribution; aggregates become facts."""
    entries = []
    for node in asked(run, "judge"):
        declaration = catalogue()[node.method or ""]
        of = str(run.plan.folded[node.inputs["attribution"]].step)
        artifact = run.artifacts.get(node.id)
        document = artifact.document if artifact else {"summary": {}}
        arrays = artifact.arrays if artifact else {}
        summary = document["summary"]
        unit = document.get("unit", "")
        _summary_facts(run, node, node.id, f"{declaration.title} of {of}", unit, declaration.better, summary)
        values = np.asarray(arrays.get("values", []))
        curve, random_curve = arrays.get("curve"), arrays.get("random_curve")
        moved = arrays.get("moved_share")
        entries.append(
            FaithfulnessEntry(
                step=node.step or "",
                method=declaration.name,
                title=declaration.title,
                of=of,
                median=summary.get("median"),
                mean=summary.get("mean"),
                interval=summary.get("median_interval"),
                n=summary.get("n", 0),
                unit=unit,
                better=declaration.better,
                share_better_than_chance=float((values > 0).mean()) if len(values) and curve is not None else None,
                curve=None if curve is None else curve.mean(axis=0).tolist(),
                random_curve=None if random_curve is None else random_curve.mean(axis=0).tolist(),
                grid=None if curve is None or moved is None else moved[0].tolist(),
                values=_listed(values),
                reason=run.reason(node.id),
                reading=declaration.reading,
                limits=declaration.limits,
            )
        )
    return entries


def disagreements(agreement: Sequence[AgreementEntry], faithfulness: Sequence[FaithfulnessEntry]) -> list[FindingEntry]:
    """Findings that follow from the comparisons: the directions disagree, or an explanation is no better than chance."""
    found = []
    across = [a for a in agreement if a.across and a.method == "rank_correlation" and a.interval]
    if across and all(a.interval is not None and a.interval[1] < DISAGREE_BELOW for a in across):
        found.append(
            _finding(
                "directions_disagree", "agreement", across[0].step, "warning", "Perturbation and gradient tell different stories",
                f"In every one of {len(across)} comparisons the median rank correlation is below {DISAGREE_BELOW}.",
                [f"agreement.{a.step}.{a.first}~{a.second}.median" for a in across],
                "Do not act on either direction alone; look at faithfulness to see which one is true of the model.",
            )
        )  # fmt: skip
    found += [
        _finding(
            "explanation_unfaithful",
            "faithfulness",
            check.of,
            "warning",
            f"{check.of} orders features worse than chance",
            "Removing what it names first lowers the score less than a random order "
            f"(median {check.median:.3g} {check.unit}).",
            [f"faithfulness.{check.step}.{check.of}.median"],
            "Do not use this explanation of this model.",
        )
        for check in faithfulness
        if check.method == "deletion" and check.interval and check.interval[1] < 0
    ]
    return found


def _finding(
    code: str, stage: str, step: str, severity: Severity, title: str, summary: str, facts: list[str], advice: str
) -> FindingEntry:
    return FindingEntry(
        id=f"{stage}.{code}[{step}]", code=code, stage=stage, step=step, severity=severity, verdict="holds", title=title,
        summary=summary, subject=step, facts=facts, advice=[advice],
    )  # fmt: skip
