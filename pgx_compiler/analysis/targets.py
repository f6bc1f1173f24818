"""What ``explain.target`` asks for: one class, or several that are explained from the same model rows."""

from collections.abc import Sequence

EVERY = "all"
"""Every class; where a class has this very name, that class."""

OF_EACH_ROW = ("predicted", "label")
"""Words that name a class of each row's own."""

Asked = str | Sequence[str]


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


def target_words(target: str | int, classes: Sequence[str]) -> str:
    """A target as a reader calls it: ``each row's predicted class``, ``class bad``."""
    if isinstance(target, int):
        return f"class {classes[target]}"
    own = {"predicted": "each row's predicted class", "label": "each row's true class"}
    return own.get(target, f"class {target}")
