"""The picture of the execution graph: layers from left to right, each grouped by part of the audit.

A step stands one layer right of the last thing it rests on. Lines that follow from others are left out (transitive
reduction), and in a large graph steps of the same kind and layer become one box, so that a page can hold it. The same
nodes give the same picture.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup

from pgx_compiler.passes.repeat_stochastic import AGAIN
from pgx_compiler.plan.stages import PARTS
from pgx_compiler.report.drawing import element, paint, picture, text
from pgx_compiler.report.factsheet import NodeEntry

MOST = 60
"""Steps that are drawn one by one; beyond, those of a kind share a box."""
LETTERS = 22
"""Longest line of a label."""
LETTER, LINE, PAD, GAP = 4.55, 9.5, 4.0, 5.0
"""In pixels: width of a letter, height of a line, room inside a box, and between boxes."""
HEAD, BETWEEN, EDGE = 13.0, 26.0, 4.0
"""In pixels: height of a group's title, room between layers, and around everything."""
SIZE = 8
"""Of the letters, in pixels."""


@dataclass(frozen=True)
class Box:
    """One box of the picture: a step, a source, or several steps of one kind."""

    id: str
    group: tuple[int, str]
    """Place of its part in `PARTS`, and the group's title."""
    lines: tuple[str, ...]
    hint: str
    """All there is to say of it."""
    stage: str
    status: str
    inputs: frozenset[str]


class Place(NamedTuple):
    """Where a box stands."""

    x: float
    y: float
    width: float
    height: float

    @property
    def middle(self) -> float:
        """Its middle from above."""
        return self.y + self.height / 2


def execution_graph(nodes: Sequence[NodeEntry], title: str) -> Markup:
    """The graph of a run as SVG; every box tells its step's full id, price and state to whoever cannot see it."""
    boxes = _boxes(nodes)
    layers = _layers(boxes)
    if len(nodes) > MOST:
        merged = _merged(boxes, layers)
        # a box that stands for several may rest on one that was met later
        boxes = {name: merged[name] for name in sorted(merged, key=layers.__getitem__)}
        layers = _layers(boxes)
    places, frames, width, height = _placed(boxes, layers)
    return picture(
        width,
        height,
        title,
        *(_frame(place, name) for name, place in frames),
        *(_edge(places[first], places[second]) for first, second in _reduced(boxes, layers)),
        *(_drawn(box, places[box.id]) for box in boxes.values()),
        kind="chart graph",
    )


def stages_drawn(nodes: Sequence[NodeEntry]) -> int:
    """How many parts of the audit the picture has, what is given counted as one."""
    return len({node.stage for node in nodes}) + 1


def _boxes(nodes: Sequence[NodeEntry]) -> dict[str, Box]:
    made = {node.id: _step(node) for node in nodes}
    given = sorted({needed for node in nodes for needed in node.inputs} - set(made))
    sources = {name: Box(name, _group("source"), _wrapped(name), name, "source", "done", frozenset()) for name in given}
    return {**sources, **made}


def _step(node: NodeEntry) -> Box:
    method = node.op.partition(" ")[2]
    prefix, _, rest = node.id.partition(".")
    group, name = _group(node.stage), node.id
    if node.stage in ("agreement", "faithfulness") and rest:
        step, _, name = _outside_brackets(rest)
        group = _group(node.stage, step if method in step else f"{step} = {method}")
    elif rest and prefix in (node.stage, "explain", "model"):
        name = rest
    if node.op.startswith("attribute ") and name.endswith(AGAIN):
        lines = [*_wrapped(name.removesuffix(AGAIN)), "under another seed"]
    elif "~" in name:
        first, _, second = name.partition("~")
        lines = [*_wrapped(f"{first} ~"), *_wrapped(second)]
    else:
        lines = list(_wrapped(name))
    if method and method not in node.id and node.stage not in ("agreement", "faithfulness"):
        lines.append(f"= {method}")
    forward, backward = node.cost_planned.get("forward", 0), node.cost_planned.get("backward", 0)
    if forward or backward:
        lines.append(f"{forward:,} + {backward:,}" if backward else f"{forward:,}")
    price = f"; {forward:,} model rows forward, {backward:,} backward" if forward or backward else ""
    status = f"; {node.status.replace('_', ' ')}" if node.status != "done" else ""
    hint = f"{node.id}: {node.op} on {node.runtime}{price}{status}"
    return Box(node.id, group, tuple(lines), hint, node.stage, node.status, frozenset(node.inputs))


def _group(stage: str, step: str = "") -> tuple[int, str]:
    place = PARTS.index(stage) if stage in PARTS else len(PARTS)
    return place, f"{stage}: {step}" if step else stage


def _outside_brackets(text: str) -> tuple[str, str, str]:
    """Parted at the first dot that stands in no brackets: ids of expanded steps may hold numbers."""
    found = re.match(r"((?:[^.\[]|\[[^\]]*\])+)\.(.+)", text)
    return (found[1], ".", found[2]) if found else (text, "", text)


def _wrapped(name: str) -> tuple[str, ...]:
    """A name in lines of at most `LETTERS`, broken behind a mark where there is one."""
    lines: list[str] = []
    line = ""
    for part in re.findall(r"[^_.,\[\]=\- ]*[_.,\[\]=\- ]?", name):
        if line and len(line) + len(part) > LETTERS:
            lines, line = [*lines, line], ""
        line += part
        while len(line) > LETTERS:
            lines, line = [*lines, line[:LETTERS]], line[LETTERS:]
    return (*lines, line) if line or not lines else tuple(lines)


