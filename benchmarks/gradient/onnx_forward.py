"""The forward pass of an ONNX file rebuilt in TensorFlow against ONNX Runtime's own, on one thread each, in one process.

    python benchmarks/gradient/onnx_forward.py [--folder FOLDER] [--rounds N]

Both handles answer the same rows through `predict`, in turn, round by round, each in calls of the size that it asks for.
What is measured is processor time of the whole process, which others on the machine disturb least: times and `ratio` are of
each one's fastest round, `median` is that of the ratios of all rounds. Beside them the largest difference of the answers,
and the seconds until the rebuild was open. `FOLDER` may hold more ``.onnx`` files (below it, anywhere); those of ``specs/models`` are
always measured.
"""

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runtimes.capabilities import View
from runtimes.formats.onnx_facts import facts_of
from runtimes.frameworks import onnx_runtime, onnx_tensorflow

ROOT = Path(__file__).resolve().parents[2]
CALLS = 8
"""Of full size, that one measurement is made of."""


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--folder", type=Path)
    options.add_argument("--rounds", type=int, default=15)
    given = options.parse_args()
    files = sorted((ROOT / "specs" / "models").glob("*.onnx"))
    known = {path.read_bytes() for path in files}
    for path in sorted(given.folder.rglob("*.onnx")) if given.folder else []:
        if path.read_bytes() not in known:
            files.append(path)
    head = f"{'model':28}{'rows':>7}{'runtime ms':>12}{'rebuild ms':>12}{'ratio':>7}{'median':>8}{'difference':>12}"
    print(f"{head}{'open s':>8}")
    for path in files:
        facts = facts_of(path)
        if "Differentiable" in facts.capabilities:
            print(measured(path, facts, given.rounds))
        else:
            print(f"{path.stem:28} not differentiable: {facts.lacks['Differentiable']}")


def measured(path: Path, facts: Any, rounds: int) -> str:
    """One line of the table."""
    view = View("logit")
    started = time.perf_counter()
    rebuilt = onnx_tensorflow.open_model(path, view)
    opened = time.perf_counter() - started
    black = onnx_runtime.open_model(path, view)
    most = max(black.rows_per_call, rebuilt.rows_per_call)
    rows = CALLS * (min(most, 256) if facts.work_per_row > 1e7 else most)
    rng = np.random.default_rng(0)
    inputs = {
        tensor.name: _drawn(rng, (rows, *[size or 1 for size in tensor.shape[1:]]), np.dtype(tensor.dtype))
        for tensor in facts.inputs
    }
    first, second = black.predict(inputs), rebuilt.predict(inputs)
    difference = float(np.abs(first - second).max())
    times: dict[str, list[float]] = {"black": [], "rebuilt": []}
    for _ in range(rounds):
        for name, handle in (("black", black), ("rebuilt", rebuilt)):
            started = time.process_time()
            handle.predict(inputs)
            times[name].append(time.process_time() - started)
    theirs, ours = min(times["black"]), min(times["rebuilt"])
    ratio, middle = ours / theirs, median(b / a for a, b in zip(times["black"], times["rebuilt"], strict=True))
    return f"{path.stem:28}{rows:7}{theirs * 1e3:12.2f}{ours * 1e3:12.2f}{ratio:7.2f}{middle:8.2f}{difference:12.1e}{opened:8.1f}"


def _drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Numbers, or ids that every table has."""
    return rng.integers(0, 2, shape).astype(dtype) if dtype.kind in "iu" else rng.standard_normal(shape).astype(dtype)


if __name__ == "__main__":
    main()
