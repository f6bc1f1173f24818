"""Cut long steps into shards of rows, and join what these leave.

A step that works on each row by itself becomes some nodes that work on a part of its rows each, and a gathering that keeps its
id, its place in the spec and its users. So ready work is enough for many cores, and a run that is killed in the middle of a
long step has lost one shard, not the step. Which rows a shard has is a part of its key.

Whether rows may be parted is said by the method's declaration (`Declaration.rows_together`); how many shards there are
follows from rows and price (`Sharding`), never from the number of workers, the engine or the host.
"""

from collections.abc import Iterator
from itertools import pairwise

from pgx_compiler.ir import sharding
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.passes.context import Context
from pgx_compiler.passes.price import cost_of, plainly

_OVER_ROWS = frozenset({"attribute", "judge", "state"})
"""Operations that can work on a part of the rows that are explained."""

SHARD = "#"
"""Stands between the id of a step and the number of a shard: ``explain.kernel_shap#03``."""


def shard(graph: Graph, context: Context) -> Graph:
    """Cut each long step into shards and a gathering; all others stay as they are."""
    cut = {node.id: found for node in graph if (found := borders(node, graph, context))}
    if not cut:
        return graph
    made: list[Node] = []
    for node in graph:
        made += _cut(node, cut[node.id], graph, context) if node.id in cut else [node]
    return Graph(made)


def ensures(node: Node, context: Context) -> str | None:  # noqa: ARG001
    """A part of the rows is not empty, begins where its method allows it, and is priced."""
    if "part" not in node.params:
        return None
    start, stop = node.params["part"]
    together = catalogue()[node.method].rows_together if node.method else None
    if together is None or start % together:
        return f"its rows cannot be parted at {start}"
    return None if start < stop else "it has no rows"


def holds(graph: Graph, context: Context) -> str | None:
    """The shards of each gathering are its rows, each once and in order, under the seed of one step."""
    for node in graph:
        if node.op != "gather":
            continue
        shards = shards_of(node, graph)
        parts = [one.params["part"] for one in shards]
        borders = [0, *(stop for _, stop in parts)]
        rows, _ = context.ground(node)
        if [start for start, _ in parts] != borders[:-1] or borders[-1] != rows:
            return f"{node.id}: its shards are not its {rows} rows"
        if len({(one.seed, one.salt, one.runtime, one.inputs["model"]) for one in shards}) != 1:
            return f"{node.id}: its shards do different work"
    return None


def shards_of(node: Node, graph: Graph) -> list[Node]:
    """The shards that a gathering joins, in the order of the rows."""
    return [graph[needed] for port, needed in sorted(node.inputs.items()) if port.startswith("shard.")]


def borders(node: Node, graph: Graph, context: Context) -> list[int]:
    """Where each shard of a node begins, and where the last one ends; empty where the node stays whole.

    The rows are those planned. Where fewer are chosen, as ``errors`` may, the last shards have less to do, or nothing.
    """
    together = catalogue()[node.method].rows_together if node.method and node.op in _OVER_ROWS else None
    if together is None or "part" in node.params:
        return []
    facts = context.models[node.inputs["model"].removeprefix("model.")]
    rows, _ = context.ground(node)

    def cost(rows_of_it: int) -> int:
        found = cost_of(node, graph, context, rows_of_it)
        return found.forward + found.backward

    asked = node.cost.get("forward", 0) + node.cost.get("backward", 0)
    return sharding.borders(rows, together, asked, facts.work_per_row, cost, context.sharding)


def _cut(node: Node, borders: list[int], graph: Graph, context: Context) -> Iterator[Node]:
    parts = list(pairwise(borders))
    price = {n: plainly(cost_of(node, graph, context, n)) for n in {stop - start for start, stop in parts}}
    digits = max(2, len(str(len(parts))))
    names: dict[str, str] = {}
    for number, (start, stop) in enumerate(parts, 1):
        place = f"{number:0{digits}d}"
        names[f"shard.{place}"] = name = f"{node.id}{SHARD}{place}"
        params = {**node.params, "part": [start, stop]}
        note = f"rows {start + 1} to {stop} of {node.id}"
        yield node.but(id=name, params=params, note=note, cost=price[stop - start])
    yield node.but(
        op="gather",
        inputs={**{port: needed for port, needed in node.inputs.items() if port != "model"}, **names},
        params={**node.params, "of": node.op},
        runtime=None,
        seed=None,
        cost=dict.fromkeys(node.cost, 0),
    )
