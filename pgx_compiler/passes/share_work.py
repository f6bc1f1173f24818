"""Make equal nodes one: whoever asks for predictions, references or a gradient, they are computed once."""

from pgx_compiler.evidence.canonical import digest
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
        work = digest(
            {
                "op": node.op,
                "method": node.method,
                "inputs": node.inputs,
                "params": node.params,
                "runtime": node.runtime,
                "seed": node.seed,
                "salt": node.salt,
            }
        )
        if work in seen and node.step is None:
            stands_for[node.id] = seen[work]
            continue
        seen.setdefault(work, node.id)
        kept[node.id] = node
    return Graph(kept.values())


def ensures(node: Node, context: Context) -> str | None:  # noqa: ARG001
    """Nothing to promise of a single node."""
    return None
