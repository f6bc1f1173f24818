"""SavedModel folders read statically: signatures, graphs, and what is refused in them.

The messages are TensorFlow's own (``tensorflow/core/protobuf/saved_model.proto``, ``meta_graph.proto``,
``saved_object_graph.proto``; ``framework/graph.proto``, ``function.proto``, ``node_def.proto``); the numbers of their
fields stand beside each use.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from runtimes.formats.protobuf_wire import entries, number, numbers, part, parts, text, texts
from runtimes.formats.saved_model_names import OF_SAVING, OPERATIONS
from runtimes.formats.signature import require_model_file
from runtimes.powers import NO_POWERS, Powers
from runtimes.target import ModelFileError, NoSignatureError, TensorFacts

NAME = "saved_model.pb"
DEFAULT_SIGNATURE = "serving_default"

_EXPECTED = "a SavedModel"
_LIMIT_BYTES = 2 * 2**30
_AGAIN = "save the model again with `tf.saved_model.save`, or `model.export` of Keras"
_DTYPES: Mapping[int, str] = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "str", 9: "int64", 10: "bool",
    17: "uint16", 19: "float16", 22: "uint32", 23: "uint64",
}  # fmt: skip
"""``DataType`` of ``types.proto``, those that NumPy has."""
_NOTHING = memoryview(b"")
_MOST_AXES = 32
"""Of a tensor, as NumPy's until its second version."""


@dataclass(frozen=True)
class GraphNode:
    """One operation of a graph or function."""

    name: str
    op: str
    inputs: tuple[str, ...]
    calls: tuple[str, ...]
    """Functions that its attributes name."""
    raw: memoryview = field(default=_NOTHING, compare=False, repr=False)
    """Its ``NodeDef``."""

    def output(self) -> tuple[str, tuple[int | None, ...] | None]:
        """Type and shape of the first tensor that it makes; empty and None where they are not said.

        ``T``, ``dtype`` and ``DstT`` (of a cast) are an ``AttrValue``'s type 6; ``_output_shapes`` is a list 1 of shapes 7.
        """
        said = dict(entries(self.raw, 5))
        named = ("T", "dtype", "DstT")
        dtype = next((_DTYPES.get(number(said[one], 6), "") for one in named if one in said), "")
        shapes = list(parts(part(said.get("_output_shapes", _NOTHING), 1), 7))
        return dtype, _shape(shapes[0]) if shapes else None

    def product(self) -> tuple[str, tuple[bool, bool]]:
        """The equation of an Einsum (an ``AttrValue``'s text 2), and which sides of another product are turned (truths 5)."""
        said = dict(entries(self.raw, 5))
        turned = [bool(number(said.get(side, _NOTHING), 5)) for side in ("adj_x", "adj_y")]
        return text(said.get("equation", _NOTHING), 2), (turned[0], turned[1])

    def whole_numbers(self) -> tuple[int, ...] | None:
        """What a small constant holds; None where it is none, holds no whole numbers, or more than axes may need.

        ``value`` is an ``AttrValue``'s tensor 8: type 1, bytes 4, or numbers 7 (32 bits) and 10 (64).
        """
        tensor = part(dict(entries(self.raw, 5)).get("value", _NOTHING), 8)
        kind = _DTYPES.get(number(tensor, 1), "")
        if self.op != "Const" or kind not in ("int32", "int64"):
            return None
        packed, size = part(tensor, 4), int(kind[3:]) // 8
        if len(packed) > size * _MOST_AXES:
            return None
        starts = range(0, len(packed) - size + 1, size)
        held = [int.from_bytes(packed[at : at + size], "little", signed=True) for at in starts]
        return tuple(held or islice(numbers(tensor, 7 if size == 4 else 10), _MOST_AXES))

    def brings_gradient(self) -> bool:
        """Whether it has a gradient of its own (``tf.custom_gradient``), and not that of its kind."""
        return "_gradient_op_type" in dict(entries(self.raw, 5))


@dataclass(frozen=True)
class Function:
    """One function of a graph's library."""

    name: str
    nodes: tuple[GraphNode, ...]
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    """Its results' names in order."""
    returns: Mapping[str, str]
    """Result to the tensor that it is: ``node:port:0``."""


@dataclass(frozen=True)
class Signature:
    """One way to call a SavedModel: by names of tensors."""

    name: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    tensors: Mapping[str, str]
    """Output to the tensor of the graph that it is: ``StatefulPartitionedCall:0``."""
    given: Mapping[str, str] = field(default_factory=dict)
    """Input to the tensor of the graph that it is: ``serving_default_x:0``."""


