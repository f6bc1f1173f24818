"""Has every row a label, and is every label a class? Only the column of labels is read."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import DataFile
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.modalities.labels import class_name, class_names, position_of
from runtimes import datasets
from runtimes.datasets import DataFileError

BAD_LABELS = Code(
    4024,
    "bad-labels",
    "Every row needs a label that the model could give. Of a classification a label is the position of a class,"
    " counted from 0, or its name in `model.classes`; of a regression it is a number.",
)

LARGEST_TABLE = 64 * 2**20
"""Bytes of a table, which must be read whole for one column; labels of a larger one are checked by the run."""


def check_labels(context: Context) -> None:
    """Read the labels of each split, and say what is wrong with the first bad row."""
    data = context.spec.data
    for split, declared in (("train", data.train), ("test", data.test)):
        file = context.data.get(split)
        if declared is None or declared.target is None or file is None:
            continue
        if datasets.of_workers_alone(file.path):
            _check_declared(context, split, declared.target, file)
            continue
        if file.facts.tabular and file.path.stat().st_size > LARGEST_TABLE:
            continue
        shapes = {column.name: column.shape for column in file.facts.columns}
        if shapes.get(declared.target) in ((), (1,)):
            _check_split(context, split, declared.target, file)


def _check_declared(context: Context, split: str, target: str, file: DataFile) -> None:
    """What the file's own metadata say of the labels; the run reads them."""
    column = next((column for column in file.facts.columns if column.name == target), None)
    if column is None:
        return
    name, classes = shortened(target), context.classes
    if column.missing:
        rows = f"{column.missing} rows have no `{name}`" if column.missing > 1 else f"a row has no `{name}`"
        _say(context, split, rows, "leave rows without a label out of the file")
    elif context.spec.model.task == "regression" and column.dtype == "str":
        _say(context, split, f"`{name}` holds text, and a regression gives numbers", "name a column of numbers")
    elif context.spec.model.task == "classification" and classes and None not in (column.least, column.largest):
        assert column.least is not None
        assert column.largest is not None
        # classes that are called by numbers may have any, as all of them may be said
        if not {class_name(column.least), class_name(column.largest)} <= set(classes) and not (
            0 <= column.least <= column.largest < len(classes)
        ):
            message = f"`{name}` goes from {column.least:g} to {column.largest:g}"
            help_ = f"labels are names of classes, or their positions counted from 0: write 0 to {len(classes) - 1}"
            _say(context, split, f"{message}, and the {len(classes)} classes are 0 to {len(classes) - 1}", help_)


def _check_split(context: Context, split: str, target: str, file: DataFile) -> None:
    try:
        labels = datasets.read_column(file.path, target, context.spec.model.task == "classification").reshape(-1)
    except DataFileError:
        return  # complained about where the file is inspected, or when it is run
    name = shortened(target)
    text = labels.dtype.kind in "OUS"
    missing = _missing(labels)
    if missing.any():
        count, first = int(missing.sum()), int(np.flatnonzero(missing)[0])
        rows = f"{count} rows have no `{name}`" if count > 1 else f"a row has no `{name}`"
        help_ = "leave rows without a label out of the file"
        _say(context, split, f"{rows}; the first is row {first}, counted from 0", help_)
    elif context.spec.model.task == "regression":
        if text:
            _say(context, split, f"`{name}` holds text, and a regression gives numbers", "name a column of numbers")
    elif context.classes:
        _check_classes(context, split, labels.astype(np.str_) if text else labels, context.classes)


def _missing(labels: NDArray[Any]) -> NDArray[np.bool_]:
    if labels.dtype.kind in "OUS":
        return np.array([value is None or value == "" for value in labels], bool)
    return ~np.isfinite(labels) if labels.dtype.kind == "f" else np.zeros(len(labels), bool)


def _check_classes(context: Context, split: str, labels: NDArray[Any], classes: tuple[str, ...]) -> None:
    """Labels are names of classes where all of them are, else positions: as they are read when the audit runs."""
    # asked for the counts as well, `unique` does not import masked arrays, which takes 30 ms
    values = list(np.unique(labels, return_counts=True)[0])
    named = class_names(values, classes)
    if set(named) <= set(classes):
        return
    positions = [position_of(name) for name in named]
    strangers = [n for n, place in zip(named, positions, strict=True) if place is None and n not in classes]
    if strangers or None in positions:
        _say_no_class(context, split, strangers or [name for name in named if name not in classes], classes)
        return
    wrong = [value for value, place in zip(values, positions, strict=True) if not 0 <= (place or 0) < len(classes)]
    if wrong:
        first = int(np.flatnonzero(np.isin(labels, wrong))[0])
        known = {place for place in positions if place is not None}
        _say_out_of_range(context, split, first, class_name(labels[first]), known, len(classes))


def _say_no_class(context: Context, split: str, unknown: list[str], classes: tuple[str, ...]) -> None:
    near = nearest(unknown[0], classes)
    more = f", nor {len(unknown) - 1} more" if len(unknown) > 1 else ""
    help_ = f"classes: {quoted(classes)}"
    if context.spec.model.classes is None:
        help_ = "name the classes in the order of the model's outputs: `model.classes`"
    elif near:
        help_ += f"; did you mean `{near}`?"
    _say(context, split, f"the label `{shortened(unknown[0])}` is no class{more}", help_)


def _say_out_of_range(context: Context, split: str, row: int, label: str, known: set[int], classes: int) -> None:
    message = f"row {row} has the label {shortened(label)}, and the {classes} classes are 0 to {classes - 1}"
    help_ = f"labels are names of classes, or their positions counted from 0: write 0 to {classes - 1}"
    if min(known) == 1 and max(known) == classes:
        help_ = "the labels seem to be counted from 1: subtract 1 from each, or name the classes so"
    elif known == {-1, 1} and classes == 2:
        help_ = "the labels seem to be -1 and 1: write 0 and 1, or name the classes so"
    _say(context, split, message, help_)


def _say(context: Context, split: str, message: str, help_: str) -> None:
    context.error(BAD_LABELS, f"{split} data: {message}", ("data", split, "target"), help_)
