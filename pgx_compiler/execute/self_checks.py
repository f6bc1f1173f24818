"""What an explanation says of itself: rows it is silent about, how complete it is, how much of it is noise."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pgx_compiler.evidence.results import Finding, Measure, Report
from pgx_compiler.methods.declaration import Declaration

GAP_ALLOWED = 0.01
"""Median completeness gap, as a share of the median difference explained, above which an explanation that promises
completeness has not converged (own default; 1 % is what peers raise their steps to)."""


def explanation_report(declaration: Declaration, arrays: Mapping[str, Any], score: str) -> Report:
    """Measures and findings of one attribution step."""
    measures: list[Measure] = []
    findings: list[Finding] = []
    _silent_rows(declaration, arrays["values"], measures, findings)
    if "completeness" in declaration.laws:
        _completeness(declaration, arrays, score, measures, findings)
    if "standard_error" in arrays:
        error = arrays["standard_error"]
        measures.append(
            Measure(
                "standard_error",
                float(error.mean()),
                "Mean sampling error of a value",
                error.size,
                score,
                better="lower",
            )
        )
    return Report(tuple(measures), tuple(findings))


def _silent_rows(declaration: Declaration, values: Any, measures: list[Measure], findings: list[Finding]) -> None:
    dead = int((np.abs(values).max(axis=1) == 0).sum())
    title = "Rows whose every attribution is zero"
    measures.append(Measure("rows_without_attribution", float(dead), title, len(values), "rows", better="lower"))
    if dead:
        findings.append(
            Finding(
                "gradient_dead" if declaration.stage == "gradient" else "explanation_ignores_model",
                "warning",
                f"{declaration.name} says nothing about {dead} of {len(values)} rows",
                f"Every attribution of {dead} rows is exactly zero: the score does not react where the method looks.",
                declaration.name,
                ("rows_without_attribution",),
                ("Look for saturation, a cut graph, or rows equal to the references.",),
            )
        )


def _completeness(
    declaration: Declaration, arrays: Mapping[str, Any], score: str, measures: list[Measure], findings: list[Finding]
) -> None:
    difference = arrays["scores"] - arrays["base_values"]
    gap = np.abs(arrays["values"].sum(axis=1) - difference)
    relative = float(np.median(gap) / max(float(np.median(np.abs(difference))), 1e-12))
    n = len(gap)
    largest = "Largest gap between the sum of a row's values and the difference that they share out"
    measures += [
        Measure("completeness_gap", float(gap.max()), largest, n, score, better="lower"),
        Measure(
            "completeness_gap_relative", relative, "Median gap over the median difference", n, "share", better="lower"
        ),
    ]
    if relative > GAP_ALLOWED:
        findings.append(
            Finding(
                "not_converged",
                "warning",
                f"{declaration.name} does not add up",
                f"Its values miss the difference that they should share out by {relative:.1%} in the median row; "
                f"{GAP_ALLOWED:.0%} is allowed.",
                declaration.name,
                ("completeness_gap_relative",),
                ("Ask for more steps or samples.",),
            )
        )
