"""The model's answers to all rows of a split, some rows at a time; and which row is at fault where one has none."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pgx_compiler.execute.splits import UnfitInput
from pgx_compiler.modalities.data import Split
from runtimes.target import ModelFileError

_PREDICTED = 2**16
"""Rows that are given to a handle at a time, about; of a whole number of its own calls, so that they are the same as for all
rows at once."""


def _predictions(model: Any, split: Split, told: Callable[[int], None]) -> Any:
    """The model's answers, ``(rows, outputs)``."""
    step = model.rows_per_call * max(1, _PREDICTED // model.rows_per_call)
    if len(split) <= step:
        return model.predict(split.inputs)
    found: Any = None
    for start in range(0, len(split), step):
        part = model.predict({name: array[start : start + step] for name, array in split.inputs.items()})
        if found is None:
            found = np.empty((len(split), *part.shape[1:]), part.dtype)
        found[start : start + len(part)] = part
        told(start + len(part))
    return found


def finite_predictions(model: Any, split: Split, source: Mapping[str, Any], told: Callable[[int], None]) -> Any:
    """The model's answers; where it refuses them and rows are incomplete, those are the likelier reason."""
    try:
        return _predictions(model, split, told)
    except ModelFileError as error:
        bad = [~np.isfinite(a).reshape(len(a), -1).all(axis=1) for a in split.inputs.values() if a.dtype.kind == "f"]
        rows = np.flatnonzero(np.any(bad, axis=0)) if bad else np.zeros(0, np.int64)
        if not len(rows):
            raise
        raise UnfitInput(not_finite(split.inputs, source, int(rows[0]), len(rows))) from error


def not_finite(rows: Mapping[str, Any], source: Mapping[str, Any], row: int, count: int) -> str:
    """A sentence about rows without a finite score, naming what is missing in the first of them."""
    sentence = f"the model gives no finite score for {count} rows of {source['split']}; first: row {row}"
    for name, array in rows.items():
        flat = np.asarray(array[row]).reshape(-1)
        if flat.dtype.kind == "f" and not np.isfinite(flat).all():
            at = int(np.flatnonzero(~np.isfinite(flat))[0])
            column = source["columns"][at] if len(source["columns"]) == len(flat) else f"element {at}"
            return f"{sentence}, where `{column}` of `{name}` is missing or infinite; fill it before the model sees it"
    return f"{sentence}, though all its inputs are finite"
