"""ONNX files are read statically, and refused with a reason before a runtime sees them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtimes.formats.onnx_facts import facts_of
from runtimes.target import ModelFileError


def product(weights: np.ndarray, **node: Any) -> onnx.ModelProto:
    """x @ weights, as the smallest model there is."""
    made = helper.make_node("MatMul", ["x", "w"], ["y"], **node)
    graph = helper.make_graph(
        [made],
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", len(weights)])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", weights.shape[1]])],
        [numpy_helper.from_array(weights.astype(np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def refusal(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        facts_of(path)
    assert caught.value.help
    return caught.value.reason


def test_facts_of_a_product_are_counted_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "product.onnx"
    onnx.save(product(np.ones((3, 2))), path)
    facts = facts_of(path)
    assert (facts.structure, facts.n_outputs, facts.parameters, facts.work_per_row) == ("linear", 2, 6, 6)
    assert facts.scores == {"logit", "value", "probability", "log_odds"}
    assert facts.inputs[0].shape == (None, 3)


def test_facts_of_the_examples(models: Path) -> None:
    trees, digits, credit = (facts_of(models / f"{n}.onnx") for n in ("german-credit-trees", "digits", "german-credit"))
    assert (trees.structure, trees.activation, trees.n_outputs) == ("tree_ensemble", "logistic", 2)
    assert "TreeEnsemble" in trees.capabilities
    assert (digits.structure, digits.activation, digits.n_outputs, digits.parameters) == (
        "network",
        "softmax",
        10,
        12810,
    )
    assert (credit.activation, credit.n_outputs) == ("sigmoid", 2)
    # 61 * 32 + 32 * 16 + 16 multiply-adds
    assert credit.work_per_row == 61 * 32 + 32 * 16 + 16


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<html><body>404", "web page"),
        (b"PK\x03\x04", "zip archive"),
        (b"\x80\x04\x95", "pickle"),
        (b"version https://git-lfs.github.com/spec/v1", "git-lfs pointer"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x08\x08", "no complete ONNX graph"),
        (b"plain words, and many of them", "truncated or not an ONNX model"),
    ],
)
def test_files_that_are_something_else(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert said in refusal(path)


def test_truncated_files_are_refused_at_every_length(tmp_path: Path, models: Path) -> None:
    whole = (models / "german-credit.onnx").read_bytes()
    path = tmp_path / "cut.onnx"
    for size in np.linspace(1, len(whole) - 1, 40).astype(int):
        path.write_bytes(whole[:size])
        said = refusal(path)
        assert "truncated" in said or "no complete ONNX graph" in said


def test_missing_files_and_directories(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "none.onnx")
    assert "is a directory" in refusal(tmp_path)


def test_custom_operators_are_refused_also_inside_branches(tmp_path: Path) -> None:
    path = tmp_path / "custom.onnx"
    onnx.save(product(np.ones((3, 2)), domain="com.example"), path)
    assert "custom operator com.example::MatMul" in refusal(path)
    inner = helper.make_graph([helper.make_node("Run", [], ["z"], domain="com.example")], "inner", [], [])
    model = product(np.ones((3, 2)))
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=inner, else_branch=inner))
    onnx.save(model, path)
    assert "custom operator com.example::Run" in refusal(path)


def external(tmp_path: Path, location: str) -> Path:
    model = product(np.ones((3, 2)))
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=location)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/hostname", "a/../../secret.bin", ""])
def test_external_data_outside_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    assert "outside its folder" in refusal(external(tmp_path, location))


def test_external_data_that_is_missing_or_linked_is_refused(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    assert "which is missing" in refusal(path)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(24))
    (tmp_path / "weights.bin").symlink_to(secret)
    assert "through a link" in refusal(path)
    (tmp_path / "weights.bin").unlink()
    os.link(secret, tmp_path / "weights.bin")
    assert "through a link" in refusal(path)


def test_external_data_beside_the_model_is_taken(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(np.ones((3, 2), np.float32).tobytes())
    assert facts_of(external(tmp_path, "weights.bin")).parameters == 6


def test_a_model_of_labels_alone_gives_no_scores(tmp_path: Path) -> None:
    model = product(np.ones((3, 2)))
    model.graph.node.append(helper.make_node("ArgMax", ["y"], ["label"], axis=1, keepdims=0))
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]))
    path = tmp_path / "labels.onnx"
    onnx.save(model, path)
    assert "labels only" in refusal(path)
