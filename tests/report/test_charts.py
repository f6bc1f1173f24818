"""Charts handed over as data: what is drawn is what they hold, and hostile names stay text."""

import re
from xml.etree import ElementTree

import pytest

from pgx_compiler.report import charts, heat_maps
from pgx_compiler.report.statement_entries import ChartEntry, CurveEntry

SVG = "{http://www.w3.org/2000/svg}"


def drawn(entry: ChartEntry) -> ElementTree.Element:
    return ElementTree.fromstring(str(charts.chart(entry, "a chart")))  # noqa: S314 - our own drawing


def polyline(svg: ElementTree.Element, place: int) -> list[tuple[float, float]]:
    found = [node.get("d") or "" for node in svg.iter(f"{SVG}path")][place]
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", found)]


def lines(kind: str = "lines", **more: object) -> ChartEntry:
    curve = CurveEntry(name="bad", x=[0.0, 1.0, 2.0], y=[0.0, 4.0, 2.0])
    return ChartEntry.model_validate(
        {"kind": kind, "title": "t", "x_title": "x", "y_title": "y", "curves": [curve], **more}
    )


def test_a_line_goes_through_its_points_in_proportion() -> None:
    (x0, y0), (x1, y1), (x2, y2) = polyline(drawn(lines()), 0)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.02)
    # 0, 4, 2: the last point stands half way between the other two, and larger values stand higher (smaller y)
    assert y1 < y2 < y0
    assert y2 == pytest.approx((y0 + y1) / 2, abs=0.02)


def test_steps_hold_a_value_until_the_next() -> None:
    points = polyline(drawn(lines("steps")), 0)
    assert len(points) == 5  # three points and a corner before each of the last two
    assert points[1][1] == points[0][1]
    assert points[1][0] == points[2][0]


def test_a_point_that_is_not_known_is_left_out() -> None:
    curve = CurveEntry(name="", x=[0.0, 1.0, 2.0], y=[0.0, None, 2.0])
    svg = drawn(lines("points", curves=[curve]))
    assert len(list(svg.iter(f"{SVG}circle"))) == 2


def test_an_interval_is_a_band_around_its_curve() -> None:
    curve = CurveEntry(name="", x=[0.0, 1.0], y=[0.0, 1.0], low=[-1.0, 0.0], high=[1.0, 2.0])
    (band,) = drawn(lines(curves=[curve])).iter(f"{SVG}polygon")
    corners = [tuple(map(float, point.split(","))) for point in (band.get("points") or "").split()]
    assert len(corners) == 4
    assert corners[0][1] < corners[3][1]  # above is smaller: the first corner is the upper end


def test_bars_are_as_long_as_their_values() -> None:
    curve = CurveEntry(name="", x=["age", "job"], y=[2.0, -1.0])
    first, second = (float(node.get("width") or 0) for node in drawn(lines("bars", curves=[curve])).iter(f"{SVG}rect"))
    assert first == pytest.approx(2 * second, abs=0.03)


def test_what_is_too_much_to_tell_apart_is_counted() -> None:
    many = [CurveEntry(name=str(i), x=[0.0, 1.0], y=[0.0, float(i)]) for i in range(charts.MOST_CURVES + 3)]
    entry = lines(curves=many)
    assert charts.curves_left_out(entry) == 3
    assert len(list(drawn(entry).iter(f"{SVG}path"))) == charts.MOST_CURVES


def test_a_matrix_colours_its_cells_on_a_symmetric_scale() -> None:
    entry = ChartEntry(kind="matrix", title="t", rows=["a", "b"], columns=["a", "b"], values=[[None, 2.0], [-2.0, 0.0]])
    cells = [node for node in drawn(entry).iter(f"{SVG}rect") if node.find(f"{SVG}title") is not None]
    assert [cell.get("fill") for cell in cells] == ["none", heat_maps.STOPS[-1], heat_maps.STOPS[0], heat_maps.STOPS[5]]


@pytest.mark.parametrize("kind", ["lines", "bars", "matrix"])
def test_hostile_names_stay_text(kind: str) -> None:
    evil = "<script>alert(1)</script>"
    curve = CurveEntry(name=evil, x=[evil, "b"] if kind == "bars" else [0.0, 1.0], y=[1.0, 2.0])
    entry = ChartEntry(kind=kind, title=evil, x_title=evil, y_title=evil, curves=[curve, curve],
                       rows=[evil], columns=[evil], values=[[1.0]])  # type: ignore[arg-type] # fmt: skip
    svg = ElementTree.fromstring(str(charts.chart(entry, evil)))  # noqa: S314 - our own drawing
    assert not list(svg.iter(f"{SVG}script"))
    assert any(evil in (node.text or "") for node in svg.iter(f"{SVG}title"))


def test_segments_take_the_colour_of_their_value_and_nothing_is_white() -> None:
    # two segments of opposite value, and a pixel that belongs to none
    uri = heat_maps.segment_map([1.0, -1.0], [[0, 1], [1, -1]])
    assert uri.startswith("data:image/png;base64,")
    assert uri != heat_maps.segment_map([-1.0, 1.0], [[0, 1], [1, -1]])


def test_shades_run_from_against_to_support() -> None:
    assert [heat_maps.level(value, 2.0) for value in (-2.0, 0.0, 2.0, 9.0)] == [0, 10, 20, 20]
    assert heat_maps.shade_rules().count(".shade-") == heat_maps.LEVELS


def test_a_picture_is_drawn_in_grey_and_says_what_it_is() -> None:
    entry = ChartEntry(kind="picture", title="t", subject="seven", values=[[0.0, 1.0], [0.5, 0.0]])
    shown = str(charts.chart(entry, "t · <seven>"))
    assert shown.startswith('<img class="map picture" src="data:image/png;base64,')
    assert 'alt="t · &lt;seven&gt;"' in shown
    assert charts.curves_left_out(entry) == 0
