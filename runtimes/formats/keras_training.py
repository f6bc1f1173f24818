"""Candidates trained from a Keras file's own declaration: loss, optimizer and metrics are the file's."""

import gc
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Labelled, Recipe, Trained, View
from runtimes.formats.batches import Arrays, conform
from runtimes.formats.keras_facts import output_names
from runtimes.formats.keras_file import KerasFile
from runtimes.formats.keras_runtime import keras, rebuild, tensorflow
from runtimes.formats.keras_tuning import apply_settings, tunables_of
from runtimes.target import ModelFacts, ModelFileError

Opener = Callable[[Callable[[], Any], View], Any]
"""Makes a handle for a view of the model that the first argument builds."""

Logs = dict[str, float]


class KerasTrainable:
    """See `runtimes.capabilities.Trainable`."""

    def __init__(self, file: KerasFile, facts: ModelFacts, opener: Opener) -> None:
        self._file = file
        self._facts = facts
        self._opener = opener
        self._places = tunables_of(file, output_names(file))

    def train(
        self,
        recipe: Recipe,
        train: Labelled,
        validation: Labelled,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> Trained:
        """Build, train and validate one candidate; same seed, same bytes. A loss that is not finite is reported so.

        Raises:
            ModelFileError: a setting that the file does not offer, or that makes no model.
        """
        epochs = _whole("fit.epochs", recipe.settings.get("fit.epochs", recipe.epochs))
        batch_size = _whole("fit.batch_size", recipe.settings.get("fit.batch_size", recipe.batch_size))
        config = apply_settings(self._file, self._places, recipe.settings)
        # Graphs of earlier candidates are held by Keras' and TensorFlow's registries until they are cleared.
        keras().backend.clear_session()
        gc.collect()
        keras().utils.set_random_seed(seed % 2**32)
        model = rebuild(self._file.path.name, config)
        self._compile(model, config["compile_config"])
        run = _Run(model, self._rows(train), self._rows(validation), batch_size)
        order = np.random.default_rng(seed)
        history: list[Logs] = []
        for epoch in range(epochs):
            history.append(run.epoch(order))
            if progress is not None:
                progress(epoch + 1, epochs)
        weights = [np.asarray(array) for array in model.get_weights()]
        last = history[-1] if history else {}
        return Trained(
            open_view=lambda view: self._opener(lambda: rebuild(self._file.path.name, config, weights), view),
            validation={
                name.removeprefix("validation_"): value
                for name, value in last.items()
                if name.startswith("validation_")
            },
            history=history,
            parameters=int(model.count_params()),
        )

    def _compile(self, model: Any, compile_config: Mapping[str, Any]) -> None:
        try:
            model.compile_from_config({**compile_config, "jit_compile": False, "run_eagerly": False})
            built = model.optimizer is not None and model.compiled
        # Keras' own errors name the object that it could not make; they share no class.
        except Exception as error:
            raise ModelFileError(
                f"`{self._file.path.name}`: its loss or optimizer cannot be used: {str(error).splitlines()[0][:200]}",
                "compile the model with a loss, an optimizer and metrics of Keras' own, and save it again",
            ) from error
        if not built:
            raise ModelFileError(f"`{self._file.path.name}` declares no optimizer", "compile the model, then save it")

    def _rows(self, rows: Labelled) -> tuple[Arrays, NDArray[Any]]:
        arrays = conform(rows.inputs, self._facts.inputs)
        return arrays, _targets(rows.labels, self._facts)


def _whole(address: str, value: Any) -> int:
    whole = round(value) if isinstance(value, int | float) else 0
    if whole < 1:
        raise ModelFileError(f"`{address}` cannot be {value!r}", "use a whole number above 0")
    return whole


def _targets(labels: NDArray[Any], facts: ModelFacts) -> NDArray[Any]:
    """Labels in the shape that the file's loss compares with: positions, one-hot rows, or a column."""
    loss = (facts.loss or "").lower().replace("_", "")
    width = facts.outputs[0].shape[-1] or 1
    if loss.startswith("sparsecategorical"):
        return np.asarray(labels, np.int64)
    if width > 1 and np.asarray(labels).dtype.kind in "iub":
        return np.eye(width, dtype=np.float32)[np.asarray(labels, np.int64)]
    return np.asarray(labels, np.float32).reshape(-1, 1)


class _Run:
    """One model's epochs: two compiled steps over rows that stay in TensorFlow, called with row positions.

    The loop over batches is Python's: its own cost is a fraction of a millisecond a batch.
    """

    def __init__(
        self,
        model: Any,
        train: tuple[Arrays, NDArray[Any]],
        validation: tuple[Arrays, NDArray[Any]],
        batch_size: int,
    ) -> None:
        self._model = model
        self._batch_size = batch_size
        self._train_rows, self._validation_rows = len(train[1]), len(validation[1])
        # Optimizer and metrics make their variables on first use, which a compiled step does not allow.
        model.optimizer.build(model.trainable_variables)
        # Summing gradients over replicas is the identity on one, but registers a gradient function with TensorFlow
        # for good, and that keeps every candidate's graph alive (measured: 4 MB a trial).
        model.optimizer._all_reduce_sum_gradients = lambda gradients: gradients
        first = {name: array[:2] for name, array in train[0].items()}
        model.test_step(_batch(_tensors(first, train[1][:2]), tensorflow().range(min(2, len(train[1])))))
        model.reset_metrics()
        self._fit = self._compiled(model.train_step, _tensors(*train))
        self._evaluate = self._compiled(model.test_step, _tensors(*validation))

    def _compiled(self, step: Callable[[Any], Any], rows: Any) -> Any:
        tf = tensorflow()

        def on(index: Any) -> None:
            step(_batch(rows, index))

        return tf.function(on, input_signature=[tf.TensorSpec((None,), tf.int64)], autograph=False)

    def epoch(self, rng: np.random.Generator) -> Logs:
        """Train once over the rows in a fresh order, then measure the validation rows."""
        logs = self._pass(self._fit, rng.permutation(self._train_rows))
        held_out = self._pass(self._evaluate, np.arange(self._validation_rows))
        return logs | {f"validation_{name}": value for name, value in held_out.items()}

    def _pass(self, step: Any, order: NDArray[np.int64]) -> Logs:
        tf = tensorflow()
        self._model.reset_metrics()
        for start in range(0, len(order), self._batch_size):
            step(tf.constant(order[start : start + self._batch_size], tf.int64))
        return {name: float(value) for name, value in self._model.get_metrics_result().items()}


def _tensors(arrays: Arrays, labels: NDArray[Any]) -> Any:
    tf = tensorflow()
    return [tf.constant(array) for array in arrays.values()], tf.constant(labels)


def _batch(rows: Any, index: Any) -> Any:
    tf = tensorflow()
    arrays = [tf.gather(array, index) for array in rows[0]]
    return (arrays if len(arrays) > 1 else arrays[0]), tf.gather(rows[1], index)
