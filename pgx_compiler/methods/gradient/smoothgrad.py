"""SmoothGrad (Smilkov, Thorat, Kim, Viégas & Wattenberg, 2017): https://arxiv.org/abs/1706.03825."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Shape, attribution
from pgx_compiler.modalities.features import FIXED, Rows
from runtimes.capabilities import Differentiable, Floats
from runtimes.target import ModelFacts


class SmoothgradParams(Params):
    """Parameters of SmoothGrad."""

    samples: Annotated[int, Field(ge=2)] = 50
    """Noisy copies of each row."""
    noise: Annotated[float, Field(gt=0, le=1)] = 0.15
    """Standard deviation of the noise, as a share of the input's range over the row and its references: of each
    column's own range in a table, of all elements together in an image or a series."""


def cost(params: SmoothgradParams, shape: Shape) -> Cost:
    """A gradient for each noisy copy."""
    return Cost(backward=shape.rows * params.samples)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with an input that noise can be added to."""
    if not any(tensor.dtype.startswith(("float", "bfloat")) for tensor in facts.inputs):
        return "the model reads no floating-point numbers, so that no noise can be added to its input"
    return None


@attribution(
    modalities={"tabular", "image", "series"},
    paper="https://arxiv.org/abs/1706.03825",
    cost=cost,
    laws=("null_feature", "linearity"),
    unit="score per input unit",
    admits=admits,
)
def smoothgrad(model: Differentiable, rows: Rows, params: SmoothgradParams, rng: np.random.Generator) -> FeatureValues:
    """Average the gradient over copies of the row with noise added, sign kept.

    Reading:
        Score per unit of the input: how fast the score changes around the row, with the jitter of single gradients
        averaged out. The value of a feature is the sum over its elements. The standard error says how far it would
        move under other noise: two values whose difference is within about two standard errors must be read as equal.

    Limits:
        It says where the score is sensitive, not what it rests on; values do not add up to the score, and cannot be
        compared between inputs in different units (years and euros). The noise makes rows that may never occur (a
        category half present), and its strength is a choice that changes the result. Elements of opposite sign cancel
        within a feature.
    """
    widths = _noise_widths(rows, params.noise)
    values = np.empty((len(rows), len(rows.features)))
    error = np.empty_like(values)
    for row in range(len(rows)):
        drawn: list[Floats] = []
        for start in range(0, params.samples, model.rows_per_call):
            count = min(model.rows_per_call, params.samples - start)
            noisy = {name: _noisy(array[row], widths[name][row], count, rng) for name, array in rows.inputs.items()}
            gradient = model.gradient(noisy, np.full(count, rows.target[row]))
            drawn.append(rows.features.sum_onto(gradient))
        samples = np.concatenate(drawn)
        values[row] = samples.mean(axis=0)
        error[row] = samples.std(axis=0, ddof=1) / np.sqrt(params.samples)
    return FeatureValues(values, error, {"samples": float(params.samples)})


def _noise_widths(rows: Rows, noise: float) -> dict[str, Floats]:
    """Standard deviation of the noise for each element of each row; 0 where an element is never perturbed."""
    widths: dict[str, Floats] = {}
    for name, array in rows.inputs.items():
        widths[name] = np.zeros(array.shape)
        if not np.issubdtype(array.dtype, np.floating):
            continue
        together = tuple(range(1, array.ndim)) if array.ndim > 2 else ()
        for row in range(len(rows)):
            seen = np.concatenate([array[row : row + 1], rows.references.of_row(row)[name]]).astype(np.float64)
            span = np.nanmax(seen, axis=(0, *together)) - np.nanmin(seen, axis=(0, *together))
            widths[name][row] = np.where(rows.features.owners[name] == FIXED, 0.0, noise * span)
    return widths


def _noisy(row: NDArray[Any], width: Floats, count: int, rng: np.random.Generator) -> NDArray[Any]:
    if not np.issubdtype(row.dtype, np.floating):
        return np.repeat(row[None], count, axis=0)
    return (row + width * rng.standard_normal((count, *row.shape))).astype(row.dtype)
