"""Detail tables of the factsheet."""

from typing import Any

from pgx_compiler.report.part import Part


class TableEntry(Part):
    """A detail table of a step."""

    step: str
    title: str
    columns: list[str]
    rows: list[list[Any]]
