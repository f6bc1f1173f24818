"""Which law holds for which gradient method, on small networks with known properties; and what a Keras model leaves of it.

    python benchmarks/gradient/laws.py [--keras FOLDER]

Every law is tried on every method, whether it is declared or not, over the benches of the test suite (`tests/methods/models.py`):

    ●  declared, and it holds            ○  holds on these benches, though it is not declared
    ·  not declared, and it does not     ✗  declared and broken            blank: no bench can tell

With ``--keras``, a folder as `_cases.py` wants it: for each of its small models and methods that promise completeness, the
largest gap over the largest difference explained, in float32, and beside it twice as many steps: a gap that is left is that of
quadrature where it shrinks, of float32 where it does not.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # the benches are the tests' own

from pgx_compiler.methods.apply import attribute  # noqa: E402
from pgx_compiler.methods.catalogue import catalogue  # noqa: E402
from pgx_compiler.methods.declaration import Declaration  # noqa: E402
from pgx_compiler.methods.laws import LAWS, Bench  # noqa: E402

TRIED = (
    "completeness",
    "null_feature",
    "linearity",
    "symmetry",
    "implementation_invariance",
    "shift_invariance",
)
MARKS = {(True, True): "●", (False, True): "○", (False, False): "·", (True, False): "✗"}


def methods() -> list[Declaration]:
    return [one for one in catalogue().values() if one.direction == "gradient" and not one.is_request]


def mark(declaration: Declaration, law: str, benches: Sequence[Bench]) -> str:
    """One cell of the table."""
    names = {"completeness": [n for n in declaration.laws if n.startswith("completeness")] or ["completeness"]}
    (name,) = names.get(law, [law])
    found = [LAWS[name](declaration, bench, 0) for bench in benches if bench.suits(declaration)]
    told = [one for one in found if one is not None]
    if not told:
        return " "
    return MARKS[name in declaration.laws, not any(told)] + {"completeness": "", law: ""}.get(name, "*")


def table(benches: Sequence[Bench]) -> None:
    print(f"{'':<30}" + "".join(f"{law.split('_')[0]:>16}" for law in TRIED) + "   further laws")
    for declaration in methods():
        cells = [mark(declaration, law, benches) for law in TRIED]
        further = [law for law in declaration.laws if law not in TRIED]
        print(
            f"{declaration.name:<30}" + "".join(f"{cell:>16}" for cell in cells) + f"   {', '.join(further)}",
            flush=True,
        )


def gaps(folder: Path) -> None:
    """Completeness on Keras models."""
    from _cases import cases

    print(f"\n{'model':<18} {'method':<30} {'gap':>10} {'with twice the steps':>22}")
    for case in cases(folder):
        if case.points:
            continue
        handle = case.handle()
        rows = case.explained(handle)
        for declaration in methods():
            if "completeness" not in declaration.laws or "steps" not in declaration.params.model_fields:
                continue
            flat = next(iter(rows.inputs.values())).ndim < 4
            if declaration.capability != "Differentiable" or (flat and declaration.modalities == {"image"}):
                continue
            found = []
            for more in (1, 2):
                params = declaration.params(steps=more * declaration.params().steps)  # type: ignore[attr-defined,call-arg]
                said = attribute(declaration, handle, rows, params)
                wanted = said.scores - said.base_values
                found.append(np.abs(said.values.sum(axis=1) - wanted).max() / np.abs(wanted).max())
            print(f"{case.name:<18} {declaration.name:<30} {found[0]:>10.1e} {found[1]:>22.1e}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keras", type=Path)
    asked = parser.parse_args()
    import importlib
    import types

    # An installed package may be called `tests`, too.
    own = types.ModuleType("tests")
    own.__path__ = [str(ROOT / "tests")]
    sys.modules["tests"] = own
    table(importlib.import_module("tests.methods.models").benches())
    print("* by a law of its own: within standard errors, or to a difference that the method tells")
    if asked.keras:
        gaps(asked.keras)


if __name__ == "__main__":
    main()
