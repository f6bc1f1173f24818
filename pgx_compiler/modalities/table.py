"""A table as methods of real values see it: one number for each feature, whatever the model's own encoding.

Partial dependence, counterfactuals, anchors and their kin ask "what if this feature had that value", which the game of
kept and removed features cannot say. Here a row is ``(features,)`` float64: the value of a numeric feature, the position
of a categorical one, NaN where missing; `Table.score` encodes such rows (one-hot groups, codes, words, whole numbers) as
the model reads them. No method of this kind ever sees an encoding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities._table_codecs import BlockCodec, Codec, NumberCodec
from pgx_compiler.modalities._table_metric import Metric, Neighbourhood, Scaling, metric_of, neighbourhood_of
from pgx_compiler.modalities.data import AuditData, Split
from pgx_compiler.modalities.features import FeatureMap
from runtimes.capabilities import Floats, Inputs, Integers, Predictor

Kind = Literal["numeric", "ordered", "categorical", "block"]
"""``numeric``: a number. ``ordered``: a category whose order means something. ``categorical``: one whose order means
nothing. ``block``: several columns that are one feature and no one-hot code; its value is the position of a block of values
that occurs in the data, so that it can be exchanged between rows but not moved along."""


@dataclass(frozen=True)
class TableFeature:
    """What is known of one feature."""

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    """Of ``ordered`` and ``categorical``: their names by position; others by what they are when shown."""
    whole: bool = False
    """Numeric, and only whole numbers occur."""
    immutable: bool = False
    """The spec says that nobody can change it."""
    low: float = float("nan")
    """Least value of the training data, or of the range that the spec declares."""
    high: float = float("nan")
    unit: str = ""

    @property
    def is_scale(self) -> bool:
        """Whether values can be put in order: numeric or ordered."""
        return self.kind in ("numeric", "ordered")

    def say(self, value: float) -> str:
        """A value in words: ``48 months``, ``rented``, ``missing``."""
        if value != value:
            return "missing"
        if self.kind == "numeric":
            return f"{value:.6g}" + (f" {self.unit}" if self.unit else "")
        position = int(value)
        return self.categories[position] if 0 <= position < len(self.categories) else str(position)


@dataclass(frozen=True)
class TableSplit:
    """Rows of a table, decoded."""

    name: str
    z: Floats
    """``(rows, features)``."""
    labels: NDArray[Any] | None
    """``(rows,)``: int64 class positions, float64 regression values, or None."""
    row_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.z)


MOST_SAMPLED = 1000
"""Training rows that stand for all of them where each costs a model row, or where all pairs are compared."""


class Table:
    """The table of an audit with the model bound to it.

    Attributes:
        features: what is known of each feature, in the order of the columns of every ``z``.
        train: the training rows.
        test: the unseen rows, where there are some.
        explained: the rows that the audit explains; their `targets` say for which output.
        targets: ``(explained rows,)``: output column explained for each of them.
        outputs: names of the model's outputs: classes, or ``("value",)``.
        focus: output columns that a statement about the whole model is made for: the class that the spec names, the second
            of two, else all.
        task: ``classification`` or ``regression``.
        score_name: ``logit``, ``probability``, ``log_odds``, ``value`` or ``log_value``: the unit of `score`.
    """

    def __init__(
        self,
        data: AuditData,
        model: Predictor,
        explained: Split,
        targets: Integers,
        setting: "TableSetting",
    ) -> None:
        self._model = model
        self._map = data.features
        splits = [split for split in (data.train, data.test, explained) if split is not None]
        self._first = {name: _first_row([split.inputs[name] for split in splits]) for name in data.train.inputs}
        self._slots = _slots(data.features, tuple(data.train.inputs))
        self.features, self._codecs = _read(data, [split.inputs for split in splits], setting)
        self.train = self._decoded(data.train)
        self.test = None if data.test is None else self._decoded(data.test)
        self.explained = self._decoded(explained)
        self.targets = targets
        self.outputs = setting.outputs
        self.focus = np.asarray(setting.focus, np.int64)
        self.task = data.task
        self.score_name = setting.score
        self._metrics: dict[str, Metric] = {}
        self._neighbourhoods: dict[str, Neighbourhood] = {}

    def __len__(self) -> int:
        return len(self.features)

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names."""
        return tuple(feature.name for feature in self.features)

    @property
    def unseen(self) -> TableSplit:
        """The test rows, else the training rows: what global effects are measured on."""
        return self.train if self.test is None else self.test

    @property
    def rows_per_call(self) -> int:
        """How many rows one call of the model should hold; `score` takes any number."""
        return self._model.rows_per_call

    def score(self, z: Floats) -> Floats:
        """The model's score of decoded rows, ``(rows, outputs)`` float64, for any number of rows.

        Raises:
            ValueError: as `encode`.
        """
        z = np.asarray(z, np.float64)
        step = max(1, self._model.rows_per_call) * 8
        parts = [self._model.predict(self.encode(z[start : start + step])) for start in range(0, len(z), step)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.outputs)))

    def encode(self, z: Floats) -> Inputs:
        """Decoded rows as the model reads them; what is never perturbed stays as in the first training row.

        Raises:
            ValueError: a value that no row of the data has, where only such can be encoded (a category, a missing value).
        """
        flat = {name: np.repeat(first.reshape(1, -1), len(z), axis=0) for name, first in self._first.items()}
        for position, (codec, slots) in enumerate(zip(self._codecs, self._slots, strict=True)):
            block = codec.encode(np.asarray(z[:, position], np.float64))
            for name, own, start in slots:
                flat[name][:, own] = block[:, start : start + len(own)]
        return {name: flat[name].reshape((len(z), *first.shape)) for name, first in self._first.items()}

    def decode(self, inputs: Inputs) -> Floats:
        """The model's rows as ``(rows, features)``; `encode` gives them back."""
        parts = [codec.decode(self._map.elements(inputs, j)) for j, codec in enumerate(self._codecs)]
        return np.stack(parts, axis=1)

    def row(self, index: int) -> "TableRow":
        """One explained row."""
        return TableRow(self, self.explained.z[index], int(self.targets[index]), self.explained.row_ids[index])

    @cached_property
    def held(self) -> tuple[tuple[Floats, Integers], ...]:
        """Of each feature, the values of the training rows, sorted, and how often each occurs; missing ones left out."""
        columns = (column[np.isfinite(column)] for column in self.train.z.T)
        return tuple(
            (values, counts.astype(np.int64)) for values, counts in (np.unique(c, return_counts=True) for c in columns)
        )

    @cached_property
    def sample(self) -> TableSplit:
        """Up to `MOST_SAMPLED` training rows, evenly spaced."""
        n = len(self.train)
        chosen = np.arange(n) if n <= MOST_SAMPLED else np.linspace(0, n - 1, MOST_SAMPLED).astype(np.int64)
        labels = None if self.train.labels is None else self.train.labels[chosen]
        return TableSplit("train", self.train.z[chosen], labels, tuple(self.train.row_ids[i] for i in chosen))

    @cached_property
    def sample_scores(self) -> Floats:
        """`score` of `sample`, asked for once: that many model rows."""
        return self.score(self.sample.z)

    def metric(self, scaling: Scaling = "mad") -> Metric:
        """Differences of rows in units of the training data."""
        if scaling not in self._metrics:
            is_scale = np.array([feature.is_scale for feature in self.features], bool)
            self._metrics[scaling] = metric_of(self.train.z, is_scale, scaling)
        return self._metrics[scaling]

    def neighbourhood(self, scaling: Scaling = "mad") -> Neighbourhood:
        """`sample` with the distance that is usual between its rows."""
        if scaling not in self._neighbourhoods:
            self._neighbourhoods[scaling] = neighbourhood_of(self.sample.z, self.metric(scaling))
        return self._neighbourhoods[scaling]

    def _decoded(self, split: Split) -> TableSplit:
        return TableSplit(split.name, self.decode(split.inputs), split.labels, tuple(map(str, split.row_ids)))


