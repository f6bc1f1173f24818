"""What a run would do with each node, from what the store holds.

=========  =============================================================================================
``hit``    the store holds a whole record under the node's key: nothing is computed
``run``    it will be computed: something of its own is new, or what it rests on has another known result
``run?``   it will be computed although nothing of its own has changed: only what it rests on is computed
           again, and may give what it gave before
=========  =============================================================================================

Inputs enter a key by their keys, so that a node's own key is always known; ``run?`` tells of the nodes whose new key is
owed to their inputs alone. It needs proof: a record of the same work with the same ingredients besides the inputs', whose
inputs are the node's own, or else records of the same kind of work as the node's inputs that will be computed.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pgx_compiler.evidence.canonical import digest
from pgx_compiler.evidence.store import Record, Store
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node

State = Literal["hit", "run", "run?"]

SOURCES = ("model", "data")
"""Operations that are given, not computed."""

FOOTER = "hit: known. run: to be computed. run?: itself unchanged, but what it rests on is computed again."


class History:
    """All records of a store, read once and found by what they were made from."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.by_key: dict[str, Record] = {}
        self.by_work: dict[tuple[str, str | None], list[Record]] = {}
        """Operation and method to their records."""
        self._by_own: dict[str, list[Record]] = {}
        for record in store.records():
            self.by_key[record.key] = record
            self.by_work.setdefault(work_of(record.ingredients), []).append(record)
            self._by_own.setdefault(_own(record.ingredients), []).append(record)

    def hits(self, graph: Graph) -> dict[str, Record]:
        """The nodes whose result is there, whole: every object is hashed before it is believed, as a run does."""
        found = {node.id: self.by_key[node.key] for node in graph if node.key in self.by_key}
        return {name: record for name, record in found.items() if self.store.whole(record)}

    def states(self, graph: Graph) -> dict[str, State]:
        """What a run would do with each node that is computed."""
        hits = self.hits(graph)
        return {node.id: self._state(node, graph, hits) for node in graph if node.op not in SOURCES}

    def _state(self, node: Node, graph: Graph, hits: Mapping[str, Record]) -> State:
        if node.id in hits:
            return "hit"
        earlier = self._by_own.get(_own(node.ingredients), [])
        return "run?" if any(self._only_inputs_moved(record, node, graph, hits) for record in earlier) else "run"

    def _only_inputs_moved(self, record: Record, node: Node, graph: Graph, hits: Mapping[str, Record]) -> bool:
        before: Mapping[str, str] = record.ingredients["inputs"]
        if set(before) != set(node.inputs):
            return False
        moved = [port for port, needed in node.inputs.items() if before[port] != graph[needed].key]
        for port in moved:
            needed, old = graph[node.inputs[port]], self.by_key.get(before[port])
            if needed.op in SOURCES or needed.id in hits or old is None:
                return False
            if work_of(old.ingredients) != work_of(needed.ingredients):
                return False
        return bool(moved)


def work_of(ingredients: Mapping[str, Any]) -> tuple[str, str | None]:
    """Operation and method of a key's ingredients."""
    return (ingredients.get("operation") or [""])[0], (ingredients.get("method") or [None])[0]


def _own(ingredients: Mapping[str, Any]) -> str:
    return digest({name: value for name, value in ingredients.items() if name != "inputs"})
