"""What methods promise, as functions that can be run: a method names its laws where it is declared.

Each law takes a declaration and a bench (a small model of which something is known, with rows to explain) and returns
the violations in words; None where the bench says nothing about it. Whoever adds a method can hold it to them. A law is a
public function of one of the files ``of_*.py``; they are found by walking, so that there is no list to add it to.
"""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping, Sequence

from pgx_compiler.methods.declaration import Declaration, UnfitParams
from pgx_compiler.methods.laws.bench import Bench, Law


def _found() -> Mapping[str, Law]:
    laws: dict[str, Law] = {}
    for entry in sorted(pkgutil.iter_modules(__path__), key=lambda entry: entry.name):
        if entry.name.startswith("of_"):
            module = importlib.import_module(f"{__name__}.{entry.name}")
            laws |= {
                name: thing
                for name, thing in vars(module).items()
                if inspect.isfunction(thing) and thing.__module__ == module.__name__ and not name.startswith("_")
            }
    return laws


LAWS = _found()


def _held(law: Law, declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """What a law says on a bench; None where the method itself says that its parameters do not fit the bench."""
    try:
        return law(declaration, bench, seed)
    except UnfitParams:
        return None


def violations(declaration: Declaration, benches: Sequence[Bench], seed: int = 0) -> list[str]:
    """Hold a method to all laws that it declares, on every bench that it can be run on."""
    found: list[str] = []
    suited = [bench for bench in benches if bench.suits(declaration)]
    for name in declaration.laws:
        if name not in LAWS:
            found.append(f"{declaration.name} declares the law `{name}`, which nobody has written")
            continue
        results = {bench.name: _held(LAWS[name], declaration, bench, seed) for bench in suited}
        if all(result is None for result in results.values()):
            found.append(f"{declaration.name}: no bench can tell whether `{name}` holds")
        found += [f"{declaration.name} on {bench}: {name}: {text}" for bench, r in results.items() for text in r or ()]
    return found


__all__ = ["LAWS", "Bench", "Law", "violations"]
