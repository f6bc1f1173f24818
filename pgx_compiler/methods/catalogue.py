"""The catalogue of methods, found by walking the package; no list of methods exists anywhere."""

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pgx_compiler.methods.declaration import Declaration, declaration_of

STAGES = ("precaution", "perturbation", "gradient", "agreement", "faithfulness")


@cache
def catalogue() -> Mapping[str, Declaration]:
    """Every method by name. Raises `TypeError` where a file does not declare what its name promises."""
    found: dict[str, Declaration] = {}
    for stage in STAGES:
        package = importlib.import_module(f"pgx_compiler.methods.{stage}")
        for entry in sorted(pkgutil.iter_modules(package.__path__), key=lambda entry: entry.name):
            if entry.name.startswith("_"):
                continue
            module = importlib.import_module(f"{package.__name__}.{entry.name}")
            declaration = declaration_of(getattr(module, entry.name, None) or object)
            if declaration is None:
                raise TypeError(f"{module.__name__} declares no method called `{entry.name}`")
            if entry.name in found:
                raise TypeError(f"`{entry.name}` is declared twice: {stage} and {found[entry.name].stage}")
            found[entry.name] = declaration
    return found


def source_of(declaration: Declaration) -> Path:
    """The file of a method."""
    return Path(declaration.function.__code__.co_filename)


def computing(quantity: str) -> tuple[Declaration, ...]:
    """The methods that compute a requested quantity, exact ones first, then by name."""
    able = [d for d in catalogue().values() if d.estimates == quantity]
    return tuple(sorted(able, key=lambda d: (not d.exact, d.name)))
