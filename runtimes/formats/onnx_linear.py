"""Linear models in ONNX files as coefficients, and the views in which they are linear.

The graph is read backwards from the score to its only input; every step on the way has to be affine with constants: Gemm,
MatMul, Add, Sub, Mul, Div, Scaler, LinearRegressor, LinearClassifier, and what only passes numbers on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.capabilities import Floats
from runtimes.formats.onnx_file import FLOATS, Tail, attributes, keeps_rows, tensor_facts

_MOST_COLUMNS = 100_000
_PASSING = frozenset({"Identity", "Cast", "Dropout", "Flatten", "Reshape", "Squeeze"})
"""They change nothing of numbers in rows and columns (a cast is checked to be one to floats)."""


@dataclass(frozen=True)
class Affine:
    """``x @ coefficients + intercept``."""

    coefficients: Floats
    """``(columns, outputs)``."""
    intercept: Floats
    """``(outputs,)``."""
    input_name: str
    link: str
    """What the model makes of it: ``softmax``, ``sigmoid``, ``exp``, ``linear``, or ``logistic`` (a classifier of two classes)."""

    @property
    def scores(self) -> frozenset[str]:
        """The scores that are affine in the columns."""
        if self.link == "linear":
            return frozenset({"value", "logit"})
        if self.link == "exp":
            return frozenset({"log_value"})
        if self.link == "logistic":
            return frozenset({"log_odds"})
        if self.link == "sigmoid":
            return frozenset({"logit", "log_odds"})
        return frozenset({"logit", "log_odds"} if self.coefficients.shape[1] == 2 else {"logit"})

    def view(self, score: str, task: str) -> tuple[Floats, Floats]:
        """Coefficients and intercept of one of `scores`, with a view's columns."""
        held = np.concatenate([self.coefficients, self.intercept[None]])
        if self.link in ("sigmoid", "linear") and held.shape[1] == 1 and score != "value" and task == "classification":
            held = np.concatenate([-held, held], axis=1)
        if self.link in ("softmax", "logistic") and score == "log_odds":
            apart = held[:, 1:] - held[:, :1] if self.link == "softmax" else held
            held = np.concatenate([-apart, apart], axis=1)
        return held[:-1], held[-1]


def read_linear(model: Any, tail: Tail) -> Affine | None:
    """The affine map below a graph's scores; None where there is none, or another step stands in between."""
    inputs = [tensor_facts(value) for value in model.graph.input]
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    inputs = [tensor for tensor in inputs if tensor.name not in weights]
    if len(inputs) != 1 or len(inputs[0].shape) != 2 or inputs[0].dtype not in FLOATS or not inputs[0].shape[1]:
        return None
    columns = inputs[0].shape[1]
    if columns > _MOST_COLUMNS or any(node.domain not in ("", "ai.onnx", "ai.onnx.ml") for node in model.graph.node):
        return None
    makers = {name: node for node in model.graph.node for name in node.output}
    start, link = tail.logits, tail.activation
    if link == "softmax" and tail.axis not in (-1, 1):
        return None
    if link == "":
        found = _classifier_below(makers, tail.scores)
        if found is None:
            return None
        start, link = found, "logistic"
    if link not in ("softmax", "sigmoid", "exp", "linear", "logistic"):
        return None
    way: list[Any] = []
    name = start
    while name != inputs[0].name:
        node = makers.get(name)
        constants = {held: _constant(held, weights, makers) for held in node.input} if node is not None else {}
        followed = [held for held, value in constants.items() if value is None and held]
        if node is None or len(followed) != 1 or len(way) > len(model.graph.node):
            return None
        way.append((node, constants))
        name = followed[0]
    held = np.concatenate([np.eye(columns), np.zeros((1, columns))])  # the last row is the constant part
    for node, constants in reversed(way):
        step = _STEPS.get(node.op_type)
        through = None if step is None else step(node, constants, held)
        if through is None:
            return None
        held = through
    if not np.isfinite(held).all() or (link == "logistic" and held.shape[1] != 1):
        return None
    return Affine(held[:-1], held[-1], inputs[0].name, link)


def _classifier_below(makers: dict[str, Any], name: str) -> str | None:
    """The scores of a LinearClassifier of two classes whose probabilities are one logistic curve."""
    while (node := makers.get(name)) is not None and node.op_type in ("Identity", "Cast", "Normalizer"):
        name = node.input[0]
    if node is None or node.op_type != "LinearClassifier" or name != node.output[1]:
        return None
    return name


def _constant(name: str, weights: dict[str, Any], makers: dict[str, Any]) -> Any:
    """The numbers of a constant; None where it depends on the input."""
    import onnx

    if name in weights:
        # Weights beside the file are only asked for by the session.
        tensor = weights[name]
        return None if tensor.data_location == tensor.EXTERNAL else onnx.numpy_helper.to_array(tensor)
    node = makers.get(name)
    if node is not None and node.op_type == "Constant":
        value = attributes(node).get("value")
        return None if value is None else np.asarray(value)
    if node is not None and node.op_type in ("Identity", "Cast") and len(node.input) == 1:
        return _constant(node.input[0], weights, makers)
    return None


