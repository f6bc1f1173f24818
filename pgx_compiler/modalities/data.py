"""The data of an audit, as precaution methods see it: whatever the modality, labelled splits and plain variables."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.features import FeatureMap
from runtimes.capabilities import Inputs, Integers

Role = Literal["feature", "sensitive", "id", "time", "group"]


@dataclass(frozen=True)
class Variable:
    """One quantity of every row: a feature of a table, or a descriptor of an image (brightness, contrast, …).

    Numeric values are float64 with NaN where missing; categorical values are int64 positions in `categories`
    with -1 where missing.
    """

    name: str
    kind: Literal["numeric", "categorical"]
    train: NDArray[Any]
    """``(train rows,)``."""
    test: NDArray[Any] | None
    """``(test rows,)``, or None where the audit has no test split."""
    categories: tuple[str, ...] = ()
    role: Role = "feature"
    is_descriptor: bool = False
    """True where the model does not read it as such: it describes an image, or stands in the file beside the inputs."""
    unit: str = ""


@dataclass(frozen=True)
class Split:
    """Rows of one split, in the model's own layout."""

    name: str
    inputs: Inputs
    labels: NDArray[Any] | None
    """``(rows,)``: int64 class positions, float64 regression values, or None."""
    row_ids: NDArray[Any]
    """``(rows,)``: as the file names them, else positions."""

    def __len__(self) -> int:
        return len(self.row_ids)

    def of_rows(self, chosen: Integers) -> "Split":
        """Some of the rows."""
        labels = None if self.labels is None else self.labels[chosen]
        return Split(self.name, {n: a[chosen] for n, a in self.inputs.items()}, labels, self.row_ids[chosen])


MOST_ROWS = 200_000
"""Rows of a split that stand for all of a larger table, where a method looks at every row several times or compares all with
all. A share of one in two is then known to 0.1 %, a rank correlation to 0.002 (standard errors). Own choice."""

_DRAWN = 20260401


def drawn_rows(rows: int, most: int = MOST_ROWS) -> Integers:
    """Positions of at most so many rows, in order, drawn with one seed: every method that draws sees the same rows."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(_DRAWN).choice(rows, most, replace=False)).astype(np.int64)


@dataclass(frozen=True)
class AuditData:
    """Everything that a precaution method may look at."""

    modality: str
    task: str
    classes: tuple[str, ...]
    """Class names in output order; empty for regression."""
    train: Split
    test: Split | None
    features: FeatureMap
    variables: tuple[Variable, ...]
    regions: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Named regions of the input, ``(*feature shape)``: what the spec calls ``features: {border: {mask: …}}``."""
    chosen: tuple[tuple[int, str], ...] = ()
    """Of a regression whose outputs have names: column and name of those that are explained; else empty."""

    @property
    def value_columns(self) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """Of a regression: the columns that are explained, and what they are called."""
        chosen = self.chosen or ((0, "value"),)
        return tuple(column for column, _ in chosen), tuple(name for _, name in chosen)

    def of_role(self, role: Role) -> tuple[Variable, ...]:
        """The variables with one role."""
        return tuple(variable for variable in self.variables if variable.role == role)
