"""Partial dependence (Friedman, 2001): https://doi.org/10.1214/aos/1013203451."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Report
from pgx_compiler.methods.declaration import Cost, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._effects_curves import EffectCurve, deciles, report_of
from pgx_compiler.methods.perturbation._effects_report import chosen
from pgx_compiler.methods.perturbation._effects_resampling import RESAMPLES, resampled_means
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats

_ROWS_AT_ONCE = 65_536


class PartialDependenceParams(Params):
    """Parameters of partial dependence."""

    points: Annotated[int, Field(ge=2, le=200)] = 20
    """Values of each feature that are tried: quantiles of the training rows, so that they lie where rows are; every value
    where there are no more. Of a feature whose values have no order, the commonest."""
    rows: Annotated[int, Field(ge=2)] = 300
    """Most unseen rows to average over (300: what DALEX averages over)."""
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Share of the training rows left out at either end of a feature's values, where few rows say little (0.05: as in
    scikit-learn)."""


def cost(params: PartialDependenceParams, shape: Shape) -> Cost:
    """Every row at every point of every feature, at most; features with fewer values cost less."""
    rows = min(params.rows, shape.unseen_rows)
    asked = rows * params.points
    return Cost(forward=asked * shape.features, bytes=8 * asked * (shape.features + shape.outputs))


@global_explanation(
    paper="https://doi.org/10.1214/aos/1013203451",
    cost=cost,
    measures=("range_{feature}", "monotone_{feature}"),
    laws=("unread_feature",),
)
def partial_dependence(table: Table, params: PartialDependenceParams, rng: np.random.Generator) -> Report:
    """Average the score over rows in which one feature is set to the same value, for value after value.

    Reading:
        A curve says how the mean score moves when one feature is moved in every row and nothing else is. The range
        is the distance between its highest and lowest point, in the score's unit. `monotone` is the net change over
        the total change along the curve: 1 where it only rises, -1 where it only falls, near 0 where it goes up and
        down. Bands are 95 % bootstrap intervals over the rows; ticks below are deciles of the training rows.

    Limits:
        Features are moved independently of one another: where two hang together, the average includes rows that
        cannot occur, and the curve says what the model makes of those. Then read accumulated local effects
        beside it. An average hides effects that point in opposite directions in different rows. The curve describes the
        model; it is no effect in the world. Missing values are no point of the curve. Where several outputs
        are reported, range and direction are those of the output that moves most.
    """
    held = table.unseen.z[chosen(table.unseen, params.rows, rng)]
    asked: list[Floats] = []
    curves = []
    for position, feature in enumerate(table.features):
        known = table.train.z[:, position]
        known = known[np.isfinite(known)]
        points = quantile_points(known, params.points, params.trim) if feature.is_scale else commonest(known, params.points)  # fmt: skip
        scores = asked_at(table, held, position, points)
        asked.append(scores)
        draws = resampled_means(scores.reshape(len(held), scores[0].size)).reshape(RESAMPLES, *scores.shape[1:])
        marks = deciles(known) if feature.kind == "numeric" else ()
        curves.append(EffectCurve(feature, points, scores.mean(axis=0), draws, len(held), marks))
    return report_of(table, curves, "partial dependence", max((float(np.ptp(s)) for s in asked if s.size), default=0.0))


def asked_at(table: Table, held: Floats, position: int, points: Floats) -> Floats:
    """The reported scores of every row with one feature at each point, ``(rows, points, outputs)``."""
    found = np.empty((len(held), len(points), len(table.focus)))
    step = max(1, _ROWS_AT_ONCE // max(len(points), 1))
    for start in range(0, len(held), step):
        some = held[start : start + step]
        moved = np.repeat(some, len(points), axis=0)
        moved[:, position] = np.tile(points, len(some))
        found[start : start + step] = table.score(moved)[:, table.focus].reshape(len(some), len(points), -1) if len(points) else 0  # fmt: skip
    return found


def quantile_points(known: Floats, points: int, trim: float) -> Floats:
    """Values that occur, at evenly spaced quantiles between the trimmed ends; all of them where there are few."""
    values = np.unique(known)
    if len(values) <= points:
        return np.asarray(values, np.float64)
    levels = np.linspace(trim, 1 - trim, points)
    return np.unique(np.quantile(known, levels, method="inverted_cdf"))


def commonest(known: Floats, most: int) -> Floats:
    """The commonest values, in their own order."""
    values, counts = np.unique(known, return_counts=True)
    return np.asarray(np.sort(values[np.argsort(-counts, kind="stable")[:most]]), np.float64)
