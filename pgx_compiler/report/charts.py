"""Charts that methods hand over as data, drawn: lines, steps, bars, points, matrices and pictures."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from pgx_compiler.report.drawing import Scale, around, element, line, paint, path, picture, text, tick_label, ticks
from pgx_compiler.report.heat_maps import STOPS, colour, grey_image
from pgx_compiler.report.numbers import clip, number
from pgx_compiler.report.statement_entries import ChartEntry, CurveEntry

WIDTH, HEIGHT = 330, 214
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 318, 26, 158
MOST_CURVES = 5
"""Curves that can be told apart by colour and dash; the others are in factsheet.json, and the caption says so."""
MOST_BARS = 14
MOST_CELLS = 20
_STROKES = (("ink", None), ("violet", "6 3"), ("olive", "2 2.5"), ("muted", "8 3 2 3"), ("perturbation", "1 2"))
"""Colour and dash of each curve in turn: either alone tells them apart. Blue and orange mean the two directions elsewhere,
so that several curves begin with other colours."""


def chart(entry: ChartEntry, title: str) -> Markup:
    """One chart; ``title`` stands for it where it cannot be seen."""
    if entry.kind == "matrix":
        return _matrix(entry, title)
    if entry.kind == "picture":
        shades = grey_image([_known(line) for line in entry.values])
        return Markup('<img class="map picture" src="{}" alt="{}">').format(shades, title)
    named = any(isinstance(x, str) for curve in entry.curves for x in curve.x)
    if entry.kind == "bars" or named:
        return _bars(entry, title)
    return _plot(entry, title)


def curves_left_out(entry: ChartEntry) -> int:
    """How many curves of a chart are not drawn."""
    return max(0, len(entry.curves) - MOST_CURVES) if entry.kind != "matrix" else 0


def _known(values: Sequence[Any]) -> list[float]:
    return [float(value) for value in values if value is not None]


def _heights(curves: Sequence[CurveEntry], zero: bool) -> Scale:
    held = [v for c in curves for v in (*_known(c.y), *_known(c.low or ()), *_known(c.high or ()))]
    return around(held, _BOTTOM, _TOP, zero=zero)


def _frame(entry: ChartEntry, up: Scale) -> list[Markup]:
    parts = [text(4, 12, clip(entry.y_title, 52), font_size=10.5)]
    for tick in ticks(up, 4):
        y = up(tick)
        parts += [line(_LEFT, y, _RIGHT, y), text(_LEFT - 6, y + 3.5, tick_label(tick), anchor="end", font_size=10)]
    parts.append(text((_LEFT + _RIGHT) / 2, _BOTTOM + 30, clip(entry.x_title, 48), anchor="middle"))
    return parts


def _legend(curves: Sequence[CurveEntry]) -> list[Markup]:
    if len(curves) < 2:
        return []
    parts, x = [], float(_LEFT)
    room = (_RIGHT - _LEFT) / len(curves)
    for index, curve in enumerate(curves):
        ink, dash = _STROKES[index]
        parts.append(line(x, _BOTTOM + 45, x + 16, _BOTTOM + 45, ink, 2, stroke_dasharray=dash))
        whole = element("title", curve.name)
        label = clip(curve.name, max(4, int((room - 24) / 5.6)))
        parts.append(element("text", whole, label, x=x + 20, y=_BOTTOM + 48.5, font_size=10, **paint("ink")))
        x += room
    return parts


def _plot(entry: ChartEntry, title: str) -> Markup:
    curves = entry.curves[:MOST_CURVES]
    xs = [float(x) for curve in curves for x in curve.x]
    across = around(xs, _LEFT + 4, _RIGHT - 4, room=0.01)
    up = _heights(curves, zero=False)
    parts = _frame(entry, up)
    strokes = _STROKES if len(curves) > 1 else (("perturbation", None),)
    for tick in ticks(across, 4):
        parts.append(text(across(tick), _BOTTOM + 14, tick_label(tick), anchor="middle", font_size=10))
    for mark in entry.marks:
        if across.low <= float(mark) <= across.high:
            parts.append(line(across(float(mark)), _BOTTOM - 1, across(float(mark)), _BOTTOM + 4, "muted", 1))
    for index, curve in enumerate(curves):
        ink, dash = strokes[index]
        parts += _band(curve, across, up, ink)
        points = [(across(float(x)), up(float(y))) for x, y in zip(curve.x, curve.y, strict=True) if y is not None]
        if entry.kind == "points":
            parts += [element("circle", cx=x, cy=y, r=2.4, **paint(ink, fill_opacity=0.6)) for x, y in points]
        else:
            stepped = _stepped(points) if entry.kind == "steps" else points
            parts.append(path(stepped, ink, 1.8, stroke_dasharray=dash))
    return picture(WIDTH, HEIGHT, title, *parts, *_legend(curves))


def _stepped(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    found = points[:1]
    for (_, before), (x, y) in pairwise(points):
        found += [(x, before), (x, y)]
    return found


def _band(curve: CurveEntry, across: Scale, up: Scale, ink: str) -> list[Markup]:
    if curve.low is None or curve.high is None:
        return []
    held = [
        (across(float(x)), up(float(low)), up(float(high)))
        for x, low, high in zip(curve.x, curve.low, curve.high, strict=True)
        if low is not None and high is not None
    ]
    if len(held) < 2:
        return []
    outline = [(x, high) for x, _, high in held] + [(x, low) for x, low, _ in reversed(held)]
    points = " ".join(f"{x:.2f},{y:.2f}" for x, y in outline)
    return [element("polygon", points=points, **paint(ink, fill_opacity=0.14))]


def _bars(entry: ChartEntry, title: str) -> Markup:
    """Horizontal bars, so that names can be read; one lane for each curve."""
    curves = entry.curves[:MOST_CURVES]
    names = list(dict.fromkeys(str(x) for curve in curves for x in curve.x))[:MOST_BARS]
    lane = 8 if len(curves) > 1 else 13
    height, left = lane * len(curves) + 7, 128
    bottom = _TOP + height * len(names)
    held = [v for c in curves for v in (*_known(c.y), *_known(c.low or ()), *_known(c.high or ()))]
    scale = around(held, left, _RIGHT, zero=True)
    parts = [text(4, 12, clip(f"{entry.x_title}: {entry.y_title}" if entry.x_title else entry.y_title, 56))]
    for tick in ticks(scale, 4):
        x = scale(tick)
        parts += [line(x, _TOP, x, bottom), text(x, bottom + 13, tick_label(tick), anchor="middle", font_size=10)]
    zero = scale(0.0)
    for place, name in enumerate(names):
        y = _TOP + height * place
        whole = element("title", name)
        where = {"x": left - 6, "y": y + height / 2 + 4, "text_anchor": "end"}
        parts.append(element("text", whole, clip(name, 20), **where, **paint("ink")))
        for index, curve in enumerate(curves):
            at = [str(x) for x in curve.x]
            if name not in at or (value := curve.y[at.index(name)]) is None:
                continue
            top, end = y + 3 + lane * index, scale(float(value))
            hint = element("title", f"{curve.name or entry.title}, {name}: {number(value)}")
            size = {"x": min(zero, end), "y": top, "width": abs(end - zero), "height": lane - 2}
            fill = _STROKES[index][0] if len(curves) > 1 else "perturbation"
            parts.append(element("rect", hint, **size, **paint(fill, fill_opacity=0.8)))
            if curve.low and curve.high:
                low, high = curve.low[at.index(name)], curve.high[at.index(name)]
                if low is not None and high is not None:
                    middle = top + (lane - 2) / 2
                    parts.append(line(scale(float(low)), middle, scale(float(high)), middle, "ink", 1.4))
    if len(curves) > 1:
        for index, curve in enumerate(curves):
            x = left + (_RIGHT - left) / len(curves) * index
            parts.append(element("rect", x=x, y=bottom + 20, width=10, height=9, **paint(_STROKES[index][0])))
            parts.append(text(x + 14, bottom + 28, clip(curve.name, 12), "ink", font_size=10))
    return picture(WIDTH, bottom + (36 if len(curves) > 1 else 20), title, *parts)


def _matrix(entry: ChartEntry, title: str) -> Markup:
    """A grid of coloured cells on a symmetric scale."""
    rows, columns = entry.rows[:MOST_CELLS], entry.columns[:MOST_CELLS]
    left, top = 116.0, 92.0
    side = min(26.0, (_RIGHT + 60 - left) / max(len(columns), 1))
    held = _known([v for row in entry.values for v in row])
    end = max((abs(v) for v in held), default=0.0) or 1.0
    parts = []
    for place, name in enumerate(columns):
        x, y = left + side * (place + 0.6), top - 6
        whole = element("title", name)
        turned = {"x": x, "y": y, "transform": f"rotate(-52 {x:.1f} {y:.1f})", "font_size": 9.5}
        parts.append(element("text", whole, clip(name, 16), **turned, **paint("ink")))
    for down, name in enumerate(rows):
        y = top + side * down
        whole = element("title", name)
        where = {"x": left - 5, "y": y + side / 2 + 3.5, "text_anchor": "end", "font_size": 9.5}
        parts.append(element("text", whole, clip(name, 20), **where, **paint("ink")))
        for across, column in enumerate(columns):
            value = entry.values[down][across]
            said = "\u2014" if value is None else number(value)
            hint = element("title", f"{name} \u00d7 {column}: {said}")
            red, green, blue = colour(0.0 if value is None else float(value) / end)
            fill = "none" if value is None else f"#{red:02x}{green:02x}{blue:02x}"
            cell = {"x": left + side * across, "y": y, "width": side - 1, "height": side - 1}
            parts.append(element("rect", hint, **cell, fill=fill))
    bottom = top + side * len(rows)
    parts += _key(left, bottom + 10, end, entry.unit)
    return picture(WIDTH + 60, bottom + 38, title, *parts)


def _key(left: float, top: float, end: float, unit: str) -> list[Markup]:
    """The colour scale of a matrix."""
    parts = []
    for place, stop in enumerate(STOPS):
        parts.append(element("rect", x=left + 9 * place, y=top, width=9, height=8, fill=stop))
    said = f"\u00b1{number(end)} {unit}".strip()
    return [*parts, text(left + 9 * len(STOPS) + 6, top + 8, said, font_size=10)]
