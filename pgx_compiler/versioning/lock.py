"""``pgx.lock``: what the audits of a folder stood on when somebody last said that this is right.

One file for all specs of a folder, a section for each, sorted JSON with a line for each digest or version, so that a
change shows in review as the line that it is. Being JSON it is YAML too: the reader of specs gives every line's place.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics, Span
from pgx_compiler.evidence.canonical import plain
from pgx_compiler.evidence.store import write_atomically
from pgx_compiler.plan.plan import Plan
from pgx_compiler.spec.source import Document, load, read_source
from pgx_compiler.versioning.ground import Shift, ground_of, ground_of_lock, shifts

SCHEMA = "pgx-locks/1"
NAME = "pgx.lock"

STALE_LOCK = Code(
    5060,
    "stale-lock",
    "A model file, a data file, a method or a library is not the one that `pgx.lock` names. If the change is meant, "
    "`pgx lock SPEC` writes the lock anew, and the difference goes through review with the spec. If it is not, put the "
    "file or the version back. Without `--locked` this is a warning; with it nothing is computed.",
)
NOT_LOCKED = Code(
    5061,
    "not-locked",
    "`--locked` asks that everything is what `pgx.lock` says, but there is no lock for this spec yet. `pgx lock SPEC` "
    "writes it, beside the spec; keep it in version control.",
)
BROKEN_LOCK = Code(
    5062,
    "broken-lock",
    "`pgx.lock` is not one that this program writes: it was edited by hand, is left half merged, or comes from a newer "
    "pgx. `pgx lock SPEC` writes the section of a spec anew; delete the file first if it cannot be read at all.",
)


@dataclass(frozen=True)
class LockFile:
    """A lock as it stands on disk."""

    path: Path
    document: Document
    specs: Mapping[str, Any]
    """File name of a spec to its section."""


def lock_path(spec: str | Path) -> Path:
    """Where the lock of a spec is: beside it, shared with the other specs of the folder."""
    return Path(spec).parent / NAME


def read_lock(path: Path) -> LockFile | None:
    """The lock at a path, or None where there is none. Raises `AuthorError` where it is broken."""
    if not path.exists():
        return None
    text = read_source(path)
    return parse_lock(text, path)


def parse_lock(text: str, path: Path) -> LockFile:
    """The same from its text. Raises `AuthorError`."""
    try:
        data = json.loads(text)
    except ValueError as error:
        raise _broken(path, text, *_first_mistake(text, error)) from None
    document = load(text, str(path))
    specs: Any = data.get("specs") if isinstance(data, dict) and data.get("schema") == SCHEMA else None
    if document.diagnostics.failed or not isinstance(specs, dict) or not all(map(_is_section, specs.values())):
        raise _broken(path, text, f"it is not of the form {SCHEMA}", document.key_span(("schema",)))
    return LockFile(path, document, specs)


def _first_mistake(text: str, error: ValueError) -> tuple[str, Span | None]:
    """Where a text stops being JSON, and why in words."""
    conflict = re.search(r"^(<{7}|={7}|>{7})( |$)", text, re.MULTILINE)
    at = conflict.start() if conflict else getattr(error, "pos", 0)
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    reason = "it holds the markers of a merge conflict" if conflict else "it is not JSON"
    return reason, Span("", line, column, line, column + 7 if conflict else column + 1)


def _broken(path: Path, text: str, reason: str, span: Span | None) -> AuthorError:
    place = None if span is None else replace(span, file=str(path))
    help_ = "take it from version control, or delete it and write it anew with `pgx lock SPEC`"
    found = Diagnostics([Diagnostic(BROKEN_LOCK, f"`{path}` is not a lock: {reason}", place, help_)])
    return AuthorError(found, {str(path): text})


def _is_section(section: Any) -> bool:
    return isinstance(section, dict) and all(
        isinstance(value, str)
        or (isinstance(value, dict) and not any(isinstance(v, dict | list) for v in value.values()))
        for value in section.values()
    )


@dataclass(frozen=True)
class Locked:
    """What writing a lock did."""

    path: Path
    new: bool
    """True where the spec had no section before."""
    shifts: tuple[Shift, ...]
    forgotten: tuple[str, ...]
    """Specs that are no longer in the folder, and whose sections went with them."""


def write_lock(plan: Plan, spec: str | Path) -> Locked:
    """Write what a plan stands on into the lock beside its spec. Raises `AuthorError` where the old one is broken."""
    path = lock_path(spec)
    known = read_lock(path)
    before = dict(known.specs) if known else {}
    forgotten = tuple(sorted(name for name in before if not (path.parent / name).is_file()))
    section = {name: value for name, value in plain(plan.lock).items() if name != "schema"}
    name = Path(spec).name
    old = before.get(name)
    specs = {key: value for key, value in before.items() if key not in forgotten} | {name: section}
    text = json.dumps({"schema": SCHEMA, "specs": specs}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if known is None or known.document.text != text:
        write_atomically(path, text.encode())
    changed = tuple(shifts(ground_of_lock(old), ground_of(plan))) if old is not None else ()
    return Locked(path, old is None, changed, forgotten)


def compare_with_lock(
    plan_of: Callable[[], Plan], spec: str | Path, locked: bool
) -> tuple[Diagnostics, dict[str, str]]:
    """What differs between a plan and the lock beside its spec, and the lock's text to show it with.

    Args:
        plan_of: compiles the spec; called only where there is a lock for it.
        spec: its path.
        locked: True where everything must be as the lock says: differences are errors, and so is a lock that is missing.

    Raises:
        AuthorError: the lock is broken.
    """
    found = Diagnostics()
    lock = read_lock(lock_path(spec))
    name = Path(spec).name
    if lock is None or name not in lock.specs:
        if locked:
            missing = f"there is no `{lock_path(spec)}`" if lock is None else f"`{lock.path}` does not know `{name}`"
            span = lock.document.key_span(("specs",)) if lock else None
            found.add(Diagnostic(NOT_LOCKED, missing, span, f"write it: pgx lock {spec}"))
        return found, {str(lock.path): lock.document.text} if lock else {}
    section = lock.specs[name]
    for shift in shifts(ground_of_lock(section), ground_of(plan_of())):
        found.add(_stale(shift, lock, name, spec, locked))
    return found, {str(lock.path): lock.document.text}


def _stale(shift: Shift, lock: LockFile, name: str, spec: str | Path, locked: bool) -> Diagnostic:
    if shift.new is None:
        message = f"{shift.what} is in the lock, but the audit does not use it"
    elif shift.old is None:
        message = f"{shift.what} is not in the lock"
    else:
        words = "has changed" if shift.category in ("models", "data", "masks") else "is another version"
        message = f"{shift.what} {words}: {str(shift).rpartition(': ')[2]}"
    help_ = f"if this is meant: pgx lock {spec}"
    severity: Any = "error" if locked else "warning"
    return Diagnostic(STALE_LOCK, message, _place(shift, lock, name), help_, severity)


def _place(shift: Shift, lock: LockFile, name: str) -> Span | None:
    path: tuple[str, ...] = ("specs", name, shift.category)
    if shift.category != "pgx":
        path = (*path, shift.name)
    document = lock.document
    return document.value_span(path) if path in document.values else document.key_span(path)
