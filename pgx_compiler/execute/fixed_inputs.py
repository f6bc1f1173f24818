"""A handle some of whose inputs are given by the audit and not by the data; an ONNX file holds them itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.adaptation import InputAdaptation, fixed_value, rows_axis
from runtimes.capabilities import Differentiable, Floats, Inputs, Integers, Predictor, Rules, Spent
from runtimes.target import TensorFacts


class FixedPredictor:
    """A black box asked without its fixed inputs, which are given for as many rows as there are."""

    def __init__(self, handle: Predictor, fixed: Mapping[str, NDArray[Any]], rows: Mapping[str, bool]) -> None:
        self._handle: Any = handle
        self._fixed = fixed
        self._rows = rows

    @property
    def rows_per_call(self) -> int:
        """As the handle says."""
        return int(self._handle.rows_per_call)

    @property
    def spent(self) -> Spent:
        """As the handle counts."""
        spent: Spent = self._handle.spent
        return spent

    def predict(self, inputs: Inputs) -> Floats:
        """Scores, ``(rows, outputs)``."""
        scores: Floats = self._handle.predict(self._whole(inputs))
        return scores

    def _whole(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        rows = len(next(iter(inputs.values())))
        given = {
            name: np.broadcast_to(value, (rows, *value.shape[1:])) if self._rows[name] else value
            for name, value in self._fixed.items()
        }
        return {**inputs, **given}


class FixedDifferentiable(FixedPredictor):
    """A white box asked without its fixed inputs."""

    def gradient(self, inputs: Inputs, target: Integers) -> Inputs:
        """Gradients of the inputs that are not fixed."""
        found: Inputs = self._handle.gradient(self._whole(inputs), target)
        return {name: found[name] for name in inputs}

    def relevance(
        self, inputs: Inputs, target: Integers, rules: Rules, low: Inputs | None = None, high: Inputs | None = None
    ) -> Inputs:
        """Relevance of the inputs that are not fixed, where the handle is `RulePropagating`."""
        box = [None if side is None else self._whole(side) for side in (low, high)]
        found: Inputs = self._handle.relevance(self._whole(inputs), target, rules, *box)
        return {name: found[name] for name in inputs}

    def rescaled_contributions(self, inputs: Inputs, references: Inputs, target: Integers) -> Inputs:
        """Contributions of the inputs that are not fixed, where the handle is `RulePropagating`."""
        found: Inputs = self._handle.rescaled_contributions(self._whole(inputs), self._whole(references), target)
        return {name: found[name] for name in inputs}


def with_fixed(handle: Any, tensors: Mapping[str, TensorFacts], said: Mapping[str, InputAdaptation]) -> Any:
    """The handle with its fixed inputs supplied; ``tensors`` are the model's own inputs by name."""
    fixed: dict[str, NDArray[Any]] = {}
    rows: dict[str, bool] = {}
    for name, one in said.items():
        if one.fixed is not None:
            tensor = tensors[name]
            fixed[name] = fixed_value(tensor.shape, tensor.dtype, one)
            rows[name] = rows_axis(tensor.shape, one) is not None
    if not fixed:
        return handle
    return (FixedDifferentiable if isinstance(handle, Differentiable) else FixedPredictor)(handle, fixed, rows)
