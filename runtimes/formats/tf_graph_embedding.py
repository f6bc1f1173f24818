"""The tables of a TensorFlow graph, and the graph above them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Integers
from runtimes.formats.batches import Arrays
from runtimes.formats.embedding_tables import Table, Tables, Tensors, counted
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.tf_graph_lookups import GraphLookup, Step, graph_lookups, in_order
from runtimes.formats.tf_graphs import FrozenGraph, frozen, function_of
from runtimes.target import TensorFacts

_SCALES = frozenset({"Mul", "RealDiv", "Sub"})
_FULL = frozenset({"float32", "float64"})
_RESHAPES = frozenset({"ExpandDims", "Reshape", "Cast", "Identity"})


class Unreadable(Exception):  # noqa: N818
    """A table that is not known as numbers; a clause for the author."""


@dataclass(frozen=True)
class Cut:
    """A graph cut above its tables."""

    tables: Tables
    run: Any
    """From the tensors of `feeds` to the outputs."""
    feeds: tuple[str, ...]

    def __call__(self, tensors: Sequence[Any], **_: bool) -> list[Any]:
        """The outputs for what `Tables.above` says, in its order."""
        names = [one.name for one in self.tables.above()]
        fed = self.tables.fed(dict(zip(names, tensors, strict=True)))
        found: list[Any] = list(self.run(*[fed[name] for name in self.feeds]))
        return found


def cut_above(model: Any, inputs: Sequence[TensorFacts]) -> Cut:
    """Cut a model above the tables that its ids are looked up in.

    Args:
        model: called with a list of tensors, one an input, in their order; gives a list of tensors.
        inputs: what it reads.

    Raises:
        Unreadable: a table that cannot be read as numbers, or that nothing looks up.
    """
    tf = tensorflow()
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    traced = tf.function(lambda *tensors: model(list(tensors)), input_signature=specs, autograph=False)
    graph = frozen(traced.get_concrete_function())
    given = dict(zip((tensor.name for tensor in inputs), graph.inputs, strict=True))
    lookups = graph_lookups(_steps(graph, given), inputs)
    if not lookups:
        raise Unreadable("nothing looks its ids up in a table once it is loaded")
    nodes = {node.name: node for node in graph.graph_def.node}
    numbers = {
        name: {one.operation: _full(nodes[one.operation].input[1]) for one in lookups if one.input == name}
        for name in given
    }
    found = [_Found.of(graph, one, numbers[one.input], given[one.input]) for one in lookups]
    wanted = {one.tensor for one in found}
    found = [one for one in found if one.tensor in _needed(graph, wanted)]
    tables = [one.table() for one in found]
    feeds = [*(one.tensor for one in found), *given.values()]
    run = function_of(graph, feeds, graph.outputs)
    names = (*(one.tensor for one in found), *given)
    return Cut(Tables(tables, inputs, _indices(graph, found, given, inputs), _places(graph, found, given)), run, names)


def _steps(graph: FrozenGraph, given: Mapping[str, str]) -> list[Step]:
    placed = {tensor.partition(":")[0]: name for name, tensor in given.items()}
    tf = tensorflow()
    steps = {
        node.name: Step(
            node.name,
            node.op,
            tuple(one.partition(":")[0] for one in node.input if not one.startswith("^")),
            node.op == "Cast" and tf.as_dtype(node.attr["DstT"].type).is_integer,
            placed.get(node.name, ""),
        )
        for node in graph.graph_def.node
    }
    return list(in_order(steps, [tensor.partition(":")[0] for tensor in graph.outputs]))


def _needed(graph: FrozenGraph, cut: set[str]) -> set[str]:
    """Tensors that the outputs need where some are given: a lookup of scales stands below the cut of what it scales."""
    nodes = {node.name: node for node in graph.graph_def.node}
    found, waiting = set[str](), [_full(tensor) for tensor in graph.outputs]
    while waiting:
        tensor = waiting.pop()
        if tensor in found:
            continue
        found.add(tensor)
        if tensor not in cut:
            waiting += [_full(one) for one in nodes[tensor.partition(":")[0]].input if not one.startswith("^")]
    return found


def _part(graph: FrozenGraph, feeds: Sequence[str], fetches: Sequence[str]) -> Any:
    """A function of the part of a graph that some tensors need: loops elsewhere would run, and want to be fed."""
    names = [tensor.partition(":")[0] for tensor in (*feeds, *fetches)]
    definition = tensorflow().compat.v1.graph_util.extract_sub_graph(graph.graph_def, names)
    return function_of(FrozenGraph(definition, tuple(feeds), tuple(fetches)), feeds, fetches)


def _full(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"


@dataclass(frozen=True)
class _Found:
    """A lookup with the tensor where the graph is cut."""

    lookup: GraphLookup
    graph: FrozenGraph
    ids: str
    stored: str
    indices: tuple[str, ...]
    """The row numbers, and those of what only scales."""
    tensor: str

    @property
    def index(self) -> str:
        """The row numbers."""
        return self.indices[0]

    @classmethod
    def of(cls, graph: FrozenGraph, lookup: GraphLookup, others: Mapping[str, str], ids: str) -> "_Found":
        """Where the numbers of a lookup are floats; ``others`` are the row numbers of all gathers by the same ids.

        Raises:
            Unreadable: they are nowhere known as floats.
        """
        node = next(one for one in graph.graph_def.node if one.name == lookup.operation)
        stored, index = _full(node.input[0]), _full(node.input[1])
        axis = 0
        if node.op == "GatherV2":
            axis = int(_part(graph, [], [_full(node.input[2])])()[0].numpy())
        if axis or ("batch_dims" in node.attr and node.attr["batch_dims"].i):
            raise Unreadable(f"`{lookup.operation}` looks up along another axis than the first")
        tensor, scales = _floats_above(graph, node, others)
        return cls(lookup, graph, ids, stored, (index, *(one for one in scales if one != index)), tensor)

    @property
    def moved(self) -> bool:
        """Whether the row numbers have another shape than the ids."""
        shape, own = self.graph.spec(self.index)[0], self.graph.spec(self.ids)[0]
        return shape is None or own is None or len(shape) != len(own)

    def table(self) -> Table:
        """The table as numbers."""
        graph, tf = self.graph, tensorflow()
        values: NDArray[Any] = _part(graph, [], [self.stored])()[0].numpy()
        rank, tail = len(graph.spec(self.index)[0] or (0,)), values.shape[1:]
        if self.tensor != f"{self.lookup.operation}:0":
            every = np.arange(len(values)).reshape(-1, *[1] * (rank - 1))
            numbers = [tf.constant(every, graph.spec(index)[1]) for index in self.indices]
            values = _part(graph, self.indices, [self.tensor])(*numbers)[0].numpy()
            tail = values.shape[rank:]
        flat = np.ascontiguousarray(values.reshape(len(values), -1), np.float32)
        same = self.lookup.same and not self.moved
        return Table(
            self.lookup.input, flat, tail, graph.spec(self.tensor)[1], self.index, self.tensor, same, self.moved
        )


def _floats_above(graph: FrozenGraph, node: Any, gathers: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """The first tensor above a lookup that holds what ids stand for as floats, and by which row numbers scales are read.

    Raises:
        Unreadable: there is none.
    """
    tensor, dtype, scales = f"{node.name}:0", graph.spec(f"{node.name}:0")[1], list[str]()
    stored = not dtype.startswith(("float", "bfloat"))
    while True:
        readers = [one for one in graph.graph_def.node if tensor in map(_full, one.input)]
        full = graph.spec(tensor)[1] in _FULL
        if len(readers) != 1 or (full and not stored):
            break
        reader, found = readers[0], []
        if reader.op != "Cast" or full:
            if not stored or reader.op not in _SCALES:
                break
            found = [_scale(graph, one, gathers) for one in reader.input if _full(one) != tensor]
        if any(one is None for one in found):
            break
        scales += [one for one in found if one]
        tensor = f"{reader.name}:0"
    if not graph.spec(tensor)[1].startswith(("float", "bfloat")):
        raise Unreadable(f"what `{node.name}` looks up is {dtype}, and what it stands for is not known as numbers")
    return tensor, tuple(scales)


def _scale(graph: FrozenGraph, tensor: str, gathers: Mapping[str, str]) -> str | None:
    """The row numbers by which a tensor is looked up as well; empty: it is a constant; None: it is something else."""
    nodes = {node.name: node for node in graph.graph_def.node}
    node = nodes[tensor.partition(":")[0]]
    while node.op in _RESHAPES:
        node = nodes[node.input[0].partition(":")[0]]
    return "" if node.op == "Const" else gathers.get(node.name)


def _indices(
    graph: FrozenGraph, found: Sequence[_Found], given: Mapping[str, str], inputs: Sequence[TensorFacts]
) -> Any:
    """The row numbers of those lookups that are not by the ids as they stand."""
    tf = tensorflow()
    names = list(dict.fromkeys(one.index for one in found if not one.lookup.same or one.moved))
    run = _part(graph, list(given.values()), names) if names else None

    def indices(arrays: Arrays) -> Mapping[str, Integers]:
        if run is None:
            return {}
        made = run(*[tf.constant(arrays[tensor.name]) for tensor in inputs])
        return {name: one.numpy().astype(np.int64) for name, one in zip(names, made, strict=True)}

    return indices


def _places(graph: FrozenGraph, found: Sequence[_Found], given: Mapping[str, str]) -> Any:
    """The places of ids where rows are looked up: ids are reshaped at most, so that their order is kept."""
    tf = tensorflow()
    moved = {one.index: one for one in found if one.moved}
    run = _part(graph, list(given.values()), list(moved)) if moved else None

    def places(tensors: Tensors) -> Tensors:
        if run is None:
            return {}
        made = run(*[tensors[name] for name in given])
        return {
            name: tf.reshape(counted(tensors[one.lookup.input]), tf.shape(index))
            for (name, one), index in zip(moved.items(), made, strict=True)
        }

    return places
