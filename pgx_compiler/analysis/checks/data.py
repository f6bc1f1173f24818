"""Do the data files hold what the model reads, and the labels that the spec names?"""

from collections.abc import Mapping, Sequence

import numpy as np

from pgx_compiler.analysis.checks.model import BAD_RANGE, fits, in_words
from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import DataFile
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.modalities import is_pictured, modalities
from pgx_compiler.spec.source import Path_
from runtimes.adaptation import CHANNELS_FIRST
from runtimes.datasets import ColumnFacts, DatasetFacts
from runtimes.target import TensorFacts

UNKNOWN_COLUMN = Code(
    3020,
    "unknown-column",
    "The data file has no column or array of this name. Names are case-sensitive and stand in the file's first line"
    " (csv) or are the arrays' names (npz).",
)
SHAPE_MISMATCH = Code(
    4020,
    "shape-mismatch",
    "What the data holds does not fill what the model reads: another number of columns, or images of another size."
    " By default all columns but the target, and but those whose role is `id`, `time` or `group`, make the input;"
    " `data.columns` names them otherwise.",
)
WRONG_KIND = Code(
    4021,
    "wrong-kind",
    "The file's kind, or a column's, does not suit the modality or the model: text where the model reads numbers,"
    " a table where it reads images.",
)
BAD_PREPROCESS = Code(
    4023,
    "bad-preprocess",
    "`preprocess.scale` maps the integers 0 to 255 of pixels onto a range. It does not apply to data that already is"
    " floating point, nor to tables; and integer pixels without it reach the model unscaled.",
)

_BESIDE = ("id", "time", "group")
"""Roles whose columns are not read by the model unless `data.columns` says so."""


def check_data(context: Context) -> None:
    """Settle which arrays or columns make each input of the model."""
    data = context.spec.data
    for split, declared in (("train", data.train), ("test", data.test)):
        if split in context.data and declared is not None and declared.target is not None:
            _check_target(context, split, declared.target)
    _check_scale(context)
    if not context.inputs or context.train is None or data.modality in ("text", "series"):
        return  # what binds those is `check_text` and `check_series`
    bind = _bind_pictures if is_pictured(data.modality) else _bind_table
    for split, file in context.data.items():
        bound = bind(context, split, file)
        if bound and split == "train":
            context.sources = bound
        elif bound and context.sources and bound != context.sources:
            message = "the test data names the model's input otherwise than the training data"
            context.error(
                SHAPE_MISMATCH, message, ("data", split, "path"), "give both files the same arrays or columns"
            )


def _check_target(context: Context, split: str, target: str) -> None:
    names = [column.name for column in context.data[split].facts.columns]
    at: Path_ = ("data", split, "target")
    if target not in names:
        message = f"`{context.data[split].relative}` has no column or array `{shortened(target)}`"
        context.error(UNKNOWN_COLUMN, message, at, f"it has: {quoted(names, 20)}", _meant(target, names))
        return
    shape = next(column.shape for column in context.data[split].facts.columns if column.name == target)
    if shape not in ((), (1,)):
        message = f"`{target}` holds {in_words(shape)} a row, and a label is one number"
        context.error(SHAPE_MISMATCH, message, at, "name an array with one label a row")


def _meant(word: str, names: Sequence[str]) -> str:
    near = nearest(word, names)
    return f"did you mean `{near}`?" if near else ""


def _check_scale(context: Context) -> None:
    scale = context.spec.data.preprocess.scale
    at: Path_ = ("data", "preprocess", "scale")
    if scale is None:
        return
    if scale[0] >= scale[1]:
        context.error(BAD_RANGE, "the scale is empty", at, "write [low, high], such as [0, 1]")
    if not is_pictured(context.spec.data.modality):
        message = "`scale` applies to images and volumes"
        context.error(BAD_PREPROCESS, message, at, "delete it; scale the columns when the file is made")


# images and volumes


