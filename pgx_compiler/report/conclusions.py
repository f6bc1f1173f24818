"""What may be concluded, and what may not: sentences that follow from the facts by rule."""

from collections.abc import Sequence

from pgx_compiler.report.factsheet import (
    AgreementEntry,
    ExpectationEntry,
    Explanation,
    Fact,
    FaithfulnessEntry,
    FindingEntry,
    GateEntry,
    NodeEntry,
    Verdict,
)

ALIKE = 0.7
"""Median rank correlation from which two explanations are said to rank features alike (own default)."""

UNLIKE = 0.4
"""Median rank correlation below which single-row rankings are said to be unsettled (own default)."""


REPEATABLE = 0.9
"""Median rank correlation with itself under another seed from which an order counts as settled (own default)."""


def may_conclude(
    facts: dict[str, Fact],
    agreement: Sequence[AgreementEntry],
    faithfulness: Sequence[FaithfulnessEntry],
    expectations: Sequence[ExpectationEntry],
    explanations: Sequence[Explanation],
    findings: Sequence[FindingEntry] = (),
) -> list[str]:
    """Sentences that the evidence carries."""
    if any(finding.code == "nondeterministic_model" for finding in findings):
        return []  # whatever was measured would be another number the next time
    said = []
    parity = facts.get("model.parity.max_difference")
    broken = any(finding.code == "model_parity_broken" for finding in findings)
    if parity and isinstance(parity.value, int | float) and not broken:
        said.append(
            f"Both directions explain the same model: on {parity.n} rows the outputs of white box and black box differ by at "
            f"most {parity.value:.2g}, so what "
            "one direction explains is what the other explains."
        )
    exact = [e for e in explanations if e.status == "done" and e.computed_by == "tree_shap"]
    said += [f"The values of {e.step} are exact Shapley values of this model, not estimates." for e in exact]
    said += _alike(agreement)
    said += _faithful(faithfulness)
    said += [
        f"The model does as people expect: {e.feature} is {_EXPECTED[e.effect]}."
        for e in expectations
        if e.status == "confirmed"
    ]
    return said


def _alike(agreement: Sequence[AgreementEntry]) -> list[str]:
    """How far the pairs that should agree do: the whole range, not the best of them."""
    ranked = _ranked(agreement)
    pairs = [a for a in ranked if a.across] or ranked
    alike = [a for a in pairs if (a.median or 0) >= ALIKE]
    if not alike:
        return []
    best = max(alike, key=lambda a: a.median or 0)
    chance = "" if best.chance is None else f"; chance gives {best.chance:.2g}"
    chance += "" if best.other_rows is None else f", explanations of different rows {best.other_rows:.2f}"
    said = (
        f"{best.first} and {best.second} rank the features of these {best.n} rows alike (median rank correlation "
        f"{best.median:.2f}{chance})"
    )
    if len(pairs) > 1:
        least = min(pairs, key=lambda a: a.median or 0)
        said += (
            f"; of {len(pairs)} such pairs the least alike are {least.first} and {least.second} ({least.median:.2f})"
        )
    return [said + "."]


def _faithful(faithfulness: Sequence[FaithfulnessEntry]) -> list[str]:
    """One sentence for all explanations that find what matters better than chance, the best first."""
    sure = [c for c in faithfulness if c.method == "deletion" and c.interval and c.interval[0] > 0]
    if not sure:
        return []
    sure.sort(key=lambda check: -(check.median or 0))
    gains = ", ".join(f"{check.of} {check.median:.3g}" for check in sure)
    return [
        (
            "What these explanations name first matters to the model: removing it lowers the score more than removing "
            f"features at random (median gain in {sure[0].unit}, 95 % intervals above 0: {gains})."
        )
    ]


def may_not_conclude(
    agreement: Sequence[AgreementEntry],
    findings: Sequence[FindingEntry],
    gates: Sequence[GateEntry],
    expectations: Sequence[ExpectationEntry],
    rows: int,
    has_explanations: bool,
    even: bool = False,
) -> list[str]:
    """Sentences that a reader might believe and must not."""
    said = [f"Not so: {gate.title} {gate.threshold}." for gate in gates if gate.status == "failed"]
    if has_explanations:
        said.append("That a feature causes the outcome in the world: attributions describe the model alone.")
        drawn = ", drawn evenly over the classes: medians and intervals are of rows drawn so" if even else ""
        said.append(f"That rare cases are explained alike: {rows} rows were explained{drawn}.")
    noisy = [
        a for a in agreement if a.kind == "self" and a.method == "rank_correlation" and (a.median or 0) < REPEATABLE
    ]
    said += [
        f"The exact order of features that {a.first} gives: under another seed it agrees with itself only to "
        f"{a.median:.2f}, so part of its disagreement with others is sampling noise."
        for a in noisy
        if a.median is not None
    ]
    unlike = [a for a in _ranked(agreement) if a.median is not None and a.median < UNLIKE]
    if unlike:
        worst = min(unlike, key=lambda a: a.median or 0)
        said.append(
            f"Which features matter for a single row, from one method alone: {worst.first} and {worst.second} rank them "
            f"differently (median rank correlation {worst.median:.2f})."
        )
    common = [a for a in _ranked(agreement) if _mostly_common(a)]
    if common:
        most = max(common, key=lambda a: a.other_rows or 0)
        said.append(
            f"That a rank correlation of {most.median:.2f} is about the single row: held against the explanations of other rows, "
            f"{most.first} and {most.second} reach {most.other_rows:.2f} already."
        )
    codes = {finding.code for finding in findings if finding.verdict == "holds"}
    if "nondeterministic_model" in codes:
        said.append("Anything of this model from these numbers: asked again, it answers the same rows differently.")
    if "correlated_features" in codes:
        said.append(
            "The rank of a feature inside a group of correlated features: they share their attribution arbitrarily."
        )
    if codes & {"sensitive_proxy", "group_disparity", "reliance_on_sensitive"}:
        said.append("That the model is fair, or that it does not use a sensitive feature because its share is small.")
    if "adversarial_weakness" in codes:
        said.append("That the model holds against somebody who changes the input on purpose.")
    unknown = sorted({finding.title for finding in findings if finding.verdict == "unknown"})
    if unknown:
        titles = "; ".join(title[:1].lower() + title[1:] for title in unknown[:4])
        said.append(f"What the data could not settle: {titles}.")
    said += [
        f"That {e.feature} is {_EXPECTED[e.effect]}: {e.summary}" for e in expectations if e.status != "confirmed"
    ][:3]
    return said


