"""Give each node that asks a model the cheapest runtime whose capabilities and format fit."""

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.verify import OPERATIONS
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.passes.context import Context
from runtimes.target import framework_for


def place(graph: Graph, context: Context) -> Graph:
    """Connect the ``model`` port of each asking node to the cheapest capable model file, and name its runtime.

    A node that is about one file (``predict``, ``repeat``) keeps it.
    """
    return graph.map(lambda node: _place(node, graph, context))


def ensures(node: Node, context: Context) -> str | None:
    """Every node that asks a model has a runtime that offers what it needs."""
    if "model" not in node.inputs:
        return None
    if node.runtime is None:
        return "asks a model, but has no runtime"
    needed = needed_capability(node)
    facts = context.models[node.inputs["model"].removeprefix("model.")]
    return None if needed in facts.capabilities else f"its model offers no {needed}"


def needed_capability(node: Node) -> str:
    """The least that a node needs of its model, or of the runtime that it is held against."""
    if node.op == "trial":
        return "Trainable"
    if node.op == "predict":
        return str(node.params.get("offers", "Predictor"))
    if node.method:
        return catalogue()[node.method].capability or "Predictor"
    return "Predictor"


def _place(node: Node, graph: Graph, context: Context) -> Node:
    if "model" not in node.inputs or not (OPERATIONS[node.op].asks_model or node.op == "check"):
        return node
    needed = needed_capability(node)
    formats = [format for format, facts in context.models.items() if needed in facts.capabilities]
    if node.op in ("predict", "repeat"):
        formats = [node.inputs["model"].removeprefix("model.")]
    if not formats:
        raise LookupError(f"{node.id}: no model file offers {needed}")
    best = min(formats, key=lambda format: (framework_for(format, needed).TARGET.price, format))
    assert f"model.{best}" in graph
    return node.but(inputs={**node.inputs, "model": f"model.{best}"}, runtime=framework_for(best, needed).TARGET.name)
