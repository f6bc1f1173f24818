"""Interpretable features: a partition of the elements of a model's inputs, shared by both directions."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Floats, Inputs, Integers

FIXED = -1
"""Owner of an element that is never perturbed."""


@dataclass(frozen=True)
class FeatureMap:
    """Which feature owns each element of each input.

    ``owners[name]`` has the input's shape without the row axis; each entry is a feature's position, or `FIXED`.
    """

    names: tuple[str, ...]
    owners: Mapping[str, NDArray[np.int64]]
    layout: Mapping[str, Any] = field(default_factory=dict)
    """How to draw it: ``{"kind": "grid", "rows": 14, "columns": 14}`` (row-major features) or ``{"kind": "list"}``."""

    def __len__(self) -> int:
        return len(self.names)

    def sum_onto(self, maps: Inputs) -> Floats:
        """Sum maps shaped like the inputs onto the features, sign kept: ``(rows, features)`` float64."""
        rows = len(next(iter(maps.values())))
        total = np.zeros((rows, len(self.names) + 1))
        for name, values in maps.items():
            owner = self.owners[name].reshape(-1)
            flat = np.asarray(values, np.float64).reshape(rows, -1)
            for row in range(rows):
                total[row] += np.bincount(owner % (len(self.names) + 1), flat[row], len(self.names) + 1)
        return total[:, :-1]

    def elements(self, inputs: Inputs, position: int) -> NDArray[Any]:
        """What one feature's elements hold, ``(rows, elements)``, in the order of the owners.

        Inputs are taken by name: an archive's order is not that of the model.
        """
        held = [(np.asarray(inputs[name]), owner.reshape(-1) == position) for name, owner in self.owners.items()]
        parts = [array.reshape(len(array), -1)[:, own] for array, own in held if own.any()]
        return np.concatenate(parts, axis=1)

    def sizes(self) -> Integers:
        """How many elements each feature owns, ``(features,)``."""
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

    def __len__(self) -> int:
        return int(next(iter(self.inputs.values())).shape[1])

    def of_row(self, row: int) -> Inputs:
        """The references of one row: ``(references, *feature shape)``."""
        return {name: array[row if len(array) > 1 else 0] for name, array in self.inputs.items()}

    def of_rows(self, rows: slice) -> "References":
        """The references of a slice of rows."""
        return References(
            {name: array[rows] if len(array) > 1 else array for name, array in self.inputs.items()}, self.name
        )


@dataclass(frozen=True)
class Rows:
    """The rows being explained, with all that a whole-batch method may need."""

    inputs: Inputs
    target: Integers
    """``(rows,)``: the output explained for each row."""
    references: References
    features: FeatureMap

    def __len__(self) -> int:
        return len(self.target)
