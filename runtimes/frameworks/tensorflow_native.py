"""The white box: Keras files and SavedModels on TensorFlow, with gradients; training from a file's own declaration."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.capabilities import IDS, Floats, Inputs, Integers, Spent, Trainable, View
from runtimes.formats.batches import Arrays, conform, n_rows, probe, rows_that_fit, slices
from runtimes.formats.embedding_tables import LooksUp
from runtimes.formats.keras_embedding import above, embedded_inputs, has_gradient, looked_up, looked_up_as
from runtimes.formats.keras_facts import (
    Head,
    facts_of,
    head_of,
    inputs_of,
    layers_of,
    position_of,
    require_score,
    starts_below,
)
from runtimes.formats.keras_file import KerasFile, read_keras
from runtimes.formats.keras_layers import LooksInside
from runtimes.formats.keras_relevance import Propagates
from runtimes.formats.keras_runtime import keras, open_for_prediction, tensorflow, without_activation
from runtimes.formats.keras_slopes import chosen_score
from runtimes.formats.keras_training import KerasTrainable
from runtimes.formats.saved_model_facts import end_of, output_position, saved_model_facts
from runtimes.formats.saved_model_file import read_saved_model
from runtimes.formats.saved_model_runtime import above_tables, load_signature, refused
from runtimes.formats.scores import (
    as_columns,
    check_probabilities,
    known_slopes,
    log_odds_of_probabilities,
    log_odds_of_softmax,
    log_of_values,
    two_columns,
)
from runtimes.formats.tf_graph_inside import LooksInsideGraph
from runtimes.formats.tf_graph_relevance import PropagatesThroughSignature
from runtimes.target import ModelFacts, ModelFileError, NoSignatureError, Target, TensorFacts

SAVED_MODEL = ".pb"
"""Suffix of a SavedModel's ``saved_model.pb``."""

TARGET = Target(
    name="tensorflow_native",
    formats=("keras",),
    suffixes=(".keras", ".h5", SAVED_MODEL),
    capabilities=frozenset(
        {"Predictor", "Differentiable", "EmbeddingDifferentiable", "LayerDifferentiable", "Rectified"}
        | {"AttentionReadable"}
        | {"RulePropagating", "Trainable"}
    ),
    distributions=("tensorflow", "keras", "h5py", "numpy"),
    price=2.0,
)

_MOST_ROWS = 1024


def warm_up() -> None:
    """Import what every model needs, and open none: processes are forked from here."""
    tensorflow()
    keras()


def inspect(path: Path, view: View | None = None) -> ModelFacts:
    """Read static facts of a Keras file or SavedModel, as it will answer under a view. Raises `ModelFileError`."""
    if path.suffix.lower() == SAVED_MODEL:
        return saved_model_facts(path, view)
    if view and view.signature:
        raise NoSignatureError(f"`{path.name}` is no SavedModel, and has no signatures", "delete `model.signature`")
    return facts_of(path, view)


def open_model(path: Path, view: View) -> "KerasPredictor | LooksUp":
    """Open a Keras file for one view; the handle is differentiable where all inputs are floats.

    Raises:
        ModelFileError: the file is refused, or cannot give this score.
    """
    if path.suffix.lower() == SAVED_MODEL:
        return _open_saved_model(path, view)
    facts_of(path, view)
    file = read_keras(path, view.powers)
    return handle_of(file, lambda: open_for_prediction(file), view)


def _open_saved_model(path: Path, view: View) -> "KerasPredictor | LooksUp":
    """Open a SavedModel by its signature; its variables stand beside it, or where the view says."""
    facts = saved_model_facts(path, view)
    file = read_saved_model(path, view.powers, view.signature)
    output = output_position(file, view.output)
    end = end_of(file, output)
    head = end.head
    require_score(path, head, view)
    below = head.removable and starts_below(head, view)
    model = load_signature(file, view.adaptation.beside or file.beside, without=end if below else None)
    arguments = (output, view, replace(head, activation="linear") if below else head, head)
    if "Differentiable" not in facts.capabilities:
        return KerasPredictor(model, file.signature.inputs, *arguments)
    if "EmbeddingDifferentiable" in facts.capabilities:
        return above_tables(file, model, lambda callee, inputs: SignaturePredictor(callee, inputs, *arguments))
    handle = SignaturePredictor(model, file.signature.inputs, *arguments)
    try:
        handle.trace()
    # TensorFlow raises whatever the gradient of an operation raises, or LookupError where there is none.
    except Exception as error:
        raise refused(file, error) from error
    return handle


