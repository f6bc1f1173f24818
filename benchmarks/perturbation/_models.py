"""The models that perturbation is measured on, each with one row, references, features and a bare session.

The folder given on the command line holds ``image_efficientnet_lite0``, ``ci_image_mnist``, ``tabular_german``,
``text_sentiment``, ``alt_timeseries_watch`` (an ``.onnx`` and a ``data.npz`` each, where there are data) and ``images``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from pgx_compiler.modalities.image import patches
from runtimes.capabilities import View
from runtimes.frameworks import onnx_runtime

assert scipy.linalg  # brings a BLAS of its own, which a limit set before would not reach
threadpool_limits(1)  # as workers are: one thread for linear algebra, too


@dataclass(frozen=True)
class Case:
    """One model with one row to explain."""

    name: str
    path: Path
    score: str
    row: Any
    references: Any
    owner: Any
    samples: int
    """What sampling methods are given."""
    limit: float
    """Overhead that is aimed at."""

    def features(self) -> FeatureMap:
        count = int(self.owner.max()) + 1
        return FeatureMap(tuple(f"f{i}" for i in range(count)), {self.input: np.asarray(self.owner)})

    @property
    def input(self) -> str:
        return str(self.session().get_inputs()[0].name)

    def session(self) -> Any:
        """The bare session: one thread, one call at a time, as the handle's own."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(str(self.path), options, providers=["CPUExecutionProvider"])

    def handle(self) -> Any:
        return onnx_runtime.open_model(self.path, View(self.score))

    def game(self, handle: Any) -> Game:
        name, target = self.input, np.array([int(np.argmax(handle.predict({self.input: self.row})[0]))])
        return Game(handle, {name: self.row}, {name: self.references}, self.features(), target)

    def bare(self, handle: Any) -> Callable[[int], None]:
        """Rows through the bare session in the handle's batches: one composed batch, made beforehand."""
        session, output = self.session(), [self.session().get_outputs()[-1].name]
        per_call = handle.rows_per_call // len(self.references) * len(self.references) or len(self.references)
        masks = np.random.default_rng(0).random((per_call // len(self.references), len(self.features()))) < 0.5
        keep = np.pad(masks, ((0, 0), (0, 1)), constant_values=True)[:, np.asarray(self.owner)]
        batch = np.where(keep[:, None], self.row, self.references[None]).reshape(-1, *self.row.shape[1:])
        batch, name = np.ascontiguousarray(batch, self.row.dtype), self.input

        def run(rows: int) -> None:
            for start in range(0, rows, per_call):
                session.run(output, {name: batch[: min(per_call, rows - start)]})

        return run


def plainly(handle: Any) -> Any:
    """The handle without its own way to score coalitions: every row is composed and computed whole."""

    class Plain:
        spent = handle.spent

        def __init__(self) -> None:
            self.rows_per_call = handle.rows_per_call

        def predict(self, inputs: Any) -> Any:
            return handle.predict(inputs)

    return Plain()


def photograph(folder: Path) -> Any:
    """A picture as EfficientNet-Lite0 reads it, ``(1, 224, 224, 3)``."""
    from PIL import Image

    with Image.open(folder / "images" / "coffee.png") as image:
        return ((np.asarray(image.convert("RGB").resize((224, 224)), np.float32) - 127) / 128)[None]


def cases(folder: Path) -> Iterator[Case]:
    """All models of the folder."""
    image, lite = photograph(folder), folder / "image_efficientnet_lite0" / "efficientnet_lite0.onnx"
    for size in (28, 14):
        owner = patches((224, 224, 3), size)
        yield Case(f"Lite0, patches {size}", lite, "probability", image, np.zeros_like(image), owner, 512, 1.10)
    data = np.load(folder / "ci_image_mnist" / "data.npz")
    row, mean = data["X_test"][:1] / np.float32(255), (data["X_train"] / np.float32(255)).mean(axis=0, keepdims=True)
    path, owner = folder / "ci_image_mnist" / "mnist_cnn.onnx", patches((28, 28, 1), 2)
    yield Case("MNIST, patches 2", path, "logit", row, mean, owner, 2048, 1.30)
    data = np.load(folder / "tabular_german" / "data.npz", allow_pickle=True)
    groups = [str(name).split("_A")[0] for name in data["onehot_names"]]
    owner = np.array([sorted(set(groups)).index(group) for group in groups])
    path = folder / "tabular_german" / "german_mlp.onnx"
    yield Case("credit, network", path, "logit", data["X_test"][:1], data["X_train"][:100], owner, 2048, 1.30)
    path = folder / "tabular_german" / "german_gbm.onnx"
    yield Case(
        "credit, trees", path, "log_odds", data["Xg_test"][:1], data["Xg_train"][:100], np.arange(20), 2048, 1.30
    )
    data = np.load(folder / "text_sentiment" / "data.npz", allow_pickle=True)
    tokens = next(data[key] for key in data.files if data[key].ndim == 2 and data[key].dtype.kind in "iu")
    tokens, path = tokens[:1].astype(np.int32), folder / "text_sentiment" / "sentiment_cnn.onnx"
    yield Case("text", path, "logit", tokens, np.zeros_like(tokens), np.arange(tokens.shape[1]), 2048, 1.30)
    data = np.load(folder / "alt_timeseries_watch" / "data.npz", allow_pickle=True)
    series, path = data["X_test"][:1].astype(np.float32), folder / "alt_timeseries_watch" / "watch_cnn.onnx"
    owner = np.arange(128)[:, None] // 8 * 6 + np.arange(6)
    yield Case("series", path, "logit", series, np.zeros_like(series), owner, 2048, 1.30)