def _bind_pictures(context: Context, split: str, file: DataFile) -> dict[str, tuple[str, ...]] | None:
    at: Path_ = ("data", split, "path")
    modality = context.spec.data.modality
    places = modalities()[modality].PLACES
    if file.facts.tabular:
        message = f"`{file.relative}` is a table, and the modality is {modality}"
        context.error(WRONG_KIND, message, at, f"give a `.npz` archive with an array of {modality}s")
        return None
    if len(context.inputs) != 1:
        message = f"{with_article(modality)} model has one input here, this one has {len(context.inputs)}"
        context.error(WRONG_KIND, message, ("data", "modality"), "choose another modality")
        return None
    tensor = context.inputs[0]
    column = array_for(context, tensor, file, at, single=True)
    if column is None:
        return None
    shape, moved = _channels_last(tensor, column, places)
    if not fits(tensor.shape[1:], shape):
        message = (
            f"the array `{column.name}` holds {in_words(column.shape)} a row,"
            f" the model reads {in_words(tensor.shape[1:])}"
        )
        help_ = f"give {modality}s of the model's own size and channels"
        if len(tensor.shape) - 1 not in (places, places + 1):
            help_ = _other_shapes(context, tensor, tensor.shape[1:], places)
        context.error(SHAPE_MISMATCH, message, at, help_)
        return None
    if len(shape) not in (places, places + 1) or (len(shape) > places and shape[-1] > _FEW >= shape[0]):
        message = f"the {modality}s are {in_words(shape)}, not {_axes(places)} (× channels)"
        context.error(WRONG_KIND, message, at, _other_shapes(context, tensor, shape, places))
        return None
    if moved:
        context.moved.setdefault(split, {})[tensor.name] = moved
    _check_pixels(context, split, column, tensor)
    if split == "train":
        context.inputs = (TensorFacts(tensor.name, (None, *shape), tensor.dtype),)
        context.columns = ()
    return {tensor.name: (column.name,)}


_FEW = 4
"""Channels of a picture, at most, that are told from its places by their number."""
_AXES = ("depth", "height", "width")


def _axes(places: int) -> str:
    """Axes of places in words: ``height × width``."""
    return " × ".join(_AXES[-places:]) if places <= len(_AXES) else f"{places} axes"


def _other_shapes(context: Context, tensor: TensorFacts, shape: Sequence[int | None], places: int) -> str:
    """What to write where rows have other axes than those of the modality."""
    if len(shape) == places + 1:
        # what a Keras file reads has its channels last
        if "onnx" in context.models:
            layout = CHANNELS_FIRST[len(shape) + 1]
            return f"if the model reads channels first, say so: `model.inputs: {{{tensor.name}: {{layout: {layout}}}}}`"
    else:
        for name, one in modalities().items():
            if is_pictured(name) and len(shape) in (one.PLACES, one.PLACES + 1):
                return f"such rows are read as `modality: {name}`: {_axes(one.PLACES)} (× channels)"
    return "other shapes are read as `modality: tabular`, or as `series` where one axis is time"


def _channels_last(tensor: TensorFacts, column: ColumnFacts, places: int) -> tuple[tuple[int, ...], list[int]]:
    """The shape of a row as the audit holds it, and the order of the array's axes where the file has channels first.

    A single channel may be left out in the file where the model reads it.
    """
    shape, read = column.shape, tensor.shape[1:]
    turned = (*shape[1:], *shape[:1])
    first = len(shape) == places + 1 and shape[0] <= _FEW and fits(read, turned)
    if first and (min(shape[1:]) > _FEW or not fits(read, shape)):
        return turned, [0, *range(2, places + 2), 1]
    if len(shape) == places and fits(read, (*shape, 1)):
        return (*shape, 1), []
    return shape, []


def _check_pixels(context: Context, split: str, column: ColumnFacts, tensor: TensorFacts) -> None:
    kind, scale = _kind(column.dtype), context.spec.data.preprocess.scale
    at: Path_ = ("data", "preprocess", "scale")
    if scale is not None and kind == "f":
        message = f"`scale` maps integer pixels, and the array `{column.name}` of the {split} data is {column.dtype}"
        context.error(BAD_PREPROCESS, message, at, "delete `scale`; floating-point pixels are taken as they are")
    elif scale is None and kind in "ui" and _kind(tensor.dtype) == "f":
        message = f"the pixels of the {split} data are {column.dtype} and reach the model unscaled"
        help_ = "if the model was trained on 0..1, write `preprocess: {scale: [0, 1]}` below `data`"
        context.warn(BAD_PREPROCESS, message, ("data", split, "path"), help_)


def array_for(context: Context, tensor: TensorFacts, file: DataFile, at: Path_, *, single: bool) -> ColumnFacts | None:
    """The array that feeds an input: named as the input, or ``x``/``X`` where the model has one input."""
    arrays = {column.name: column for column in file.facts.columns}
    for name in (tensor.name, "x", "X") if single else (tensor.name,):
        if name in arrays:
            return arrays[name]
    message = f"`{file.relative}` has no array for the model's input `{tensor.name}`"
    wanted = f"`{tensor.name}` or `x`" if single else f"`{tensor.name}`"
    context.error(UNKNOWN_COLUMN, message, at, f"name the array {wanted}; the file has: {quoted(arrays, 20)}")
    return None


