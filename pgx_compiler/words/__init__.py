"""One file a word of the command, found by walking.

Each exports ``HELP`` (one line), ``FORMATS`` (what ``--format`` offers, the default first), ``add_arguments(parser)`` and
``run(options) -> exit status``. Nothing heavy is imported at module level: every command pays for it.
"""

import argparse
import importlib
import json
import pkgutil
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


def say(text: str) -> None:
    """For people: stderr."""
    print(text, file=sys.stderr)  # noqa: T201


def answer(text: str) -> None:
    """For programs: stdout."""
    print(text)  # noqa: T201


def answer_json(value: Any) -> None:
    """Plain values as JSON, on stdout."""
    from pgx_compiler.evidence.canonical import plain

    answer(json.dumps(plain(value), indent=2, ensure_ascii=False))


def show_diagnostics(diagnostics: Any, sources: Mapping[str, str], format: str) -> None:
    """Diagnostics in the format asked for: JSON on stdout, text on stderr."""
    from pgx_compiler.diagnostics.render import render_json, render_text

    if format == "json":
        answer(render_json(diagnostics))
    else:
        say(render_text(diagnostics, sources, sys.stderr.isatty()))
