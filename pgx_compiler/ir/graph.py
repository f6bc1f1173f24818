"""The execution graph: immutable, in a deterministic order. The only module that knows networkx."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property

import networkx as nx

from pgx_compiler.ir.node import Node


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
        digraph: nx.DiGraph[str] = nx.DiGraph()
        digraph.add_nodes_from(unordered)
        for node in unordered.values():
            for port, needed in node.inputs.items():
                if needed not in unordered:
                    raise ValueError(f"`{node.id}` needs `{needed}` on port `{port}`, which is not in the graph")
                digraph.add_edge(needed, node.id)
        try:
            order = list(nx.lexicographical_topological_sort(digraph))
        except nx.NetworkXUnfeasible:
            cycle = " -> ".join(edge[0] for edge in nx.find_cycle(digraph))
            raise CyclicGraph(cycle) from None
        self._digraph = digraph
        self._nodes = {name: unordered[name] for name in order}

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

    def users(self, name: str) -> tuple[str, ...]:
        """The nodes that read a node, in order."""
        return tuple(sorted(self._digraph.successors(name)))

    def upstream(self, name: str) -> frozenset[str]:
        """Everything that a node rests on."""
        return frozenset(nx.ancestors(self._digraph, name))

    def downstream(self, name: str) -> frozenset[str]:
        """Everything that rests on a node."""
        return frozenset(nx.descendants(self._digraph, name))

    def map(self, change: Callable[[Node], Node]) -> "Graph":
        """The graph with every node changed; ids must stay."""
        return Graph(change(node) for node in self)
