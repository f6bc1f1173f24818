"""Deterministic SVG: escaped elements, linear scales and ticks. Colours have a class too, so that a page may retint."""

import math
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

FONTS = (
    "Inter, Helvetica Neue, Arial, Liberation Sans, "
    "Noto Sans CJK KR, Noto Sans KR, NanumBarunGothic, NanumGothic, DejaVu Sans, sans-serif"
)
COLOURS = {
    "perturbation": "#0b5cad",
    "gradient": "#c65a00",
    "ink": "#1b1f24",
    "muted": "#5b6470",
    "hairline": "#d4d9df",
    "paper": "#ffffff",
    "passed": "#1a7f37",
    "failed": "#c0282d",
    "unknown": "#8a6100",
    "support": "#35978f",
    "against": "#bf812d",
    "violet": "#7a4fa3",
    "olive": "#727200",
}


def element(tag: str, *children: Any, **attributes: Any) -> Markup:
    """One SVG element; names take ``-`` from ``_``, coordinates two decimals, text is escaped."""
    parts = [
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), _plain(value))
        for name, value in attributes.items()
        if value is not None
    ]
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(tag, Markup("").join(parts), inside)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".").replace("-0.00", "0") or "0"
    return str(value)


def paint(fill: str | None = None, stroke: str | None = None, width: float = 1, **more: Any) -> dict[str, Any]:
    """Attributes of a painted shape, by the names in `COLOURS`."""
    classes = [f"fill-{fill}"] if fill else []
    attributes: dict[str, Any] = {"fill": COLOURS[fill] if fill else "none"}
    if stroke:
        classes.append(f"stroke-{stroke}")
        attributes |= {"stroke": COLOURS[stroke], "stroke_width": float(width)}
    return {"class_": " ".join(classes), **attributes, **more}


def line(x1: float, y1: float, x2: float, y2: float, colour: str = "hairline", width: float = 1, **more: Any) -> Markup:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, **paint(None, colour, width, **more))


def text(x: float, y: float, content: Any, colour: str = "muted", anchor: str = "start", **more: Any) -> Markup:
    """A line of text."""
    return element("text", content, x=x, y=y, text_anchor=anchor, **paint(colour, **more))


def path(points: list[tuple[float, float]], colour: str, width: float = 1.5, **more: Any) -> Markup:
    """A polyline through points."""
    moves = " ".join(f"{'L' if place else 'M'}{_plain(x)} {_plain(y)}" for place, (x, y) in enumerate(points))
    return element("path", d=moves, stroke_linejoin="round", **paint(None, colour, width, **more))


def picture(width: float, height: float, title: str, *children: Markup, kind: str = "chart") -> Markup:
    """A whole drawing with its title, the words that stand for it where it cannot be seen."""
    return element(
        "svg",
        element("title", title),
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_plain(float(width))} {_plain(float(height))}",
        width=float(width),
        height=float(height),
        class_=kind,
        role="img",
        font_size=11,
        font_family=FONTS,
    )


def marker(direction: str, index: int, x: float, y: float, size: float = 4.2, hint: str = "") -> Markup:
    """The mark of a method: discs are perturbation, diamonds are gradient; every second one is hollow."""
    filled = index % 2 == 0
    style = paint(direction if filled else "paper", direction, 1.5)
    title = (element("title", hint),) if hint else ()
    if direction == "gradient":
        size *= 1.25
        if index >= 2:
            points = [(x, y - size), (x + size, y + size * 0.8), (x - size, y + size * 0.8)]
        else:
            points = [(x, y - size), (x + size, y), (x, y + size), (x - size, y)]
        return element("polygon", *title, points=" ".join(f"{_plain(a)},{_plain(b)}" for a, b in points), **style)
    if index >= 2:
        side = size * 1.7
        return element("rect", *title, x=x - side / 2, y=y - side / 2, width=side, height=side, **style)
    return element("circle", *title, cx=x, cy=y, r=size, **style)


@dataclass(frozen=True)
class Scale:
    """A linear map from data to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value, held inside the frame."""
        span = (self.high - self.low) or 1.0
        share = min(1.0, max(0.0, (value - self.low) / span))
        return self.start + share * (self.end - self.start)


def around(values: list[float], start: float, end: float, zero: bool = False, room: float = 0.05) -> Scale:
    """A scale over finite values with some room; with zero inside where asked for."""
    inside = [*values, 0.0] if zero or not values else values
    low, high = min(inside), max(inside)
    pad = (high - low) * room or abs(high) * room or 1.0
    at_zero = zero and low == 0
    return Scale(low if at_zero else low - pad, high if zero and high == 0 else high + pad, start, end)


def ticks(scale: Scale, wanted: int = 4) -> list[float]:
    """Round values inside a scale."""
    span = scale.high - scale.low
    if span <= 0:
        return [scale.low]
    rough = span / wanted
    size = 10 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * 0.9)
    first = math.ceil(scale.low / step - 1e-9)
    return [round(index * step, 12) for index in range(first, math.floor(scale.high / step + 1e-9) + 1)]


def tick_label(value: float) -> str:
    """A tick's number, as short as it can be said."""
    return f"{value:g}".replace("-", "\u2212") if abs(value) < 1000 else f"{value:,.0f}".replace("-", "\u2212")
