"""What a node costs over its work: a graph of many small nodes through `run_graph`, and where the time goes.

    python benchmarks/execution/nodes.py                    # 10,000 nodes, processes, as many as there are cores
    python benchmarks/execution/nodes.py --nodes 1000 --engine inline --profile

The nodes stand in layers, each resting on two of the layer before, as shards and what joins them do. A node adds up its
inputs and leaves a document and an array, so that all that is measured is the machinery: scheduling, payloads, the talk
with workers, and the store with its fsyncs. Aims: under 5 ms a node, 10,000 nodes in under 60 s.
"""

import argparse
import cProfile
import json
import pstats
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from pgx_compiler.evidence.canonical import archive, canonical_json, digest
from pgx_compiler.evidence.store import ARRAYS, DOCUMENT, Store
from pgx_compiler.execute import run as running
from pgx_compiler.execute.means import Means
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node

WIDTH = 100
"""Nodes of a layer."""


def add_up(payload, place, progress):
    """The work of a node; named below instead of the program's own."""
    began = time.perf_counter()
    total = payload["node"]["params"]["number"]
    for given in payload["inputs"].values():
        path = place.reads / "objects" / given["record"]["document"][:2] / (given["record"]["document"] + ".json")
        total += json.loads(path.read_bytes())["total"] % 1000
    (place.writes / DOCUMENT).write_bytes(canonical_json({"total": total}))
    (place.writes / ARRAYS).write_bytes(archive({"total": np.full(16, float(total))}))
    progress(1, 1)
    return {"spent": {"forward": 1, "backward": 0}, "seconds": time.perf_counter() - began}


def graph_of(count: int) -> Graph:
    nodes = []
    for number in range(count):
        layer, place = divmod(number, WIDTH)
        inputs = {}
        if layer:
            before = (layer - 1) * WIDTH
            inputs = {"a": f"n{before + place:06}", "b": f"n{before + (place + 1) % WIDTH:06}"}
        params = {"number": number, "with": {f"parameter_{n}": n / 3 for n in range(20)}}
        ingredients = {"operation": ["add_up", 1], "params": params}
        key = digest({"number": number, **ingredients})
        nodes.append(Node(f"n{number:06}", "add_up", inputs, params, key=key, ingredients=ingredients))
    return Graph(nodes)


class Watching:
    def __init__(self):
        self.ended_ = 0
        self.problems = []

    def started(self, node):
        pass

    def progressed(self, node, done, total):
        pass

    def ended(self, outcome):
        self.ended_ += 1
        if outcome.record is None:
            self.problems.append(f"{outcome.node.id}: {outcome.reason}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=10_000)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--engine", default="processes")
    parser.add_argument("--sandbox", default="auto")
    parser.add_argument("--folder", help="where the store is made: the disk is part of what is measured")
    parser.add_argument("--profile", action="store_true", help="of the run's own thread")
    options = parser.parse_args()
    running.PERFORM = "nodes:add_up"
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    graph = graph_of(options.nodes)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        means = Means(options.engine, options.jobs, options.sandbox)
        for what in ("first", "again"):
            store, watching = Store(Path(folder) / "store"), Watching()
            profile = cProfile.Profile()
            began = time.perf_counter()
            if options.profile:
                profile.enable()
            opened = partial(means.open_engine, store.root, Path(folder))
            result = running.run_graph(graph, store, opened, watching, means.policy)
            profile.disable()
            seconds = time.perf_counter() - began
            worked = sum(outcome.record.seconds for outcome in result.outcomes.values() if outcome.record)
            if watching.problems:
                print(watching.problems[:3])
                return 1
            print(
                f"{what}: {len(graph):,} nodes, {options.engine}, -j {means.at_a_time}: {seconds:.2f} s, "
                f"{1000 * seconds / len(graph):.2f} ms a node; in the work itself {1000 * worked / len(graph):.2f} ms"
            )
            if options.profile and what == "first":
                pstats.Stats(profile).sort_stats("tottime").print_stats(18)
    return 0


if __name__ == "__main__":
    sys.exit(main())
