"""Occlusion below the floor: only what a patch reaches is computed, against every row computed whole.

    python benchmarks/perturbation/occlusion.py FOLDER [--runs N] [--sizes 7,14,28,56]

FOLDER holds EfficientNet-Lite0 and a photograph (`_models.py`). In turns, the same masks are scored by incremental inference
(`runtimes/formats/onnx_incremental.py`) and from whole rows, and by the bare session on as many rows; medians of the
ratios within a run. ``worst`` is the largest difference of any class's probability between both ways. The first row of the
table's cost beside it, opening the stages and passing the unchanged image through them once, is given in seconds.
"""

import argparse
import os
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from _models import cases, plainly

from pgx_compiler.modalities.game import Game
from pgx_compiler.modalities.image import patches


def seconds(work: Any) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--sizes", default="7,14,28,56")
    asked = parser.parse_args()
    first = next(cases(asked.folder))
    print(f"{'patch':>5} {'rows':>6} {'opening':>9} {'faster than whole':>18} {'than bare':>10} {'worst':>9}")
    for size in map(int, asked.sizes.split(",")):
        case = replace(first, owner=patches(first.row.shape[1:], size))
        handle, masks = case.handle(), ~np.eye(len(case.features()), dtype=bool)
        masks = masks[:: max(1, len(masks) // 256)]
        name, every = case.input, np.arange(1000)
        given = {name: case.row}, {name: case.references}, case.features(), every
        game, plain, bare = Game(handle, *given), Game(plainly(handle), *given), case.bare(handle)
        opening = seconds(lambda game=game, masks=masks: game.value(masks[:1]))
        worst = float(np.abs(game.value(masks) - plain.value(masks)).max())
        against_whole, against_bare = [], []
        for _ in range(asked.runs):
            took = seconds(lambda game=game, masks=masks: game.value(masks))
            against_whole.append(seconds(lambda plain=plain, masks=masks: plain.value(masks)) / took)
            against_bare.append(seconds(lambda bare=bare, masks=masks: bare(len(masks))) / took)
        ratios = f"{statistics.median(against_whole):>17.2f}× {statistics.median(against_bare):>9.2f}×"
        print(f"{size:>5} {len(masks):>6} {opening:>7.2f} s {ratios} {worst:>9.1e}", flush=True)
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