@dataclass(frozen=True)
class SavedModelFile:
    """What a SavedModel says of itself."""

    path: Path
    """Its ``saved_model.pb``."""
    signature: Signature
    nodes: tuple[GraphNode, ...]
    """Of the graph above all functions."""
    functions: Mapping[str, Function]
    parameters: int
    """Numbers in its variables."""
    version: str
    """Of the TensorFlow that wrote it."""
    beside: Mapping[str, Path] = field(default_factory=dict)
    """Files of the folder that opening it needs, by their place in it."""

    def reached(self) -> list[GraphNode]:
        """Every operation that a call of the signature may come to."""
        makers = set(map(_node_of, self.signature.tensors.values()))
        start = [node for node in self.nodes if node.name in makers]
        return [*start, *[node for name in reach(start, self.functions) for node in self.functions[name].nodes]]


def read_saved_model(path: Path, powers: Powers = NO_POWERS, signature: str = "") -> SavedModelFile:
    """Read and judge a SavedModel's ``saved_model.pb``, and what stands beside it, without TensorFlow.

    Args:
        path: the file.
        powers: what it has been trusted to do.
        signature: the one to call; empty: the default, or the only one.

    Raises:
        NoSignatureError: it has none of that name.
        ModelFileError: no SavedModel of TensorFlow 2, damaged, or refused: file operations, Python, other processes.
    """
    require_model_file(path, _EXPECTED, _LIMIT_BYTES)
    try:
        graphs = list(parts(memoryview(path.read_bytes()), 2))
        if len(graphs) != 1:
            raise ModelFileError(f"`{path.name}` holds {len(graphs)} graphs, not one", _AGAIN)
        return _read(path, graphs[0], powers, signature)
    except (ValueError, IndexError, OSError) as error:
        raise ModelFileError(f"`{path.name}` is no SavedModel, or damaged: {error}", _AGAIN) from error


def _read(path: Path, graph: memoryview, powers: Powers, wanted: str) -> SavedModelFile:
    objects = part(graph, 7)
    if not objects:
        raise ModelFileError(
            f"`{path.name}` was written by TensorFlow 1: it has a session's graph, and no functions to call", _AGAIN
        )
    definition = part(graph, 2)
    functions = {one.name: one for one in map(_function, parts(part(definition, 2), 1))}
    nodes = tuple(_node(raw) for raw in parts(definition, 1))
    concrete = [name for name, _ in entries(objects, 2)]
    saver = {_node_of(text(part(graph, 3), at)) for at in (1, 2, 3)}
    _refuse_operations(path, nodes, functions, concrete, saver, powers)
    signature = _signature(path, dict(entries(graph, 5)), wanted)
    return SavedModelFile(
        path,
        signature,
        nodes,
        functions,
        _parameters(objects, signature, nodes),
        text(part(graph, 1), 5),
        _beside(path),
    )


def _node(raw: memoryview) -> GraphNode:
    """A ``NodeDef``: name 1, op 2, input 3, attr 5."""
    calls = [name for _, value in entries(raw, 5) for name in _called(value)]
    return GraphNode(text(raw, 1), text(raw, 2), tuple(texts(raw, 3)), tuple(calls), raw)


def _called(attribute: memoryview) -> Iterator[str]:
    """Functions in an ``AttrValue``: func 10, and func 9 of its list 1; each with a name 1."""
    for func in parts(attribute, 10):
        yield text(func, 1)
    for several in parts(attribute, 1):
        for func in parts(several, 9):
            yield text(func, 1)


def _function(raw: memoryview) -> Function:
    """A ``FunctionDef``: signature 1 (name 1, input_arg 2, output_arg 3), node_def 3, ret 4."""
    signature = part(raw, 1)
    returns = {text(entry, 1): text(entry, 2) for entry in parts(raw, 4)}
    named = [tuple(text(one, 1) for one in parts(signature, at)) for at in (2, 3)]
    return Function(text(signature, 1), tuple(_node(node) for node in parts(raw, 3)), named[0], named[1], returns)


def reach(nodes: Iterable[GraphNode], functions: Mapping[str, Function]) -> dict[str, None]:
    """The functions that operations call, and those that these call."""
    found: dict[str, None] = {}
    pending = [name for node in nodes for name in (*node.calls, node.op)]
    while pending:
        name = pending.pop()
        if name in functions and name not in found:
            found[name] = None
            pending += [called for node in functions[name].nodes for called in (*node.calls, node.op)]
    return found


def _refuse_operations(
    path: Path,
    nodes: tuple[GraphNode, ...],
    functions: Mapping[str, Function],
    concrete: Iterable[str],
    saver: set[str],
    powers: Powers,
) -> None:
    """Refuse what is not on the list of allowed operations; reading and writing variables only where nobody calls it."""
    callable_ = set(reach([GraphNode("", "", (), tuple(concrete))], functions))
    called = [node for node in nodes if node.name not in saver]
    saving = (
        set(reach([node for node in nodes if node.name in saver], functions))
        - callable_
        - set(reach(called, functions))
    )
    places = [("the graph", node, True) for node in nodes]
    places += [(f"function `{one.name}`", node, one.name in saving) for one in functions.values() for node in one.nodes]
    for where, node, saves in places:
        allowed = node.op in OPERATIONS | powers.operations or node.op in functions or (saves and node.op in OF_SAVING)
        if not allowed:
            raise ModelFileError(
                f"`{path.name}`: the operation `{node.op}` (`{node.name[:80]}` in {where}) is refused: it is not on the list"
                " of arithmetic that a model may use",
                "export the model without it: whatever reads files, calls Python or talks to others belongs outside",
                f"savedmodel-op:{node.op}",
            )


