"""Networks that relevance can be propagated through, for the laws: the reference network, with and without biases."""

from itertools import pairwise

import numpy as np

from pgx_compiler.methods.laws import Bench
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from runtimes.capabilities import View
from runtimes.frameworks.reference import Network, ReferenceModel
from runtimes.target import ModelFacts, TensorFacts


def network_rows(rng: np.random.Generator) -> Rows:
    """Eight columns in six features; columns 0 and 1 are equal everywhere, column 7 is feature f."""
    x, others = rng.normal(size=(3, 8)), rng.normal(size=(1, 4, 8))
    for array in (x, others):
        array[..., 1] = array[..., 0]
    features = FeatureMap(tuple("abcdef"), {"x": np.array([0, 1, 2, 3, 3, 4, 4, 5])})
    return Rows({"x": x}, rng.integers(0, 3, 3), References({"x": others}), features)


def network(rng: np.random.Generator, *, biases: bool) -> Network:
    """8 - 7 - 5 - 3 with tanh; does not read column 7, and treats columns 0 and 1 alike."""
    sizes = (8, 7, 5, 3)
    weights = [0.6 * rng.normal(size=pair) for pair in pairwise(sizes)]
    weights[0][7], weights[0][1] = 0.0, weights[0][0]
    offsets = [rng.normal(size=size) * float(biases) for size in sizes[1:]]
    return Network(tuple(weights), tuple(offsets), ("tanh", "tanh", "linear"))


def relevance_benches() -> list[Bench]:
    found = []
    for biases in (False, True):
        rng = np.random.default_rng(3)
        rows, made = network_rows(rng), network(rng, biases=biases)
        said = ModelFacts(
            format="reference",
            structure="network",
            inputs=(TensorFacts("x", (None, 8), "float64"),),
            outputs=(TensorFacts("output", (None, 3), "float64"),),
            capabilities=frozenset({"Predictor", "Differentiable", "RulePropagating"}),
            scores=frozenset({"value"}),
            n_outputs=3,
            parameters=0,
            operators={"Dense": 3},
            activation="linear",
        )
        name = f"dense network {'with' if biases else 'without'} biases"
        model = ReferenceModel(made, View("value", "regression"))
        bench = Bench(name, "tabular", model, rows, said, ignored=(5,), symmetric=((0, 1),), unbiased=not biases)
        found.append(bench)
    return found
