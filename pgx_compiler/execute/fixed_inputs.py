"""A handle some of whose inputs are given by the audit and not by the data; an ONNX file holds them itself."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.execute.forwarding import Arrays, Translation, in_front
from pgx_compiler.modalities.features import FIXED
from runtimes.adaptation import InputAdaptation, fixed_value, rows_axis
from runtimes.capabilities import IDS
from runtimes.formats.batches import probe
from runtimes.target import TensorFacts


class Fixing(Translation):
    """Inputs that are given with every row, and that nothing is said of."""

    def __init__(
        self, fixed: Mapping[str, NDArray[Any]], rows: Mapping[str, bool], tensors: Mapping[str, TensorFacts]
    ) -> None:
        self._fixed = fixed
        self._rows = rows
        """Whether each of them has an axis of rows, along which it is repeated."""
        self._tensors = tensors

    def given(self, inputs: Arrays) -> Arrays:
        """The rows with the fixed inputs."""
        rows = len(next(iter(inputs.values())))
        repeated = {
            name: np.broadcast_to(value, (rows, *value.shape[1:])) if self._rows[name] else value
            for name, value in self._fixed.items()
        }
        return {**inputs, **repeated}

    def owned(self, owners: Arrays) -> Arrays:
        """The owners, and nobody's elements for the fixed inputs."""
        return {**owners, **{name: np.full(value.shape[1:], FIXED) for name, value in self._fixed.items()}}

    def found(self, arrays: Arrays) -> Arrays:
        """What is said of the inputs that are not fixed."""
        return {name: array for name, array in arrays.items() if name.removesuffix(IDS) not in self._fixed}

    def above(self, handle: Any) -> Translation:
        """What the fixed inputs are looked up as is fixed there as well."""
        made = handle.embed({**probe(list(self._tensors.values())), **self._fixed})
        fixed = {name: array for name, array in made.items() if name.removesuffix(IDS) in self._fixed}
        return Fixing(fixed, {name: self._rows[name.removesuffix(IDS)] for name in fixed}, {})


def with_fixed(handle: Any, tensors: Mapping[str, TensorFacts], said: Mapping[str, InputAdaptation]) -> Any:
    """The handle with its fixed inputs supplied; ``tensors`` are the model's own inputs by name."""
    fixed: dict[str, NDArray[Any]] = {}
    rows: dict[str, bool] = {}
    for name, one in said.items():
        if one.fixed is not None:
            tensor = tensors[name]
            fixed[name] = fixed_value(tensor.shape, tensor.dtype, one)
            rows[name] = rows_axis(tensor.shape, one) is not None
    return in_front(handle, Fixing(fixed, rows, tensors)) if fixed else handle
