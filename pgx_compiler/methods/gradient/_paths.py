"""Straight paths from references to rows: points on them, and gradients added up along them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.features import FIXED, Rows
from runtimes.capabilities import Differentiable, Floats, Integers
from runtimes.target import ModelFacts


def no_path(facts: ModelFacts) -> str | None:
    """Why there is no path between two inputs of a model: none of them can be varied continuously."""
    floats = any(tensor.dtype.startswith(("float", "bfloat")) for tensor in facts.inputs)
    if not floats and "EmbeddingDifferentiable" not in facts.capabilities:
        return "the model reads no floating-point numbers, so there is no path between two of its inputs"
    return None


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
        weight = weights[step] / references
        met, summed = path_sums(model, rows, chosen[place], reference, nodes[step], weight, place)
        for name, values in summed.items():
            maps[name][met] += values
    return maps


def path_sums(
    model: Differentiable,
    rows: Rows,
    row: Integers,
    reference: Integers,
    share: Floats,
    weight: Floats,
    segment: Integers,
) -> tuple[Integers, dict[str, Floats]]:
    """Gradients at points on paths, times what each path covers, times a weight; summed over runs of one segment.

    Args:
        model: asked for one gradient a point; more points than fit its call are split there.
        rows: whose rows the paths end in.
        row: ``(points,)``: the row that each point's path ends in.
        reference: ``(points,)``: the reference that it begins at.
        share: ``(points,)``: how far along it the point is, 0 to 1.
        weight: ``(points,)``.
        segment: ``(points,)``, ascending: points of one segment are added up.

    Returns:
        The segments that were met, and for each floating-point input the sums ``(met, *feature shape)``.
    """
    starts = path_starts(rows, row, reference)
    points: dict[str, NDArray[Any]] = {}
    ways: dict[str, Floats] = {}
    for name, array in rows.inputs.items():
        end = array[row]
        if not np.issubdtype(array.dtype, np.floating):
            points[name] = end
            continue
        ways[name] = np.subtract(end, starts[name], dtype=np.float64)
        gone = spread(share, array) * ways[name]
        points[name] = np.add(starts[name], gone, out=np.empty_like(end), casting="same_kind", dtype=np.float64)
    gradient = model.gradient(points, rows.target[row])
    first, alike = np.flatnonzero(np.diff(segment, prepend=-1)), bool((weight == weight[0]).all())
    summed: dict[str, Floats] = {}
    for name, way in ways.items():
        # In place: for a small model, moving arrays takes as long as its gradient.
        way *= gradient[name]
        if not alike:
            way *= spread(weight, way)
        summed[name] = np.add.reduceat(way, first)
        if alike:
            summed[name] *= weight[0]
    return segment[first], summed


def path_starts(rows: Rows, row: Integers, reference: Integers) -> dict[str, NDArray[Any]]:
    """Where each path begins: the reference, but the row itself on elements that are never perturbed."""
    starts: dict[str, NDArray[Any]] = {}
    for name, array in rows.references.inputs.items():
        begin = array[row if len(array) > 1 else 0, reference]
        owner = rows.features.owners[name]
        fixed = owner[row] == FIXED if rows.features.varies else owner == FIXED
        starts[name] = np.where(fixed, rows.inputs[name][row], begin) if fixed.any() else begin
    return starts


def spread(vector: Floats, like: NDArray[Any]) -> Floats:
    """One number a row, shaped to multiply arrays like another."""
    return vector.reshape(-1, *([1] * (like.ndim - 1)))