Step = Callable[[Any, dict[str, Any], Floats], Floats | None]
"""Node, constants by name (None: the number that is followed), and the affine map so far, ``(columns + 1, k)``: the next."""


def _passing(node: Any, constants: dict[str, Any], held: Floats) -> Floats | None:
    said = attributes(node)
    if node.op_type in ("Reshape", "Squeeze"):
        given = constants[node.input[1]] if len(node.input) > 1 else said.get("axes")
        columns = 1 if node.op_type == "Squeeze" or given is None else int(np.ravel(given)[-1])
        return held if keeps_rows(node.op_type, given) and held.shape[1] == abs(columns) else None
    if node.op_type == "Flatten" and said.get("axis", 1) != 1:
        return None
    return held if node.op_type != "Cast" or said.get("to") in (1, 10, 11) else None


def _product(node: Any, constants: dict[str, Any], held: Floats) -> Floats | None:
    weight = constants[node.input[1]]
    said = attributes(node)
    if weight is None or np.ndim(weight) not in (1, 2) or said.get("transA", 0):
        return None
    # the product with a vector is one number a row, which generalised linear models of scikit-learn reshape at their end
    matrix = np.asarray(weight, np.float64).reshape(len(weight), -1)
    matrix = matrix.T if said.get("transB", 0) else matrix
    found: Floats = said.get("alpha", 1.0) * (held @ matrix)
    if len(node.input) > 2 and node.input[2]:
        added = _across(constants[node.input[2]], found.shape[1])
        if added is None:
            return None
        found[-1] += said.get("beta", 1.0) * added
    return found


def _across(value: Any, columns: int) -> Floats | None:
    """A constant that is the same for all rows, as one number for each column."""
    if value is None:
        return None
    flat = np.asarray(value, np.float64)
    if flat.size not in (1, columns) or (flat.ndim > 1 and flat.size != flat.shape[-1]) or flat.ndim > 2:
        return None
    return np.broadcast_to(flat.reshape(-1), (columns,)).copy()


def _arithmetic(node: Any, constants: dict[str, Any], held: Floats) -> Floats | None:
    first, second = (constants[name] for name in node.input)
    number = _across(second if first is None else first, held.shape[1])
    if number is None:
        return None
    found = held.copy()
    if node.op_type == "Mul":
        return found * number
    if node.op_type == "Div":
        return found / number if first is None else None
    if node.op_type == "Sub" and first is not None:
        found = -found
    found[-1] += number if node.op_type == "Add" or first is not None else -number
    return found


def _scaler(node: Any, constants: dict[str, Any], held: Floats) -> Floats | None:  # noqa: ARG001
    said = attributes(node)
    offset = _across(np.asarray(said.get("offset") or [0.0]), held.shape[1])
    scale = _across(np.asarray(said.get("scale") or [1.0]), held.shape[1])
    if offset is None or scale is None:
        return None
    found = held.copy()
    found[-1] -= offset
    return found * scale


def _regressor(node: Any, constants: dict[str, Any], held: Floats) -> Floats | None:  # noqa: ARG001
    said = attributes(node)
    if said.get("post_transform", "NONE") != "NONE":
        return None
    return _weighted(said, int(said.get("targets", 1)), held)


def _classifier(node: Any, constants: dict[str, Any], held: Floats) -> Floats | None:  # noqa: ARG001
    """Two classes: the log-odds of the second one, as one column; otherwise one column for each class."""
    said = attributes(node)
    rows, uneven = divmod(len(said.get("coefficients", ())), held.shape[1])
    labels = said.get("classlabels_ints") or said.get("classlabels_strings") or ()
    post = said.get("post_transform", "NONE")
    found = None if uneven or not rows else _weighted(said, rows, held)
    if found is None or post == "NONE":
        return found if found is not None and rows == len(labels) > 2 else None
    if len(labels) != 2:
        return None
    if post == "SOFTMAX" and rows == 2:
        return found[:, 1:] - found[:, :1]
    # one logistic curve for each column: they are of one model where the columns mirror each other
    if post == "LOGISTIC" and rows == 2 and np.allclose(found[:, 0], -found[:, 1], rtol=1e-6, atol=1e-9):
        return found[:, 1:]
    return None


def _weighted(said: dict[str, Any], rows: int, held: Floats) -> Floats | None:
    coefficients = np.asarray(said.get("coefficients", ()), np.float32).astype(np.float64)
    if coefficients.size != rows * held.shape[1]:
        return None
    found: Floats = held @ coefficients.reshape(rows, -1).T
    intercepts = np.asarray(said.get("intercepts") or np.zeros(rows), np.float64)
    if len(intercepts) != rows:
        return None
    found[-1] += intercepts
    return found


_STEPS: dict[str, Step] = {
    **dict.fromkeys(_PASSING, _passing),
    **dict.fromkeys(("Gemm", "MatMul"), _product),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _arithmetic),
    "Scaler": _scaler,
    "LinearRegressor": _regressor,
    "LinearClassifier": _classifier,
}
