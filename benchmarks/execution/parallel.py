"""Two processes against one: `-j 2` beside `-j 1` on a perturbation audit of real size.

    .venv/bin/python benchmarks/execution/parallel.py                 # the boosted trees, some 30 million model rows
    .venv/bin/python benchmarks/execution/parallel.py --samples 200   # a short look whether it works
    .venv/bin/python benchmarks/execution/parallel.py --jobs 1 2 4 8  # on a machine with more cores

Each run is a process of its own with an empty store, so that nothing is known beforehand and every worker has to be
started. What is timed is the whole run, from reading the spec to the factsheet, as a person would see it; the runs take
turns (1, 2, 1, 2, ...) and the fastest of each counts, since whatever else the machine does only makes them slower.
The evidence of all runs has to be the same to the byte, else the script ends with 1; so it does where two processes are
less than ``--least`` times as fast as one.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SPEC = "german-credit-trees"
WANTED = 1.7
"""What two processes must win on two cores."""


def changes(samples: int, rows: int) -> dict[str, Any]:
    """A perturbation audit: sampling for each row, with its second opinion, occlusion, and both judged by deletion."""
    return {
        "precaution": None,
        "strategy": None,
        "explain": {
            "score": "log_odds",
            "target": "bad",
            "rows": {"from": "test", "sample": rows},
            "fill": {"kind": "background", "size": 50},
            "perturbation": [{"use": "kernel_shap", "with": {"samples": samples}}, {"use": "occlusion"}],
        },
        "agreement": [{"use": "rank_correlation"}],
        "faithfulness": [{"use": "deletion"}],
        "gates": None,
        "factsheet": {"formats": ["json"]},
    }


def project(folder: Path, samples: int, rows: int) -> Path:
    """The spec with the model and data that it names, in a folder of their own."""
    from pgx_compiler.spec.source import load

    for part in ("models", "data"):
        shutil.copytree(ROOT / "specs" / part, folder / part)
    spec = load((ROOT / "specs" / f"{SPEC}.yaml").read_text("utf-8"), SPEC).data
    for name, value in changes(samples, rows).items():
        if value is None:
            spec.pop(name, None)
        else:
            spec[name] = value
    path = folder / "audit.yaml"
    path.write_text(json.dumps(spec), "utf-8")  # JSON is YAML
    return path


MEASURED = ("events.jsonl", "evidence/outcomes.json", "factsheet.json")
"""What holds seconds and dates beside the results."""


def one_run(spec: Path, jobs: int, store: Path) -> tuple[float, dict[str, str]]:
    """Seconds of a run with nothing known, and the digest of every file of its evidence."""
    output = store.with_name(f"{store.name}-run")
    started = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "pgx_compiler", "run", str(spec), "--output", str(output), "-j", str(jobs)],
        cwd=ROOT,
        env={**os.environ, "PGX_STORE": str(store)},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - started
    if ended.returncode != 0:
        raise SystemExit(f"the run with -j {jobs} ended with {ended.returncode}:\n{ended.stdout}\n{ended.stderr}")
    manifest = json.loads((output / "evidence" / "manifest.json").read_bytes())
    shutil.rmtree(store)
    shutil.rmtree(output)
    return seconds, {entry["file"]: entry["sha256"] for entry in manifest["files"] if entry["file"] not in MEASURED}


def planned(spec: Path) -> tuple[int, int, int]:
    """Model rows of the plan, its nodes, and the largest number of shards of one step."""
    from pgx_compiler.driver import compile
    from pgx_compiler.plan.shards import groups_of

    plan = compile(spec)
    shards = max((len(parts) for parts in groups_of(plan.graph).values()), default=1)
    return plan.totals["model_rows"], len(plan.graph), shards


def main() -> int:
    """Run and print the table; 0 where the evidence is the same everywhere and two are fast enough."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--samples", type=int, default=4096, help="coalitions of Kernel SHAP for each row")
    parser.add_argument("--rows", type=int, default=64, help="rows explained")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="numbers of processes that take turns")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each number")
    parser.add_argument(
        "--least", type=float, default=WANTED, help="what two processes must win over one; 0: show only"
    )
    given = parser.parse_args()
    times: dict[int, list[float]] = {jobs: [] for jobs in given.jobs}
    evidence: dict[str, str] | None = None
    with tempfile.TemporaryDirectory(prefix="pgx-parallel-") as folder:
        spec = project(Path(folder) / "project", given.samples, given.rows)
        model_rows, nodes, shards = planned(spec)
        print(f"{model_rows:,} model rows, {nodes} nodes, at most {shards} shards of a step", flush=True)
        for repeat in range(given.repeats):
            for jobs in given.jobs:
                seconds, files = one_run(spec, jobs, Path(folder) / f"store-{repeat}-{jobs}")
                times[jobs].append(seconds)
                evidence = files if evidence is None else evidence
                if files != evidence:
                    different = sorted(name for name in {**files, **evidence} if files.get(name) != evidence.get(name))
                    print(f"-j {jobs} leaves other evidence: {', '.join(different)}")
                    return 1
    base = min(times[given.jobs[0]])
    print("\n| -j | fastest | all | faster than the first |\n|---|---|---|---|")
    for jobs, taken in times.items():
        every = ", ".join(f"{seconds:.1f}" for seconds in taken)
        print(f"| {jobs} | {min(taken):.1f} s | {every} | {base / min(taken):.2f} |")
    print(f"\nthe evidence of all runs is the same: {len(evidence or {})} files")
    if given.least and {1, 2} <= set(times):
        won = min(times[1]) / min(times[2])
        print(f"two processes are {won:.2f} times as fast as one; wanted: {given.least}")
        return int(won < given.least)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
