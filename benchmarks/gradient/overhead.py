"""What gradient methods cost beyond the model: their time over that of a bare compiled gradient of as many rows.

    python benchmarks/gradient/overhead.py FOLDER [--runs N] [--methods saliency,smoothgrad] [--models Lite0,MNIST] [--memory]

FOLDER holds the models (`_cases.py` says which). Each run measures a method and then a bare `tf.function` of the same
model's gradient on as many rows as the method has asked, in batches of the handle's size, one batch again and again; the
ratio is taken within the run, and the median of the ratios is printed. Both have one thread, and time is the processor's, so
that other work on the machine does not count. ``other`` is what the ratio
leaves, in microseconds a row.

With ``--memory``: the peak of a process that explains one row of each model by integrated gradients in 16 and in 256
steps, over its peak after one full batch.

Aim: at most 1.10 for EfficientNet-Lite0, 1.30 for the small models; 256 steps cost no more memory than 16.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from _cases import Case, cases

from pgx_compiler.methods.catalogue import catalogue

METHODS = "saliency,integrated_gradients,smoothgrad,expected_gradients"


def seconds(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(case: Case, method: str, runs: int) -> tuple[int, float, float]:
    """Rows asked, seconds a row of the bare gradient, and the median ratio."""
    declaration, handle = catalogue()[method], case.handle()
    few = {key: case.points for key in ("steps", "samples") if case.points and key in declaration.params.model_fields}
    rows, params = case.explained(handle), declaration.params(**few)
    bare, ratios, per_row, asked = case.bare(handle, rows), [], [], 0

    def explain() -> None:
        declaration.function(handle, rows, params, *([np.random.default_rng(0)] if declaration.stochastic else []))

    for run in range(runs + 1):
        before = handle.spent.backward
        took = seconds(explain)
        asked = handle.spent.backward - before
        times = max(1, round(0.05 / took))  # a single saliency of eight rows is too short to be timed
        if times > 1:
            took = seconds(lambda times=times: [explain() for _ in range(times)]) / times
        floor = seconds(lambda times=times, asked=asked: [bare(asked) for _ in range(times)]) / times
        if run:
            ratios.append(took / floor)
            per_row.append(floor / asked)
    return asked, statistics.median(per_row), statistics.median(ratios)


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def remember(case: Case, steps: int) -> None:
    """One process: a full batch, then the steps."""
    handle, method = case.handle(), catalogue()["integrated_gradients"]
    rows = case.explained(handle)
    case.bare(handle, rows)(handle.rows_per_call)
    before = peak()
    method.function(handle, rows.of_rows(slice(0, 1)), method.params(steps=steps))
    print(f"{case.name:<18} {steps:>6} {before:>10.0f} MiB {peak() - before:>8.0f} MiB", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--methods", default=METHODS)
    parser.add_argument("--models", default="")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--steps", type=int, help="with --memory and one model: one line, in this process")
    asked = parser.parse_args()
    wanted = [c for c in cases(asked.folder) if not asked.models or any(w in c.name for w in asked.models.split(","))]
    if asked.steps:
        return remember(wanted[0], asked.steps)
    if asked.memory:
        print(f"{'model':<18} {'steps':>6} {'one batch':>14} {'over it':>12}", flush=True)
        for case in wanted:
            for steps in (16, 256):
                command = [sys.executable, __file__, str(asked.folder), "--models", case.name.split(",")[0]]
                subprocess.run([*command, "--steps", str(steps)], check=True)
        return None
    print(f"{'model':<18} {'method':<22} {'rows':>7} {'bare, µs a row':>15} {'ratio':>7} {'other, µs':>10} {'aim':>6}")
    for case in wanted:
        for method in asked.methods.split(","):
            rows, per_row, ratio = measure(case, method, asked.runs)
            line = f"{case.name:<18} {method:<22} {rows:>7} {1e6 * per_row:>15.2f} {ratio:>7.2f}"
            print(f"{line} {1e6 * per_row * (ratio - 1):>10.2f} {case.limit:>6.2f}", flush=True)
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")
    return None


if __name__ == "__main__":
    main()
