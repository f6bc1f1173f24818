"""Inputs of an ONNX graph that are looked up in tables, told without running it: which they are, and where to cut.

A lookup is a Gather of rows of a table that the file holds, by numbers that follow from one input place by place: the ids
themselves, or what a converter makes of them first (casts, clips, negative ids counted from the end), with their axes in
another order or shape. Above the lookups the graph is a function of floats like any other.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from runtimes.formats.keras_embedding import has_gradient
from runtimes.formats.onnx_differentiable import Graph, lacks_gradient, named
from runtimes.formats.onnx_file import FLOATS
from runtimes.formats.onnx_rounding import FLOAT_CODES, cuts
from runtimes.formats.tf_operators import operators
from runtimes.formats.tf_operators.declaring import Use
from runtimes.target import TensorFacts

_MOVING = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Expand", "Tile"})
"""Operators that move the numbers of their first input and change none."""
_FULL = frozenset({1, 11})
"""ONNX types of floats that are no form of storage."""
_SCALING = frozenset({"Mul", "Div", "Sub"})
_RESHAPING = frozenset({"Unsqueeze", "Squeeze", "Reshape", "Cast", "Identity", "CastLike"})
_OF_THE_FILE = "the ONNX file's "
_ONLY_LOOKS = frozenset({"Shape", "Size"})


@dataclass(frozen=True)
class Lookup:
    """One use of one table."""

    input: str
    table: str
    """The tensor whose rows are looked up; it follows from the file alone."""
    index: str
    """The tensor of row numbers."""
    found: str
    """The tensor of floats that is looked up: here the graph is cut."""
    moves: tuple[str, ...] = ()
    """What the nodes make, one after the other, that move the ids before they are looked up."""
    same: bool = True
    """Whether the row numbers are the ids themselves."""


@dataclass(frozen=True)
class WhiteBox:
    """What an output of a graph can be differentiated by."""

    lookups: tuple[Lookup, ...] = ()
    """None: by the inputs themselves."""
    lacks: str | None = None
    """Why it has no gradient; None where it has."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do for that."""
        if self.lacks:
            return frozenset()
        return frozenset({"Differentiable", "EmbeddingDifferentiable"} if self.lookups else {"Differentiable"})

    @property
    def cut(self) -> tuple[str, ...]:
        """The tensors that stand in place of the ids."""
        return tuple(one.found for one in self.lookups)


def white_box(model: Any, output: str, inputs: Sequence[TensorFacts]) -> WhiteBox:
    """What an output can be differentiated by.

    Args:
        model: the ``onnx.ModelProto``, its inputs adapted.
        output: the tensor that is explained.
        inputs: what the data gives.
    """
    graph = Graph.of(model, output)
    lookups = _lookups(model, graph, output, inputs)
    lookups = tuple(one for one in lookups if not _is_number_too(graph, one.input, lookups, output, inputs))
    embedded = {one.input: (one.table,) for one in lookups}
    if not has_gradient(inputs, embedded):
        return WhiteBox(lacks=_unlooked(graph, inputs, embedded))
    floats = [tensor for tensor in inputs if tensor.dtype in FLOATS and tensor.name not in embedded]
    found = WhiteBox(lookups)
    lacks = lacks_gradient(model, output, floats, found.cut)
    return WhiteBox(lacks=lacks) if lacks else found


def _unlooked(graph: Graph, inputs: Sequence[TensorFacts], embedded: Mapping[str, tuple[str, ...]]) -> str:
    """Why there is no gradient: an input of whole numbers that no table stands for."""
    whole = [one for one in inputs if one.dtype not in FLOATS and one.name not in embedded]
    if not whole:
        return "the ONNX file reads nothing that has slopes"
    tensor = whole[0]
    reader = next((use for use in graph.uses if tensor.name in use.inputs and use.kind not in _ONLY_LOOKS), None)
    read = f": {named(reader).removeprefix(_OF_THE_FILE)} reads it" if reader else ""
    if tensor.dtype == "str":
        return f"the ONNX file's input `{tensor.name}` is text, which has no slope{read}"
    return f"the ONNX file's input `{tensor.name}` is {tensor.dtype}, and no embedding looks it up{read}"


