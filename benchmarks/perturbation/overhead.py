"""What perturbation methods cost beyond the model: their time over that of the bare session on as many rows.

    python benchmarks/perturbation/overhead.py FOLDER [--runs N] [--methods kernel_shap,occlusion] [--models Lite0,text]

FOLDER holds the models (`_models.py` says which). Each run measures a method and then the bare ONNX Runtime session on as
many rows as the method has asked, in batches of the handle's size, one composed batch again and again, each as often as it
takes to last 50 ms. Sessions are warm; both have one thread, so that processor time is what a machine without other
work would take, and other work disturbs it least. Two ratios: the median of those within a run, and, for a machine that
is shared, that of the shortest times.

``plain`` is the method on the handle without its own way to score coalitions (`runtimes.capabilities.Composer`): below
``as used`` where that way pays. Below 1 means that less was computed than the rows would have needed.

Aim: at most 1.10 for EfficientNet-Lite0, 1.30 for the small models.
"""

import argparse
import inspect
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _models import Case, cases, plainly

from pgx_compiler.methods.catalogue import catalogue

METHODS = "kernel_shap,occlusion,lime,rise"


LEAST = 0.05
"""Seconds that a measurement lasts at least: an explanation alone may take a few tenths of a millisecond."""


def seconds(work: Any, times: int) -> float:
    """Processor time of one of several repetitions."""
    began = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - began) / times


@dataclass(frozen=True)
class Ratio:
    """Time of a method over that of the bare session."""

    median: float
    least: float


def measure(case: Case, method: str, runs: int) -> tuple[int, float, list[Ratio]]:
    """Rows asked, seconds a row of the bare session, and the ratios: as used, and plain."""
    declaration, handle = catalogue()[method], case.handle()
    known = inspect.signature(declaration.params).parameters
    params = declaration.params(**{key: case.samples for key in ("samples", "masks") if key in known})
    bare, games, rows = case.bare(handle), [case.game(asked) for asked in (handle, plainly(handle))], 0
    times: list[list[tuple[float, float]]] = [[] for _ in games]

    def explain(game: Any) -> None:
        declaration.function(game, params, *([np.random.default_rng(0)] if declaration.stochastic else []))

    for run in range(runs + 1):
        for way, game in enumerate(games):
            before = handle.spent.forward
            once = seconds(lambda game=game: explain(game), 1)
            rows = handle.spent.forward - before
            again = int(np.ceil(LEAST / once))
            took = seconds(lambda game=game: explain(game), again)
            floor = seconds(lambda rows=rows: bare(rows), again)
            if run:
                times[way].append((took, floor))
    ratios = [
        Ratio(
            statistics.median(took / floor for took, floor in held),
            min(took for took, _ in held) / min(f for _, f in held),
        )
        for held in times
    ]
    return rows, min(floor for held in times for _, floor in held) / rows, ratios


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--models", default="")
    asked = parser.parse_args()
    head = f"{'model':<18} {'method':<14} {'rows':>8} {'bare, µs a row':>15} {'as used':>8} {'least':>6}"
    print(f"{head} {'plain':>8} {'least':>6} {'aim':>6}")
    for case in cases(asked.folder):
        if asked.models and not any(word in case.name for word in asked.models.split(",")):
            continue
        for method in asked.methods.split(","):
            if method not in catalogue():
                continue
            rows, per_row, (used, plain) = measure(case, method, asked.runs)
            line = (
                f"{case.name:<18} {method:<14} {rows:>8} {1e6 * per_row:>15.2f} {used.median:>8.2f} {used.least:>6.2f}"
            )
            print(f"{line} {plain.median:>8.2f} {plain.least:>6.2f} {case.limit:>6.2f}", flush=True)
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
