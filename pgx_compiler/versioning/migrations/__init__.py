"""One file a step from one version of the language to the next, found by walking.

Each exports ``FROM`` and ``TO`` (two values of ``apiVersion``), ``CHANGES`` (what differs, a sentence each: printed and
documented) and ``edits(document)``, which says what to write instead of which characters, and what it cannot say.
Edits replace characters where they stand, so that comments, order, quotes and blank lines stay the author's.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Protocol, cast

from pgx_compiler.diagnostics.diagnostic import Diagnostic, Span
from pgx_compiler.spec.source import Document


@dataclass(frozen=True)
class Edit:
    """Other characters in one place."""

    span: Span
    text: str


class Migration(Protocol):
    """What a file of this folder offers."""

    FROM: str
    TO: str
    CHANGES: tuple[str, ...]

    def edits(self, document: Document) -> Iterable[Edit | Diagnostic]:
        """What to write where; a diagnostic for each thing that a person must decide."""


@cache
def migrations() -> Mapping[str, Migration]:
    """Every migration by the version that it starts from."""
    found = {}
    for entry in pkgutil.iter_modules(__path__):
        module = cast(Migration, importlib.import_module(f"{__name__}.{entry.name}"))
        if module.FROM in found:
            raise ValueError(f"two migrations start from {module.FROM}")
        found[module.FROM] = module
    return found
