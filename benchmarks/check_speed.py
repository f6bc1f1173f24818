"""How long ``pgx check`` takes as a whole process, start-up counted.

    python benchmarks/check_speed.py [--runs N]

Measures, in turns, so that what else the machine does falls on all of them alike:

- ``python -c pass``, the floor under every Python program, and ``import numpy, pydantic``, the floor under this one;
- ``pgx check`` of the smallest valid audits (one step; a Keras file, an ONNX file) and of one of 3,000 lines with 120 steps
  and 400 gates, which this script generates;
- ``pgx check`` of the examples under ``specs/``.

Prints the median and the least wall-clock time, the median of the processor time, and the ratio of the medians to the floor.
Bytecode is cached as for any installed program: one run that is not counted comes first, and ``PYTHONDONTWRITEBYTECODE`` is
taken from the environment. Every check must end with status 0, or nothing is printed.

Aim: the smallest under 0.5 s, 3,000 lines under 1 s, on the machine that the project is built on when it does nothing else.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SPECS = Path(__file__).parents[1] / "specs"
STEPS, GATES = 120, 400

SMALLEST = """\
apiVersion: pgx/v1
kind: Audit
metadata: {{name: smallest}}
model: {{{model}}}
data: {{modality: tabular, train: {{path: {train}, target: bad_risk}}}}
precaution: [{{use: class_balance}}]
explain: {{rows: {{from: train, sample: 8}}}}
"""


def large() -> str:
    """An audit of boosted trees with many steps and gates, written out as a person would, a key a line."""
    lines = (SPECS / "german-credit-trees.yaml").read_text("utf-8").split("explain:")[0].splitlines()
    lines += ["explain:", "  score: log_odds", "  target: bad", "  rows:", "    from: test", "    sample: 48"]
    lines += ["  perturbation:", "    - use: shapley_values"]
    for step in range(STEPS):
        lines += ["    - use: kernel_shap", f"      id: kernel_{step}", "      with:", f"        samples: {512 + step}"]
    lines += ["agreement:", "  - use: rank_correlation", "gates:"]
    for gate in range(GATES):
        lines += [f"  # how often the sampled values must agree with the exact ones, case {gate}"]
        lines += ["  - fact: agreement.rank_correlation", f"    id: gate_{gate}", "    between:"]
        lines += ["      - shapley_values", f"      - kernel_{gate % STEPS}", "    aggregate: median", "    min: 0.8"]
    while len(lines) < 3000:
        lines.append("# a comment")
    return "\n".join(lines) + "\n"


def measure(command: list[str], folder: Path) -> tuple[float, float]:
    """Seconds of wall clock and of processor of one process."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    seconds, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ran.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stderr}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=11)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory(prefix="pgx-speed-") as name:
        folder = Path(name)
        shutil.copytree(SPECS, folder, dirs_exist_ok=True)
        trees = SMALLEST.format(model="onnx: models/german-credit-trees.onnx", train="data/german-credit-train.csv")
        keras = SMALLEST.format(model="keras: models/german-credit.keras", train="data/german-credit-onehot-train.csv")
        (folder / "smallest-onnx.yaml").write_text(trees)
        (folder / "smallest-keras.yaml").write_text(keras)
        (folder / "large.yaml").write_text(large())
        pgx = [sys.executable, "-m", "pgx_compiler", "check"]
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "import numpy, pydantic": [
                sys.executable,
                "-c",
                "import numpy, pydantic; pydantic.create_model('M', a=int)",
            ],
            "smallest, Keras": [*pgx, "smallest-keras.yaml"],
            "smallest, ONNX": [*pgx, "smallest-onnx.yaml"],
            f"{large().count(chr(10)):,} lines": [*pgx, "large.yaml"],
        }
        commands |= {path.name: [*pgx, path.name] for path in sorted(SPECS.glob("*.yaml"))}
        taken: dict[str, list[tuple[float, float]]] = {label: [] for label in commands}
        for run in range(runs + 1):
            for label, command in commands.items():
                took = measure(command, folder)
                if run:
                    taken[label].append(took)
    floor = statistics.median(wall for wall, _ in taken["python -c pass"])
    print(f"{'':<26} {'median':>9} {'least':>9} {'processor':>10} {'× floor':>8}   ({runs} runs)")
    for label, all_of_it in taken.items():
        median = statistics.median(wall for wall, _ in all_of_it)
        least = min(wall for wall, _ in all_of_it)
        processor = statistics.median(cpu for _, cpu in all_of_it)
        print(f"{label:<26} {median:>7.3f} s {least:>7.3f} s {processor:>8.3f} s {median / floor:>8.1f}")
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
