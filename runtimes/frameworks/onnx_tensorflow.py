"""The black box opened: ONNX files rebuilt as TensorFlow functions, so that they have gradients.

A rebuild is believed only where it gives what ONNX Runtime gives: every handle holds itself against it when it is opened.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Floats, Inputs, Integers, View
from runtimes.formats.batches import Arrays, conform, n_rows, probe, rows_that_fit, slices
from runtimes.formats.calls import in_calls
from runtimes.formats.embedding_tables import LooksUp, Tables, drawn_ids
from runtimes.formats.keras_runtime import tensorflow
from runtimes.formats.layer_calls import LooksInsideEmbedded
from runtimes.formats.onnx_differentiable import named
from runtimes.formats.onnx_embedding import white_box
from runtimes.formats.onnx_facts import facts_of
from runtimes.formats.onnx_graphs import written_out
from runtimes.formats.onnx_inside import LooksInsideRebuilt
from runtimes.formats.onnx_layers import inside_of
from runtimes.formats.onnx_rebuild import Rebuilt, direct
from runtimes.formats.onnx_rounding import is_coarse
from runtimes.formats.onnx_slopes import chosen_score
from runtimes.formats.onnx_tables import read_tables
from runtimes.formats.onnx_unread import without_unread
from runtimes.formats.scores import known_slopes
from runtimes.formats.tf_graph_relevance import PropagatesThroughRebuilt
from runtimes.formats.tf_operators.declaring import Laid, Use
from runtimes.frameworks.onnx_runtime import OnnxPredictor, Setting, exposing, reading_of, session_of
from runtimes.target import ModelFacts, ModelFileError, Target, TensorFacts

TARGET = Target(
    name="onnx_tensorflow",
    formats=("onnx",),
    suffixes=(".onnx",),
    capabilities=frozenset(
        {"Predictor", "Differentiable", "EmbeddingDifferentiable", "LayerDifferentiable", "Rectified"}
        | {"AttentionReadable", "RulePropagating"}
    ),
    distributions=("tensorflow", "onnx", "onnxruntime", "numpy"),
    price=2.5,
    rests_on=("onnx_runtime",),
    rebuilds=True,
)

PROBE_ROWS = 3
PROBE_LENGTH = 6
"""Tokens of a row of the probe, where the file leaves open how many there are."""
TOLERANCE = 1e-4
"""Largest difference to ONNX Runtime on the rows of the probe, in the score's unit, or as a part of its largest value where
that is above 1. As for the parity of two files."""
COARSE = 1e-2
"""The same for a graph that computes in half precision, whose own rounding is 5e-4 of each number, or rounds to 8 bits on
its way, where a last bit decides about a step: an output in steps of 1/255 was one step, 4e-3, away (own default)."""

_MOST_ROWS = 8192
_ROOMIER = 2
"""A call costs about 100 microseconds by itself here, ten times what it costs on ONNX Runtime: it is made for more rows,
whose widest tensor takes twice as much. Measured on networks of digits and of movements, up to a tenth less a row."""


def warm_up() -> None:
    """Import what every model needs, and open none: processes are forked from here."""
    import onnx
    import onnxruntime

    del onnx, onnxruntime
    tensorflow()


def inspect(path: Path, view: View | None = None) -> ModelFacts:
    """Read static facts of an ONNX file, as it will answer under a view. Raises `ModelFileError`."""
    return facts_of(path, view)


def open_model(path: Path, view: View) -> "RebuiltModel | RebuiltEmbedding":
    """Rebuild an ONNX file for one view, and hold it against ONNX Runtime.

    Raises:
        ModelFileError: the file is refused, cannot give this score, has no gradient here, or the rebuild is another model.
    """
    model, inputs, setting = reading_of(path, view)
    exposed = written_out(exposing(model, setting))
    output, folder = exposed.graph.output[0].name, path.parent.resolve()
    white = white_box(exposed, output, inputs)
    if white.lacks or setting.raw == "trees":
        reason = white.lacks or "trees have no gradient"
        raise ModelFileError(f"`{path.name}`: {reason}", "give `model.keras` for gradients")
    rebuilt = Rebuilt(exposed, output, folder, given=white.cut)
    handle: RebuiltModel | RebuiltEmbedding
    held = False
    if white.lookups:
        tables = read_tables(exposed, white.lookups, inputs, folder)
        handle = RebuiltEmbedding(RebuiltAbove(rebuilt, tables, setting), tables, inputs)
    else:
        least = _with_least(path, exposed, rebuilt, inputs, setting)
        handle, held = least or RebuiltModel(rebuilt, inputs, setting), least is not None
    box = handle if isinstance(handle, RebuiltModel) else handle.above
    inside = cache(lambda: inside_of(path, reading_of(path, view)[0], view.output, white.cut))
    box.declared, box.attentive = (lambda: inside().layers), (lambda: inside().attentions)
    if not held:
        _hold_against_runtime(path, exposed, handle)
    return handle


def _with_least(
    path: Path, exposed: Any, rebuilt: Rebuilt, inputs: tuple[TensorFacts, ...], setting: Setting
) -> "RebuiltModel | None":
    """A handle whose answers leave out what they do not depend on, where that is worth it; held against ONNX Runtime."""
    less = without_unread(exposed)
    if less is None:
        return None
    try:
        handle = RebuiltModel(rebuilt, inputs, setting, Rebuilt(less, rebuilt.outputs[0], path.parent.resolve()))
        _hold_against_runtime(path, exposed, handle)
    except ModelFileError:  # said of the whole graph, where it is true of that too
        return None
    return handle


class RebuiltModel(OnnxPredictor, LooksInsideRebuilt, PropagatesThroughRebuilt):
    """A model in one view with gradients, that can be looked into; see `runtimes.capabilities.Differentiable`."""

    def __init__(
        self, rebuilt: Rebuilt, inputs: tuple[TensorFacts, ...], setting: Setting, less: Rebuilt | None = None
    ) -> None:
        """Trace the forward pass.

        Args:
            rebuilt: the graph, which can be looked into.
            inputs: what it reads.
            setting: what the view is made of.
            less: the same function without what its answer does not need, which serves answers and their slopes.
        """
        super().__init__(None, inputs, setting)
        self.rebuilt = rebuilt
        self._least = less or rebuilt
        self.inputs = inputs
        self.fixed = setting.rows
        if self.fixed is None:
            self.rows_per_call = rows_that_fit(inputs, _MOST_ROWS, setting.widest // _ROOMIER)
        tf = tensorflow()
        self._forward = direct(tf.function(self._raw, input_signature=self._specs(), autograph=False))
        self._wide = self._columns(probe(inputs), setting.rows or 1).shape[1]

    @cached_property
    def _backward(self) -> Callable[..., Sequence[Any]]:
        tf = tensorflow()
        signature = [tf.TensorSpec((self.fixed,), "int32"), *self._specs()]
        return direct(tf.function(self._slopes, input_signature=signature, autograph=False))

    def _specs(self) -> list[Any]:
        tf = tensorflow()
        return [tf.TensorSpec((self.fixed, *tensor.shape[1:]), tensor.dtype) for tensor in self._inputs]

    def _raw(self, *tensors: Any) -> Any:
        return self._by(self._least, tensors)

    def _by(self, rebuilt: Rebuilt, tensors: Sequence[Any]) -> Any:
        """What a graph answers for the inputs, in their order."""
        return rebuilt({tensor.name: given for tensor, given in zip(self._inputs, tensors, strict=True)})

    def _score(self, raw: Any, target: Any) -> Any:
        """Each row's score of its target column, ``(rows,)``."""
        setting = self._setting
        how = (setting.view, setting.tail.activation, setting.raw)
        return chosen_score(tensorflow(), raw, target, self._wide, *how)

    def _slopes(self, target: Any, *tensors: Any) -> Any:
        tf = tensorflow()
        varied = [tensor for tensor in tensors if tensor.dtype.is_floating]
        with tf.GradientTape() as tape:
            tape.watch(varied)
            score = self._score(self._raw(*tensors), target)
        slopes = iter(tape.gradient(score, varied, unconnected_gradients=tf.UnconnectedGradients.ZERO))
        return [next(slopes) if tensor.dtype.is_floating else tf.zeros_like(tensor) for tensor in tensors]

    def _run(self, arrays: Inputs) -> Any:
        tf = tensorflow()
        (raw,) = self._forward(*[tf.constant(array) for array in arrays.values()])
        return raw.numpy()

    def gradient(self, inputs: Inputs, target: Integers) -> Mapping[str, Floats]:
        """Compute d score[row, target[row]] / d inputs, float64, each array shaped as its input.

        Raises:
            ValueError: the rows are not what the model reads, or a target is no column of the view.
        """
        arrays = conform(inputs, self._inputs)
        rows, columns = n_rows(arrays), np.asarray(target)
        width = self._width()
        if columns.shape != (rows,) or (rows and not 0 <= columns.min() <= columns.max() < width):
            raise ValueError(f"targets must be {rows} column positions from 0 to {width - 1}")
        if rows == 0:
            return {name: np.zeros(array.shape) for name, array in arrays.items()}

        def answer(start: int, stop: int) -> Floats:
            those = {name: array[start:stop] for name, array in arrays.items()}
            those["target of each row"] = columns[start:stop].astype(np.int32)
            part, real = next(slices(those, stop - start, self._fixed))
            wanted = part.pop("target of each row")
            return self._flat(wanted, part)[:real]

        flat = in_calls(self, rows, answer, fixed=self._fixed)
        self.spent.backward += rows
        found, at = {}, 0
        for name, array in arrays.items():
            size = int(np.prod(array.shape[1:]))
            found[name] = flat[:, at : at + size].reshape(array.shape)
            at += size
        taken = self._setting.view.score == "log_value" and self._setting.raw == "scores"
        return known_slopes(found) if taken else found

    def _flat(self, target: NDArray[Any], arrays: Arrays) -> Floats:
        tf = tensorflow()
        slopes = self._backward(tf.constant(target), *[tf.constant(array) for array in arrays.values()])
        rows = len(target)
        return np.concatenate([np.asarray(slope.numpy(), np.float64).reshape(rows, -1) for slope in slopes], axis=1)

    def _width(self) -> int:
        view = self._setting.view
        return 2 if self._wide == 1 and view.score != "value" and view.task == "classification" else self._wide

    def answers(self, arrays: Arrays) -> Iterator[NDArray[Any]]:
        """What the graph answers, as it is; then what it answers with all that it computes, where that is more."""
        yield self._run(arrays)
        if self._least is not self.rebuilt:
            tf = tensorflow()
            yield self._by(self.rebuilt, [tf.constant(array) for array in arrays.values()]).numpy()

    def steps(self, arrays: Arrays) -> Iterator[tuple[Use, dict[str, Laid]]]:
        """Each node of the graph with what it makes."""
        tf = tensorflow()
        return self.rebuilt.steps({name: tf.constant(array) for name, array in arrays.items()})

    def drawn(self, rng: np.random.Generator) -> Arrays:
        """A few rows that the model can read."""
        return {
            name: rng.standard_normal((self.fixed or PROBE_ROWS, *array.shape[1:])).astype(array.dtype)
            for name, array in probe(self.inputs).items()
        }


