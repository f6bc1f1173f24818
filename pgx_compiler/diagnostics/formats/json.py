"""``{"diagnostics": [...], "errors": n, "warnings": n}``: everything, for programs; lines and columns from 1."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pgx_compiler.diagnostics.diagnostic import Diagnostic, Diagnostics
from pgx_compiler.diagnostics.render import Terminal

STREAM = "stdout"


def render(
    diagnostics: Diagnostics, sources: Mapping[str, str], subjects: Sequence[str], terminal: Terminal | None = None
) -> str:
    """Everything that was found, as plain ASCII."""
    del sources, subjects, terminal
    items = list(diagnostics)
    document = {
        "diagnostics": [as_data(item) for item in items],
        "errors": sum(item.severity == "error" for item in items),
        "warnings": sum(item.severity == "warning" for item in items),
    }
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def as_data(item: Diagnostic) -> dict[str, Any]:
    """One diagnostic as plain data."""
    span = item.span
    return {
        "code": str(item.code),
        "name": item.code.name,
        "severity": item.severity,
        "message": item.message,
        "label": item.label,
        "help": item.help,
        "path": list(item.path),
        "span": None
        if span is None
        else {
            "file": span.file,
            "start": {"line": span.line, "column": span.column},
            "end": {"line": span.end_line, "column": span.end_column},
        },
    }
