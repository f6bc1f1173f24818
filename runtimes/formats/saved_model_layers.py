"""The layers of a SavedModel, read without TensorFlow: its graph is followed through the functions that it calls."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

from runtimes.formats.graph_layers import ENDS, ONLY_LOOKS, PASSES_ON, RECTIFIERS, GraphLayer, Operation, layers_of
from runtimes.formats.saved_model_file import GraphNode, SavedModelFile
from runtimes.target import LayerFacts

CALLS = frozenset({"PartitionedCall", "StatefulPartitionedCall"})
_GIVEN = frozenset({"Placeholder", "PlaceholderWithDefault"})


@dataclass(frozen=True, eq=False)
class Place:
    """The graph, or one call of a function: its operations by name, and what its arguments are."""

    nodes: dict[str, GraphNode]
    arguments: dict[str, str] = field(default_factory=dict)
    above: "Place | None" = None
    path: str = ""
    """What stands before the names of its operations where calls are written out."""
    function: str = ""
    """The function that is called; empty for the graph."""
    inner: dict[str, "Place"] = field(default_factory=dict)
    """By operation, the call that it is."""


def layer_facts(file: SavedModelFile, output: int, cut: Container[str] = ()) -> tuple[LayerFacts, ...]:
    """The layers below an output's final activation, in the order of computation."""
    return tuple(LayerFacts(one.name, one.kind, {}, one.used, one.shape) for one in _layers(file, output, cut))


def inside(file: SavedModelFile, output: int, cut: Container[str] = ()) -> frozenset[str]:
    """What can be asked of the layers below an output's final activation, by the capabilities' names."""
    operations = operations_of(file, output, cut)
    if not layers_of(operations, file.signature.inputs[0].shape[0]):
        return frozenset()
    rectifies = any(one.kind in RECTIFIERS for one in operations)
    return frozenset({"LayerDifferentiable", *(["Rectified"] if rectifies else [])})


def _layers(file: SavedModelFile, output: int, cut: Container[str]) -> tuple[GraphLayer, ...]:
    return layers_of(operations_of(file, output, cut), file.signature.inputs[0].shape[0])


def operations_of(file: SavedModelFile, output: int, cut: Container[str] = ()) -> list[Operation]:
    """The operations on the way from the inputs to an output, below its final activation, with calls written out.

    Args:
        file: the SavedModel.
        output: which of its signature's outputs.
        cut: operations that look ids up, by their full names: what they give stands for the ids.
    """
    found = last_of(file, output)
    if found is not None and found[1].op in ENDS:
        found = maker_of(file, found[0], found[1].inputs[0])
    return [] if found is None else _on_the_way(file, found, cut)


def last_of(file: SavedModelFile, output: int) -> tuple[Place, GraphNode] | None:
    """The last operation of an output that does more than pass something on; None where it is not found."""
    place = Place({node.name: node for node in file.nodes})
    return maker_of(file, place, file.signature.tensors[file.signature.outputs[output].name], PASSES_ON)


def maker_of(
    file: SavedModelFile, place: Place, tensor: str, passing: Container[str] = ()
) -> tuple[Place, GraphNode] | None:
    """The operation that makes a tensor, looked for through calls; None where it is not found.

    Args:
        file: the SavedModel.
        place: where the tensor goes by its name.
        tensor: ``node:port``, or an argument of the function that is called there.
        passing: kinds of operations that give what they are given, and are looked through as well.
    """
    for _ in range(1000):
        name, _, port = tensor.partition(":")
        if name in place.arguments and place.above is not None:
            place, tensor = place.above, place.arguments[name]
            continue
        node = place.nodes.get(name)
        if node is None:
            return None
        position = int(port.rpartition(":")[2] or 0)
        if node.op in passing:
            tensor = node.inputs[position]
            continue
        function = file.functions.get(node.calls[0]) if node.op in CALLS and node.calls else None
        if function is None:
            return place, node
        tensor = function.returns[function.outputs[position]]
        if name not in place.inner:
            arguments = dict(zip(function.arguments, node.inputs, strict=False))
            nodes = {inner.name: inner for inner in function.nodes}
            place.inner[name] = Place(nodes, arguments, place, f"{place.path}{name}/", function.name)
        place = place.inner[name]
    return None


def _on_the_way(file: SavedModelFile, end: tuple[Place, GraphNode], cut: Container[str]) -> list[Operation]:
    """What an operation depends on and depends itself on an input, in the order of computation."""
    found: dict[str, Operation | None] = {}
    waiting = [(end, False)]
    while waiting:
        (place, node), ready = waiting.pop()
        name = f"{place.path}{node.name}"
        if name in found and not ready:
            continue
        given = name in cut or (node.op in _GIVEN and (not cut or node.output()[0].startswith("float")))
        read_from = () if given or node.op in ONLY_LOOKS else node.inputs
        makers = [maker_of(file, place, tensor) for tensor in read_from if not tensor.startswith("^")]
        if not ready:
            found.setdefault(name, None)
            waiting.append(((place, node), True))
            waiting += [(one, False) for one in reversed(makers) if one is not None]
            continue
        names = ["" if one is None else f"{one[0].path}{one[1].name}" for one in makers]
        lives = [found.get(one) is not None for one in names]
        if any(lives) or given:
            dtype, shape = node.output()
            read = tuple(one for one, live in zip(names, lives, strict=True) if live)
            results = sum(lives[: _results_of(file, place, node)])
            del found[name]
            kind = "Placeholder" if given else node.op
            moves = _turn_of(makers) if kind == "Transpose" else None
            found[name] = Operation(name, kind, read, dtype, shape, results, moves, *node.product())
    return _of(found.values())


def _results_of(file: SavedModelFile, place: Place, node: GraphNode) -> int:
    """How many of an operation's inputs are the results of what brings a gradient of its own.

    TensorFlow writes these and behind them the arguments, by which the slopes go, into one ``IdentityN``, of which only the
    results are read.
    """
    if node.op != "IdentityN" or not node.brings_gradient():
        return 0
    read = [tensor for other in place.nodes.values() for tensor in other.inputs]
    read += file.functions[place.function].returns.values() if place.function else ()
    ports = [tensor.rpartition(":")[2] for tensor in read if tensor.startswith(f"{node.name}:")]
    return max((int(port) + 1 if port.isdigit() else 1 for port in ports), default=1)


def _turn_of(makers: Sequence[tuple[Place, GraphNode] | None]) -> tuple[int, ...] | None:
    """The order that axes are brought into, where a constant says it."""
    said = makers[1] if len(makers) > 1 else None
    return None if said is None else said[1].whole_numbers()


def _of(found: Iterable[Operation | None]) -> list[Operation]:
    return [one for one in found if one is not None and one.kind not in _GIVEN]
