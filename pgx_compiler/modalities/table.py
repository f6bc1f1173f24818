"""A table as methods of real values see it: one number for each feature, whatever the model's own encoding.

Partial dependence, counterfactuals, anchors and their kin ask "what if this feature had that value", which the game of
kept and removed features cannot say. Here a row is ``(features,)`` float64: the value of a numeric feature, the position
of a categorical one, NaN where missing; `Table.score` encodes such rows (one-hot groups, codes, words, whole numbers) as
the model reads them. No method of this kind ever sees an encoding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

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


class _Codec(Protocol):
    def decode(self, block: NDArray[Any]) -> Floats: ...

    def encode(self, values: Floats) -> NDArray[Any]: ...


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
        score_name: ``logit``, ``probability``, ``log_odds`` or ``value``: the unit of `score`.
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
        self._like = data.train.inputs
        splits = [split for split in (data.train, data.test, explained) if split is not None]
        self.features, self._codecs = _read(data, [split.inputs for split in splits], setting)
        self.train = self._decoded(data.train)
        self.test = None if data.test is None else self._decoded(data.test)
        self.explained = self._decoded(explained)
        self.targets = targets
        self.outputs = setting.outputs
        self.focus = np.asarray(setting.focus, np.int64)
        self.task = data.task
        self.score_name = setting.score

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
            ValueError: a value that no row of the data has, where only such can be encoded (``block``).
        """
        z = np.asarray(z, np.float64)
        step = max(1, self._model.rows_per_call) * 8
        parts = [self._model.predict(self.encode(z[start : start + step])) for start in range(0, len(z), step)]
        return np.concatenate(parts) if parts else np.zeros((0, len(self.outputs)))

    def encode(self, z: Floats) -> Inputs:
        """Decoded rows as the model reads them."""
        inputs: dict[str, NDArray[Any]] = {}
        flat: dict[str, NDArray[Any]] = {}
        for name, like in self._like.items():
            dtype = object if like.dtype.kind in "OUS" else like.dtype
            flat[name] = np.zeros((len(z), int(np.prod(like.shape[1:], dtype=np.int64))), dtype)
            inputs[name] = flat[name]
        for position, codec in enumerate(self._codecs):
            block, start = codec.encode(z[:, position]), 0
            for name, owner in self._map.owners.items():
                own = np.flatnonzero(owner.reshape(-1) == position)
                flat[name][:, own] = block[:, start : start + len(own)]
                start += len(own)
        for name, like in self._like.items():
            shaped = flat[name].reshape((len(z), *like.shape[1:]))
            inputs[name] = shaped.astype(np.str_) if like.dtype.kind in "US" else shaped
        return inputs

    def decode(self, inputs: Inputs) -> Floats:
        """The model's rows as ``(rows, features)``; `encode` gives them back."""
        parts = [codec.decode(self._map.elements(inputs, j)) for j, codec in enumerate(self._codecs)]
        return np.stack(parts, axis=1)

    def row(self, index: int) -> "TableRow":
        """One explained row."""
        return TableRow(self, self.explained.z[index], int(self.targets[index]), self.explained.row_ids[index])

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
) -> tuple[tuple[TableFeature, ...], tuple[_Codec, ...]]:
    variables = {variable.name: variable for variable in data.variables if not variable.is_descriptor}
    features: list[TableFeature] = []
    codecs: list[_Codec] = []
    for position, name in enumerate(data.features.names):
        blocks = [data.features.elements(one, position) for one in inputs]
        variable = variables[name]
        codec: _Codec
        if blocks[0].shape[1] == 1 and blocks[0].dtype.kind in "biuf":
            codec = _Number(blocks[0].dtype)
            kind: Kind = "numeric" if variable.kind == "numeric" else "categorical"
            categories = variable.categories
        else:
            codec = _Blocks(blocks)
            kind, categories = codec.described(_columns_of(data.features, position, variable.categories))
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


class _Number:
    """A feature of one number: it is its own code."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype

    def decode(self, block: NDArray[Any]) -> Floats:
        return np.asarray(block[:, 0], np.float64)

    def encode(self, values: Floats) -> NDArray[Any]:
        if self._dtype.kind in "iub":
            values = np.round(values)
        return values[:, None].astype(self._dtype)


class _Blocks:
    """A feature of several elements, or of words: its code is the position of a block that occurs in the data.

    One-hot blocks come first in the order of their columns, so that a category keeps its position although no row has it.
    """

    def __init__(self, parts: Sequence[NDArray[Any]]) -> None:
        first = parts[0]
        held = np.concatenate(parts)
        seen = {tuple(row): None for row in held.tolist()}
        size = first.shape[1]
        self.is_one_hot = size > 1 and all(set(row) <= {0, 1} and sum(row) <= 1 for row in seen)
        if self.is_one_hot:
            unit = np.eye(size, dtype=first.dtype).tolist()
            seen = {**{tuple(row): None for row in unit}, **seen}
        ordered = list(seen) if self.is_one_hot else sorted(seen, key=lambda row: tuple(map(str, row)))
        self._position = {row: index for index, row in enumerate(ordered)}
        self._blocks = np.array(ordered, object if first.dtype.kind in "OUS" else first.dtype).reshape(-1, size)

    def described(self, columns: tuple[str, ...]) -> tuple[Kind, tuple[str, ...]]:
        if self.is_one_hot:
            return "categorical", (*columns, *["none"] * (len(self._blocks) - len(columns)))
        if self._blocks.shape[1] == 1:
            return "categorical", tuple(str(row[0]) for row in self._blocks)
        return "block", tuple(", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row)
                              for row in self._blocks.tolist())  # fmt: skip

    def decode(self, block: NDArray[Any]) -> Floats:
        return np.array([self._position.get(tuple(row), -1) for row in block.tolist()], np.float64)

    def encode(self, values: Floats) -> NDArray[Any]:
        codes = np.asarray(values, np.float64)
        if not np.isfinite(codes).all() or (codes < 0).any() or (codes >= len(self._blocks)).any():
            raise ValueError("a category that no row of the data has cannot be encoded")
        found: NDArray[Any] = self._blocks[codes.astype(np.int64)]
        return found
