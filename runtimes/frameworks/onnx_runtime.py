"""The black box: ONNX files on ONNX Runtime's CPU provider, one thread, one session for each handle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Coalitions, Floats, Inputs, Spent, Tree, View
from runtimes.formats.batches import conform, n_rows, probe, rows_that_fit, slices
from runtimes.formats.calls import in_calls, is_of_memory
from runtimes.formats.onnx_classifiers import with_logits
from runtimes.formats.onnx_composing import Composing
from runtimes.formats.onnx_external import has_external_data
from runtimes.formats.onnx_facts import (
    additive_scores,
    ensemble_of,
    facts_of,
    inferred_shapes,
    scores_of,
    seen_through,
    widest_row,
)
from runtimes.formats.onnx_file import Tail, inputs_of, read_model, tail_of
from runtimes.formats.onnx_inputs import adapted_inputs
from runtimes.formats.onnx_linear import Affine, read_linear
from runtimes.formats.onnx_locales import is_of_locale, with_known_locale
from runtimes.formats.onnx_logs import with_logs
from runtimes.formats.onnx_outputs import rows_of_output, with_rows_joined
from runtimes.formats.onnx_trees import Ensemble
from runtimes.formats.scores import (
    SUM_TOLERANCE,
    as_columns,
    check_probabilities,
    log_odds_of_probabilities,
    log_odds_of_softmax,
    log_of_values,
    sigmoid,
    softmax,
    two_columns,
)
from runtimes.target import ModelFacts, ModelFileError, Target, TensorFacts

TARGET = Target(
    name="onnx_runtime",
    formats=("onnx",),
    suffixes=(".onnx",),
    capabilities=frozenset({"Predictor", "TreeEnsemble", "LinearModel"}),
    distributions=("onnxruntime", "onnx", "numpy"),
    price=1.0,
)

_MOST_ROWS = 4096
"""A call's own cost (about 20 microseconds) no longer shows above this many rows, however small they are."""


def warm_up() -> None:
    """Import what every model needs, and open none: processes are forked from here."""
    import onnx
    import onnxruntime

    del onnx, onnxruntime


def inspect(path: Path, view: View | None = None) -> ModelFacts:
    """Read static facts of an ONNX file, as it will answer under a view. Raises `ModelFileError`."""
    return facts_of(path, view)


def open_model(path: Path, view: View) -> "OnnxPredictor":
    """Open an ONNX file for one view; a tree ensemble's handle also has its trees where they add up.

    Raises:
        ModelFileError: the file is refused, or cannot give this score.
    """
    asked = view.adaptation
    model, inputs, setting = reading_of(path, view)
    tail, ensemble = setting.tail, setting.ensemble
    session = session_of(path, exposing(model, setting))
    if ensemble is not None and view.score in additive_scores(ensemble):
        return OnnxTreeEnsemble(session, inputs, setting)
    affine = None if asked.shapes_output else read_linear(model, tail)
    if affine is not None and view.score in affine.scores:
        return OnnxLinearModel(session, inputs, setting, affine)
    handle = OnnxPredictor(session, inputs, setting)

    def again() -> Any:
        # Read anew where a game wants it: most handles never need a second copy of the weights.
        return exposing(_graph_of(path, view), setting)

    if setting.rows is None:  # else no call may hold another number of rows
        handle.composing = Composing(again, lambda part: session_of(path, part), handle)
    return handle


@dataclass(frozen=True)
class Setting:
    """What a view of a file is made of."""

    view: View
    tail: Tail
    raw: str
    """What the session answers: ``logit`` (of an Exp too: what is below), ``scores``, or ``trees`` (an ensemble without its post transform)."""
    ensemble: Ensemble | None
    rows: int | None = None
    """How many rows every call holds; None: any number."""
    widest: int = 0
    """Bytes of one row of the widest tensor; 0 where it is not known."""


def reading_of(path: Path, view: View) -> tuple[Any, tuple[TensorFacts, ...], Setting]:
    """A file's graph with its inputs adapted, the inputs that the data gives, and what a view of it is made of.

    Raises:
        ModelFileError: the file is refused, or cannot give this score.
    """
    asked = view.adaptation
    model = _graph_of(path, view)
    shapes = inferred_shapes(model)
    tail = tail_of(path, model, view.output)
    ensemble = None if asked.shapes_output else ensemble_of(model, tail)
    tail = seen_through(tail, asked, shapes)
    possible = scores_of(tail, ensemble)
    if view.score not in possible:
        raise ModelFileError(
            f"`{path.name}` cannot give the score `{view.score}` for its output `{tail.output}`",
            f"it can give {', '.join(sorted(possible))}",
        )
    inputs = inputs_of(path, model)
    if any(not tensor.shape for tensor in inputs):
        raise ModelFileError(f"`{path.name}` has an input without a row axis", "export the model with rows on axis 0")
    raw = _raw_kind(view, tail, ensemble)
    rows = rows_of_output(model, tail, shapes, inputs, asked)
    return model, inputs, Setting(view, tail, raw, ensemble, rows, widest_row(model, shapes))


