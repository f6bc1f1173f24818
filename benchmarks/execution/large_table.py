"""A table larger than memory should hold: a whole audit of Parquet files, with the time and the memory of every process.

    .venv/bin/python benchmarks/execution/large_table.py --rows 1000000     # a look whether it works
    .venv/bin/python benchmarks/execution/large_table.py                    # 10,000,000 rows x 20 columns
    .venv/bin/python benchmarks/execution/large_table.py --folder /big/disk # where files, store and scratch go

Four fifths of the rows are training rows. There are numbers (some missing), codes, words of two groups of people, rows that
occur twice, test rows that stand in the training data, and a variable that drifts; a boosted model of scikit-learn, converted by
skl2onnx, has learned from the first 20,000. The audit looks at the data in every way there is for tables, and explains the
model by permutation importance, partial dependence, TreeSHAP and Kernel SHAP.

Peaks are those of the kernel (VmHWM) for the parent, and looked up five times a second for workers: all that is resident, and
what of it is the worker's own (the rest are pages of files, which the system takes back when it needs them). The script ends
with 1 where the run does not complete, or a peak is above ``--worker`` or ``--parent``.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
GROUP = 250_000
"""Rows of a row group."""
NUMBERS = [f"x{i:02d}" for i in range(16)]
LEARNED = 20_000
SEED = 20260401


def rows(start: int, count: int, split: str) -> dict[str, Any]:
    """Some rows of a split; the same ones however they are cut into groups of `GROUP`."""
    rng = np.random.default_rng([SEED, start, split == "test"])
    x = rng.normal(size=(count, 16)).astype(np.float32)
    x[:, 4] = x[:, 3] + 0.2 * x[:, 4]
    x[:, 5] = np.exp(x[:, 5])
    x[:, 15] += 0.5 * (split == "test")
    age = rng.integers(18, 90, count)
    grade = rng.integers(0, 5, count)
    women = rng.random(count) < 0.45 + 0.1 * (x[:, 6] > 0)
    logit = x[:, 0] - 0.8 * x[:, 3] + 0.5 * (grade - 2) + 0.02 * (age - 50) - 0.6 * women + 0.3 * x[:, 1] * x[:, 2]
    y = rng.random(count) < 1 / (1 + np.exp(1.5 - logit))
    copies = rng.integers(0, count, count // 100)
    for held in (x, age, grade):
        held[copies] = held[(copies + 7) % count]
    gaps = rng.random((count, 3)) < np.array([0.02, 0.08, 0.001 + 0.2 * 0.5])
    x[:, 8:11][gaps & np.array([True, True, False])] = np.nan
    x[(x[:, 6] > 1) & gaps[:, 2], 10] = np.nan
    x[rng.random(count) < 1e-6, 7] = 1e6
    region = np.array(["north", "south", "east", "west", None], object)[rng.integers(0, 5, count)]
    return {
        **{name: x[:, i] for i, name in enumerate(NUMBERS)},
        "age": age, "grade": grade, "sex": np.where(women, "f", "m"), "region": region, "default": np.where(y, "yes", "no"),
    }  # fmt: skip


def write(path: Path, count: int, split: str, first: dict[str, Any] | None) -> None:
    """A Parquet file, row group by row group; ``first``: rows of the training data that the test data repeats."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for start in range(0, count, GROUP):
        columns = rows(start, min(GROUP, count - start), split)
        if first is not None and start == 0:
            for name, held in columns.items():
                held[:500] = first[name][:500]
        table = pa.table(
            {name: pa.array(held, from_pandas=True) for name, held in columns.items()}
        )  # NaN is a missing value here
        writer = writer or pq.ParquetWriter(
            path, table.schema, compression="zstd", use_dictionary=["sex", "region", "default"]
        )
        writer.write_table(table, row_group_size=GROUP)
    assert writer is not None
    writer.close()


def model(path: Path, learned: dict[str, Any]) -> None:
    """A boosted model that reads the numbers, the age and the grade."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier

    inputs = np.stack([np.asarray(learned[name], np.float32) for name in (*NUMBERS, "age", "grade")], axis=1)
    inputs = np.nan_to_num(inputs)  # in use, a missing value is on the right of every threshold
    fitted = GradientBoostingClassifier(n_estimators=40, max_depth=4, random_state=0).fit(
        inputs, learned["default"] == "yes"
    )
    made = to_onnx(fitted, inputs[:1], options={id(fitted): {"zipmap": False}})
    path.write_bytes(made.SerializeToString())


def spec(path: Path) -> None:
    """Every question to the data of a table, and explanations by two exact and two sampling methods."""
    columns = [*NUMBERS, "age", "grade"]
    path.write_text(
        json.dumps(
            {
                "apiVersion": "pgx/v1",
                "kind": "Audit",
                "metadata": {"name": "large-table", "version": "1.0.0"},
                "seed": 7,
                "model": {"onnx": "model.onnx", "task": "classification", "classes": ["no", "yes"]},
                "data": {
                    "modality": "tabular",
                    "train": {"path": "train.parquet", "target": "default"},
                    "test": {"path": "test.parquet", "target": "default"},
                    "columns": columns,
                    "features": {
                        "sex": {"role": "sensitive"}, "region": {"role": "group"}, "age": {"role": "sensitive"},
                        "grade": {"categories": ["a", "b", "c", "d", "e"], "ordered": True},
                    },
                },
                "precaution": [
                    {"use": name}
                    for name in ("class_balance", "missing_values", "duplicate_rows", "outliers", "correlation", "drift",
                                 "sensitive_groups")
                ],
                "explain": {
                    "score": "log_odds", "target": "yes", "rows": {"from": "test", "sample": 32, "stratify": "target"},
                    "fill": {"kind": "background", "size": 20},
                    "perturbation": [
                        {"use": "shapley_values"}, {"use": "kernel_shap", "with": {"samples": 256}},
                        {"use": "permutation_importance"}, {"use": "partial_dependence"},
                    ],
                },
                "factsheet": {"formats": ["json", "html"]},
            },
            indent=1,
        ),
        "utf-8",
    )  # fmt: skip


class Watch(threading.Thread):
    """Looks at the memory of a process and of all that it has started."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.parent, self.over = process, threading.Event()
        self.peaks: dict[int, dict[str, int]] = {}
        self.names: dict[int, str] = {}

    def run(self) -> None:
        while not self.over.wait(0.2):
            for process in family(self.parent):
                self._look(process)

    def _look(self, process: int) -> None:
        try:
            told = Path(f"/proc/{process}/status").read_text("utf-8")
        except OSError:
            return
        held = {
            line.partition(":")[0]: line.split()[1]
            for line in told.splitlines()
            if line.startswith(("Vm", "Rss", "PPid"))
        }
        peak = self.peaks.setdefault(process, {"resident": 0, "own": 0, "together": 0})
        if "VmRSS" in held:
            peak["resident"] = max(peak["resident"], int(held["VmHWM" if process == self.parent else "VmRSS"]))
            peak["own"] = max(peak["own"], int(held["RssAnon"]) + int(held["RssShmem"]))
            self.names[process] = "parent" if process == self.parent else f"of {held['PPid']}"


