"""The validation split that every candidate of a search shares."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Inputs, Integers, Labelled


def hold_out(
    labels: NDArray[Any], share: float, rng: np.random.Generator, stratify: bool, groups: Integers | None = None
) -> tuple[Integers, Integers]:
    """Positions of the rows to train on and of those held out, each ascending.

    Args:
        labels: ``(rows,)``.
        share: of the rows (of each class where `stratify`) that is held out; at least one row on either side.
        rng: draws the rows.
        stratify: class by class; a class with a single row stays in training.
        groups: ``(rows,)``: rows of one group stay together; None: every row by itself.

    Raises:
        ValueError: where there are too few rows (or groups) for two sides.
    """
    rows = len(labels)
    group = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1]
    _, first = np.unique(group, return_index=True)
    strata = [first[labels[first] == label] for label in np.unique(labels)] if stratify else [first]
    held: list[int] = []
    sizes = np.bincount(group)
    for members in strata:
        total = int(sizes[group[members]].sum())
        wanted = max(1, math.floor(total * share + 0.5))
        taken = 0
        for position in rng.permutation(members)[: len(members) - 1]:
            if taken >= wanted:
                break
            held.append(int(group[position]))
            taken += int(sizes[group[position]])
    is_held = np.isin(group, held)
    if not is_held.any():
        raise ValueError(f"{rows} rows are too few to hold out a validation share of {share:g}")
    return np.flatnonzero(~is_held).astype(np.int64), np.flatnonzero(is_held).astype(np.int64)


def equal_rows(inputs: Inputs) -> Integers:
    """A group number for each row, ``(rows,)``: the same for rows that are equal in every input."""
    rows = len(next(iter(inputs.values())))
    numbers: dict[tuple[Any, ...], int] = {}
    found = np.empty(rows, np.int64)
    for row in range(rows):
        content = tuple(
            array[row].tobytes() if array.dtype != object else tuple(np.asarray(array[row]).reshape(-1).tolist())
            for array in inputs.values()
        )
        found[row] = numbers.setdefault(content, len(numbers))
    return found


def take(labelled: Labelled, positions: Integers) -> Labelled:
    """Some rows with their labels."""
    return Labelled({name: array[positions] for name, array in labelled.inputs.items()}, labelled.labels[positions])
