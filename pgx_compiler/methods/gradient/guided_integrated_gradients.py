"""Guided integrated gradients (Kapishnikov, Venugopalan, Avci, Wedin, Terry & Bolukbasi, 2021): https://arxiv.org/abs/2106.09788."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pgx_compiler.methods.declaration import PLACED, Cost, Maps, Params, Shape, attribution
from pgx_compiler.methods.gradient._paths import no_path, path_starts
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable, Floats, Integers
from runtimes.target import ModelFacts

_CLOSE = 1e-9
"""Gradients that differ by less than this share are equal, and so are distances: rounding must not decide the path."""


class GuidedIntegratedGradientsParams(Params):
    """Parameters of guided integrated gradients; the defaults are those of the authors' code."""

    steps: Annotated[int, Field(ge=1, le=4096)] = 200
    """Steps from each reference to the row; each covers the same part of the distance, summed over the elements."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Share of the elements that move at once: those with the smallest gradients."""
    max_distance: Annotated[float, Field(ge=0, le=1)] = 0.02
    """How far an element may be ahead of the straight path or behind it, as a share of its own way. 0: the straight path
    of integrated gradients; 1: any path between reference and row."""


def cost(params: GuidedIntegratedGradientsParams, shape: Shape) -> Cost:
    """A gradient for each row, reference and point, one point more than steps."""
    return Cost(backward=shape.rows * shape.references * (params.steps + 1))


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with an input that can be varied continuously."""
    return no_path(facts)


@attribution(
    modalities=PLACED,
    paper="https://arxiv.org/abs/2106.09788",
    cost=cost,
    laws=("completeness", "null_feature", "symmetry", "implementation_invariance", "shift_invariance"),
    admits=admits,
)
def guided_integrated_gradients(model: Differentiable, rows: Rows, params: GuidedIntegratedGradientsParams) -> Maps:
    """Add up the gradient along a path that first moves the elements the model reacts to least.

    Along a straight path the gradient is often large where the model is not: at inputs that are half one thing and half
    another. This path stays near the straight one and avoids them. Gradients are added by the trapezoidal rule.

    Reading:
        In the score's own unit. The values of one row add up to its score minus the mean score of the references, as
        those of integrated gradients do. Positive: the element has raised the score of the explained output on the way
        from the references to the row. Maps are less speckled than those of integrated gradients.

    Limits:
        The path is chosen by the model's own gradients, so that the values of a sum of models are not the sum of their
        values, and where two elements interact, the one that moves later is given more of it. Elements are compared by
        the size of their gradients: all must be in the same unit. An element may move by twice `max_distance` at once,
        however many steps there are: where `completeness_gap` stays large with more of them, a smaller `max_distance` closes
        it. Otherwise as integrated gradients: the values depend on the references and are no causal effects.
    """
    references = len(rows.references)
    maps = {name: np.zeros(array.shape) for name, array in rows.inputs.items()}
    total = len(rows) * references
    start = 0
    while start < total:
        row, reference = np.divmod(np.arange(start, min(start + model.rows_per_call, total)), references)
        for name, values in _guided(model, rows, row, reference, params).items():
            np.add.at(maps[name], row, values / references)
        start += len(row)
    return maps


def _guided(
    model: Differentiable, rows: Rows, row: Integers, reference: Integers, params: GuidedIntegratedGradientsParams
) -> dict[str, Floats]:
    """What each element gains on the path to each of the given rows, ``(paths, *feature shape)`` for each input."""
    starts = path_starts(rows, row, reference)
    varied = [name for name, array in rows.inputs.items() if np.issubdtype(array.dtype, np.floating)]
    begin = _flat({name: starts[name] for name in varied})
    way = _flat({name: rows.inputs[name][row] for name in varied}) - begin

    def gradient(share: Floats) -> Floats:
        at = _shaped(begin + share * way, {name: rows.inputs[name] for name in varied})
        points: dict[str, NDArray[Any]] = {
            name: at[name].astype(array.dtype) if name in at else array[row] for name, array in rows.inputs.items()
        }
        found = model.gradient(points, rows.target[row])
        return _flat({name: found[name] for name in varied})

    share, gained = np.zeros_like(way), np.zeros_like(way)
    slope = gradient(share)
    for step in range(1, params.steps + 1):
        moved = share.copy()
        for path in range(len(way)):
            advance(moved[path], np.abs(slope[path]), np.abs(way[path]), step / params.steps, params)
        before, slope = slope, gradient(moved)
        gained += (moved - share) * way * (before + slope) / 2
        share = moved
    return _shaped(gained, {name: rows.inputs[name] for name in varied})


def advance(share: Floats, size: Floats, weight: Floats, goal: float, params: GuidedIntegratedGradientsParams) -> None:
    """Move one point on, in place, until it has covered a share of the whole distance (the paper's Algorithm 1).

    Args:
        share: ``(elements,)``: how much of its way each element has gone, 0 to 1.
        size: the size of each element's gradient.
        weight: the length of each element's way.
        goal: the share of the summed distance that is to be covered.
        params: how many move at once, and how far ahead or behind.
    """
    lowest, highest = max(goal - params.max_distance, 0.0), min(goal + params.max_distance, 1.0)
    np.maximum(share, lowest, out=share)
    whole = float(weight.sum())
    rank = int(np.floor(params.fraction * (len(share) - 1)))
    while True:
        missing = whole * goal - float(weight @ share)
        if missing <= _CLOSE * whole:
            return
        movable = (share < highest) & (weight > 0)
        if not movable.any():
            return
        ordered = np.where(movable, size, np.inf)
        most = np.partition(ordered, rank)[rank]
        chosen = movable & (ordered <= most * (1 + _CLOSE) if np.isfinite(most) else movable)
        reach = float(weight[chosen] @ (highest - share[chosen]))
        if reach <= missing:
            share[chosen] = highest
        else:
            share[chosen] += (highest - share[chosen]) * (missing / reach)


def _flat(arrays: dict[str, NDArray[Any]]) -> Floats:
    """Inputs beside each other, ``(paths, elements)``."""
    return np.concatenate([array.astype(np.float64).reshape(len(array), -1) for array in arrays.values()], axis=1)


def _shaped(flat: Floats, like: dict[str, NDArray[Any]]) -> dict[str, Floats]:
    """The inverse of `_flat`."""
    sizes = [int(np.prod(array.shape[1:])) for array in like.values()]
    parts = np.split(flat, np.cumsum(sizes)[:-1], axis=1)
    return {name: part.reshape(-1, *array.shape[1:]) for (name, array), part in zip(like.items(), parts, strict=True)}
