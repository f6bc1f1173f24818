"""One file a format of the factsheet, found by walking; each exports SUFFIX and ``write(factsheet, path)``."""

import importlib
import pkgutil
from functools import cache
from pathlib import Path
from typing import Protocol, cast

from pgx_compiler.evidence.store import write_atomically
from pgx_compiler.report.factsheet import Factsheet


class Format(Protocol):
    """What a file of this folder offers."""

    SUFFIX: str
    """``.html``; without the dot it is the word of the spec's ``factsheet.formats``."""

    def write(self, factsheet: Factsheet, path: Path) -> None:
        """Write the factsheet to a path, atomically."""


@cache
def formats() -> dict[str, Format]:
    """Every format by its word in the spec: ``html``, ``json``, ``pdf``."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))
    found = [cast(Format, importlib.import_module(f"{__name__}.{name}")) for name in names]
    return {module.SUFFIX.removeprefix("."): module for module in found}


__all__ = ["Format", "formats", "write_atomically"]
