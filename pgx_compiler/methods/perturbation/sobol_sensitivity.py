"""Variance-based sensitivity, first and total order (Sobol, 2001; Saltelli et al., 2010): https://doi.org/10.1016/j.cpc.2009.09.018."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Chart, Measure, Report
from pgx_compiler.evidence.results import Table as Figures
from pgx_compiler.methods.declaration import Cost, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._effects_marginals import marginals_of
from pgx_compiler.methods.perturbation._effects_report import (
    MOST_CHARTED,
    Ranked,
    bars,
    facts,
    score_of,
    strongest_first,
)
from pgx_compiler.methods.perturbation._effects_resampling import interval, resampled_means
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats

_NOISE = 1e-12
"""A variance below this share of the mean square of the scores is rounding in float32."""


class SobolSensitivityParams(Params):
    """Parameters of variance-based sensitivity."""

    samples: Annotated[int, Field(ge=16, le=2**20)] = 1024
    """Points of the quasi-random sequence, rounded up to a power of 2, for which it is balanced (1024: SALib's usual number)."""


def points(params: SobolSensitivityParams) -> int:
    """The least power of 2 that is not less than the samples."""
    return 1 << (params.samples - 1).bit_length()


def cost(params: SobolSensitivityParams, shape: Shape) -> Cost:
    """Two independent designs, and one with each feature taken from the other design."""
    asked = points(params) * (shape.features + 2)
    return Cost(forward=asked, bytes=8 * points(params) * (6 * shape.features + (shape.features + 2) * shape.outputs))


@global_explanation(
    paper="https://doi.org/10.1016/j.cpc.2009.09.018",
    cost=cost,
    measures=("first_order_{feature}", "total_order_{feature}", "interaction_share"),
    laws=("unread_feature",),
)
def sobol_sensitivity(table: Table, params: SobolSensitivityParams, rng: np.random.Generator) -> Report:
    """Share out the variance of the score among the features, when each is drawn by itself from the training data.

    Reading:
        `first_order`: the share of the variance that the feature explains alone. `total_order`: the share that would
        be left if all other features were known; it counts every interaction that the feature takes part in. A
        total order of 0 means that the feature may be fixed anywhere; a total order well above the first order,
        that it acts together with others. `interaction_share` is what the first orders leave over of 1. Standard
        errors and 95 % intervals are by bootstrap over the points.

    Limits:
        Features are drawn independently, each as it occurs in the training rows: where they hang together, part of the
        variance is that of rows that cannot occur, and the shares are not those of the population. They are estimates: a
        small one may come out below 0. Quasi-random points converge faster than the bootstrap believes, so that the
        intervals are rather too wide. Where several outputs are reported, variances are summed over them.
    """
    from scipy.stats import qmc

    features, n = len(table), points(params)
    levels = qmc.Sobol(2 * features, scramble=True, rng=rng).random(n)
    marginals = marginals_of(table)
    one, other = marginals.at(levels[:, :features]), marginals.at(levels[:, features:])

    def ask(z: Floats) -> Floats:
        return np.asarray(table.score(z)[:, table.focus], np.float64)

    of_one, of_other = ask(one), ask(other)
    centre = np.concatenate([of_one, of_other]).mean(axis=0)
    of_one, of_other = of_one - centre, of_other - centre
    first, total = np.empty((n, features)), np.empty((n, features))
    for feature in range(features):
        mixed = one.copy()
        mixed[:, feature] = other[:, feature]
        of_mixed = ask(mixed) - centre
        # Saltelli et al. (2010), table 2: (b) for the first order, (f), by Jansen (1999), for the total order
        first[:, feature] = (of_other * (of_mixed - of_one)).sum(axis=1)
        total[:, feature] = ((of_one - of_mixed) ** 2).sum(axis=1) / 2
    squared = np.stack([(of_one**2 + of_other**2).sum(axis=1) / 2, *((of_one + of_other) / 2).T], axis=1)
    return _report(table, first, total, squared, float((centre**2).sum()))


def _report(table: Table, first: Floats, total: Floats, squared: Floats, level: float) -> Report:
    """``squared``: of each point the centred scores squared, and the scores; ``level``: the mean score squared."""
    n, scale = len(first), level + float(squared[:, 0].mean())
    mean = _means(squared)
    variance = mean[:, 0] - (mean[:, 1:] ** 2).sum(axis=1)
    of, orders = score_of(table), {}
    for key, parts in (("first order", first), ("total order", total)):
        orders[key] = _shares(table.names, _means(parts), variance, scale)
    left = _shares(("",), variance[:, None] - _means(first).sum(axis=1)[:, None], variance, scale)[0]
    measures = [
        Measure(
            "interaction_share", left.value, "Share of the score's variance that no feature explains alone", n, "share",
            left.interval, left.standard_error, reason=left.reason,
        ),
        *facts("first_order", f"Share of the variance that {{}} explains alone ({of})", orders["first order"], n, "share"),
        *facts("total_order", f"Share of the variance that {{}} has a part in ({of})", orders["total order"], n, "share"),
    ]  # fmt: skip
    alone = {one.name: one for one in orders["first order"]}
    ranked = strongest_first(orders["total order"])
    rows = tuple(
        (one.name, one.value, *(one.interval or (None, None)), alone[one.name].value, *(alone[one.name].interval or (None, None)))
        for one in ranked
    )  # fmt: skip
    title = f"Shares of the score's variance: total order, and first order ({of})"
    columns = ("feature", "value", "low", "high", "first order", "its low", "its high")
    shown = [one for one in ranked if one.value is not None][:MOST_CHARTED]
    curves = (bars("total order", shown), bars("first order", [alone[one.name] for one in shown]))
    return Report(
        tuple(measures),
        tables=(Figures(title, columns, rows),),
        arrays={
            **{key.replace(" ", "_"): np.array([_number(one.value) for one in held]) for key, held in orders.items()},
            "feature_names": np.array(table.names),
        },
        charts=(Chart("bars", title, "feature", "share of the variance", curves),),
    )


def _means(columns: Floats) -> Floats:
    """The mean of each column over all points, then over each resample of them."""
    return np.concatenate([columns.mean(axis=0, keepdims=True), resampled_means(columns)])


def _shares(names: tuple[str, ...], parts: Floats, variance: Floats, scale: float) -> list[Ranked]:
    """Each column's share of the variance, with standard error and interval from the resamples after the first row."""
    if variance[0] <= _NOISE * scale:
        return [Ranked(name, None, reason="the score does not vary") for name in names]
    shares = parts / variance[:, None]
    error = shares[1:].std(axis=0, ddof=1)
    return [Ranked(f, float(shares[0, j]), interval(shares[1:, j]), float(error[j])) for j, f in enumerate(names)]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
