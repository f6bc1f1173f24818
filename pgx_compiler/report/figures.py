"""The pictures of the factsheet, drawn from its values: charts that take no more than layout arithmetic."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from markupsafe import Markup

from pgx_compiler.report.drawing import (
    Scale,
    around,
    element,
    line,
    marker,
    paint,
    path,
    picture,
    text,
    tick_label,
    ticks,
)
from pgx_compiler.report.factsheet import AgreementEntry, Example, Explanation, FaithfulnessEntry, GateEntry
from pgx_compiler.report.numbers import clip, interval, number, signed

ROW = 21
"""Height of a chart's row, in pixels."""
LABEL = 150
LABEL_LETTERS = 24


@dataclass(frozen=True)
class Series:
    """How one method is marked in every chart."""

    step: str
    title: str
    direction: str
    index: int
    """Its place among the methods of its direction."""


_GLYPHS = {
    "passed": "passed",
    "done": "passed",
    "confirmed": "passed",
    "accept": "passed",
    "failed": "failed",
    "error": "failed",
    "violated": "failed",
    "reject": "failed",
    "warning": "warning",
    "re-think": "warning",
    "unknown": "unknown",
    "incomplete": "unknown",
    "blocked": "absent",
    "not_measured": "absent",
    "not_applicable": "absent",
    "info": "info",
    "accepted": "info",
}


@lru_cache(maxsize=256)
def glyph(status: str, word: str) -> Markup:
    """The sign of a status; shape and word say it, the colour only repeats it."""
    kind = _GLYPHS.get(status, "info")
    disc = element("circle", cx=8, cy=8, r=7.2, **paint(kind if kind in ("passed", "failed") else "muted"))
    strokes = {"stroke_linecap": "round"}
    match kind:
        case "passed":
            shape = [disc, path([(4.6, 8.3), (7, 10.7), (11.5, 5.6)], "paper", 1.8, **strokes)]
        case "failed":
            shape = [
                disc,
                path([(5.3, 5.3), (10.7, 10.7)], "paper", 1.8, **strokes),
                path([(10.7, 5.3), (5.3, 10.7)], "paper", 1.8, **strokes),
            ]
        case "warning":
            shape = [
                element("path", d="M8 1.2 L15.4 14.6 L0.6 14.6 Z", **paint("unknown")),
                path([(8, 6), (8, 10)], "paper", 1.7, **strokes),
                element("circle", cx=8, cy=12.4, r=1.0, **paint("paper")),
            ]
        case "unknown":
            half = element("path", d="M8 1.6 A6.4 6.4 0 0 1 8 14.4 Z", **paint("unknown"))
            shape = [element("circle", cx=8, cy=8, r=6.4, **paint(None, "unknown", 1.6)), half]
        case "absent":
            shape = [element("circle", cx=8, cy=8, r=6.4, **paint(None, "muted", 1.5, stroke_dasharray="2.4 2.2"))]
        case _:
            shape = [
                disc,
                path([(8, 7.4), (8, 11.6)], "paper", 1.8, **strokes),
                element("circle", cx=8, cy=4.6, r=1.1, **paint("paper")),
            ]
    return picture(16, 16, word, *shape, kind="glyph")


def legend_mark(series: Series) -> Markup:
    """The mark of a method on its own."""
    return picture(14, 14, series.direction, marker(series.direction, series.index, 7, 7), kind="glyph")


def _label(name: str, letters: int, x: float, y: float) -> Markup:
    """A row's name before the axis, cut to fit, whole on hovering."""
    whole = element("title", name)
    return element("text", whole, clip(name, letters), x=x, y=y, text_anchor="end", **paint("ink"))


def _axis(scale: Scale, top: float, bottom: float, label: str = "", wanted: int = 4) -> Markup:
    parts = []
    for tick in ticks(scale, wanted):
        x = scale(tick)
        parts += [line(x, top, x, bottom), text(x, bottom + 13, tick_label(tick), anchor="middle", font_size=10)]
    if label:
        parts.append(text((scale.start + scale.end) / 2, bottom + 28, label, anchor="middle"))
    return Markup("").join(parts)


