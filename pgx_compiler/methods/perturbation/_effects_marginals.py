"""Features drawn each by itself: from numbers in the unit interval to values that the training rows have."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats, Integers


@dataclass(frozen=True)
class Marginals:
    """The distribution of each feature in the training rows, categories and missing values included."""

    held: Sequence[Floats]
    """For each feature its training values in order, missing ones last."""

    def at(self, levels: Floats) -> Floats:
        """Levels in [0, 1] ``(rows, features)`` as the values below which that share of the training rows lies."""
        columns = [own[_place(levels[:, j], len(own))] for j, own in enumerate(self.held)]
        return np.stack(columns, axis=1)


def marginals_of(table: Table) -> Marginals:
    """The marginal distributions of a table's training rows."""
    return Marginals([np.sort(table.train.z[:, j]) for j in range(len(table))])


def _place(levels: Floats, n: int) -> Integers:
    return np.minimum((levels * n).astype(np.int64), n - 1)
