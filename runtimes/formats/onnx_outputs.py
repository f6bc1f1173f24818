"""What an output of an ONNX file will look like, told without running it: its columns, or why it cannot be explained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from runtimes.adaptation import ALL, OUTPUTS, Adaptation, Entry
from runtimes.formats.onnx_file import FLOATS, Tail, attributes, tensor_facts
from runtimes.formats.onnx_graphs import graphs_of
from runtimes.target import TensorFacts

Shape = tuple[int | None, ...]

_PICK = "say what becomes of each axis after the rows: `model.output: {select: [...], reduce: max}`"


@dataclass(frozen=True)
class OutputFacts:
    """One output, after what the spec asks to be done with it."""

    columns: int
    """0: the file does not say how many."""
    problem: tuple[str, str] | None = None
    """Why it cannot be explained, and what to do about it."""
    unsaid: bool = False
    """True where the problem is only that the file does not say what it looks like."""


def output_facts(
    model: Any, tail: Tail, inputs: Sequence[TensorFacts], shapes: Mapping[str, Shape], asked: Adaptation
) -> OutputFacts:
    """Read the chosen output of a graph whose inputs are adapted already."""
    value = next(value for value in model.graph.output if value.name == tail.output)
    dtype = tensor_facts(value).dtype
    if dtype not in FLOATS | {"map"} and tail.scores == tail.output and not tail.rounded:
        return _of_whole_numbers(value, dtype)
    if value.type.HasField("sequence_type") and not _is_of_maps(value) and tail.scores == tail.output:
        return _of_sequence(value, inputs, asked)
    shape = shapes.get(tail.scores)
    mapped = mapped_columns(model, tail)
    if shape is None and dtype == "map":
        shape = (None, mapped or None)
    if shape is None:
        reason = f"the file does not say what shape the output `{tail.output}` has"
        others = [one.name for one in model.graph.output if one.name != tail.output]
        more = f", choose another output ({', '.join(others)})" if others else ""
        return OutputFacts(
            0, (reason, f"export the model with the shapes of its outputs{more}, or name `model.classes`"), True
        )
    if mapped and len(shape) == 2:
        return OutputFacts(mapped)
    return of_shape(tail.output, shape, _rows(inputs), asked)


def of_shape(name: str, shape: Shape, rows: int | None, asked: Adaptation) -> OutputFacts:
    """The columns that are left of an output of a shape."""
    said = f"the output `{name}` is {_in_words(shape)}"
    if asked.batch_axis >= len(shape):
        return OutputFacts(0, (f"{said}: it has no axis of rows", _another(asked)))
    if asked.batch_axis:
        shape = (shape[asked.batch_axis], *shape[: asked.batch_axis], *shape[asked.batch_axis + 1 :])
    first = shape[0]
    if first is not None and first != rows and not (rows is None and first == 1):
        told = "any number of rows" if rows is None else f"{rows} rows"
        return OutputFacts(0, (f"{said} for {told}: its axis {asked.batch_axis} is not the rows", _another(asked)))
    left = _left(shape[1:], asked)
    if isinstance(left, str):
        return OutputFacts(0, (f"{said}: {left}", _PICK))
    wide = [size for size in left if size != 1]
    if len(wide) > 1:
        reason = f"{said}: more than one axis is left beside the rows, and one number is wanted for each row and output"
        return OutputFacts(0, (reason, _PICK))
    if None in wide:
        reason = f"{said}: the file does not say how many numbers there are a row"
        return OutputFacts(0, (reason, f"name `model.classes`, or {_PICK}"), True)
    return OutputFacts(prod(size or 1 for size in left))


def _left(shape: Shape, asked: Adaptation) -> Shape | str:
    """The axes that are left beside the rows, or what is wrong."""
    entries: list[Entry] = [*asked.select]
    if len(entries) > len(shape):
        return f"`select` says something of {len(entries)} axes, and there are {len(shape)} beside the rows"
    entries += [ALL] * (len(shape) - len(entries))
    kept: list[int | None] = []
    for number, (entry, size) in enumerate(zip(entries, shape, strict=True), 1):
        for position in (entry,) if isinstance(entry, int) else entry if isinstance(entry, tuple) else ():
            if size is not None and not -size <= position < size:
                return f"there is no position {position} on its axis {number}, which has {size}"
        if isinstance(entry, tuple):
            kept.append(len(entry))
        elif entry == OUTPUTS or (entry == ALL and not asked.reduce):
            kept.append(size)
    return tuple(kept)


def mapped_columns(model: Any, tail: Tail) -> int:
    """How many classes the ZipMap above the scores names; 0 where there is none."""
    for node in model.graph.node:
        if node.op_type == "ZipMap" and node.input[0] == tail.scores:
            named = attributes(node)
            return len(named.get("classlabels_int64s") or named.get("classlabels_strings") or ())
    return 0


def _of_whole_numbers(value: Any, dtype: str) -> OutputFacts:
    what = "labels, not scores" if dtype in ("str", "int64", "int32", "bool") else f"{dtype} without a scale"
    help_ = "choose the output that holds scores, or export the model with its probabilities"
    return OutputFacts(0, (f"the output `{value.name}` gives {what}", help_))


def _is_of_maps(value: Any) -> bool:
    return bool(value.type.sequence_type.elem_type.HasField("map_type"))


WHOLE_INSTEAD = (
    "export the model with the tensor that the list is made from, or with a ConcatFromSequence on axis 0 behind it"
)
"""What to do about a list that holds a tensor for each row."""


def with_rows_joined(model: Any, asked: Adaptation) -> Any:
    """The model with the tensor itself in place of a list that it is cut into along the rows; itself where there is none.

    Whatever sizes the parts have, and whether they keep the axis: one behind the other they are the tensor that was cut.
    """
    import onnx

    lists = {value.name: value for value in model.graph.output if value.type.HasField("sequence_type")}
    kinds = {
        node.output[0]: lists[node.output[0]].type.sequence_type.elem_type.tensor_type.elem_type
        for node in model.graph.node
        if node.op_type == "SplitToSequence" and node.output[0] in lists
        if attributes(node).get("axis", 0) == asked.batch_axis
    }
    if not kinds:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for node in copy.graph.node:
        if node.output and node.output[0] in kinds:
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output, node.name))
    for value in copy.graph.output:
        if value.name in kinds:
            value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kinds[value.name], None))
    return copy


def _of_sequence(value: Any, inputs: Sequence[TensorFacts], asked: Adaptation) -> OutputFacts:
    """A list of tensors: the first entry of `select` says which."""
    said = f"the output `{value.name}` is a list of tensors"
    first = asked.select[0] if asked.select else None
    if not isinstance(first, int):
        return OutputFacts(
            0, (said, f"say which: `model.output: {{select: [0]}}`; where it holds one for each row, {WHOLE_INSTEAD}")
        )
    element = value.type.sequence_type.elem_type.tensor_type
    if not element.HasField("shape"):
        return OutputFacts(0, (f"{said} of a shape that the file does not say", "name `model.classes`"), True)
    sizes = [dim.dim_value or None for dim in element.shape.dim]
    if asked.batch_axis < len(sizes) and sizes[asked.batch_axis] == 1 and _rows(inputs) is None:
        return OutputFacts(0, (f"{said}, each of them of a single row ({_in_words(tuple(sizes))})", WHOLE_INSTEAD))
    rest = Adaptation(select=asked.select[1:], reduce=asked.reduce, batch_axis=asked.batch_axis)
    return of_shape(value.name, tuple(sizes), _rows(inputs), rest)


def _rows(inputs: Sequence[TensorFacts]) -> int | None:
    """The number of rows that the inputs are fixed to."""
    return next((tensor.shape[0] for tensor in inputs if tensor.shape and tensor.shape[0] is not None), None)


_RANGING = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"})
"""Operators that round to 256 steps between the least and the largest number of all rows of a call together."""


def rows_of_output(
    model: Any, tail: Tail, shapes: Mapping[str, Shape], inputs: Sequence[TensorFacts], asked: Adaptation
) -> int | None:
    """How many rows a call must hold: what the inputs are fixed to, or 1 where a row must stand alone.

    It must where the output has room for one row, and where the graph rounds by the range of all rows of a call: its answer
    to a row would depend on the rows beside it, and what is asked of a row, on what is asked of others.
    """
    fixed = _rows(inputs)
    if fixed is not None:
        return fixed
    shape = shapes.get(tail.scores)
    single = shape is not None and asked.batch_axis < len(shape) and shape[asked.batch_axis] == 1
    alone = single or any(node.op_type in _RANGING for graph in graphs_of(model) for node in graph.node)
    return 1 if alone else None


def _another(asked: Adaptation) -> str:
    turned = "" if asked.batch_axis else ", say where the rows are (`model.output: {batch_axis: 1}`)"
    return f"choose another output{turned}, or export the model with rows on axis 0"


def _in_words(shape: Shape) -> str:
    return " × ".join("any" if size is None else str(size) for size in shape) or "a single number"