@dataclass(frozen=True)
class TableRow:
    """One explained row of a table: the first argument of methods that ask "what if" of a single row."""

    table: Table
    z: Floats
    """``(features,)``."""
    target: int
    """The output column explained: for a classifier mostly the class that the model predicts."""
    row_id: str = ""

    def score(self, z: Floats) -> Floats:
        """The score of this row's target for decoded rows, ``(rows,)``."""
        return self.table.score(z)[:, self.target]


@dataclass(frozen=True)
class TableSetting:
    """What the spec says of a table beyond the data."""

    outputs: tuple[str, ...]
    focus: tuple[int, ...]
    score: str
    immutable: frozenset[str] = frozenset()
    ordered: frozenset[str] = frozenset()
    """Features whose categories are in order."""
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


def _read(
    data: AuditData, inputs: Sequence[Inputs], setting: TableSetting
) -> tuple[tuple[TableFeature, ...], tuple[Codec, ...]]:
    variables = {variable.name: variable for variable in data.variables if not variable.is_descriptor}
    features: list[TableFeature] = []
    codecs: list[Codec] = []
    for position, name in enumerate(data.features.names):
        blocks = [data.features.elements(one, position) for one in inputs]
        variable = variables[name]
        codec: Codec
        if blocks[0].shape[1] == 1 and blocks[0].dtype.kind in "biuf":
            codec = NumberCodec(blocks[0].dtype)
            kind: Kind = "numeric" if variable.kind == "numeric" else "categorical"
            categories = variable.categories
        else:
            codec = of_blocks = BlockCodec(blocks)
            kind = "categorical" if of_blocks.is_named else "block"
            categories = of_blocks.categories(_columns_of(data.features, position, variable.categories))
        if kind == "categorical" and name in setting.ordered:
            kind = "ordered"
        held = codec.decode(blocks[0])
        known = held[np.isfinite(held)]
        low, high = (float(known.min()), float(known.max())) if len(known) else (float("nan"), float("nan"))
        low, high = setting.ranges.get(name, (low, high))
        whole = kind == "numeric" and bool(len(known)) and bool((known == np.round(known)).all())
        unit = setting.units.get(name, "")
        features.append(TableFeature(name, kind, categories, whole, name in setting.immutable, low, high, unit))
        codecs.append(codec)
    return tuple(features), tuple(codecs)


