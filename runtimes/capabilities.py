"""What a model handle can be asked for, as protocols, and the shapes of every call.

A method names the least that it needs as the type of its first argument; the planner looks for a runtime that
offers it. Every handle is opened for one *view*: one output of the model, in one score. Rows are on axis 0.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from runtimes.adaptation import Adaptation
from runtimes.powers import NO_POWERS, Powers

Inputs = Mapping[str, NDArray[Any]]
"""The model's input names in order, each with an array ``(rows, *feature shape)`` in the model's own dtype."""

Owners = Mapping[str, NDArray[np.int64]]
"""By input name, the feature that each element belongs to; -1: to none."""

IDS = ".ids"
"""What is added to an input's name for its ids, beside what they were looked up as."""

InputName = Annotated[str, "the name of an input"]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Scores = Annotated[Floats, "scores of the view"]
"""``(rows, outputs)``. These types say to whoever stands between an audit and a handle what is to be translated."""

SCORES = ("logit", "probability", "log_odds", "value", "log_value")
"""What can be explained. ``logit``: the value below the model's final softmax or sigmoid. ``probability``: what
the model's output says. ``log_odds``: ln(p / (1 - p)) of a probability. ``value``: a regression output as it is.
``log_value``: its natural logarithm, the value below a final exponential where there is one."""


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
    adaptation: Adaptation = field(default_factory=Adaptation)
    """What is done to the file's own signature; only ONNX files have any."""
    powers: Powers = NO_POWERS
    """What a person has trusted this file to do beyond the lists of what is allowed."""
    signature: str = ""
    """Of a SavedModel: the signature to call; empty: the default, or the only one."""


@dataclass
class Spent:
    """Model rows that a handle has computed since it was opened."""

    forward: int = 0
    """Rows of forward passes."""
    backward: int = 0
    """Rows of gradients (each includes its forward pass)."""
    halved: int = 0
    """How often a call was halved because memory did not suffice."""


@runtime_checkable
class Predictor(Protocol):
    """A black box: rows in, scores out."""

    rows_per_call: int
    """How many rows one call should hold; methods batch to it."""
    spent: Spent

    def predict(self, inputs: Inputs) -> Scores:
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


@runtime_checkable
class EmbeddingDifferentiable(Differentiable, Protocol):
    """A white box some of whose inputs are ids, looked up in a table: it can be differentiated by what they stand for.

    `gradient` gives for such an input the sum over the axes of what was looked up, shaped as the ids. What multiplies
    gradients with inputs, or integrates them along a path, works `above` instead.
    """

    above: Differentiable
    """The same view of the model above its tables; counts into the same `spent`."""

    def embed(self, inputs: Inputs) -> Inputs:
        """Return what `above` reads: each looked-up input as floats with one axis more, and its ids under `IDS`."""
        ...


@dataclass(frozen=True)
class LayerShape:
    """One layer of a network, in the order of computation."""

    name: str
    kind: str
    """Class name in the framework's words: ``Conv2D``."""
    shape: tuple[int | None, ...]
    """Of its output, without the row axis; channels last."""


@runtime_checkable
class LayerDifferentiable(Differentiable, Protocol):
    """A white box that can be looked into, layer by layer."""

    layers: Sequence[LayerShape]
    """Layers with one output, that can be asked for by name; those of nested models as ``outer/inner``."""

    def activations(self, inputs: Inputs, layer: str) -> Floats:
        """Return what a layer gives, ``(rows, *layer shape)`` float64. Batched inside. Counts as forward rows."""
        ...

    def layer_gradient(self, inputs: Inputs, target: Integers, layer: str) -> tuple[Floats, Floats]:
        """Return a layer's activations and d score[row, target[row]] / d activations, ``(rows, *layer shape)`` each.

        Batched inside. Counts as backward rows.
        """
        ...


@runtime_checkable
class Rectified(LayerDifferentiable, Protocol):
    """A white box with rectifiers (ReLU), whose gradient can be taken by another rule backwards through each of them."""

    def rectified_gradient(self, inputs: Inputs, target: Integers, rule: str) -> Inputs:
        """Return what `gradient` would, with a rule for each ReLU instead of its own slope. Counts as backward rows.

        ``guided``: what is positive, where the unit was active. ``deconvolution``: what is positive, wherever it was.
        """
        ...


@runtime_checkable
class TfExplained(LayerDifferentiable, Protocol):
    """A white box that the library tf-explain can be run on: the numbers behind its pictures, by its own functions.

    s is what the view gives for target[row], x the row, g a slope of s. Each row is computed by itself.
    """

    def tf_explain_gradient(self, inputs: Inputs, target: Integers) -> Inputs:
        """Return ds/dx (its ``VanillaGradients``), float64, each array shaped as its input. Counts as backward rows."""
        ...

    def tf_explain_path(self, inputs: Inputs, target: Integers, steps: int) -> Inputs:
        """Return the mean of ds/dx at x k / (steps - 1), k from 0 to steps - 1 (its ``IntegratedGradients``).

        Counts ``steps`` backward rows for each row.
        """
        ...

    def tf_explain_cam(self, inputs: Inputs, target: Integers, layer: str, guided: bool) -> Floats:
        """Return sum_k a_k mean(g_k) for the channels a_k of a layer (its ``GradCAM``), ``(rows, *places)``.

        ``guided``: g_k is set to zero where it or a_k is not positive, before its mean. Counts as backward rows.

        Raises:
            ValueError: tf-explain cannot look into that layer; a sentence for the author.
        """
        ...


