"""A network that begins with a dense layer scores coalitions from parts; calls are halved where memory does not suffice."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from pgx_compiler.execute.renaming import renamed
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Composer, Spent, View
from runtimes.conformance import check_composer
from runtimes.formats.calls import in_calls
from runtimes.frameworks import onnx_runtime

pytestmark = pytest.mark.frameworks

COLUMNS, UNITS = 9, 6


def layers(path: Path, first: str, rows: Any = "n", **said: Any) -> Path:
    """``first`` is the dense layer: MatMul, or Gemm with what is said of it."""
    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(UNITS, COLUMNS) if said.get("transB") else (COLUMNS, UNITS)).astype(np.float32)
    held = {"m": matrix, "b": rng.normal(size=UNITS).astype(np.float32), "o": rng.normal(size=(UNITS, 2)).astype("f4")}
    dense = [helper.make_node("Gemm", ["x", "m", "b"], ["h"], **said)]
    if first == "MatMul":
        dense = [helper.make_node("MatMul", ["x", "m"], ["p"]), helper.make_node("Add", ["p", "b"], ["h"])]
    graph = helper.make_graph(
        [*dense, helper.make_node("Tanh", ["h"], ["a"]), helper.make_node("MatMul", ["a", "o"], ["y"])],
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, COLUMNS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 2])],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), path)
    return path


OWNERS = np.array([0, 0, 0, 1, 2, 3, 3, -1, 4])


def asked(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(1, COLUMNS)).astype(np.float32),
        rng.normal(size=(4, COLUMNS)).astype(np.float32),
        rng.random((50, 5)) < 0.5,
    )


FORMS = [("MatMul", {}), ("Gemm", {}), ("Gemm", {"transB": 1}), ("Gemm", {"alpha": 0.5})]


@pytest.mark.parametrize(("first", "said"), FORMS)
def test_parts_of_a_dense_layer_score_as_composed_rows_do(tmp_path: Path, first: str, said: dict[str, Any]) -> None:
    handle = onnx_runtime.open_model(layers(tmp_path / "m.onnx", first, **said), View("value", "regression"))
    row, references, masks = asked()
    way = handle.coalitions({"x": row}, {"x": references}, {"x": OWNERS})
    assert way is not None
    assert way.takes(masks).all()
    present = np.concatenate([masks, np.ones((50, 1), bool)], axis=1)
    composed = np.where(present[:, None, OWNERS], row, references[None]).reshape(-1, COLUMNS)
    expected = handle.predict({"x": composed})
    np.testing.assert_allclose(way.scores(masks), expected, atol=1e-5)
    assert handle.spent.forward == 2 * 50 * 4
    assert check_composer(handle, {"x": references}, np.random.default_rng(0)) == []


def test_a_game_gives_the_same_values_either_way_and_under_other_names(tmp_path: Path) -> None:
    path = layers(tmp_path / "m.onnx", "MatMul")
    handle = onnx_runtime.open_model(path, View("value", "regression"))
    row, references, masks = asked(3)

    class Bare:
        """The handle without its own way."""

        rows_per_call, spent, predict = handle.rows_per_call, handle.spent, handle.predict

    features = FeatureMap(tuple("abcde"), {"columns": OWNERS})
    theirs = FeatureMap(tuple("abcde"), {"x": OWNERS})
    under_other_names = renamed(handle, {"columns": "x"})
    assert isinstance(under_other_names, Composer)
    first = Game(under_other_names, {"columns": row}, {"columns": references}, features, np.array([0, 1]))
    second = Game(Bare(), {"x": row}, {"x": references}, theirs, np.array([0, 1]))
    np.testing.assert_allclose(first.value(masks), second.value(masks), atol=1e-6)
    np.testing.assert_allclose(first.empty(), second.empty(), atol=1e-6)


def test_a_batch_that_is_fixed_and_values_that_are_missing_are_left_to_whole_rows(tmp_path: Path) -> None:
    row, references, _ = asked()
    fixed = onnx_runtime.open_model(layers(tmp_path / "f.onnx", "MatMul", rows=3), View("value", "regression"))
    assert fixed.coalitions({"x": row}, {"x": references}, {"x": OWNERS}) is None
    free = onnx_runtime.open_model(layers(tmp_path / "m.onnx", "MatMul"), View("value", "regression"))
    references[0, 0] = np.nan
    assert free.coalitions({"x": row}, {"x": references}, {"x": OWNERS}) is None


class Starved:
    """Memory for so many rows a call."""

    def __init__(self, most: int, rows_per_call: int) -> None:
        self.most, self.rows_per_call, self.spent = most, rows_per_call, Spent()
        self.calls: list[int] = []

    def answer(self, start: int, stop: int) -> np.ndarray:
        self.calls.append(stop - start)
        if stop - start > self.most:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 123")
        return np.arange(start, stop, dtype=np.float64)[:, None]


def test_a_failed_allocation_halves_the_calls_for_good_and_is_counted() -> None:
    handle = Starved(most=3, rows_per_call=16)
    np.testing.assert_array_equal(in_calls(handle, 10, handle.answer)[:, 0], np.arange(10))
    # 10 rows, 5 and 2 are tried: two halvings; the rest goes on by twos.
    assert handle.calls == [10, 5, 2, 2, 2, 2, 2]
    assert (handle.rows_per_call, handle.spent.halved) == (2, 2)


def test_one_row_without_memory_and_other_failures_are_not_hidden() -> None:
    handle = Starved(most=0, rows_per_call=4)
    with pytest.raises(RuntimeError, match="allocate"):
        in_calls(handle, 4, handle.answer)
    assert handle.calls == [4, 2, 1]

    def broken(start: int, stop: int) -> np.ndarray:
        raise ValueError("a shape that does not fit")

    with pytest.raises(ValueError, match="shape"):
        in_calls(Starved(most=9, rows_per_call=4), 4, broken)


def test_predict_goes_on_with_smaller_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = onnx_runtime.open_model(layers(tmp_path / "m.onnx", "MatMul"), View("value", "regression"))
    rows = np.random.default_rng(0).normal(size=(100, COLUMNS)).astype(np.float32)
    expected, run = handle.predict({"x": rows}), handle._run

    def starved(arrays: Any) -> Any:
        if len(arrays["x"]) > 30:
            raise MemoryError
        return run(arrays)

    monkeypatch.setattr(handle, "_run", starved)
    np.testing.assert_allclose(handle.predict({"x": rows}), expected, atol=1e-6)
    assert (handle.rows_per_call, handle.spent.halved, handle.spent.forward) == (25, 2, 200)
