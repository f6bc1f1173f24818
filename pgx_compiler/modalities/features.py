"""Interpretable features: a partition of the elements of a model's inputs, shared by both directions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Floats, Inputs, Integers

FIXED = -1
"""Owner of an element that is never perturbed."""

_AT_ONCE = 100_000
"""Elements summed in one call: one call a row would take longer than the gradients of a small model."""


class UnfitFeatures(Exception):  # noqa: N818
    """What the author calls a feature does not fit the model's input.

    Attributes:
        key: of ``explain.features``, the one at fault.
        help: what to write instead.
    """

    def __init__(self, key: str, reason: str, help: str) -> None:
        super().__init__(reason)
        self.key = key
        self.help = help


@dataclass(frozen=True)
class FeatureMap:
    """Which feature owns each element of each input.

    ``owners[name]`` has the input's shape without the row axis; each entry is a feature's position, or `FIXED`.

    Segments of a picture and words of a text differ from row to row. Then `counts` is given, ``owners[name]`` has the
    row axis too, and row i has the features ``0 .. counts[i] - 1``; the others are absent from it.
    """

    names: tuple[str, ...]
    owners: Mapping[str, NDArray[np.int64]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    """How to draw it: ``{"kind": "grid", "rows": 14, "columns": 14}`` (row-major features), ``{"kind": "segments"}`` (an
    image by its owners), ``{"kind": "words"}`` (a text, by `labels`), ``{"kind": "windows", "rows": channels, "columns":
    windows}`` (a series), or ``{"kind": "list"}``."""
    counts: Integers | None = None
    """``(rows,)``: how many features each row has, where rows differ."""
    labels: NDArray[np.str_] | None = None
    """``(rows, features)``: what each row's feature is called (``terrible``), where rows differ; empty where absent."""

    def __len__(self) -> int:
        return len(self.names)

    @property
    def varies(self) -> bool:
        """Whether each row has features of its own."""
        return self.counts is not None

    def of_row(self, row: int) -> "FeatureMap":
        """The features of one row, without those that are absent from it."""
        if self.counts is None:
            return self
        count = int(self.counts[row])
        names = self.names[:count] if self.labels is None else tuple(map(str, self.labels[row, :count]))
        return FeatureMap(names, {name: owner[row] for name, owner in self.owners.items()}, self.layout)

    def of_rows(self, rows: slice) -> "FeatureMap":
        """The features of a slice of rows."""
        if self.counts is None:
            return self
        owners = {name: owner[rows] for name, owner in self.owners.items()}
        labels = None if self.labels is None else self.labels[rows]
        return FeatureMap(self.names, owners, self.layout, self.counts[rows], labels)

    def present(self, rows: int) -> NDArray[np.bool_]:
        """Which features each row has, ``(rows, features)``."""
        if self.counts is None:
            return np.ones((rows, len(self)), bool)
        return np.arange(len(self)) < self.counts[:, None]

    def called(self, name: str) -> list[int]:
        """Positions of the feature of that name, or of all windows of the channel of that name (a series)."""
        channels = list(self.layout.get("channels", ()))
        if name in channels:
            windows = int(self.layout["columns"])
            first = channels.index(name) * windows
            return list(range(first, first + windows))
        return [position for position, feature in enumerate(self.names) if feature == name]

    def sum_onto(self, maps: Inputs) -> Floats:
        """Sum maps shaped like the inputs onto the features, sign kept: ``(rows, features)`` float64."""
        rows = len(next(iter(maps.values())))
        total = np.zeros((rows, len(self.names) + 1))
        for name, values in maps.items():
            owners = np.asarray(self.owners[name]) % (len(self.names) + 1)
            flat = np.asarray(values, np.float64).reshape(rows, -1)
            step = max(1, _AT_ONCE // max(1, flat.shape[1]))
            for start in range(0, rows, step):
                part = flat[start : start + step]
                owner = owners[start : start + step] if self.varies else owners[None]
                place = np.arange(len(part))[:, None] * total.shape[1] + owner.reshape(len(owner), -1)
                found = np.bincount(place.reshape(-1), part.reshape(-1), len(part) * total.shape[1])
                total[start : start + step] += found.reshape(len(part), -1)
        return total[:, :-1]

    def elements(self, inputs: Inputs, position: int) -> NDArray[Any]:
        """What one feature's elements hold, ``(rows, elements)``, in the order of the owners.

        Inputs are taken by name: an archive's order is not that of the model. Only where all rows have the same features.
        """
        assert not self.varies
        held = [(np.asarray(inputs[name]), owner.reshape(-1) == position) for name, owner in self.owners.items()]
        parts = [array.reshape(len(array), -1)[:, own] for array, own in held if own.any()]
        return np.concatenate(parts, axis=1)

    def sizes(self) -> Integers:
        """How many elements each feature owns, ``(features,)``. Only where all rows have the same features."""
        assert not self.varies
        count = np.zeros(len(self.names) + 1, np.int64)
        for owner in self.owners.values():
            count += np.bincount(owner.reshape(-1) % (len(self.names) + 1), minlength=len(self.names) + 1)
        return count[:-1]


@dataclass(frozen=True)
class References:
    """What a removed feature is replaced by, and where paths of integration start.

    Each array is ``(rows or 1, references, *feature shape)``: 1 on axis 0 where all rows share them. The value of
    a coalition is the mean score over the references, in both directions, so that Shapley values and integrated
    gradients add up to the same difference.
    """

    inputs: Inputs
    name: str = ""
    """How they were made: ``mean of 100 training rows``; printed in the factsheet."""
    packed: Mapping[str, int] = field(default_factory=dict)
    """Input of token ids to the id of its padding, where a removed token leaves no gap: after a coalition is composed,
    what remains moves to the left and padding fills the end. Elements that hold padding in the reference are removed."""

    def __len__(self) -> int:
        return int(next(iter(self.inputs.values())).shape[1])

    @property
    def shared(self) -> bool:
        """Whether all rows have the same references."""
        return len(next(iter(self.inputs.values()))) == 1

    def of_row(self, row: int) -> Inputs:
        """The references of one row: ``(references, *feature shape)``."""
        return {name: array[row if len(array) > 1 else 0] for name, array in self.inputs.items()}

    def of_rows(self, rows: slice) -> "References":
        """The references of a slice of rows."""
        return References(
            {name: array[rows] if len(array) > 1 else array for name, array in self.inputs.items()},
            self.name,
            self.packed,
        )


@dataclass(frozen=True)
class Rows:
    """The rows being explained, with all that a whole-batch method may need."""

    inputs: Inputs
    target: Integers
    """``(rows,)``: the output explained for each row."""
    references: References
    features: FeatureMap
    targets: Integers | None = None
    """``(rows, k)``: the outputs explained for each row where they are several; `target` is one of them."""

    def __len__(self) -> int:
        return len(self.target)

    @property
    def primary(self) -> Integers:
        """``(rows,)``: where `target` stands in `targets`."""
        if self.targets is None:
            return np.zeros(len(self), np.int64)
        return np.asarray((self.targets == self.target[:, None]).argmax(axis=1), np.int64)

    def of_target(self, place: int) -> "Rows":
        """The same rows, each for one of its several targets alone."""
        assert self.targets is not None
        return Rows(self.inputs, self.targets[:, place], self.references, self.features)

    def of_rows(self, rows: slice) -> "Rows":
        """Some of the rows, with their references and features."""
        return Rows(
            {name: array[rows] for name, array in self.inputs.items()},
            self.target[rows],
            self.references.of_rows(rows),
            self.features.of_rows(rows),
            None if self.targets is None else self.targets[rows],
        )