def _columns_of(features: FeatureMap, position: int, categories: tuple[str, ...]) -> tuple[str, ...]:
    """Names of a group's columns, as the modality calls its categories; numbered where it does not."""
    size = int(features.sizes()[position])
    return categories if len(categories) == size else tuple(str(number) for number in range(size))


def _first_row(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """What rows of an input are made from: its first row, in a dtype that holds the words of all parts."""
    first = parts[0]
    dtype = np.result_type(*parts) if first.dtype.kind in "US" else first.dtype
    return np.asarray(first[0], dtype) if len(first) else np.zeros(first.shape[1:], dtype)


def _slots(features: FeatureMap, inputs: Sequence[str]) -> tuple[tuple[tuple[str, Integers, int], ...], ...]:
    """Of each feature: in which inputs its elements stand, where, and where they begin in its own block."""
    slots: list[list[tuple[str, Integers, int]]] = [[] for _ in features.names]
    start = np.zeros(len(features), np.int64)
    for name, owner in features.owners.items():
        flat = owner.reshape(-1)
        for position in np.unique(flat[flat >= 0]) if name in inputs else ():
            own = np.flatnonzero(flat == position)
            slots[position].append((name, own, int(start[position])))
            start[position] += len(own)
    return tuple(map(tuple, slots))
