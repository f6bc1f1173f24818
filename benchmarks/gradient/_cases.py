"""The Keras models that gradient methods are measured on, each with rows, references and features.

The folder given on the command line holds ``image_efficientnet_lite0``, ``ci_image_mnist``, ``tabular_german`` and
``alt_timeseries_watch`` (a ``.keras`` and a ``data.npz`` each, where there are data) and ``images``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from pgx_compiler.modalities.features import FeatureMap, References, Rows
from pgx_compiler.modalities.image import patches
from runtimes.capabilities import View
from runtimes.formats.keras_runtime import tensorflow
from runtimes.frameworks import tensorflow_native

assert scipy.linalg  # brings a BLAS of its own, which a limit set before would not reach
threadpool_limits(1)  # as workers are: one thread for linear algebra, too


@dataclass(frozen=True)
class Case:
    """One model with rows to explain."""

    name: str
    path: Path
    rows: Any
    references: Any
    owner: Any
    limit: float
    """Overhead that is aimed at."""
    points: int = 0
    """Steps or samples that methods are given; 0: their own defaults."""

    def handle(self) -> Any:
        """The model's logits."""
        return tensorflow_native.open_model(self.path, View("logit"))

    def explained(self, handle: Any) -> Rows:
        """The rows for the class that each is given to."""
        (tensor,) = handle._inputs
        features = FeatureMap(tuple(f"f{i}" for i in range(int(self.owner.max()) + 1)), {tensor.name: self.owner})
        inputs = {tensor.name: np.ascontiguousarray(self.rows, tensor.dtype)}
        references = References({tensor.name: np.ascontiguousarray(self.references, tensor.dtype)[None]})
        return Rows(inputs, handle.predict(inputs).argmax(axis=1), references, features)

    def bare(self, handle: Any, rows: Rows) -> Callable[[int], None]:
        """Gradients of the same model by the shortest way, in the handle's batches: one batch, made beforehand."""
        tf, model = tensorflow(), handle._model
        (given,) = rows.inputs.values()
        batch = tf.constant(np.resize(given, (handle.rows_per_call, *given.shape[1:])))
        target = tf.constant(np.resize(rows.target, handle.rows_per_call), "int32")
        single = model.outputs[0].shape[-1] == 1

        @tf.function(reduce_retracing=True, autograph=False)
        def gradient(points: Any, column: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(points)
                answer = model(points, training=False)
                chosen = answer[:, 0] if single else tf.gather(answer, column, axis=1, batch_dims=1)
            return tape.gradient(chosen, points)

        def run(count: int) -> None:
            for start in range(0, count, handle.rows_per_call):
                size = min(handle.rows_per_call, count - start)
                gradient(batch[:size], target[:size]).numpy()

        return run


def photographs(folder: Path) -> Any:
    """Pictures as EfficientNet-Lite0 reads them, ``(2, 224, 224, 3)``."""
    from PIL import Image

    found = []
    for name in ("coffee.png", "chelsea.png"):
        with Image.open(folder / "images" / name) as image:
            found.append((np.asarray(image.convert("RGB").resize((224, 224)), np.float32) - 127) / 128)
    return np.stack(found)


def cases(folder: Path) -> Iterator[Case]:
    """All models of the folder; eight rows each, as methods are handed them (two of Lite0)."""
    images, path = photographs(folder), folder / "image_efficientnet_lite0" / "efficientnet_lite0.keras"
    yield Case("Lite0", path, images, np.zeros_like(images[:1]), patches((224, 224, 3), 28), 1.10, 20)
    data = np.load(folder / "ci_image_mnist" / "data.npz")
    rows, mean = data["X_test"][:8] / np.float32(255), (data["X_train"] / np.float32(255)).mean(axis=0, keepdims=True)
    path = folder / "ci_image_mnist" / "mnist_cnn.keras"
    yield Case("MNIST", path, rows, mean, patches((28, 28, 1), 2), 1.30)
    data = np.load(folder / "tabular_german" / "data.npz", allow_pickle=True)
    groups = [str(name).split("_A")[0] for name in data["onehot_names"]]
    owner = np.array([sorted(set(groups)).index(group) for group in groups])
    path = folder / "tabular_german" / "german_mlp.keras"
    yield Case("credit, network", path, data["X_test"][:8], data["X_train"][:50], owner, 1.30)
    data = np.load(folder / "alt_timeseries_watch" / "data.npz", allow_pickle=True)
    rows, path = data["X_test"][:8].astype(np.float32), folder / "alt_timeseries_watch" / "watch_cnn.keras"
    owner = np.arange(128)[:, None] // 8 * 6 + np.arange(6)
    yield Case("watch, series", path, rows, np.zeros_like(rows[:1]), owner, 1.30)
