"""Morris screening by elementary effects (Morris, 1991): https://doi.org/10.1080/00401706.1991.10484804."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Chart, Measure, Report
from pgx_compiler.evidence.results import Table as Figures
from pgx_compiler.methods.declaration import Cost, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._effects_report import (
    MOST_CHARTED,
    Ranked,
    bars,
    facts,
    over_outputs,
    score_of,
    strongest_first,
)
from pgx_compiler.methods.perturbation._effects_resampling import interval, resampled_means
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats


class MorrisScreeningParams(Params):
    """Parameters of Morris screening."""

    trajectories: Annotated[int, Field(ge=2, le=10_000)] = 10
    """Random walks that change each feature once (10: Morris's and SALib's usual number)."""
    levels: Annotated[int, Field(ge=4, le=100, multiple_of=2)] = 4
    """Even steps between the ends of a feature's range (4: the usual number); a walk moves by half of them."""
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Share of the training rows left out at either end of a feature's range: extremes would stand for a fourth of
    the walks (own choice)."""


def cost(params: MorrisScreeningParams, shape: Shape) -> Cost:
    """The start of each walk, and one step for each feature."""
    asked = params.trajectories * (shape.features + 1)
    return Cost(forward=asked, bytes=8 * asked * (shape.features + shape.outputs))


@global_explanation(
    paper="https://doi.org/10.1080/00401706.1991.10484804",
    cost=cost,
    measures=("mu_star_{feature}", "sigma_{feature}"),
    laws=("unread_feature",),
)
def morris_screening(table: Table, params: MorrisScreeningParams, rng: np.random.Generator) -> Report:
    """Walk through the space of the features, changing one at a time by a long step, and see how far the score moves.

    Reading:
        `mu_star` is the mean size of the score's change, as if a feature went from one end of its range to the other, or
        to another category; 0: the feature does nothing. `sigma` is the standard deviation of the change with its sign:
        near 0, the effect is the same everywhere; as large as `mu_star` or larger, it is curved, or depends on the
        other features. Few model rows are needed, so that it can tell which features may be left alone. Intervals are 95 %
        bootstrap intervals over the walks.

    Limits:
        Ten walks rank features roughly: read the intervals. The score's change is judged anywhere within the features'
        ranges, whether or not such rows occur; steps are even in the order of the training values, not in their unit. A
        category goes to another one, drawn as often as it occurs, and its sign means nothing. Where several
        outputs are reported, the largest `mu_star` stands for all.
    """
    start, moved, sign = _walks(table, params, rng)
    n, features = params.trajectories, len(table)
    order = np.argsort(rng.random((n, features)), axis=1)
    points = np.repeat(start[:, None], features + 1, axis=1)
    for step in range(features):
        feature, each = order[:, step], np.arange(n)
        points[each, step + 1 :, feature] = moved[each, feature][:, None]
    scores = table.score(points.reshape(-1, features))[:, table.focus].reshape(n, features + 1, -1)
    effects = np.empty((n, features, scores.shape[2]))
    effects[np.arange(n)[:, None], order] = np.diff(scores, axis=1)
    delta = params.levels / (2 * (params.levels - 1))
    scales = np.array([feature.is_scale for feature in table.features])
    return _report(table, effects * np.where(scales, sign / delta, 1.0)[..., None])


def _walks(table: Table, params: MorrisScreeningParams, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Each walk's start, the value to which it moves each feature, and whether that is up or down; ``(walks, features)``."""
    n, features = params.trajectories, len(table)
    step = params.levels // 2
    low = rng.integers(0, step, (n, features))
    up = rng.integers(0, 2, (n, features)) == 1
    start, moved = np.empty((n, features)), np.empty((n, features))
    for j, feature in enumerate(table.features):
        known = np.sort(table.train.z[:, j])
        known = known[np.isfinite(known)]
        if not len(known):
            start[:, j] = moved[:, j] = np.nan
        elif feature.is_scale:
            ends = [
                params.trim + (1 - 2 * params.trim) * (low[:, j] + more) / (params.levels - 1) for more in (0, step)
            ]
            below, above = (np.quantile(known, at, method="inverted_cdf") for at in ends)
            start[:, j], moved[:, j] = np.where(up[:, j], below, above), np.where(up[:, j], above, below)
        else:
            start[:, j], moved[:, j] = _two_categories(known, n, rng)
    return start, moved, np.where(up, 1.0, -1.0)


def _two_categories(known: Floats, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Two different categories for each walk, the first as often as it occurs, the other so among the rest."""
    first = rng.choice(known, n)
    second = first.copy()
    for category in np.unique(known):
        rest, own = known[known != category], first == category
        if len(rest):
            second[own] = rng.choice(rest, int(own.sum()))
    return first, second


def _report(table: Table, effects: Floats) -> Report:
    """``effects``: ``(walks, features, outputs)``."""
    n = len(effects)
    star = np.abs(effects).mean(axis=0)
    largest = star.argmax(axis=1)
    own = np.take_along_axis(effects, largest[None, :, None], axis=2)[..., 0]
    draws, squares = resampled_means(np.abs(own)), resampled_means(own**2)
    spread = np.sqrt(np.maximum(squares - resampled_means(own) ** 2, 0.0) * n / (n - 1))
    mu_star, sigma = np.abs(own).mean(axis=0), own.std(axis=0, ddof=1)
    error = np.abs(own).std(axis=0, ddof=1) / np.sqrt(n)
    found = [Ranked(f, float(mu_star[j]), interval(draws[:, j]), float(error[j])) for j, f in enumerate(table.names)]
    sigmas = [Ranked(f, float(sigma[j]), interval(spread[:, j])) for j, f in enumerate(table.names)]
    of, unit = score_of(table), table.score_name
    measures: list[Measure] = [
        *facts("mu_star", f"Mean size of the elementary effects of {{}} ({of}{over_outputs(table)})", found, n, unit),
        *facts("sigma", "Standard deviation of the elementary effects of {}", sigmas, n, unit),
    ]
    ranked = strongest_first(found)
    sigma_of = {one.name: one for one in sigmas}
    rows = tuple(
        (one.name, one.value, *(one.interval or (None, None)), own_sigma.value, float(own[:, j].mean()))
        for one in ranked
        for j, own_sigma in [(table.names.index(one.name), sigma_of[one.name])]
    )
    title = f"Elementary effects ({of}{over_outputs(table)})"
    shown = ranked[:MOST_CHARTED]
    curves = (bars("mu*", shown), bars("sigma", [sigma_of[one.name] for one in shown]))
    return Report(
        tuple(measures),
        tables=(Figures(title, ("feature", "value", "low", "high", "sigma", "mean with its sign"), rows),),
        arrays={"effects": effects, "feature_names": np.array(table.names)},
        charts=(Chart("bars", title, "feature", of, curves),),
    )
