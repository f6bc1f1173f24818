"""Integrated gradients (Sundararajan, Taly & Yan, 2017): https://arxiv.org/abs/1703.01365."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pgx_compiler.methods.declaration import Cost, Maps, Params, Shape, attribution
from pgx_compiler.modalities.features import FIXED, Rows
from runtimes.capabilities import Differentiable, Floats, Integers
from runtimes.target import ModelFacts


class IntegratedGradientsParams(Params):
    """Parameters of integrated gradients."""

    steps: Annotated[int, Field(ge=1, le=4096)] = 64
    """Points of Gauss-Legendre quadrature on the path from each reference to the row."""
    tolerance: Annotated[float, Field(gt=0)] | None = None
    """Largest gap, in the score's unit, between the sum of a row's values and the difference that they explain. Rows
    above it are done again with twice the steps, until `max_steps`. Left out: the gap is not looked at."""
    max_steps: Annotated[int, Field(ge=1, le=4096)] = 512
    """With `tolerance`: steps are not doubled beyond it."""


def rounds(params: IntegratedGradientsParams) -> list[int]:
    """The numbers of steps that may be tried, in order."""
    tried = [params.steps]
    while params.tolerance is not None and 2 * tried[-1] <= params.max_steps:
        tried.append(2 * tried[-1])
    return tried


def cost(params: IntegratedGradientsParams, shape: Shape) -> Cost:
    """A gradient for each row, reference and step. With ``tolerance``: the most that it can come to."""
    checked = 0 if params.tolerance is None else shape.rows * (1 + shape.references)
    return Cost(forward=checked, backward=shape.rows * shape.references * sum(rounds(params)))


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with an input that can be varied continuously."""
    if not any(tensor.dtype.startswith(("float", "bfloat")) for tensor in facts.inputs):
        return "the model reads no floating-point numbers, so there is no path between two of its inputs"
    return None


@attribution(
    modalities={"tabular", "image", "series"},
    paper="https://arxiv.org/abs/1703.01365",
    cost=cost,
    laws=("completeness", "null_feature", "linearity", "symmetry"),
    admits=admits,
)
def integrated_gradients(model: Differentiable, rows: Rows, params: IntegratedGradientsParams) -> Maps:
    """Add up the gradient along the straight path from each reference to the row, and average over the references.

    Reading:
        In the score's own unit. The values of one row add up to its score minus the mean score of the references, the
        same difference that Shapley values share out; the gap that quadrature leaves is checked by
        `completeness_gap`. Positive: the element has raised the score of the explained output on the way from the
        references to the row.

    Limits:
        The path leads through inputs that may never occur, half one thing and half another; the model's
        gradient there counts as much as at the row. The values depend on the references: an element equal to
        all references gets zero. They are no causal effects, and equal to Shapley values only where features
        do not interact.
    """
    first, *more = rounds(params)
    maps = path_integral(model, rows, np.arange(len(rows)), first)
    if params.tolerance is not None:
        wanted = _differences(model, rows)
        for steps in more:
            sums = np.sum([m.reshape(len(rows), -1).sum(axis=1) for m in maps.values()], axis=0)
            coarse = np.flatnonzero(np.abs(sums - wanted) > params.tolerance)
            if not len(coarse):
                break
            for name, finer in path_integral(model, rows, coarse, steps).items():
                maps[name][coarse] = finer
    return maps


def path_integral(model: Differentiable, rows: Rows, chosen: Integers, steps: int) -> dict[str, Floats]:
    """Integrated gradients of the chosen rows: ``(chosen, *feature shape)`` for each input, mean over references."""
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    nodes, weights = (nodes + 1) / 2, weights / 2
    references = len(rows.references)
    maps = {name: np.zeros((len(chosen), *array.shape[1:])) for name, array in rows.inputs.items()}
    total = len(chosen) * references * steps
    for start in range(0, total, model.rows_per_call):
        place, rest = np.divmod(np.arange(start, min(start + model.rows_per_call, total)), references * steps)
        reference, step = np.divmod(rest, steps)
        row = chosen[place]
        starts = _starts(rows, row, reference)
        points = {name: _between(starts[name], array[row], nodes[step]) for name, array in rows.inputs.items()}
        gradient = model.gradient(points, rows.target[row])
        first_of_row = np.flatnonzero(np.diff(place, prepend=-1))
        for name, array in rows.inputs.items():
            if np.issubdtype(array.dtype, np.floating):
                step_size = _spread(weights[step] / references, array) * (array[row].astype(np.float64) - starts[name])
                maps[name][place[first_of_row]] += np.add.reduceat(step_size * gradient[name], first_of_row)
    return maps


def _starts(rows: Rows, row: Integers, reference: Integers) -> dict[str, NDArray[Any]]:
    """Where each path begins: the reference, but the row itself on elements that are never perturbed."""
    starts: dict[str, NDArray[Any]] = {}
    for name, array in rows.references.inputs.items():
        begin = array[row if len(array) > 1 else 0, reference]
        starts[name] = np.where(rows.features.owners[name] == FIXED, rows.inputs[name][row], begin)
    return starts


def _between(start: NDArray[Any], end: NDArray[Any], share: Floats) -> NDArray[Any]:
    """Points on straight paths, in the input's own dtype; what is not floating-point stays at the row."""
    if not np.issubdtype(end.dtype, np.floating):
        return end
    begin = start.astype(np.float64)
    return (begin + _spread(share, end) * (end - begin)).astype(end.dtype)


def _spread(vector: Floats, like: NDArray[Any]) -> Floats:
    return vector.reshape(-1, *([1] * (like.ndim - 1)))


def _differences(model: Differentiable, rows: Rows) -> Floats:
    """Score of each row minus the mean score of its references, ``(rows,)``."""
    everyone = np.arange(len(rows))
    wanted = model.predict(rows.inputs)[everyone, rows.target]
    references = len(rows.references)
    at_once = max(1, model.rows_per_call // references)
    for start in range(0, len(rows), at_once):
        part = everyone[start : start + at_once]
        starts = _starts(rows, np.repeat(part, references), np.tile(np.arange(references), len(part)))
        scores = model.predict(starts)[np.arange(len(part) * references), np.repeat(rows.target[part], references)]
        wanted[part] -= scores.reshape(len(part), references).mean(axis=1)
    return wanted
