"""What is known of a node's arrays before it has run: how many rows, features and targets, and the shapes of inputs."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zipfile import BadZipFile

from pgx_compiler.evidence.canonical import digest, headers_of
from pgx_compiler.evidence.store import Record, Store
from pgx_compiler.execute.texts import whole_text
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.modalities import modalities


@dataclass(frozen=True)
class Expected:
    """What is known of a node's arrays before it has run; None: nothing."""

    rows: int | None = None
    """Rows that were chosen to be explained."""
    features: int | None = None
    targets: int | None = None
    """Outputs that each row is explained for, where they are several."""
    inputs: Mapping[str, tuple[tuple[int | None, ...], str]] = field(default_factory=dict)
    """Of the model, by name: a row's shape and type. A text that is explained in pieces has as many as it has."""


class Expectations:
    """What a graph says of the arrays of its nodes; what is the same for many nodes is found once."""

    def __init__(self, graph: Graph, store: Store) -> None:
        self._graph, self._store = graph, store
        self._features: dict[str, int] = {}

    def of(self, node: Node, records: Mapping[str, Record]) -> Expected:
        """Sizes of a node's arrays, by what it rests on; ``records`` are the results of its inputs."""
        chosen = records.get(node.inputs.get("rows", ""))
        if chosen is None or chosen.arrays is None:
            return Expected()
        path = self._store.path(chosen.arrays, ".npz")
        rows: int | None = None
        with contextlib.suppress(OSError, ValueError, BadZipFile):  # damaged since: whoever reads it next says so
            rows = next((shape[0] for name, shape, _ in headers_of(path) if name == "index"), None)
        if node.op != "attribute" and node.params.get("of") != "attribute":
            return Expected(rows)
        data = self._graph[node.inputs["data"]].params
        inputs = {name: (tuple(shape), dtype) for name, shape, dtype in data["inputs"]}
        targets = self._graph[node.inputs["rows"]].params.get("targets", ())
        features = self._count(node.params["features"], inputs)
        explained = {name: ((None,), one[1]) if name == whole_text(data) else one for name, one in inputs.items()}
        return Expected(rows, features, len(targets), explained)

    def _count(self, described: Mapping[str, Any], inputs: Mapping[str, tuple[tuple[int, ...], str]]) -> int:
        key = digest([described, inputs])
        if key not in self._features:
            shapes = {name: shape for name, (shape, _) in inputs.items()}
            self._features[key] = len(modalities()[described["modality"]].feature_map(shapes, described))
        return self._features[key]
