"""Integrated gradients (Sundararajan, Taly & Yan, 2017): https://arxiv.org/abs/1703.01365."""

from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import MODALITIES, Cost, Maps, Params, Quantity, Shape, attribution
from pgx_compiler.methods.gradient._paths import no_path, path_integral, path_starts
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable, Floats
from runtimes.target import ModelFacts


class IntegratedGradientsParams(Params):
    """Parameters of integrated gradients."""

    steps: Annotated[int, Field(ge=1, le=4096)] = 64
    """Points of Gauss-Legendre quadrature on the path from each reference to the row."""
    tolerance: Annotated[float, Field(gt=0)] | None = None
    """Largest gap, in the score's unit, between the sum of a row's values and the difference that they explain. Rows
    above it are done again with twice the steps, until `max_steps`; that some stayed above it is a finding. Left out: the
    gap is not looked at."""
    max_steps: Annotated[int, Field(ge=1, le=4096)] = 512
    """With `tolerance`: steps are not doubled beyond it."""

    @model_validator(mode="after")
    def _room_to_double(self) -> "IntegratedGradientsParams":
        if self.tolerance is not None and self.max_steps < self.steps:
            raise ValueError(f"`max_steps` {self.max_steps} is below `steps` {self.steps}: nothing could be done again")
        return self


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
    return no_path(facts)


@attribution(
    modalities=MODALITIES,
    paper="https://arxiv.org/abs/1703.01365",
    cost=cost,
    laws=("completeness", "null_feature", "linearity", "symmetry", "implementation_invariance", "shift_invariance"),
    quantities={
        "gap": Quantity("Distance between a row's sum and the difference that it explains", "score", "median", "lower"),
        "converged": Quantity("Rows that met the tolerance asked for", "share", "mean", "higher"),
    },
    admits=admits,
)
def integrated_gradients(model: Differentiable, rows: Rows, params: IntegratedGradientsParams) -> Maps | FeatureValues:
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
        do not interact. Where a layer masks steps (zeros, say), the score jumps as the path leaves or enters the mask, and
        no number of steps closes the gap.
    """
    first, *more = rounds(params)
    maps = path_integral(model, rows, np.arange(len(rows)), first)
    if params.tolerance is None:
        return maps
    wanted = _differences(model, rows)
    gap = _gap(maps, wanted)
    for steps in more:
        coarse = np.flatnonzero(gap > params.tolerance)
        if not len(coarse):
            break
        for name, finer in path_integral(model, rows, coarse, steps).items():
            maps[name][coarse] = finer
        gap = _gap(maps, wanted)
    notes = {"gap": gap, "converged": (gap <= params.tolerance).astype(np.float64)}
    return FeatureValues(rows.features.sum_onto(maps), notes=notes, maps=maps)


def _gap(maps: Maps, wanted: Floats) -> Floats:
    sums = np.sum([one.reshape(len(wanted), -1).sum(axis=1) for one in maps.values()], axis=0)
    return np.asarray(np.abs(sums - wanted), np.float64)


def _differences(model: Differentiable, rows: Rows) -> Floats:
    """Score of each row minus the mean score of its references, ``(rows,)``."""
    everyone = np.arange(len(rows))
    wanted = model.predict(rows.inputs)[everyone, rows.target]
    references = len(rows.references)
    at_once = max(1, model.rows_per_call // references)
    for start in range(0, len(rows), at_once):
        part = everyone[start : start + at_once]
        starts = path_starts(rows, np.repeat(part, references), np.tile(np.arange(references), len(part)))
        scores = model.predict(starts)[np.arange(len(part) * references), np.repeat(rows.target[part], references)]
        wanted[part] -= scores.reshape(len(part), references).mean(axis=1)
    return wanted
