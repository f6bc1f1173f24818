"""Which quantity is explained, and can every file give it?"""

from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import quoted

IMPOSSIBLE_SCORE = Code(
    4005,
    "impossible-score",
    "`explain.score` is the quantity that is explained. A file can give a logit only where the value below its final"
    " activation can be reached, `value` only for regression, and `log_value` only where values are above 0. Every file of"
    " the audit must be able to give it.",
)

_BY_TASK = {"classification": ("logit", "log_odds", "probability"), "regression": ("value", "log_value")}
"""In the order in which a default is looked for."""

_LINKS = ("logistic", "sigmoid", "softmax")


def check_score(context: Context) -> None:
    """Settle the score: the one asked for, or the default."""
    if not context.models_known:
        return
    task, asked = context.spec.model.task, context.spec.explain.score
    common = set(_BY_TASK[task])
    for file in context.models.values():
        common &= file.facts.scores
    possible = [score for score in _BY_TASK[task] if score in common]
    if not possible:
        gives = {score for file in context.models.values() for score in file.facts.scores}
        message = f"no score for {task} can be had from the model; it gives {', '.join(sorted(gives)) or 'none'}"
        context.error(IMPOSSIBLE_SCORE, message, ("model", "task"), "check `model.task` and the files' last layer")
    elif asked is None:
        context.score = _default(context, possible)
    elif asked in possible:
        context.score = asked
    else:
        refusing = [format_ for format_, file in context.models.items() if asked not in file.facts.scores]
        who = f"the {refusing[0]} file cannot give" if refusing else f"{task} does not explain"
        message = f"{who} the score `{asked}`"
        help_ = f"possible here: {quoted(possible)}"
        if asked == "log_value" and task == "regression":
            help_ += "; a logarithm needs amounts that are above 0 always, as an exponential at the end gives them"
        context.error(IMPOSSIBLE_SCORE, message, ("explain", "score"), help_)


def _default(context: Context, possible: list[str]) -> str:
    """Trees are explained where they add up: in log-odds below a link, else in what they give."""
    for file in context.models.values():
        if file.facts.structure == "tree_ensemble":
            wanted = "log_odds" if file.facts.activation in _LINKS else "probability"
            return wanted if wanted in possible else possible[0]
    return possible[0]
