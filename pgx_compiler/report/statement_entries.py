"""The part of the factsheet about methods whose result is no attribution: their charts, tables and statements."""

from typing import Any, Literal

from pgx_compiler.report.part import Number, Part
from pgx_compiler.report.table_entry import TableEntry


class CurveEntry(Part):
    """One line, or one group of bars or points, of a chart."""

    name: str
    x: list[Any]
    y: list[Number | None]
    low: list[Number | None] | None = None
    """Lower end of a 95 % interval."""
    high: list[Number | None] | None = None


class ChartEntry(Part):
    """A picture as data."""

    kind: Literal["lines", "bars", "points", "steps", "matrix", "picture"]
    title: str
    x_title: str = ""
    y_title: str = ""
    subject: str = ""
    """The feature, class, group or row that it is about."""
    curves: list[CurveEntry] = []
    marks: list[Number] = []
    """Positions on x where the data has its deciles."""
    rows: list[str] = []
    """Of a matrix: names of its rows."""
    columns: list[str] = []
    values: list[list[Number | None]] = []
    """Of a matrix; of a picture its shades of grey, line by line, from 0 (black) to 1 (white)."""
    unit: str = ""


class StatedRow(Part):
    """What a step says of one row."""

    row_id: str
    said: list[str]
    """The best first; with the row's values only where the spec shows rows."""
    numbers: list[dict[str, Number | None]] = []
    """What each of them comes with."""


class StatementEntry(Part):
    """One step under ``explain`` whose result is no attribution: statements about rows, or about the whole model."""

    step: str
    method: str
    title: str
    about: Literal["rows", "model"]
    direction: Literal["perturbation", "gradient"]
    runtime: str
    unit: str
    """The score that its numbers are in."""
    parameters: dict[str, Any]
    facts: list[str]
    findings: list[str]
    tables: list[TableEntry] = []
    charts: list[ChartEntry] = []
    rows: list[StatedRow] = []
    hidden: int = 0
    """Tables and charts that hold values of single rows and are left out, because the spec does not show rows."""
    cost_planned: dict[str, int]
    cost_spent: dict[str, int]
    seconds: Number | None = None
    digest: str
    paper: str
    summary: str
    reading: str
    limits: str
    status: Literal["done", "failed", "blocked"] = "done"
    reason: str | None = None
