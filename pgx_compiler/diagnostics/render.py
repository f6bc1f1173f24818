"""Diagnostics as text with the line and a caret, and as JSON."""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from pgx_compiler.diagnostics.diagnostic import Diagnostic, Diagnostics, Span

WIDEST = 120
"""Columns of the source line that are shown; a longer line is cut around the caret."""

_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "rail": "\x1b[1;34m", "bold": "\x1b[1m"}
_PLAIN = "\x1b[0m"


def render_text(diagnostics: Diagnostics, sources: Mapping[str, str], color: bool = False) -> str:
    """Every diagnostic in the order of the document, for people, with a last line that counts them.

    Args:
        diagnostics: what was found.
        sources: file name to its text; a file that is missing here is shown without its line.
        color: paint with ANSI escapes.
    """
    paint = _painted if color else _unpainted
    lines_of = {file: text.split("\n") for file, text in sources.items()}
    blocks = [_block(item, lines_of, paint) for item in diagnostics]
    if not blocks:
        return ""
    blocks.append(summary(diagnostics))
    return "\n\n".join(blocks) + "\n"


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """How many errors and warnings there are: ``2 errors, 1 warning``."""
    severities = [item.severity for item in diagnostics]
    counts = [(word, severities.count(word)) for word in ("error", "warning") if word in severities]
    return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts) or "nothing to say"


def render_json(diagnostics: Diagnostics) -> str:
    """The same for machines: ``{"diagnostics": [...], "errors": n, "warnings": n}``, lines and columns from 1."""
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


def _painted(role: str, text: str) -> str:
    return f"{_COLOURS[role]}{text}{_PLAIN}"


def _unpainted(_role: str, text: str) -> str:
    return text


def _block(item: Diagnostic, lines_of: Mapping[str, list[str]], paint: Any) -> str:
    head = paint(item.severity, f"{item.severity}[{item.code}]") + paint("bold", f": {harmless(item.message)}")
    span = item.span
    if span is None:
        return "\n".join([head, *_notes(item, 1, paint)])
    width = len(str(span.line))
    pad = " " * width
    shown = [head, f"{pad}{paint('rail', '-->')} {harmless(span.file)}:{span.line}:{span.column}"]
    lines = lines_of.get(span.file)
    if lines is not None and span.line <= len(lines):
        text, mark = _excerpt(lines[span.line - 1].removesuffix("\r"), span)
        label = f" {harmless(item.label)}" if item.label else ""
        shown += [
            f"{pad} {paint('rail', '|')}",
            f"{paint('rail', f'{span.line} |')} {text}".rstrip(),
            f"{pad} {paint('rail', '|')} {mark.replace('^', '')}{paint(item.severity, '^' * mark.count('^') + label)}",
            f"{pad} {paint('rail', '|')}",
        ]
    return "\n".join([*shown, *_notes(item, width, paint)])


def _notes(item: Diagnostic, width: int, paint: Any) -> list[str]:
    pad = " " * width
    help_lines = harmless(item.help, keep_newlines=True).split("\n")
    notes = [f"{pad} {paint('rail', '=')} help: {help_lines[0]}"]
    return notes + [f"{pad}         {line}" for line in help_lines[1:]]


def _excerpt(line: str, span: Span) -> tuple[str, str]:
    """A source line made harmless, cut to a readable width, and the carets below it."""
    last = span.end_column - 1 if span.end_line == span.line else len(line)
    first = min(span.column - 1, len(line))
    last = max(min(last, len(line)), first + 1)
    start, end = 0, len(line)
    before, after = "", ""
    if len(line) > WIDEST:
        start = max(0, first - WIDEST // 3)
        end = min(len(line), start + WIDEST)
        before, after = "…" if start else "", "…" if end < len(line) else ""
    text = before + harmless(line[start:end]) + after
    indent = _columns(before + harmless(line[start:first]))
    carets = max(1, _columns(harmless(line[first : min(last, end)])))
    return text, " " * indent + "^" * carets


def harmless(text: str, keep_newlines: bool = False) -> str:
    """Text in which nothing moves the cursor or turns the direction: such characters are spelled out."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or (keep_newlines and character == "\n")
        else " " * 4
        if character == "\t"
        else f"<U+{ord(character):04X}>"
        for character in text
    )


def _columns(text: str) -> int:
    """Cells of a terminal that a harmless text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
