"""A small NumPy network that can be looked into, for the laws of methods that read layers.

One convolution with rectifiers, the mean over its places, one dense layer. Filters and biases are such that every unit is
either on or off for all pixels from 0 to 1: within them the network is linear, so that the laws of all methods can be held
to it. Filters are their own mirror images.
"""

import numpy as np

from pgx_compiler.methods.laws import Bench
from pgx_compiler.modalities import volume
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from pgx_compiler.modalities.image import patches
from runtimes.capabilities import Floats, Inputs, Integers, LayerShape
from runtimes.target import LayerFacts, ModelFacts, TensorFacts
from tests.methods.models import Smooth, flatten

CHANNELS = 64  # as many as Score-CAM tries, so that it costs what it says


class Convolved(Smooth):
    """score = mean over places of relu(image * filters + bias), times weights; of a volume where filters have a depth."""

    def __init__(self, filters: Floats, bias: Floats, weights: Floats, size: int) -> None:
        super().__init__()
        edge, channels, axes = filters.shape[0], filters.shape[-1], filters.ndim - 1
        across = size - edge + 1
        self.places = across**axes
        self.matrix = np.zeros((*[size] * axes, *[across] * axes, channels))
        for place in np.ndindex(*[across] * axes):
            self.matrix[(*(slice(at, at + edge) for at in place), *place)] = filters
        self.matrix = self.matrix.reshape(size**axes, -1)
        self.bias, self.weights = np.tile(bias, self.places), weights
        self.shape = (*[across] * axes, channels)
        self.layers = (LayerShape("conv", f"Conv{axes}D", self.shape), LayerShape("score", "Dense", weights.shape[1:]))

    def before(self, flat: Floats) -> Floats:
        return flat @ self.matrix + self.bias

    def scores(self, flat: Floats) -> Floats:
        pooled = np.maximum(self.before(flat), 0).reshape(len(flat), -1, self.shape[-1]).mean(axis=1)
        return pooled @ self.weights

    def above(self, target: Integers) -> Floats:
        """d score[target] / d what the convolution gives, ``(rows, places * channels)``."""
        return np.tile(self.weights.T[target] / self.places, self.places)

    def slopes(self, flat: Floats, target: Integers) -> Floats:
        return (self.above(target) * (self.before(flat) > 0)) @ self.matrix.T

    def activations(self, inputs: Inputs, layer: str) -> Floats:
        flat = flatten(inputs)
        self.spent.forward += len(flat)
        return self.given(flat, layer)

    def given(self, flat: Floats, layer: str) -> Floats:
        if layer == "score":
            return self.scores(flat)
        return np.maximum(self.before(flat), 0).reshape(len(flat), *self.shape)

    def layer_gradient(self, inputs: Inputs, target: Integers, layer: str) -> tuple[Floats, Floats]:
        flat = flatten(inputs)
        self.spent.backward += len(flat)
        if layer == "score":
            return self.scores(flat), np.eye(self.weights.shape[1])[target]
        return self.given(flat, layer), self.above(target).reshape(len(flat), *self.shape)

    def rectified_gradient(self, inputs: Inputs, target: Integers, rule: str) -> dict[str, Floats]:
        flat = flatten(inputs)
        self.spent.backward += len(flat)
        through = np.maximum(self.above(target), 0)
        if rule == "guided":
            through = through * (self.before(flat) > 0)
        (name, array) = next(iter(inputs.items()))
        return {name: (through @ self.matrix.T).reshape(array.shape)}

    # What tf-explain computes, from the equations of `runtimes.capabilities.TfExplained`: the library need not be there.

    def tf_explain_gradient(self, inputs: Inputs, target: Integers) -> dict[str, Floats]:
        return self.gradient(inputs, target)

    def tf_explain_path(self, inputs: Inputs, target: Integers, steps: int) -> dict[str, Floats]:
        shares = np.linspace(0, 1, steps)
        found = [self.gradient({n: a * share for n, a in inputs.items()}, target) for share in shares]
        return {name: np.mean([one[name] for one in found], axis=0) for name in inputs}

    def tf_explain_cam(self, inputs: Inputs, target: Integers, layer: str, guided: bool) -> Floats:
        given, slopes = self.layer_gradient(inputs, target, layer)
        slopes = slopes * (slopes > 0) * (given > 0) if guided else slopes
        return (given * slopes.mean(axis=(1, 2), keepdims=True)).sum(axis=-1)