def open_trainable(path: Path) -> Trainable:
    """Open a Keras file to be rebuilt and trained with other settings.

    Raises:
        ModelFileError: the file is refused, or declares no loss and optimizer.
    """
    facts = inspect(path)
    if "Trainable" not in facts.capabilities:
        raise ModelFileError(
            f"`{path.name}` declares no loss and optimizer of Keras' own, or has several outputs",
            "compile the model with a loss and an optimizer before saving it",
        )
    file = read_keras(path)
    return KerasTrainable(file, facts, lambda build, view: _differentiable(file, build, view))


def _differentiable(file: KerasFile, build: Callable[[], Any], view: View) -> Any:
    return handle_of(file, build, view)


def handle_of(
    file: KerasFile, build: Callable[[], Any], view: View, kind: "type[KerasDifferentiable] | None" = None
) -> "KerasPredictor":
    """A handle on a model that ``build`` makes afresh; its last activation may be taken away.

    Of another `kind` where it is given, and the model reads floats.

    Raises:
        ModelFileError: no such output, or it cannot give this score.
    """
    output = position_of(file, view.output)
    head = head_of(file, output)
    require_score(file.path, head, view)
    below = head.removable and starts_below(head, view)
    model = build()
    if below:
        model = without_activation(model, output)
    inputs = inputs_of(file)
    arguments = (output, view, replace(head, activation="linear" if below else head.activation), head)
    embedded = embedded_inputs(file, layers_of(file.config))
    if not has_gradient(inputs, embedded):
        return KerasPredictor(model, inputs, *arguments)
    if embedded:
        return KerasEmbedding(KerasAbove(model, inputs, embedded, *arguments), model, inputs, *arguments)
    return (kind or KerasDifferentiable)(model, inputs, *arguments)


class KerasPredictor:
    """A model in one view; see `runtimes.capabilities.Predictor`."""

    def __init__(
        self, model: Any, inputs: tuple[TensorFacts, ...], output: int, view: View, raw: Head, head: Head
    ) -> None:
        self._model = model
        self._inputs = inputs
        self._output = output
        self._view = view
        self._gives_logits = raw.activation != head.activation or head.activation == "linear"
        self._head = head
        self._fixed = inputs[0].shape[0]
        self.rows_per_call = self._fixed or rows_that_fit(inputs, _MOST_ROWS)
        self.spent = Spent()
        self._forward = self._compiled()

    def _specs(self) -> list[Any]:
        tf = tensorflow()
        dtypes = ["string" if tensor.dtype == "str" else tensor.dtype for tensor in self._inputs]
        return [tf.TensorSpec(tensor.shape, dtype) for tensor, dtype in zip(self._inputs, dtypes, strict=True)]

    def _raw(self, arrays: Any) -> Any:
        """The model's chosen output as ``(rows, columns)``."""
        tf = tensorflow()
        answer = self._model(arrays if len(arrays) > 1 else arrays[0], training=False)
        flat = tf.nest.flatten(answer)[self._output]
        return flat[:, None] if flat.shape.rank == 1 else flat

    def _compiled(self) -> Any:
        tf = tensorflow()
        return tf.function(lambda *arrays: self._raw(list(arrays)), input_signature=self._specs(), autograph=False)

    def predict(self, inputs: Inputs) -> Floats:
        """The view's score, ``(rows, outputs)`` float64.

        Raises:
            ValueError: the rows are not what the model reads.
            ModelFileError: the output is not what the view calls it.
        """
        arrays = conform(inputs, self._inputs)
        rows = n_rows(arrays)
        if rows == 0:
            return self._columns(self._answer(probe(self._inputs)))[:0]
        parts = [self._answer(part)[:real] for part, real in slices(arrays, self.rows_per_call, self._fixed)]
        self.spent.forward += rows
        return self._columns(np.concatenate(parts))

    def _answer(self, arrays: Arrays) -> Floats:
        tf = tensorflow()
        tensors = [tf.constant(array) for array in arrays.values()]
        return as_columns(self._answers(*tensors).numpy(), n_rows(arrays))

    @cached_property
    def _answers(self) -> Any:
        return self._forward.get_concrete_function()

    def _columns(self, raw: Floats) -> Floats:
        score, classifies = self._view.score, self._view.task == "classification"
        if score == "value":
            return raw
        if score == "log_value":
            return raw if self._gives_logits else log_of_values(raw)
        if score == "logit":
            return two_columns(raw, score) if classifies else raw
        exclusive = self._head.activation != "sigmoid"
        if score == "log_odds" and self._gives_logits:
            return log_odds_of_softmax(raw) if exclusive else two_columns(raw, score)
        probabilities = two_columns(raw, "probability")
        check_probabilities(probabilities, sum_to_one=exclusive)
        if score == "probability":
            return probabilities
        return log_odds_of_probabilities(probabilities, exclusive or raw.shape[1] == 1)


