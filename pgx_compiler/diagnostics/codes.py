"""All codes of a package, found by walking its modules; no list of codes exists anywhere."""

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType

from pgx_compiler.diagnostics.diagnostic import Code


def collect(package: ModuleType) -> Mapping[str, Code]:
    """Every `Code` that a module of the package declares at its top level, by its printed form (``PGX2001``).

    Raises:
        ValueError: two codes share a number or a name.
    """
    found: dict[str, Code] = {}
    for entry in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if entry.name.rpartition(".")[2].startswith("__"):
            continue
        for value in vars(importlib.import_module(entry.name)).values():
            if not isinstance(value, Code):
                continue
            known = found.setdefault(str(value), value)
            if known is not value:
                raise ValueError(f"{value} is declared twice: {known.name} and {value.name}")
    names = [code.name for code in found.values()]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"codes of the same name: {', '.join(repeated)}")
    return dict(sorted(found.items()))
