"""Turn a requested quantity into the best algorithm that this model admits, and say why."""

from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.methods.catalogue import catalogue, computing
from pgx_compiler.methods.declaration import Declaration, Shape
from pgx_compiler.passes.context import Context
from runtimes.target import ModelFacts


def specialise(graph: Graph, context: Context) -> Graph:
    """Replace each request by the cheapest exact method that admits the model, else by the most accurate sampling one."""
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
    admitted, refused = candidates(node.method, facts, shape, context.score)
    if not admitted:
        raise LookupError(f"nothing computes `{node.method}` here: {'; '.join(refused)}")
    chosen = admitted[0]
    kept = {name: value for name, value in node.params["with"].items() if name in chosen.params.model_fields}
    params = {**node.params, "with": chosen.params.model_validate(kept).model_dump(mode="json")}
    how = "exact" if chosen.exact else _why_sampled(admitted)
    note = f"{node.method} computed by {chosen.name} ({how})" + (f"; not by {'; '.join(refused)}" if refused else "")
    return node.but(method=chosen.name, params=params, note=f"{node.note}; {note}" if node.note else note)


def candidates(quantity: str, facts: ModelFacts, shape: Shape, score: str) -> tuple[list[Declaration], list[str]]:
    """The methods that compute a quantity here, best first, and why the better ones were refused."""
    admitted: list[Declaration] = []
    refused: list[str] = []
    for declaration in computing(quantity):
        if declaration.capability not in facts.capabilities:
            reason: str | None = f"the model offers no {declaration.capability}"
        else:
            reason = declaration.admits(facts, shape, score) if declaration.admits else None
        if reason is None:
            admitted.append(declaration)
        else:
            refused.append(f"{declaration.name} ({reason})")

    def rank(declaration: Declaration) -> tuple[bool, float, int, str]:
        # Sampling methods are asked for the same samples: their rows differ by rounding alone, their errors many times.
        cost = declaration.cost(declaration.params(), shape)
        error = 0.0 if declaration.exact else _error(declaration)
        return (not declaration.exact, error, cost.forward + cost.backward, declaration.name)

    admitted.sort(key=rank)
    return admitted, refused


def _error(declaration: Declaration) -> float:
    return float("inf") if declaration.relative_error is None else declaration.relative_error


def _why_sampled(admitted: list[Declaration]) -> str:
    """``sampled``, and by how much the next best errs more at the same number of model rows."""
    chosen, *others = admitted
    if not others or chosen.relative_error is None or others[0].relative_error is None:
        return "sampled"
    times = others[0].relative_error / chosen.relative_error
    return f"sampled; at equal model rows {others[0].name} errs {times:.1f} times as much in the project's benchmark"
