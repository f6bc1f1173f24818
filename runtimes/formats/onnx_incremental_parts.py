"""A convolutional ONNX graph as plain parts, and models that hold a stretch of it."""

from collections.abc import Mapping
from typing import Any

from runtimes.formats.onnx_file import attributes
from runtimes.formats.onnx_incremental_graph import Network, explicit_pads, turned

_FLOAT32 = 1


def network_in(model: Any) -> tuple[str, list[Any], Mapping[str, Any], Mapping[str, tuple[int, ...]]] | None:
    """The image's name, the nodes that depend on it, the constants, and the shapes of one row; None where unfit."""
    import onnx

    if model.functions or model.graph.sparse_initializer:
        return None
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1 or inputs[0].type.tensor_type.elem_type != _FLOAT32:
        return None
    if inputs[0].type.tensor_type.shape.dim[0].dim_value > 0 or not any(n.op_type == "Conv" for n in model.graph.node):
        return None
    if any(attribute.HasField("g") or attribute.graphs for node in model.graph.node for attribute in node.attribute):
        return None
    depends, nodes = {inputs[0].name}, []
    for node in model.graph.node:
        if depends.intersection(node.input):
            depends.update(node.output)
            nodes.append(node)
        elif node.op_type == "Constant" and "value" in (said := attributes(node)):
            weights[node.output[0]] = said["value"]
        else:
            return None
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]  # sizes that a file claims for its tensors are believed before those that follow
    inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
    shapes = {}
    for value in (*inputs, *inferred.value_info, *inferred.output):
        sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if value.name in depends and len(sizes) > 1 and all(size > 0 for size in sizes[1:]):
            shapes[value.name] = tuple(sizes[1:])
    return (inputs[0].name, nodes, weights, shapes) if inputs[0].name in shapes else None


def part_of(model: Any, network: Network, first: int, last: int) -> Any:
    """A model from one cut to another (-1: to the output) that reads tensors of any size along the image's axes."""
    import onnx

    stop = len(network.nodes) if last < 0 else network.ends[last]
    nodes = []
    for node in network.nodes[network.ends[first] : stop]:
        copied = onnx.NodeProto()
        copied.CopyFrom(node)
        nodes.append(copied if last < 0 else _of_any_size(copied, network))
    read = {name for node in nodes for name in node.input}
    graph = onnx.helper.make_graph(
        nodes,
        "part",
        [_value(network.cuts[first], len(network.shapes[network.cuts[first]]))],
        [
            onnx.ValueInfoProto(name=model.graph.output[0].name)
            if last < 0
            else onnx.ValueInfoProto(name=network.cuts[last])
        ],
        [onnx.numpy_helper.from_array(array, name) for name, array in network.weights.items() if name in read],
    )
    part = onnx.helper.make_model(graph, opset_imports=model.opset_import)
    part.ir_version = model.ir_version
    return part


def _value(name: str, rank: int) -> Any:
    import onnx

    return onnx.helper.make_tensor_value_info(name, _FLOAT32, [f"size_{place}" for place in range(rank + 1)])


def _of_any_size(node: Any, network: Network) -> Any:
    """A node without what holds at the full size alone: automatic padding, and the target of a reshape."""
    import onnx

    said = attributes(node)
    if node.op_type == "Reshape":
        order = turned(network.shapes[node.input[0]], network.shapes[node.output[0]])
        return onnx.helper.make_node("Transpose", [node.input[0]], list(node.output), perm=order)
    if said.get("auto_pad", "NOTSET") != "NOTSET":
        kernel = said.get("kernel_shape") or network.weights[node.input[1]].shape[2:]
        pads = explicit_pads(said, network.shapes[node.input[0]][1:], kernel)
        kept = [attribute for attribute in node.attribute if attribute.name not in ("auto_pad", "pads")]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute("pads", pads)])
    return node
