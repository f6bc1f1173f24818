"""The layers of a SavedModel, read without TensorFlow: its graph is followed through the functions that it calls."""

from collections.abc import Callable, Container, Iterable
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
    place = Place({node.name: node for node in file.nodes})
    end = file.signature.tensors[file.signature.outputs[output].name]
    found = maker_of(file, place, end)
    while found is not None and found[1].op in PASSES_ON:
        found = maker_of(file, found[0], found[1].inputs[0])
    if found is not None and found[1].op in ENDS:
        found = maker_of(file, found[0], found[1].inputs[0])
    return [] if found is None else _on_the_way(found, lambda at, tensor: maker_of(file, at, tensor), cut)


def maker_of(file: SavedModelFile, place: Place, tensor: str) -> tuple[Place, GraphNode] | None:
    """The operation that makes a tensor, looked for through calls; None where it is not found."""
    for _ in range(1000):
        name, _, port = tensor.partition(":")
        if name in place.arguments and place.above is not None:
            place, tensor = place.above, place.arguments[name]
            continue
        node = place.nodes.get(name)
        function = file.functions.get(node.calls[0]) if node and node.op in CALLS and node.calls else None
        if node is None or function is None:
            return None if node is None else (place, node)
        tensor = function.returns[function.outputs[int(port.rpartition(":")[2] or 0)]]
        if name not in place.inner:
            arguments = dict(zip(function.arguments, node.inputs, strict=False))
            nodes = {inner.name: inner for inner in function.nodes}
            place.inner[name] = Place(nodes, arguments, place, f"{place.path}{name}/")
        place = place.inner[name]
    return None


def _on_the_way(
    end: tuple[Place, GraphNode], maker: Callable[[Place, str], tuple[Place, GraphNode] | None], cut: Container[str]
) -> list[Operation]:
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
        makers = [maker(place, tensor) for tensor in read_from if not tensor.startswith("^")]
        if not ready:
            found.setdefault(name, None)
            waiting.append(((place, node), True))
            waiting += [(one, False) for one in reversed(makers) if one is not None]
            continue
        names = [f"{one[0].path}{one[1].name}" for one in makers if one is not None]
        read = tuple(one for one in names if found.get(one) is not None)
        if read or given:
            dtype, shape = node.output()
            del found[name]
            found[name] = Operation(name, "Placeholder" if given else node.op, read, dtype, shape)
    return _of(found.values())


def _of(found: Iterable[Operation | None]) -> list[Operation]:
    return [one for one in found if one is not None and one.kind not in _GIVEN]
