"""Repeat every compared stochastic attribution under another seed: the noise floor of each agreement."""

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.passes.context import Context

AGAIN = "~again"
"""Ends the id of a repetition."""


def repeat_stochastic(graph: Graph, context: Context) -> Graph:  # noqa: ARG001
    """Add a repetition of each stochastic attribution that is compared, and its comparison with itself."""
    added: dict[str, Node] = {}
    for node in graph:
        if node.op != "attribute" or not _draws(node):
            continue
        asking = {graph[name].step: graph[name] for name in _comparisons(node, graph)}
        if not asking:
            continue
        again = node.but(
            id=node.id + AGAIN, salt=1, step=None, note=f"{node.step} under another seed: the noise floor of agreement"
        )
        added[again.id] = again
        for comparison in asking.values():
            name = f"agreement.{comparison.step}.{node.step}~{node.step}"
            inputs = {"first": node.id, "second": again.id, **_of_the_model(comparison)}
            added[name] = comparison.but(id=name, inputs=inputs, note="self-agreement")
    return Graph([*graph, *added.values()])


def ensures(node: Node, context: Context) -> str | None:  # noqa: ARG001
    """A repetition has a salt of its own."""
    # only of attributions: a comparison with a step called `again` ends alike
    return "repeats nothing" if node.op == "attribute" and node.id.endswith(AGAIN) and not node.salt else None


def holds(graph: Graph, context: Context) -> str | None:  # noqa: ARG001
    """Every stochastic attribution that is compared is also compared with itself under another seed."""
    for node in graph:
        if node.op == "attribute" and not node.salt and _draws(node):
            comparisons = [graph[name] for name in _comparisons(node, graph)]
            if comparisons and not any(node.id + AGAIN in one.inputs.values() for one in comparisons):
                return f"{node.id}: draws at random and is compared, but never with itself"
    return None


def _comparisons(node: Node, graph: Graph) -> list[str]:
    """The comparisons that read a node, in the order of the graph."""
    return [name for name in sorted(graph.users(node.id), key=graph.place) if graph[name].op == "compare"]


def _of_the_model(comparison: Node) -> dict[str, str]:
    """What a comparison has to know of the model, whichever explanations of it are compared."""
    return {port: needed for port, needed in comparison.inputs.items() if port.startswith("repeat.")}


def _draws(node: Node) -> bool:
    return bool(node.method and catalogue()[node.method].stochastic)
