"""A small NumPy network with analytic gradients in float64: slow, plain, and the oracle of every other runtime.

A ``.refnet.npz`` file holds ``weights_0`` ``(inputs, units)``, ``bias_0`` ``(units,)``, … and ``activations``, one
word for each layer; ``input_name`` and ``input_shape`` may say how the input is called and shaped (default: ``x``, a
vector).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Floats, Inputs, Integers, Rules, Spent, View
from runtimes.datasets import DataFileError
from runtimes.datasets.npz import read_arrays
from runtimes.formats import dense_relevance
from runtimes.formats.batches import conform, n_rows
from runtimes.formats.scores import check_probabilities, log_odds_of_softmax, two_columns
from runtimes.target import LayerFacts, ModelFacts, ModelFileError, Target, TensorFacts

TARGET = Target(
    name="reference",
    formats=("reference",),
    suffixes=(".refnet.npz",),
    capabilities=frozenset({"Predictor", "Differentiable", "RulePropagating"}),
    distributions=("numpy",),
    price=10.0,
)


def _sigmoid(z: Floats) -> Floats:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * z)), np.float64)


_ACTIVATIONS: Mapping[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "linear": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: (z > 0).astype(np.float64)),
    "tanh": (np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
    "softplus": (lambda z: np.logaddexp(0.0, z), _sigmoid),
    "sigmoid": (_sigmoid, lambda z: _sigmoid(z) * (1.0 - _sigmoid(z))),
    "exp": (np.exp, np.exp),
}
"""Name to the function and its derivative; ``softmax`` stands at the end only and is handled there."""


@dataclass(frozen=True)
class Network:
    """A multi-layer perceptron: x, then act(x W + b) for each layer."""

    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]
    activations: tuple[str, ...]
    input_name: str = "x"
    input_shape: tuple[int, ...] = field(default=())
    """Without the row axis; empty: a vector as long as the first weights."""

    @property
    def inputs(self) -> tuple[TensorFacts, ...]:
        """The single input, float64."""
        shape = self.input_shape or (len(self.weights[0]),)
        return (TensorFacts(self.input_name, (None, *shape), "float64"),)


def linear(weights: NDArray[Any], bias: NDArray[Any] | float = 0.0, activation: str = "linear") -> Network:
    """act(x W + b). ``weights`` is ``(inputs,)`` or ``(inputs, outputs)``."""
    matrix = np.asarray(weights, np.float64).reshape(len(weights), -1)
    return Network((matrix,), (np.broadcast_to(np.float64(bias), matrix.shape[1:]).copy(),), (activation,))


def additive(slopes: NDArray[Any], activation: str, bias: float = 0.0) -> Network:
    """Make bias + sum over i of slopes[i] * activation(x[i]): every attribution of it is known in closed form."""
    slopes = np.asarray(slopes, np.float64)
    size = len(slopes)
    return Network((np.eye(size), slopes[:, None]), (np.zeros(size), np.array([float(bias)])), (activation, "linear"))


def random_network(
    rng: np.random.Generator, sizes: Sequence[int], hidden: str = "relu", output: str = "linear"
) -> Network:
    """A network of the given layer sizes, inputs first, with normal weights of variance 1 / inputs."""
    pairs = list(pairwise(sizes))
    return Network(
        tuple(rng.normal(0.0, 1.0 / np.sqrt(before), (before, after)) for before, after in pairs),
        tuple(rng.normal(0.0, 0.1, after) for _, after in pairs),
        (*[hidden] * (len(pairs) - 1), output),
    )


def save(network: Network, path: Path) -> None:
    """Write a network as a ``.refnet.npz`` file."""
    arrays: dict[str, Any] = {f"weights_{i}": weight for i, weight in enumerate(network.weights)}
    arrays |= {f"bias_{i}": bias for i, bias in enumerate(network.biases)}
    with path.open("wb") as file:
        np.savez(
            file,
            activations=np.array(network.activations),
            input_name=np.array(network.input_name),
            input_shape=np.array(network.input_shape, np.int64),
            **arrays,
        )


def load(path: Path) -> Network:
    """Read a ``.refnet.npz`` file. Raises `ModelFileError`."""
    try:
        arrays = read_arrays(path)
    except DataFileError as error:
        raise ModelFileError(error.reason, error.help) from error
    words = tuple(str(word) for word in arrays.get("activations", np.array([])))
    advice = "write it with `runtimes.frameworks.reference.save`"
    try:
        weights = tuple(np.asarray(arrays[f"weights_{i}"], np.float64) for i in range(len(words)))
        biases = tuple(np.asarray(arrays[f"bias_{i}"], np.float64) for i in range(len(words)))
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"`{path.name}` lacks the array {error}", advice) from error
    known = {*_ACTIVATIONS, "softmax"}
    fits = all(weight.shape[1:] == bias.shape for weight, bias in zip(weights, biases, strict=True))
    chained = all(a.shape[1] == len(b) for a, b in pairwise(weights)) if fits else False
    if not words or not set(words) <= known or "softmax" in words[:-1] or not fits or not chained:
        raise ModelFileError(f"`{path.name}` is no chain of dense layers with known activations", advice)
    shape = tuple(int(size) for size in arrays.get("input_shape", np.array([])))
    if shape and prod(shape) != len(weights[0]):
        raise ModelFileError(f"`{path.name}`: the input shape {shape} does not fit {len(weights[0])} weights", advice)
    return Network(weights, biases, words, str(arrays.get("input_name", "x")), shape)


def inspect(path: Path) -> ModelFacts:
    """Read static facts of a reference network. Raises `ModelFileError`."""
    network = load(path)
    columns = network.weights[-1].shape[1]
    activation = network.activations[-1]
    return ModelFacts(
        format="reference",
        structure="linear" if len(network.weights) == 1 else "network",
        inputs=network.inputs,
        outputs=(TensorFacts("output", (None, columns), "float64"),),
        capabilities=TARGET.capabilities,
        scores=scores_of(activation),
        n_outputs=2 if activation == "sigmoid" and columns == 1 else columns,
        parameters=sum(array.size for array in (*network.weights, *network.biases)),
        operators={"Dense": len(network.weights)},
        producer="reference",
        activation=activation,
        layers=tuple(
            LayerFacts(f"layer_{i}", "Dense", {"units": weight.shape[1], "activation": word})
            for i, (weight, word) in enumerate(zip(network.weights, network.activations, strict=True))
        ),
        work_per_row=sum(weight.size for weight in network.weights),
    )


def scores_of(activation: str) -> frozenset[str]:
    """The scores of a network that ends in an activation."""
    if activation == "softmax":
        return frozenset({"logit", "probability", "log_odds"})
    if activation == "sigmoid":
        return frozenset({"logit", "probability", "log_odds", "value"})
    if activation == "exp":
        return frozenset({"value", "log_value"})
    return frozenset({"logit", "value"}) if activation == "linear" else frozenset({"value"})


def open_model(path: Path, view: View) -> "ReferenceModel":
    """Open a reference network for one view. Raises `ModelFileError`."""
    return ReferenceModel(load(path), view, path.name)


class ReferenceModel:
    """A network in one view; see `runtimes.capabilities.Differentiable`."""

    def __init__(self, network: Network, view: View | None = None, name: str = "network") -> None:
        view = view or View("value", "regression")
        possible = scores_of(network.activations[-1])
        if view.score not in possible:
            raise ModelFileError(
                f"`{name}` cannot give the score `{view.score}`", f"it can give {', '.join(sorted(possible))}"
            )
        self.network = network
        self.view = view
        self.rows_per_call = 4096
        self.spent = Spent()

    @property
    def _doubles(self) -> bool:
        """True where a single column is seen as two."""
        single = self.network.weights[-1].shape[1] == 1
        return single and self.view.score != "value" and self.view.task == "classification"

    def _forward(self, inputs: Inputs) -> list[Floats]:
        """What goes into each activation, layer by layer; the last is the logit."""
        x = conform(inputs, self.network.inputs)[self.network.input_name]
        x = x.reshape(len(x), len(self.network.weights[0])).astype(np.float64)
        sums = []
        for weight, bias, word in zip(self.network.weights, self.network.biases, self.network.activations, strict=True):
            # One product a row: a whole-batch product may round differently with the number of rows.
            sums.append(np.einsum("ri,io->ro", x, weight) + bias)
            if word != "softmax":
                x = _ACTIVATIONS[word][0](sums[-1])
        return sums

    def predict(self, inputs: Inputs) -> Floats:
        """The view's score, ``(rows, outputs)`` float64. Raises ValueError for rows that it cannot read."""
        logits = self._forward(inputs)[-1]
        self.spent.forward += len(logits)
        word, score = self.network.activations[-1], self.view.score
        if score == "log_odds" and word == "softmax":
            return log_odds_of_softmax(logits)
        if score in ("logit", "log_odds", "log_value"):
            return two_columns(logits, score) if self._doubles else logits
        out = _softmax(logits) if word == "softmax" else _ACTIVATIONS[word][0](logits)
        if score == "probability":
            out = two_columns(out, score) if self._doubles else out
            check_probabilities(out, sum_to_one=word == "softmax")
        return np.asarray(out, np.float64)

    def gradient(self, inputs: Inputs, target: Integers) -> Inputs:
        """Compute d score[row, target[row]] / d input, by the chain rule written out."""
        arrays = conform(inputs, self.network.inputs)
        sums = self._forward(inputs)
        rows = n_rows(arrays)
        slope = self._seed(sums[-1], np.asarray(target))
        for place in range(len(sums) - 1, -1, -1):
            if place < len(sums) - 1:
                slope = slope * _ACTIVATIONS[self.network.activations[place]][1](sums[place])
            slope = np.einsum("ro,io->ri", slope, self.network.weights[place])
        self.spent.backward += rows
        return {self.network.input_name: slope.reshape(arrays[self.network.input_name].shape)}

    def relevance(
        self, inputs: Inputs, target: Integers, rules: Rules, low: Inputs | None = None, high: Inputs | None = None
    ) -> Inputs:
        """Trace each row's score back to its inputs; see `runtimes.capabilities.RulePropagating`.

        Raises:
            ValueError: the score is no sum that could be shared out.
        """
        word, kind = self.network.activations[-1], self.view.score
        if kind == "probability" or (kind == "log_odds" and word == "softmax"):
            raise ValueError("relevance starts from a logit or a value; a probability of several classes is no sum")
        x, start = self._flat(inputs), self._slope_of_output(np.asarray(target), n_rows(inputs))
        name = self.network.input_name
        score = self.predict({name: inputs[name]})[np.arange(len(x)), target]
        self.spent.forward -= len(x)
        self.spent.backward += len(x)
        box = None if low is None or high is None else (self._flat(low), self._flat(high))
        found = dense_relevance.relevance(self._layers(), x, np.abs(start) * score[:, None], rules, box)
        return {name: found.reshape(inputs[name].shape)}

    def rescaled_contributions(self, inputs: Inputs, references: Inputs, target: Integers) -> Inputs:
        """Share each row's difference to its reference; see `runtimes.capabilities.RulePropagating`."""
        x, other = self._flat(inputs), self._flat(references)
        self.spent.forward += len(x)
        self.spent.backward += len(x)
        together = self.network.activations[-1] == "softmax" and self.view.score != "logit"
        start = self._slope_of_output(np.asarray(target), len(x))
        if together:  # A score of all the last sums at once: its slopes, averaged from reference to row.
            above, below = self._forward(inputs)[-1], self._forward(references)[-1]
            nodes, weights = np.polynomial.legendre.leggauss(32)
            start = np.zeros_like(above)
            for share, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
                start += weight * self._seed(below + share * (above - below), np.asarray(target))
        found = dense_relevance.rescaled(self._layers(summed=together), x, other, start)
        return {self.network.input_name: found.reshape(inputs[self.network.input_name].shape)}

    def _flat(self, inputs: Inputs) -> Floats:
        x = conform(inputs, self.network.inputs)[self.network.input_name]
        return np.asarray(x.reshape(len(x), len(self.network.weights[0])), np.float64)

    def _slope_of_output(self, target: Integers, rows: int) -> Floats:
        """D score / d what the last layer gives, ``(rows, columns)``, where the score is one of its numbers."""
        chosen = np.zeros((rows, self.network.weights[-1].shape[1]))
        if self._doubles:
            chosen[:, 0] = np.where(target == 1, 1.0, -1.0)
        else:
            chosen[np.arange(rows), target] = 1.0
        return chosen

    def _layers(self, *, summed: bool = False) -> list[dense_relevance.Layer]:
        """The layers; the last one without its activation where the score is the value below it, or sums are asked for."""
        words = list(self.network.activations)
        if summed or self.view.score in ("logit", "log_odds", "log_value"):
            words[-1] = "linear"
        return [
            dense_relevance.Layer(f"layer_{place}", weight, bias, *_ACTIVATIONS[word])
            for place, (weight, bias, word) in enumerate(
                zip(self.network.weights, self.network.biases, words, strict=True)
            )
        ]

    def _seed(self, logits: Floats, target: Integers) -> Floats:
        """Start the chain: d score[target] / d logits, ``(rows, columns)``."""
        word, score = self.network.activations[-1], self.view.score
        chosen = np.zeros_like(logits)
        if self._doubles:
            chosen[:, 0] = np.where(target == 1, 1.0, -1.0)
        else:
            chosen[np.arange(len(logits)), target] = 1.0
        if score in ("logit", "log_value") or (score == "log_odds" and word == "sigmoid"):
            return chosen
        if word != "softmax":
            return chosen * _ACTIVATIONS[word][1](logits)
        shares = _softmax(logits)
        own = (shares * chosen).sum(axis=1, keepdims=True)
        if score == "probability":
            return np.asarray(own * (chosen - shares), np.float64)
        return np.asarray(chosen - (1.0 - chosen) * shares / (1.0 - own), np.float64)


def _softmax(logits: Floats) -> Floats:
    scaled = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(scaled / scaled.sum(axis=1, keepdims=True), np.float64)
