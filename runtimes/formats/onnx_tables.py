"""The tables of an ONNX graph, read; what ONNX stores them as, and what its nodes make of ids, is computed by its rebuild."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Integers
from runtimes.formats.batches import Arrays, probe
from runtimes.formats.embedding_tables import Table, Tables, Tensors, counted
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.onnx_embedding import Lookup
from runtimes.formats.onnx_rebuild import Rebuilt, direct
from runtimes.target import TensorFacts

_PLACES = "place of "
"""What begins the names of tensors that hold places of an input and no ids."""


def read_tables(model: Any, lookups: Sequence[Lookup], inputs: Sequence[TensorFacts], folder: Path) -> Tables:
    """Read the tables of a model.

    Args:
        model: the ``onnx.ModelProto``, its own functions written out.
        lookups: as `runtimes.formats.onnx_embedding.white_box` finds them.
        inputs: what the data gives.
        folder: where the model's external data is, if it has any.

    Raises:
        ModelFileError: a node below the tables that is not rebuilt.
    """
    indices = _indices_of(model, lookups, inputs, folder)
    ranks = {tensor.name: len(tensor.shape) for tensor in inputs}
    ranks |= {name: array.ndim for name, array in indices(probe(inputs)).items()}
    tables = []
    for one in lookups:
        same = one.same and not one.moves
        values, tail = _table_of(model, one, ranks[one.input if same else one.index], folder)
        flat = np.ascontiguousarray(values.reshape(len(values), -1), np.float32)
        tables.append(Table(one.input, flat, tail, values.dtype, one.index, one.found, same, bool(one.moves)))
    return Tables(tables, inputs, indices, _places_of(model, lookups, folder))


def _indices_of(
    model: Any, lookups: Sequence[Lookup], inputs: Sequence[TensorFacts], folder: Path
) -> Callable[[Arrays], Mapping[str, Integers]]:
    """The row numbers of those lookups that are not by the ids as they stand."""
    tf = tensorflow()
    names = tuple(dict.fromkeys(one.index for one in lookups if not one.same or one.moves))
    if not names:
        return lambda _: {}
    rebuilt = Rebuilt(model, names, folder)

    def run(*tensors: Any) -> Any:
        return rebuilt.several({one.name: tensor for one, tensor in zip(inputs, tensors, strict=True)})

    specs = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in inputs]
    traced = direct(tf.function(run, input_signature=specs, autograph=False))

    def indices(arrays: Arrays) -> Mapping[str, Integers]:
        try:
            made = traced(*[tf.constant(array) for array in arrays.values()])
        except tf.errors.InvalidArgumentError as error:  # ids that stand for other ids, in a list that has no such id
            told = ", ".join(f"`{name}`" for name in dict.fromkeys(one.input for one in lookups))
            raise ValueError(f"{told} holds ids beyond those that the model knows") from error
        return {name: one.numpy().astype(np.int64) for name, one in zip(names, made, strict=True)}

    return indices


def _table_of(model: Any, lookup: Lookup, rank: int, folder: Path) -> tuple[NDArray[Any], tuple[int, ...]]:
    """What every row of a table stands for, in the type of the graph, and the shape of one there."""
    stored = Rebuilt(model, lookup.table, folder).constant(lookup.table)
    assert stored is not None  # it follows from the file alone
    if _maker(model, lookup.found).op_type == "Gather":
        return stored, stored.shape[1:]
    # in as many axes as the row numbers have: what scales by axis counts on it
    every = np.arange(len(stored), dtype=np.int64).reshape(-1, *[1] * (rank - 1))
    undone = Rebuilt(model, lookup.found, folder, given=(lookup.index,))
    made: NDArray[Any] = undone({lookup.index: tensorflow().constant(every)}).numpy()
    return made, made.shape[rank:]


def _maker(model: Any, name: str) -> Any:
    return next(node for node in model.graph.node if name in node.output)


def _places_of(model: Any, lookups: Sequence[Lookup], folder: Path) -> Callable[[Tensors], Tensors]:
    """The places of ids as they stand where rows are looked up: what moves ids, without what changes them."""
    moved = {one.index: one for one in lookups if one.moves}
    if not moved:
        return lambda _: {}
    there = len(model.graph.node)
    _add_moves(model, moved.values())
    rebuilt = Rebuilt(model, [f"{_PLACES}{name}" for name in moved], folder)
    del model.graph.node[there:]

    def places(tensors: Tensors) -> Tensors:
        given = {f"{_PLACES}{one.input}": counted(tensors[one.input]) for one in moved.values()}
        return dict(zip(moved, rebuilt.several({**tensors, **given}), strict=True))

    return places


def _add_moves(model: Any, lookups: Collection[Lookup]) -> None:
    """Let a model also say, for each row number, the place of the id that it comes from."""
    import onnx

    added: dict[str, Any] = {}
    for lookup in lookups:
        at = f"{_PLACES}{lookup.input}"
        for name in lookup.moves:
            makes = _maker(model, name)
            copy = onnx.NodeProto()
            copy.CopyFrom(makes)
            copy.input[0] = at
            for place, made in enumerate(makes.output):
                copy.output[place] = f"{_PLACES}{made}" if made else ""
            at = f"{_PLACES}{name}"
            added.setdefault(at, copy)
        if at != f"{_PLACES}{lookup.index}":
            copy = onnx.helper.make_node("Identity", [at], [f"{_PLACES}{lookup.index}"])
            added.setdefault(f"{_PLACES}{lookup.index}", copy)
    model.graph.node.extend({copy.SerializeToString(): copy for copy in added.values()}.values())