class RebuiltAbove(RebuiltModel):
    """A model above its tables: reads what they give, and the ids, of which masks are made."""

    def __init__(self, rebuilt: Rebuilt, tables: Tables, setting: Setting) -> None:
        self._tables = tables
        super().__init__(rebuilt, tables.above(), setting)

    def _by(self, rebuilt: Rebuilt, tensors: Sequence[Any]) -> Any:
        given = {tensor.name: one for tensor, one in zip(self._inputs, tensors, strict=True)}
        return rebuilt(self._tables.fed(given))

    def steps(self, arrays: Arrays) -> Iterator[tuple[Use, dict[str, Laid]]]:
        """Each node of the graph with what it makes."""
        tf = tensorflow()
        return self.rebuilt.steps(self._tables.fed({name: tf.constant(array) for name, array in arrays.items()}))


class RebuiltEmbedding(LooksUp, LooksInsideEmbedded):
    """A model that looks up ids, in one view; see `runtimes.capabilities.EmbeddingDifferentiable`."""

    above: RebuiltAbove

    def __init__(self, above: RebuiltAbove, tables: Tables, inputs: tuple[TensorFacts, ...]) -> None:
        super().__init__(above, tables, inputs)
        self.rebuilt = above.rebuilt

    def answers(self, arrays: Arrays) -> Iterator[NDArray[Any]]:
        """What the graph answers, as it is."""
        return self.above.answers(self._tables.embed(arrays))

    def steps(self, arrays: Arrays) -> Iterator[tuple[Use, dict[str, Laid]]]:
        """Each node of the graph above the tables with what it makes."""
        return self.above.steps(self._tables.embed(arrays))

    def drawn(self, rng: np.random.Generator) -> Arrays:
        """A few rows that the model can read: ids that its tables know, and zeros and ones for other whole numbers."""
        rows = self.above.fixed or PROBE_ROWS
        drawn = drawn_ids(self._tables, self._inputs, rows, rng, PROBE_LENGTH)
        try:
            next(self.answers(drawn))
        except (ValueError, tensorflow().errors.OpError):  # not every length is one that it can read
            return drawn_ids(self._tables, self._inputs, rows, rng)
        return drawn


