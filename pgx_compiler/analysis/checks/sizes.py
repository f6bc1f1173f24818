"""Are there enough rows and features for what is asked?"""

from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import ResolvedStep
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.methods.precaution._thresholds import THRESHOLDS
from pgx_compiler.spec.model import ExplainStep

TOO_SMALL = Code(
    4050,
    "too-small",
    "There are fewer features or rows than the step compares: `k` is larger than the number of features, or an"
    " agreement rests on fewer than two features (an error) or two rows (a warning). A precaution has a least number of"
    " rows, below which it says `unknown` (a warning); a stratified sample needs a row for each class (a warning).",
)


def check_sizes(context: Context) -> None:
    """Hold the parameters of the judging steps against the number of features and rows."""
    _check_sample(context)
    for step in context.steps:
        if step.stage == "precaution":
            _check_precaution(context, step)
    if context.features is None:
        return
    n = min([len(context.features), *(len(ground.features) for ground in context.grounds.values())])
    for step in context.steps:
        if step.stage != "agreement":
            continue
        k = getattr(step.params, "k", None)
        if isinstance(k, int) and k > n:
            given = (*step.path, "with", "k")
            message = f"`k` is {k}, and there are {n} features"
            context.error(TOO_SMALL, message, given, f"at most {n}")
        if n < 2:
            message = f"`{step.id}` compares rankings, and there is one feature"
            context.error(TOO_SMALL, message, (*step.path, "use"), "explain more features, or delete this step")
        elif context.rows == 1:
            message = f"`{step.id}` will rest on a single row"
            context.warn(TOO_SMALL, message, (*step.path, "use"), "explain more rows")


def _check_sample(context: Context) -> None:
    classes = context.classes
    own = [(one.step.rows, (*one.path, "rows")) for one in context.explaining if isinstance(one.step, ExplainStep)]
    for rows, at in [(context.select, context.at_common("rows")), *own]:
        if rows and rows.stratify and rows.sample and classes and rows.sample < len(classes):
            message = f"{rows.sample} rows cannot be drawn from each of {len(classes)} classes"
            context.warn(TOO_SMALL, message, (*at, "sample"), f"draw at least {len(classes)}")


def _check_precaution(context: Context, step: ResolvedStep) -> None:
    """Say where the data has fewer rows than the step needs before it settles anything."""
    statistic = getattr(step.params, "statistic", None)
    names = [f"{step.declaration.name}.{statistic}.min_rows", f"{step.declaration.name}.min_rows"]
    limit = next((THRESHOLDS[name] for name in names if name in THRESHOLDS), None)
    rows = {split: file.facts.rows for split, file in context.data.items()}
    if limit is None or not rows or limit.unit not in ("rows", "rows per split"):
        return
    least = getattr(step.params, "min_rows", None) or limit.value
    smallest = min(rows, key=rows.__getitem__) if limit.unit == "rows per split" else max(rows, key=rows.__getitem__)
    if rows[smallest] < least:
        message = f"`{step.id}` settles nothing below {least:g} rows, and the {smallest} data has {rows[smallest]}"
        help_ = "what it looks for will read `unknown`: give more rows, or delete this step"
        if statistic is not None:
            help_ += "; another `statistic` may need fewer"
        context.warn(TOO_SMALL, message, (*step.path, "use"), help_)
