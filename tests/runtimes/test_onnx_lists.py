"""Outputs that are lists of tensors: one of them, or the tensor that a list was cut from row by row."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_zoo import GEMM, WB, X, list_cut_by_row, list_of_tensors, make, node, tensor

from runtimes.adaptation import Adaptation
from runtimes.capabilities import View
from runtimes.formats.onnx_facts import facts_of
from runtimes.formats.scores import as_columns
from runtimes.frameworks import onnx_runtime
from runtimes.target import ModelFileError

pytestmark = pytest.mark.frameworks


def written(folder: Path, model: Any) -> Path:
    onnx.save(model, folder / "made.onnx")
    return folder / "made.onnx"


def rows_one_by_one() -> Any:
    """A list that a Loop would make: nothing in the graph says that its tensors are the rows."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [1, 2]))
    nodes = [GEMM, node("SplitToSequence", ["z"], ["cut"]), node("SequenceAt", ["cut", "last"], ["end"])]
    nodes.append(node("SequenceInsert", ["cut", "end"], ["all"]))
    weights = {**WB, "last": np.int64(-1)}
    return make(nodes, [tensor("x", [None, 3])], [helper.make_value_info("all", kind)], weights)


def test_a_list_cut_along_the_rows_is_read_as_the_tensor_that_was_cut(tmp_path: Path) -> None:
    path = written(tmp_path, list_cut_by_row(0))
    facts = facts_of(path, View("probability", "classification"))
    # below the softmax too, which a list of tensors would have hidden
    assert {"logit", "probability", "log_odds"} <= facts.scores
    assert (facts.n_outputs, facts.problem) == (2, None)
    assert "Differentiable" in facts.capabilities
    handle = onnx_runtime.open_model(path, View("probability", "classification"))
    whole = handle.predict({"x": X})
    assert whole.shape == (len(X), 2)
    np.testing.assert_allclose(whole.sum(axis=1), 1.0, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([handle.predict({"x": row[None]}) for row in X]), whole, atol=1e-7)


def test_of_a_list_cut_along_the_rows_an_output_is_selected_as_of_any_tensor(tmp_path: Path) -> None:
    path = written(tmp_path, list_cut_by_row(1))
    both = onnx_runtime.open_model(path, View("probability", "classification")).predict({"x": X})
    second = View("value", "regression", None, Adaptation(select=(1,)))
    np.testing.assert_array_equal(onnx_runtime.open_model(path, second).predict({"x": X})[:, 0], both[:, 1])


def test_a_list_of_parts_of_all_rows_still_wants_one_of_them(tmp_path: Path) -> None:
    problem = facts_of(written(tmp_path, list_of_tensors()), View("value", "regression")).problem
    assert problem is not None
    assert problem[0] == "the output `all` is a list of tensors"
    assert "`model.output: {select: [0]}`" in problem[1]
    assert "export the model with the tensor that the list is made from" in problem[1]


def test_a_list_of_single_rows_that_no_cut_makes_is_refused_before_it_runs(tmp_path: Path) -> None:
    view = View("value", "regression", None, Adaptation(select=(0,)))
    problem = facts_of(written(tmp_path, rows_one_by_one()), view).problem
    assert problem is not None
    assert "each of them of a single row (1 × 2)" in problem[0]
    assert "ConcatFromSequence" in problem[1]


def test_what_is_only_seen_when_it_runs_says_what_the_list_holds() -> None:
    with pytest.raises(
        ModelFileError, match=r"a list of 4 tensors for 4 rows, and the one chosen has shape \(1, 2\)"
    ) as caught:
        as_columns([np.zeros((1, 2))] * 4, 4, Adaptation(select=(0,)))
    assert "the tensor that the list is made from" in caught.value.help
    with pytest.raises(ModelFileError, match="is a list of 4 tensors") as caught:
        as_columns([np.zeros((1, 2))] * 4, 4)
    assert "where it holds one for each row" in caught.value.help
