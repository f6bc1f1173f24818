"""Tables that ids are looked up in, cut out of a graph: what the ids stand for, and how the graph above is given it.

Where the graph comes from does not matter here: of each table it is known what every row stands for, and, where rows are not
the ids as they stand, a function says which rows are read, and by the id at which place.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import IDS, Differentiable, Floats, Inputs, Integers
from runtimes.formats.batches import Arrays, conform, n_rows, probe
from runtimes.formats.keras_runtime import tensorflow
from runtimes.target import TensorFacts

Tensors = Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """One use of one table."""

    input: str
    values: NDArray[np.float32]
    """``(ids, width)``: what each id stands for."""
    tail: tuple[int, ...]
    """The shape of one row in the graph."""
    kind: Any
    """Its type there."""
    index: str
    """What calls the tensor of row numbers."""
    found: str
    """The tensor of the graph that stands in place of the lookup."""
    same: bool = True
    """Whether the row numbers are the ids themselves, where they stand."""
    moved: bool = False
    """Whether the row numbers stand otherwise than the ids."""


class Tables:
    """Every table of a graph."""

    def __init__(
        self,
        tables: Sequence[Table],
        inputs: Sequence[TensorFacts],
        indices: Callable[[Arrays], Mapping[str, Integers]],
        places: Callable[[Tensors], Tensors],
    ) -> None:
        """Bring together what has been read of a graph.

        Args:
            tables: in the order in which they stand side by side for an input.
            inputs: what the data gives.
            indices: the row numbers by their names, of those tables that are not read by the ids themselves.
            places: for tensors of inputs by name, and row numbers that are moved: the place, counted over all ids of a call,
                of the id that each comes from. May be traced.
        """
        self._tables, self._inputs = tuple(tables), tuple(inputs)
        self._indices, self._places = indices, places
        self._embedded = frozenset(one.input for one in tables)
        self._moves = any(one.moved for one in tables)

    def above(self) -> tuple[TensorFacts, ...]:
        """What the graph reads above its tables: see `runtimes.capabilities.EmbeddingDifferentiable`."""
        found: list[TensorFacts] = []
        for tensor in self._inputs:
            if tensor.name in self._embedded:
                width = sum(one.values.shape[1] for one in self._tables if one.input == tensor.name)
                found.append(TensorFacts(tensor.name, (*tensor.shape, width), "float32"))
                found.append(TensorFacts(f"{tensor.name}{IDS}", tensor.shape, tensor.dtype))
            else:
                found.append(tensor)
        return tuple(found)

    def known(self, name: str) -> int:
        """How many ids of an input its smallest table knows; 0: it is looked up in none."""
        return min((len(one.values) for one in self._tables if one.input == name), default=0)

    def embed(self, arrays: Arrays) -> Arrays:
        """Look up the ids of rows that conform to the inputs.

        Raises:
            ValueError: an id is none of a table's.
        """
        for name in self._embedded:
            if arrays[name].size and arrays[name].min() < 0:
                raise beyond(name, self.known(name))
        indices, places = self._read(arrays)
        found: Arrays = {}
        for name, array in arrays.items():
            if name not in self._embedded:
                found[name] = array
                continue
            parts = [
                _looked_up(
                    one, array, array.astype(np.int64) if one.same else indices[one.index], places.get(one.index)
                )
                for one in self._tables
                if one.input == name
            ]
            found[name] = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
            found[f"{name}{IDS}"] = array
        return found

    def _read(self, arrays: Arrays) -> tuple[Mapping[str, Integers], Mapping[str, Integers]]:
        """By their names: the rows that are read otherwise than by the ids as they stand, and by the id at which place."""
        indices = self._indices(arrays)
        if not self._moves:
            return indices, {}
        tf = tensorflow()
        found = self._places({name: tf.constant(array) for name, array in arrays.items()})
        return indices, {name: one.numpy() for name, one in found.items()}

    def onto_rows(self, arrays: Arrays, slopes: Mapping[str, Floats]) -> list[tuple[NDArray[np.float32], Floats]]:
        """Each table with the slopes by its rows: the sum of those above it, over all places where a row is read."""
        indices, places = self._read(arrays)
        start, found = dict.fromkeys(self._embedded, 0), []
        for one in self._tables:
            width = one.values.shape[1]
            begin, start[one.input] = start[one.input], start[one.input] + width
            part = slopes[one.input][..., begin : begin + width].reshape(-1, width)
            index = arrays[one.input].astype(np.int64) if one.same else indices[one.index]
            sums = np.zeros(one.values.shape)
            np.add.at(sums, index.reshape(-1), part[places[one.index].reshape(-1)] if one.moved else part)
            found.append((one.values, sums))
        return found

    def fed(self, tensors: Tensors) -> dict[str, Any]:
        """What the cut graph reads, of what stands in `above`; to be traced."""
        tf = tensorflow()
        own = {
            one.name: tensors[f"{one.name}{IDS}" if one.name in self._embedded else one.name] for one in self._inputs
        }
        places = self._places(own) if self._moves else {}
        start = dict.fromkeys(self._embedded, 0)
        given = dict(own)
        for one in self._tables:
            part, width = tensors[one.input], one.values.shape[1]
            begin, start[one.input] = start[one.input], start[one.input] + width
            if part.shape[-1] != width:
                part = part[..., begin : begin + width]
            shape = tf.shape(own[one.input])
            if one.moved:
                place = places[one.index]
                part, shape = tf.gather(tf.reshape(part, (-1, width)), place), tf.shape(place)
            if one.tail != (width,):
                part = tf.reshape(part, tf.concat([shape, one.tail], 0))
            given[one.found] = tf.cast(part, one.kind)
        return given


def beyond(name: str, known: int) -> ValueError:
    """What is said of ids that a table does not know."""
    return ValueError(f"`{name}` holds ids beyond the {known} that the model knows")


def _looked_up(table: Table, ids: NDArray[Any], index: Integers, places: Integers | None) -> NDArray[np.float32]:
    """What each id stands for, ``(*ids, width)``; zero for those that the table is not asked for."""
    values = table.values
    if index.size and not 0 <= index.min() <= index.max() < len(values):
        raise beyond(table.input, len(values))
    if not table.moved or places is None:
        return np.take(values, index.reshape(ids.shape), axis=0)  # several times as fast as an index
    found = np.zeros((ids.size, values.shape[1]), np.float32)
    found[places.reshape(-1)] = values[index.reshape(-1)]
    return found.reshape(*ids.shape, values.shape[1])


def counted(tensor: Any) -> Any:
    """The place of each number of a tensor, counted over all of them."""
    tf = tensorflow()
    shape = tf.shape(tensor)
    return tf.reshape(tf.range(tf.reduce_prod(shape)), shape)


class LooksUp:
    """A model that looks up ids, in one view; see `runtimes.capabilities.EmbeddingDifferentiable`."""

    def __init__(self, above: Differentiable, tables: Tables, inputs: tuple[TensorFacts, ...]) -> None:
        self.above = above
        self.spent = above.spent
        self._tables = tables
        self._inputs = inputs

    @property
    def rows_per_call(self) -> int:
        """How many rows one call should hold."""
        return self.above.rows_per_call

    def embed(self, inputs: Inputs) -> Inputs:
        """Look up the ids of each row; see `runtimes.capabilities.EmbeddingDifferentiable`.

        Raises:
            ValueError: the rows are not what the model reads, or an id is none of the table's.
        """
        return self._tables.embed(conform(inputs, self._inputs))

    def predict(self, inputs: Inputs) -> Floats:
        """The view's score, ``(rows, outputs)`` float64.

        Raises:
            ValueError: the rows are not what the model reads, or an id is none of the table's.
        """
        arrays = conform(inputs, self._inputs)
        return np.concatenate([self.above.predict(self._tables.embed(part)) for part, _ in self._parts(arrays)])

    def gradient(self, inputs: Inputs, target: Integers) -> Mapping[str, Floats]:
        """Compute d score[row, target[row]] / d what each id stands for, summed over its axes: shaped as the inputs.

        Raises:
            ValueError: the rows are not what the model reads, a target is no column of the view, or an id is none of a table's.
        """
        return self._summed(inputs, target, self.above.gradient)

    def _summed(
        self, inputs: Inputs, target: Integers, slopes_of: Callable[[Inputs, Integers], Inputs]
    ) -> Mapping[str, Floats]:
        """Slopes above the tables as slopes by the ids."""
        arrays, columns = conform(inputs, self._inputs), np.asarray(target)
        if columns.shape != (n_rows(arrays),):
            raise ValueError(f"targets must be {n_rows(arrays)} column positions")
        found: dict[str, list[Floats]] = {name: [] for name in arrays}
        for part, start in self._parts(arrays):
            slopes = slopes_of(self._tables.embed(part), columns[start : start + n_rows(part)])
            for name, sums in found.items():
                slope = slopes[name]
                sums.append(slope.sum(axis=-1) if slope.ndim > arrays[name].ndim else slope)
        return {name: np.concatenate(sums) for name, sums in found.items()}

    def _parts(self, arrays: Arrays) -> Iterator[tuple[Arrays, int]]:
        """Rows of a call at a time, with the first one's place: what ids stand for takes more memory than they do."""
        start = 0
        while start < max(n_rows(arrays), 1):
            stop = start + self.rows_per_call
            yield {name: array[start:stop] for name, array in arrays.items()}, start
            start = stop


