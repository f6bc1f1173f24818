"""What ``explain.target`` asks for: one class (of a regression, output), or several at once."""

from collections.abc import Sequence

from pgx_compiler.spec.model import Model, OutputSpec

EVERY = "all"
"""Every class; where a class has this very name, that class."""

OF_EACH_ROW = ("predicted", "label")
"""Words that name a class of each row's own."""

Asked = str | Sequence[str]


def outputs_of_regression(model: Model, n: int) -> tuple[str, ...]:
    """What the columns of a regression are called: as the spec says, else by position in the file's own output.

    Nothing where there is a single one that needs no name, and of a classification, which has classes.
    """
    if model.task != "regression":
        return ()
    said = model.output if isinstance(model.output, OutputSpec) else OutputSpec()
    if said.names and len(said.names) == n:
        return tuple(said.names)
    if said.select and len(said.select) == 1 and said.reduce is None:
        (picked,) = said.select
        places = [picked] if isinstance(picked, int) else picked if isinstance(picked, list) else []
        if len(places) == n and min(places) >= 0:
            return tuple(map(str, places))
    return tuple(map(str, range(n))) if n > 1 else ()


def primary_target(asked: Asked, classes: Sequence[str]) -> str:
    """The target that is compared, judged and drawn: the first of several; of all classes the predicted one."""
    if not isinstance(asked, str):
        return asked[0]
    return "predicted" if is_every_class(asked, classes) else asked


def all_targets(asked: Asked, classes: Sequence[str]) -> tuple[str | int, ...]:
    """The targets where they are several, each a position of a class or a word of `OF_EACH_ROW`; empty where it is one."""
    if isinstance(asked, str):
        return tuple(range(len(classes))) if is_every_class(asked, classes) and len(classes) > 1 else ()
    if len(asked) < 2:
        return ()
    return tuple(one if one in OF_EACH_ROW else list(classes).index(one) for one in asked)


def is_every_class(asked: str, classes: Sequence[str]) -> bool:
    """Whether the word asks for every class."""
    return asked == EVERY and EVERY not in classes


def target_name(target: str | int, classes: Sequence[str]) -> str:
    """A target as the head of a column: ``bad``, ``each row's predicted class``."""
    return classes[target] if isinstance(target, int) else target_words(target, classes)


def output_words(name: str) -> str:
    """An output of a regression with several as a reader calls it: ``output 1``."""
    return f"output {name}"


def target_words(target: str | int, classes: Sequence[str]) -> str:
    """A target as a reader calls it: ``each row's predicted class``, ``class bad``."""
    if isinstance(target, int):
        return f"class {classes[target]}"
    own = {"predicted": "each row's predicted class", "label": "each row's true class"}
    return own.get(target, f"class {target}")
