"""One file a format, found by walking; the file's name is the format's.

Each exports ``STREAM`` (``stdout`` where programs read it, ``stderr`` where people do) and ``render(diagnostics, sources,
subjects, terminal) -> text``; the text is complete and valid also where nothing is wrong. `subjects` are the files that
were checked: a format that lists what is fine names them.
"""

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, Protocol, cast

from pgx_compiler.diagnostics.diagnostic import Diagnostics
from pgx_compiler.diagnostics.render import Terminal


class Format(Protocol):
    """What a file of this folder offers."""

    STREAM: Literal["stdout", "stderr"]

    def render(
        self,
        diagnostics: Diagnostics,
        sources: Mapping[str, str],
        subjects: Sequence[str],
        terminal: Terminal | None = None,
    ) -> str:
        """Everything that was found, in this format."""


@cache
def names() -> tuple[str, ...]:
    """Every format's name, `text` first: it is the default. Imports none of them."""
    found = sorted(entry.name for entry in pkgutil.iter_modules(__path__))
    return tuple(sorted(found, key=lambda name: name != "text"))


def format_called(name: str) -> Format:
    """The format of that name; of a name that is none of them (another output of a command), text."""
    return cast(Format, importlib.import_module(f"{__name__}.{name if name in names() else 'text'}"))