def _graph_of(path: Path, view: View) -> Any:
    """A file's graph with its inputs adapted; where no probabilities are asked for, with the logits or logs that it hides."""
    asked = view.adaptation
    model = adapted_inputs(path, read_model(path, asked.beside, view.powers), asked.inputs)
    model = with_rows_joined(model, asked)
    if view.score == "log_value":
        return with_logs(model)
    return model if view.score == "probability" else with_logits(model)


def _raw_kind(view: View, tail: Tail, ensemble: Ensemble | None) -> str:
    if view.score in ("probability", "value"):
        return "scores"
    if view.score == "log_value":
        return "logit" if tail.activation == "exp" else "scores"
    if ensemble is not None:
        return "trees" if "logit" in ensemble.scores else "scores"
    return "logit" if tail.activation in ("softmax", "sigmoid", "linear") else "scores"


def exposing(model: Any, setting: Setting) -> Any:
    """The model with one output: the tensor that the view is made of."""
    import onnx

    tail, raw, ensemble = setting.tail, setting.raw, setting.ensemble

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    name = tail.logits if raw == "logit" else tail.scores
    if raw == "trees" and ensemble is not None:
        for node in copy.graph.node:
            if node.output == tail.node.output:
                for attribute in node.attribute:
                    if attribute.name == "post_transform":
                        attribute.s = b"NONE"
    del copy.graph.output[:]
    copy.graph.output.append(onnx.ValueInfoProto(name=name))
    _drop_unused(copy, name)
    return copy


def _drop_unused(model: Any, wanted: str) -> None:
    """Drop the nodes that the output does not need: a ZipMap left without a reader is an error at load."""
    needed = {wanted}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output) or any(
            attribute.HasField("g") or attribute.graphs for attribute in node.attribute
        ):
            kept.append(node)
            needed.update(node.input)
            needed.update(_read_inside(node))
    kept.reverse()
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _read_inside(node: Any) -> set[str]:
    """Names that a node's nested graphs read."""
    found: set[str] = set()
    for attribute in node.attribute:
        for graph in [attribute.g] * attribute.HasField("g") + list(attribute.graphs):
            for inner in graph.node:
                found.update(inner.input)
                found.update(_read_inside(inner))
            found.update(value.name for value in graph.output)
    return found


