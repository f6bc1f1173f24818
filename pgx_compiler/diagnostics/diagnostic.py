"""A diagnostic: code, severity, message, span and help. Collected, never raised one at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal


@dataclass(frozen=True)
class Span:
    """A place in a file; lines and columns count from 1, columns in characters."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True)
class Code:
    """One kind of diagnostic, declared beside the check that raises it.

    Number ranges: 1xxx YAML, 2xxx schema, 3xxx names and references, 4xxx capabilities and meaning, 5xxx files and
    locks, 6xxx execution, 7xxx gates, 9xxx ours.
    """

    number: int
    name: str
    """kebab-case: ``unknown-key``."""
    explanation: str
    """What it means and how to mend it: printed by ``pgx explain PGX2001``."""

    def __str__(self) -> str:
        return f"PGX{self.number:04d}"


@dataclass(frozen=True)
class Diagnostic:
    """One thing to say of the author's text."""

    code: Code
    message: str
    span: Span | None
    help: str
    """What to do about it; never empty."""
    severity: Literal["error", "warning"] = "error"
    label: str = ""
    """Short words beside the caret: ``did you mean `steps`?``."""
    path: tuple[str | int, ...] = ()
    """Where in the document."""


@dataclass
class Diagnostics:
    """What has been found so far, in the order of the document when rendered."""

    items: list[Diagnostic] = field(default_factory=list)

    def add(self, item: Diagnostic) -> None:
        """Remember one more, unless the very same was said already, be it of another copy of the same text."""
        if all(item != replace(known, path=item.path) for known in self.items):
            self.items.append(item)

    def __iter__(self) -> Iterator[Diagnostic]:
        def place(item: Diagnostic) -> tuple[str, int, int, int]:
            span = item.span
            return (span.file, span.line, span.column, item.code.number) if span else ("", 0, 0, item.code.number)

        return iter(sorted(self.items, key=place))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def failed(self) -> bool:
        """True where at least one is an error."""
        return any(item.severity == "error" for item in self.items)


class AuthorError(Exception):
    """The author's mistake, with everything that was found; the command line renders it and exits with 2."""

    def __init__(self, diagnostics: Diagnostics, sources: dict[str, str] | None = None) -> None:
        from pgx_compiler.diagnostics.render import render_text

        self.diagnostics = diagnostics
        self.sources = sources or {}
        super().__init__(render_text(diagnostics, self.sources))
