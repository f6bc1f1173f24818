"""Memory of many masks on a large image: the peak of a process over that of its session alone.

    python benchmarks/perturbation/memory.py FOLDER [--masks N]

FOLDER holds EfficientNet-Lite0 and a photograph (`_models.py`). Each line is a process of its own that opens the model and
passes one full batch through it (what the session itself needs), and then scores the masks; the peak resident set before and
after is the kernel's own count. ``random`` masks are what Kernel SHAP, LIME and RISE ask; ``single`` ones what occlusion asks,
where the stages of incremental inference hold tensors of their own.

Aim: 4,000 masks on 224 × 224 × 3 within 300 MiB over the session's own.
"""

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from _models import cases


def peak() -> float:
    """MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def inside(folder: Path, kind: str, count: int) -> None:
    """One process: the session alone, then the masks."""
    case = next(cases(folder))
    handle = case.handle()
    case.bare(handle)(handle.rows_per_call)
    game = case.game(handle)
    features, rng = game.n_features, np.random.default_rng(0)
    masks = rng.random((count, features)) < 0.5
    if kind == "single":
        masks = ~np.eye(features, dtype=bool)[rng.integers(0, features, count)]
    before, began = peak(), time.perf_counter()
    game.value(masks)
    took, after = time.perf_counter() - began, peak()
    print(f"{kind:<8} {count:>6} {before:>9.0f} MiB {after - before:>6.0f} MiB {took:>8.1f} s", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--masks", type=int, default=4000)
    parser.add_argument("--kind", choices=["random", "single"], help="one line, in this process")
    asked = parser.parse_args()
    if asked.kind:
        return inside(asked.folder, asked.kind, asked.masks)
    print(f"{'masks':<8} {'count':>6} {'session alone':>13} {'over it':>10} {'took':>10}", flush=True)
    for kind in ("random", "single"):
        command = [sys.executable, __file__, str(asked.folder), "--masks", str(asked.masks), "--kind", kind]
        subprocess.run(command, check=True)
    return None


if __name__ == "__main__":
    main()
