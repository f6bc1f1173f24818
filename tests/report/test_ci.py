"""A run for CI servers: a gate that failed fails, one that is undecided is never a pass, and each has its line."""

import json
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pgx_compiler.analysis.checked import check
from pgx_compiler.analysis.resolved import Resolved
from pgx_compiler.report import ci
from pgx_compiler.report.factsheet import Factsheet, FindingEntry, GateEntry, NodeEntry
from pgx_compiler.words import run as run_word
from tests.report.sample import factsheet

SPEC = Path(__file__).parents[2] / "specs" / "german-credit-trees.yaml"


@cache
def audit() -> Resolved:
    found = check(SPEC).audit
    assert found is not None
    return found


def line_of(words: str, after: str) -> int:
    """The first line, after one that starts with some words, that holds others."""
    lines = SPEC.read_text("utf-8").split("\n")
    start = next(number for number, line in enumerate(lines) if line.startswith(after))
    return next(number for number, line in enumerate(lines[start:], start + 1) if words in line)


def gate(name: str, status: str, value: float | None, **more: Any) -> GateEntry:
    return GateEntry(gate=name, fact="agreement.x", title="X", value=value, threshold=">= 0.8", status=status, **more)  # type: ignore[arg-type]


def finding(severity: str, verdict: str, code: str = "outliers", **more: Any) -> FindingEntry:
    return FindingEntry(
        id=f"precaution.{code}.{severity}.{verdict}", code=code, stage="precaution", step="outliers", severity=severity,  # type: ignore[arg-type]
        verdict=verdict, title="Far values", summary="Two of them.", advice=["Look at them."], **more,  # type: ignore[arg-type]
    )  # fmt: skip


def node(status: str) -> NodeEntry:
    return NodeEntry(
        id="explain.occlusion", op="attribute occlusion", runtime="onnx", key="k", content=None, status=status,  # type: ignore[arg-type]
        reason="out of memory" if status == "failed" else None,
    )  # fmt: skip


def sheet(nodes: list[NodeEntry] | None = None, findings: list[FindingEntry] | None = None) -> Factsheet:
    made = factsheet()
    gates = [gate("holds", "passed", 0.91), gate("open", "unknown", None, reason="too few rows")]
    return made.model_copy(
        update={
            "gates": gates,
            "findings": findings or [],
            "provenance": made.provenance.model_copy(update={"nodes": nodes or []}),
        }
    )


def cases_of(found: Factsheet) -> dict[str, list[str]]:
    """Name of each case to the tags in it, once the counts have been held against what is there."""
    root = ET.fromstring(ci.render("junit", found, audit()))  # noqa: S314 (our own output)
    for suite in root:
        for counted, tag in (("tests", "testcase"), ("failures", "failure"), ("skipped", "skipped")):
            assert int(suite.get(counted, "-1")) == len(list(suite.iter(tag)))
    return {case.get("name", ""): [child.tag for child in case] for case in root.iter("testcase")}


def results_of(found: Factsheet) -> list[dict[str, Any]]:
    run = json.loads(ci.render("sarif", found, audit()))["runs"][0]
    results: list[dict[str, Any]] = run["results"]
    return results


def test_in_junit_a_gate_that_is_undecided_is_skipped_and_one_that_failed_fails() -> None:
    found = sheet()
    assert cases_of(found) == {"holds": ["system-out"], "open": ["skipped"]}
    failed = found.model_copy(update={"gates": [gate("broken", "failed", 0.1)]})
    assert cases_of(failed) == {"broken": ["failure"]}


def test_in_sarif_a_gate_is_pass_open_or_fail_at_the_line_of_its_fact() -> None:
    first, second = results_of(sheet())
    assert (first["kind"], first["level"]) == ("pass", "none")
    assert (second["kind"], second["level"]) == ("open", "none")
    place = first["locations"][0]["physicalLocation"]
    assert place["region"]["startLine"] == line_of("fact:", "gates:")
    assert place["artifactLocation"]["uri"].endswith("specs/german-credit-trees.yaml")
    assert "too few rows" in second["message"]["text"]
    broken = results_of(sheet().model_copy(update={"gates": [gate("broken", "failed", 0.1)]}))[0]
    assert (broken["kind"], broken["level"]) == ("fail", "error")
    assert "agreement.x is 0.1; the gate asks for >= 0.8" in broken["message"]["text"]


def test_findings_fail_by_severity_and_what_is_accepted_or_unknown_does_not() -> None:
    findings = [
        finding("error", "holds"),
        finding("warning", "holds"),
        finding("error", "unknown"),
        finding("error", "accepted", reason="known", until="2030-01-31"),
    ]
    found = sheet(findings=findings)
    cases = {name: tags for name, tags in cases_of(found).items() if name.startswith("precaution")}
    assert list(cases.values()) == [["failure"], ["system-out"], ["skipped"], ["system-out"]]
    results = results_of(found)[2:]
    assert [(r["kind"], r["level"]) for r in results] == [
        ("fail", "error"),
        ("fail", "warning"),
        ("open", "none"),
        ("pass", "none"),
    ]
    assert results[0]["locations"][0]["physicalLocation"]["region"]["startLine"] == line_of("outliers", "precaution:")
    assert "accepted until 2030-01-31: known" in results[3]["message"]["text"]


def test_a_step_without_a_result_fails_and_one_not_selected_is_skipped() -> None:
    assert cases_of(sheet(nodes=[node("failed")]))["explain.occlusion"] == ["failure"]
    assert cases_of(sheet(nodes=[node("blocked")]))["explain.occlusion"] == ["failure"]
    assert cases_of(sheet(nodes=[node("not_selected")]))["explain.occlusion"] == ["skipped"]
    assert "explain.occlusion" not in cases_of(sheet(nodes=[node("done")]))


def test_workflow_commands_name_what_does_not_hold_and_nothing_that_does() -> None:
    lines = ci.render("github", sheet(findings=[finding("error", "holds")]), audit()).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::warning", "::error"]
    assert "title=gate::agreement.x has no value: too few rows" in lines[0]


def test_the_word_offers_these_formats_and_text_and_json() -> None:
    assert ("text", "json", *ci.FORMATS) == run_word.FORMATS


@pytest.mark.parametrize("format", ci.FORMATS)
def test_equal_runs_give_equal_text(format: str) -> None:
    assert ci.render(format, sheet(), audit()) == ci.render(format, sheet(), audit())
