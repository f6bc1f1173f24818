"""A finished run in the formats of CI servers: its gates, its findings, and the steps that gave no result.

Each belongs to the line of the spec that asked for it. What could not be decided is open or skipped, never a pass.
"""

from collections.abc import Iterator

from pgx_compiler.analysis.resolved import Resolved
from pgx_compiler.diagnostics.diagnostic import Span
from pgx_compiler.diagnostics.formats import github, junit, sarif
from pgx_compiler.diagnostics.remark import Level, Remark, Rule, Status, in_files
from pgx_compiler.evidence.finding_codes import FINDING_CODES
from pgx_compiler.report.factsheet import Factsheet, FindingEntry, GateEntry

FORMATS = ("sarif", "junit", "github")

GATE = Rule(
    "gate",
    "gate",
    "A number that must hold, or the audit fails: a fact of the run held against the threshold that the spec states.",
)
STEP = Rule(
    "step-without-result",
    "step-without-result",
    "A step of the audit failed, waits for one that did, or was not selected. The audit is incomplete, and nothing may be"
    " signed off.",
)

_GATE_STATUS: dict[str, Status] = {"passed": "passed", "failed": "failed", "unknown": "undecided"}
_FINDING_STATUS: dict[str, Status] = {"holds": "failed", "unknown": "undecided", "accepted": "passed"}
_FINDING_LEVEL: dict[str, Level] = {"error": "error", "warning": "warning", "info": "note"}


def render(format: str, factsheet: Factsheet, audit: Resolved) -> str:
    """The outcome of a run in one of `FORMATS`."""
    sections = outcome(factsheet, audit)
    said = [remark for remarks in sections.values() for remark in remarks]
    file = audit.document.file
    if format == "sarif":
        sources = audit.document.composition.sources or {file: audit.document.text}
        return sarif.log(said, sources, [file])
    if format == "github":
        return github.commands(said, [file])
    suites = []
    for name, remarks in sections.items():
        cases: dict[str, list[Remark]] = {}
        for remark in in_files(remarks):
            cases.setdefault(remark.subject, []).append(remark)
        suites.append(junit.suite(f"{audit.spec.metadata.name}: {name}", cases, f"{audit.spec.metadata.name}.{name}"))
    return junit.document([suite for suite in suites if len(suite)])


def outcome(factsheet: Factsheet, audit: Resolved) -> dict[str, list[Remark]]:
    """What a run has to say, by section: ``gates``, ``findings``, ``steps``."""
    return {
        "gates": [_gate(number, gate, audit) for number, gate in enumerate(factsheet.gates)],
        "findings": [_finding(finding, audit) for finding in factsheet.findings],
        "steps": list(_steps(factsheet, audit)),
    }


def _gate(number: int, gate: GateEntry, audit: Resolved) -> Remark:
    value = "has no value" if gate.value is None else f"is {gate.value:.4g}"
    interval = f" (95 % interval {gate.interval[0]:.4g} to {gate.interval[1]:.4g})" if gate.interval else ""
    threshold = f"the gate asks for {gate.threshold}"
    why = f": {gate.reason}" if gate.reason else ""
    status = _GATE_STATUS[gate.status]
    level: Level = {"failed": "error", "undecided": "warning", "passed": "note"}[status]  # type: ignore[assignment]
    message = f"{gate.fact} {value}{interval}{why}; {threshold}"
    path = ("gates", number)
    help_ = {
        "failed": "look at the fact in the factsheet; move the threshold only with a reason that you would sign",
        "undecided": "the audit is incomplete until this can be decided",
        "passed": "",
    }[status]
    span = audit.document.value_span((*path, "fact"))
    return Remark(GATE, status, level, message, span, help_, path=path, subject=gate.gate)


def _finding(finding: FindingEntry, audit: Resolved) -> Remark:
    known = FINDING_CODES.get(finding.code)
    rule = Rule(finding.code, finding.code, known.meaning if known else finding.title)
    status = _FINDING_STATUS[finding.verdict]
    level = _FINDING_LEVEL[finding.severity]
    message = f"{finding.title}. {finding.summary}"
    if finding.verdict == "accepted":
        until = f" until {finding.until}" if finding.until else ""
        message = f"{finding.title} (accepted{until}: {finding.reason})"
        level = "note"
    span, path = _place(finding.step, audit)
    return Remark(rule, status, level, message, span, " ".join(finding.advice), path=path, subject=finding.id)


def _steps(factsheet: Factsheet, audit: Resolved) -> Iterator[Remark]:
    for node in factsheet.provenance.nodes:
        if node.status == "done":
            continue
        span, path = _place(node.id.split(".", 1)[-1], audit)
        if node.status == "not_selected":
            message, help_ = f"{node.id} was not selected for this run", "run the whole audit before deciding anything"
            yield Remark(STEP, "undecided", "note", message, span, help_, path=path, subject=node.id)
        else:
            message, help_ = f"{node.id} gave no result: {node.reason or node.status}", "mend what failed and run again"
            yield Remark(STEP, "failed", "error", message, span, help_, path=path, subject=node.id)


def _place(step: str, audit: Resolved) -> tuple[Span | None, tuple[str | int, ...]]:
    """The line of a step; of what no step asked for (parity, the search), its top-level key or nothing."""
    for one in audit.steps:
        if step == one.id or step.startswith(f"{one.id}."):
            return one.span, one.path
    for key in (("tuning",), ("strategy", "expectations")):
        if step.startswith({"tuning": "tuning", "strategy": "reliance"}[key[0]]) and key in audit.document.keys:
            return audit.document.key_span(key), key
    return None, ()
