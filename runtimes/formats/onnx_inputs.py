"""Give an ONNX graph the inputs of an audit: rows on axis 0, images channels last, what is fixed inside the graph.

The work is done by nodes of the graph (Transpose, Expand) and not by whoever calls it, so that no batch is copied in
Python and everything above the session sees one kind of signature.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.adaptation import InputAdaptation, fixed_value, misfit, order_of, rows_axis
from runtimes.formats.onnx_file import tensor_facts
from runtimes.formats.onnx_graphs import nested_graphs
from runtimes.target import ModelFileError, TensorFacts

_OLDEST_EXPAND = 8
"""The first opset with Expand."""


def adapted_inputs(path: Path, model: Any, adaptations: Mapping[str, InputAdaptation]) -> Any:
    """A copy of the model whose inputs are those that the data must give; the model itself where nothing is adapted.

    Raises:
        ModelFileError: no such input, or an adaptation that does not fit it.
    """
    import onnx

    if not adaptations:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    declared = {value.name: tensor_facts(value) for value in graph.input}
    for name in adaptations:
        if name not in declared:
            raise ModelFileError(f"`{path.name}` has no input `{name}`", f"its inputs are {', '.join(declared)}")
    batch = _batch_of_fixed(declared, adaptations)
    before: list[Any] = []
    for name, said in adaptations.items():
        if said.fixed is None:
            before += _turned(path, graph, declared[name], said)
    for name, said in adaptations.items():
        if said.fixed is not None:
            before += _fixed(path, copy, declared[name], said)
    if batch is not None:
        _set_rows(graph, batch)
    nodes = [*before, *graph.node]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return copy


def _batch_of_fixed(declared: Mapping[str, TensorFacts], adaptations: Mapping[str, InputAdaptation]) -> int | None:
    """How many rows a call must hold, where a fixed input says so on the axis of the rows."""
    for name, said in adaptations.items():
        if said.fixed is not None and said.batch_axis is not None and declared[name].shape:
            size = declared[name].shape[said.batch_axis]
            if size is not None:
                return size
    return None


def _set_rows(graph: Any, rows: int) -> None:
    for value in graph.input:
        if value.type.tensor_type.shape.dim and not value.type.tensor_type.shape.dim[0].dim_value:
            value.type.tensor_type.shape.dim[0].dim_value = rows


def _refuse_misfit(path: Path, facts: TensorFacts, said: InputAdaptation) -> None:
    wrong = misfit(facts.shape, facts.dtype, said)
    if wrong is not None:
        raise ModelFileError(f"`{path.name}`: input `{facts.name}`: {wrong[0]}", wrong[1])


def _turned(path: Path, graph: Any, facts: TensorFacts, said: InputAdaptation) -> Iterator[Any]:
    """The Transpose that makes the model's own input from the audit's, if the axes stand otherwise."""
    import onnx

    _refuse_misfit(path, facts, said)
    order = order_of(facts.shape, said)
    if order == tuple(range(len(order))):
        return
    inner = f"{facts.name}/as the model reads it"
    _rename(graph, facts.name, inner)
    value = next(value for value in graph.input if value.name == facts.name)
    dims = [type(dim).FromString(dim.SerializeToString()) for dim in value.type.tensor_type.shape.dim]
    del value.type.tensor_type.shape.dim[:]
    value.type.tensor_type.shape.dim.extend(dims[axis] for axis in order)
    back = [order.index(axis) for axis in range(len(order))]
    yield onnx.helper.make_node("Transpose", [facts.name], [inner], perm=back, name=f"{inner}/turned")


def _fixed(path: Path, model: Any, facts: TensorFacts, said: InputAdaptation) -> Iterator[Any]:
    """The initializer, and where the number of rows is open the Expand, that stand for a fixed input."""
    import onnx

    _refuse_misfit(path, facts, said)
    graph = model.graph
    value, rows = fixed_value(facts.shape, facts.dtype, said), rows_axis(facts.shape, said)
    kept = [one for one in graph.input if one.name != facts.name]
    kept = [type(one).FromString(one.SerializeToString()) for one in kept]
    del graph.input[:]
    graph.input.extend(kept)
    size = None if rows is None else facts.shape[rows]
    if rows is None or size is not None:
        whole = value if rows is None else np.repeat(value, size or 1, axis=rows)
        graph.initializer.append(_tensor(whole, facts.name))
        return
    leading = next((one.name for one in kept if one.type.tensor_type.shape.dim), None)
    if leading is None:
        raise ModelFileError(f"`{path.name}`: every input is fixed", "leave one to the data")
    opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), None)
    if opset is None:
        model.opset_import.append(onnx.helper.make_opsetid("", 13))
    elif opset < _OLDEST_EXPAND:
        raise ModelFileError(
            f"`{path.name}` is of opset {opset}, in which nothing repeats a value for each row",
            "convert it to opset 13 or later",
        )
    yield from _repeated(graph, facts.name, leading, value, rows)


def _repeated(graph: Any, name: str, leading: str, value: NDArray[Any], rows: int) -> Iterator[Any]:
    """`value` repeated along `rows` as often as the input `leading` has rows."""
    import onnx

    def called(word: str) -> str:
        return f"{name}/{word}"

    before, after = np.array(value.shape[:rows], np.int64), np.array(value.shape[rows + 1 :], np.int64)
    held = {"one row": value, "before": before, "after": after, "first": np.zeros(1, np.int64)}
    graph.initializer.extend(_tensor(array, called(word)) for word, array in held.items())
    make = onnx.helper.make_node
    yield make("Shape", [leading], [called("shape")])
    yield make("Gather", [called("shape"), called("first")], [called("rows")], axis=0)
    yield make("Concat", [called("before"), called("rows"), called("after")], [called("whole")], axis=0)
    yield make("Expand", [called("one row"), called("whole")], [name])


def _tensor(value: NDArray[Any], name: str) -> Any:
    import onnx

    if value.dtype == object:
        flat: Any = [str(one).encode() for one in value.reshape(-1)]
        return onnx.helper.make_tensor(name, onnx.TensorProto.STRING, value.shape, flat)
    return onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name)


def _rename(graph: Any, old: str, new: str) -> None:
    """Let every node that reads `old` read `new`, those of nested graphs too; what makes a name stays."""
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = new
        for inner in nested_graphs(node):
            own = {value.name for value in inner.input} | {tensor.name for tensor in inner.initializer}
            if old not in own:
                _rename(inner, old, new)
                for value in inner.output:
                    if value.name == old:
                        value.name = new
