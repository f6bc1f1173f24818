"""Quantisation that an ONNX file writes out as arithmetic: slopes go through it, or it is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_families import graph, node

from runtimes.capabilities import Differentiable, View
from runtimes.formats.keras_runtime import keras
from runtimes.formats.onnx_facts import facts_of
from runtimes.frameworks import onnx_tensorflow, tensorflow_native

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(5)
GOLDEN = Path(__file__).parent / "golden"
X = RNG.uniform(-1, 1, (5, 4)).astype(np.float32)
KERNEL = RNG.integers(-127, 127, (4, 3)).astype(np.int8)

SCALED = [
    node("Abs", outputs=("a",)),
    helper.make_node("ReduceMax", ["a", "axis"], ["m"], keepdims=1),
    helper.make_node("Add", ["m", "tiny"], ["n"]),
    helper.make_node("Div", ["most", "n"], ["s"]),
    helper.make_node("Mul", ["x", "s"], ["t"]),
]
"""s = 127 / max |x|, t = s x."""
CUT = [helper.make_node("Clip", ["r", "least", "most"], ["c"])]
ENDED = [helper.make_node("Div", ["u", "s"], ["y"])]
HELD: dict[str, Any] = {
    "axis": np.array([1]), "tiny": np.float32(1e-7), "most": np.float32(127), "least": np.float32(-127), "w": KERNEL,
    "f": KERNEL.astype(np.float32), "half": np.float32(0.5), "i": KERNEL.astype(np.int32),
}  # fmt: skip


def cast(given: str, made: str, to: int) -> Any:
    return helper.make_node("Cast", [given], [made], to=to)


INTEGERS = [cast("c", "q", TensorProto.INT8), helper.make_node("MatMulInteger", ["q", "w"], ["p"]), cast("p", "u", 1)]
FLOATS = [helper.make_node("MatMul", ["c", "f"], ["u"])]
ROUND = [helper.make_node("Round", ["t"], ["r"])]
FLOOR = [helper.make_node("Add", ["t", "half"], ["h"]), helper.make_node("Floor", ["h"], ["r"])]


def saved(tmp_path: Path, nodes: list[Any], held: dict[str, Any] | None = None) -> Path:
    model = graph(nodes, HELD if held is None else held, (5, 4), 18)
    model.ir_version = 9
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, None))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    onnx.save(model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def slopes(path: Path, x: Any, column: int = 0) -> Any:
    handle = onnx_tensorflow.open_model(path, View("value", "regression"))
    (tensor,) = handle._inputs
    return handle.gradient({tensor.name: x}, np.full(len(x), column))[tensor.name]


@pytest.mark.parametrize("written", [
    SCALED + ROUND + CUT + INTEGERS + ENDED,
    SCALED + ROUND + CUT + FLOATS + ENDED,
    SCALED + FLOOR + CUT + INTEGERS + ENDED,
])  # fmt: skip
def test_the_slope_is_that_without_the_rounding(written: list[Any], tmp_path: Path) -> None:
    # y = round(x s) W / s: without the rounding x W, whose slope is W, with s taken as given or not.
    path = saved(tmp_path, written)
    np.testing.assert_allclose(slopes(path, X), np.tile(KERNEL[:, 0].astype(float), (5, 1)), rtol=1e-5)
    facts = facts_of(path)
    assert facts.coarse
    for reason in (facts.without_rule, facts.without_rescaling):
        assert "`Round`" in reason or "`Floor`" in reason


def test_steps_of_one_size_are_gone_through_as_far_as_they_go(tmp_path: Path) -> None:
    # steps of 0.1 from -0.5 to 0.5: beyond these nothing moves; y = 2 x in between
    held = {"d": np.float32(0.1), "l": np.float32(-5), "h": np.float32(5), "two": np.float32(0.2)}
    nodes = [
        node("Div", "d", outputs=("t",)),
        *ROUND,
        helper.make_node("Min", ["r", "h"], ["k"]),
        helper.make_node("Max", ["k", "l"], ["c"]),
        helper.make_node("Mul", ["c", "two"], ["y"]),
    ]
    x = np.array([[0.26, -0.33, 0.7, -0.9]], np.float32)
    np.testing.assert_allclose(slopes(saved(tmp_path, nodes, held), x, 0), [[2, 0, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(slopes(saved(tmp_path, nodes, held), x, 2), [[0, 0, 0, 0]])


def test_what_would_leave_the_slope_of_the_scale_alone_is_refused_by_name(tmp_path: Path) -> None:
    # not cut off, so that nobody says that these are steps of a quantisation
    bare = [*SCALED, *ROUND, helper.make_node("MatMul", ["r", "f"], ["u"]), *ENDED]
    said = facts_of(saved(tmp_path, bare)).lacks["Differentiable"]
    assert "`Round`" in said
    assert "the slope of that size is all that would be left" in said
    # whole numbers of 32 bits, multiplied as such
    whole = [cast("c", "q", TensorProto.INT32), helper.make_node("MatMul", ["q", "i"], ["p"]), cast("p", "u", 1)]
    said = facts_of(saved(tmp_path, SCALED + ROUND + CUT + whole + ENDED)).lacks["Differentiable"]
    assert "`Cast`" in said
    assert "read as whole numbers" in said


def test_a_rounding_that_belongs_to_what_is_computed_keeps_its_slope(tmp_path: Path) -> None:
    # The hour of a day, x - 24 floor(x / 24): its slope is 1, as differences say, and not 1 - 24 / 24.
    nodes = [
        node("Div", "day", outputs=("t",)),
        helper.make_node("Floor", ["t"], ["r"]),
        helper.make_node("Mul", ["r", "day"], ["p"]),
        helper.make_node("Sub", ["x", "p"], ["y"]),
    ]
    path = saved(tmp_path, nodes, {"day": np.float32(24)})
    np.testing.assert_array_equal(slopes(path, 50 * X, 1), np.tile([0, 1, 0, 0], (5, 1)))
    assert not facts_of(path).coarse


def test_an_export_of_a_quantised_keras_file_has_its_slopes() -> None:
    # Dense(6, relu), Dense(3), `quantize("int8")`, exported by tf2onnx 1.17; beside it Keras' own slopes of output 1.
    held = np.load(GOLDEN / "int8_dense.npz")
    assert np.abs(held["slopes"]).max() > 0.1
    np.testing.assert_allclose(slopes(GOLDEN / "int8_dense.onnx", held["x"], 1), held["slopes"], atol=1e-6)


def test_an_exported_folder_keeps_the_gradient_that_it_brings_and_says_what_that_is_not_seen_by(tmp_path: Path) -> None:
    k = keras()
    k.utils.set_random_seed(0)
    x = k.Input((8,), name="x")
    model = k.Model(x, k.layers.Dense(3)(k.layers.Dense(6, activation="relu")(x)))
    model.quantize("int8")
    model.save(tmp_path / "m.keras")
    model = k.saving.load_model(tmp_path / "m.keras")
    rows = RNG.normal(size=(6, 8)).astype(np.float32)
    model(rows)
    model.export(tmp_path / "saved", verbose=False)
    path = tmp_path / "saved" / "saved_model.pb"
    facts = tensorflow_native.inspect(path)
    for reason in (facts.lacks["LayerDifferentiable"], facts.without_rule, facts.without_rescaling):
        assert "the operation `Round`" in reason
    assert "LayerDifferentiable" not in facts.capabilities
    slopes_of = []
    for one in (path, tmp_path / "m.keras"):
        handle = tensorflow_native.open_model(one, View("value", "regression"))
        assert isinstance(handle, Differentiable)
        (name,) = (tensor.name for tensor in tensorflow_native.inspect(one).inputs)
        slopes_of.append(handle.gradient({name: rows}, np.full(6, 1))[name])
    np.testing.assert_allclose(*slopes_of, atol=1e-6)
