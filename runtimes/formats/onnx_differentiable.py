"""Whether an ONNX file has gradients here, told without running it: operators that are rebuilt, and a path of slopes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.formats.onnx_file import attributes
from runtimes.formats.onnx_graphs import model_of_body, names_from_outside, nested_graphs, written_out
from runtimes.formats.onnx_rounding import cuts, straight
from runtimes.formats.onnx_written_rounding import written_out_in
from runtimes.formats.tf_operators import operators
from runtimes.formats.tf_operators.declaring import Use
from runtimes.target import TensorFacts

_SMALL_TENSOR = 64
"""Elements. What says how an operator is used (a mode, axes) is smaller than this."""


@dataclass(frozen=True)
class Graph:
    """The nodes that one output needs, in their order, and the constants that the file holds."""

    uses: Sequence[Use]
    constants: Mapping[str, NDArray[Any]]

    @classmethod
    def of(
        cls, model: Any, output: str | Sequence[str], folder: Path | None = None, given: Sequence[str] = ()
    ) -> "Graph":
        """Read the part of a model that makes some tensors; its own functions are written out first.

        Args:
            model: the ``onnx.ModelProto``.
            output: the tensor, or several.
            folder: where its external data is. None: the graph is only looked at, and large constants are left out.
            given: tensors that are given, so that what makes them is not needed.
        """
        import onnx

        model = written_out(model)
        opsets = {_domain(one.domain): one.version for one in model.opset_import}
        needed, kept = {output} if isinstance(output, str) else set(output), []
        for node in reversed(model.graph.node):
            if needed.difference(given).intersection(node.output):
                kept.append(node)
                needed.update(node.input)
                needed.update(name for inner in nested_graphs(node) for name in _read_inside(inner))
        kept.reverse()
        held = {
            one.name: onnx.numpy_helper.to_array(one, str(folder or ""))
            for one in model.graph.initializer
            if one.name in needed and (folder is not None or _is_small(one))
        }
        nodes = []
        for node in kept:
            value = _value(node) if node.op_type == "Constant" else None
            if value is not None:
                held[node.output[0]] = value
                continue
            wanted = tuple(bool(name) and name in needed for name in node.output)
            outside = dict.fromkeys(name for inner in nested_graphs(node) for name in names_from_outside(inner))
            read = (*node.input, *outside)
            known = {name: held[name] for name in read if name in held}
            domain = _domain(node.domain)
            made, version = tuple(node.output), opsets.get(domain, 1)
            said = (read, wanted, known, domain, made, node.name, tuple(outside))
            nodes.append(Use(node.op_type, attributes(node), version, *said))
        return cls(straight(nodes, (output,) if isinstance(output, str) else output), held)


def _is_small(tensor: Any) -> bool:
    return int(np.prod(tensor.dims)) <= _SMALL_TENSOR and not tensor.external_data


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _read_inside(graph: Any) -> set[str]:
    found = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
    return found | {name for node in graph.node for inner in nested_graphs(node) for name in _read_inside(inner)}


def _value(node: Any) -> NDArray[Any] | None:
    """What a Constant holds; None for text and sparse ones."""
    said = attributes(node)
    if "value" in said:
        return np.asarray(said["value"])
    for name, dtype in (("value_float", np.float32), ("value_floats", np.float32)):
        if name in said:
            return np.asarray(said[name], dtype)
    for name in ("value_int", "value_ints"):
        if name in said:
            return np.asarray(said[name], np.int64)
    return None


def named(use: Use) -> str:
    """A node as people find it: ``the ONNX file's operator `LRN` (node conv1/norm)``."""
    kind = f"{use.domain}.{use.kind}" if use.domain else use.kind
    where = use.name or (f"that makes {use.outputs[0]}" if use.outputs else "")
    return f"the ONNX file's operator `{kind}`" + (f" (node {where})" if where else "")


def lacks_gradient(model: Any, output: str, inputs: Sequence[TensorFacts], given: Sequence[str] = ()) -> str | None:
    """Why one output of a model has no gradient by some inputs here; None where it has.

    Args:
        model: the ``onnx.ModelProto``, its inputs adapted.
        output: the tensor that is explained.
        inputs: those that hold floats.
        given: tensors inside the graph that it is differentiated by as well, in place of what makes them.
    """
    graph = Graph.of(model, output, given=given)
    live = {*given, *(tensor.name for tensor in inputs)}
    last = ""
    written = written_out_in(graph.uses)
    for use in graph.uses:
        refused = _refused(use, model.opset_import)
        if refused:
            return refused
        made = use.outputs[0] if live.intersection(use.inputs) else ""
        if made in written.unsure or (made in written.casts and not use.straight):
            return f"{named(use)} has no gradient here: {_OF_SIZE if made in written.unsure else _AS_WHOLE}"
        if live.intersection(use.inputs):
            if cuts(use):
                last = named(use)
            else:
                live.update(use.outputs)
    if output not in live:
        return f"its gradient is 0 everywhere: {last or 'no input'} {'cuts' if last else 'reaches'} the output{' off' * bool(last)}"
    return None


_OF_SIZE = "it rounds to steps of a size that depends on the row, and the slope of that size is all that would be left"
_AS_WHOLE = "what it rounds to is read as whole numbers, which have no slope"


def _refused(use: Use, opsets: Any) -> str | None:
    """Why a node is not rebuilt, or one in its own graphs."""
    operator = operators().get((use.domain, use.kind))
    if operator is None:
        return f"{named(use)} has no gradient here"
    if use.domain == "" and use.opset < OLDEST:
        return f"the ONNX file is of opset {use.opset}, and gradients begin with opset {OLDEST}"
    refused = operator.refuses(use) if operator.refuses else None
    if refused:
        return f"{named(use)} has no gradient here: {refused}"
    for value in use.attributes.values():
        if hasattr(value, "node") and hasattr(value, "initializer"):
            inner = Graph.of(model_of_body(value, opsets, use.constants), [one.name for one in value.output])
            found = (_refused(one, opsets) for one in inner.uses)
            if reason := next((one for one in found if one), None):
                return reason
    return None


OLDEST = 7
"""The first opset whose operators broadcast as NumPy does."""
