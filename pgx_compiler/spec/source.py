"""The text of a spec from a file, and as plain data with a span for every key and value."""

import errno
import os
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics, Span
from pgx_compiler.diagnostics.nearest import shortened
from pgx_compiler.spec.reader import Path_, Reader
from pgx_compiler.spec.refusals import LARGEST_FILE, TOO_LARGE

__all__ = ["Composition", "Document", "LeftOut", "Path_", "load", "load_value", "read_source", "read_standard_input"]

STDIN = "<stdin>"
"""What standard input is called in messages."""

UNREADABLE = Code(
    1001,
    "unreadable-file",
    "The spec must be a regular file that you may read. Folders, pipes, devices and loops of symbolic links are"
    " refused before they are opened for reading. Check the path and its permissions.",
)
NOT_TEXT = Code(
    1003,
    "not-utf8",
    "A spec is UTF-8 text without a byte-order mark. Save the file as UTF-8; the message names the first bad byte.",
)


@dataclass(frozen=True)
class Composition:
    """What a document was put together from: more than one text where it extends others or is overridden."""

    sources: Mapping[str, str] = field(default_factory=dict)
    """Every file and every piece of the command line, by the name that spans give it, to its text."""
    composed: bool = False
    """The document is not what its file says, word for word."""
    overrides: tuple[str, ...] = ()
    """What the command line changed: ``--set explain.rows.sample=8``."""
    left_out: tuple["LeftOut", ...] = ()
    """Steps whose `when` does not hold."""
    refused: tuple[Path_, ...] = ()
    """Values that composing complained about; they are None in the data."""
    incomplete: bool = False
    """A file that it extends could not be read: what is missing may stand there."""


@dataclass(frozen=True)
class LeftOut:
    """A step that the audit does without, because its `when` does not hold."""

    step: str
    because: str
    """The condition that does not hold: ``has: keras``."""
    span: Span | None


@dataclass(frozen=True)
class Document:
    """A spec as plain data, and where each part of it stands."""

    file: str
    text: str
    data: Any
    """Mappings with text keys, lists, text, numbers, booleans and None; None where the text could not be read."""
    keys: Mapping[Path_, Span]
    """Path to the span of its key."""
    values: Mapping[Path_, Span]
    """Path to the span of its value; an alias has its own span, what is below it that of the anchor's text."""
    diagnostics: Diagnostics
    composition: "Composition" = field(default_factory=lambda: Composition())
    """What it was put together from."""

    def name_of(self, file: str) -> str:
        """A file that the spec is made of as the spec's own folder knows it: where that folder lies is nobody's business."""
        return file.removeprefix(f"{Path(self.file).parent}/")

    def value_span(self, path: Path_) -> Span | None:
        """Span of a value; where the document does not hold it, that of the nearest parent's key."""
        if path in self.values:
            return self.values[path]
        return self.key_span(path[:-1]) if path else None

    def key_span(self, path: Path_) -> Span | None:
        """Span of a key; of a list's item its value; where the document does not hold it, of the nearest parent."""
        while path not in self.keys and path not in self.values and path:
            path = path[:-1]
        if not path:  # of the whole document: its first key, not all of its lines
            return next(iter(self.keys.values()), self.values.get(()))
        return self.keys.get(path) or self.values.get(path)

    def at(self, path: Path_) -> Any:
        """The data at a path, or None where it holds nothing."""
        found = self.data
        for part in path:
            try:
                found = found[part]
            except (KeyError, IndexError, TypeError):
                return None
        return found


def read_source(path: Path) -> str:
    """Read the text of a spec.

    Raises:
        AuthorError: with one diagnostic: no such file, not a regular file, unreadable, too large, or not UTF-8.
    """
    shown = str(path)
    try:
        # O_NONBLOCK: opening a pipe without a writer must not hang
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise _refusal(UNREADABLE, f"cannot read `{shortened(shown)}`: {_reason(error)}", shown) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise _refusal(UNREADABLE, f"`{shortened(shown)}` is not a regular file but {_kind(status.st_mode)}", shown)
        if status.st_size > LARGEST_FILE:
            raise _refusal(TOO_LARGE, f"the spec holds {status.st_size:,} bytes, more than 1 MiB", shown)
        content = b""
        while len(content) <= LARGEST_FILE and (block := os.read(handle, LARGEST_FILE + 1)):
            content += block
    except OSError as error:
        raise _refusal(UNREADABLE, f"cannot read `{shortened(shown)}`: {_reason(error)}", shown) from None
    finally:
        os.close(handle)
    if len(content) > LARGEST_FILE:
        raise _refusal(TOO_LARGE, "the spec holds more than 1 MiB", shown)
    return _decoded(content, shown)


def _decoded(content: bytes, file: str) -> str:
    if content.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _refusal(NOT_TEXT, "the spec starts with a byte-order mark", file, "save it as UTF-8 without one")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        message = f"byte 0x{content[error.start]:02x} at offset {error.start} is not UTF-8"
        span = Span(file, line, column, line, column + 1)
        found = Diagnostics([Diagnostic(NOT_TEXT, message, span, "save the file as UTF-8")])
        raise AuthorError(found, {file: content.decode("utf-8", "replace")}) from None


def _refusal(code: Code, message: str, file: str, help: str = "give the path of a text file") -> AuthorError:
    return AuthorError(Diagnostics([Diagnostic(code, message, Span(file, 1, 1, 1, 1), help)]), {})


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno == errno.ELOOP:
        return "its symbolic links lead in a circle"
    return (error.strerror or "unreadable").lower() if isinstance(error, OSError) else "the name is not a path"


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"))
    return next((word for test, word in kinds if test(mode)), "a device")


def load(text: str, file: str) -> Document:
    """Read the text of a spec into plain data with spans; everything wrong with it is in the diagnostics."""
    reader = Reader(text, file)
    data = reader.read()
    composition = Composition({file: text})
    return Document(file, text, data, reader.keys, reader.values, reader.diagnostics, composition)


def load_value(text: str, file: str) -> Document:
    """Read the text of a single value, which need not be a mapping, as `load` reads a whole spec."""
    reader = Reader(text, file, any_value=True)
    data = reader.read()
    return Document(file, text, data, reader.keys, reader.values, reader.diagnostics)


def read_standard_input() -> str:
    """Read the text of a spec from standard input. Raises `AuthorError` as `read_source` does."""
    content = sys.stdin.buffer.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise _refusal(TOO_LARGE, "the spec holds more than 1 MiB", STDIN)
    return _decoded(content, STDIN)
