"""Crash states of the store: what a power cut may leave, explored exhaustively for many short random histories.

    python benchmarks/execution/crash_states.py [--histories 60] [--seed 20261123]

Each history takes in files, keeps results (new ones, known ones, others under a known key), appends to the ledger, seals runs
and sweeps. Every call to the file system is recorded; every state that a crash at any moment may leave (each prefix, each subset
of what was not flushed, torn data) is built and held against what the store had acknowledged. Then the protocol is weakened in
twelve ways, each of which has to be caught.
"""

import argparse
import random
import sys
import time
import types
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))
sys.modules["tests"] = types.ModuleType("tests")  # other distributions ship a package of this name
sys.modules["tests"].__path__ = [str(ROOT / "tests")]

import pytest  # noqa: E402

from pgx_compiler.evidence import sweep as sweeping  # noqa: E402
from pgx_compiler.evidence.canonical import archive, canonical_json, digest  # noqa: E402
from pgx_compiler.evidence.retention import Rule  # noqa: E402
from pgx_compiler.evidence.store import ARRAYS, DOCUMENT, Artifact, Store  # noqa: E402
from tests.evidence.test_crash_states import WEAKER, explore, two_nodes  # noqa: E402

ACTIONS = (
    "take in",
    "keep",
    "keep",
    "keep with arrays",
    "keep again",
    "keep another",
    "accept",
    "append",
    "seal",
    "sweep",
)


def history(seed: int, length: int):
    """A random history, as `explore` wants it."""

    def work_in(root, box):
        draw = random.Random(seed)  # noqa: S311
        store = Store(root)

        def work(promise):
            kept: list[tuple[str, Artifact]] = []
            promised: dict[str, tuple] = {}

            def keep(artifact, key):
                record = store.keep(key, artifact, {"key": key}, {}, 0.0)
                kept.append((key, artifact))
                promised[key] = (key, record.content)
                promise(("key", key))

            for number in range(length):
                action = draw.choice(ACTIONS)
                key = digest(f"{seed} {number}")
                if action == "take in":
                    source = box / f"{number}.onnx"
                    source.write_bytes(f"weights {draw.randrange(3)}".encode())
                    store.ingest(source, digest(source.read_bytes()))
                    promise(("file", digest(source.read_bytes()), ".onnx"))
                elif action == "keep":
                    keep(Artifact({"x": draw.randrange(4)}), key)
                elif action == "keep with arrays":
                    keep(Artifact({"x": number}, {"v": np.arange(draw.randrange(4))}), key)
                elif action == "keep again" and kept:
                    keep(draw.choice(kept)[1], draw.choice(kept)[0])
                elif action == "keep another" and kept:
                    keep(Artifact({"other": number}), draw.choice(kept)[0])
                elif action == "accept":
                    (box / DOCUMENT).write_bytes(canonical_json({"x": number}))
                    (box / ARRAYS).write_bytes(archive({"v": np.arange(number)}))
                    store.accept(key, box, {}, {}, 0.0)
                    promise(("key", key))
                elif action == "append":
                    promise(("seal", store.ledger.append({"event": "note", "n": number})))
                elif action == "seal":
                    _, seal = sweeping.seal_run(store, {"audit": "a"}, dict(promised), (), ())
                    promise(("seal", seal))
                elif action == "sweep" and number == length - 1:
                    # what goes is no longer promised from the moment that it may go
                    promise(("forget", None))
                    sweeping.sweep(store, Rule(keep_runs=1), pretend=False, now=time.time() + 1e6)

        return work

    return work_in


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=60)
    parser.add_argument("--length", type=int, default=7)
    parser.add_argument("--seed", type=int, default=20261123)
    options = parser.parse_args()
    patch = pytest.MonkeyPatch()
    states, wrong, began = 0, Counter(), time.monotonic()
    for number in range(options.histories):
        count, found = explore(history(options.seed + number, options.length), patch)
        states += count
        wrong.update(found)
        print(f"history {options.seed + number}: {count:,} states", flush=True)
        for what in found:
            print(f"history {options.seed + number}: {what}")
    print(
        f"{options.histories} histories, {states:,} states, {sum(wrong.values())} violations, {time.monotonic() - began:.0f} s"
    )
    caught = 0
    for weaken in WEAKER:
        with patch.context() as weaker:
            settings = weaken(weaker)
            count, found = explore(two_nodes, weaker, stop=True, **settings)
        caught += bool(found)
        print(
            f"  {weaken.__name__:42} {count:6,} states  {sum(found.values()):7,} violations  {', '.join(sorted(found)[:3])}"
        )
    print(f"{caught} of {len(WEAKER)} weaker protocols caught")
    return 0 if not wrong and caught == len(WEAKER) else 1


if __name__ == "__main__":
    sys.exit(main())