def _layers(boxes: Mapping[str, Box]) -> dict[str, int]:
    """Each box's layer: 0 for what is given, else one more than the last of its inputs. Boxes stand in a graph's order."""
    layers: dict[str, int] = {}
    for box in boxes.values():
        layers[box.id] = 1 + max((layers[needed] for needed in box.inputs), default=-1)
    return layers


def _merged(boxes: Mapping[str, Box], layers: Mapping[str, int]) -> dict[str, Box]:
    """Steps of one kind in one layer as one box each."""
    kinds: dict[tuple[int, tuple[int, str], str], list[Box]] = {}
    for box in boxes.values():
        kind = box.hint.split(": ", 1)[-1].split(" on ")[0]
        kinds.setdefault((layers[box.id], box.group, kind if box.stage != "source" else box.id), []).append(box)
    stands_for = {box.id: same[0].id for same in kinds.values() for box in same}
    merged: dict[str, Box] = {}
    for (_, group, kind), same in kinds.items():
        first = same[0]
        inputs = frozenset(stands_for[needed] for box in same for needed in box.inputs)
        if len(same) == 1:
            merged[first.id] = Box(first.id, first.group, first.lines, first.hint, first.stage, first.status, inputs)
            continue
        worst = next((box.status for box in same if box.status != "done"), "done")
        lines = (*_wrapped(kind.partition(" ")[2] or kind), f"{len(same)} steps")
        hint = f"{len(same)} steps of {kind}: {', '.join(box.id for box in same[:6])}{', …' if len(same) > 6 else ''}"
        merged[first.id] = Box(first.id, group, lines, hint, first.stage, worst, inputs)
    return merged


def _reduced(boxes: Mapping[str, Box], layers: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """The lines that do not follow from others."""
    above: dict[str, frozenset[str]] = {}
    for box in sorted(boxes.values(), key=lambda one: layers[one.id]):
        beyond = frozenset().union(*(above[needed] for needed in box.inputs))
        above[box.id] = beyond | box.inputs
        for needed in sorted(box.inputs - beyond):
            yield needed, box.id


def _placed(
    boxes: Mapping[str, Box], layers: Mapping[str, int]
) -> tuple[dict[str, Place], list[tuple[str, Place]], float, float]:
    """Where each box and each group's frame stands, and the size of it all; layers are centred, for shorter lines."""
    columns = [[box for box in boxes.values() if layers[box.id] == layer] for layer in sorted(set(layers.values()))]
    height = max((_height(column) for column in columns), default=0.0)
    places: dict[str, Place] = {}
    frames: list[tuple[str, Place]] = []
    x = EDGE
    for column in columns:
        letters = max(max(len(box.group[1]), *map(len, box.lines)) for box in column)
        width = letters * LETTER + 2 * PAD
        y = EDGE + (height - _height(column)) / 2
        for group in sorted({box.group for box in column}, key=_down_the_page):
            top = y
            y += HEAD
            for box in sorted((b for b in column if b.group == group), key=lambda one: _barycentre(one, places)):
                places[box.id] = Place(x + PAD, y, width, _tall(box))
                y += _tall(box) + GAP
            frames.append((group[1], Place(x, top, width + 2 * PAD, y - top)))
            y += 2 * GAP
        x += width + 2 * PAD + BETWEEN
    return places, frames, max(x - BETWEEN, 0.0) + EDGE, height + 2 * EDGE


def _tall(box: Box) -> float:
    return len(box.lines) * LINE + PAD


def _height(column: Sequence[Box]) -> float:
    groups = len({box.group for box in column})
    return sum(_tall(box) + GAP for box in column) + groups * HEAD + (groups - 1) * 2 * GAP


def _down_the_page(group: tuple[int, str]) -> tuple[bool, int, str]:
    # what checks say is read by the judgements at the foot of the last layer: at the foot they cross least
    return (group[1] == "precaution", *group)


def _barycentre(box: Box, places: Mapping[str, Place]) -> float:
    """The mean height of what a box rests on: neighbours of neighbours come to stand beside each other."""
    heights = [places[needed].middle for needed in box.inputs]
    return sum(heights) / len(heights) if heights else 0.0


def _frame(place: Place, title: str) -> Markup:
    shape = paint(None, "hairline", 0.8)
    return element(
        "g",
        element("rect", x=place.x, y=place.y, width=place.width, height=place.height, rx=4, **shape),
        text(place.x + PAD, place.y + 9.5, title, "muted", font_size=SIZE, font_weight=600),
    )


def _edge(start: Place, end: Place) -> Markup:
    x1, y1, x2, y2 = start.x + start.width, start.middle, end.x, end.middle
    bend = min(BETWEEN + 2 * PAD, (x2 - x1) / 2)
    curve = f"M{x1:.1f} {y1:.1f}C{x1 + bend:.1f} {y1:.1f} {x2 - bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    return element("path", d=curve, **paint(None, "muted", 0.6, stroke_opacity=0.45))


_COLOURS = {"perturbation": "perturbation", "gradient": "gradient"}


def _drawn(box: Box, place: Place) -> Markup:
    colour = "failed" if box.status == "failed" else _COLOURS.get(box.stage, "muted")
    dashes = None if box.status in ("done", "failed") else "3 2"
    style = paint("paper", colour, 0.9, stroke_dasharray=dashes)
    shape = element("rect", x=place.x, y=place.y, width=place.width, height=place.height, rx=2.5, **style)
    lines = [
        text(place.x + PAD, place.y + LINE * (number + 0.85) + PAD / 2 - 0.5, line, "ink", font_size=SIZE)
        for number, line in enumerate(box.lines)
    ]
    return element("g", element("title", box.hint), shape, *lines)