def _rises(scale: Scale, left: float, right: float, label: str = "", wanted: int = 4) -> Markup:
    parts = []
    for tick in ticks(scale, wanted):
        y = scale(tick)
        parts += [line(left, y, right, y), text(left - 6, y + 3.5, tick_label(tick), anchor="end", font_size=10)]
    if label:
        parts.append(text(left - 36, scale.end - 10, label))
    return Markup("").join(parts)


def gate_gauge(gate: GateEntry, title: str) -> Markup:
    """A value with its interval against the bounds it had to keep."""
    width, middle = 132, 9
    known = [v for v in (gate.value, *(gate.interval or ()), gate.min, gate.max) if v is not None]
    scale = around([float(v) for v in known], 6, width - 6, room=0.18)
    parts = [line(4, middle, width - 4, middle, "hairline", 2)]
    for bound, side in ((gate.min, 1), (gate.max, -1)):
        if bound is not None:
            x = scale(float(bound))
            parts += [line(x, 1, x, 17, "ink", 1.4), line(x, 1.7, x + 4 * side, 1.7, "ink", 1.4)]
    if gate.interval:
        parts.append(line(scale(float(gate.interval[0])), middle, scale(float(gate.interval[1])), middle, "muted", 2.4))
    if gate.value is not None:
        colour = gate.status if gate.status in ("passed", "failed") else "unknown"
        parts.append(element("circle", cx=scale(float(gate.value)), cy=middle, r=4.0, **paint(colour, "paper")))
    return picture(width, 18, title, *parts, kind="gauge")


def importance(
    explanations: Sequence[Explanation], order: Sequence[int], marks: Mapping[str, Series], title: str, label: str
) -> Markup:
    """Mean magnitude with its 95 % interval, one row a feature, all methods that share a unit on one axis."""
    features = explanations[0].feature_names
    width, top = 560, 8
    height = max(ROW, 7 * len(explanations) + 6)
    bottom = top + height * len(order)
    ends = [bound for e in explanations for i in order for bound in _bounds(e, i)]
    scale = around([float(end) for end in ends], LABEL + 14, width - 14, zero=True)
    parts = [_axis(scale, top, bottom, label)]
    for place, feature in enumerate(order):
        y = top + height * (place + 0.5)
        parts += [
            line(LABEL + 14, y, width - 14, y, stroke_dasharray="1 3"),
            _label(features[feature], LABEL_LETTERS, LABEL + 4, y + 4),
        ]
        for lane, one in enumerate(explanations):
            at = y + (lane - (len(explanations) - 1) / 2) * 7
            mark = marks[one.step]
            low, high = (float(bound) for bound in _bounds(one, feature))
            value = float(one.mean_absolute[feature])
            hint = f"{mark.title}, {features[feature]}: {number(value)}"
            parts.append(line(scale(low), at, scale(high), at, mark.direction, 1.5))
            parts.append(marker(mark.direction, mark.index, scale(value), at, 3.2, hint))
    return picture(width, bottom + 34, title, *parts)


def _bounds(explanation: Explanation, feature: int) -> tuple[float | int, float | int]:
    if explanation.mean_absolute_interval is None:
        return explanation.mean_absolute[feature], explanation.mean_absolute[feature]
    return explanation.mean_absolute_interval[feature]