_EXPECTED = {
    "irrelevant": "irrelevant",
    "matters": "important",
    "increases": "increasing the score",
    "decreases": "decreasing the score",
}


MOSTLY_COMMON = 0.5
"""Part of the way from agreement on different rows to full agreement that the same row must reach before the agreement is
said to be about rows (own default)."""


def _mostly_common(entry: AgreementEntry) -> bool:
    """True where two explanations of one row agree little better than explanations of different rows do."""
    if entry.median is None or entry.other_rows is None or entry.other_rows < UNLIKE:
        return False
    return entry.median < entry.other_rows + MOSTLY_COMMON * (1 - entry.other_rows)


def _ranked(agreement: Sequence[AgreementEntry]) -> list[AgreementEntry]:
    return [a for a in agreement if a.method == "rank_correlation" and a.kind == "pair" and a.median is not None]


def verdict(
    gates: Sequence[GateEntry],
    findings: Sequence[FindingEntry],
    nodes: Sequence[NodeEntry],
    headline: list[str],
    may: list[str],
    may_not: list[str],
    selection: str = "",
) -> Verdict:
    """Passed, failed or incomplete. What is missing makes it incomplete; nothing missing ever reads as a pass.

    A run of a part of the audit (``selection``) is incomplete whatever its gates say: the rest might say otherwise.
    """
    standing = [finding for finding in findings if finding.verdict == "holds"]
    counts = {
        "gates_passed": sum(gate.status == "passed" for gate in gates),
        "gates_failed": sum(gate.status == "failed" for gate in gates),
        "gates_unknown": sum(gate.status == "unknown" for gate in gates),
        "errors": sum(finding.severity == "error" for finding in standing),
        "warnings": sum(finding.severity == "warning" for finding in standing),
        "unknown": sum(finding.verdict == "unknown" for finding in findings),
        "nodes_failed": sum(node.status in ("failed", "blocked") for node in nodes),
    }
    left_out = sum(node.status == "not_selected" for node in nodes)
    if left_out:
        counts["nodes_not_selected"] = left_out
    if counts["nodes_failed"] or selection:
        status = "incomplete"
    elif counts["gates_failed"] or counts["errors"]:
        status = "failed"
    else:
        status = "incomplete" if counts["gates_unknown"] else "passed"
    return Verdict.model_validate(
        {
            "status": status,
            "sentence": _of_a_part(selection, counts, len(nodes))
            if selection
            else _sentence(status, counts, gates, standing),
            "counts": counts,
            "headline": headline,
            "may_conclude": may,
            "may_not_conclude": may_not,
        }
    )


def _of_a_part(selection: str, counts: dict[str, int], nodes: int) -> str:
    """The sentence of a run that was asked for a part of the audit."""
    run = nodes - counts.get("nodes_not_selected", 0)
    part = f"only the part selected by {selection} was run ({run} of {nodes} steps)"
    said = f"The audit is incomplete: {part}, so nothing may be signed off."
    troubles = [(counts["nodes_failed"], "of them gave no result"), (counts["gates_failed"], "gates failed")]
    for number, words in troubles:
        if number:
            said += f" {number} {words}."
    return said


def _sentence(status: str, counts: dict[str, int], gates: Sequence[GateEntry], findings: Sequence[FindingEntry]) -> str:
    total = len(gates)
    warnings = f"{counts['warnings']} warning{'' if counts['warnings'] == 1 else 's'} to read"
    if status == "passed":
        held = f"All {total} gates hold" if total else "No gate was set"
        return f"{held}; {warnings if counts['warnings'] else 'no finding stands against the model'}."
    if status == "failed":
        reasons = [f"{gate.title} is not {gate.threshold}" for gate in gates if gate.status == "failed"]
        reasons += [finding.title for finding in findings if finding.severity == "error"]
        more = f" and {len(reasons) - 2} more" if len(reasons) > 2 else ""
        return f"The audit failed: {'; '.join(reasons[:2])}{more}."
    if counts["nodes_failed"]:
        return f"The audit is incomplete: {counts['nodes_failed']} of its steps gave no result, so nothing may be signed off."
    return f"The audit is incomplete: {counts['gates_unknown']} of {total} gates could not be decided."


def headline(gates: Sequence[GateEntry], facts: dict[str, Fact]) -> list[str]:
    """The five facts that matter: failed gates first, then undecided, then passed, then what every reader asks."""
    order = {"failed": 0, "unknown": 1, "passed": 2}
    ranked = [gate.fact for gate in sorted(gates, key=lambda gate: order[gate.status]) if gate.fact in facts]
    usual = [
        "model.performance.accuracy",
        "model.performance.rmse",
        "model.parity.max_difference",
        "model.performance.auc",
    ]
    chosen = dict.fromkeys([*ranked, *(name for name in usual if name in facts and facts[name].value is not None)])
    return list(chosen)[:5]
