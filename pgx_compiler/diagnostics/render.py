"""Diagnostics as text, with the line and a caret; the other formats are in `formats`."""

import textwrap
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pgx_compiler.diagnostics.diagnostic import Diagnostic, Diagnostics, Span

WIDEST = 120
"""Columns of the source line that are shown; a longer line is cut around the caret."""

NARROWEST = 40
"""Columns below which nothing is folded further: it would be harder to read than a line that the terminal breaks."""


@dataclass(frozen=True)
class Terminal:
    """Where people read it; without one, nothing is painted and no sentence is folded."""

    color: bool = False
    """It understands ANSI escapes."""
    columns: int | None = None
    """Its width; None: unknown."""


PLAIN = Terminal()

_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[1;33m", "rail": "\x1b[1;34m", "bold": "\x1b[1m"}
_PLAIN = "\x1b[0m"


def render_text(diagnostics: Diagnostics, sources: Mapping[str, str], terminal: Terminal | None = None) -> str:
    """Every diagnostic in the order of the document, for people, with a last line that counts them.

    Args:
        diagnostics: what was found.
        sources: file name to its text; a file that is missing here is shown without its line.
        terminal: where it is shown; None: somewhere else.
    """
    terminal = terminal or PLAIN
    lines_of = {file: text.split("\n") for file, text in sources.items()}
    blocks = [_block(item, lines_of, terminal) for item in diagnostics]
    if not blocks:
        return ""
    blocks.append(summary(diagnostics))
    if terminal.columns:
        first = next((item for item in diagnostics if item.severity == "error"), next(iter(diagnostics)))
        blocks[-1] += f"; `pgx explain {first.code}` says more of the first"
    return "\n\n".join(blocks) + "\n"


def summary(diagnostics: Iterable[Diagnostic]) -> str:
    """How many errors and warnings there are: ``2 errors, 1 warning``."""
    severities = [item.severity for item in diagnostics]
    counts = [(word, severities.count(word)) for word in ("error", "warning") if word in severities]
    return ", ".join(f"{count} {word}{'s' if count > 1 else ''}" for word, count in counts) or "nothing to say"


def _painted(role: str, text: str) -> str:
    return f"{_COLOURS[role]}{text}{_PLAIN}"


def _unpainted(_role: str, text: str) -> str:
    return text


def _block(item: Diagnostic, lines_of: Mapping[str, list[str]], terminal: Terminal) -> str:
    paint = _painted if terminal.color else _unpainted
    name = f"{item.severity}[{item.code}]"
    told = _folded(f"{name}: {harmless(item.message)}", 0, terminal).removeprefix(name)
    head = paint(item.severity, name) + "\n".join(paint("bold", line) for line in told.split("\n"))
    span = item.span
    if span is None:
        return "\n".join([head, *_notes(item, 1, terminal, paint)])
    width = len(str(span.line))
    pad = " " * width
    shown = [head, f"{pad}{paint('rail', '-->')} {harmless(span.file)}:{span.line}:{span.column}"]
    lines = lines_of.get(span.file)
    if lines is not None and span.line <= len(lines):
        widest = min(WIDEST, max(NARROWEST, terminal.columns - width - 5)) if terminal.columns else WIDEST
        text, mark = _excerpt(lines[span.line - 1].removesuffix("\r"), span, widest)
        label = f" {harmless(item.label)}" if item.label else ""
        shown += [
            f"{pad} {paint('rail', '|')}",
            f"{paint('rail', f'{span.line} |')} {text}".rstrip(),
            f"{pad} {paint('rail', '|')} {mark.replace('^', '')}{paint(item.severity, '^' * mark.count('^') + label)}",
            f"{pad} {paint('rail', '|')}",
        ]
    return "\n".join([*shown, *_notes(item, width, terminal, paint)])


def _notes(item: Diagnostic, width: int, terminal: Terminal, paint: Any) -> list[str]:
    pad = " " * width
    lines = harmless(item.help, keep_newlines=True).split("\n")
    folded = [part for line in lines for part in _folded(line, width + 9, terminal).split("\n")]
    notes = [f"{pad} {paint('rail', '=')} {paint('bold', 'help')}: {folded[0]}"]
    return notes + [f"{pad}         {line.strip()}" for line in folded[1:]]


def _folded(text: str, indent: int, terminal: Terminal) -> str:
    """A sentence folded to the terminal, in its own lines; words are not cut."""
    if not terminal.columns or _columns(text) + indent <= terminal.columns:
        return text
    width = max(NARROWEST, terminal.columns - indent)
    return "\n".join(textwrap.wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False))


def _excerpt(line: str, span: Span, widest: int) -> tuple[str, str]:
    """A source line made harmless, cut to a readable width, and the carets below it."""
    last = span.end_column - 1 if span.end_line == span.line else len(line)
    first = min(span.column - 1, len(line))
    last = max(min(last, len(line)), first + 1)
    start, end = 0, len(line)
    before, after = "", ""
    if len(line) > 4 * widest or _columns(harmless(line)) > widest:  # a line may be the whole file: measure little
        start = _back_from(line, first, widest // 3)
        end = _on_from(line, start, widest)
        if end == len(line):
            start = min(start, _back_from(line, end, widest))
        before, after = "…" if start else "", "…" if end < len(line) else ""
    text = before + harmless(line[start:end]) + after
    indent = _columns(before + harmless(line[start:first]))
    carets = max(1, _columns(harmless(line[first : min(last, end)])))
    return text, " " * indent + "^" * carets


def _back_from(line: str, place: int, cells: int) -> int:
    """The place so many cells of a terminal before another."""
    taken = 0
    while place and taken < cells:
        place -= 1
        taken += _columns(harmless(line[place]))
    return place


def _on_from(line: str, place: int, cells: int) -> int:
    """The place so many cells of a terminal after another, or the line's end."""
    taken = 0
    while place < len(line) and (taken := taken + _columns(harmless(line[place]))) <= cells:
        place += 1
    return place


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
        0
        if unicodedata.category(character) in ("Mn", "Me")
        else 2
        if unicodedata.east_asian_width(character) in "WF"
        else 1
        for character in text
    )
