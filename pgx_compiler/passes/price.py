"""Price every node in model rows, forward and backward, and in bytes."""

from pgx_compiler.analysis.strategy.price import cost_of_trial
from pgx_compiler.ir.graph import Graph
from pgx_compiler.ir.node import Node
from pgx_compiler.ir.repeats import rows_repeated
from pgx_compiler.ir.verify import OPERATIONS
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Cost, Shape
from pgx_compiler.modalities import modalities
from pgx_compiler.modalities.data import MOST_ROWS
from pgx_compiler.passes.context import Context


def price(graph: Graph, context: Context) -> Graph:
    """Write each node's cost; a node that asks no model costs no rows."""
    return graph.map(lambda node: node.but(cost=plainly(cost_of(node, graph, context))))


def ensures(node: Node, context: Context) -> str | None:  # noqa: ARG001
    """Whoever asks a model pays at least one row."""
    rows = node.cost.get("forward", 0) + node.cost.get("backward", 0)
    return "asks a model at no cost" if OPERATIONS[node.op].asks_model and rows < 1 else None


def cost_of(node: Node, graph: Graph, context: Context, rows_of_it: int | None = None) -> Cost:
    """What one node will ask of its model; of a step over rows, what so many of its rows will."""
    if node.op in ("predict", "repeat"):
        rows = context.data_rows[graph[node.inputs["data"]].params["split"]]
        return Cost(forward=2 * rows if node.op == "predict" else rows_repeated(rows, node.params["rows"]))
    if node.op == "trial":
        return _trial_cost(node, context)
    if node.method is None:
        return Cost()
    declaration = catalogue()[node.method]
    rows, features = context.ground(graph[node.inputs["first"]] if node.op == "compare" else node)
    rows = rows if rows_of_it is None else rows_of_it
    if node.op == "check":
        rows = context.data_rows.get("test", context.data_rows["train"])
    # what is stated of the whole model of a table rests on some rows of a large one: see `bench.table_data`
    states = node.op == "state" and node.params.get("about", {}).get("modality") == "tabular"
    held = {split: min(n, MOST_ROWS) if states else n for split, n in context.data_rows.items()}
    shape = Shape(
        rows,
        features,
        context.references,
        max((facts.n_outputs for facts in context.models.values()), default=1),
        held["train"] + held.get("test", 0),
        held.get("test", 0),
        _channels(node, context),
    )
    params = declaration.params.model_validate(node.params["with"])
    cost = declaration.cost(params, shape)
    if node.op == "attribute":
        # every explained row is scored once more, and the references once, for base values and completeness; where each
        # row has features of its own, some of its elements may be fixed, so that each has a base value of its own, as it
        # has where it is filled from itself or from its neighbours
        targets = graph[node.inputs["rows"]].params.get("targets", ())
        times = (declaration.times_for_targets(params, shape, len(targets)) or 1) if targets else 1
        cost = Cost(times * cost.forward, times * cost.backward, cost.bytes)
        bases = rows if "features" in node.inputs or _has_own_references(graph[node.inputs["references"]]) else 1
        return Cost(cost.forward + rows + bases * context.references, cost.backward, cost.bytes)
    return cost


def _channels(node: Node, context: Context) -> int | None:
    """Of what the layer gives that a node's parameters name, where the model file says it."""
    facts = context.models.get(node.inputs.get("model", "").removeprefix("model."))
    name = node.params["with"].get("layer")
    shapes = [layer.shape for layer in facts.layers if layer.name == name] if facts and name else []
    return shapes[0][-1] if shapes and shapes[0] else None


def _has_own_references(references: Node) -> bool:
    """Whether each row has references of its own: blurred from itself, or its nearest training rows."""
    kind, modality = (
        references.params.get("fill", {}).get("kind"),
        references.params.get("features", {}).get("modality"),
    )
    return kind in getattr(modalities().get(modality), "OWN_FILLS", ())


def _trial_cost(node: Node, context: Context) -> Cost:
    params = node.params
    methods = (
        [(method["name"], method["with"]) for method in params["explain"]["methods"]] if params["agreement"] else []
    )
    shape = Shape(params["explain"]["rows"], context.features, context.references)
    return cost_of_trial(params["number"], context.data_rows["train"], params["fit"], params["space"], methods, shape)


def plainly(cost: Cost) -> dict[str, int]:
    """A cost as a node holds it."""
    return {"forward": int(cost.forward), "backward": int(cost.backward), "bytes": int(cost.bytes)}
