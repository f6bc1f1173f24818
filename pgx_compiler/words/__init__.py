"""One file a word of the command, found by walking.

Each exports ``HELP`` (one line), ``FORMATS`` (what ``--format`` offers, the default first), ``add_arguments(parser)`` and
``run(options) -> exit status``. Nothing heavy is imported at module level: every command pays for it.
"""

import argparse
import importlib
import json
import os
import pkgutil
import re
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any, Protocol, cast

PASSED, FAILED, AUTHOR, INCOMPLETE, STALE, DAMAGED, OURS, INTERRUPTED = 0, 1, 2, 3, 4, 5, 70, 130
"""Exit statuses: passed; a gate or finding failed; the author's mistake; incomplete; stale plan or lock; damaged evidence;
our failure; interrupted."""


class Word(Protocol):
    """What a file of this folder offers."""

    HELP: str
    FORMATS: tuple[str, ...]

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the word's own arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it; returns the exit status. Raises `AuthorError`."""


@cache
def words() -> Mapping[str, Word]:
    """Every word by its name on the command line."""
    names = sorted(entry.name for entry in pkgutil.iter_modules(__path__) if not entry.name.startswith("_"))
    return {name.replace("_", "-"): cast(Word, importlib.import_module(f"{__name__}.{name}")) for name in names}


_MOVING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""What moves a terminal's cursor, gives it commands, or hides and turns text; tabs and newlines are let through."""


def harmless(text: str) -> str:
    """Text for a terminal: what would control it is spelled out, as names and messages come from models and data."""
    return _MOVING.sub(lambda found: f"<U+{ord(found[0]):04X}>", text)


def one_line(text: str) -> str:
    """A name, or a sentence with names in it, that stands in one line: a break in it could forge the lines of others."""
    from pgx_compiler.diagnostics.render import harmless as spelled_out

    return spelled_out(text)


def say(text: str, *, painted: bool = False) -> None:
    """For people: stderr. Where it cannot be written nothing is said; the exit status and the files still tell.

    Args:
        text: what to say; characters that would control a terminal are spelled out.
        painted: it holds escapes of our own, and is harmless already.
    """
    try:
        print(text if painted else harmless(text), file=sys.stderr, flush=True)  # noqa: T201
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


class CannotAnswer(Exception):  # noqa: N818
    """stdout cannot be written: a full device."""


def answer(text: str) -> None:
    """For programs: stdout. Where its reader has gone nothing is said any more; the exit status still tells.

    Programs get the text as it is; on a terminal, characters that would control it are spelled out.

    Raises:
        CannotAnswer: stdout cannot take it, though somebody reads.
    """
    try:
        print(harmless(text) if sys.stdout.isatty() else text, flush=True)  # noqa: T201
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise CannotAnswer(error.strerror or str(error)) from error


def answer_json(value: Any) -> None:
    """Plain values as JSON, on stdout."""
    from pgx_compiler.evidence.canonical import plain

    text = json.dumps(plain(value), indent=2, ensure_ascii=False)
    answer(_MOVING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))  # the same value: they stand inside strings


def show_diagnostics(diagnostics: Any, sources: Mapping[str, str], format: str, *subjects: str) -> None:
    """Diagnostics in the format asked for: what people read goes to stderr, what programs read to stdout.

    Args:
        diagnostics: what was found.
        sources: file name to its text.
        format: one of `diagnostics.formats`; a format that is none of these (another output of a word) shows text.
        subjects: the files that were asked about.
    """
    from pgx_compiler.diagnostics.formats import format_called

    chosen = format_called(format)
    people = chosen.STREAM == "stderr"
    text = chosen.render(diagnostics, sources, subjects, _terminal() if people else None).rstrip("\n")
    if text and people:
        say(text, painted=True)
    elif text:
        answer(text)


def _terminal() -> Any:
    """The terminal on which people read stderr, or None where it goes elsewhere."""
    from pgx_compiler.diagnostics.render import Terminal

    if not sys.stderr.isatty():
        return None
    painted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"  # https://no-color.org
    return Terminal(painted, os.get_terminal_size(sys.stderr.fileno()).columns or None)
