"""A model that reads the text itself: which column or array holds it, and how long a text is."""

import heapq
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pgx_compiler.analysis.checks.data import SHAPE_MISMATCH, WRONG_KIND, array_for, beside, wide_source
from pgx_compiler.analysis.checks.files import UNUSABLE_DATA
from pgx_compiler.analysis.checks.model import in_words
from pgx_compiler.analysis.checks.text import BAD_TOKENIZER, TOKENS_UNCLEAR, text_column
from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import DataFile
from pgx_compiler.modalities.text import longest
from pgx_compiler.spec.source import Path_
from runtimes import datasets
from runtimes.datasets import DataFileError
from runtimes.target import TensorFacts

UNREAD = {"words": 256, "sentences": 32}
"""What a text is taken to have at most, where its file is for workers alone to read: for the price of the plan only."""
_COUNTED = 1000
"""Texts of most letters, among which the one of most words is looked for."""


def check_whole_text(context: Context) -> None:
    """Settle where the text is, which stands whole in the data, and what else the model reads beside it."""
    name = context.tokens.get("text")
    if name is None or context.train is None or not _fits(context, name):
        return
    for split, file in context.data.items():
        bound = _bind(context, split, file, name)
        if bound and split == "train":
            context.sources, context.columns = bound, ()
            columns = [column for columns in bound.values() for column in columns]
            context.beside = beside(context, file.facts, columns) if file.facts.tabular else ()
        elif bound and context.sources and bound != context.sources:
            message = "the test data names the text otherwise than the training data"
            help_ = "give both files the same arrays or columns"
            context.error(SHAPE_MISMATCH, message, ("data", split, "path"), help_)
    if context.sources:
        _measure(context, name)


def _fits(context: Context, name: str) -> bool:
    tensor = next(tensor for tensor in context.inputs if tensor.name == name)
    declared = context.spec.model.inputs.get(name)
    if tensor.dtype not in ("str", "object"):
        message = f"`{name}` is said to hold text, and the model reads {tensor.dtype} there"
        help_ = "write `kind: tokens` for token ids, or choose the modality that the model was made for"
        context.error(TOKENS_UNCLEAR, message, ("model", "inputs", name, "kind"), help_)
        return False
    if len(tensor.shape) > 2 or (len(tensor.shape) == 2 and tensor.shape[1] not in (None, 1)):
        message = f"`{name}` holds {in_words(tensor.shape[1:])} words a row, and a text is one"
        help_ = "such a model reads columns of words: `modality: tabular`"
        context.error(TOKENS_UNCLEAR, message, ("data", "modality"), help_)
        return False
    said: Path_ | None = ("data", "tokenizer") if context.spec.data.tokenizer is not None else None
    for key in ("vocabulary", "pad"):
        if declared is not None and getattr(declared, key) is not None:
            said = ("model", "inputs", name, key)
    if said is not None:
        message = f"the model reads the text itself (`{name}`), and `{said[-1]}` is for token ids"
        context.error(BAD_TOKENIZER, message, said, "delete it", on="key")
        return False
    return True


def _bind(context: Context, split: str, file: DataFile, name: str) -> dict[str, tuple[str, ...]] | None:
    at: Path_ = ("data", split, "path")
    found: dict[str, tuple[str, ...]] = {}
    settled = []
    for tensor in context.inputs:
        if tensor.name == name:
            column = _text_source(context, split, file, tensor)
            if column is None:
                return None
            found[name] = (column,)
            settled.append(TensorFacts(name, (None, 1), "str"))
            continue
        if len(tensor.shape) > 2:
            message = f"beside the text the model reads `{tensor.name}`, {in_words(tensor.shape[1:])} a row"
            help_ = f"give it with every row: `model.inputs: {{{tensor.name}: {{fixed: zeros}}}}`"
            context.error(SHAPE_MISMATCH, message, at, help_)
            return None
        source = wide_source(context, split, file, tensor)
        if source is None:
            return None
        found[tensor.name], width = source
        settled.append(TensorFacts(tensor.name, (None, *([width] if len(tensor.shape) > 1 else [])), tensor.dtype))
    if split == "train":
        context.inputs = tuple(settled)
    return found


def _text_source(context: Context, split: str, file: DataFile, tensor: TensorFacts) -> str | None:
    if file.facts.tabular:
        named = [column.name for column in file.facts.columns if column.name == tensor.name and _words(column.dtype)]
        return named[0] if named and context.spec.data.columns is None else text_column(context, split, file)
    at: Path_ = ("data", split, "path")
    column = array_for(context, tensor, file, at, single=len(context.inputs) == 1)
    if column is None:
        return None
    if not _words(column.dtype) or column.shape not in ((), (1,)):
        held = column.dtype if not _words(column.dtype) else f"{in_words(column.shape)} words a row"
        message = f"the array `{column.name}` holds {held}, and the model reads one text a row"
        context.error(WRONG_KIND, message, at, "store the texts as they are, as an array of strings")
        return None
    return column.name


def _words(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "OUS"
    except TypeError:
        return True


def _measure(context: Context, name: str) -> None:
    """How many words and sentences a text has at most, for the price of the plan."""
    found = [
        UNREAD
        if datasets.of_workers_alone(file.path)
        else _longest(context, split, file.path, context.sources[name][0])
        for split, file in context.data.items()
    ]
    known = [one for one in found if one is not None]
    if len(known) == len(found):
        context.tokens["longest"] = {units: max(one[units] for one in known) for units in UNREAD}
    else:
        context.columns, context.tokens = None, {}


def _longest(context: Context, split: str, path: Path, column: str) -> dict[str, int] | None:
    try:
        cells = datasets.read_column(path, column, True)
    except DataFileError as error:
        context.error(UNUSABLE_DATA, error.reason, ("data", split, "path"), error.help)
        return None
    except KeyError:  # a test file without the column, which has been said
        return None
    texts: Sequence[str] = ["" if cell is None else str(cell) for cell in cells.reshape(-1)]
    return longest(heapq.nlargest(_COUNTED, texts, key=len))
