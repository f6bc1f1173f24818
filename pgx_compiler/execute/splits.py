"""A data file as the model's inputs and labels: at once where it is small, else in parts and kept on disk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.store import Store
from pgx_compiler.execute import texts
from pgx_compiler.execute.scratch import Scratch
from pgx_compiler.modalities.data import Split
from pgx_compiler.modalities.labels import class_names, position_of
from runtimes import datasets
from runtimes.datasets import DatasetFacts, RawData

HELD = 256 * 2**20
"""Bytes of a split's rows that are held in memory; more are kept on disk. What is computed of them is the same."""

_SURVEYED = 64 * 2**20
"""Bytes of a file of text below which its rows are held whatever they are: to count them would cost as much."""


class UnfitInput(Exception):  # noqa: N818
    """The data or the model cannot be used, which only running could show; a sentence for the author."""


@dataclass(frozen=True)
class Coded:
    """A column of words as positions: words repeat, and positions are small."""

    codes: NDArray[np.int32]
    """``(rows,)``: -1 where missing."""
    words: tuple[str, ...]
    """In the order in which they are met."""


Beside = Mapping[str, NDArray[Any] | Coded]
"""Columns that the model does not read, but the audit looks at."""


def read_split(
    path: Path, source: Mapping[str, Any], store: Store | None = None, scratch: Scratch | None = None
) -> tuple[Split, Beside]:
    """Read a data file as the model's inputs and labels. Raises `UnfitInput` or `DataFileError`.

    Args:
        path: the file.
        source: the parameters of its node.
        store: where the vocabulary of a text is.
        scratch: where rows go that are not held in memory; None: all are held.
    """
    if scratch is not None and (facts := _large(path, source)) is not None:
        try:
            return _InParts(path, source, scratch, facts).read()
        except OSError as error:
            reason = f"the rows of {source['split']} do not fit on the disk of a worker: {error.strerror or error}"
            raise UnfitInput(reason) from error
    text = _text_columns(source)
    raw = datasets.read(path, text | texts.columns_of_text(source))
    arrays = dict(raw.arrays)
    labels = None
    if source["target"]:
        labels = read_labels(arrays.pop(source["target"]), source)
    inputs = _inputs(arrays, source, texts.cut(arrays, source, store))
    texts.check_ids(inputs, source)
    n = len(next(iter(inputs.values())))
    row_ids = np.arange(n) if raw.row_ids is None else raw.row_ids
    beside = {name: arrays[name] for name in source["beside"] if name in arrays}
    return Split(source["split"], inputs, labels, row_ids), beside


def _large(path: Path, source: Mapping[str, Any]) -> DatasetFacts | None:
    """The facts of a file whose rows are kept on disk; None where they are held. Every host decides alike."""
    if texts.columns_of_text(source) or (
        path.suffix.lower() not in (".npz", ".parquet", ".pq") and path.stat().st_size < _SURVEYED
    ):
        return None
    facts = datasets.inspect(path)
    shapes = {column.name: column.shape for column in facts.columns}
    row = sum(
        prod(shapes[column]) * (32 if dtype == "str" else np.dtype(dtype).itemsize)
        for name, _, dtype in source["inputs"]
        for column in source["sources"][name]
    )
    return facts if facts.rows * row > HELD else None


def _text_columns(source: Mapping[str, Any]) -> set[str]:
    """Columns whose cells are wanted as they are written."""
    text = {column for name, _, dtype in source["inputs"] if dtype == "str" for column in source["sources"][name]}
    if source["target"] and source["task"] == "classification":
        text.add(source["target"])
    return text


def _inputs(
    arrays: Mapping[str, NDArray[Any]], source: Mapping[str, Any], cut: Mapping[str, NDArray[Any]], start: int = 0
) -> dict[str, NDArray[Any]]:
    """The model's inputs made of a file's columns, the first of whose rows is row ``start``."""
    inputs: dict[str, NDArray[Any]] = {}
    for name, shape, dtype in source["inputs"]:
        if name in cut:
            inputs[name] = cut[name] if dtype == "str" else cut[name].astype(dtype)
            continue
        columns = source["sources"][name]
        order = source.get("moved", {}).get(name)
        if order is not None:
            arrays = {**arrays, **{c: np.transpose(arrays[c], order) for c in columns}}
        taken = [_as_dtype(_scaled(arrays[c], source["preprocess"]["scale"]), dtype, c, source, start) for c in columns]
        joined = taken[0] if len(taken) == 1 else np.stack(taken, axis=1)
        inputs[name] = joined.reshape((len(joined), *[n if n is not None else -1 for n in shape]))
    return inputs


