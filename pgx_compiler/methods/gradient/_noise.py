"""Gradients at copies of a row with noise added: what SmoothGrad, VarGrad and SquareGrad are made of."""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Shape
from pgx_compiler.modalities.features import FIXED, Rows
from runtimes.capabilities import Differentiable, Floats
from runtimes.target import ModelFacts


class NoisyParams(Params):
    """Parameters of methods that look at the gradient around a row."""

    samples: Annotated[int, Field(ge=2)] = 50
    """Noisy copies of each row."""
    noise: Annotated[float, Field(gt=0, le=1)] = 0.15
    """Standard deviation of the noise, as a share of the input's range over the row and its references: of each
    column's own range in a table, of all elements together in an image or a series."""


def cost(params: NoisyParams, shape: Shape) -> Cost:
    """A gradient for each noisy copy."""
    return Cost(backward=shape.rows * params.samples)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with an input that noise can be added to."""
    if not any(tensor.dtype.startswith(("float", "bfloat")) for tensor in facts.inputs):
        return "the model reads no floating-point numbers, so that no noise can be added to its input"
    return None


def noisy_gradients(
    model: Differentiable, rows: Rows, params: NoisyParams, rng: np.random.Generator
) -> Iterator[tuple[int, Mapping[str, Floats]]]:
    """Each row's position with gradients at noisy copies of it, ``(copies, *feature shape)`` for each input.

    Rows come in order; one that does not fit a call comes several times. As many rows as fit share a call.
    """
    widths = _noise_widths(rows, params.noise)

    def copies(row: int, count: int) -> dict[str, NDArray[Any]]:
        return {name: _noisy(array[row], widths[name][row], count, rng) for name, array in rows.inputs.items()}

    together = max(1, model.rows_per_call // params.samples)
    for first in range(0, len(rows), together):
        part = range(first, min(first + together, len(rows)))
        for start in range(0, params.samples, model.rows_per_call):
            count = min(model.rows_per_call, params.samples - start)
            drawn = [copies(row, count) for row in part]
            points = {name: np.concatenate([one[name] for one in drawn]) for name in rows.inputs}
            gradient = model.gradient(points, np.repeat(rows.target[part.start : part.stop], count))
            for place, row in enumerate(part):
                yield row, {name: g[place * count : (place + 1) * count] for name, g in gradient.items()}


def averaged(
    model: Differentiable,
    rows: Rows,
    params: NoisyParams,
    rng: np.random.Generator,
    of: Callable[[int, Mapping[str, Floats]], Mapping[str, Floats]],
    skipped: int = 0,
) -> FeatureValues:
    """Means over the noisy copies of each row, with their standard errors.

    Args:
        model: asked for gradients.
        rows: the rows; of segments, one may have fewer features than there are at most.
        params: how many copies, and how noisy.
        rng: draws them.
        of: makes of a row's position and the gradients at copies of it what is averaged, of the same shape.
        skipped: how many of the first copies of a row are not averaged.
    """
    drawn: list[list[Floats]] = [[] for _ in range(len(rows))]
    for row, gradients in noisy_gradients(model, rows, params, rng):
        drawn[row].append(rows.features.of_row(row).sum_onto(of(row, gradients)))
    values = np.zeros((len(rows), len(rows.features)))
    error = np.zeros_like(values)
    for row, parts in enumerate(drawn):
        found = np.concatenate(parts)[skipped:]
        values[row, : found.shape[1]] = found.mean(axis=0)
        error[row, : found.shape[1]] = _error(found)
    return FeatureValues(values, error, {"samples": float(params.samples)})


def _error(found: Floats) -> Floats:
    """Standard error of a mean; of a single square (variance of two copies) √2 of it, as that of a normal variable squared."""
    if len(found) < 2:
        return np.asarray(np.sqrt(2.0) * np.abs(found[0]), np.float64)
    return np.asarray(found.std(axis=0, ddof=1) / np.sqrt(len(found)), np.float64)


def _noise_widths(rows: Rows, noise: float) -> dict[str, Floats]:
    """Standard deviation of the noise for each element of each row; 0 where an element is never perturbed."""
    widths: dict[str, Floats] = {}
    for name, array in rows.inputs.items():
        if not np.issubdtype(array.dtype, np.floating):
            widths[name] = np.zeros(array.shape)
            continue
        together = tuple(range(1, array.ndim)) if array.ndim > 2 else ()
        others = rows.references.inputs[name]
        high, low = (
            _over(which.reduce(others, axis=1), array, which, together) for which in (np.fmax, np.fmin)
        )  # a missing value is no end of a range
        span = np.broadcast_to(high.astype(np.float64) - low, array.shape)
        widths[name] = np.where(rows.features.owners[name] == FIXED, 0.0, noise * span)
    return widths


def _over(references: NDArray[Any], array: NDArray[Any], which: np.ufunc, axes: tuple[int, ...]) -> NDArray[Any]:
    """The largest or smallest value of row and references, over some axes together."""
    found: NDArray[Any] = which(references, array)
    return which.reduce(found, axis=axes, keepdims=True) if axes else found


def _noisy(row: NDArray[Any], width: Floats, count: int, rng: np.random.Generator) -> NDArray[Any]:
    if not np.issubdtype(row.dtype, np.floating):
        return np.repeat(row[None], count, axis=0)
    return (row + width * rng.standard_normal((count, *row.shape))).astype(row.dtype)
