"""Turn a requested quantity into the best algorithm that this model admits, and say why."""

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.methods.algorithms import best_first, refusal_by_model
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Declaration, Shape
from pgx_compiler.passes.context import Context


def specialise(graph: Graph, context: Context) -> Graph:
    """Replace each request by the best algorithm that the model admits: see `pgx_compiler.methods.algorithms.best_first`."""
    return graph.map(lambda node: _specialise(node, context))


def ensures(node: Node, context: Context) -> str | None:  # noqa: ARG001
    """No request is left."""
    if node.method and catalogue()[node.method].is_request:
        return f"`{node.method}` is a request, not an algorithm"
    return None


def _specialise(node: Node, context: Context) -> Node:
    if node.method is None or not catalogue()[node.method].is_request:
        return node
    facts = context.models.get("onnx") or next(iter(context.models.values()))
    shape = Shape(*context.ground(node), context.references)
    admitted, reasons = best_first(node.method, shape, refusal_by_model(facts, shape, context.score))
    refused = [f"{name} ({reason})" for name, reason in reasons.items()]
    if not admitted:
        raise LookupError(f"nothing computes `{node.method}` here: {'; '.join(refused)}")
    chosen = admitted[0]
    kept = {name: value for name, value in node.params["with"].items() if name in chosen.params.model_fields}
    params = {**node.params, "with": chosen.params.model_validate(kept).model_dump(mode="json")}
    how = "exact" if chosen.exact else _why_sampled(admitted)
    note = f"{node.method} computed by {chosen.name} ({how})" + (f"; not by {'; '.join(refused)}" if refused else "")
    return node.but(method=chosen.name, params=params, note=f"{node.note}; {note}" if node.note else note)


def _why_sampled(admitted: list[Declaration]) -> str:
    """``sampled``, and by how much the next best errs more at the same number of model rows."""
    chosen, *others = admitted
    if not others or chosen.relative_error is None or others[0].relative_error is None:
        return "sampled"
    times = others[0].relative_error / chosen.relative_error
    return f"sampled; at equal model rows {others[0].name} errs {times:.1f} times as much in the project's benchmark"
