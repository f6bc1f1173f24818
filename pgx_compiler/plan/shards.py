"""The steps of a plan, whole again: what a person asked for, whatever it was cut into.

`pgx_compiler.passes.shard` cuts long steps, and a search is lowered to its trials. The graph of a plan has the parts, since
they are what runs; a table, a drawing and a factsheet show the step, at the price of its parts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.passes.shard import shards_of

_WHOLE = ("gather", "tune")
"""Operations that stand for a step and rest on its parts."""


def folded(graph: Graph) -> Graph:
    """The graph with each step in one piece: under its own operation, with its own inputs, at the price of its parts."""
    groups = groups_of(graph)
    if not groups:
        return graph
    hidden = {name for names in groups.values() for name in names}
    return Graph(_whole(node, graph) if node.id in groups else node for node in graph if node.id not in hidden)


def groups_of(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Id of each step that was cut to the ids of its parts: shards in the order of the rows, trials by number."""
    return {node.id: tuple(one.id for one in _parts(node, graph)) for node in graph if node.op in _WHOLE}


def _parts(node: Node, graph: Graph) -> list[Node]:
    if node.op == "gather":
        return shards_of(node, graph)
    return trials_of(node, graph)


def trials_of(node: Node, graph: Graph) -> list[Node]:
    """The trials that a node reads, by number."""
    found = [graph[name] for name in node.inputs.values() if graph[name].op == "trial"]
    return sorted(found, key=lambda one: int(one.params["number"]))


def _whole(node: Node, graph: Graph) -> Node:
    shards = _parts(node, graph)
    first = shards[0]
    if node.op == "tune":
        inputs = {port: needed for port, needed in first.inputs.items() if graph[needed].op != "trial"}
        return node.but(inputs=inputs, runtime=first.runtime, cost=priced([one.cost for one in shards]))
    # the key is that of joining, which rests on those of the shards; what has computed the numbers is what they say
    ingredients = {**node.ingredients, "computed_by": first.ingredients.get("computed_by", {})}
    return node.but(
        ingredients=ingredients,
        op=first.op,
        inputs=dict(first.inputs),
        params={name: value for name, value in node.params.items() if name != "of"},
        runtime=first.runtime,
        seed=first.seed,
        cost=priced([one.cost for one in shards]),
    )


def priced(costs: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The price of several nodes as that of one: model rows add up, and the largest needs the memory."""
    together = {name: sum(cost.get(name, 0) for cost in costs) for cost in costs for name in cost}
    if "bytes" in together:
        together["bytes"] = max(cost.get("bytes", 0) for cost in costs)
    return together


def folded_documents(nodes: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The same for the nodes of a ``plan.json``, by id."""
    found: dict[str, Mapping[str, Any]] = {}
    hidden: set[str] = set()
    for name, node in nodes.items():
        shards = _ports(node.get("inputs", {}))
        if node.get("op") not in _WHOLE or not shards or any(one not in nodes for one in shards):
            found[name] = node
            continue
        hidden |= set(shards)
        first = nodes[shards[0]]
        params = {key: value for key, value in node["params"].items() if key != "of"}
        cost = priced([nodes[one].get("cost", {}) for one in shards])
        if node["op"] == "tune":
            inputs = {port: needed for port, needed in first["inputs"].items() if not port.startswith("trial.")}
            found[name] = {**node, "inputs": inputs, "runtime": first["runtime"], "cost": cost}
            continue
        own = {key: first[key] for key in ("op", "inputs", "runtime", "seed", "computed_by") if key in first}
        found[name] = {**node, **own, "params": params, "cost": cost}
    return {name: node for name, node in found.items() if name not in hidden}


def _ports(inputs: Mapping[str, str]) -> list[str]:
    return [needed for port, needed in sorted(inputs.items()) if port.startswith(("shard.", "trial."))]