class DifferentiablePredictor(KerasPredictor):
    """A model in one view with gradients; see `runtimes.capabilities.Differentiable`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._backward = self._compiled_gradient()

    def trace(self) -> None:
        """Build the graph of the gradient now, so that what has none is known before any row is computed."""
        _ = self._slopes

    @cached_property
    def _slopes(self) -> Any:
        """The graph of the gradient itself: to choose among graphs at each call takes longer than a small model."""
        return self._backward.get_concrete_function()

    def _compiled_gradient(self) -> Any:
        tf = tensorflow()

        def gradient(target: Any, *arrays: Any) -> Any:
            varied = [array for array in arrays if array.dtype.is_floating]
            with tf.GradientTape() as tape:
                tape.watch(varied)
                chosen = self._chosen(self._raw(list(arrays)), target)
            slopes = iter(tape.gradient(chosen, varied, unconnected_gradients=tf.UnconnectedGradients.ZERO))
            return [next(slopes) if array.dtype.is_floating else tf.zeros_like(array) for array in arrays]

        signature = [tf.TensorSpec((None,), "int32"), *self._specs()]
        return tf.function(gradient, input_signature=signature, autograph=False)

    def _chosen(self, raw: Any, target: Any) -> Any:
        """Each row's score of its target column, ``(rows,)``."""
        return chosen_score(raw, target, self._view, self._head.activation, gives_logits=self._gives_logits)

    def gradient(self, inputs: Inputs, target: Integers) -> Mapping[str, Floats]:
        """Compute d score[row, target[row]] / d inputs, float64, each array shaped as its input.

        Raises:
            ValueError: the rows are not what the model reads, or a target is no column of the view.
            ModelFileError: an answer has no logarithm, where that is the score.
        """
        tf = tensorflow()
        arrays = conform(inputs, self._inputs)
        rows = n_rows(arrays)
        columns = np.asarray(target)
        width = self._width()
        if columns.shape != (rows,) or (rows and not 0 <= columns.min() <= columns.max() < width):
            raise ValueError(f"targets must be {rows} column positions from 0 to {width - 1}")
        parts: list[list[Floats]] = [[] for _ in arrays]
        done = 0
        for part, real in slices(arrays, self.rows_per_call, self._fixed):
            wanted = columns[done : done + real]
            if n_rows(part) > real:
                wanted = np.pad(wanted, (0, n_rows(part) - real), "edge")
            tensors = [tf.constant(array) for array in part.values()]
            answer = self._slopes(tf.constant(wanted, "int32"), *tensors)
            for found, slope in zip(parts, answer, strict=True):
                found.append(np.asarray(slope.numpy()[:real], np.float64))
            done += real
        self.spent.backward += rows
        slopes = {
            name: _joined(found) if found else np.zeros(arrays[name].shape)
            for name, found in zip(arrays, parts, strict=True)
        }
        return known_slopes(slopes) if self._view.score == "log_value" and not self._gives_logits else slopes

    def _width(self) -> int:
        return self._columns_of_view

    @cached_property
    def _columns_of_view(self) -> int:
        shape = self._answers.structured_outputs.shape
        width = int(np.prod([size or 1 for size in shape[1:]]))
        return 2 if width == 1 and self._view.score != "value" and self._view.task == "classification" else width


