"""Expected gradients (Erion, Janizek, Sturmfels, Lundberg & Lee, 2021): https://arxiv.org/abs/1906.10670."""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import MODALITIES, Cost, Params, Quantity, Shape, attribution
from pgx_compiler.methods.gradient._paths import no_path, path_sums
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable, Floats, Integers
from runtimes.target import ModelFacts

REPEATS = 10
"""Independent drawings that a row's samples are divided into: enough that their spread tells the error to a quarter (our own
choice), few enough that each is still spread well over the references and the path."""


class ExpectedGradientsParams(Params):
    """Parameters of expected gradients."""

    samples: Annotated[int, Field(ge=20)] = 200
    """Points drawn for each row, each somewhere on the path from one of the references; rounded down to a multiple of
    ten. The price is the same however many references there are."""


def cost(params: ExpectedGradientsParams, shape: Shape) -> Cost:
    """A gradient for each row and sample."""
    return Cost(backward=shape.rows * REPEATS * (params.samples // REPEATS))


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with an input that can be varied continuously."""
    return no_path(facts)


@attribution(
    modalities=MODALITIES,
    paper="https://arxiv.org/abs/1906.10670",
    cost=cost,
    laws=(
        "completeness_in_expectation",
        "null_feature",
        "linearity",
        "symmetry",
        "implementation_invariance",
        "shift_invariance",
    ),
    quantities={"sum_error": Quantity("Standard error of a row's sum", "score", better="lower")},
    admits=admits,
)
def expected_gradients(
    model: Differentiable, rows: Rows, params: ExpectedGradientsParams, rng: np.random.Generator
) -> FeatureValues:
    """Estimate integrated gradients, averaged over the references, from points drawn on the paths.

    Each of ten independent drawings spreads its points evenly over the paths' length and over the references (a Latin
    hypercube), so that the standard errors are smaller than those of as many points drawn one by one.

    Reading:
        In the score's own unit. But for the sampling error, the values of a row add up to its score minus the mean score of
        the references, the same difference that integrated gradients and Shapley values share out. The standard error
        says how far a value would move under other draws: two values whose difference is within about two standard
        errors must be read as equal. ``sum_error`` is that of the row's sum: a gap to the difference explained within
        about two of it is no fault.

    Limits:
        As integrated gradients: the paths lead through inputs that may never occur, the values depend on the
        references, they are no causal effects, and equal to Shapley values only where features do not interact. It is
        the choice where there are many references; with one or a few, integrated gradients are exact for the same price.
    """
    each = params.samples // REPEATS
    references = len(rows.references)
    share, reference = _spread_evenly(len(rows) * REPEATS, each, references, rng)
    means = np.zeros((len(rows) * REPEATS, len(rows.features)))
    for start in range(0, len(share), model.rows_per_call):
        point = np.arange(start, min(start + model.rows_per_call, len(share)))
        segment = point // each
        weight = np.full(len(point), 1.0 / each)
        met, summed = path_sums(model, rows, segment // REPEATS, reference[point], share[point], weight, segment)
        means[met] += _onto_features(rows, met // REPEATS, summed)
    drawings = means.reshape(len(rows), REPEATS, -1)
    error = drawings.std(axis=1, ddof=1) / np.sqrt(REPEATS)
    sum_error = drawings.sum(axis=2).std(axis=1, ddof=1) / np.sqrt(REPEATS)
    return FeatureValues(drawings.mean(axis=1), error, {"sum_error": sum_error})


def _onto_features(rows: Rows, row: Integers, maps: Mapping[str, Floats]) -> Floats:
    """Maps ``(points, *feature shape)`` that belong to rows, summed onto those rows' features, ``(points, features)``."""
    if not rows.features.varies:
        return rows.features.sum_onto(maps)
    total = np.zeros((len(row), len(rows.features)))
    for one in np.unique(row):
        here = row == one
        found = rows.features.of_row(one).sum_onto({name: values[here] for name, values in maps.items()})
        total[here, : found.shape[1]] = found
    return total


def _spread_evenly(drawings: int, points: int, references: int, rng: np.random.Generator) -> tuple[Floats, Integers]:
    """In each drawing one point in each of equally long parts of the path, in random order, and references about as often.

    Returns:
        Shares of the path and positions of references, ``(drawings * points,)`` each, drawing by drawing.
    """
    parts = rng.permuted(np.tile(np.arange(points), (drawings, 1)), axis=1)
    share = (parts + rng.random((drawings, points))) / points
    everyone = np.tile(np.arange(references), (drawings, 1))
    rounds = [rng.permuted(everyone, axis=1) for _ in range(-(-points // references))]
    reference = np.concatenate(rounds, axis=1)[:, :points].astype(np.int64)
    return share.reshape(-1), reference.reshape(-1)
