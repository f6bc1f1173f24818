"""tf-explain run on a Keras model: the numbers behind its pictures, by its own functions.

Its ``explain`` gives pictures as whole numbers from 0 to 255, all rows in one grid; what stands before them is asked for
here. It reads the model's output as it is, takes one class for all rows, and wants a functional model whose layers were
called once: https://github.com/sicara/tf-explain, version 0.3.1.
"""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from runtimes.capabilities import Floats, Inputs, Integers, View
from runtimes.formats.batches import conform, n_rows
from runtimes.formats.keras_layers import LooksInside
from runtimes.formats.keras_runtime import keras, tensorflow
from runtimes.target import TensorFacts

NEEDED = {"tf_explain": "tf-explain", "cv2": "opencv-python-headless"}
"""What is imported, and what brings it: tf-explain needs OpenCV and does not say so."""
_HALVES = ("mixed_float16", "mixed_bfloat16", '"float16"', '"bfloat16"')


def without_tf_explain(
    inputs: Sequence[TensorFacts], outputs: Sequence[TensorFacts], config: Mapping[str, Any], *, plain: bool
) -> str:
    """Why tf-explain cannot be run on a model, in words; empty where it can. Imports neither of them.

    Args:
        inputs: of the model.
        outputs: of the model.
        config: of the model, as its file has it.
        plain: whether it has only layers and functions of Keras' own.
    """
    missing = [name for module, name in NEEDED.items() if find_spec(module) is None]
    picture = inputs[0].shape
    if len(inputs) != 1 or len(picture) != 4 or None in picture[1:] or inputs[0].dtype != "float32":
        return "tf-explain reads one picture of a fixed size in float32, and the model reads something else"
    if any(len(output.shape) != 2 for output in outputs):
        return "tf-explain reads one row of numbers for each picture, and the model gives something else"
    if any(word in json.dumps(config) for word in _HALVES):
        return "tf-explain computes in float32, and a part of the model does in half precision"
    if not plain:
        return "it is trusted with code of its own, which the copy that tf-explain needs would be made with"
    if missing:
        return f"{' and '.join(missing)} cannot be imported: install pgx-compiler with the extra `tf-explain`"
    return ""


class RunsTfExplain(LooksInside):
    """Part of a Keras handle; see `runtimes.capabilities.TfExplained`."""

    _output: int
    _view: View
    _gives_logits: bool

    def tf_explain_gradient(self, inputs: Inputs, target: Integers) -> Mapping[str, Floats]:
        """Return what its ``VanillaGradients`` computes. Counts as backward rows.

        Raises:
            ValueError: the rows are not what the model reads, or the view is not the model's output as it is.
        """
        compute = import_module("tf_explain.core.vanilla_gradients").VanillaGradients.compute_gradients
        run = self._once(("tf-explain", "gradient"), lambda: self._traced(compute.python_function, 1))
        return self._one_by_one(inputs, target, lambda image, column: run(image, column).numpy()[0])

    def tf_explain_path(self, inputs: Inputs, target: Integers, steps: int) -> Mapping[str, Floats]:
        """Return what its ``IntegratedGradients`` computes. Counts ``steps`` backward rows for each row.

        Raises:
            ValueError: the rows are not what the model reads, or the view is not the model's output as it is.
        """
        theirs = import_module("tf_explain.core.integrated_gradients").IntegratedGradients
        compute = theirs.get_integrated_gradients.python_function

        def mean(image: Any, column: Any) -> Floats:
            points = theirs.generate_interpolations(image, steps)
            total = np.zeros(image.shape[1:])
            # As many points as fit a call: the mean over all of them is that of their means.
            for start in range(0, steps, self.rows_per_call):
                part = points[start : start + self.rows_per_call].astype(np.float32)
                size = len(part)
                run = self._once(("tf-explain", "path", size), partial(self._traced, compute, size, size))
                total += run(part, column).numpy()[0].astype(np.float64) * (size / steps)
            return total

        return self._one_by_one(inputs, target, mean, steps)

    def tf_explain_cam(self, inputs: Inputs, target: Integers, layer: str, guided: bool) -> Floats:
        """Return what its ``GradCAM`` computes, ``(rows, *places)``. Counts as backward rows.

        Raises:
            ValueError: the rows are not what the model reads, the view is not the model's output as it is, or the layer is
                none of the model's own with two axes of places.
        """
        theirs = import_module("tf_explain.core.grad_cam").GradCAM
        shape = next((one.shape for one in self.layers if one.name == layer), ())
        if "/" in layer or len(shape) != 3:
            raise ValueError(
                f"tf-explain finds only layers of the model itself that give a picture: `{layer}` is in a nested model, gives"
                " something else, or is not there"
            )

        def compute(image: Any, model: Any, column: Any) -> Any:
            given, slopes = theirs.get_gradients_and_filters(model, image, layer, column, guided)
            if slopes is None:
                raise ValueError(f"tf-explain finds no way from the layer `{layer}` to the score")
            return given, slopes

        run = self._once(("tf-explain", "cam", layer, guided), lambda: self._traced(compute, 1))

        def weighted(image: Any, column: Any) -> Any:
            return theirs.generate_ponderated_output(*run(image, column))[0].numpy()

        (maps,) = self._one_by_one(inputs, target, weighted).values()
        return maps

    def _traced(self, compute: Any, size: int, *more: Any) -> Any:
        """One of its functions as a graph for so many pictures at a time: it is traced once for a handle."""
        tf, model = tensorflow(), self._functional
        picture = tf.TensorSpec((size, *self._inputs[0].shape[1:]), "float32")

        def run(image: Any, column: Any) -> Any:
            found = compute(image, model, column, *more)
            return tf.zeros_like(image) if found is None else found

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it gives the one input in a list of lists
            graph = tf.function(run, input_signature=[picture, tf.TensorSpec((), "int32")], autograph=False)
            return graph.get_concrete_function()

    @cached_property
    def _functional(self) -> Any:
        """The model as a functional one whose layers were called once: of others it takes the first call."""
        model = self._model
        if any(len(layer._inbound_nodes) != 1 for layer in model.layers):
            copied = keras().models.clone_model(model)
            copied.set_weights(model.get_weights())
            model = copied
        return keras().Model(model.inputs[0], model.outputs[self._output])

    def _one_by_one(
        self, inputs: Inputs, target: Integers, compute: Callable[[Any, Any], Any], cost: int = 1
    ) -> dict[str, Floats]:
        """Each row by itself, since each has a class of its own."""
        tf = tensorflow()
        (name, images), *_ = conform(inputs, self._inputs).items()
        rows, columns, width = n_rows({name: images}), np.asarray(target), self._functional.outputs[0].shape[1]
        recovered = self._view.score == "log_value" and not self._gives_logits
        if self._view.score == "log_odds" or recovered or width != self._width():
            raise ValueError("tf-explain reads the model's output as it is, which is not this score")
        if columns.shape != (rows,) or (rows and not 0 <= columns.min() <= columns.max() < width):
            raise ValueError(f"targets must be {rows} column positions from 0 to {width - 1}")
        found = [
            np.asarray(compute(images[row : row + 1], tf.constant(columns[row], "int32")), np.float64)
            for row in range(rows)
        ]
        self.spent.backward += rows * cost
        return {name: np.stack(found) if found else np.zeros(images.shape)}