@runtime_checkable
class AttentionReadable(LayerDifferentiable, Protocol):
    """A white box with layers of attention, that say what each position looks at."""

    def attention(self, inputs: Inputs) -> Mapping[str, Floats]:
        """Return, by layer in the order of computation, ``(rows, heads, position, position looked at)``.

        Each position's shares add up to one. Counts as forward rows.
        """
        ...


RULES: Mapping[str, str] = {
    "epsilon": "R_i = sum_j x_i w_ij / (z_j + epsilon sign z_j) R_j, z_j = sum_i x_i w_ij + b_j",
    "gamma": "R_i = sum_j (z_ij + gamma z_ij^s) / (z_j + gamma z_j^s) R_j, z_ij = x_i w_ij, ^s: what has the sign of z_j",
    "alpha_beta": "R_i = sum_j (alpha z_ij^+ / z_j^+ - beta z_ij^- / z_j^-) R_j, biases in z_j by their sign",
    "box": "R_i = sum_j (x_i w_ij - low_i w_ij^+ - high_i w_ij^-) / (the same, summed over i) R_j",
    "flat": "R_i = sum_j 1 / (number of inputs of j) R_j",
    "w_squared": "R_i = sum_j w_ij^2 / (sum_i w_ij^2) R_j",
}
"""What each rule of `Rule.name` does to one weighted sum; denominators are kept ``epsilon`` away from zero."""


@dataclass(frozen=True)
class Rule:
    """How relevance goes from the outputs of a weighted sum to its inputs: data, to be held against its equation."""

    name: str
    """One of `RULES`."""
    epsilon: float = 1e-6
    gamma: float = 0.25
    alpha: float = 2.0
    beta: float = 1.0
    biases: bool = True
    """Whether biases b_j take part in denominators, and so absorb their share; False: relevance is conserved."""


Rules = tuple[tuple[str, Rule], ...]
"""Place and rule: the first whose place fits a layer is applied. A place is a layer's name, ``first`` (it reads an input
as it is, or moved and rescaled at most; known where the call says what inputs may be), ``first_convolution``, its kind
(``Conv2D``), ``convolution``, or ``any``."""


@runtime_checkable
class RulePropagating(Differentiable, Protocol):
    """A white box that a score can be traced back through layer by layer, by rules other than the chain rule."""

    def relevance(
        self, inputs: Inputs, target: Integers, rules: Rules, low: Inputs | None = None, high: Inputs | None = None
    ) -> Inputs:
        """Return what each element is owed of score[row, target[row]], float64, each array shaped as its input.

        ``low`` and ``high``, shaped as the inputs, are what the elements may be: the rule ``box`` needs them. Counts as
        backward rows. Raises ValueError where the score is not itself a sum (a probability of several classes).
        """
        ...

    def rescaled_contributions(self, inputs: Inputs, references: Inputs, target: Integers) -> Inputs:
        """Return contributions to score[row] - score[reference], float64, by DeepLIFT's rescale rule; both shaped alike.

        Counts a forward row (the reference) and a backward row for each pair.
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
    input_name: InputName
    """The single input, ``(rows, columns)``, that the trees read."""


@runtime_checkable
class LinearModel(Predictor, Protocol):
    """A model that is affine in this view: score = columns @ coefficients + intercept."""

    coefficients: Floats
    """``(columns, outputs)``."""
    intercept: Floats
    """``(outputs,)``."""
    input_name: InputName
    """The single input, ``(rows, columns)``."""


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


class Coalitions(Protocol):
    """Scores of the rows that masks ``(n, features)`` make of one row and its references."""

    def takes(self, masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which masks, ``(n,)``, are answered here for less than `predict` needs."""
        ...

    def scores(self, masks: NDArray[np.bool_]) -> Scores:
        """Return ``(n * references, outputs)`` float64, references fastest, for masks that are taken (batched inside).

        Counts each of these rows as a forward row, however little of it had to be computed.
        """
        ...


@runtime_checkable
class Composer(Predictor, Protocol):
    """A black box that makes perturbed rows itself, where that costs less than to be handed them.

    No method asks for it by name: the game of a row uses it where a handle offers it.
    """

    def coalitions(self, row: Inputs, references: Inputs, owners: Owners) -> Coalitions | None:
        """Return a way to score coalitions of features of one row, or None where composed rows cost no more.

        A mask takes each element from ``row (1, *feature shape)`` where its owner is present, else from ``references
        (references, *feature shape)``; elements of owner -1 always from the row. The scores are those that `predict`
        gives for the composed rows, within the rounding of another order of summation.
        """
        ...


CAPABILITIES: Mapping[str, type] = {
    "Predictor": Predictor,
    "Differentiable": Differentiable,
    "EmbeddingDifferentiable": EmbeddingDifferentiable,
    "LayerDifferentiable": LayerDifferentiable,
    "Rectified": Rectified,
    "TfExplained": TfExplained,
    "AttentionReadable": AttentionReadable,
    "RulePropagating": RulePropagating,
    "TreeEnsemble": TreeEnsemble,
    "LinearModel": LinearModel,
    "Trainable": Trainable,
}
