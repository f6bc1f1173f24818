"""How global effects are reported: one ranking of the features, one fact for each, charts of the most important."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgx_compiler.evidence.results import Chart, Curve, Measure, Report, Table
from pgx_compiler.evidence.summary import column_intervals
from pgx_compiler.methods.precaution._wording import measure_names
from pgx_compiler.modalities.table import Table as RealTable
from pgx_compiler.modalities.table import TableSplit
from runtimes.capabilities import Floats, Integers

MOST_CHARTED = 12
"""Features that are drawn; all of them are in the table and the evidence."""
NORMAL = 1.959964
"""Standard errors to each side of a normal 95 % interval."""


@dataclass(frozen=True)
class Ranked:
    """One feature, or pair of features, with what was found of it."""

    name: str
    value: float | None
    interval: tuple[float, float] | None = None
    standard_error: float | None = None
    reason: str | None = None
    """Why there is no value, where there is none."""


def strongest_first(found: Sequence[Ranked]) -> list[Ranked]:
    """The largest value first, those without one last; equal ones as they came."""
    return sorted(found, key=lambda one: (one.value is None, -(one.value or 0.0)))


def ranking(title: str, found: Sequence[Ranked], subject: str = "feature") -> Table:
    """A table ``feature, value, low, high``, the largest first."""
    rows = [(one.name, one.value, *(one.interval or (None, None))) for one in strongest_first(found)]
    return Table(title, (subject, "value", "low", "high"), tuple(rows))


def ranking_chart(title: str, y_title: str, found: Sequence[Ranked], x_title: str = "feature") -> Chart:
    """The largest values as bars with their intervals."""
    shown = [one for one in strongest_first(found) if one.value is not None][:MOST_CHARTED]
    return Chart("bars", title, x_title, y_title, (bars("value", shown),))


def bars(name: str, shown: Sequence[Ranked]) -> Curve:
    """One group of bars, in the order given."""
    ends = [one.interval or (None, None) for one in shown]
    return Curve(
        name,
        tuple(one.name for one in shown),
        tuple(one.value for one in shown),
        tuple(low for low, _ in ends),
        tuple(high for _, high in ends),
    )


def facts(prefix: str, title: str, found: Sequence[Ranked], n: int, unit: str = "") -> list[Measure]:
    """One measure for each feature: ``<prefix>_<feature>``. ``{}`` in the title stands for the feature."""
    names = measure_names(prefix, [one.name for one in found])
    return [
        Measure(
            names[one.name], one.value, title.format(one.name), n, unit, one.interval, one.standard_error,
            reason=one.reason, subject=one.name,
        )
        for one in found
    ]  # fmt: skip


def increase_report(
    table: RealTable, words: str, before: Floats, influence: Floats, increase: Floats, how: str
) -> Report:
    """What a loss is without each feature: the ranking, a fact for each feature and the chart.

    Args:
        table: whose features they are.
        words: what the loss is called.
        before: the loss of each row with all features, ``(rows,)``.
        influence: what each row adds to a feature's increase, ``(rows, features)``; its mean is the increase, its spread the error.
        increase: the increases as they are kept in the evidence, ``(any, features)``; their mean over the first axis is reported.
        how: what was done to a feature: ``averaged out over all rows``.
    """
    n = len(before)
    errors = influence.std(axis=0, ddof=1) / np.sqrt(n) if n > 1 else np.full(len(table), np.nan)
    intervals: Sequence[tuple[float, float] | None] = column_intervals(influence) or [None] * len(table)
    found = [
        Ranked(name, float(value), interval, float(error) if np.isfinite(error) else None)
        for name, value, interval, error in zip(table.names, increase.mean(axis=0), intervals, errors, strict=True)
    ]
    title = f"Increase of the {words} when a feature is {how}"
    measures = [
        Measure("loss", float(before.mean()), f"Mean {words} with all features", n, better="lower"),
        *facts("importance", f"Increase of the {words} when {{}} is {how}", found, n),
    ]
    return Report(
        tuple(measures),
        tables=(ranking(title, found),),
        arrays={"increase": increase, "feature_names": np.array(table.names)},
        charts=(ranking_chart(title, f"increase of the {words}", found),),
    )


def chosen(split: TableSplit, most: int, rng: np.random.Generator) -> Integers:
    """Positions of at most so many rows, drawn without replacement, in the order of the data."""
    if len(split) <= most:
        return np.arange(len(split))
    return np.sort(rng.choice(len(split), most, replace=False)).astype(np.int64)


def focus_names(table: RealTable) -> list[str]:
    """The outputs that are reported, by name."""
    return [table.outputs[column] for column in table.focus]


def score_of(table: RealTable) -> str:
    """The unit of the score of the outputs that are reported, for titles: ``log_odds of bad``."""
    names = focus_names(table)
    if names == ["value"]:
        return "predicted value"
    return f"{table.score_name} of {names[0]}" if len(names) == 1 else table.score_name


def over_outputs(table: RealTable) -> str:
    """What the titles of facts say where several outputs are reported and the largest stands for all."""
    return "" if len(table.focus) == 1 else f", the largest over {len(table.focus)} outputs"
