"""Cases run in worker processes with limits of time and memory: what the two fuzz scripts share.

A case is a number; a script turns it into a try by itself, so that any case can be repeated alone (``--only NUMBER``). The
parent hands out numbers by counting, reads one line for each finished case, and kills a worker that says nothing for longer
than the limit; a worker that dies is replaced and goes on behind the case that killed it.
"""

import argparse
import json
import os
import resource
import selectors
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = 5.0
"""Wall-clock time that one case may take."""
BYTES = 2**30
"""Address space that a worker may have, all that it imports included."""
START_UP = 60.0
"""Seconds that a worker may take to import everything; not part of any case."""

Case = Callable[[int], str]
"""Runs one case and returns a word for what came of it; raises where the program would have shown a traceback."""


def main(
    script: str, description: str, cases: int, prepare: Callable[[int], Case], show: Callable[[int, int], None]
) -> int:
    """The command line of a fuzz script; 0 where nothing was found.

    Args:
        script: path of the script.
        description: its docstring.
        cases: how many cases by default.
        prepare: from the seed to what runs a case; called in the worker.
        show: prints one case (seed, number), to look at what was found.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=cases, help=f"default {cases:,}")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=20261123)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", type=int, help="print one case and run it in this process, without limits")
    parser.add_argument("--worker", nargs=3, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(prepare(options.seed), *options.worker)
        return 0
    if options.only is not None:
        show(options.seed, options.only)
        print(prepare(options.seed)(options.only))
        return 0
    return _report(_Run(script, options.seed, options.first, options.cases, options.workers).finished())


def _work(run: Case, first: int, end: int, step: int) -> None:
    """In a worker: run every `step`-th case and say what came of each, one line of JSON a case."""
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    warnings.simplefilter("error")  # a warning of Python or NumPy on the author's terminal is no answer either
    out = os.fdopen(os.dup(1), "w")
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (for the whole life of the process)
    out.write("ready\n")
    out.flush()
    for case in range(first, end, step):
        began = time.perf_counter()
        try:
            said: dict[str, Any] = {"outcome": run(case)}
        except (Exception, SystemExit) as error:  # noqa: BLE001  (whatever it is, it is what this script looks for)
            said = {"outcome": "failed", "error": _named(error), "trace": traceback.format_exc()[-4000:]}
        said |= {"case": case, "seconds": time.perf_counter() - began}
        said["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        out.write(json.dumps(said) + "\n")
        out.flush()


def _named(error: BaseException) -> str:
    """An exception by its type and the innermost line of the project: equal for equal mistakes."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/pgx_compiler/" in frame.filename or "/runtimes/" in frame.filename]
    place = (own or frames)[-1]
    where = place.filename[max(place.filename.rfind("/pgx_compiler/"), place.filename.rfind("/runtimes/")) + 1 :]
    return f"{type(error).__name__} at {where}:{place.lineno} ({place.name})"


class _Run:
    """All workers of a run, and what they have said."""

    def __init__(self, script: str, seed: int, first: int, cases: int, workers: int) -> None:
        self._script, self._seed, self._end, self._workers = script, seed, first + cases, workers
        self._pipes = selectors.DefaultSelector()
        self.said: list[dict[str, Any]] = []
        for worker in range(workers):
            self._start(first + worker)

    def _start(self, first: int) -> None:
        if first >= self._end:
            return
        command = [sys.executable, self._script, "--seed", str(self._seed)]
        command += ["--worker", str(first), str(self._end), str(self._workers)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        state = {"process": process, "next": first, "until": time.monotonic() + START_UP, "rest": b""}
        self._pipes.register(process.stdout, selectors.EVENT_READ, state)

    def finished(self) -> list[dict[str, Any]]:
        """Wait for all workers; returns a line for each case."""
        while self._pipes.get_map():
            ready = {key.fd for key, _ in self._pipes.select(0.2)}
            for key in list(self._pipes.get_map().values()):
                if key.fd in ready:
                    self._read(key)
                elif time.monotonic() > key.data["until"]:
                    self._end_worker(key, f"no answer within {SECONDS:g} s")
        return self.said

    def _read(self, key: selectors.SelectorKey) -> None:
        state = key.data
        block = os.read(key.fd, 65536)
        if not block:
            status = state["process"].wait()
            self._end_worker(key, f"the worker died with status {status}" if state["next"] < self._end else "")
            return
        *lines, state["rest"] = (state["rest"] + block).split(b"\n")
        for line in lines:
            state["until"] = time.monotonic() + SECONDS
            if line == b"ready":
                continue
            said = json.loads(line)
            self.said.append(said)
            state["next"] = said["case"] + self._workers
            if said["outcome"] == "failed":
                print(f"case {said['case']}: {said['error']}", flush=True)
            if len(self.said) % 5000 == 0:
                print(f"… {len(self.said):,} cases", flush=True)

    def _end_worker(self, key: selectors.SelectorKey, why: str) -> None:
        self._pipes.unregister(key.fileobj)
        process, case = key.data["process"], key.data["next"]
        process.kill()
        process.wait()
        process.stdout.close()
        if why:
            self.said.append({"outcome": "failed", "case": case, "error": why, "seconds": SECONDS, "memory": 0})
            print(f"case {case}: {why}", flush=True)
            self._start(case + self._workers)


def _report(said: list[dict[str, Any]]) -> int:
    seconds = sorted(item["seconds"] for item in said)
    slowest = sorted(said, key=lambda item: -item["seconds"])[:3]
    print(f"{len(said):,} cases")
    for outcome, count in Counter(item["outcome"] for item in said).most_common():
        print(f"  {outcome:<10} {count:>9,}")
    print(f"  median {1000 * seconds[len(seconds) // 2]:.1f} ms a case")
    print("  slowest " + ", ".join(f"{item['seconds']:.2f} s (case {item['case']})" for item in slowest))
    print(f"  most memory {max(item['memory'] for item in said) / 2**20:,.0f} MiB resident")
    failed = [item for item in said if item["outcome"] == "failed"]
    kinds = Counter(item["error"] for item in failed)
    print(f"  {len(kinds)} distinct failures")
    for error, count in kinds.most_common():
        example = next(item for item in failed if item["error"] == error)
        print(f"\n{count:,} × {error}; for example case {example['case']}\n{example.get('trace', '')}")
    return 1 if failed else 0


def fresh_folder(name: str) -> Path:
    """An empty folder of this process for files that only fuzzing needs; in memory where the machine has such a place."""
    import atexit
    import shutil
    import tempfile

    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108  (mkdtemp makes it private)
    folder = Path(tempfile.mkdtemp(prefix=f"pgx-{name}-", dir=place))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
