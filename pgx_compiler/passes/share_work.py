"""Make equal nodes one: whoever asks for predictions, references or a gradient, they are computed once."""

import json

from pgx_compiler.evidence.canonical import plain
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.passes.context import Context


def share_work(graph: Graph, context: Context) -> Graph:  # noqa: ARG001
    """Drop each node that does the same work as an earlier one, and connect its users to that one.

    Nodes that the author asked for by name (``step``) stay: the factsheet reports each. They still cost nothing
    twice, because equal work has equal keys.
    """
    kept: dict[str, Node] = {}
    stands_for: dict[str, str] = {}
    seen: dict[str, str] = {}
    for node in graph:
        node = node.but(inputs={port: stands_for.get(needed, needed) for port, needed in node.inputs.items()})
        work = _work(node)
        if work in seen and node.step is None:
            stands_for[node.id] = seen[work]
            continue
        seen.setdefault(work, node.id)
        kept[node.id] = node
    return Graph(kept.values())


def holds(graph: Graph, context: Context) -> str | None:  # noqa: ARG001
    """No work is left twice that nobody asked for by name."""
    seen: dict[str, str] = {}
    for node in graph:
        first = seen.setdefault(_work(node), node.id)
        if first != node.id and node.step is None:
            return f"{node.id}: does the same as {first}"
    return None


def _work(node: Node) -> str:
    """What a node does, whatever it is called and whoever asked for it: equal texts are equal work."""
    what = [node.op, node.method, dict(node.inputs), dict(node.params), node.runtime, node.seed, node.salt]
    return json.dumps(what, sort_keys=True, default=plain)
