"""ONNX files that look up ids: the gradient by what the ids stand for, through every way that exporters wire a table.

Above its tables every network here is ``tanh(mean @ A) @ B``, the mean over the tokens that are not padding (id 0). So the
slope of logit t by what token i stands for is ``A @ ((1 - h²) * B[:, t]) / tokens``, and 0 for padding.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from runtimes.capabilities import EmbeddingDifferentiable, View
from runtimes.conformance import check_differentiable, check_predictor
from runtimes.formats.onnx_facts import facts_of
from runtimes.frameworks import onnx_runtime, onnx_tensorflow
from runtimes.target import ModelFileError

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(4)
TABLE = RNG.normal(size=(7, 3)).astype(np.float32)
OTHER = RNG.normal(size=(7, 3)).astype(np.float32)
STORED = RNG.integers(-100, 100, (7, 3)).astype(np.int8)
SCALES = RNG.uniform(0.01, 0.02, 7).astype(np.float32)
A, B = RNG.normal(size=(3, 4)).astype(np.float32), RNG.normal(size=(4, 2)).astype(np.float32)
IDS = np.array([[1, 2, 3, 0], [4, 4, 0, 0], [5, 1, 2, 6]])
TARGET = np.array([0, 1, 1])
LENGTH = 4
AS_FLOATS = TensorProto.FLOAT

Node = tuple[Any, ...]
"""Operator, inputs, output, attributes."""


class Way:
    """One way to wire a table: from ``ids`` to ``e``, ``(rows, places, 3)``, and what each id stands for."""

    def __init__(self, nodes: list[Node], stands_for: Callable[[Any], Any], held: dict[str, Any], **more: Any) -> None:
        self.nodes, self.stands_for, self.held = nodes, stands_for, held
        self.ids = more.get("ids", TensorProto.INT64)
        self.rounded = more.get("rounded", False)


def direct(ids: Any) -> Any:
    return TABLE[ids]


def scaled(ids: Any) -> Any:
    return (STORED.astype(np.float32) * SCALES[:, None])[ids]


def whole(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


FLAT = [("Reshape", ["ids", "all"], "flat", {}), ("Gather", ["table", "flat"], "rows", {})]
HALVES = [("Slice", ["ids", "s0", "s2", "one"], "left", {}), ("Slice", ["ids", "s2", "s4", "one"], "right", {}),
          ("Gather", ["table", "left"], "l", {}), ("Gather", ["other", "right"], "r", {}), ("Concat", ["l", "r"], "e", {"axis": 1})]  # fmt: skip
WRAPPED = [("Less", ["ids", "zero"], "below", {}), ("Add", ["ids", "seven"], "up", {}),
           ("Where", ["below", "up", "ids"], "index", {}), ("Gather", ["table", "index"], "e", {})]  # fmt: skip
BY_ROW = [("Gather", ["stored", "ids"], "q", {}), ("Cast", ["q"], "f", {"to": AS_FLOATS}), ("Gather", ["scales", "ids"], "s", {}),
          ("Unsqueeze", ["s", "last"], "u", {}), ("Mul", ["f", "u"], "e", {})]  # fmt: skip
HELD = {"table": TABLE}
SLICED = {"s0": whole(0), "s2": whole(2), "s4": whole(4), "one": whole(1)}

WAYS = {
    "direct": Way([("Gather", ["table", "ids"], "e", {})], direct, HELD),
    "narrow_ids": Way([("Gather", ["table", "ids"], "e", {"axis": -2})], direct, HELD, ids=TensorProto.INT32),
    "floats_for_ids": Way([("Cast", ["ids"], "i", {"to": 7}), ("Gather", ["table", "i"], "e", {})], direct, HELD, ids=AS_FLOATS),
    "clipped": Way([("Clip", ["ids", "zero", "six"], "i", {}), ("Gather", ["table", "i"], "e", {})], direct,
                   {**HELD, "zero": np.int64(0), "six": np.int64(6)}),
    "negative_wrapped": Way(WRAPPED, direct, {**HELD, "zero": np.int64(0), "seven": np.int64(7)}),
    "flattened": Way([*FLAT, ("Reshape", ["rows", "back"], "e", {})], direct, {**HELD, "all": whole(-1), "back": whole(-1, 4, 3)}),
    "places_first": Way([("Transpose", ["ids"], "turned", {"perm": [1, 0]}), ("Gather", ["table", "turned"], "g", {}),
                         ("Transpose", ["g"], "e", {"perm": [1, 0, 2]})], direct, HELD),
    "a_table_for_some_places": Way(HALVES, lambda ids: np.concatenate([TABLE[ids[:, :2]], OTHER[ids[:, 2:]]], 1),
                                   {**HELD, **SLICED, "other": OTHER}),
    "other_ids": Way([("Gather", ["swap", "ids"], "i", {}), ("Gather", ["table", "i"], "e", {})], lambda ids: TABLE[6 - ids],
                     {**HELD, "swap": whole(6, 5, 4, 3, 2, 1, 0)}),
    "half_floats": Way([("Gather", ["half", "ids"], "g", {}), ("Cast", ["g"], "e", {"to": AS_FLOATS})],
                       lambda ids: TABLE.astype(np.float16).astype(np.float32)[ids], {"half": TABLE.astype(np.float16)}),
    "quantised_behind": Way([("Gather", ["stored", "ids"], "g", {}), ("DequantizeLinear", ["g", "scale", "point"], "e", {})],
                            lambda ids: (STORED.astype(np.float32)[ids] - 3) * np.float32(0.02),
                            {"stored": STORED, "scale": np.float32(0.02), "point": np.int8(3)}),
    "quantised_before": Way([("DequantizeLinear", ["stored", "scales"], "t", {"axis": 0}), ("Gather", ["t", "ids"], "e", {})], scaled,
                            {"stored": STORED, "scales": SCALES}),
    "quantised_by_row": Way(BY_ROW, scaled, {"stored": STORED, "scales": SCALES, "last": whole(-1)}),
    "two_tables": Way([("Gather", ["table", "ids"], "g", {}), ("Gather", ["other", "ids"], "o", {}), ("Add", ["g", "o"], "e", {})],
                      lambda ids: TABLE[ids] + OTHER[ids], {**HELD, "other": OTHER}),
}  # fmt: skip
HEAD: list[Node] = [
    ("Cast", ["ids"], "whole", {"to": 7}),
    ("Equal", ["whole", "pad"], "is_pad", {}),
    ("Not", ["is_pad"], "kept", {}),
    ("Cast", ["kept"], "mask", {"to": AS_FLOATS}),
    ("Unsqueeze", ["mask", "behind"], "column", {}),
    ("Mul", ["e", "column"], "seen", {}),
    ("ReduceSum", ["seen", "places"], "sum", {"keepdims": 0}),
    ("ReduceSum", ["mask", "places"], "count", {"keepdims": 1}),
    ("Div", ["sum", "count"], "mean", {}),
    ("MatMul", ["mean", "A"], "z", {}),
    ("Tanh", ["z"], "h", {}),
    ("MatMul", ["h", "B"], "logits", {}),
    ("Softmax", ["logits"], "y", {}),
]
HEAD_HELD = {"pad": np.int64(0), "behind": whole(2), "places": whole(1), "A": A, "B": B}


def saved(path: Path, nodes: list[Node], held: dict[str, Any], inputs: dict[str, tuple[int, Any]]) -> Path:
    made = [helper.make_node(kind, given, [out], name=f"the {out}", **said) for kind, given, out, said in nodes]
    tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in held.items()]
    given = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    answer = [helper.make_tensor_value_info("y", AS_FLOATS, ["rows", 2])]
    graph = helper.make_graph(made, "g", given, answer, tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path / "made.onnx")
    return path / "made.onnx"


def wired(path: Path, way: Way, shape: Any = ("rows", LENGTH)) -> Path:
    return saved(path, [*way.nodes, *HEAD], {**way.held, **HEAD_HELD}, {"ids": (way.ids, shape)})


def by_hand(stands_for: Any, ids: Any, target: Any) -> tuple[Any, Any]:
    """The logits, and their slopes by what each token stands for."""
    mask = (ids != 0)[..., None]
    count = mask.sum(1)
    h = np.tanh((stands_for * mask).sum(1) / count @ A)
    slope = ((1 - h**2) * B[:, target].T) @ A.T
    return h @ B, (slope / count)[:, None] * mask


@pytest.mark.parametrize("name", WAYS)
def test_the_slope_by_what_ids_stand_for_is_that_of_the_formula(name: str, tmp_path: Path) -> None:
    way = WAYS[name]
    path = wired(tmp_path, way)
    facts = facts_of(path)
    assert facts.capabilities >= {"Differentiable", "EmbeddingDifferentiable"}
    assert facts.lacks.keys() == {"AttentionReadable"}
    handle = onnx_tensorflow.open_model(path, View("logit"))
    assert isinstance(handle, EmbeddingDifferentiable)
    stands_for = way.stands_for(IDS).astype(np.float64)
    logits, slopes = by_hand(stands_for, IDS, TARGET)
    np.testing.assert_allclose(handle.predict({"ids": IDS}), logits, atol=1e-5)
    np.testing.assert_allclose(
        handle.predict({"ids": IDS}), onnx_runtime.open_model(path, View("logit")).predict({"ids": IDS}), atol=1e-5
    )
    embedded = handle.embed({"ids": IDS})
    assert embedded["ids"].shape[:2] == IDS.shape
    np.testing.assert_array_equal(embedded["ids.ids"], IDS)
    if name not in ("two_tables", "a_table_for_some_places"):
        np.testing.assert_allclose(embedded["ids"], stands_for, atol=1e-6)
        np.testing.assert_allclose(handle.above.gradient(embedded, TARGET)["ids"], slopes, atol=1e-5)
    tables = 2 if name == "two_tables" else 1
    np.testing.assert_allclose(handle.gradient({"ids": IDS}, TARGET)["ids"], tables * slopes.sum(-1), atol=1e-5)
    assert check_predictor(handle.above, embedded) == []
    assert check_differentiable(handle.above, embedded, np.random.default_rng(0)) == []


def test_a_place_that_a_table_is_not_asked_for_stands_for_nothing_in_it(tmp_path: Path) -> None:
    handle = onnx_tensorflow.open_model(wired(tmp_path, WAYS["a_table_for_some_places"]), View("logit"))
    embedded = handle.embed({"ids": IDS})["ids"]
    assert embedded.shape == (3, 4, 6)
    np.testing.assert_array_equal(embedded[:, :2, :3], TABLE[IDS[:, :2]])
    np.testing.assert_array_equal(embedded[:, 2:, 3:], OTHER[IDS[:, 2:]])
    assert not embedded[:, 2:, :3].any()
    assert not embedded[:, :2, 3:].any()


@pytest.mark.parametrize("shape", [("rows", "length"), (2, LENGTH)], ids=["any length", "two rows a call"])
def test_lengths_and_rows_may_be_open_or_fixed(tmp_path: Path, shape: Any) -> None:
    handle = onnx_tensorflow.open_model(wired(tmp_path, WAYS["direct"], shape), View("logit"))
    ids = IDS if shape[0] == 2 else np.tile(IDS, (1, 2))
    logits, slopes = by_hand(TABLE[ids].astype(np.float64), ids, TARGET)
    np.testing.assert_allclose(handle.predict({"ids": ids}), logits, atol=1e-5)
    np.testing.assert_allclose(handle.gradient({"ids": ids}, TARGET)["ids"], slopes.sum(-1), atol=1e-5)
    assert handle.predict({"ids": ids[:0]}).shape == (0, 2)
    assert handle.gradient({"ids": ids[:0]}, TARGET[:0])["ids"].shape == ids[:0].shape


def test_rows_are_counted_once_wherever_they_are_asked(tmp_path: Path) -> None:
    handle = onnx_tensorflow.open_model(wired(tmp_path, WAYS["direct"]), View("logit"))
    embedded = handle.embed({"ids": IDS})
    assert (handle.spent.forward, handle.spent.backward) == (0, 0)
    handle.predict({"ids": IDS})
    handle.above.gradient(embedded, TARGET)
    handle.gradient({"ids": IDS}, TARGET)
    assert (handle.spent.forward, handle.spent.backward) == (3, 6)


@pytest.mark.parametrize("name", ["direct", "negative_wrapped", "clipped", "other_ids", "a_table_for_some_places"])
@pytest.mark.parametrize("wrong", [7, -1])
def test_an_id_that_no_table_knows_is_refused(tmp_path: Path, name: str, wrong: int) -> None:
    if (name, wrong) == ("clipped", 7):
        pytest.skip("the file itself takes it for the last")
    handle = onnx_tensorflow.open_model(wired(tmp_path, WAYS[name]), View("logit"))
    ids = IDS.copy()
    ids[1, 1] = wrong
    for asked in (handle.embed, handle.predict):
        with pytest.raises(ValueError, match="`ids` holds ids beyond th"):
            asked({"ids": ids})


def test_token_types_are_looked_up_and_a_mask_is_given(tmp_path: Path) -> None:
    """As in BERT: words and types are summed, and the mask says which tokens are seen."""
    nodes: list[Node] = [
        ("Gather", ["table", "ids"], "w", {}),
        ("Gather", ["other", "types"], "t", {}),
        ("Add", ["w", "t"], "e", {}),
        ("Cast", ["attention"], "mask", {"to": AS_FLOATS}),
        *HEAD[4:],
    ]
    whole_numbers = (TensorProto.INT64, ("rows", LENGTH))
    inputs = dict.fromkeys(("ids", "types", "attention"), whole_numbers)
    path = saved(tmp_path, nodes, {**HELD, "other": OTHER[:2], **HEAD_HELD}, inputs)
    handle = onnx_tensorflow.open_model(path, View("logit"))
    rows = {"ids": IDS, "types": IDS % 2, "attention": (IDS != 0).astype(np.int64)}
    logits, slopes = by_hand((TABLE[IDS] + OTHER[IDS % 2]).astype(np.float64), IDS, TARGET)
    np.testing.assert_allclose(handle.predict(rows), logits, atol=1e-5)
    found = handle.gradient(rows, TARGET)
    np.testing.assert_allclose(found["ids"], slopes.sum(-1), atol=1e-5)
    np.testing.assert_allclose(found["types"], slopes.sum(-1), atol=1e-5)
    assert not found["attention"].any()


def test_whole_numbers_that_no_table_stands_for_are_named_with_what_reads_them(tmp_path: Path) -> None:
    nodes = [("Cast", ["ids"], "f", {"to": AS_FLOATS}), ("MatMul", ["f", "W"], "y", {})]
    path = saved(
        tmp_path, nodes, {"W": np.ones((LENGTH, 2), np.float32)}, {"ids": (TensorProto.INT64, ("rows", LENGTH))}
    )
    reason = "the ONNX file's input `ids` is int64, and no embedding looks it up: operator `Cast` (node the f) reads it"
    assert facts_of(path).lacks == {"Differentiable": reason, "AttentionReadable": reason}
    with pytest.raises(ModelFileError, match="no embedding looks it up"):
        onnx_tensorflow.open_model(path, View("logit"))


def test_whole_numbers_of_another_length_beside_tokens_are_refused(tmp_path: Path) -> None:
    nodes = [("Gather", ["table", "ids"], "e", {}), *HEAD[:-3], ("Cast", ["age"], "f", {"to": AS_FLOATS}), ("Mul", ["z", "f"], "older", {}),
             ("Tanh", ["older"], "h", {}), *HEAD[-2:]]  # fmt: skip
    inputs = {"ids": (TensorProto.INT64, ("rows", LENGTH)), "age": (TensorProto.INT64, ("rows", 1))}
    facts = facts_of(saved(tmp_path, nodes, {**HELD, **HEAD_HELD}, inputs))
    assert "Differentiable" not in facts.capabilities
    assert "input `age` is int64, and no embedding looks it up" in facts.lacks["Differentiable"]


def test_numbers_that_are_also_looked_up_stay_numbers(tmp_path: Path) -> None:
    """An input of floats, of which one way goes to a table and the other into a product, has a slope of its own."""
    nodes = [("Cast", ["x"], "i", {"to": 7}), ("Gather", ["table", "i"], "e", {}), ("ReduceMean", ["e"], "m", {"axes": [1], "keepdims": 0}),
             ("MatMul", ["m", "V"], "a", {}), ("MatMul", ["x", "W"], "b", {}), ("Add", ["a", "b"], "y", {})]  # fmt: skip
    held = {**HELD, "V": A[:, :2], "W": np.ones((LENGTH, 2), np.float32)}
    facts = facts_of(saved(tmp_path, nodes, held, {"x": (AS_FLOATS, ("rows", LENGTH))}))
    assert "Differentiable" in facts.capabilities
    assert "EmbeddingDifferentiable" not in facts.capabilities


def test_a_table_inside_a_function_of_the_file_is_found(tmp_path: Path) -> None:
    path = wired(tmp_path, WAYS["direct"])
    model = onnx.load(path)
    function = helper.make_function("of.mine", "Embed", ["weight", "index"], ["found"],
                                    [helper.make_node("Gather", ["weight", "index"], ["found"])], [helper.make_opsetid("", 17)])  # fmt: skip
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("of.mine", 1))
    gather = next(one for one in model.graph.node if one.op_type == "Gather")
    gather.CopyFrom(helper.make_node("Embed", ["table", "ids"], ["e"], domain="of.mine"))
    onnx.save(model, path)
    handle = onnx_tensorflow.open_model(path, View("logit"))
    np.testing.assert_allclose(
        handle.gradient({"ids": IDS}, TARGET)["ids"], by_hand(TABLE[IDS], IDS, TARGET)[1].sum(-1), atol=1e-5
    )
