"""Which law holds for which gradient method, on small networks with known properties; and what a Keras model leaves of it.

    python benchmarks/gradient/laws.py [--keras FOLDER]

Every law is tried on every method, whether it is declared or not, over the benches of the test suite (`tests/methods/models.py`):

    ●  declared, and it holds            ○  holds on these benches, though it is not declared
    ·  not declared, and it does not     ✗  declared and broken            blank: no bench can tell

With ``--keras``, a folder as `_cases.py` wants it: for each of its small models and methods that promise completeness, the
largest gap over the largest difference explained, in float32, and beside it those of more steps. What shrinks with the steps is
quadrature: a path through a network of rectifiers has kinks, so that twice the steps bring half the gap or less, and not at
each doubling. `deep_lift` takes no steps: its gap is float32's own. In `guided_integrated_gradients` an element moves by up to
twice `max_distance` at once, however many steps there are: beyond some 50 of them its gap shrinks with `max_distance` alone (on
the watch from 1.8e-2 to 9e-3 at a quarter of it, and to 3e-4 at 0, each with 800 steps).
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
MORE = (1, 2, 4, 8)
"""How many times its own default steps a method is given."""
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

    print(f"\n{'model':<18} {'method':<30} {'gap':>10}" + "".join(f"{f'{more} x the steps':>16}" for more in MORE[1:]))
    for case in cases(folder):
        if case.points:
            continue
        handle = case.handle()
        rows = case.explained(handle)
        for declaration in methods():
            if "completeness" not in declaration.laws:
                continue
            flat = next(iter(rows.inputs.values())).ndim < 4
            if declaration.capability not in ("Differentiable", "RulePropagating"):
                continue
            if flat and declaration.modalities == {"image"}:
                continue
            steps = getattr(declaration.params(), "steps", 0)
            found = []
            for more in MORE if steps else MORE[:1]:
                params = declaration.params(steps=more * steps) if steps else declaration.params()  # type: ignore[call-arg]
                said = attribute(declaration, handle, rows, params)
                wanted = said.scores - said.base_values
                found.append(np.abs(said.values.sum(axis=1) - wanted).max() / np.abs(wanted).max())
            told = "".join(f"{gap:>{10 if at == 0 else 16}.1e}" for at, gap in enumerate(found))
            print(f"{case.name:<18} {declaration.name:<30} {told}", flush=True)


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
