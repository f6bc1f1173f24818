"""The entries about what is said of rows and of the whole model beside attributions."""

from collections.abc import Mapping
from typing import Any

from pgx_compiler.ir.node import Node
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.report.explained import asked, cost_fact, engine_of, status_of
from pgx_compiler.report.gathering import Gathering, measures
from pgx_compiler.report.statement_entries import ChartEntry, CurveEntry, StatedRow, StatementEntry
from pgx_compiler.report.table_entry import TableEntry

MOST_ROWS = 24
"""Rows whose statements are printed; all of them are in the evidence."""
MOST_CHARTED = 6
"""Rows whose own charts are drawn."""


def statements(run: Gathering) -> list[StatementEntry]:
    """One entry for each step that states something; its measures become facts."""
    return [_statement(run, node) for node in asked(run, "state")]


def _statement(run: Gathering, node: Node) -> StatementEntry:
    declaration = catalogue()[node.method or ""]
    step = run.plan.audit.step(node.step or "")
    facts, findings = measures(run, node.id, node.id)
    artifact = run.artifacts.get(node.id)
    document: Mapping[str, Any] = artifact.document if artifact else {}
    one = run.ended.get(node.id)
    record = one.record if one else None
    spent = dict(record.spent) if record else {}
    for kind in ("forward", "backward"):
        if record:
            facts.append(cost_fact(run, node, kind, spent.get(kind, 0)))
    shows = run.plan.audit.spec.factsheet.show_rows
    drawn = [*document.get("charts", []), *_charts_of_rows(document)]
    tables = document.get("tables", [])
    return StatementEntry(
        step=node.step or node.id,
        method=step.declaration.name,
        title=step.declaration.title,
        about="rows" if declaration.gives == "local" else "model",
        direction=node.params["direction"],
        runtime=engine_of(run, node),
        unit=run.plan.audit.score,
        parameters=dict(node.params["with"]),
        facts=facts,
        findings=findings,
        tables=[_table(node, table) for table in tables if shows or not table["shows_rows"]],
        charts=[chart_entry(chart) for chart in drawn if shows or not chart["shows_rows"]],
        rows=[_row(row, shows) for row in document.get("rows", [])[:MOST_ROWS]],
        hidden=0 if shows else sum(bool(item["shows_rows"]) for item in [*drawn, *tables]),
        cost_planned={k: v for k, v in node.cost.items() if k != "bytes"},
        cost_spent=spent,
        seconds=record.seconds if record else None,
        digest=record.content if record else "",
        paper=declaration.paper,
        summary=declaration.summary,
        reading=declaration.reading,
        limits=declaration.limits,
        status=status_of(run, node),
        reason=run.reason(node.id),
    )


def _charts_of_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    charts = []
    for row in document.get("rows", [])[:MOST_CHARTED]:
        for chart in row["charts"]:
            subject = f"row {row['row_id']}" + (f", {chart['subject']}" if chart["subject"] else "")
            charts.append({**chart, "subject": subject})
    return charts


def _row(row: Mapping[str, Any], shows: bool) -> StatedRow:
    said = row["statements"]
    return StatedRow(
        row_id=row["row_id"],
        said=[one["text"] if shows else one["without_values"] for one in said],
        numbers=[dict(one["numbers"]) for one in said],
    )


def _table(node: Node, table: Mapping[str, Any]) -> TableEntry:
    rows = [list(row) for row in table["rows"]]
    return TableEntry(step=node.step or node.id, title=table["title"], columns=list(table["columns"]), rows=rows)


def chart_entry(chart: Mapping[str, Any]) -> ChartEntry:
    """A chart, matrix or picture of a result as an entry of the factsheet."""
    if "curves" not in chart and "columns" not in chart:
        values = [list(line) for line in chart["values"]]
        return ChartEntry(kind="picture", title=chart["title"], subject=chart["subject"], values=values)
    if "curves" not in chart:
        return ChartEntry(
            kind="matrix",
            title=chart["title"],
            x_title=chart["x_title"],
            y_title=chart["y_title"],
            subject=chart["subject"],
            rows=list(chart["rows"]),
            columns=list(chart["columns"]),
            values=[list(row) for row in chart["values"]],
            unit=chart["unit"],
        )
    return ChartEntry(
        kind=chart["kind"],
        title=chart["title"],
        x_title=chart["x_title"],
        y_title=chart["y_title"],
        subject=chart["subject"],
        curves=[
            CurveEntry(
                name=curve["name"],
                x=[_shown_at(x) for x in curve["x"]],
                y=list(curve["y"]),
                low=None if curve["low"] is None else list(curve["low"]),
                high=None if curve["high"] is None else list(curve["high"]),
            )
            for curve in chart["curves"]
        ],
        marks=[_shown_at(mark) for mark in chart["marks"]],
    )


def _shown_at(x: Any) -> Any:
    """A position on an axis to four digits: positions are quantiles of the data, and in full they name a single row's value."""
    return float(f"{x:.4g}") if isinstance(x, float) else x
