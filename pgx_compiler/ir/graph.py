"""The execution graph: immutable, in a deterministic order. The only module that knows networkx."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from pgx_compiler.ir.node import Node

if TYPE_CHECKING:
    import networkx as nx


class CyclicGraph(Exception):  # noqa: N818
    """Nodes that wait for one another; the compiler never makes one on purpose."""


class Graph:
    """Nodes in lexicographic topological order, so that equal graphs print and hash alike."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        unordered = {}
        for node in nodes:
            if node.id in unordered:
                raise ValueError(f"two nodes are called `{node.id}`")
            unordered[node.id] = node
        for node in unordered.values():
            for port, needed in node.inputs.items():
                if needed not in unordered:
                    raise ValueError(f"`{node.id}` needs `{needed}` on port `{port}`, which is not in the graph")
        self._nodes = {name: unordered[name] for name in _ordered(unordered)}

    def __iter__(self) -> Iterator[Node]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, name: object) -> bool:
        return name in self._nodes

    def __getitem__(self, name: str) -> Node:
        return self._nodes[name]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Graph) and self._nodes == other._nodes

    __hash__ = None  # type: ignore[assignment]  # compared by content; never a key

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """All ids, in order."""
        return tuple(self._nodes)

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {name: place for place, name in enumerate(self._nodes)}

    def place(self, name: str) -> int:
        """How many nodes come before a node."""
        return self._places[name]

    @cached_property
    def _users(self) -> Mapping[str, tuple[str, ...]]:
        return {name: tuple(sorted(names)) for name, names in _readers(self._nodes).items()}

    def users(self, name: str) -> tuple[str, ...]:
        """The nodes that read a node, by name."""
        return self._users[name]

    def upstream(self, *names: str) -> frozenset[str]:
        """Everything that these nodes rest on, they themselves not counted unless one rests on another."""
        return self._reached(names, lambda name: self._nodes[name].inputs.values())

    def downstream(self, *names: str) -> frozenset[str]:
        """Everything that rests on these nodes."""
        return self._reached(names, lambda name: self._users[name])

    def _reached(self, names: Iterable[str], step: Callable[[str], Iterable[str]]) -> frozenset[str]:
        """One walk for all of them: asking for many nodes costs no more than asking for the whole graph once."""
        found: set[str] = set()
        open_ = [after for name in names for after in step(name)]
        while open_:
            name = open_.pop()
            if name not in found:
                found.add(name)
                open_.extend(step(name))
        return frozenset(found)

    @cached_property
    def digraph(self) -> "nx.DiGraph[str]":
        """The same graph for networkx: ids, and an edge from each node to those that read it."""
        return _digraph(self._nodes)

    def only(self, names: Iterable[str]) -> "Graph":
        """The graph of some nodes. Raises `ValueError` where one of them needs a node that is left out."""
        wanted = set(names)
        return Graph(node for node in self if node.id in wanted)

    def map(self, change: Callable[[Node], Node]) -> "Graph":
        """The graph with every node changed; ids must stay."""
        changed = [change(node) for node in self]
        if all(
            after.id == before.id and after.inputs == before.inputs for after, before in zip(changed, self, strict=True)
        ):
            # nothing that the order depends on has changed: it is not sought again
            same = Graph(())
            same._nodes = {node.id: node for node in changed}
            return same
        return Graph(changed)


def _readers(nodes: Mapping[str, Node]) -> dict[str, list[str]]:
    """Each node's readers, each named once."""
    found: dict[str, list[str]] = {name: [] for name in nodes}
    for node in nodes.values():
        for needed in dict.fromkeys(node.inputs.values()):
            found[needed].append(node.id)
    return found


def _ordered(nodes: Mapping[str, Node]) -> list[str]:
    """Lexicographic topological order: of all nodes that may come next, always the first by name.

    The order that ``networkx.lexicographical_topological_sort`` gives, without its import: every command that compiles
    would pay 0.3 s for it. Raises `CyclicGraph`.
    """
    readers = _readers(nodes)
    missing = {name: len(set(node.inputs.values())) for name, node in nodes.items()}
    ready = [name for name, count in missing.items() if not count]
    heapq.heapify(ready)
    order = []
    while ready:
        name = heapq.heappop(ready)
        order.append(name)
        for reader in readers[name]:
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(nodes):
        raise CyclicGraph(_cycle(nodes))
    return order


def _cycle(nodes: Mapping[str, Node]) -> str:
    import networkx as nx

    return " -> ".join(edge[0] for edge in nx.find_cycle(_digraph(nodes)))


def _digraph(nodes: Mapping[str, Node]) -> "nx.DiGraph[str]":
    import networkx as nx

    made: nx.DiGraph[str] = nx.DiGraph()
    made.add_nodes_from(nodes)
    made.add_edges_from((needed, node.id) for node in nodes.values() for needed in node.inputs.values())
    return made