def _hold_against_runtime(path: Path, exposed: Any, handle: RebuiltModel | RebuiltEmbedding) -> None:
    """Compare the rebuild with ONNX Runtime on a few rows. Raises `ModelFileError` where they are not the same model."""
    arrays = handle.drawn(np.random.default_rng(0))
    theirs = session_of(path, exposed).run(None, arrays)[0]
    allowed = COARSE if is_coarse(exposed) or theirs.dtype.itemsize < 4 else TOLERANCE
    if any(_far(answered, theirs, allowed) for answered in handle.answers(arrays)):
        where = _first_difference(path, exposed, handle, arrays, allowed)
        raise ModelFileError(
            f"`{path.name}`: its rebuild in TensorFlow is not the same model as the file on ONNX Runtime{where}",
            "give `model.keras` for gradients, and report the file's operators",
        )


def _far(ours: Any, theirs: Any, allowed: float) -> bool:
    if ours.shape != theirs.shape:
        return True
    first, second = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    finite = np.isfinite(second)
    if not np.array_equal(finite, np.isfinite(first)):
        return True
    largest = max(1.0, float(np.abs(second[finite]).max(initial=0.0)))
    return float(np.abs(first[finite] - second[finite]).max(initial=0.0)) > allowed * largest


def _first_difference(
    path: Path, exposed: Any, handle: RebuiltModel | RebuiltEmbedding, arrays: Arrays, allowed: float
) -> str:
    """The first node after which the two differ, in words."""
    import onnx

    tf = tensorflow()
    asked = onnx.ModelProto()
    asked.CopyFrom(exposed)
    steps = list(handle.steps(arrays))
    there = {value.name for value in asked.graph.output}
    made = {name for node in asked.graph.node for name in node.output if name}
    for _, found in steps:
        asked.graph.output.extend(onnx.ValueInfoProto(name=name) for name in found if name in made - there)
    session = session_of(path, asked)
    theirs = dict(zip([value.name for value in session.get_outputs()], session.run(None, arrays), strict=True))
    for use, found in steps:
        for name, one in found.items():
            if name in theirs and _far(one.plain(tf).numpy(), theirs[name], allowed):
                return f": {named(use)} gives other numbers"
    return ""