def _is_number_too(
    graph: Graph, name: str, lookups: Sequence[Lookup], output: str, inputs: Sequence[TensorFacts]
) -> bool:
    """Whether an input of floats reaches the output by its own value as well: then it is a number, and no id."""
    if not any(tensor.name == name and tensor.dtype in FLOATS for tensor in inputs):
        return False
    known, live, cut = operators(), {name}, {one.found for one in lookups}
    for use in graph.uses:
        known_to_cut = (use.domain, use.kind) in known and cuts(use)
        if live.intersection(use.inputs) and not known_to_cut:
            live.update(one for one in use.outputs if one not in cut)
    return output in live


@dataclass(frozen=True)
class _Held:
    """A tensor that follows from the file alone."""

    dims: tuple[int, ...] | None
    code: int
    """ONNX type."""


@dataclass(frozen=True)
class _Traced:
    """A tensor whose numbers follow place by place from those of one input."""

    input: str
    moves: tuple[str, ...] = ()
    same: bool = True


@dataclass
class _Walk:
    """What is known after some nodes."""

    graph: Graph
    shapes: Mapping[str, tuple[int | None, ...]]
    """Of the inputs."""
    held: dict[str, _Held] = field(default_factory=dict)
    traced: dict[str, _Traced] = field(default_factory=dict)
    readers: dict[str, list[Use]] = field(default_factory=dict)


def _lookups(model: Any, graph: Graph, output: str, inputs: Sequence[TensorFacts]) -> tuple[Lookup, ...]:
    """Every lookup that an output needs, in their order."""
    if not any(use.kind == "Gather" for use in graph.uses):
        return ()
    walk = _Walk(graph, {tensor.name: tensor.shape for tensor in inputs})
    walk.traced = {tensor.name: _Traced(tensor.name) for tensor in inputs if tensor.dtype != "str"}
    walk.held = {one.name: _Held(tuple(one.dims), one.data_type) for one in model.graph.initializer}
    for name, value in graph.constants.items():
        walk.held.setdefault(name, _Held(value.shape, 1 if value.dtype.kind == "f" else 7))
    for use in graph.uses:
        for name in use.inputs:
            walk.readers.setdefault(name, []).append(use)
    found: list[Lookup] = []
    for use in graph.uses:
        given = [name for name in use.inputs if name]
        if given and all(name in walk.held for name in given):
            walk.held.update((name, _made_of(use, walk.held)) for name in use.outputs if name)
        elif _looks_up(use, walk):
            traced = walk.traced[use.inputs[1]]
            tensor = _floats_of(use, walk, output)
            if tensor is not None:
                found.append(Lookup(traced.input, use.inputs[0], use.inputs[1], tensor, traced.moves, traced.same))
            elif len(walk.held[use.inputs[0]].dims or ()) == 1:  # ids that stand for other ids
                walk.traced[use.outputs[0]] = _Traced(traced.input, traced.moves, same=False)
        else:
            walk.traced.update(_followed(use, walk))
    return _without_scales(found, walk, output)


def _looks_up(use: Use, walk: _Walk) -> bool:
    axis = use.attributes.get("axis", 0)
    table = walk.held.get(use.inputs[0]) if use.inputs else None
    first = axis == 0 or (table is not None and table.dims is not None and axis == -len(table.dims))
    return (use.domain, use.kind) == ("", "Gather") and first and table is not None and use.inputs[1] in walk.traced


def _made_of(use: Use, held: Mapping[str, _Held]) -> _Held:
    """What is known of a tensor that a node makes of constants."""
    first = next(held[name] for name in use.inputs if name)
    if use.kind in ("Identity", "Cast", "DequantizeLinear", "QuantizeLinear", "CastLike"):
        dims = first.dims
    else:
        operator = operators().get((use.domain, use.kind))
        sizes = [size for name in use.inputs if name and (size := held[name].dims) is not None]
        elementwise = operator is not None and operator.style == "elementwise"
        dims = np.broadcast_shapes(*sizes) if elementwise and len(sizes) == len(use.inputs) else None
    code = first.code
    if use.kind == "Cast":
        code = int(use.attributes.get("to", 1))
    elif use.kind == "DequantizeLinear":
        code = held[use.inputs[1]].code
    elif use.kind == "QuantizeLinear":
        code = 2
    return _Held(dims, code)


