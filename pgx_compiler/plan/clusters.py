"""A graph cut into parts for drawing: which nodes stand together, what each is called and costs."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.plan.stages import PARTS, stage_of


@dataclass(frozen=True)
class Drawn:
    """One node of a drawing."""

    number: int
    """Its place in the graph: what the drawing calls it, whatever its id holds."""
    node: Node
    lines: tuple[str, ...]
    """Its label: id, method, price."""


@dataclass(frozen=True)
class Cluster:
    """The nodes of one part of the audit."""

    part: str
    nodes: tuple[Drawn, ...]


def clusters(graph: Graph, only: Collection[str] | None = None) -> list[Cluster]:
    """The parts of a graph in order, each with its nodes in theirs; ``only`` leaves all other nodes out."""
    drawn: dict[str, list[Drawn]] = {}
    for number, node in enumerate(graph):
        if only is None or node.id in only:
            drawn.setdefault(stage_of(node), []).append(Drawn(number, node, tuple(_label(node))))
    return [Cluster(part, tuple(drawn[part])) for part in PARTS if part in drawn]


def edges(graph: Graph, only: Collection[str] | None = None) -> Iterator[tuple[int, int]]:
    """From the number of a node to that of each that reads it, once, in the order of the readers."""
    numbers = {node.id: number for number, node in enumerate(graph)}
    for node in graph:
        for needed in sorted(set(node.inputs.values()), key=numbers.__getitem__):
            if only is None or (node.id in only and needed in only):
                yield numbers[needed], numbers[node.id]


def _label(node: Node) -> Iterator[str]:
    yield node.id
    if node.method is not None and node.method not in node.id:
        yield node.method
    forward, backward = node.cost.get("forward", 0), node.cost.get("backward", 0)
    price = [f"{count:,} rows {way}" for count, way in ((forward, "forward"), (backward, "backward")) if count]
    if price:
        yield ", ".join(price)
