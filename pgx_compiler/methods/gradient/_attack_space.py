"""What of a row may be moved and how far: rows under attack as vectors in units of each element's own range."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.data import AuditData
from pgx_compiler.modalities.features import FIXED, Rows
from runtimes.capabilities import Differentiable, Floats, Inputs, Integers

Bools = NDArray[np.bool_]

_COMPARED_AT_ONCE = 64
"""Training rows held against the explained ones in one go: pictures are large."""


class Space:
    """The explained rows under attack.

    A change ``(rows, elements)`` is in ranges: 1 moves an element over the whole range of its training data. The range is that
    of a table's column, of a series' channel, and of all pixels of a picture. Only numbers are moved; in a table only
    features of a single column with more than two values, so that no row stands between two categories. A row stays within
    the range of the training data, or where it stands already.
    """

    def __init__(self, rows: Rows, data: AuditData) -> None:
        self._inputs = {name: np.asarray(array) for name, array in rows.inputs.items()}
        self.names = [name for name, array in self._inputs.items() if array.dtype.kind == "f"]
        bounds = {name: _bounds(data, name) for name in self.names}
        self._low, self._high = (self._joined({name: b[side] for name, b in bounds.items()}) for side in (0, 1))
        self.range = self._high - self._low
        movable = {name: _movable(data, rows, name) for name in self.names}
        held = self.flat(self._inputs)
        moves = np.broadcast_to(self._joined(movable), held.shape) & np.isfinite(held) & (self.range > 0)
        self.unit: Floats = np.where(moves, self.range, 0.0)
        """``(rows, elements)``: the range where an element may be moved, else 0."""
        step = np.where(moves, self.unit, 1.0)
        self.least: Floats = np.where(moves, np.minimum((self._low - np.nan_to_num(held)) / step, 0.0), 0.0)
        self.most: Floats = np.where(moves, np.maximum((self._high - np.nan_to_num(held)) / step, 0.0), 0.0)

    def __len__(self) -> int:
        return len(self.unit)

    def flat(self, inputs: Inputs) -> Floats:
        """Rows as ``(rows, elements)`` in input units."""
        parts = [np.asarray(inputs[name], np.float64).reshape(len(inputs[name]), -1) for name in self.names]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(next(iter(inputs.values()))), 0))

    def moved(self, change: Floats, which: Integers) -> dict[str, NDArray[Any]]:
        """Some of the rows with a change, as the model reads them."""
        parts = self.maps(change * self.unit[which])
        return {
            name: (array[which] + parts[name]).astype(array.dtype) if name in parts else array[which]
            for name, array in self._inputs.items()
        }

    def maps(self, values: Floats) -> dict[str, Floats]:
        """Values ``(rows, elements)`` in the shapes of the inputs."""
        found, start = {}, 0
        for name in self.names:
            shape = self._inputs[name].shape[1:]
            stop = start + int(np.prod(shape))
            found[name] = values[:, start:stop].reshape(len(values), *shape)
            start = stop
        return found

    def scores(self, model: Differentiable, change: Floats, which: Integers) -> Floats:
        """The model's scores of changed rows."""
        return model.predict(self.moved(change, which))

    def gradient(self, model: Differentiable, change: Floats, which: Integers, target: Integers) -> Floats:
        """How fast an output's score rises by a change, in score per range; 0 where nothing moves."""
        slopes = model.gradient(self.moved(change, which), target)
        return np.nan_to_num(self.flat(slopes)) * self.unit[which]

    def inside(self, change: Floats, which: Integers) -> Floats:
        """A change cut to what is allowed."""
        return np.clip(change, self.least[which], self.most[which])

    def can_move(self, change: Floats, which: Integers, direction: Floats) -> Bools:
        """Which elements are not at the end of their range already, in that direction."""
        up, down = change < self.most[which], change > self.least[which]
        found: Bools = np.where(direction > 0, up, down)
        return found

    def to_nearest(self, model: Differentiable, train: Inputs, classes: Integers) -> Floats:
        """Distance in ranges from each row to the nearest training row that the model puts elsewhere; infinite without one."""
        scale = np.where(self.range > 0, self.range, 1.0)
        here = np.nan_to_num(self.flat(self._inputs)) / scale
        nearest = np.full(len(self), np.inf)
        for start in range(0, len(next(iter(train.values()))), _COMPARED_AT_ONCE):
            part = {name: array[start : start + _COMPARED_AT_ONCE] for name, array in train.items()}
            there = np.nan_to_num(self.flat(part)) / scale
            squared = (here**2).sum(axis=1)[:, None] + (there**2).sum(axis=1)[None] - 2 * here @ there.T
            other = model.predict(part).argmax(axis=1)[None] != classes[:, None]
            apart = np.where(other, np.sqrt(np.maximum(squared, 0.0)), np.inf)
            nearest = np.minimum(nearest, apart.min(axis=1))
        return nearest

    def _joined(self, arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        parts = [np.asarray(arrays[name]).reshape(-1) for name in self.names]
        return np.concatenate(parts) if parts else np.zeros(0)


def _bounds(data: AuditData, name: str) -> tuple[Floats, Floats]:
    """Least and largest value of each element's kind in the training data, ``(*feature shape)``."""
    values = np.asarray(data.train.inputs[name], np.float64)
    shape = values.shape[1:]
    if data.modality == "tabular":
        kept: tuple[int, ...] = tuple(range(1, values.ndim))
    elif data.modality == "series" and len(shape) > 1:
        kept = (values.ndim - 1,)
    else:
        kept = ()
    over = tuple(axis for axis in range(values.ndim) if axis not in kept)
    known = np.isfinite(values)
    low = np.where(known, values, np.inf).min(axis=over, keepdims=True)[0]
    high = np.where(known, values, -np.inf).max(axis=over, keepdims=True)[0]
    usable = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(usable, low, 0.0), np.where(usable, high, 0.0)
    return np.broadcast_to(low, shape), np.broadcast_to(high, shape)


def _movable(data: AuditData, rows: Rows, name: str) -> Bools:
    """Elements that may be moved at all, ``(*feature shape)``: not what is given, and in a table no categories."""
    if data.modality != "tabular":
        owner = rows.features.owners[name]
        free: Bools = (owner != FIXED).all(axis=0) if rows.features.varies else owner != FIXED
        return free
    owner = data.features.owners[name]
    alone = np.append(data.features.sizes() == 1, False)[owner]
    table = np.asarray(data.train.inputs[name]).reshape(len(data.train), -1)
    varied = np.array([len(np.unique(column)) > 2 for column in table.T], bool).reshape(owner.shape)
    coded = {
        variable.name for variable in data.variables if variable.kind == "categorical" and not variable.is_descriptor
    }
    named = np.array([name in coded for name in data.features.names] + [False], bool)[owner]
    movable: Bools = alone & varied & ~named
    return movable
