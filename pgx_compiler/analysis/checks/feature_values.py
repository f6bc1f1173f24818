"""Do `range` and `ordered` suit the features that they are said of, and does the training data lie in its ranges?"""

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.analysis.checks.labels import LARGEST_TABLE
from pgx_compiler.analysis.checks.model import BAD_RANGE
from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import shortened
from pgx_compiler.spec.model import FeatureSpec
from pgx_compiler.spec.source import Path_
from runtimes import datasets
from runtimes.datasets import ColumnFacts, DataFileError

UNFIT_VALUES = Code(
    4036,
    "unfit-values",
    "A `range` is for one column of numbers: groups of columns and categories have values, but no least and largest one."
    " `ordered` is for categories: numbers are in order by themselves.",
)
OUTSIDE_RANGE = Code(
    4037,
    "outside-range",
    "Training rows have values outside the `range` of a feature. Methods that try other values stay inside it, so that they"
    " will not propose values that the model has learned from; or the range is in another unit than the data.",
)


def check_feature_values(context: Context) -> None:
    """Hold what is said of the values of a table's features against what the features are."""
    if context.spec.data.modality != "tabular" or context.train is None:
        return
    columns = {column.name: column for column in context.train.facts.columns}
    ranged: dict[str, tuple[float, float]] = {}
    for name, declared in context.spec.data.features.items():
        at: Path_ = ("data", "features", name)
        words = _is_words(columns.get(name))
        if declared.ordered and not (words or declared.categories or declared.columns):
            message = f"`{shortened(name)}` is a number, and numbers are in order by themselves"
            help_ = "delete it, or name its codes with `categories: [...]`, from little to much"
            context.error(UNFIT_VALUES, message, (*at, "ordered"), help_, on="key")
        if declared.range is not None and _check_range(context, name, declared, words) and name in columns:
            ranged[name] = (float(declared.range[0]), float(declared.range[1]))
    if ranged:
        _check_data(context, ranged)


def _is_words(column: ColumnFacts | None) -> bool:
    return column is not None and np.dtype(column.dtype).kind in "OUS"


def _check_range(context: Context, name: str, declared: FeatureSpec, words: bool) -> bool:
    assert declared.range is not None
    at: Path_ = ("data", "features", name, "range")
    low, high = declared.range
    what = "a group of columns" if declared.columns else "a category" if declared.categories or words else ""
    if what:
        message = f"`{shortened(name)}` is {what}, and has no least and largest value"
        context.error(UNFIT_VALUES, message, at, "delete it", on="key")
    elif low >= high:
        context.error(BAD_RANGE, "the range is empty", at, "write [least, largest], such as [0, 120]")
    return not what and low < high


def _check_data(context: Context, ranged: dict[str, tuple[float, float]]) -> None:
    """Warn of training rows outside; a large table is not read for it."""
    file = context.train
    assert file is not None
    if datasets.of_workers_alone(file.path):
        _check_declared(context, ranged, {column.name: column for column in file.facts.columns})
        return
    if file.path.stat().st_size > LARGEST_TABLE:
        return
    try:
        if file.facts.tabular:
            arrays = dict(datasets.read(file.path).arrays)
        else:
            arrays = {name: datasets.read_column(file.path, name) for name in ranged}
    except DataFileError:
        return  # complained about where the file is inspected, or when it is run
    for name, (low, high) in ranged.items():
        outside = _outside(arrays[name], low, high)
        if not len(outside):
            continue
        value = float(np.asarray(arrays[name], np.float64).reshape(-1)[outside[0]])
        count = f"{len(outside)} training rows lie" if len(outside) > 1 else "a training row lies"
        message = f"{count} outside the range: row {outside[0]}, counted from 0, has {value:g}"
        help_ = "widen the range, or leave it where those rows are mistakes or values that nobody should be offered"
        context.warn(OUTSIDE_RANGE, message, ("data", "features", name, "range"), help_)


def _check_declared(context: Context, ranged: dict[str, tuple[float, float]], columns: dict[str, ColumnFacts]) -> None:
    """Hold the ranges against the least and largest values that the file's own metadata say."""
    for name, (low, high) in ranged.items():
        ends = (columns[name].least, columns[name].largest)
        outside = [end for end in ends if end is not None and not low <= end <= high]
        if outside:
            message = f"training rows lie outside the range: there is {outside[0]:g}"
            help_ = "widen the range, or leave it where those rows are mistakes or values that nobody should be offered"
            context.warn(OUTSIDE_RANGE, message, ("data", "features", name, "range"), help_)


def _outside(values: NDArray[np.generic], low: float, high: float) -> NDArray[np.int64]:
    if values.dtype.kind not in "biuf":
        return np.zeros(0, np.int64)
    flat = np.asarray(values, np.float64).reshape(-1)
    return np.flatnonzero((flat < low) | (flat > high))
