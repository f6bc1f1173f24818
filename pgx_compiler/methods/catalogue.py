"""The catalogue of methods, found by walking the package; no list of methods exists anywhere."""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from pgx_compiler.methods.declaration import Declaration, declaration_of

STAGES = ("precaution", "perturbation", "gradient", "agreement", "faithfulness")


class Catalogue(Mapping[str, Declaration]):
    """Every method by name. The names are those of the files; a file is imported when its method is first asked for.

    So an audit of five methods pays for five: the other files would be half of what a check takes.
    """

    def __init__(self) -> None:
        self._stages: dict[str, str] = {}
        self._declared: dict[str, Declaration] = {}
        for stage in STAGES:
            package = importlib.import_module(f"pgx_compiler.methods.{stage}")
            for entry in sorted(pkgutil.iter_modules(package.__path__), key=lambda entry: entry.name):
                if entry.name in self._stages:
                    raise TypeError(f"`{entry.name}` is declared twice: {stage} and {self._stages[entry.name]}")
                if not entry.name.startswith("_"):
                    self._stages[entry.name] = stage

    def __getitem__(self, name: str) -> Declaration:
        """One method. Raises `KeyError`, and `TypeError` where a file does not declare what its name promises."""
        if name not in self._declared:
            module = importlib.import_module(f"pgx_compiler.methods.{self._stages[name]}.{name}")
            declaration = declaration_of(getattr(module, name, None) or object)
            if declaration is None:
                raise TypeError(f"{module.__name__} declares no method called `{name}`")
            self._declared[name] = declaration
        return self._declared[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def __len__(self) -> int:
        return len(self._stages)

    def __contains__(self, name: object) -> bool:
        return name in self._stages  # that of `Mapping` would import the file to find out

    def of_stage(self, stage: str) -> list[str]:
        """The names of a stage's methods."""
        return [name for name, home in self._stages.items() if home == stage]


@cache
def catalogue() -> Catalogue:
    """The catalogue. Raises `TypeError` where two files have one name."""
    return Catalogue()


def source_of(declaration: Declaration) -> Path:
    """The file of a method."""
    return Path(declaration.function.__code__.co_filename)


def computing(quantity: str) -> tuple[Declaration, ...]:
    """The methods that compute a requested quantity, exact ones first, then by name."""
    # attributions alone estimate: the files of the other stages need not be imported to know
    attributions = [name for stage in ("perturbation", "gradient") for name in catalogue().of_stage(stage)]
    able = [d for d in map(catalogue().__getitem__, attributions) if d.estimates == quantity]
    return tuple(sorted(able, key=lambda d: (not d.exact, d.name)))
