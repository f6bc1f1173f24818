"""A quantised output at the end of its range: whoever finds rows without a gradient is told that this is why."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pgx_compiler.cli import main
from pgx_compiler.execute.self_checks import explanation_report
from pgx_compiler.methods.catalogue import catalogue
from runtimes.capabilities import View
from runtimes.formats.onnx_facts import facts_of

pytestmark = pytest.mark.frameworks

WEIGHTS = np.array([[1.0], [2.0], [-3.0]], np.float32)
SPEC = """apiVersion: pgx/v1
kind: Audit
metadata: {name: saturated}
seed: 7
model: {onnx: m.onnx, task: regression}
data: {modality: tabular, train: {path: rows.csv, target: y}, test: {path: rows.csv, target: y}}
explain:
  rows: {from: test, all: true}
  fill: {kind: value, value: 0}
  gradient: [{use: saliency}]
factsheet: {formats: [json, html]}
"""


def quantised(folder: Path, scale: Any, zero: Any = None, *, more: tuple[Any, ...] = (), made: str = "y") -> Path:
    """``x @ w`` in steps of a size; then whatever else."""
    steps = ["s", "z"] if zero is not None else ["s"]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["p"]), helper.make_node("QuantizeLinear", ["p", *steps], ["q"])]
    nodes += [helper.make_node("DequantizeLinear", ["q", *steps], [made]), *more]
    held = {"w": WEIGHTS, "s": np.float32(scale), **({} if zero is None else {"z": zero})}
    graph = helper.make_graph(
        nodes,
        "m",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, folder / "m.onnx")
    return folder / "m.onnx"


def ends(path: Path, score: str = "value") -> Any:
    return facts_of(path, View(score, "regression")).ends.get(score)


def test_the_ends_are_those_of_the_type_in_steps_of_the_scale(tmp_path: Path) -> None:
    # int8 about 0: from -128 / 50 to 127 / 50; uint8 about 3: from -3 / 4 to 252 / 4; no zero: uint8 from 0 to 255 / 4
    np.testing.assert_allclose(ends(quantised(tmp_path, 0.02, np.int8(0))), (-2.56, 2.54))
    np.testing.assert_allclose(ends(quantised(tmp_path, 0.25, np.uint8(3))), (-0.75, 63.0))
    np.testing.assert_allclose(ends(quantised(tmp_path, 0.25)), (0.0, 63.75))
    shaped = (helper.make_node("Identity", ["d"], ["y"]),)
    np.testing.assert_allclose(ends(quantised(tmp_path, 0.25, np.int16(0), more=shaped, made="d")), (-8192.0, 8191.75))
    # below a sigmoid it is the logit's range, and of two classes in one column a score is its own or its opposite
    sigmoid = (helper.make_node("Sigmoid", ["d"], ["y"]),)
    assert facts_of(quantised(tmp_path, 0.25, np.int8(0), more=sigmoid, made="d")).ends == {}
    # what is added behind the steps has no ends
    added = (helper.make_node("Add", ["d", "s"], ["y"]),)
    assert ends(quantised(tmp_path, 0.25, np.int8(0), more=added, made="d")) is None


def rows_of(folder: Path) -> Any:
    x = np.random.default_rng(5).normal(size=(40, 3)).astype(np.float32)  # of any digits: none is half a step
    lines = ["a,b,c,y", *(",".join(map(str, [*row, row[0]])) for row in x.tolist())]
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    (folder / "audit.yaml").write_text(SPEC)
    return x


def silent(folder: Path) -> list[dict[str, Any]]:
    assert main(["run", str(folder / "audit.yaml"), "--engine", "inline", "--output", str(folder / "out")]) == 0
    sheet = json.loads((folder / "out" / "factsheet.json").read_text())
    return [one for one in sheet["findings"] if one["code"] == "gradient_dead"]


def test_an_audit_says_that_rows_without_a_gradient_were_cut_off(tmp_path: Path) -> None:
    # steps of 0.02: what is farther from 0 than 127 (below: 128) of them was cut off at 2.54 (-2.56), and has no slope
    steps = np.rint(rows_of(tmp_path) @ WEIGHTS / np.float32(0.02))
    quantised(tmp_path, 0.02, np.int8(0))
    cut_off = int(((steps > 127) | (steps < -128)).sum())
    assert cut_off > 5
    (found,) = silent(tmp_path)
    assert f"{cut_off} of 40 rows" in found["title"]
    assert (
        f"The score of {cut_off} of them lies at an end of what the model's quantised output can be" in found["summary"]
    )
    assert "(-2.56 or 2.54)" in found["summary"]


def said(ends: tuple[float, ...]) -> str:
    declaration = catalogue()["saliency"]
    arrays = {"values": np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]), "scores": np.array([2.54, 2.54, 0.3])}
    (found,) = explanation_report(declaration, arrays, "value", ends).findings
    return found.summary


def test_only_rows_that_are_silent_and_at_an_end_are_counted() -> None:
    assert "The score of 1 of them" in said((-2.56, 2.54))
    assert "(2.54)" in said((-2.56, 2.54))
    for others in ((), (-5.0, 5.0)):
        assert (
            said(others)
            == "Every attribution of 2 rows is exactly zero: the score does not react where the method looks."
        )