def with_article(word: str) -> str:
    """``an image``, ``a volume``."""
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _kind(dtype: str) -> str:
    try:
        return np.dtype(dtype).kind
    except TypeError:
        return "O"


# tables


def _bind_table(context: Context, split: str, file: DataFile) -> dict[str, tuple[str, ...]] | None:
    facts, inputs = file.facts, context.inputs
    if any(len(tensor.shape) > 2 for tensor in inputs) or (len(inputs) == 1 and len(inputs[0].shape) < 2):
        read = in_words(inputs[0].shape[1:])
        message = f"the model reads {read} a row, and a row of a table is a list of columns"
        context.error(SHAPE_MISMATCH, message, ("data", "modality"), "choose the modality that the model was made for")
        return None
    if len(inputs) > 1:
        return _bind_inputs(context, split, file)
    bound = _bind_csv(context, split, file) if facts.tabular else _bind_matrix(context, split, file)
    if bound is None:
        return None
    columns, sources = bound
    wanted = inputs[0].shape[1]
    if wanted is not None and wanted != len(columns):
        message = f"{wanted} features expected by the model, {len(columns)} given by `{file.relative}`"
        if context.spec.data.columns is not None:
            context.error(SHAPE_MISMATCH, message, ("data", "columns"), "name as many columns as the model reads")
        else:
            label = f"{abs(wanted - len(columns))} too {'many' if len(columns) > wanted else 'few'}"
            context.error(
                SHAPE_MISMATCH, message, ("data", split, "path"), _columns_help(context, split, columns), label
            )
        return None
    if split == "train":
        context.columns = tuple(columns)
        context.inputs = (TensorFacts(inputs[0].name, (None, len(columns)), inputs[0].dtype),)
        context.beside = beside(context, facts, columns)
    return {inputs[0].name: sources}


def _columns_help(context: Context, split: str, columns: Sequence[str]) -> str:
    labels = "" if context.has_labels(split) else f"name the column of labels, `data.{split}.target`; or "
    return f"{labels}name the columns that the model reads, `data.columns`; given: {quoted(columns, 12)}"


def _bind_csv(context: Context, split: str, file: DataFile) -> tuple[list[str], tuple[str, ...]] | None:
    kinds = {column.name: _kind(column.dtype) for column in file.facts.columns}
    asked = context.spec.data.columns
    if asked is None:
        left_out = _left_out(context)
        columns = [name for name in kinds if name not in left_out]
    else:
        columns = list(asked)
        if not _check_asked(context, file, list(kinds)):
            return None
    text = [name for name in columns if kinds[name] in "OUS"]
    if text and _kind(context.inputs[0].dtype) not in "OUS":
        message = f"the column `{shortened(text[0])}` holds text, and the model reads {context.inputs[0].dtype}"
        help_ = "encode it as the model's training did, or leave it out with `data.columns`"
        context.error(WRONG_KIND, message, ("data", split, "path"), help_)
        return None
    return columns, tuple(columns)


def _left_out(context: Context) -> set[str]:
    data = context.spec.data
    targets = {declared.target for declared in (data.train, data.test) if declared is not None}
    roles = {name for name, declared in data.features.items() if declared.role in _BESIDE}
    return {name for name in targets if name is not None} | roles


def _check_asked(context: Context, file: DataFile, names: list[str]) -> bool:
    asked = context.spec.data.columns or []
    good = True
    there, before = set(names), set[str]()
    for index, name in enumerate(asked):
        if name not in there:
            message = f"`{file.relative}` has no column `{shortened(name)}`"
            help_ = f"it has: {quoted(names, 20)}"
            context.error(UNKNOWN_COLUMN, message, ("data", "columns", index), help_, _meant(name, names))
            good = False
        elif name in before:
            message = f"the column `{shortened(name)}` is listed twice"
            context.error(SHAPE_MISMATCH, message, ("data", "columns", index), "list every column once")
            good = False
        before.add(name)
    return good


