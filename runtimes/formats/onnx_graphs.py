"""The graphs of an ONNX model, nested ones too, and the tensors that they hold."""

import importlib
from collections.abc import Iterator, Mapping
from typing import Any


def graphs_of(model: Any) -> Iterator[Any]:
    """The main graph and every graph nested in its nodes or functions."""
    pending = [model.graph, *model.functions]
    while pending:
        graph = pending.pop()
        yield graph
        for node in graph.node:
            pending.extend(nested_graphs(node))


def written_out(model: Any) -> Any:
    """A model with its own functions written out where they are called; the model itself where it has none."""
    return importlib.import_module("onnx.inliner").inline_local_functions(model) if model.functions else model


def nested_graphs(node: Any) -> list[Any]:
    """The graphs that stand in a node's attributes: the branches of an If, the body of a Loop."""
    return [g for one in node.attribute for g in [one.g] * one.HasField("g") + list(one.graphs)]


def tensors_of(model: Any) -> Iterator[Any]:
    """Every tensor that a model holds: initializers, attributes, those of nested graphs too."""
    for graph in graphs_of(model):
        yield from getattr(graph, "initializer", ())
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield sparse.values
            yield sparse.indices
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def names_from_outside(graph: Any) -> list[str]:
    """Names that a nested graph reads and does not make, in the order in which it reads them."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    read: dict[str, None] = {}
    for node in graph.node:
        inner = [name for one in nested_graphs(node) for name in names_from_outside(one)]
        read.update(dict.fromkeys(name for name in [*node.input, *inner] if name and name not in own))
        own.update(node.output)
    read.update(dict.fromkeys(value.name for value in graph.output if value.name not in own))
    return list(read)


def model_of_body(graph: Any, opsets: Any, held: Mapping[str, Any]) -> Any:
    """A nested graph as a model of its own, with constants from outside among its own."""
    import onnx

    model = onnx.ModelProto(opset_import=opsets, graph=graph)
    own = {tensor.name for tensor in graph.initializer}
    for name, value in held.items():
        if name not in own:
            model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return model
