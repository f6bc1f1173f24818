"""Which column or array holds the labels, and which classes they name."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.authoring.files import Given
from pgx_compiler.authoring.signature import Guess, whole_text
from runtimes.datasets import ColumnFacts

_CALLED_LABEL = re.compile(
    r"(?i)(y|y_true|labels?|targets?|class|classes|outcome|response|ground_?truth|truth|default(ed)?|survived|churn(ed)?)"
)
_ENDS_LIKE_LABEL = re.compile(r"(?i).*_(label|target|class|outcome)")
_MOST_CLASSES = 1000
_MOST_NAMED = 50
"""Different words in a column of labels beside texts."""


@dataclass(frozen=True)
class Labels:
    """The labels of the training data."""

    name: str
    why: str
    values: NDArray[Any]
    in_test: bool
    """Whether the test data have them too."""

    @property
    def are_classes(self) -> bool:
        """Words, or few whole numbers from 0."""
        return bool(_words(self.values)) or _counted(self.values) is not None


def find_labels(given: Given, arrays: dict[str, NDArray[Any]]) -> Labels | None:
    """The column of labels among the training data's `arrays`, or None where nothing looks like one."""
    names = _candidates(given)
    if whole_text(given.model.facts) is not None:  # where texts stand beside labels, words that hardly repeat are texts
        names = [name for name in names if _names_few(arrays[name])]
    guess = _named(names, given) or _left_over(names, given)
    if guess is None:
        return None
    test = given.data.get("test")
    in_test = test is not None and guess.value in [column.name for column in test.facts.columns]
    return Labels(guess.value, guess.why, arrays[guess.value], in_test)


def _candidates(given: Given) -> list[str]:
    """Columns that can hold one label a row and that the model does not read by name."""
    inputs = {tensor.name for one in given.models.values() for tensor in one.facts.inputs}
    return [c.name for c in given.train.facts.columns if c.shape in ((), (1,)) and c.name not in inputs]


def _named(names: Sequence[str], given: Given) -> Guess | None:
    outputs = [tensor.name for one in given.models.values() for tensor in one.facts.outputs]
    for name in outputs:
        if name in names:
            return Guess(name, "called as the model's output")
    for name in names:
        if _CALLED_LABEL.fullmatch(name):
            return Guess(name, "by its name")
    for name in reversed(names):
        if _ENDS_LIKE_LABEL.fullmatch(name):
            return Guess(name, "by its name")
    return None


def _left_over(names: Sequence[str], given: Given) -> Guess | None:
    """The last column that the model has no place for."""
    facts = given.train.facts
    if not facts.tabular:
        return Guess(names[0], "the only array with one value a row") if len(names) == 1 else None
    inputs = given.model.facts.inputs
    if len(inputs) > 1 or whole_text(given.model.facts) is not None:
        return Guess(names[-1], "the last column that the model does not read") if names else None
    read = inputs[0].shape[1] if len(inputs[0].shape) > 1 else None
    if read is not None and len(names) > read:
        return Guess(names[-1], f"the last of {len(names)} columns, of which the model reads {read}")
    return None


def classes_of(values: NDArray[Any] | None, outputs: int) -> tuple[list[str], str]:
    """Names for the model's `outputs` classes, and where they come from; no names where the labels tell none."""
    if values is None:
        return [], f"there are no labels to name the {outputs} classes"
    words = _words(values)
    if words:
        if len(words) == outputs:
            return words, "the labels' words in alphabetical order: is it the order of the model's outputs?"
        return [], f"the labels hold {len(words)} words, and the model gives {outputs} classes"
    counted = _counted(values)
    if counted is None or counted > outputs:
        return [], f"the labels are not the numbers 0 to {outputs - 1}"
    return [str(index) for index in range(outputs)], "the labels' numbers; give them names that a reader understands"


def _words(values: NDArray[Any]) -> list[str]:
    if values.dtype.kind not in "OUS":
        return []
    found = sorted({str(value) for value in values.reshape(-1) if value is not None})
    return found if 2 <= len(found) <= _MOST_CLASSES else []


def _names_few(values: NDArray[Any]) -> bool:
    return values.dtype.kind not in "OUS" or len(set(values.reshape(-1).tolist())) <= _MOST_NAMED


def _counted(values: NDArray[Any]) -> int | None:
    """One more than the largest label, where all are whole numbers from 0."""
    if values.dtype.kind not in "buif":
        return None
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all() or (numbers < 0).any() or (numbers != np.floor(numbers)).any():
        return None
    most = int(numbers.max()) + 1
    return most if most <= _MOST_CLASSES else None


def label_shape(columns: Sequence[ColumnFacts], name: str) -> tuple[int, ...]:
    """The shape of one label."""
    return next(column.shape for column in columns if column.name == name)
