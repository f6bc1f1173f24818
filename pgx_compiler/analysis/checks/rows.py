"""Which rows are explained, and for which class."""

from pgx_compiler.analysis.checks.labels import LARGEST_TABLE
from pgx_compiler.analysis.checks.model import NOT_FOR_REGRESSION
from pgx_compiler.analysis.checks.names import AUTO
from pgx_compiler.analysis.checks.strategy import may_explain
from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import DataFile
from pgx_compiler.analysis.targets import EVERY, OF_EACH_ROW, is_every_class
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.spec.model import RowSelection
from pgx_compiler.spec.source import Path_
from runtimes import datasets
from runtimes.datasets import DataFileError

ROW_SELECTION = Code(
    4040,
    "row-selection",
    "Rows are chosen in one way: `sample: N`, `ids: [...]`, `errors: N`, `borderline: N` or `all: true`; `stratify`"
    " belongs to `sample`. `errors` and `stratify` need labels, `errors` and `borderline` classification.",
)
TOO_FEW_ROWS = Code(
    4041,
    "too-few-rows",
    "More rows are asked for than the split has. Ask for fewer, or for `all: true`.",
)
NO_SPLIT = Code(
    3030,
    "no-split",
    "The rows come from a split that the spec does not name. Add `data.test`, or take them `from: train`.",
)
UNKNOWN_ROW = Code(
    3031,
    "unknown-row",
    "No row of the split has this id. Rows are called by the file's own `row_ids`, else by their position from 0.",
)
UNKNOWN_CLASS = Code(
    3032,
    "unknown-class",
    "The class is none of `model.classes`. `explain.target` also takes `predicted`, `label` and `all`; of a regression with"
    " several outputs its names (`model.output: {names: [...]}`; without them positions from 0) and `all`.",
)
TARGET_LIST = Code(
    4042,
    "target-list",
    "A list under `explain.target` names classes, `predicted` or `label`, each once: all are explained, and the first is"
    " what is compared and judged. Games answer for all from the same model rows; gradient methods, and masks found by"
    " descent, cost as much again for each. A step with a `precision` asks on until every class has it. `all`"
    " stands alone; of hundreds of classes it is said (a warning), since the values of each are kept and some methods fit a"
    " model to each.",
)

MANY_CLASSES = 100
"""More than anyone reads; the evidence grows with them (own default)."""

_SELECTORS = ("sample", "ids", "errors", "borderline", "all")


def check_rows(context: Context) -> None:
    """Settle how many rows are explained."""
    _check_target(context)
    if not _explains(context) and not _says_rows(context):
        context.rows = 0
        return
    context.rows = count_rows(context, context.select, context.at_common("rows"))


def count_rows(context: Context, rows: RowSelection, at: Path_) -> int | None:
    """How many rows a selection takes at most; None where it cannot be held, which has been said then."""
    if rows.from_ == "test" and context.spec.data.test is None:
        help_ = "add `data.test`, or write `rows: {from: train, sample: 32}`"
        context.error(NO_SPLIT, "the explained rows come from the test split, and there is none", at, help_)
        return None
    if not _check_selectors(context, rows, at):
        return None
    file = context.data.get(rows.from_)
    if file is None:
        return None
    there = file.facts.rows
    asked = rows.sample or rows.errors or rows.borderline or (len(rows.ids) if rows.ids else there)
    if asked > there:
        key = next(key for key in _SELECTORS if getattr(rows, key))
        message = f"{asked} rows are asked for, `{file.relative}` has {there}"
        context.error(TOO_FEW_ROWS, message, (*at, key), f"at most {there}, or `all: true`")
        return None
    if rows.ids:
        _check_ids(context, rows.ids, file, at)
    return asked


def _explains(context: Context) -> bool:
    """Whether rows will be explained: by the author's steps, or because the strategy may choose some."""
    explain = context.spec.explain
    written = any(step.use != AUTO for step in (*explain.perturbation, *explain.gradient))
    return written or may_explain(context)


def _says_rows(context: Context) -> bool:
    return ("explain", "rows") in context.document.keys


def _check_selectors(context: Context, rows: RowSelection, at: Path_) -> bool:
    chosen = [key for key in _SELECTORS if getattr(rows, key)]
    help_ = f"keep one of {quoted(_SELECTORS)}"
    if len(chosen) != 1:
        if chosen:
            message = f"`{chosen[0]}` and `{chosen[1]}` both choose rows"
            context.error(ROW_SELECTION, message, (*at, chosen[1]), help_, on="key")
        else:
            context.error(ROW_SELECTION, "nothing says which rows", at, "add `sample: 32`")
        return False
    if rows.stratify and not rows.sample:
        message = "`stratify` belongs to `sample`"
        context.error(ROW_SELECTION, message, (*at, "stratify"), "delete it, or draw a `sample`", on="key")
        return False
    regression = context.spec.model.task == "regression"
    if regression and (rows.stratify or chosen[0] in ("errors", "borderline")):
        key = "stratify" if rows.stratify else chosen[0]
        message = f"`{key}` chooses rows by their class, and regression has none"
        context.error(NOT_FOR_REGRESSION, message, (*at, key), "use `sample`", on="key")
        return False
    if (rows.stratify or rows.errors) and not context.has_labels(rows.from_):
        key = "stratify" if rows.stratify else "errors"
        message = f"`{key}` needs the labels of the {rows.from_} data"
        context.error(ROW_SELECTION, message, (*at, key), f"name them: `data.{rows.from_}.target`", on="key")
        return False
    return True


