"""What is legal, as a table: for each operation its ports, which may be absent, and what may stand behind them."""

from collections.abc import Mapping
from dataclasses import dataclass

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node


@dataclass(frozen=True)
class Operation:
    """What an operation needs and makes."""

    makes: str
    """Kind of its result; empty for gathering, which makes what the operation makes whose shards it joins."""
    ports: Mapping[str, str]
    """Port to the kind it takes; ``port?`` may be absent; ``port*`` stands for ``port.NAME`` any number of times."""
    asks_model: bool = False
    """It runs on a framework."""
    runs_method: bool = False
    version: int = 1
    """Raised when its numbers change: part of every key."""


SHARD = "shard"
"""Kind of what a node makes that works on a part of the rows: only gathering reads it."""

OPERATIONS: Mapping[str, Operation] = {
    "model": Operation("model", {}),
    "data": Operation("data", {}),
    "check": Operation("report", {"train": "data", "test?": "data", "model?": "model"}, runs_method=True),
    "predict": Operation("predictions", {"model": "model", "data": "data"}, asks_model=True),
    "repeat": Operation("report", {"model": "model", "data": "data", "predictions": "predictions"}, asks_model=True),
    "parity": Operation("report", {"onnx": "predictions", "keras?": "predictions", "rebuilt?": "predictions"}),
    "performance": Operation("report", {"test": "predictions", "train?": "predictions"}),
    "rows": Operation("rows", {"data": "data", "predictions": "predictions"}),
    "features": Operation("features", {"data": "data", "rows": "rows"}),
    "references": Operation("references", {"train": "data", "data": "data", "rows": "rows", "features?": "features"}),
    "attribute": Operation(
        "attribution",
        {"model": "model", "data": "data", "rows": "rows", "references": "references", "features?": "features"},
        asks_model=True,
        runs_method=True,
    ),
    "state": Operation(
        "report",
        {
            "model": "model",
            "data": "data",
            "rows": "rows",
            "references": "references",
            "features?": "features",
            "train?": "data",
            "test?": "data",
        },
        asks_model=True,
        runs_method=True,
    ),
    "compare": Operation(
        "scores",
        {"first": "attribution", "second": "attribution", "parity?": "report", "repeat*": "report"},
        runs_method=True,
    ),
    "judge": Operation(
        "scores",
        {
            "model": "model",
            "data": "data",
            "rows": "rows",
            "references": "references",
            "features?": "features",
            "attribution": "attribution",
        },
        asks_model=True,
        runs_method=True,
    ),
    "gather": Operation(
        "",
        {
            "shard*": SHARD,
            "data": "data",
            "rows": "rows",
            "references": "references",
            "features?": "features",
            "train?": "data",
            "test?": "data",
            "attribution?": "attribution",
        },
        runs_method=True,
    ),
    "rely": Operation(
        "report",
        {"attribution*": "attribution", "check*": "report", "data": "data", "rows": "rows", "parity?": "report"},
    ),
    "trial": Operation(
        "trial",
        {
            "model": "model",
            "train": "data",
            "data": "data",
            "rows": "rows",
            "references": "references",
            "features?": "features",
            "check*": "report",
            "trial*": "trial",
        },
        asks_model=True,
    ),
    "tune": Operation("report", {"trial*": "trial", "check*": "report"}, version=2),
}


class IllegalGraph(Exception):  # noqa: N818
    """Our own mistake: a graph that no pass may hand on. Names the node and the rule."""


def kind_of(node: Node) -> str:
    """The kind of a node's result."""
    if node.op == "gather":
        return OPERATIONS[node.params["of"]].makes
    return SHARD if "part" in node.params else OPERATIONS[node.op].makes


def verify(graph: Graph) -> None:
    """Check every node against `OPERATIONS`. Raises `IllegalGraph`."""
    for node in graph:
        operation = OPERATIONS.get(node.op)
        if operation is None:
            raise IllegalGraph(f"{node.id}: there is no operation `{node.op}`")
        if operation.runs_method != (node.method is not None):
            raise IllegalGraph(f"{node.id}: `{node.op}` must {'' if operation.runs_method else 'not '}name a method")
        families = {port[:-1]: kind for port, kind in operation.ports.items() if port.endswith("*")}
        single = {port.rstrip("?"): kind for port, kind in operation.ports.items() if not port.endswith("*")}
        for port in operation.ports:
            if not port.endswith(("?", "*")) and port not in node.inputs:
                raise IllegalGraph(f"{node.id}: port `{port}` is not connected")
        for port, needed in node.inputs.items():
            family, _, member = port.partition(".")
            kind = families.get(family) if member else single.get(port)
            if kind is None:
                raise IllegalGraph(f"{node.id}: `{node.op}` has no port `{port}`")
            made = kind_of(graph[needed])
            if made != kind:
                raise IllegalGraph(f"{node.id}: port `{port}` takes {kind}, but `{needed}` makes {made}")
            if kind == SHARD and (graph[needed].op, graph[needed].method) != (node.params["of"], node.method):
                raise IllegalGraph(f"{node.id}: gathers `{node.params['of']}`, but `{needed}` does other work")