def _followed(use: Use, walk: _Walk) -> Iterator[tuple[str, _Traced]]:
    """What a node makes that still follows place by place from one input."""
    sources = [walk.traced[name] for name in use.inputs if name in walk.traced]
    if not sources or use.captured:
        return
    first, operator = sources[0], operators().get((use.domain, use.kind))
    turned = use.kind == "Gather" and use.inputs[1] in walk.held
    if use.domain == "" and (use.kind in _MOVING or turned) and use.inputs[0] in walk.traced and len(sources) == 1:
        for name in use.outputs:
            yield name, _Traced(first.input, (*first.moves, name), first.same)
        return
    if operator is None or operator.style not in ("elementwise", "plain"):
        return
    if operator.style == "plain" and use.kind != "CastLike":
        return
    alike = all((one.input, one.moves) == (first.input, first.moves) for one in sources)
    others = [name for name in use.inputs if name and name not in walk.traced]
    if alike and all(_fits(walk, name, first) for name in others):
        same = first.same and use.kind in ("Identity", "Cast", "Dropout", "CastLike")
        for name in use.outputs[:1]:
            yield name, _Traced(first.input, first.moves, same)


def _fits(walk: _Walk, name: str, traced: _Traced) -> bool:
    """Whether a tensor of the file is one number, or one for each column, so that it makes no more places of a few."""
    held = walk.held.get(name)
    if held is None or held.dims is None:
        return False
    if all(size == 1 for size in held.dims):
        return True
    shape = walk.shapes[traced.input]
    return not traced.moves and len(held.dims) < len(shape) and held.dims == shape[-len(held.dims) :]


def _floats_of(use: Use, walk: _Walk, output: str) -> str | None:
    """The floats that a lookup leads to: of a table that is stored in few bits, what they stand for; None for other tables."""
    name, code = use.outputs[0], walk.held[use.inputs[0]].code
    stored = code not in FLOAT_CODES
    while name != output:
        reader, *others = walk.readers.get(name, [None])
        if reader is None or others:
            break
        if code in _FULL and not (stored and _scales(reader, name, use.inputs[1], walk)):
            break
        if reader.kind == "Cast":
            code = int(reader.attributes.get("to", 1))
        elif reader.kind == "DequantizeLinear" and all(one in walk.held for one in reader.inputs[1:] if one):
            code = walk.held[reader.inputs[1]].code
        elif not _scales(reader, name, use.inputs[1], walk):
            break
        name = reader.outputs[0]
    return name if code in FLOAT_CODES else None


def _scales(use: Use, name: str, index: str, walk: _Walk) -> bool:
    """Whether a node only undoes how a table is stored: by numbers of the file, or of the same rows of another table."""
    return use.kind in _SCALING and all(
        one == name or one in walk.held or _looked_up_by(one, index, walk) is not None for one in use.inputs
    )


def _looked_up_by(name: str, index: str, walk: _Walk) -> str | None:
    """The lookup by the same row numbers that a tensor comes from, reshaped or cast at most."""
    makers = {made: use for use in walk.graph.uses for made in use.outputs}
    while (use := makers.get(name)) is not None and use.kind in _RESHAPING:
        name = use.inputs[0]
    if use is None or use.kind != "Gather" or use.inputs[0] not in walk.held or use.inputs[1] != index:
        return None
    return use.outputs[0]


def _without_scales(found: Sequence[Lookup], walk: _Walk, output: str) -> tuple[Lookup, ...]:
    """The lookups without those that only scale another one's numbers."""
    wanted, cut = {output}, {one.found for one in found}
    for use in reversed(walk.graph.uses):
        if wanted.intersection(use.outputs) and not cut.intersection(use.outputs):
            wanted.update(use.inputs)
    return tuple(one for one in found if one.found in wanted)
