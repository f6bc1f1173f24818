"""Along which axis of each tensor of a frozen graph the rows stand."""

from math import prod
from typing import Any

from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.tf_graphs import FrozenGraph, in_order

_ROWS = 7919
"""A number of rows that no other size is a multiple of: a prime larger than what networks are made of."""

MIXED = -1
"""Rows and something else share an axis, and rows are not the slower one."""

_SPREADING = frozenset({"SpaceToBatch", "SpaceToBatchND"})


def axes_of_rows(frozen: FrozenGraph) -> dict[str, int]:
    """By tensor, the axis of its rows, or `MIXED`; tensors without rows, or of unknown shape, are left out."""
    tf = tensorflow()
    definition = type(frozen.graph_def)()
    definition.CopyFrom(frozen.graph_def)
    inputs = {name.partition(":")[0] for name in frozen.inputs}
    for node in definition.node:
        node.attr.pop("_output_shapes", None)
        if node.name in inputs and node.attr["shape"].shape.dim:
            node.attr["shape"].shape.dim[0].size = _ROWS
    with tf.Graph().as_default() as graph:
        tf.graph_util.import_graph_def(definition, name="")
    found: dict[str, int] = {}
    for operation in in_order(graph.get_operations()):
        before = [found[tensor.name] for tensor in operation.inputs if tensor.name in found]
        for output in operation.outputs:
            sizes = list(output.shape) if output.shape.rank is not None else []
            axis = next((at for at, size in enumerate(sizes) if size and size % _ROWS == 0), None)
            if axis is None:
                continue
            joined = sizes[axis] != _ROWS
            mixes = operation.type in _SPREADING or _mixes(operation, before, axis, output)
            found[output.name] = MIXED if joined and mixes else axis
    return found


def _mixes(operation: Any, before: list[int], axis: int, output: Any) -> bool:
    """Whether an operation leaves rows on an axis that they share as the faster part of it."""
    if MIXED in before:
        return True
    if operation.type == "Transpose":  # an axis that is shared already, at another place
        size = operation.inputs[0].shape[before[0]] if before else None
        return bool(size != output.shape[axis])
    if operation.type == "Reshape" and before:
        given, made = (list(shape)[:at] for shape, at in ((operation.inputs[0].shape, before[0]), (output.shape, axis)))
        return None in (*given, *made) or prod(given) != prod(made)
    return any(one != axis for one in before)