class Attentive(Smooth):
    """score = mean over positions of what two heads of attention give of the positions, times weights.

    Which position looks at which does not depend on the row, so that the model is linear.
    """

    def __init__(self, looks: Floats, weights: Floats) -> None:
        super().__init__()
        self.looks, self.weights = looks, weights  # (heads, positions, positions), (channels, outputs)
        positions = looks.shape[1]
        self.layers = (LayerShape("attention", "MultiHeadAttention", (positions, weights.shape[0])),)

    def matrix(self) -> Floats:
        read = self.looks.mean(axis=(0, 1))
        return np.einsum("p,co->pco", read, self.weights).reshape(-1, self.weights.shape[1])

    def scores(self, flat: Floats) -> Floats:
        return flat @ self.matrix()

    def slopes(self, flat: Floats, target: Integers) -> Floats:
        return self.matrix().T[target]

    def activations(self, inputs: Inputs, layer: str) -> Floats:
        flat = flatten(inputs)
        self.spent.forward += len(flat)
        rows = flat.reshape(len(flat), self.looks.shape[1], -1)
        return np.einsum("pq,rqc->rpc", self.looks.mean(axis=0), rows)

    def layer_gradient(self, inputs: Inputs, target: Integers, layer: str) -> tuple[Floats, Floats]:
        given = self.activations(inputs, layer)
        self.spent.forward -= len(given)
        self.spent.backward += len(given)
        slope = self.weights.T[target][:, None] / self.looks.shape[1]
        return given, np.broadcast_to(slope, given.shape).copy()

    def attention(self, inputs: Inputs) -> dict[str, Floats]:
        rows = len(flatten(inputs))
        self.spent.forward += rows
        return {"attention": np.repeat(self.looks[None], rows, axis=0)}


class Stacked(Smooth):
    """score = relu(x * first + bias) * second: plain layers, ``hidden`` and ``score``."""

    def __init__(self, first: Floats, bias: Floats, second: Floats) -> None:
        super().__init__()
        self.first, self.bias, self.second = first, bias, second
        self.layers = (LayerShape("hidden", "Dense", bias.shape), LayerShape("score", "Dense", second.shape[1:]))

    def hidden(self, flat: Floats) -> Floats:
        return np.maximum(flat @ self.first + self.bias, 0)

    def scores(self, flat: Floats) -> Floats:
        return self.hidden(flat) @ self.second

    def slopes(self, flat: Floats, target: Integers) -> Floats:
        return (self.second.T[target] * (self.hidden(flat) > 0)) @ self.first.T

    def activations(self, inputs: Inputs, layer: str) -> Floats:
        flat = flatten(inputs)
        self.spent.forward += len(flat)
        return self.hidden(flat) if layer == "hidden" else self.scores(flat)

    def layer_gradient(self, inputs: Inputs, target: Integers, layer: str) -> tuple[Floats, Floats]:
        flat = flatten(inputs)
        self.spent.backward += len(flat)
        if layer == "hidden":
            return self.hidden(flat), self.second.T[target].copy()
        return self.scores(flat), np.eye(self.second.shape[1])[target]


def facts_of(rows: Rows, capabilities: set[str], layers: tuple[LayerShape, ...], outputs: int) -> ModelFacts:
    return ModelFacts(
        format="keras",
        structure="network",
        inputs=tuple(TensorFacts(n, (None, *a.shape[1:]), str(a.dtype)) for n, a in rows.inputs.items()),
        outputs=(TensorFacts("score", (None, outputs), "float64"),),
        capabilities=frozenset(capabilities),
        scores=frozenset({"logit"}),
        n_outputs=outputs,
        parameters=0,
        operators={},
        activation="linear",
        layers=tuple(LayerFacts(layer.name, layer.kind, shape=layer.shape) for layer in layers),
    )


