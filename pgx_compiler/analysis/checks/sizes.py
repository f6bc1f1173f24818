"""Are there enough rows and features for what is asked?"""

from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code

TOO_SMALL = Code(
    4050,
    "too-small",
    "There are fewer features or rows than the step compares: `k` is larger than the number of features, or an"
    " agreement rests on fewer than two features (an error) or two rows (a warning).",
)


def check_sizes(context: Context) -> None:
    """Hold the parameters of the judging steps against the number of features and rows."""
    if context.features is None:
        return
    n = len(context.features)
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
