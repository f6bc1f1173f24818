"""What perturbation methods cost beyond the model: their time over that of the bare session on as many rows.

    python benchmarks/perturbation/overhead.py FOLDER [--runs N] [--methods kernel_shap,occlusion] [--models Lite0,text]

FOLDER holds the models (`_models.py` says which). Each run measures a method and then the bare ONNX Runtime session on as
many rows as the method has asked, in batches of the handle's size, one composed batch again and again; the ratio is
taken within the run and the median of the ratios is printed. Sessions are warm; both have one thread.

``plain`` is the method on the handle without its own way to score coalitions (`runtimes.capabilities.Composer`): below
``as used`` where that way pays. Below 1 means that less was computed than the rows would have needed.

Aim: at most 1.10 for EfficientNet-Lite0, 1.30 for the small models.
"""

import argparse
import inspect
import os
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from _models import Case, cases, plainly

from pgx_compiler.methods.catalogue import catalogue

METHODS = "kernel_shap,occlusion,lime,rise"


def seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def measure(case: Case, method: str, runs: int) -> tuple[int, float, list[float]]:
    """Rows asked, seconds a row of the bare session, and the median ratios: as used, and plain."""
    declaration, handle = catalogue()[method], case.handle()
    known = inspect.signature(declaration.params).parameters
    params = declaration.params(**{key: case.samples for key in ("samples", "masks") if key in known})
    bare, ratios, per_row, rows = case.bare(handle), ([], []), [], 0
    for way, asked in enumerate((handle, plainly(handle))):
        game = case.game(asked)

        def explain(game: Any = game) -> None:
            declaration.function(game, params, *([np.random.default_rng(0)] if declaration.stochastic else []))

        for run in range(runs + 1):
            before = handle.spent.forward
            took = seconds(explain)
            rows = handle.spent.forward - before
            floor = seconds(lambda rows=rows: bare(rows))
            if run:
                ratios[way].append(took / floor)
                per_row.append(floor / rows)
    return rows, statistics.median(per_row), [statistics.median(found) for found in ratios]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--models", default="")
    asked = parser.parse_args()
    print(f"{'model':<18} {'method':<14} {'rows':>8} {'bare, µs a row':>15} {'as used':>8} {'plain':>7} {'aim':>6}")
    for case in cases(asked.folder):
        if asked.models and not any(word in case.name for word in asked.models.split(",")):
            continue
        for method in asked.methods.split(","):
            if method not in catalogue():
                continue
            rows, per_row, (used, plain) = measure(case, method, asked.runs)
            line = f"{case.name:<18} {method:<14} {rows:>8} {1e6 * per_row:>15.2f} {used:>8.2f} {plain:>7.2f}"
            print(f"{line} {case.limit:>6.2f}", flush=True)
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
