"""How a label of the data stands for a class: one rule for the check and for the run."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def class_names(values: Iterable[Any], classes: Sequence[str]) -> list[str]:
    """Labels as classes would be named, where they are not classes as they stand."""
    return [value if isinstance(value, str) and value in classes else class_name(value) for value in values]


def class_name(value: Any) -> str:
    """A label as a class would be named: the whole number 1.0 is ``1``, also where a table writes it so."""
    if isinstance(value, str):
        whole = None if value.isdigit() else position_of(value)
        return value if whole is None else str(whole)
    return str(int(value)) if value == int(value) else f"{value:g}"


def position_of(name: str) -> int | None:
    """The whole number that a label is, or None."""
    try:
        number = float(name)
    except ValueError:
        return None
    return int(number) if np.isfinite(number) and number == int(number) else None