def session_of(path: Path, model: Any) -> Any:
    """A session of ONNX Runtime on one thread. Raises `ModelFileError` where it refuses the model."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    if has_external_data(model):
        folder = str(path.parent.resolve())
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), sess_options=options, providers=["CPUExecutionProvider"]
        )
    # ONNX Runtime's exceptions share no base class of their own.
    except Exception as error:
        if is_of_locale(error):
            return session_of(path, with_known_locale(path, model))
        message = str(error).strip().splitlines()[0][:200]
        raise ModelFileError(
            f"`{path.name}` is refused by ONNX Runtime: {message}", "export the model again, for a released opset"
        ) from error


class OnnxPredictor:
    """A model in one view; see `runtimes.capabilities.Predictor`."""

    def __init__(self, session: Any, inputs: tuple[TensorFacts, ...], setting: Setting) -> None:
        self._session = session
        self._inputs = inputs
        self._setting = setting
        self._fixed = setting.rows
        self.rows_per_call = self._fixed or rows_that_fit(inputs, _MOST_ROWS, setting.widest)
        self.spent = Spent()
        self.composing: Composing | None = None

    def predict(self, inputs: Inputs) -> Floats:
        """The view's score, ``(rows, outputs)`` float64.

        Raises:
            ValueError: the rows are not what the model reads.
            ModelFileError: the output is not what the view calls it.
        """
        arrays = conform(inputs, self._inputs)
        rows = n_rows(arrays)
        if rows == 0:
            return self._view(self._columns(probe(self._inputs), self._fixed or 1))[:0]

        def answer(start: int, stop: int) -> Floats:
            those = {name: array[start:stop] for name, array in arrays.items()}
            if not self._fixed:
                return self._columns(those, stop - start)
            part, real = next(slices(those, self._fixed, self._fixed))
            return self._columns(part, n_rows(part))[:real]

        columns = in_calls(self, rows, answer, fixed=self._fixed)
        self.spent.forward += rows
        return self._view(columns)

    def coalitions(self, row: Inputs, references: Inputs, owners: Mapping[str, NDArray[np.int64]]) -> Coalitions | None:
        """See `runtimes.capabilities.Composer`."""
        return self.composing.coalitions(row, references, owners) if self.composing else None

    def view_of(self, raw: NDArray[Any], rows: int) -> Floats:
        """The view's score of what a session has answered for some rows, ``(rows, outputs)``."""
        return self._view(as_columns(raw, rows, self._setting.view.adaptation))

    def _columns(self, arrays: Inputs, rows: int) -> Floats:
        return as_columns(self._run(arrays), rows, self._setting.view.adaptation)

    def _run(self, arrays: Inputs) -> Any:
        try:
            return self._session.run(None, dict(arrays))[0]
        except Exception as error:  # ONNX Runtime's exceptions share no base class of their own
            if is_of_memory(error):
                raise
            message = str(error).strip().splitlines()[0][:200]
            raise ModelFileError(
                f"ONNX Runtime cannot run the model on {n_rows(arrays)} rows: {message}",
                "say what its inputs are (`model.inputs`: `fixed`, `batch_axis`), or look at the first rows of the data",
            ) from error

    def _view(self, raw: Floats) -> Floats:
        setting = self._setting
        score = setting.view.score
        classifies = setting.view.task == "classification"
        if setting.raw == "trees" and setting.ensemble is not None:
            # A one-column ensemble without its post transform answers [-s, s] or [1 - s, s]: s is the last.
            raw = raw[:, -1:] if setting.ensemble.columns == 1 else raw
            if score == "log_odds" and setting.ensemble.post == "SOFTMAX":
                return log_odds_of_softmax(raw)
            return two_columns(raw, score)
        if score == "value":
            return raw
        if score == "log_value":
            return raw if setting.raw == "logit" else log_of_values(raw)
        if score == "logit":
            return two_columns(raw, score) if classifies else raw
        exclusive_logits = setting.tail.activation in ("softmax", "linear") and raw.shape[1] > 1
        if setting.raw == "logit":
            return log_odds_of_softmax(raw) if exclusive_logits else two_columns(raw, score)
        if setting.tail.activation == "linear":
            return softmax(raw) if exclusive_logits else two_columns(sigmoid(raw), score)
        independent = setting.tail.activation == "sigmoid" or (
            setting.ensemble is not None and setting.ensemble.post == "LOGISTIC" and setting.ensemble.columns > 1
        )
        # what is selected from an output is no longer all of its classes
        independent = independent or (setting.view.adaptation.shapes_output and setting.tail.activation != "softmax")
        probabilities = two_columns(raw, "probability")
        check_probabilities(probabilities, not independent, _tolerance(setting.tail.rounded, raw.shape[1]))
        if score == "probability":
            return probabilities
        return log_odds_of_probabilities(probabilities, exclusive=not independent or raw.shape[1] == 1)


def _tolerance(rounded: bool, columns: int) -> float:
    """How far from 1 probabilities may sum: quantised ones are off by up to half a step of 1/255 each."""
    return SUM_TOLERANCE + (columns / 510 if rounded else 0.0)


class OnnxTreeEnsemble(OnnxPredictor):
    """A tree ensemble in a view where it adds up; see `runtimes.capabilities.TreeEnsemble`."""

    def __init__(self, session: Any, inputs: tuple[TensorFacts, ...], setting: Setting) -> None:
        super().__init__(session, inputs, setting)
        assert setting.ensemble is not None
        trees, base = setting.ensemble.view(setting.view.score)
        self.trees: Sequence[Tree] = trees
        self.base: Floats = base
        self.input_name = setting.ensemble.input_name


class OnnxLinearModel(OnnxPredictor):
    """A model in a view where it is affine; see `runtimes.capabilities.LinearModel`."""

    def __init__(self, session: Any, inputs: tuple[TensorFacts, ...], setting: Setting, affine: Affine) -> None:
        super().__init__(session, inputs, setting)
        self.coefficients, self.intercept = affine.view(setting.view.score, setting.view.task)
        self.input_name = affine.input_name
