"""How compiling grows with the size of the graph: 100 to 9,900 nodes (aim: linear, an exponent near 1).

    python benchmarks/compile_scaling.py [--runs N] [--most NODES]

Each size is an audit of boosted trees with as many sampling steps as give that many nodes (a step is a node, its second
opinion another), written as a spec and taken the whole way: `check` reads and analyses the text, `lower` makes the graph,
each pass transforms and verifies it, `document` writes ``plan.json`` with its digest. Two further graphs have another shape:
one with a comparison for every two steps (nodes grow with the square of the steps), one with a gate for every step.

Prints for each size the seconds of every stage (median of the runs, one process, everything imported before), seconds for a
thousand nodes, and for each stage the exponent of a power law fitted to the three largest sizes.
"""

import argparse
import gc
import math
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SPECS = Path(__file__).parents[1] / "specs"
MATRIX = 64
"""Combinations of one matrix: as many as the language allows."""
SIZES = (100, 300, 1_000, 3_000, 9_900)
"""A spec may hold 50,000 values, which is 9,900 steps of five; the comparisons of 140 steps make 10,000 nodes and more."""


def spec_of(steps: int, agreement: bool = False, gates: bool = False) -> str:
    """An audit with that many sampling steps."""
    head = (SPECS / "german-credit-trees.yaml").read_text("utf-8").split("\nexplain:")[0].split("\nprecaution:")[0]
    head = "\n".join(line for line in head.splitlines() if "model_rows" not in line and "budget" not in line)
    lines = [
        head,
        "explain:",
        "  score: log_odds",
        "  target: bad",
        "  rows: {from: test, sample: 8}",
        "  perturbation:",
    ]
    for first in range(0, steps, MATRIX):
        samples = list(range(100 + first, 100 + min(steps, first + MATRIX)))
        lines += [f"    - {{use: kernel_shap, id: k, matrix: {{samples: {samples}}}}}"]
    lines += ["agreement: [{use: rank_correlation}]"] if agreement else []
    if gates:
        lines += ["gates:"]
        names = [f"k[samples={100 + step}]" for step in range(steps)]
        lines += [f"  - {{fact: 'explain.{name}.completeness_gap', max: 1}}" for name in names]
    return "\n".join(lines) + "\n"


def timed(stages: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    """Run something and note how long it took."""
    began = time.perf_counter()
    made = work()
    stages[name] = time.perf_counter() - began
    return made


def compiled(path: Path) -> tuple[int, dict[str, float]]:
    """Nodes of the plan, and seconds by stage."""
    from pgx_compiler.analysis.checked import check
    from pgx_compiler.lowering import lower
    from pgx_compiler.passes.runner import PIPELINE, run_passes
    from pgx_compiler.plan.plan import Plan, compile_plan

    stages: dict[str, float] = {}
    checked = timed(stages, "check", lambda: check(path))
    if checked.audit is None:
        raise SystemExit("; ".join(item.message for item in list(checked.diagnostics)[:3]))
    context = compile_plan(checked.audit, "0").context
    gc.collect()
    graph = timed(stages, "lower", lambda: lower(checked.audit))
    for one in PIPELINE:
        graph = timed(stages, one.name, lambda one=one, before=graph: run_passes(before, context, (one,)))
    plan = Plan(checked.audit, graph, context)
    timed(stages, "document", plan.to_json)
    return len(graph), stages


def measured(path: Path, runs: int) -> tuple[int, dict[str, float]]:
    """The median of several runs."""
    found = [compiled(path) for _ in range(runs)]
    return found[0][0], {name: statistics.median(stages[name] for _, stages in found) for name in found[0][1]}


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Slope of the line through the logarithms."""
    x, y = [math.log(size) for size in sizes], [math.log(max(second, 1e-6)) for second in seconds]
    middle_x, middle_y = statistics.fmean(x), statistics.fmean(y)
    return sum((a - middle_x) * (b - middle_y) for a, b in zip(x, y, strict=True)) / sum((a - middle_x) ** 2 for a in x)


def row(label: str, values: list[str]) -> None:
    """Print one line of the table."""
    print(f"{label:<20}" + "".join(f"{value:>10}" for value in values), flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--most", type=int, default=max(SIZES), help="largest number of nodes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pgx-scaling-") as name:
        folder = Path(name)
        shutil.copytree(SPECS, folder, dirs_exist_ok=True)
        path = folder / "scaling.yaml"
        path.write_text(spec_of(5))
        compiled(path)  # imports everything
        found: list[tuple[int, dict[str, float]]] = []
        for size in SIZES:
            if size <= options.most:
                path.write_text(spec_of(size - 9))  # beside the steps: files, rows, checks of the model
                found.append(measured(path, options.runs))
        stages = list(found[0][1])
        row("nodes", [f"{nodes:,}" for nodes, _ in found] + ["exponent"])
        for stage in [*stages, "all"]:
            seconds = [sum(of.values()) if stage == "all" else of[stage] for _, of in found]
            fitted = exponent([nodes for nodes, _ in found][-3:], seconds[-3:])
            row(stage, [f"{second:.3f} s" for second in seconds] + [f"{fitted:.2f}"])
        totals = [1e6 * sum(of.values()) / nodes for nodes, of in found]
        row("per 1,000 nodes", [f"{total:.0f} ms" for total in totals])
        for label, text in (
            ("60 steps, all compared", spec_of(60, agreement=True)),
            ("140 steps, all compared", spec_of(140, agreement=True)),
            ("500 steps and gates", spec_of(500, gates=True)),
            ("2,000 steps and gates", spec_of(2000, gates=True)),
        ):
            path.write_text(text)
            nodes, of = measured(path, 1)
            print(
                f"{label:<26}{nodes:>8,} nodes {sum(of.values()):>8.3f} s, {1e6 * sum(of.values()) / nodes:>6.0f} ms per 1,000"
            )
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