def convolved_bench() -> Bench:
    """Two images of 6 x 6 pixels that are their own mirror images, nine patches, one reference of zeros."""
    rng = np.random.default_rng(21)
    filters = rng.uniform(-0.1, 0.1, (3, 3, 1, CHANNELS))
    filters = (filters + filters[:, ::-1])[:, :, 0] / 2
    bias = np.where(np.arange(CHANNELS) % 4 == 0, -1.0, 1.0)
    model = Convolved(filters, bias, rng.normal(size=(CHANNELS, 3)), 6)
    image = rng.random((2, 6, 6, 1))
    image = (image + image[:, :, ::-1]) / 2
    features = FeatureMap(tuple(f"p{i}" for i in range(9)), {"image": patches((6, 6, 1), 2)}, {"kind": "grid"})
    references = References({"image": np.zeros((1, 1, 6, 6, 1))})
    rows = Rows({"image": image}, np.array([0, 2]), references, features)
    capabilities = {"Predictor", "Differentiable", "LayerDifferentiable", "Rectified", "TfExplained"}
    facts = facts_of(rows, capabilities, model.layers, 3)
    return Bench("image convolved", "image", model, rows, facts, mirrored=((0, 2), (3, 5), (6, 8)), score="logit")


def volumes_bench() -> Bench:
    """Two volumes of 4 x 4 x 4 voxels that are their own mirror images, eight blocks, one reference of zeros."""
    rng = np.random.default_rng(24)
    filters = rng.uniform(-0.05, 0.05, (3, 3, 3, CHANNELS))
    filters = (filters + filters[:, :, ::-1]) / 2
    bias = np.where(np.arange(CHANNELS) % 4 == 0, -2.0, 2.0)
    model = Convolved(filters, bias, rng.normal(size=(CHANNELS, 3)), 4)
    scan = rng.random((2, 4, 4, 4, 1))
    scan = (scan + scan[:, :, :, ::-1]) / 2
    features = volume.feature_map({"scan": (4, 4, 4, 1)}, {"size": [2, 2, 2]})
    rows = Rows({"scan": scan}, np.array([0, 2]), References({"scan": np.zeros((1, 1, 4, 4, 4, 1))}), features)
    capabilities = {"Predictor", "Differentiable", "LayerDifferentiable", "Rectified"}
    facts = facts_of(rows, capabilities, model.layers, 3)
    return Bench(
        "volume convolved", "volume", model, rows, facts, mirrored=((0, 1), (2, 3), (4, 5), (6, 7)), score="logit"
    )


def attentive_bench() -> Bench:
    """Two series of five steps, each a feature, in as many channels as Score-CAM tries, with one reference of zeros."""
    rng = np.random.default_rng(22)
    looks = rng.random((2, 5, 5))
    model = Attentive(looks / looks.sum(axis=-1, keepdims=True), rng.normal(size=(CHANNELS, 3)))
    series = rng.normal(size=(2, 5, CHANNELS))
    owner = np.repeat(np.arange(5)[:, None], CHANNELS, axis=1)
    layout = {"kind": "windows", "rows": 1, "columns": 5}
    features = FeatureMap(tuple(f"t{i}" for i in range(5)), {"series": owner}, layout)
    rows = Rows({"series": series}, np.array([1, 2]), References({"series": np.zeros((1, 1, 5, CHANNELS))}), features)
    capabilities = {"Predictor", "Differentiable", "LayerDifferentiable", "AttentionReadable"}
    return Bench(
        "series attentive", "series", model, rows, facts_of(rows, capabilities, model.layers, 3), score="logit"
    )


def stacked_bench() -> Bench:
    """Three rows of six columns and two references; a third of the hidden units is off for all of them, the rest is on."""
    rng = np.random.default_rng(23)
    bias = np.where(np.arange(12) % 3 == 0, -9.0, 9.0)
    model = Stacked(rng.uniform(-1, 1, (6, 12)), bias, rng.normal(size=(12, 3)))
    features = FeatureMap(tuple("abcdef"), {"x": np.arange(6)})
    drawn = rng.uniform(-1, 1, (5, 6))
    rows = Rows({"x": drawn[:3]}, np.array([0, 1, 2]), References({"x": drawn[None, 3:]}), features)
    capabilities = {"Predictor", "Differentiable", "LayerDifferentiable"}
    return Bench(
        "table stacked",
        "tabular",
        model,
        rows,
        facts_of(rows, capabilities, model.layers, 3),
        additive=True,
        score="logit",
    )


def layered_benches() -> list[Bench]:
    return [convolved_bench(), volumes_bench(), attentive_bench(), stacked_bench()]
