"""A trainable model in NumPy: logistic regression by gradient descent, with a column that a setting can hide."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from pgx_compiler.modalities.features import FeatureMap, References, Rows
from runtimes.capabilities import Labelled, Recipe, Spent, Trained, View


@dataclass
class LogisticView:
    """sigmoid(x w + b) seen as two columns, ``[1 - p, p]`` or ``[-z, z]``."""

    weights: np.ndarray
    bias: float
    view: View
    rows_per_call: int = 64
    spent: Spent = field(default_factory=Spent)

    def predict(self, inputs):
        z = np.asarray(inputs["x"], np.float64) @ self.weights + self.bias
        self.spent.forward += len(z)
        if self.view.score == "logit":
            return np.stack([-z, z], axis=1)
        p = 1 / (1 + np.exp(-z))
        return np.stack([1 - p, p], axis=1)

    def gradient(self, inputs, target):
        assert self.view.score == "logit"
        self.spent.backward += len(target)
        sign = np.where(np.asarray(target) == 1, 1.0, -1.0)
        return {"x": sign[:, None] * self.weights[None, :]}


class LogisticTrainable:
    """Settings: ``optimizer.learning_rate``; ``layers.mask.column`` hides one column from training."""

    def __init__(self) -> None:
        self.recipes: list[Recipe] = []
        self.seeds: list[int] = []

    def train(self, recipe, train, validation, seed, progress=None):
        self.recipes.append(recipe)
        self.seeds.append(seed)
        rate = recipe.settings.get("optimizer.learning_rate", 0.1)
        if rate > 5:
            raise FloatingPointError("the loss overflowed")
        keep = np.ones(train.inputs["x"].shape[1])
        if recipe.settings.get("layers.mask.column", -1) >= 0:
            keep[recipe.settings["layers.mask.column"]] = 0
        weights, bias = np.random.default_rng(seed).normal(0, 0.01, len(keep)) * keep, 0.0
        x, y, history = train.inputs["x"] * keep, train.labels, []
        for epoch in range(recipe.epochs):
            residual = LogisticView(weights, bias, View("probability")).predict({"x": x})[:, 1] - y
            weights = weights - rate * x.T @ residual / len(y)
            bias -= rate * float(residual.mean())
            history.append({"loss": self._loss(weights, bias, train), "validation_loss": 0.0})
            if progress:
                progress(epoch + 1, recipe.epochs)
        loss = self._loss(weights, bias, validation)
        return Trained(lambda view: LogisticView(weights, bias, view), {"loss": loss}, history, len(weights) + 1)

    @staticmethod
    def _loss(weights, bias, rows):
        p = LogisticView(weights, bias, View("probability")).predict(rows.inputs)
        return float(-np.log(p[np.arange(len(p)), rows.labels]).mean())


@pytest.fixture
def trainable() -> LogisticTrainable:
    return LogisticTrainable()


@pytest.fixture
def labelled() -> tuple[Labelled, Labelled]:
    """200 rows to train on and 80 held out; the label is sign(2 x0 - x1 + 0.5 x2 + noise), x3 is nothing."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=(280, 4))
    y = (x @ np.array([2.0, -1.0, 0.5, 0.0]) + rng.normal(0, 0.5, 280) > 0).astype(np.int64)
    return Labelled({"x": x[:200]}, y[:200]), Labelled({"x": x[200:]}, y[200:])


@pytest.fixture
def explained() -> Rows:
    x = np.random.default_rng(12).normal(size=(10, 4))
    features = FeatureMap(("a", "b", "c", "d"), {"x": np.arange(4)})
    return Rows({"x": x}, np.ones(10, np.int64), References({"x": np.zeros((1, 1, 4))}, "zeros"), features)
