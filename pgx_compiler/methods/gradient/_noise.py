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
    model: Differentiable, rows: Rows, params: NoisyParams, rng: np.random.Generator, mirrored: bool = False
) -> Iterator[tuple[slice, dict[str, Floats]]]:
    """Some rows with gradients at noisy copies of them, ``(rows, copies, *feature shape)`` for each input.

    Rows come in order, as many at once as fit a call; one of which not all copies fit a call comes several times.
    Mirrored: an even number of copies, every second one with the noise of the one before it the other way round.
    """
    widths = _noise_widths(rows, params.noise)
    each = 2 if mirrored else 1
    samples = params.samples // each * each
    together = max(1, model.rows_per_call // samples)
    at_once = max(1, model.rows_per_call // each) * each
    for first in range(0, len(rows), together):
        part = slice(first, min(first + together, len(rows)))
        for start in range(0, samples, at_once):
            count = min(at_once, samples - start)
            points = {
                name: _noisy(array[part], widths[name][part], count, rng, each).reshape(-1, *array.shape[1:])
                for name, array in rows.inputs.items()
            }
            gradient = model.gradient(points, np.repeat(rows.target[part], count))
            yield part, {name: g.reshape(-1, count, *g.shape[1:]) for name, g in gradient.items()}


def averaged(
    model: Differentiable,
    rows: Rows,
    params: NoisyParams,
    rng: np.random.Generator,
    of: Callable[[slice, Mapping[str, Floats]], Mapping[str, Floats]],
    skipped: int = 0,
    mirrored: bool = False,
) -> FeatureValues:
    """Means over the noisy copies of each row, with their standard errors.

    Args:
        model: asked for gradients.
        rows: the rows; of segments, one may have fewer features than there are at most.
        params: how many copies, and how noisy.
        rng: draws them.
        of: makes of some rows and the gradients at copies of them what is averaged, of the same shape.
        skipped: how many of the first copies of a row are not averaged.
        mirrored: copies come in pairs (`noisy_gradients`), and the error is that of a mean over pairs.
    """
    each = 2 if mirrored else 1
    samples = params.samples // each * each
    values = np.zeros((len(rows), len(rows.features)))
    error = np.zeros_like(values)
    drawn: list[Floats] = []
    copies = 0
    for part, gradients in noisy_gradients(model, rows, params, rng, mirrored):
        drawn.append(_onto_features(rows, part, of(part, gradients)))
        copies += drawn[-1].shape[1]
        if copies == samples:  # nothing more comes of these rows
            found = (drawn[0] if len(drawn) == 1 else np.concatenate(drawn, axis=1))[:, skipped:]
            if mirrored:
                found = (found[:, ::2] + found[:, 1::2]) / 2.0
            values[part] = found.mean(axis=1)
            error[part] = _error(found)
            drawn, copies = [], 0
    return FeatureValues(values, error, {"samples": np.full(len(rows), float(samples))})


def _onto_features(rows: Rows, part: slice, maps: Mapping[str, Floats]) -> Floats:
    """Maps of copies ``(rows, copies, *feature shape)`` summed onto the features, ``(rows, copies, features)``."""
    if not rows.features.varies:
        found = rows.features.sum_onto({name: m.reshape(-1, *m.shape[2:]) for name, m in maps.items()})
        return found.reshape(part.stop - part.start, -1, len(rows.features))
    copies = next(iter(maps.values())).shape[1]
    total = np.zeros((part.stop - part.start, copies, len(rows.features)))
    for place in range(len(total)):
        found = rows.features.of_row(part.start + place).sum_onto({name: m[place] for name, m in maps.items()})
        total[place, :, : found.shape[1]] = found
    return total


def _error(found: Floats) -> Floats:
    """Standard error of means over axis 1; of a single square (variance of two copies) √2 of it, as that of a normal number."""
    copies = found.shape[1]
    if copies < 2:
        return np.asarray(np.sqrt(2.0) * np.abs(found[:, 0]), np.float64)
    return np.asarray(found.std(axis=1, ddof=1) / np.sqrt(copies), np.float64)


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


def _noisy(part: NDArray[Any], widths: Floats, count: int, rng: np.random.Generator, each: int) -> NDArray[Any]:
    """Copies of each row, ``(rows, copies, *feature shape)``; noise for numbers of 32 bits and fewer is drawn with 32."""
    if not np.issubdtype(part.dtype, np.floating):
        return np.repeat(part[:, None], count, axis=1)
    dtype = np.float32 if part.dtype.itemsize <= 4 else np.float64
    noise: NDArray[Any] = rng.standard_normal((len(part), count // each, *part.shape[1:]), dtype)
    noise *= widths[:, None].astype(dtype)
    if each == 1:
        noise += part[:, None]
        return noise.astype(part.dtype, copy=False)
    copies = np.empty((len(part), count, *part.shape[1:]), part.dtype)
    np.add(part[:, None], noise, out=copies[:, ::2], casting="same_kind")
    np.subtract(part[:, None], noise, out=copies[:, 1::2], casting="same_kind")
    return copies
