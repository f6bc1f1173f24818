"""What an explanation says of itself: rows it is silent about, how complete it is, how much of it is noise."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgx_compiler.evidence.results import Finding, Measure, Report
from pgx_compiler.execute.statements import quantity_measure
from pgx_compiler.methods.declaration import Declaration

GAP_ALLOWED = 0.01
"""Median completeness gap, as a share of the median difference explained, above which an explanation that promises
completeness has not converged (own default; 1 % is what peers raise their steps to)."""

FIDELITY_WANTED = 0.5
"""Median R² of a local surrogate below which it is said not to follow the model (own default; peers print no warning at
all: lime#603)."""


def explanation_report(
    declaration: Declaration, arrays: Mapping[str, Any], score: str, ends: Sequence[float] = ()
) -> Report:
    """Measures and findings of one attribution step.

    Args:
        declaration: of its method.
        arrays: what it leaves.
        score: what it explains.
        ends: the lowest and highest number that the score can be, where the model rounds it to whole numbers of few bits.
    """
    measures: list[Measure] = []
    findings: list[Finding] = []
    _silent_rows(declaration, arrays, ends, measures, findings)
    if "completeness" in declaration.laws:
        _completeness(declaration, arrays, score, measures, findings)
    if "standard_error" in arrays:
        error = arrays["standard_error"]
        if "present" in arrays:  # what is absent from a row has no error, which is no merit
            error = error[arrays["present"]]
        measures.append(
            Measure(
                "standard_error",
                float(error.mean()),
                "Mean sampling error of a value",
                error.size,
                declaration.unit.replace("score", score),
                better="lower",
            )
        )
    for name, quantity in declaration.quantities.items():
        if f"note_{name}" in arrays:
            measures.append(quantity_measure(name, quantity, arrays[f"note_{name}"]))
        else:
            reason = "these parameters do not ask for it"
            measures.append(
                Measure(name, None, quantity.title, 0, quantity.unit, better=quantity.better, reason=reason)
            )
    _fidelity(declaration, arrays, findings)
    _converged(declaration, arrays, findings)
    return Report(tuple(measures), tuple(findings))


def _fidelity(declaration: Declaration, arrays: Mapping[str, Any], findings: list[Finding]) -> None:
    fidelity = arrays.get("note_fidelity")
    if fidelity is None or not np.isfinite(fidelity).any():
        return
    median = float(np.nanmedian(fidelity))
    if median < FIDELITY_WANTED:
        findings.append(
            Finding(
                "surrogate_unfaithful",
                "warning",
                f"The surrogate of {declaration.name} does not follow the model",
                f"In the median row it explains {median:.0%} of the variance of the model's scores around the row; below "
                f"{FIDELITY_WANTED:.0%} its coefficients describe another model.",
                declaration.name,
                ("fidelity",),
                ("Narrow the neighbourhood, or read a method that fits no surrogate.",),
            )
        )


def _converged(declaration: Declaration, arrays: Mapping[str, Any], findings: list[Finding]) -> None:
    converged = arrays.get("note_converged")
    if converged is None or not (converged < 1).any():
        return
    short = int((converged < 1).sum())
    title = "came to {} before the precision asked for"
    detail = "the {} was still larger than asked by then"
    if not {"precision", "tolerance"} & set(declaration.params.model_fields):  # a descent: nobody asked for a precision
        title, detail = "came to its last step before it had settled", "independent descents did not end equally well"
        way = "Raise `steps` or `samples`."
    elif declaration.stage == "gradient":  # steps on a path, not draws
        title, detail = title.format("its most steps"), detail.format("gap to the difference explained")
        way = "Raise `max_steps`, or the tolerance."
    else:
        title, detail = title.format("its budget"), detail.format("standard error")
        way = "Allow more samples, or ask for less precision."
    findings.append(
        Finding(
            "not_converged",
            "warning",
            f"{declaration.name} {title}",
            f"In {short} of {len(converged)} rows {detail}.",
            declaration.name,
            ("converged",),
            (way,),
        )
    )


def _silent_rows(
    declaration: Declaration,
    arrays: Mapping[str, Any],
    ends: Sequence[float],
    measures: list[Measure],
    findings: list[Finding],
) -> None:
    values = arrays["values"]
    silent = np.abs(values).max(axis=1) == 0
    dead = int(silent.sum())
    title = "Rows whose every attribution is zero"
    measures.append(Measure("rows_without_attribution", float(dead), title, len(values), "rows", better="lower"))
    if dead:
        cut_off, ways = (
            _at_ends(arrays["scores"][silent], ends),
            ["Look for saturation, a cut graph, or rows equal to the references."],
        )
        if cut_off:
            ways.insert(0, "Explain the model that it was quantised from, or quantise its output to a wider range.")
        findings.append(
            Finding(
                "gradient_dead" if declaration.stage == "gradient" else "explanation_ignores_model",
                "warning",
                f"{declaration.name} says nothing about {dead} of {len(values)} rows",
                f"Every attribution of {dead} rows is exactly zero: the score does not react where the method looks.{cut_off}",
                declaration.name,
                ("rows_without_attribution",),
                tuple(ways),
            )
        )


def _at_ends(scores: Any, ends: Sequence[float]) -> str:
    """How many of some scores lie at an end of what a quantised output can be, in words; empty where none does."""
    if not len(ends):
        return ""
    near = np.isclose(scores[:, None], np.asarray(ends), rtol=0.0, atol=_ROUNDED * max(map(abs, ends)))
    if not near.any():
        return ""
    at = " or ".join(f"{end:.6g}" for end, there in zip(ends, near.any(axis=0), strict=True) if there)
    return (
        f" The score of {int(near.any(axis=1).sum())} of them lies at an end of what the model's quantised output can be"
        f" ({at}): it was cut off there, so that no small change moves it."
    )


_ROUNDED = 1e-6
"""How far two numbers in float32 that are meant to be the same lie apart, as a share of the largest."""


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