def _bind_matrix(context: Context, split: str, file: DataFile) -> tuple[list[str], tuple[str, ...]] | None:
    at: Path_ = ("data", split, "path")
    column = array_for(context, context.inputs[0], file, at, single=True)
    if column is None:
        return None
    if len(column.shape) != 1:
        message = f"the array `{column.name}` holds {in_words(column.shape)} a row, and a table has one list of columns"
        context.error(SHAPE_MISMATCH, message, at, "store it as rows × columns")
        return None
    width = column.shape[0]
    held = [one.facts.feature_names for one in context.models.values() if len(one.facts.feature_names) == width]
    unnamed = held[0] if held else [f"column_{i}" for i in range(width)]
    names = list(context.spec.data.columns or file.facts.feature_names or unnamed)
    if len(names) != width:
        message = f"{len(names)} column names for the {width} columns of the array `{column.name}`"
        where: Path_ = ("data", "columns") if context.spec.data.columns else at
        context.error(SHAPE_MISMATCH, message, where, "give one name for each column")
        return None
    return names, (column.name,)


def _bind_inputs(context: Context, split: str, file: DataFile) -> dict[str, tuple[str, ...]] | None:
    """A model with several inputs: each a column of its own, or an array (or numbered columns) as wide as it."""
    arrays = {column.name: column for column in file.facts.columns}
    sources: dict[str, tuple[str, ...]] = {}
    widths: dict[str, int] = {}
    for tensor in context.inputs:
        found = wide_source(context, split, file, tensor)
        if found is None:
            return None
        sources[tensor.name], widths[tensor.name] = found
    texts = [n for t in context.inputs for n in sources[t.name] if _kind(arrays[n].dtype) in "OUS" and t.dtype != "str"]
    if texts:
        message = f"the column `{shortened(texts[0])}` holds text, and the model reads numbers there"
        context.error(WRONG_KIND, message, ("data", split, "path"), "encode it as the model's training did")
        return None
    if split == "train":
        context.columns = _names_of(widths, file.facts.feature_names)
        context.inputs = tuple(
            TensorFacts(t.name, (None, *([widths[t.name]] if len(t.shape) > 1 else [])), t.dtype)
            for t in context.inputs
        )
        context.beside = beside(context, file.facts, context.columns)
    return sources


def wide_source(
    context: Context, split: str, file: DataFile, tensor: TensorFacts
) -> tuple[tuple[str, ...], int] | None:
    """The arrays or columns that make one of several inputs, and how many numbers that are."""
    arrays = {column.name: column for column in file.facts.columns}
    at: Path_ = ("data", split, "path")
    wanted = tensor.shape[1] if len(tensor.shape) > 1 else 1
    if tensor.name in arrays:
        shape = arrays[tensor.name].shape
        width = shape[0] if shape else 1
        if len(shape) > 1 or wanted not in (None, width):
            message = f"the array `{tensor.name}` holds {in_words(shape)} a row, the model reads {in_words((wanted,))}"
            context.error(SHAPE_MISMATCH, message, at, "store it as rows × columns, as wide as the model reads")
            return None
        return (tensor.name,), width
    numbered = tuple(f"{tensor.name}_{index}" for index in range(wanted or 0))
    if numbered and all(name in arrays for name in numbered):
        return numbered, len(numbered)
    missing = [one.name for one in context.inputs if one.name not in arrays and f"{one.name}_0" not in arrays]
    message = f"`{file.relative}` has no column for the model's input `{tensor.name}`"
    if len(missing) > 1:
        message += f" and {len(missing) - 1} more"
    wide = f"; an input of {wanted} numbers is an array `{tensor.name}`, or columns `{tensor.name}_0`, `{tensor.name}_1`, …"
    help_ = f"it has: {quoted(arrays, 20)}{wide if (wanted or 0) > 1 else ''}"
    context.error(UNKNOWN_COLUMN, message, at, help_, _meant(tensor.name, list(arrays)))
    return None


def _names_of(widths: Mapping[str, int], named: Sequence[str]) -> tuple[str, ...]:
    """Names of all columns of several inputs, in order."""
    if len(named) == sum(widths.values()) and len(set(named)) == len(named):
        return tuple(named)
    return tuple(name if width == 1 else f"{name}_{index}" for name, width in widths.items() for index in range(width))


def beside(context: Context, facts: DatasetFacts, columns: Sequence[str]) -> tuple[str, ...]:
    """Columns of the file that the model does not read, though the spec speaks of them."""
    targets = {context.spec.data.train.target}
    names = [column.name for column in facts.columns if column.shape in ((), (1,))]
    roles = context.spec.data.features
    return tuple(name for name in names if name in roles and name not in columns and name not in targets)
