"""Workflow commands of GitHub Actions, which become annotations beside the lines of a change."""

import os
from collections.abc import Mapping, Sequence

from pgx_compiler.diagnostics.diagnostic import Diagnostics
from pgx_compiler.diagnostics.remark import Remark, in_files, only, remarks, whole_sentence
from pgx_compiler.diagnostics.render import Terminal, harmless

STREAM = "stdout"

_COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}


def render(
    diagnostics: Diagnostics, sources: Mapping[str, str], subjects: Sequence[str], terminal: Terminal | None = None
) -> str:
    """Everything that was found, a command a line."""
    del sources, terminal
    return commands(remarks(diagnostics), subjects)


def commands(said: Sequence[Remark], subjects: Sequence[str]) -> str:
    """A command for each remark that did not pass: ``::error file=a.yaml,line=7,col=9,title=…::message``."""
    return "".join(_command(remark, only(subjects)) for remark in in_files(said) if remark.status != "passed")


def _command(remark: Remark, subject: str) -> str:
    span = remark.span
    properties: dict[str, str] = {}
    if span is not None:
        properties = {"file": span.file, "line": str(span.line), "endLine": str(span.end_line)}
        if span.line == span.end_line:  # columns of two different lines are refused
            properties |= {"col": str(span.column), "endColumn": str(span.end_column)}
    elif subject:
        properties = {"file": subject}
    properties["title"] = " ".join(dict.fromkeys([remark.rule.id, remark.rule.name]))
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    text = whole_sentence(remark) + (f"\nhelp: {remark.help}" if remark.help else "")
    return f"::{_COMMANDS[remark.level]} {listed}::{_data(harmless(text, keep_newlines=True))}\n"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return (
        _data(harmless(os.fsencode(text).decode("utf-8", "replace"), keep_newlines=True))
        .replace(":", "%3A")
        .replace(",", "%2C")
    )
