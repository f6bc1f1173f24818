"""Curves of one feature's effect: how far they range, whether they rise or fall throughout, and how they are drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgx_compiler.evidence.results import Chart, Curve, Measure, Report
from pgx_compiler.methods.perturbation._effects_report import (
    MOST_CHARTED,
    Ranked,
    facts,
    focus_names,
    over_outputs,
    ranking,
    ranking_chart,
    score_of,
    strongest_first,
)
from pgx_compiler.methods.perturbation._effects_resampling import interval, interval_of
from pgx_compiler.modalities.table import Table, TableFeature
from runtimes.capabilities import Floats

FLAT = 1e-6
"""A curve that ranges over less than this share of the scores' spread is flat: models that compute in
float32 round by about 1e-7, otherwise from one batch to another."""


@dataclass(frozen=True)
class EffectCurve:
    """One feature's effect on the reported outputs, at some of its values."""

    feature: TableFeature
    points: Floats
    """``(points,)``."""
    heights: Floats
    """``(points, outputs)``."""
    draws: Floats
    """The same from resampled rows, ``(resamples, points, outputs)``."""
    rows: int
    marks: tuple[float, ...] = ()
    ends: tuple[int, int] | None = None
    """The first and last point between which range and direction are measured; None: between all."""

    @property
    def judged(self) -> slice:
        """The points over which range and direction are measured."""
        return slice(None) if self.ends is None else slice(self.ends[0], self.ends[1] + 1)


def ranges(curve: EffectCurve, spread: float) -> tuple[Ranked, int]:
    """The largest range of a feature's curves over the outputs, and the output that has it."""
    if not len(curve.points):
        return Ranked(curve.feature.name, None, reason="no row has a value of it"), 0
    each = np.ptp(curve.heights[curve.judged], axis=0)
    output = int(each.argmax())
    value = float(each[output])
    value = 0.0 if value <= FLAT * spread else value
    return Ranked(curve.feature.name, value, interval(np.ptp(curve.draws[:, curve.judged, output], axis=1))), output


def monotone(curve: EffectCurve, output: int, spread: float) -> Ranked:
    """Net change over total change: 1 where the curve only rises, -1 where it only falls."""
    name = curve.feature.name
    if not curve.feature.is_scale:
        return Ranked(name, None, reason="its values have no order")
    steps = np.diff(curve.heights[curve.judged, output]) if len(curve.points) else np.zeros(0)
    travelled = float(np.abs(steps).sum())
    if travelled <= FLAT * spread:
        return Ranked(name, None, reason="the effect is flat")
    return Ranked(name, float(steps.sum()) / travelled)


def report_of(table: Table, curves: Sequence[EffectCurve], words: str, spread: float) -> Report:
    """Facts, ranking, charts and arrays of one curve for each feature. ``words``: ``partial dependence``."""
    found = [ranges(curve, spread) for curve in curves]
    straight = [monotone(curve, output, spread) for curve, (_, output) in zip(curves, found, strict=True)]
    far, n = [one for one, _ in found], max((curve.rows for curve in curves), default=0)
    of = score_of(table)
    measures: list[Measure] = [
        *facts("range", f"Range of the {words} of {{}} ({of}{over_outputs(table)})", far, n, table.score_name),
        *facts("monotone", f"Net over total change of the {words} of {{}}", straight, n),
    ]
    title = f"Range of each feature's {words} ({of}{over_outputs(table)})"
    order = {one.name: place for place, one in enumerate(strongest_first([one for one in far if one.value]))}
    drawn = sorted((c for c in curves if order.get(c.feature.name, MOST_CHARTED) < MOST_CHARTED), key=lambda c: order[c.feature.name])  # fmt: skip
    return Report(
        tuple(measures),
        tables=(ranking(title, far),),
        arrays=_arrays(table, curves),
        charts=(ranking_chart(title, of, far), *(chart_of(table, curve, words) for curve in drawn)),
    )


def chart_of(table: Table, curve: EffectCurve, words: str) -> Chart:
    """One curve for each output, with a band of 95 % intervals."""
    feature = curve.feature
    x: tuple[float | str, ...] = tuple(float(value) for value in curve.points)
    if feature.kind != "numeric":
        x = tuple(feature.say(value) for value in curve.points)
    low, high = interval_of(curve.draws)
    lines = tuple(
        Curve(name, x, _plain(curve.heights[:, k]), _plain(low[:, k]), _plain(high[:, k]))
        for k, name in enumerate(focus_names(table))
    )
    kind = "lines" if feature.kind == "numeric" else "bars"
    x_title = f"{feature.name} ({feature.unit})" if feature.unit else feature.name
    title = f"{words[0].upper()}{words[1:]} of {feature.name}"
    return Chart(kind, title, x_title, score_of(table), lines, feature.name, curve.marks)  # type: ignore[arg-type]


def deciles(held: Floats) -> tuple[float, ...]:
    """Where the rows are: the deciles that differ from one another."""
    known = held[np.isfinite(held)]
    return tuple(float(v) for v in np.unique(np.quantile(known, np.arange(0.1, 0.95, 0.1)))) if len(known) else ()


def _plain(values: Floats) -> tuple[float | None, ...]:
    return tuple(float(v) if np.isfinite(v) else None for v in values)


def _arrays(table: Table, curves: Sequence[EffectCurve]) -> dict[str, Floats]:
    """Padded with NaN to the longest curve: ``points (features, points)``, ``effects (features, points, outputs)``."""
    longest = max((len(curve.points) for curve in curves), default=0)
    points = np.full((len(curves), longest), np.nan)
    effects = np.full((len(curves), longest, len(table.focus)), np.nan)
    for place, curve in enumerate(curves):
        points[place, : len(curve.points)] = curve.points
        effects[place, : len(curve.points)] = curve.heights
    return {"points": points, "effects": effects, "feature_names": np.array([c.feature.name for c in curves])}
