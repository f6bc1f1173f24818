"""Move a spec to the language of today, keeping comments and formatting: characters are replaced where they stand."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.diagnostics.nearest import quoted, shortened
from pgx_compiler.evidence.store import write_atomically
from pgx_compiler.spec.model import AuditSpec
from pgx_compiler.spec.parse import parse
from pgx_compiler.spec.source import Document, load, read_source
from pgx_compiler.versioning.migrations import Edit, Migration, migrations

NO_MIGRATION = Code(
    5072,
    "no-migration",
    "`pgx upgrade` knows no way from this `apiVersion` to the language of this program: the spec comes from a newer pgx, or "
    "the version is mistyped. Specs of a newer language need a newer pgx.",
)

CURRENT: str = get_args(AuditSpec.model_fields["apiVersion"].annotation)[0]
"""The version of the language that this program reads."""


@dataclass(frozen=True)
class Upgraded:
    """A spec in the language of today."""

    path: Path
    before: str
    after: str
    steps: tuple[Migration, ...]
    """The migrations that were applied, in order; none: it is of today already."""
    remaining: Diagnostics
    """What is still wrong with the form of the new text."""

    @property
    def difference(self) -> str:
        """A unified diff."""
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        shown = self.path.as_posix().lstrip("/")
        return "".join(difflib.unified_diff(before, after, f"a/{shown}", f"b/{shown}"))


def upgrade(path: Path) -> Upgraded:
    """The text of a spec in the language of today; nothing is written. Raises `AuthorError`."""
    before = read_source(path)
    text, steps = before, []
    while True:
        document = _read(text, path)
        version = document.at(("apiVersion",))
        if version == CURRENT:
            break
        migration = migrations().get(version) if isinstance(version, str) else None
        if migration is None:
            raise _unknown(version, document)
        steps.append(migration)
        text = _applied(migration, document)
    remaining = parse(text, str(path), path.parent).diagnostics if steps else Diagnostics()
    return Upgraded(path, before, text, tuple(steps), remaining)


def write(upgraded: Upgraded) -> None:
    """Write the new text over the old."""
    write_atomically(upgraded.path, upgraded.after.encode())


def _read(text: str, path: Path) -> Document:
    document = load(text, str(path))
    if document.diagnostics.failed:
        raise AuthorError(document.diagnostics, {str(path): text})
    return document


def _unknown(version: object, document: Document) -> AuthorError:
    known = quoted(sorted(migrations()))
    message = f"there is no way from `apiVersion: {shortened(version)}` to `{CURRENT}`"
    if version is None:
        message = "the spec has no `apiVersion`"
    span = document.value_span(("apiVersion",)) or document.key_span(())
    found = Diagnostics([Diagnostic(NO_MIGRATION, message, span, f"versions that can be upgraded: {known}")])
    return AuthorError(found, {document.file: document.text})


def _applied(migration: Migration, document: Document) -> str:
    edits: list[Edit] = []
    refused = Diagnostics()
    for item in migration.edits(document):
        if isinstance(item, Edit):
            edits.append(item)
        else:
            refused.add(item)
    if refused.failed:
        raise AuthorError(refused, {document.file: document.text})
    return replaced(document.text, edits)


def replaced(text: str, edits: Iterable[Edit]) -> str:
    """A text with characters replaced; the last place first, so that the others stay where they are.

    Each place is within one line. Quotes around a replaced scalar stay.
    """
    lines = text.split("\n")
    places = {(edit.span.line, edit.span.column, edit.span.end_column): edit.text for edit in edits}
    for (line, column, end), new in sorted(places.items(), reverse=True):
        old = lines[line - 1][column - 1 : end - 1]
        quote = old[0] if old[:1] in ("'", '"') else ""
        lines[line - 1] = f"{lines[line - 1][: column - 1]}{quote}{new}{quote}{lines[line - 1][end - 1 :]}"
    return "\n".join(lines)