class _InParts:
    """A data file under way to the disk."""

    def __init__(self, path: Path, source: Mapping[str, Any], scratch: Scratch, facts: DatasetFacts) -> None:
        self._path, self._source, self._scratch, self._facts = path, source, scratch, facts
        self._rows = facts.rows
        self._kept: dict[str, NDArray[Any]] = {}
        """By what they are: ``input x``, ``label y``, ``beside age``."""
        self._words: dict[str, dict[str, int]] = {}
        """Of columns of words: each word's position, in the order in which they are met."""

    def read(self) -> tuple[Split, Beside]:
        """All of its rows."""
        source = self._source
        wanted = {column for columns in source["sources"].values() for column in columns} | set(source["beside"])
        if source["target"]:
            wanted.add(source["target"])
        parts = datasets.batches(self._path, _text_columns(source), wanted)
        words = {name for name, _, dtype in source["inputs"] if dtype == "str"}
        if words or self._facts.names_rows:
            told = self._scratch.joined_by_name(self._taken(parts, words), self._rows)
        else:
            told = {}
            for _ in self._taken(parts, words):
                pass
        self._scratch.release()
        names = [name for name, _, _ in source["inputs"]]
        inputs = {name: told[name] if name in words else self._kept[f"input {name}"] for name in names}
        texts.check_ids(inputs, source)
        ids = told.get(_ROW_IDS)
        split = Split(source["split"], inputs, self._labels(), np.arange(self._rows) if ids is None else ids)
        beside = {name: self._column(f"beside {name}") for name in source["beside"] if f"beside {name}" in self._kept}
        return split, beside

    def _taken(self, parts: Iterator[RawData], words: set[str]) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Take in what has a place already, and hand on what must be known whole to know its width."""
        start = 0
        for part in parts:
            inputs = _inputs(part.arrays, self._source, {}, start)
            stop = start + len(next(iter(inputs.values())))
            here = slice(start, stop)
            for name, array in inputs.items():
                if name not in words:
                    self._keep(f"input {name}", array, here)
            if self._source["target"]:
                self._keep_column(f"label {self._source['target']}", part.arrays[self._source["target"]], here)
            for name in self._source["beside"]:
                if name in part.arrays:
                    self._keep_column(f"beside {name}", part.arrays[name], here)
            ids = {} if part.row_ids is None else {_ROW_IDS: part.row_ids}
            yield {**{name: inputs[name] for name in words}, **ids}
            start = stop
            self._scratch.release()

    def _keep(self, name: str, values: NDArray[Any], here: slice) -> None:
        if name not in self._kept:
            self._kept[name] = self._scratch.array((self._rows, *values.shape[1:]), values.dtype)
        self._kept[name][here] = values

    def _keep_column(self, name: str, values: NDArray[Any], here: slice) -> None:
        if values.dtype.kind not in "OUS":
            self._keep(name, values, here)
            return
        known = self._words.setdefault(name, {})
        cells = values.reshape(len(values)).tolist()
        codes = [-1 if cell is None else known.setdefault(cell, len(known)) for cell in cells]
        self._keep(name, np.array(codes, np.int32), here)

    def _column(self, name: str) -> NDArray[Any] | Coded:
        held = self._kept[name]
        return Coded(held, tuple(self._words[name])) if name in self._words else held

    def _labels(self) -> NDArray[Any] | None:
        if not self._source["target"]:
            return None
        held = self._column(f"label {self._source['target']}")
        return labels_of_words(held, self._source) if isinstance(held, Coded) else read_labels(held, self._source)


_ROW_IDS = "row ids"


def _as_dtype(array: NDArray[Any], dtype: str, column: str, source: Mapping[str, Any], start: int = 0) -> NDArray[Any]:
    """A column in the model's dtype, unchanged in value. Raises `UnfitInput`."""
    of = f"column `{column}` of {source['split']}"
    if dtype == "str":
        if array.dtype.kind in "OUS":
            return np.array(["" if v is None else str(v) for v in array.reshape(-1)], np.str_).reshape(array.shape)
        raise UnfitInput(f"{of} holds numbers, but the model reads text")
    if array.dtype.kind in "OUS":
        raise UnfitInput(f"{of} holds words, but the model reads numbers")
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(dtype)
    if cast.dtype.kind in "iub":
        changed = np.flatnonzero((cast != array).reshape(len(array), -1).any(axis=1))
        if len(changed):
            held = array[changed[0]].reshape(-1)
            value = held[cast[changed[0]].reshape(-1) != held][0]
            said = "no value" if value != value else f"{value:g}"
            raise UnfitInput(f"{of} holds {said} in row {start + changed[0]}, but the model reads {dtype}")
    return cast


