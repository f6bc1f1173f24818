"""The picture of the execution graph: every step stands right of what it rests on, apart from the others, and is told."""

import itertools
import re
from xml.etree import ElementTree

import pytest

from pgx_compiler.report.factsheet import NodeEntry
from pgx_compiler.report.graph_figure import MOST, execution_graph

SVG = "{http://www.w3.org/2000/svg}"


def step(name, stage, *inputs, op="attribute occlusion", **more):
    return NodeEntry(
        id=name,
        op=op,
        runtime="host",
        key="k",
        content="c",
        stage=stage,
        inputs=list(inputs),
        **{"status": "done"} | more,
    )


def audit(explanations=3):
    names = [f"explain.m{number}" for number in range(explanations)]
    pairs = list(itertools.pairwise(names))
    return [
        step("precaution.drift", "precaution", "data.test", op="check drift"),
        step(
            "predict", "model", "data.test", "model.onnx", op="predict", cost_planned={"forward": 1200, "backward": 0}
        ),
        step("rows", "ground", "data.test", "predict", op="rows"),
        *(step(name, "perturbation", "data.test", "model.onnx", "rows") for name in names),
        *(
            step(f"agreement.r.{a.split('.')[1]}~{b.split('.')[1]}", "agreement", a, b, op="compare rank_correlation")
            for a, b in pairs
        ),
    ]


def read(nodes):
    """Boxes by the id that their hint begins with: ``(x, y, width, height, lines)``; and the lines' ends."""
    root = ElementTree.fromstring(str(execution_graph(nodes, "the title")))  # noqa: S314 - our own text
    boxes = {}
    for group in root.iter(f"{SVG}g"):
        hint = group.find(f"{SVG}title")
        if hint is not None:
            rect = group.find(f"{SVG}rect")
            place = tuple(float(rect.get(name)) for name in ("x", "y", "width", "height"))
            boxes[re.split(r": | \(", hint.text)[0]] = (
                *place,
                [text.text for text in group.iter(f"{SVG}text")],
                hint.text,
            )
    edges = [tuple(map(float, re.findall(r"[\d.]+", path.get("d")))) for path in root.iter(f"{SVG}path")]
    size = tuple(map(float, root.get("viewBox").split()[2:]))
    return root, boxes, [(e[0], e[1], e[6], e[7]) for e in edges], size


def test_every_step_and_source_has_a_box_with_its_words():
    _, boxes, _, _ = read(audit())
    assert set(boxes) == {node.id for node in audit()} | {"data.test", "model.onnx"}
    assert boxes["predict"][4] == ["predict", "1,200"]
    assert boxes["predict"][5] == "predict: predict on host; 1,200 model rows forward, 0 backward"
    assert boxes["agreement.r.m0~m1"][4] == ["m0 ~", "m1"]


def test_a_step_stands_right_of_all_it_rests_on_and_no_two_boxes_touch():
    nodes = audit(6)
    _, boxes, _, (width, height) = read(nodes)
    for node in nodes:
        for needed in node.inputs:
            assert boxes[needed][0] + boxes[needed][2] < boxes[node.id][0]
    for (x, y, w, h, *_), (x2, y2, w2, h2, *_) in itertools.combinations(boxes.values(), 2):
        assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y
    assert all(x >= 0 and x + w <= width and y >= 0 and y + h <= height for x, y, w, h, *_ in boxes.values())


def test_lines_that_follow_from_others_are_left_out():
    # explain.m0 reads data, model and rows; rows rests on predict, and predict on data and model: one line is left
    _, boxes, edges, _ = read(audit(1))
    ends = {name: (box[0], box[1] + box[3] / 2) for name, box in boxes.items()}
    into = [edge for edge in edges if edge[2:] == pytest.approx(ends["explain.m0"], abs=0.06)]
    assert len(into) == 1
    # data → drift, data → predict, model → predict, predict → rows, rows → m0
    assert len(edges) == 5


def test_equal_nodes_give_equal_pictures_and_the_title_is_told():
    root, *_ = read(audit())
    assert root.find(f"{SVG}title").text == "the title"
    assert root.get("role") == "img"
    assert str(execution_graph(audit(), "t")) == str(execution_graph(audit(), "t"))


def test_a_large_graph_puts_steps_of_a_kind_into_one_box():
    nodes = audit(40)
    assert len(nodes) > MOST
    root, _, _, (_, height) = read(nodes)
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert "40 steps" in words
    assert "39 steps" in words
    assert height < 400


def test_a_hostile_id_stays_text():
    nodes = [step('"/><script>alert(1)</script>', "perturbation", "data.test")]
    root, boxes, _, _ = read(nodes)
    assert not list(root.iter(f"{SVG}script"))
    assert any("<script>" in "".join(box[4]) for box in boxes.values())


def test_what_did_not_run_has_a_broken_frame_and_what_failed_says_so():
    nodes = [
        step("a", "model", op="predict", status="failed"),
        step("b", "model", "a", op="predict", status="not_selected"),
    ]
    root, boxes, _, _ = read(nodes)
    dashed = [rect for rect in root.iter(f"{SVG}rect") if rect.get("stroke-dasharray")]
    assert len(dashed) == 1
    assert boxes["a"][5].endswith("; failed")
    assert boxes["b"][5].endswith("; not selected")


def test_a_repetition_is_told_from_a_comparison_with_a_step_called_again():
    nodes = [
        step("explain.k", "perturbation", op="attribute kernel_shap"),
        step("explain.k~again", "perturbation", op="attribute kernel_shap"),
        step("explain.again", "perturbation"),
        step("agreement.r.k~again", "agreement", "explain.k", "explain.again", op="compare rank_correlation"),
    ]
    _, boxes, _, _ = read(nodes)
    assert boxes["explain.k~again"][4] == ["k", "under another seed", "= kernel_shap"]
    assert boxes["agreement.r.k~again"][4] == ["k ~", "again"]