def _joined(parts: list[Floats]) -> Floats:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class SignaturePredictor(DifferentiablePredictor, LooksInsideGraph, PropagatesThroughSignature):
    """A SavedModel in one view with gradients, that can be looked into."""


class KerasDifferentiable(DifferentiablePredictor, LooksInside, Propagates):
    """A Keras model in one view with gradients, that can be looked into."""


class KerasAbove(KerasDifferentiable):
    """A model above its embedding layers: reads what they give, and the ids, of which masks are made."""

    def __init__(
        self, model: Any, inputs: tuple[TensorFacts, ...], embedded: Mapping[str, tuple[str, ...]], *arguments: Any
    ) -> None:
        self._below = [tensor.name for tensor in inputs]
        self.embedded = embedded
        super().__init__(model, above(inputs, embedded, model), *arguments)

    def _raw(self, arrays: Any) -> Any:
        given = dict(zip([tensor.name for tensor in self._inputs], arrays, strict=True))
        with looked_up_as(self._model, self.embedded, given):
            return super()._raw([given[f"{name}{IDS}" if name in self.embedded else name] for name in self._below])


class KerasEmbedding(KerasPredictor, LooksInside):
    """A model that looks up ids, in one view; see `runtimes.capabilities.EmbeddingDifferentiable`."""

    def __init__(self, above: KerasAbove, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.above = above
        self.above.spent = self.spent

    def _chosen(self, raw: Any, target: Any) -> Any:
        return self.above._chosen(raw, target)

    def _width(self) -> int:
        return self.above._width()

    def embed(self, inputs: Inputs) -> Inputs:
        """Look up the ids of each row; see `runtimes.capabilities.EmbeddingDifferentiable`.

        Raises:
            ValueError: the rows are not what the model reads, or an id is none of the table's.
        """
        found: dict[str, Any] = {}
        for name, array in conform(inputs, self._inputs).items():
            if name not in self.above.embedded:
                found[name] = array
                continue
            ids = array.astype(np.int64)
            tables = [self._model.get_layer(layer) for layer in self.above.embedded[name]]
            for table in tables:
                if ids.size and not 0 <= ids.min() <= ids.max() < table.input_dim:
                    raise ValueError(f"`{name}` holds ids beyond the {table.input_dim} that the model knows")
            found[name] = np.concatenate([looked_up(table, ids) for table in tables], axis=-1)
            found[f"{name}{IDS}"] = array
        return found

    def gradient(self, inputs: Inputs, target: Integers) -> Mapping[str, Floats]:
        """Compute d score[row, target[row]] / d what each id stands for, summed over its axes: shaped as the inputs.

        Raises:
            ValueError: the rows are not what the model reads, or a target is no column of the view.
        """
        return self._summed(self.above.gradient(self.embed(inputs), target), inputs)

    def rectified_gradient(self, inputs: Inputs, target: Integers, rule: str) -> Mapping[str, Floats]:
        """As `gradient`, with another rule backwards through each ReLU; see `runtimes.capabilities.Rectified`.

        Raises:
            ValueError: the rows are not what the model reads, a target is no column, or there is no such rule.
        """
        return self._summed(self.above.rectified_gradient(self.embed(inputs), target, rule), inputs)

    def _summed(self, slopes: Mapping[str, Floats], inputs: Inputs) -> dict[str, Floats]:
        return {name: slopes[name].sum(axis=-1) if name in self.above.embedded else slopes[name] for name in inputs}