def _scaled(array: NDArray[Any], scale: list[float] | None) -> NDArray[Any]:
    if scale is None or array.dtype.kind not in "ui":
        return array
    low, high = scale
    return low + array.astype(np.float64) * ((high - low) / 255.0)


def read_labels(raw: NDArray[Any], source: Mapping[str, Any]) -> NDArray[Any]:
    """Class positions (int64) or regression values (float64). Raises `UnfitInput` naming the first bad row.

    Labels of a classification are names of classes, where all of them are; else positions from 0.
    """
    raw = raw.reshape(len(raw))
    wordy = raw.dtype.kind in "OUS"
    missing = np.array([v is None or v == "" for v in raw], bool) if wordy else ~np.isfinite(raw.astype(np.float64))
    _refuse_missing(missing, source)
    if source["task"] == "regression":
        if wordy:
            raise UnfitInput(f"`{source['target']}` of {source['split']} holds words: `{raw[0]}`")
        return raw.astype(np.float64)
    values, inverse = np.unique(raw.astype(np.str_) if wordy else raw, return_inverse=True)
    return _positions(values, inverse, source)


def labels_of_words(raw: Coded, source: Mapping[str, Any]) -> NDArray[Any]:
    """What `read_labels` gives for words. Raises `UnfitInput` naming the first bad row."""
    filled = np.array([word != "" for word in raw.words] + [False], bool)  # the last stands for -1
    _refuse_missing(~filled[raw.codes], source)
    if source["task"] == "regression":
        raise UnfitInput(f"`{source['target']}` of {source['split']} holds words: `{raw.words[raw.codes[0]]}`")
    values, place = np.unique(np.array(raw.words, np.str_), return_inverse=True)
    return _positions(values, place[raw.codes], source)


def _refuse_missing(missing: NDArray[np.bool_], source: Mapping[str, Any]) -> None:
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        raise UnfitInput(
            f"{int(missing.sum())} rows of {source['split']} have no `{source['target']}`; first: row {first}"
        )


def _positions(values: NDArray[Any], inverse: NDArray[Any], source: Mapping[str, Any]) -> NDArray[np.int64]:
    """The class of each row, whose label is one of the values. Raises `UnfitInput`."""
    classes: Sequence[str] = list(source["classes"])
    named = class_names(values, classes)
    position = {name: index for index, name in enumerate(classes)}
    if set(named) <= set(position):
        return np.asarray(np.array([position[name] for name in named], np.int64)[inverse])
    positions = [position_of(name) for name in named]
    unknown = [name for name, found in zip(named, positions, strict=True) if found is None and name not in position]
    if unknown or None in positions:
        shown = unknown or [name for name in named if name not in position]
        raise UnfitInput(f"`{source['target']}` has values that are no class: {', '.join(shown[:5])}")
    labels: NDArray[np.int64] = np.array(positions, np.int64)[inverse]
    outside = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(outside):
        row = int(outside[0])
        raise UnfitInput(
            f"row {row} of {source['split']} has class {labels[row]}, but there are {len(classes)} classes"
        )
    return labels
