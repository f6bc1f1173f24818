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
    """One model's epochs as two compiled loops: no per-batch work in Python."""

    def __init__(
        self,
        model: Any,
        train: tuple[Arrays, NDArray[Any]],
        validation: tuple[Arrays, NDArray[Any]],
        batch_size: int,
    ) -> None:
        tf = tensorflow()
        self._model = model
        self._train = tuple([tf.constant(array) for array in train[0].values()]), tf.constant(train[1])
        self._held_out = tuple([tf.constant(array) for array in validation[0].values()]), tf.constant(validation[1])
        self._batch_size = batch_size
        # Optimizer and metrics make their variables on first use, which a compiled loop does not allow.
        model.optimizer.build(model.trainable_variables)
        model.test_step(self._batch(self._train, tf.range(min(2, len(train[1])))))
        model.reset_metrics()
        self._fit = tf.function(self._loop(model.train_step), autograph=False)
        self._evaluate = tf.function(self._loop(model.test_step), autograph=False)

    def _batch(self, rows: Any, index: Any) -> Any:
        tf = tensorflow()
        arrays = [tf.gather(array, index) for array in rows[0]]
        return (arrays if len(arrays) > 1 else arrays[0]), tf.gather(rows[1], index)

    def _loop(self, step: Callable[[Any], Any]) -> Callable[..., Any]:
        tf = tensorflow()
        size = self._batch_size

        def loop(arrays: Any, labels: Any, order: Any) -> None:
            rows = tf.shape(order)[0]

            def one(start: Any) -> list[Any]:
                step(self._batch((arrays, labels), order[start : tf.minimum(start + size, rows)]))
                return [start + size]

            # Written out, since a loop that AutoGraph translates keeps every candidate's graph alive.
            tf.while_loop(lambda start: start < rows, one, [tf.constant(0)], parallel_iterations=1)

        return loop

    def epoch(self, rng: np.random.Generator) -> Logs:
        """Train once over the rows in a fresh order, then measure the validation rows."""
        tf = tensorflow()
        self._model.reset_metrics()
        self._fit(*self._train, tf.constant(rng.permutation(self._train[1].shape[0])))
        logs = self._logs()
        self._model.reset_metrics()
        self._evaluate(*self._held_out, tf.range(self._held_out[1].shape[0], dtype=tf.int64))
        return logs | {f"validation_{name}": value for name, value in self._logs().items()}

    def _logs(self) -> Logs:
        return {name: float(value) for name, value in self._model.get_metrics_result().items()}
