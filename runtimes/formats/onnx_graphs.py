"""The graphs of an ONNX model, nested ones too, and the tensors that they hold."""

from collections.abc import Iterator
from typing import Any


def graphs_of(model: Any) -> Iterator[Any]:
    """The main graph and every graph nested in its nodes or functions."""
    pending = [model.graph, *model.functions]
    while pending:
        graph = pending.pop()
        yield graph
        for node in graph.node:
            pending.extend(nested_graphs(node))


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
