"""Models with a log link: what stands after the Exp that a graph ends in is brought below it.

Converters write more after it: a Reshape to one column (scikit-learn's generalised linear models), a product with the base
score (boosted trees of counts). The logarithm of the value is then that of the Exp's input, reshaped, plus the
logarithm of the factor; written so, the graph ends in Exp, and the tensor below it is the score.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from runtimes.capabilities import Floats
from runtimes.formats.onnx_file import attributes, keeps_rows, numpy_of

_TREES = frozenset({"TreeEnsembleRegressor", "TreeEnsemble"})
_FLOAT_TYPES = (1, 11)
"""Of ONNX: float32 and float64."""


def with_logs(model: Any) -> Any:
    """The same model; each of its outputs that is an Exp, reshaped or multiplied by positive constants, ends in that Exp."""
    ways = {value.name: way for value in model.graph.output if len(way := _way_to_exp(model, value.name)) > 1}
    if not ways:
        return model
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    constants = _Constants(copy)
    ends: dict[str, list[Any]] = {}
    for output, way in ways.items():
        ends[output] = _below_exp(constants, output, way)
    nodes = [made for node in copy.graph.node for made in ends.get(node.output[0], [node])]
    written = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del copy.graph.node[:]
    copy.graph.node.extend(written)
    return copy


def trees_below(model: Any, name: str) -> tuple[Any, Floats] | None:
    """The node of trees that makes a tensor, and the constant that is added to it; None where it is made otherwise."""
    constants, makers = _Constants(model), _makers(model)
    added = np.zeros(1)
    while (node := makers.get(name)) is not None:
        if node.op_type in _TREES:
            return node, added
        if node.op_type in ("Add", "Sub"):
            place, number = constants.of(node)
            if number is None or number.ndim > 1 + (number.shape[:1] == (1,)) or (node.op_type == "Sub" and place == 0):
                return None
            added = added + (number if node.op_type == "Add" else -number).reshape(-1)
            name = node.input[1 - place]
        elif constants.pass_on(node):
            name = node.input[0]
        else:
            return None
    return None


def _makers(model: Any) -> dict[str, Any]:
    return {name: node for node in model.graph.node for name in node.output}


def _way_to_exp(model: Any, name: str) -> list[Any]:
    """The nodes from an output down to the Exp that it is; empty where it is none."""
    constants, makers = _Constants(model), _makers(model)
    way: list[Any] = []
    while (node := makers.get(name)) is not None:
        way.append(node)
        if node.op_type == "Exp":
            return way
        place, number = constants.of(node) if node.op_type in ("Mul", "Div") else (0, None)
        if number is not None and (number > 0).all() and not (node.op_type == "Div" and place == 0):
            name = node.input[1 - place]
        elif constants.pass_on(node):
            name = node.input[0]
        else:
            return []
    return []


def _below_exp(constants: "_Constants", output: str, way: list[Any]) -> list[Any]:
    """The nodes that make an output with its Exp as the last of them."""
    import onnx

    name, made = way[-1].input[0], []
    for step, node in enumerate(reversed(way[:-1])):
        below = f"{output}_below_exp_{step}"
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = f"{node.name or node.op_type}_below_exp_{step}"
        if node.op_type in ("Mul", "Div"):
            _, number = constants.of(node)
            factor = onnx.numpy_helper.from_array(np.log(number), f"{below}_factor")
            made.append(onnx.helper.make_node("Constant", [], [factor.name], name=factor.name, value=factor))
            copy.op_type = "Add" if node.op_type == "Mul" else "Sub"
            copy.input[:] = [name, factor.name]
        else:
            copy.input[0] = name
        copy.output[:] = [below]
        made.append(copy)
        name = below
    made.append(onnx.helper.make_node("Exp", [name], [output], name=f"{output}_exp"))
    return made


class _Constants:
    """The constants of a graph."""

    def __init__(self, model: Any) -> None:
        self._weights: Mapping[str, Any] = {tensor.name: tensor for tensor in model.graph.initializer}
        self._nodes = {node.output[0]: node for node in model.graph.node if node.op_type == "Constant"}

    def number(self, name: str) -> Any:
        """A constant's numbers in their own type; None where it is none, or stands beside the file."""
        if name in self._weights:
            return numpy_of(self._weights[name])
        return attributes(self._nodes[name]).get("value") if name in self._nodes else None

    def of(self, node: Any) -> tuple[int, Any]:
        """Which operand of two is a constant, and its numbers; None where neither is one of floats, or both are."""
        found = [self.number(name) for name in node.input]
        there = [place for place, number in enumerate(found) if number is not None and number.dtype.kind == "f"]
        return (there[0], found[there[0]]) if len(there) == 1 else (0, None)

    def pass_on(self, node: Any) -> bool:
        """Whether a node changes no number, nor what belongs to a row."""
        if node.op_type == "Cast":
            return attributes(node).get("to") in _FLOAT_TYPES
        if node.op_type in ("Reshape", "Squeeze"):
            said = self.number(node.input[1]) if len(node.input) > 1 else attributes(node).get("axes")
            return keeps_rows(node.op_type, said)
        return node.op_type in ("Identity", "Dropout", "Flatten") and attributes(node).get("axis", 1) == 1
