"""Repeat every compared stochastic attribution under another seed: the noise floor of each agreement."""

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.passes.context import Context

AGAIN = "~again"
"""Ends the id of a repetition."""


def repeat_stochastic(graph: Graph, context: Context) -> Graph:  # noqa: ARG001
    """Add a repetition of each stochastic attribution that is compared, and its comparison with itself."""
    compared = [node for node in graph if node.op == "compare"]
    added: dict[str, Node] = {}
    for node in graph:
        if node.op != "attribute" or not _draws(node):
            continue
        asking = {c.step: c for c in compared if node.id in c.inputs.values()}
        if not asking:
            continue
        again = node.but(
            id=node.id + AGAIN, salt=1, step=None, note=f"{node.step} under another seed: the noise floor of agreement"
        )
        added[again.id] = again
        for comparison in asking.values():
            name = f"agreement.{comparison.step}.{node.step}~{node.step}"
            added[name] = comparison.but(id=name, inputs={"first": node.id, "second": again.id}, note="self-agreement")
    return Graph([*graph, *added.values()])


def ensures(node: Node, context: Context) -> str | None:  # noqa: ARG001
    """A repetition has a salt of its own."""
    return "repeats nothing" if node.id.endswith(AGAIN) and not node.salt else None


def _draws(node: Node) -> bool:
    return bool(node.method and catalogue()[node.method].stochastic)