def _check_ids(context: Context, ids: list[str | int], file: DataFile, rows: Path_) -> None:
    some, missing = _absent({str(wanted) for wanted in ids}, file)
    before: set[str] = set()
    for index, wanted in enumerate(ids):
        at = (*rows, "ids", index)
        if str(wanted) in missing:
            help_ = f"rows are called {quoted(some)} and so on" if some else "the split is empty"
            context.error(UNKNOWN_ROW, f"no row of `{file.relative}` is called `{shortened(wanted)}`", at, help_)
        elif str(wanted) in before:
            context.error(ROW_SELECTION, f"the row `{shortened(wanted)}` is listed twice", at, "list every row once")
        before.add(str(wanted))


def _absent(wanted: set[str], file: DataFile) -> tuple[list[str], set[str]]:
    """What some rows are called, and what no row is called; nothing where that costs too much, and the run says it."""
    if not file.facts.names_rows:
        called = {str(row) for row in wanted if row.isdecimal() and row == str(int(row)) and int(row) < file.facts.rows}
        return sorted(map(str, range(min(file.facts.rows, 5)))), wanted - called
    if datasets.of_workers_alone(file.path) or file.path.stat().st_size > LARGEST_TABLE:
        return [], set()
    try:
        names = set(map(str, datasets.read_column(file.path, "row_ids", text=True)))
    except DataFileError:
        return [], set()  # complained about where the file is inspected, or when it is run
    return sorted(names)[:5], wanted - names


def _check_target(context: Context) -> None:
    target, at = context.spec.explain.target, ("explain", "target")
    if context.spec.model.task == "regression":
        if context.outputs:
            _check_outputs(context)
        elif target != "predicted":
            context.error(NOT_FOR_REGRESSION, "regression has no target class", at, "delete `target`", on="key")
    elif isinstance(target, str):
        every = context.classes is not None and is_every_class(target, context.classes)
        if not every:
            _check_class(context, target, at)
        elif len(context.classes or ()) > MANY_CLASSES:
            message = f"`all` explains {len(context.classes or ())} classes in every row, and keeps the values of each"
            context.warn(TARGET_LIST, message, at, "list those that matter: `target: [NAME, NAME]`")
    else:
        for index, one in enumerate(target):
            here = (*at, index)
            if one in target[:index]:
                context.error(TARGET_LIST, f"`{shortened(one)}` is listed twice", here, "list every class once")
            elif context.classes is not None and is_every_class(one, context.classes):
                message = "`all` stands in place of a list, not in one"
                context.error(TARGET_LIST, message, here, "write `target: all`, or list the classes")
            else:
                _check_class(context, one, here)


def _check_outputs(context: Context) -> None:
    """Of a regression with several outputs: those that are meant, by name or position."""
    target, at, names = context.spec.explain.target, ("explain", "target"), context.outputs
    here_they_are = f"one of: {quoted(names)}, `all`"
    help_ = f'choose: `explain.target: "{names[-1]}"`, a list, or `all`; of an ONNX file also `model.output: {{select: [0]}}`'
    if target == "predicted" and len(names) == 1:
        return
    if target == "predicted" and target not in names:
        message = f"the model gives {len(names)} values a row, and nothing says which of them is audited"
        said = at in context.document.keys
        context.error(NOT_FOR_REGRESSION, message, at if said else ("model", "task"), help_)
        return
    if isinstance(target, str) and is_every_class(target, names):
        if len(names) > MANY_CLASSES:
            message = f"`all` explains {len(names)} outputs in every row, and keeps the values of each"
            context.warn(TARGET_LIST, message, at, 'list those that matter: `target: ["0", "1"]`')
        return
    listed = [target] if isinstance(target, str) else list(target)
    for index, one in enumerate(listed):
        here = at if isinstance(target, str) else (*at, index)
        if one in listed[:index]:
            context.error(TARGET_LIST, f"`{shortened(one)}` is listed twice", here, "list every output once")
        elif is_every_class(one, names):
            message = "`all` stands in place of a list, not in one"
            context.error(TARGET_LIST, message, here, "write `target: all`, or list the outputs")
        elif one in OF_EACH_ROW and one not in names:
            message = f"`{one}` is a class, and regression has none"
            context.error(NOT_FOR_REGRESSION, message, here, here_they_are)
        elif one not in names:
            message = f"the model has no output `{shortened(one)}`"
            context.error(UNKNOWN_CLASS, message, here, here_they_are)


def _check_class(context: Context, target: str, at: Path_) -> None:
    """One class: of each row's own, or by its name."""
    if target == "label":
        steps = (*context.spec.explain.perturbation, *context.spec.explain.gradient)
        splits = {context.select.from_, *(step.rows.from_ for step in steps if step.rows is not None)}
        for split in sorted(splits):
            if not context.has_labels(split):
                message = f"`label` needs the labels of the {split} data"
                context.error(ROW_SELECTION, message, at, f"name them: `data.{split}.target`")
    elif target != "predicted" and context.classes is not None and target not in context.classes:
        near = nearest(target, [*context.classes, *OF_EACH_ROW, EVERY])
        label = f"did you mean `{near}`?" if near else ""
        help_ = f"one of: `predicted`, `label`, `all`, {quoted(context.classes)}"
        context.error(UNKNOWN_CLASS, f"no class is called `{shortened(target)}`", at, help_, label)