def drawn_ids(
    tables: Tables, inputs: Sequence[TensorFacts], rows: int, rng: np.random.Generator, length: int = 1
) -> Arrays:
    """Rows of ids that tables know, the last of each row zeros as padding is; zeros and ones for other whole numbers.

    Args:
        tables: of the model.
        inputs: of the model.
        rows: how many.
        rng: draws them.
        length: of the axes that the model leaves open.
    """
    known = {tensor.name: tables.known(tensor.name) for tensor in inputs}
    while True:
        arrays: Arrays = {}
        for name, array in probe(inputs).items():
            sizes = next(tensor.shape for tensor in inputs if tensor.name == name)
            shape = (rows, *(length if size is None else size for size in sizes[1:]))
            if known[name]:
                drawn = rng.integers(0, known[name], shape)
                if len(shape) > 1 and shape[1] > 2:
                    drawn[:-1, -(shape[1] // 3) :] = 0
            else:
                drawn = rng.integers(0, 2, shape)
            arrays[name] = drawn.astype(array.dtype)
            if array.dtype.kind == "f" and not known[name]:
                arrays[name] = rng.standard_normal(shape).astype(array.dtype)
        try:
            tables.embed(arrays)
        except ValueError:  # columns with a part of a table each, which begins further on
            if max(known.values()) < 2:
                raise
            known = {name: -(-number // 2) for name, number in known.items()}
            continue
        return arrays
