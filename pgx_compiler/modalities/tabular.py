"""Tables: a feature is a column or a group of columns; a removed one is filled from background rows."""

import fnmatch
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities import _tabular_fills
from pgx_compiler.modalities.data import Variable
from pgx_compiler.modalities.features import FeatureMap, References
from runtimes.capabilities import Inputs

DRAWING = "bars"
PLACES = 0
NUMERIC = True
KEYS: frozenset[str] = frozenset()
FILLS = _tabular_fills.FILLS
OWN_FILLS = frozenset({"conditional", "maximum_distance"})
DEFAULT_FILL = "background"


def match_columns(patterns: Sequence[str], columns: Sequence[str]) -> list[int]:
    """Positions of the columns that any of the patterns (``purpose=*``) matches, in column order."""
    return [i for i, column in enumerate(columns) if any(fnmatch.fnmatchcase(column, p) for p in patterns)]


def settle(choice: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    """Columns and groups say it all; see `pgx_compiler.modalities.Modality`."""
    return {}


def varies(described: Mapping[str, Any]) -> bool:
    """Columns are the same in every row."""
    return False


def features_of_rows(inputs: Inputs, described: Mapping[str, Any]) -> FeatureMap:
    """Not asked of columns."""
    raise AssertionError("columns are the same in every row")


def feature_map(shapes: Mapping[str, Sequence[int]], described: Mapping[str, Any]) -> FeatureMap:
    """One feature a column, but for the columns that a group claims.

    Args:
        shapes: each input's shape without the row axis; one input ``(columns,)``, or one input a column ``()``/``(1,)``.
        described: ``columns``, names in the order in which the inputs hold them; ``groups``, feature name to the
            patterns of its columns.
    """
    columns: Sequence[str] = described["columns"]
    groups: Mapping[str, Sequence[str]] = described.get("groups", {})
    owner_of: dict[int, str] = {}
    for name, patterns in groups.items():
        for position in match_columns(patterns, columns):
            owner_of[position] = name
    names: list[str] = []
    position_of: list[int] = []
    for position, column in enumerate(columns):
        name = owner_of.get(position, column)
        if name not in names:
            names.append(name)
        position_of.append(names.index(name))
    owners: dict[str, NDArray[np.int64]] = {}
    start = 0
    for name, shape in shapes.items():
        size = int(np.prod(shape)) if shape else 1
        owners[name] = np.array(position_of[start : start + size], np.int64).reshape(tuple(shape))
        start += size
    return FeatureMap(tuple(names), owners, {"kind": "list"})


def references(
    rows: Inputs, train: Inputs, fill: Mapping[str, Any], features: FeatureMap, rng: np.random.Generator
) -> References:
    """Training rows, drawn, central or near, or their mean; see `_tabular_fills`."""
    return _tabular_fills.table_references(rows, train, fill, features, rng)


def variables(
    train: Inputs, test: Inputs | None, features: FeatureMap, columns: Sequence[str], roles: Mapping[str, str]
) -> tuple[Variable, ...]:
    """The features of a table as plain variables; a group of one-hot columns becomes one categorical variable."""
    owner = np.concatenate([o.reshape(-1) for o in features.owners.values()])
    found = []
    for position, name in enumerate(features.names):
        role: Any = roles.get(name, "feature")
        of_train = features.elements(train, position)
        of_test = None if test is None else features.elements(test, position)
        if of_train.dtype.kind not in "biuf":
            found.append(_of_words(name, of_train, of_test, role))
        elif of_train.shape[1] == 1:
            other = None if of_test is None else of_test[:, 0].astype(np.float64)
            found.append(Variable(name, "numeric", of_train[:, 0].astype(np.float64), other, role=role))
        else:
            labels = tuple(_short(columns[int(i)], name) for i in np.flatnonzero(owner == position))
            codes = None if of_test is None else _one_hot_codes(of_test)
            found.append(Variable(name, "categorical", _one_hot_codes(of_train), codes, labels, role=role))
    return tuple(found)


_AT_ONCE = 100_000
"""Rows of words looked at together."""


def _of_words(name: str, train: NDArray[Any], test: NDArray[Any] | None, role: Any) -> Variable:
    """A column of text (or a group of them, read together) as categories in alphabetical order; empty is missing."""
    met: set[str] = set()
    for part in (train, test):
        for told in () if part is None else _told(part):
            met |= set(told.tolist())
    words = sorted(met - {""})
    position = {word: index for index, word in enumerate(words)}

    def codes(part: NDArray[Any] | None) -> NDArray[np.int64] | None:
        if part is None:
            return None
        found = [np.array([position.get(word, -1) for word in told.tolist()], np.int64) for told in _told(part)]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    found = codes(train)
    assert found is not None
    return Variable(name, "categorical", found, codes(test), tuple(words), role)


def _told(part: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Rows of words, each as one word, some at a time."""
    for start in range(0, len(part), _AT_ONCE):
        rows = part[start : start + _AT_ONCE]
        yield (
            np.asarray(rows[:, 0], np.str_)
            if rows.shape[1] == 1
            else np.array([", ".join(map(str, row)) for row in rows])
        )


def _one_hot_codes(block: NDArray[Any]) -> NDArray[np.int64]:
    """Position of the 1 in each row of a one-hot block; -1 where no column is set."""
    codes: NDArray[np.int64] = np.argmax(np.nan_to_num(block), axis=1).astype(np.int64)
    codes[~(np.nan_to_num(block).max(axis=1) > 0)] = -1
    return codes


def _short(column: str, group: str) -> str:
    return column.removeprefix(group).lstrip("=_") or column
