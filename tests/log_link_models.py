"""Regressions with a log link as converters write them, with what they answer worked out in NumPy."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

COLUMNS = 5
RNG = np.random.default_rng(8)
WEIGHTS = RNG.normal(0.0, 0.4, (COLUMNS, 1)).astype(np.float32)
HIDDEN = RNG.normal(0.0, 0.5, (COLUMNS, 6)).astype(np.float32)
LAST = RNG.normal(0.0, 0.5, (6, 1)).astype(np.float32)
BIAS = np.float32([0.7])
ROWS = RNG.normal(0.0, 1.0, (40, COLUMNS)).astype(np.float32)


def model(nodes: list[Any], shape: Any = None, **held: Any) -> Any:
    """A graph from ``x`` to ``y``, whose shape is said where ONNX's own inference does not find it."""
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, COLUMNS])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    graph = helper.make_graph(nodes, "made", [x], [y], weights)
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


N = helper.make_node


def trees(output: str, post: str = "NONE", base: float = 0.25, lift: float = 0.0) -> Any:
    """Three trees of depth 2 over the columns, added to a base value: what a boosted ensemble is written as."""
    rng = np.random.default_rng(5)
    nodes: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "featureids", "modes", "values")}
    nodes |= {name: [] for name in ("truenodeids", "falsenodeids", "missing_value_tracks_true")}
    leaves: dict[str, list[Any]] = {name: [] for name in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(3):
        for node in range(7):
            inner = node < 3
            nodes["treeids"].append(tree)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(int(rng.integers(COLUMNS)) if inner else 0)
            nodes["modes"].append("BRANCH_LEQ" if inner else "LEAF")
            nodes["values"].append(float(np.float32(rng.normal(0, 0.5))) if inner else 0.0)
            nodes["truenodeids"].append(2 * node + 1 if inner else 0)
            nodes["falsenodeids"].append(2 * node + 2 if inner else 0)
            nodes["missing_value_tracks_true"].append(0)
            if not inner:
                leaves["treeids"].append(tree)
                leaves["nodeids"].append(node)
                leaves["ids"].append(0)
                leaves["weights"].append(float(np.float32(rng.normal(0, 0.4) + lift)))
    held = {f"nodes_{name}": value for name, value in nodes.items()}
    held |= {f"target_{name}": value for name, value in leaves.items()}
    about: dict[str, Any] = {"domain": "ai.onnx.ml", "n_targets": 1, "post_transform": post, "base_values": [base]}
    return N("TreeEnsembleRegressor", ["x"], [output], **about, **held)


def trees_said(x: np.ndarray, base: float = 0.25, lift: float = 0.0) -> np.ndarray:
    """What those trees add up to, walked one row at a time."""
    held = {attribute.name: helper.get_attribute_value(attribute) for attribute in trees("y", lift=lift).attribute}
    total = np.full(len(x), base)
    for i, row in enumerate(x):
        for tree in range(3):
            node = 0
            while held["nodes_modes"][7 * tree + node] == b"BRANCH_LEQ":
                place = 7 * tree + node
                left = row[held["nodes_featureids"][place]] <= held["nodes_values"][place]
                node = 2 * node + (1 if left else 2)
            total[i] += held["target_weights"][4 * tree + node - 3]
    return total


def glm_logs(x: np.ndarray) -> np.ndarray:
    """The sum below the link."""
    return x.astype(np.float64) @ WEIGHTS[:, 0] + float(BIAS[0])


def network_logs(x: np.ndarray) -> np.ndarray:
    """The same of a network of one hidden layer."""
    return np.maximum(x.astype(np.float64) @ HIDDEN, 0.0) @ LAST[:, 0] + float(BIAS[0])


@dataclass(frozen=True)
class Case:
    """A file and the logarithm of what it answers."""

    make: Callable[[], Any]
    logs: Callable[[np.ndarray], np.ndarray]
    capability: str = ""


_NETWORK = [
    N("MatMul", ["x", "v"], ["h"]),
    N("Relu", ["h"], ["r"]),
    N("Gemm", ["r", "w", "b"], ["z"]),
]

READ = {
    "skl2onnx's generalised linear model": Case(
        lambda: model(
            [N("MatMul", ["x", "w"], ["p"]), N("Add", ["p", "b"], ["s"]), N("Exp", ["s"], ["e"]), N("Reshape", ["e", "sizes"], ["y"])],
            w=WEIGHTS[:, 0], b=BIAS, sizes=np.int64([-1, 1]),
        ),
        glm_logs,
        "LinearModel",
    ),
    "a product and an Exp": Case(
        lambda: model([N("Gemm", ["x", "w", "b"], ["s"]), N("Exp", ["s"], ["y"])], w=WEIGHTS, b=BIAS), glm_logs, "LinearModel"
    ),
    "a linear regressor of ai.onnx.ml": Case(
        lambda: model(
            [N("LinearRegressor", ["x"], ["s"], domain="ai.onnx.ml", coefficients=WEIGHTS[:, 0].tolist(), intercepts=BIAS.tolist()),
             N("Exp", ["s"], ["y"])],
            shape=["rows", 1],
        ),
        glm_logs,
        "LinearModel",
    ),
    "an exposure that is a constant": Case(
        lambda: model(
            [N("Gemm", ["x", "w", "b"], ["s"]), N("Exp", ["s"], ["e"]), N("Div", ["e", "c"], ["y"])],
            w=WEIGHTS, b=BIAS, c=np.float32(4.0),
        ),
        lambda x: glm_logs(x) - np.log(4.0),
        "LinearModel",
    ),
    "LightGBM's trees and an Exp": Case(lambda: model([trees("s"), N("Exp", ["s"], ["y"])]), trees_said, "TreeEnsemble"),
    "XGBoost's trees, an Exp, and the base score as a factor": Case(
        lambda: model([trees("s", base=0.0), N("Exp", ["s"], ["e"]), N("Mul", ["e", "c"], ["y"])], c=np.float32([1.7])),
        lambda x: trees_said(x, base=float(np.log(np.float32(1.7)))),
        "TreeEnsemble",
    ),
    "trees with a base value of their own node": Case(
        lambda: model([trees("s", base=0.0), N("Sub", ["s", "c"], ["t"]), N("Exp", ["t"], ["y"])], c=np.float32([[0.5]])),
        lambda x: trees_said(x, base=-0.5),
        "TreeEnsemble",
    ),
    "a network and an Exp": Case(lambda: model([*_NETWORK, N("Exp", ["z"], ["y"])], v=HIDDEN, w=LAST, b=BIAS), network_logs),
    "a network squeezed to a vector": Case(
        lambda: model(
            [*_NETWORK, N("Exp", ["z"], ["e"]), N("Squeeze", ["e", "axis"], ["y"])], v=HIDDEN, w=LAST, b=BIAS, axis=np.int64([1])
        ),
        network_logs,
    ),
}  # fmt: skip
"""Files in which the sum below the Exp can be read."""

RECOVERED = {
    "a network and a Softplus": Case(
        lambda: model([*_NETWORK, N("Softplus", ["z"], ["y"])], v=HIDDEN, w=LAST, b=BIAS),
        lambda x: np.log(np.logaddexp(0.0, network_logs(x))),
    ),
    "an Exp and a little more": Case(
        lambda: model(
            [*_NETWORK, N("Exp", ["z"], ["e"]), N("Max", ["e", "least"], ["y"])], v=HIDDEN, w=LAST, b=BIAS, least=np.float32(1e-6)
        ),
        network_logs,
    ),
    "a forest whose leaves are above 0": Case(
        lambda: model([trees("y", base=0.0, lift=3.0)]), lambda x: np.log(trees_said(x, base=0.0, lift=3.0))
    ),
}  # fmt: skip
"""Files of which the logarithm of the answer is taken."""


def keras_network(end: str) -> Any:
    """The same network in Keras, with another end: an activation, an Activation layer, or an operation."""
    import keras

    x = keras.Input((5,), name="x")
    hidden = keras.layers.Dense(6, "relu", use_bias=False, name="hidden")
    last = keras.layers.Dense(1, None if end in ("op", "layer") else end, name="last")
    z = last(hidden(x))
    y = keras.ops.exp(z) if end == "op" else keras.layers.Activation("exponential")(z) if end == "layer" else z
    made = keras.Model(x, y)
    hidden.set_weights([HIDDEN])
    last.set_weights([LAST, BIAS])
    return made
