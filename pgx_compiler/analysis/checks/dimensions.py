"""Does a searched dimension have one sound distribution, of the kind that the Keras file declares?"""

from typing import Any

from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.spec.search import Dimension
from pgx_compiler.spec.source import Path_

BAD_DIMENSION = Code(
    4072,
    "bad-dimension",
    "A dimension is exactly one of `uniform: [low, high]`, `loguniform: [low, high]` (both above 0, in natural units),"
    " `quniform: [low, high, step]` (the step divides the range) and `choice: [...]`, of the kind that the file"
    " declares: whole numbers where it has a whole number, words where it has a word.",
)

_KINDS = ("uniform", "loguniform", "quniform", "choice")


def check_dimension(context: Context, address: str, dimension: Dimension, declared: Any, at: Path_) -> None:
    """Check one dimension against the value that the file declares at its address."""
    given = [kind for kind in _KINDS if getattr(dimension, kind) is not None]
    if len(given) != 1:
        both = f"`{given[0]}` and `{given[1]}` both say" if given else "nothing says"
        message = f"{both} how the value is drawn"
        context.error(BAD_DIMENSION, message, at, "give one of `uniform`, `loguniform`, `quniform`, `choice`")
        return
    kind = given[0]
    where = (*at, kind)
    if kind == "choice":
        _check_choice(context, dimension.choice or [], declared, where)
        return
    wrong = _wrong_range(kind, getattr(dimension, kind))
    if wrong:
        context.error(BAD_DIMENSION, wrong[0], where, wrong[1])
    elif isinstance(declared, bool) or not isinstance(declared, int | float):
        message = f"`{address}` is {_kind_of(declared)} in the file ({declared!r}), not a number"
        context.error(BAD_DIMENSION, message, where, "use `choice`")
    elif isinstance(declared, int):
        values = getattr(dimension, kind)
        if kind != "quniform" or any(float(value) != int(value) for value in values):
            message = f"`{address}` is a whole number in the file ({declared})"
            context.error(
                BAD_DIMENSION, message, where, "use `quniform: [low, high, 1]` with whole numbers, or `choice`"
            )


MOST_STEPS = 2**53
"""More than this many places of a grid cannot be told apart as numbers."""


def _wrong_range(kind: str, values: list[int | float]) -> tuple[str, str] | None:
    low, high = values[0], values[1]
    if low >= high:
        return f"the range from {low} to {high} is empty", "write the smaller number first"
    if kind == "loguniform" and low <= 0:
        return f"a logarithmic range cannot start at {low}", "start above 0, or use `uniform`"
    if kind == "quniform":
        step = values[2]
        if step <= 0:
            return f"a step of {step} leads nowhere", "give a step above 0"
        steps = (high - low) / step
        if steps > MOST_STEPS:
            return f"from {low} to {high} there are too many steps of {step}", "give a larger step, or use `uniform`"
        if abs(steps - round(steps)) > 1e-9 * max(1.0, steps) or round(steps) < 1:
            return f"steps of {step} do not lead from {low} to {high}", "give a step that divides the range"
    return None


def _check_choice(context: Context, values: list[Any], declared: Any, at: Path_) -> None:
    before: set[tuple[type, Any]] = set()
    for index, value in enumerate(values):
        if (type(value), value) in before:
            context.error(BAD_DIMENSION, f"`{value}` is listed twice", (*at, index), "list every value once")
        elif not _alike(value, declared):
            message = f"`{value}` is {_kind_of(value)}, and the file declares {_kind_of(declared)} ({declared!r})"
            context.error(BAD_DIMENSION, message, (*at, index), f"give {_kind_of(declared)}")
        before.add((type(value), value))


def _alike(value: Any, declared: Any) -> bool:
    if declared is None or value is None:
        return True
    if isinstance(declared, bool) or isinstance(value, bool):
        return isinstance(declared, bool) and isinstance(value, bool)
    if isinstance(declared, float):
        return isinstance(value, int | float)
    return isinstance(value, type(declared))


def _kind_of(value: Any) -> str:
    kinds = ((bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "a word"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "empty" if value is None else "a list")
