"""Inputs of a SavedModel that are looked up in tables, told without TensorFlow."""

from runtimes.formats.protobuf_wire import entries, number
from runtimes.formats.saved_model_file import GraphNode, SavedModelFile
from runtimes.formats.saved_model_layers import Place, maker_of
from runtimes.formats.tf_graph_lookups import Step, graph_lookups, in_order, looked_up_inputs

_WHOLE = frozenset({3, 4, 5, 6, 9, 17, 22, 23})
"""``DataType`` of whole numbers, in ``types.proto``."""


def looked_up(file: SavedModelFile, output: int) -> dict[str, tuple[str, ...]]:
    """Input name to the operations that look its ids up on the way to an output; each of its own table or of a shared one."""
    end = file.signature.tensors[file.signature.outputs[output].name]
    place = Place({node.name: node for node in file.nodes})
    found = maker_of(file, place, end)
    if found is None:
        return {}
    given = {tensor.partition(":")[0]: name for name, tensor in file.signature.given.items()}
    steps: dict[str, Step] = {}
    waiting = [found]
    while waiting:
        at, node = waiting.pop()
        name = f"{at.path}{node.name}"
        if name in steps:
            continue
        makers = [maker_of(file, at, tensor) for tensor in node.inputs if not tensor.startswith("^")]
        read = tuple("" if one is None else f"{one[0].path}{one[1].name}" for one in makers)
        steps[name] = Step(name, node.op, read, _is_whole(node), given.get(name, ""))
        waiting += [one for one in makers if one is not None]
    last = f"{found[0].path}{found[1].name}"
    return looked_up_inputs(graph_lookups(list(in_order(steps, [last])), file.signature.inputs))


def _is_whole(node: GraphNode) -> bool:
    """Whether a cast makes whole numbers: ``DstT``, an ``AttrValue``'s type 6."""
    return node.op == "Cast" and number(dict(entries(node.raw, 5)).get("DstT", memoryview(b"")), 6) in _WHOLE
