"""Which arrays hold the series, and what their channels are called."""

from pgx_compiler.analysis.checks.data import SHAPE_MISMATCH, UNKNOWN_COLUMN, WRONG_KIND, array_for
from pgx_compiler.analysis.checks.features import NOT_THIS_MODALITY
from pgx_compiler.analysis.checks.model import fits, in_words
from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import DataFile
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.spec.source import Path_
from runtimes.datasets import ColumnFacts
from runtimes.target import TensorFacts


def check_series(context: Context) -> None:
    """Settle which array makes each input of the model, and the names of the channels."""
    if context.spec.data.modality != "series" or not context.inputs or context.train is None:
        return
    for split, file in context.data.items():
        bound = _bind(context, split, file)
        if bound and split == "train":
            context.sources = bound
        elif bound and context.sources and bound != context.sources:
            message = "the test data names the model's input otherwise than the training data"
            context.error(SHAPE_MISMATCH, message, ("data", split, "path"), "give both files the same arrays")
    _check_channels(context)


def _check_channels(context: Context) -> None:
    """What `data.features` speaks of are channels."""
    for name, declared in context.spec.data.features.items():
        at: Path_ = ("data", "features", name)
        for key in ("columns", "categories"):
            if getattr(declared, key):
                message = f"`{key}` does not apply to series data"
                context.error(NOT_THIS_MODALITY, message, (*at, key), "delete it", on="key")
        if context.columns is not None and name not in context.columns:
            near = nearest(name, context.columns)
            label = f"did you mean `{near}`?" if near else ""
            message = f"no channel is called `{shortened(name)}`"
            context.error(UNKNOWN_COLUMN, message, at, f"channels: {quoted(context.columns, 20)}", label, on="key")


def _bind(context: Context, split: str, file: DataFile) -> dict[str, tuple[str, ...]] | None:
    at: Path_ = ("data", split, "path")
    if file.facts.tabular:
        message = f"`{file.relative}` is a table, and the modality is series"
        context.error(WRONG_KIND, message, at, "give a `.npz` archive with an array of rows × time (× channels)")
        return None
    found: dict[str, ColumnFacts] = {}
    for tensor in context.inputs:
        column = array_for(context, tensor, file, at, single=len(context.inputs) == 1)
        if column is None or not _is_series(context, column, tensor, at):
            return None
        found[tensor.name] = column
    if len({column.shape[0] for column in found.values()}) > 1:
        lengths = ", ".join(f"`{column.name}` {column.shape[0]}" for column in found.values())
        message = f"the inputs have different numbers of steps in time: {lengths}"
        context.error(SHAPE_MISMATCH, message, at, "windows of time need series of one length")
        return None
    if split == "train":
        names = _channels(context, file, found)
        if names is None:
            return None
        context.columns = names
        context.inputs = tuple(TensorFacts(t.name, (None, *found[t.name].shape), t.dtype) for t in context.inputs)
    return {name: (column.name,) for name, column in found.items()}


def _is_series(context: Context, column: ColumnFacts, tensor: TensorFacts, at: Path_) -> bool:
    held = f"the array `{column.name}` holds"
    if column.dtype == "str" and tensor.dtype != "str":
        context.error(WRONG_KIND, f"{held} text, and the model reads {tensor.dtype}", at, "store numbers")
    elif not fits(tensor.shape[1:], column.shape):
        message = f"{held} {in_words(column.shape)} a row, the model reads {in_words(tensor.shape[1:])}"
        context.error(SHAPE_MISMATCH, message, at, "give series of the model's own length and channels")
    elif len(column.shape) not in (1, 2):
        message = f"the series are {in_words(column.shape)}, not time (× channels)"
        context.error(WRONG_KIND, message, at, "store them as rows × time, or rows × time × channels")
    else:
        return True
    return False


def _channels(context: Context, file: DataFile, found: dict[str, ColumnFacts]) -> tuple[str, ...] | None:
    """Names of the channels, input by input: the author's, the archive's, else the input's own with a number."""
    sizes = {name: column.shape[1] if len(column.shape) > 1 else 1 for name, column in found.items()}
    total = sum(sizes.values())
    asked = context.spec.data.columns
    if asked is not None and (len(asked) != total or len(set(asked)) != total):
        message = f"{len(set(asked))} different names for the {total} channels of `{file.relative}`"
        context.error(SHAPE_MISMATCH, message, ("data", "columns"), "give each channel one name of its own")
        return None
    named = asked or file.facts.feature_names
    if len(named) == total and len(set(named)) == total:
        return tuple(named)
    if len(found) > 1:
        return tuple(n if size == 1 else f"{n} {i}" for n, size in sizes.items() for i in range(1, size + 1))
    return tuple(f"channel {number}" for number in range(1, total + 1))
