"""The black box: ONNX files on ONNX Runtime's CPU provider, one thread, one session for each handle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.capabilities import Floats, Inputs, Spent, Tree, View
from runtimes.formats.batches import conform, n_rows, probe, rows_that_fit, slices
from runtimes.formats.onnx_facts import additive_scores, facts_of, scores_of
from runtimes.formats.onnx_file import Tail, has_external_data, inputs_of, read_model, tail_of
from runtimes.formats.onnx_trees import Ensemble, read_ensemble
from runtimes.formats.scores import (
    as_columns,
    check_probabilities,
    log_odds_of_probabilities,
    log_odds_of_softmax,
    two_columns,
)
from runtimes.target import ModelFacts, ModelFileError, Target, TensorFacts

TARGET = Target(
    name="onnx_runtime",
    formats=("onnx",),
    suffixes=(".onnx",),
    capabilities=frozenset({"Predictor", "TreeEnsemble"}),
    distributions=("onnxruntime", "onnx", "numpy"),
    price=1.0,
)

_MOST_ROWS = 4096
"""A call's own cost (about 20 microseconds) no longer shows above this many rows, however small they are."""


def inspect(path: Path) -> ModelFacts:
    """Read static facts of an ONNX file. Raises `ModelFileError`."""
    return facts_of(path)


def open_model(path: Path, view: View) -> "OnnxPredictor":
    """Open an ONNX file for one view; a tree ensemble's handle also has its trees where they add up.

    Raises:
        ModelFileError: the file is refused, or cannot give this score.
    """
    model = read_model(path)
    tail = tail_of(path, model, view.output)
    ensemble = read_ensemble(model, tail) if tail.activation == "trees" else None
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
    session = _session(path, _exposing(model, tail, raw, ensemble))
    setting = _Setting(view, tail, raw, ensemble)
    if ensemble is not None and view.score in additive_scores(ensemble):
        return OnnxTreeEnsemble(session, inputs, setting)
    return OnnxPredictor(session, inputs, setting)


@dataclass(frozen=True)
class _Setting:
    view: View
    tail: Tail
    raw: str
    """What the session answers: ``logit``, ``scores``, or ``trees`` (an ensemble without its post transform)."""
    ensemble: Ensemble | None


def _raw_kind(view: View, tail: Tail, ensemble: Ensemble | None) -> str:
    if view.score in ("probability", "value"):
        return "scores"
    if ensemble is not None:
        return "trees" if "logit" in ensemble.scores else "scores"
    return "logit" if tail.activation in ("softmax", "sigmoid") else "scores"


def _exposing(model: Any, tail: Tail, raw: str, ensemble: Ensemble | None) -> Any:
    """The model with one output: the tensor that the view is made of."""
    import onnx

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


def _session(path: Path, model: Any) -> Any:
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
        message = str(error).strip().splitlines()[0][:200]
        raise ModelFileError(
            f"`{path.name}` is refused by ONNX Runtime: {message}", "export the model again, for a released opset"
        ) from error


class OnnxPredictor:
    """A model in one view; see `runtimes.capabilities.Predictor`."""

    def __init__(self, session: Any, inputs: tuple[TensorFacts, ...], setting: _Setting) -> None:
        self._session = session
        self._inputs = inputs
        self._setting = setting
        sizes = {tensor.shape[0] for tensor in inputs if tensor.shape[0]}
        self._fixed: int | None = max(sizes) if sizes else None
        fit = rows_that_fit(inputs, _MOST_ROWS)
        self.rows_per_call = self._fixed or fit
        self.spent = Spent()

    def predict(self, inputs: Inputs) -> Floats:
        """The view's score, ``(rows, outputs)`` float64.

        Raises:
            ValueError: the rows are not what the model reads.
            ModelFileError: the output is not what the view calls it.
        """
        arrays = conform(inputs, self._inputs)
        rows = n_rows(arrays)
        if rows == 0:
            return self._view(as_columns(self._run(probe(self._inputs)), self._fixed or 1))[:0]
        parts = []
        for part, real in slices(arrays, self.rows_per_call, self._fixed):
            parts.append(as_columns(self._run(part), n_rows(part))[:real])
        self.spent.forward += rows
        return self._view(np.concatenate(parts))

    def _run(self, arrays: Inputs) -> Any:
        return self._session.run(None, dict(arrays))[0]

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
        if score == "logit":
            return two_columns(raw, score) if classifies else raw
        if setting.raw == "logit":
            return log_odds_of_softmax(raw) if setting.tail.activation == "softmax" else two_columns(raw, score)
        independent = setting.tail.activation == "sigmoid" or (
            setting.ensemble is not None and setting.ensemble.post == "LOGISTIC" and setting.ensemble.columns > 1
        )
        probabilities = two_columns(raw, "probability")
        check_probabilities(probabilities, sum_to_one=not independent)
        if score == "probability":
            return probabilities
        return log_odds_of_probabilities(probabilities, exclusive=not independent or raw.shape[1] == 1)


class OnnxTreeEnsemble(OnnxPredictor):
    """A tree ensemble in a view where it adds up; see `runtimes.capabilities.TreeEnsemble`."""

    def __init__(self, session: Any, inputs: tuple[TensorFacts, ...], setting: _Setting) -> None:
        super().__init__(session, inputs, setting)
        assert setting.ensemble is not None
        trees, base = setting.ensemble.view(setting.view.score)
        self.trees: Sequence[Tree] = trees
        self.base: Floats = base
        self.input_name = setting.ensemble.input_name
