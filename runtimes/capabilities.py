"""What a model handle can be asked for, as protocols, and the shapes of every call.

A method names the least that it needs as the type of its first argument; the planner looks for a runtime that
offers it. Every handle is opened for one *view*: one output of the model, in one score. Rows are on axis 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Inputs = Mapping[str, NDArray[Any]]
"""The model's input names in order, each with an array ``(rows, *feature shape)`` in the model's own dtype."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SCORES = ("logit", "probability", "log_odds", "value")
"""What can be explained. ``logit``: the value below the model's final softmax or sigmoid. ``probability``: what
the model's output says. ``log_odds``: ln(p / (1 - p)) of a probability. ``value``: a regression output as it is."""


@dataclass(frozen=True)
class View:
    """One way to look at a model: which output, in which score.

    A binary classifier with a single output column p is seen as two columns: probability ``[1 - p, p]``,
    logit ``[-z, z]``; so that every classifier has one column for each class.
    """

    score: str
    """One of `SCORES`."""
    task: str = "classification"
    """``classification`` or ``regression``."""
    output: str | int | None = None
    """The output's name or position, where the model has several; None: the only one, or the one with scores."""


@dataclass
class Spent:
    """Model rows that a handle has computed since it was opened."""

    forward: int = 0
    """Rows of forward passes."""
    backward: int = 0
    """Rows of gradients (each includes its forward pass)."""


@runtime_checkable
class Predictor(Protocol):
    """A black box: rows in, scores out."""

    rows_per_call: int
    """How many rows one call should hold; methods batch to it."""
    spent: Spent

    def predict(self, inputs: Inputs) -> Floats:
        """Return the view's score, ``(rows, outputs)`` float64, for any number of rows (batched inside)."""
        ...


@runtime_checkable
class Differentiable(Predictor, Protocol):
    """A white box: also the gradient of one output for each row."""

    def gradient(self, inputs: Inputs, target: Integers) -> Inputs:
        """Return d score[row, target[row]] / d inputs, float64, each array shaped as its input.

        ``target`` is ``(rows,)``, the output column of each row. Batched inside.
        """
        ...


@dataclass(frozen=True)
class Tree:
    """One decision tree as arrays over its nodes; node 0 is the root. A leaf has ``feature == -1``.

    A row goes to ``left`` where ``x[feature] <= threshold`` (float32 comparison where the file is float32), NaN
    to ``left`` where ``missing_left``.
    """

    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    missing_left: NDArray[np.bool_]
    values: Floats
    """``(nodes, outputs)``: what a leaf adds to each output's score; zero at inner nodes."""


@runtime_checkable
class TreeEnsemble(Predictor, Protocol):
    """A sum of decision trees: score = base + sum of one leaf of each tree, exactly additive in this view."""

    trees: Sequence[Tree]
    base: Floats
    """``(outputs,)``: the score before any tree is added."""
    input_name: str
    """The single input, ``(rows, columns)``, that the trees read."""


@dataclass(frozen=True)
class Labelled:
    """Rows with what they should give."""

    inputs: Inputs
    labels: NDArray[Any]
    """``(rows,)``: class positions (int64) or regression values (float64)."""


@dataclass(frozen=True)
class Recipe:
    """How a candidate differs from the model file: the addresses are those of `ModelFacts.tunables`."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """``layers.<layer name>.<field>``, ``optimizer.<field>``, ``fit.<field>`` to a plain value."""
    epochs: int = 5
    batch_size: int = 32


@dataclass(frozen=True)
class Trained:
    """A candidate after training."""

    open_view: Callable[[View], Differentiable]
    validation: Mapping[str, float]
    """``loss`` and the file's own metrics on the validation rows after the last epoch."""
    history: Sequence[Mapping[str, float]]
    """For each epoch: ``loss``, ``validation_loss`` and the metrics."""
    parameters: int


@runtime_checkable
class Trainable(Protocol):
    """Can be rebuilt from its own declaration with other settings, and trained from scratch."""

    def train(
        self,
        recipe: Recipe,
        train: Labelled,
        validation: Labelled,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Trained:
        """Build, train and validate one candidate; same seed, same bytes. ``progress(epochs done, epochs)``."""
        ...


CAPABILITIES: Mapping[str, type] = {
    "Predictor": Predictor,
    "Differentiable": Differentiable,
    "TreeEnsemble": TreeEnsemble,
    "Trainable": Trainable,
}