def family(process: int) -> list[int]:
    found = [process]
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += [one for child in children.read_text("ascii").split() for one in family(int(child))]
        except OSError:
            continue  # the thread has ended
    return found


def made(folder: Path, count: int) -> None:
    """Data, model and spec, where they are not there yet."""
    if (folder / "audit.yaml").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    learned = rows(0, min(GROUP, count * 4 // 5), "train")
    write(folder / "train.parquet", count * 4 // 5, "train", None)
    write(folder / "test.parquet", count - count * 4 // 5, "test", learned)
    model(folder / "model.onnx", {name: held[:LEARNED] for name, held in learned.items()})
    spec(folder / "audit.yaml")
    size = sum(path.stat().st_size for path in folder.glob("*.parquet"))
    print(f"made {count:,} rows in {time.perf_counter() - started:.0f} s: {size / 2**20:,.0f} MiB of Parquet, "
          f"{count * 20 * 8 / 2**20:,.0f} MiB as float64", flush=True)  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where files are made, and kept for the next call")
    parser.add_argument("--worker", type=int, default=1536, help="MiB that a worker may hold of its own")
    parser.add_argument("--parent", type=int, default=300, help="MiB that may be resident in the parent")
    asked = parser.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="pgx-large-table-", dir=asked.folder))
    try:
        data = (asked.folder or scratch) / f"rows-{asked.rows}"
        made(data, asked.rows)
        return run(data, scratch, asked)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def run(data: Path, scratch: Path, asked: argparse.Namespace) -> int:
    """Run the audit with nothing known, and say what it took."""
    command = [sys.executable, "-m", "pgx_compiler", "run", str(data / "audit.yaml"), "--output", str(scratch / "run")]
    started = time.perf_counter()
    child = subprocess.Popen(
        [*command, "-j", str(asked.jobs)], cwd=ROOT, env={**os.environ, "PGX_STORE": str(scratch / "store")},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    watch = Watch(child.pid)
    watch.start()
    said, _ = child.communicate()
    seconds = time.perf_counter() - started
    watch.over.set()
    watch.join()
    print(f"\nended with {child.returncode} after {seconds:.0f} s")
    if child.returncode not in (0, 1):
        print(said)
        return 1
    print(f"\n{'process':<22}{'resident MiB':>14}{'own MiB':>10}")
    for process, peak in sorted(watch.peaks.items()):
        if peak["resident"] > 50_000:
            print(
                f"{watch.names[process]:<12}{process:>10}{peak['resident'] / 1024:>14,.0f}{peak['own'] / 1024:>10,.0f}"
            )
    slowest(scratch / "run", scratch / "store")
    worst = max(peak["own"] for process, peak in watch.peaks.items() if process != watch.parent) / 1024
    parent = watch.peaks[watch.parent]["resident"] / 1024
    print(f"\nworkers at most {worst:,.0f} of {asked.worker} MiB, parent {parent:,.0f} of {asked.parent} MiB")
    return int(worst > asked.worker or parent > asked.parent)


def slowest(output: Path, store: Path) -> None:
    """The steps that took longest, and what is said of the rows that stand for all."""
    records = [json.loads(path.read_bytes())["record"] for path in (store / "records").glob("*/*.json")]
    for record in sorted(records, key=lambda one: -one["seconds"])[:12]:
        told = record["ingredients"]
        name = told.get("method") or told.get("operation") or record["key"][:12]
        name = name[0] if isinstance(name, list) else name
        print(f"{name!s:<34}{record['seconds']:>8.1f} s")
    facts = json.loads((output / "factsheet.json").read_bytes())["facts"]
    for fact in facts if isinstance(facts, list) else facts.values():
        if "rows_used" in fact["id"]:
            print(f"{fact['id']}: {fact['value']:,} ({fact['title']})")


if __name__ == "__main__":
    sys.exit(main())
