"""The graph as text that a person can read and `parse` can read back: ``parse(render(g)) == g``.

One node is a head line and indented fields::

    explain.kernel_shap = attribute kernel_shap (data=data.test, model=model.onnx, rows=rows)
        params: {"samples":2048}
        runtime: onnx_runtime
"""

import json
import re
from typing import Any

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node

_FIELDS = ("params", "step", "source", "line", "runtime", "seed", "salt", "cost", "note", "key", "ingredients")
_EMPTY: dict[str, Any] = {
    "params": {},
    "step": None,
    "source": "",
    "line": None,
    "runtime": None,
    "seed": None,
    "salt": 0,
    "cost": {},
    "note": "",
    "key": "",
    "ingredients": {},
}
_HEAD = re.compile(r"^(?P<id>\S+) = (?P<op>\S+)(?: (?P<method>\S+))? \((?P<inputs>.*)\)$")


def render(graph: Graph, *, fields: tuple[str, ...] = _FIELDS) -> str:
    """Print a graph; with fewer ``fields`` it is shorter, and no longer parses back to the same graph."""
    lines = []
    for node in graph:
        inputs = ", ".join(f"{port}={needed}" for port, needed in sorted(node.inputs.items()))
        method = f" {node.method}" if node.method else ""
        lines.append(f"{node.id} = {node.op}{method} ({inputs})")
        for name in fields:
            value = getattr(node, name)
            if value != _EMPTY[name]:
                lines.append(f"    {name}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _pair(text: str) -> tuple[str, str]:
    """Port and what fills it; a port may hold the id of a step, whose brackets hold ``=`` themselves."""
    port = re.match(r"(?:[^=\[]|\[[^\]]*\])*", text)
    assert port is not None
    return port[0], text[port.end() + 1 :]


def parse(text: str) -> Graph:
    """Read a printed graph. Raises `ValueError` naming the line."""
    nodes: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: a note may hold U+2028
        if not line.strip():
            continue
        if line.startswith("    ") and nodes:
            name, _, value = line.strip().partition(": ")
            if name not in _FIELDS:
                raise ValueError(f"line {number}: there is no field `{name}`")
            nodes[-1][name] = json.loads(value)
            continue
        head = _HEAD.match(line)
        if head is None:
            raise ValueError(f"line {number}: not a node: {line!r}")
        inputs = dict(_pair(pair) for pair in head["inputs"].split(", ") if pair)
        nodes.append({"id": head["id"], "op": head["op"], "method": head["method"], "inputs": inputs})
    return Graph(Node(**fields) for fields in nodes)