def _parameters(objects: memoryview, signature: Signature, nodes: Iterable[GraphNode]) -> int:
    """Numbers in the variables that a signature reads.

    They are what its function is bound to (``SavedConcreteFunction.bound_inputs`` 2, positions in the object graph's nodes
    1); a ``SavedVariable`` is field 7 of a node.
    """
    wrapped = {call for node in nodes if node.name in map(_node_of, signature.tensors.values()) for call in node.calls}
    bound = {place for name, concrete in entries(objects, 2) if name in wrapped for place in numbers(concrete, 2)}
    objects_ = list(parts(objects, 1))
    return sum(
        _elements(variable) for place in bound if place < len(objects_) for variable in parts(objects_[place], 7)
    )


def _elements(variable: memoryview) -> int:
    """Numbers in a ``SavedVariable`` (dtype 1, shape 2) of floats."""
    if not _DTYPES.get(number(variable, 1), "").startswith("float"):
        return 0
    total = 1
    for size in _shape(part(variable, 2)) or ():
        total *= size or 0
    return total


def _shape(raw: memoryview) -> tuple[int | None, ...] | None:
    """A ``TensorShapeProto``: dim 2 (size 1), unknown_rank 3."""
    if number(raw, 3):
        return None
    sizes = [number(dim, 1) for dim in parts(raw, 2)]
    return tuple(None if size < 0 else size for size in sizes)


def _signature(path: Path, found: Mapping[str, memoryview], wanted: str) -> Signature:
    """The signature to call: the one that is wanted, or else the default, or the only one that there is."""
    named = {name: raw for name, raw in found.items() if not name.startswith("__")}
    listed = ", ".join(sorted(named))
    if not named:
        raise ModelFileError(f"`{path.name}` has no signature", f"save it with one named `{DEFAULT_SIGNATURE}`")
    if wanted and wanted not in named:
        raise NoSignatureError(f"`{path.name}` has no signature `{wanted}`", f"its signatures are {listed}")
    chosen = wanted or (DEFAULT_SIGNATURE if DEFAULT_SIGNATURE in named else next(iter(named)))
    if not wanted and len(named) > 1 and chosen != DEFAULT_SIGNATURE:
        told = f"`{path.name}` has the signatures {listed}, none of them the default"
        raise ModelFileError(told, f"name the one to call: `model.signature: {min(named)}`")
    raw = named[chosen]
    given, tensors = ({name: text(info, 1) for name, info in entries(raw, at)} for at in (1, 2))
    inputs, outputs = (
        tuple(sorted((_tensor(path, name, info) for name, info in entries(raw, at)), key=lambda one: one.name))
        for at in (1, 2)
    )
    if not inputs or not outputs:
        raise ModelFileError(f"`{path.name}`: its signature `{chosen}` has no inputs or no outputs", _AGAIN)
    return Signature(chosen, inputs, outputs, tensors, given)


def _tensor(path: Path, name: str, info: memoryview) -> TensorFacts:
    """A ``TensorInfo``: name 1, dtype 2, tensor_shape 3."""
    dtype, shape = _DTYPES.get(number(info, 2)), _shape(part(info, 3))
    if dtype is None or not text(info, 1):
        raise ModelFileError(
            f"`{path.name}`: `{name}` of its signature is no plain tensor of numbers or text",
            "export a signature of dense tensors, float32 or float64",
        )
    if shape is None:
        return TensorFacts(name, (None, None), dtype)
    return TensorFacts(name, shape, dtype)


def _node_of(tensor: str) -> str:
    return tensor.lstrip("^").partition(":")[0]


def _beside(path: Path) -> dict[str, Path]:
    """The variables beside a ``saved_model.pb``, where it still stands in its folder.

    Raises:
        ModelFileError: something that is no plain file of the folder.
    """
    if path.name != NAME:
        return {}
    found: dict[str, Path] = {}
    folder = path.parent / "variables"
    if not folder.is_dir():
        return found
    for entry in sorted(os.listdir(folder)):
        place = folder / entry
        facts = place.lstat()
        # A hard link passes every check of its path, and may still be a file from elsewhere.
        plain = stat.S_ISREG(facts.st_mode) and facts.st_nlink == 1
        if not plain or not place.resolve().is_relative_to(path.parent.resolve()):
            raise ModelFileError(
                f"`variables/{entry}` beside `{path.name}` is a link or special file", "copy the file itself"
            )
        found[f"variables/{entry}"] = place
    return found