def signed_bars(
    example: Example, names: Sequence[str], marks: Mapping[str, Series], title: str, most: int = 8
) -> Markup:
    """One row's values, a column for each method, each on a symmetric scale of its own; the largest features."""
    shown = [one for one in example.explanations if one.step in marks]
    scales = [max((abs(float(v)) for v in one.values), default=0.0) or 1.0 for one in shown]
    shares = [[abs(float(v)) / end for v in one.values] for one, end in zip(shown, scales, strict=True)]
    order = sorted(range(len(names)), key=lambda i: (-max(share[i] for share in shares), i))[:most]
    label, top, panel = LABEL + 50, 26, 116
    width, bottom = label + panel * len(shown) + 8, top + 19 * len(order)
    parts = []
    for place, feature in enumerate(order):
        y = top + 19 * (place + 0.5)
        value = (example.inputs or {}).get(names[feature])
        said = names[feature] if value is None else f"{names[feature]} = {value}"
        parts.append(_label(said, 34, label - 8, y + 4))
    for column, (one, scale_end) in enumerate(zip(shown, scales, strict=True)):
        scale = Scale(-scale_end, scale_end, label + panel * column + 6, label + panel * (column + 1) - 6)
        zero, mark = scale(0.0), marks[one.step]
        parts += [
            text(zero, 12, clip(mark.title, 20), mark.direction, "middle", font_weight="600"),
            line(zero, top, zero, bottom, "muted"),
        ]
        for place, feature in enumerate(order):
            y, value_at = top + 19 * place + 3, float(one.values[feature])
            x = min(zero, scale(value_at))
            hint = element("title", f"{names[feature]}: {signed(value_at)}")
            style = paint("support" if value_at >= 0 else "against")
            parts.append(element("rect", hint, x=x, y=y, width=abs(scale(value_at) - zero), height=13, **style))
        parts.append(text(zero, bottom + 14, f"\u00b1{number(scale_end)}", anchor="middle", font_size=10))
    return picture(width, bottom + 20, title, *parts)


def strips(entries: Sequence[tuple[AgreementEntry, str]], title: str, chance_word: str) -> Markup:
    """Each row's agreement as a dot, the median as a bar with its interval, chance as a broken line."""
    width, left, top, height = 560, 214, 8, 34
    bottom = top + height * len(entries)
    values = [float(v) for entry, _ in entries for v in (*entry.values, entry.chance) if v is not None]
    values += [float(bound) for entry, _ in entries for bound in entry.range or ()]
    scale = around(values, left, width - 14, room=0.03)
    parts = [_axis(scale, top, bottom)]
    for place, (entry, label) in enumerate(entries):
        y = top + height * (place + 0.5)
        colour = "ink" if entry.across else "muted"
        parts.append(_label(label, 36, left - 10, y + 4))
        parts.append(line(left, y + height / 2, width - 14, y + height / 2))
        for row, value in enumerate(entry.values):
            if value is not None:
                spread = (row * 7 % 11 - 5) * 1.5
                hint = element("title", number(value))
                dot = paint(colour, fill_opacity=0.32)
                parts.append(element("circle", hint, cx=scale(float(value)), cy=y + spread, r=2.5, **dot))
        if entry.chance is not None:
            x = scale(float(entry.chance))
            parts.append(line(x, y - 15, x, y + 15, "ink", 1.2, stroke_dasharray="3 2"))
        if entry.median is not None:
            x = scale(float(entry.median))
            hint = element("title", f"{number(entry.median)} {interval(entry.interval)}")
            parts.append(element("rect", hint, x=x - 1.6, y=y - 12, width=3.2, height=24, **paint("perturbation")))
        if entry.interval is not None:
            ends = (scale(float(entry.interval[0])), scale(float(entry.interval[1])))
            parts.append(line(ends[0], y, ends[1], y, "perturbation", 2))
    parts.append(text(width - 14, bottom + 28, chance_word, anchor="end"))
    return picture(width, bottom + 34, title, *parts)


def deletion_curve(entry: FaithfulnessEntry, mark: Series | None, title: str, words: Mapping[str, str]) -> Markup:
    """The score left after removing the features, most important first, against a random order."""
    if not entry.curve or not entry.grid:
        return Markup("")
    width, top, bottom, left, right = 300, 24, 170, 44, 290
    across = Scale(0.0, 1.0, left, right)
    both = [float(v) for v in (*entry.curve, *(entry.random_curve or ()))]
    up = around(both, bottom, top)
    parts = [_rises(up, left, right, words["mean_score"]), _axis(across, bottom, bottom, words["share_removed"])]
    if entry.random_curve:
        points = [(across(float(x)), up(float(y))) for x, y in zip(entry.grid, entry.random_curve, strict=True)]
        parts.append(path(points, "muted", 1.6, stroke_dasharray="4 3"))
    points = [(across(float(x)), up(float(y))) for x, y in zip(entry.grid, entry.curve, strict=True)]
    parts.append(path(points, mark.direction if mark else "ink", 2))
    return picture(width, bottom + 34, title, *parts)
