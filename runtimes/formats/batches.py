"""Rows in the layout that a model declares: names, dtypes, shapes, and slices of a bearable size."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.capabilities import Inputs
from runtimes.target import TensorFacts

Arrays = dict[str, NDArray[Any]]

_INPUT_BYTES_PER_CALL = 2**20
"""Measured on the MNIST network: calls of 64 to 1,024 rows are up to twice as fast as 4,096, by the cache."""

_WIDEST_BYTES_PER_CALL = 2**21
"""Measured on networks of digits, sentences and movements, whose widest tensor takes 43, 9 and 16 KB a row: fastest at 64, 256
and 64 to 128 rows a call, by a fifth to a quarter over what the size of their inputs alone would allow."""


def rows_that_fit(tensors: Sequence[TensorFacts], most: int, widest: int = 0) -> int:
    """How many rows one call should hold: at least 8 and at most ``most``.

    Args:
        tensors: the inputs, of which a call holds 1 MiB.
        most: rows.
        widest: bytes of one row of the widest tensor in between, of which a call makes 2 MiB; 0 where it is not known.
    """
    per_row = 0
    for tensor in tensors:
        elements = int(np.prod([size or 1 for size in tensor.shape[1:]]))
        per_row += elements * (16 if tensor.dtype == "str" else np.dtype(tensor.dtype).itemsize)
    fit = min(_INPUT_BYTES_PER_CALL // max(per_row, 1), _WIDEST_BYTES_PER_CALL // max(widest, 1))
    return int(np.clip(fit, 8, most))


def conform(inputs: Inputs, tensors: Sequence[TensorFacts]) -> Arrays:
    """The inputs in the model's order and dtype.

    Raises:
        ValueError: a name, shape, number of rows or value that the model cannot take.
    """
    declared = [tensor.name for tensor in tensors]
    if set(inputs) != set(declared):
        raise ValueError(f"the model reads the inputs {declared}, not {sorted(inputs)}")
    rows = {name: len(array) for name, array in inputs.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"the inputs have different numbers of rows: {rows}")
    return {tensor.name: _conform_one(np.asarray(inputs[tensor.name]), tensor) for tensor in tensors}


def _conform_one(array: NDArray[Any], tensor: TensorFacts) -> NDArray[Any]:
    wanted = tensor.shape[1:]
    fits = len(array.shape) == len(tensor.shape) and all(
        size is None or size == found for size, found in zip(wanted, array.shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(f"input `{tensor.name}` has shape {array.shape}, the model reads (rows, {wanted})")
    if tensor.dtype == "str":
        return array.astype(object)
    dtype = np.dtype(tensor.dtype)
    if array.dtype == dtype:
        return np.ascontiguousarray(array)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"input `{tensor.name}` holds {array.dtype}, the model reads {dtype}")
    with np.errstate(invalid="ignore"):
        cast = array.astype(dtype)
    if dtype.kind in "iub" and not np.array_equal(cast, array):
        raise ValueError(f"input `{tensor.name}` is {dtype} in the model, but holds values that are not")
    return np.ascontiguousarray(cast)


def probe(tensors: Sequence[TensorFacts]) -> Arrays:
    """One row of zeros (or of a fixed number of rows), to learn an answer's width: no rows break some kernels."""
    return {
        tensor.name: np.zeros([size or 1 for size in tensor.shape], object if tensor.dtype == "str" else tensor.dtype)
        for tensor in tensors
    }


def n_rows(inputs: Mapping[str, NDArray[Any]]) -> int:
    """The number of rows of conformed inputs."""
    return len(next(iter(inputs.values())))


def slices(inputs: Mapping[str, NDArray[Any]], rows_per_call: int, fixed: int | None) -> Iterator[tuple[Arrays, int]]:
    """Parts of the inputs, each with its number of real rows.

    Where the model's row axis has a fixed size, the last part is padded with its own last row.
    """
    step = fixed or rows_per_call
    total = n_rows(inputs)
    for start in range(0, total, step):
        part = {name: array[start : start + step] for name, array in inputs.items()}
        real = n_rows(part)
        if fixed and real < fixed:
            part = {
                name: np.concatenate([array, np.repeat(array[-1:], fixed - real, axis=0)])
                for name, array in part.items()
            }
        yield part, real
