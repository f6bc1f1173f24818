"""SIGKILL at random times, of the run and of its workers: nothing acknowledged is lost, computed again or damaged.

    python benchmarks/execution/kills.py [--kills 500] [--seed 20261123]

A perturbation audit of a real model (some fifty nodes) is run, killed after a random time and run again, until it ends; then the
store is emptied and the next round begins. What a run has acknowledged is read from its own events. After every kill each
acknowledged node must be in the store, whole; no later run of the round may compute it again; and the factsheet of each finished
round must be that of a run that nobody disturbed, but for measured seconds and dates.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from _credit import ROOT, put_into

sys.path.insert(0, str(ROOT))

from pgx_compiler.evidence.store import Store

AUDIT = """precaution: [{use: class_balance}, {use: missing_values}, {use: duplicate_rows}, {use: outliers}, {use: correlation}]
explain:
  score: log_odds
  target: bad
  rows: {from: test, sample: 8}
  fill: {kind: background, size: 10}
  perturbation:
    - {use: occlusion}
    - {use: kernel_shap, matrix: {samples: [64, 128, 256]}}
    - {use: lime, with: {samples: 100}}
    - {use: permutation_shap}
agreement: [{use: rank_correlation}]
faithfulness: [{use: deletion}]
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=20261123)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        put_into(place, AUDIT)
        return _Trial(place, random.Random(options.seed)).go(options.kills)  # noqa: S311


class _Trial:
    def __init__(self, place: Path, draw: random.Random) -> None:
        self.place, self.draw = place, draw
        self.found: Counter[str] = Counter()
        self.kills: Counter[str] = Counter()
        self.rounds = 0

    def go(self, kills: int) -> int:
        began = time.monotonic()
        self._start("undisturbed").wait()
        wanted = comparable(self.place / "undisturbed" / "factsheet.json")
        undisturbed = time.monotonic() - began
        print(f"undisturbed: {undisturbed:.1f} s, {len(acknowledged(self.place / 'undisturbed'))} nodes", flush=True)
        while self.kills.total() < kills:
            shutil.rmtree(self.place / "store", ignore_errors=True)
            self._round(wanted, undisturbed, kills)
            self.rounds += 1
            print(
                f"{self.kills.total()} kills, {self.rounds} rounds, {dict(self.found)}, {time.monotonic() - began:.0f} s",
                flush=True,
            )
        wrong = {what: count for what, count in self.found.items() if what.startswith("WRONG")}
        print(f"kills {dict(self.kills)}; acknowledged nodes {self.found['acknowledged']}; "
              f"factsheets compared {self.found['factsheet equal']}; wrong: {wrong or 'nothing'}")  # fmt: skip
        return 1 if wrong else 0

    def _round(self, wanted: Any, undisturbed: float, kills: int) -> None:
        done: dict[str, str] = {}
        for attempt in range(200):
            name = f"round-{self.rounds}-{attempt}"
            run = self._start(name)
            last = self.kills.total() >= kills or attempt > 40
            struck = "" if last else self._strike(run, undisturbed)
            status = run.wait()
            self._check(self.place / name, done)
            if struck != "run" and status == 0:
                same = comparable(self.place / name / "factsheet.json") == wanted
                self.found["factsheet equal" if same else "WRONG factsheet differs"] += 1
                return
            if struck != "run":
                self.found[f"WRONG exit status {status}"] += 1
                return

    def _strike(self, run: "subprocess.Popen[bytes]", undisturbed: float) -> str:
        """Kill the run or one of its workers after a random time; returns what was struck, if it was still there."""
        of_worker = self.draw.random() < 0.3
        until = time.monotonic() + self.draw.uniform(0.3, undisturbed)
        while time.monotonic() < until:
            if run.poll() is not None:
                return ""
            time.sleep(0.005)
        if not of_worker:
            run.send_signal(signal.SIGKILL)
            self.kills["run"] += 1
            return "run"
        below = descendants(run.pid)
        if below:
            try:
                os.kill(self.draw.choice(below), signal.SIGKILL)
            except ProcessLookupError:
                return ""
            self.kills["worker"] += 1
            return "worker"
        return ""

    def _check(self, run: Path, done: dict[str, str]) -> None:
        store = Store(self.place / "store")
        for node, (key, computed) in acknowledged(run).items():
            if computed and node in done:
                self.found["WRONG computed again"] += 1
            done[node] = key
            self.found["acknowledged"] += computed
        for key in done.values():
            record = store.find(key)
            if record is None or not store.whole(record):
                self.found["WRONG lost"] += 1
        if store.damaged:
            self.found["WRONG damaged"] += len(store.damaged)

    def _start(self, name: str) -> "subprocess.Popen[bytes]":
        environment = {**os.environ, "PGX_STORE": str(self.place / "store")}
        command = [
            sys.executable,
            "-m",
            "pgx_compiler",
            "run",
            str(self.place / "audit.yaml"),
            "-o",
            str(self.place / name),
        ]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,
        )


def acknowledged(run: Path) -> dict[str, tuple[str, bool]]:
    """Node to its key and whether this run computed it, for every node that the run said had ended well."""
    keys: dict[str, str] = {}
    found = {}
    try:
        lines = (run / "events.jsonl").read_text().splitlines()
        plan = json.loads((run / "plan.json").read_bytes())
        keys = {node["id"]: node["key"] for node in plan["nodes"]}
    except (FileNotFoundError, ValueError):
        return {}
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:  # the torn last line of a killed run
            continue
        if event["event"] == "ended" and event["status"] in ("computed", "cached"):
            found[event["node"]] = (keys[event["node"]], event["status"] == "computed")
    return found


def descendants(pid: int) -> list[int]:
    """Every process below one."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (FileNotFoundError, ProcessLookupError, IndexError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


MEASURED = ("seconds", "started", "ended", "cached", "host", "computed")
"""What two runs that nobody disturbs differ in as well."""


def comparable(path: Path) -> Any:
    """A factsheet without what was measured of the run itself."""

    def strip(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items() if key not in MEASURED}
        return [strip(item) for item in value] if isinstance(value, list) else value

    return strip(json.loads(path.read_bytes()))


if __name__ == "__main__":
    sys.exit(main())
