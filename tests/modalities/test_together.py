"""Inputs of a series that change together: one feature owns the same position of each of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgx_compiler import driver
from pgx_compiler.modalities import series
from pgx_compiler.modalities.features import UnfitFeatures

SHAPES = {"left": [6, 2], "other": [6], "right": [6, 2]}


def test_one_feature_owns_the_same_position_of_inputs_that_change_together():
    settled = series.settle({"windows": 3, "together": [["right", "left"]]}, SHAPES)
    assert settled == {"windows": 3, "channels": "apart", "together": [["right", "left"]]}
    named = {**settled, "columns": ["lx", "ly", "o", "rx", "ry"]}
    features = series.feature_map(SHAPES, named)
    # two steps a window; channel by channel: left (with right) has the windows 0-2 and 3-5, the other input 6-8
    assert features.owners["left"].tolist() == [[0, 3], [0, 3], [1, 4], [1, 4], [2, 5], [2, 5]]
    assert features.owners["right"].tolist() == features.owners["left"].tolist()
    assert features.owners["other"].tolist() == [6, 6, 7, 7, 8, 8]
    assert features.names == (
        *("lx + rx 0–1", "lx + rx 2–3", "lx + rx 4–5"),
        *("ly + ry 0–1", "ly + ry 2–3", "ly + ry 4–5"),
        *("o 0–1", "o 2–3", "o 4–5"),
    )
    assert features.layout["rows"] == 3
    assert features.called("ly + ry") == [3, 4, 5]
    assert features.sizes().tolist() == [4] * 6 + [2] * 3


def test_channels_that_change_together_count_once_when_many_are_joined():
    wide = {"a": [4, 7], "b": [4, 7]}
    assert series.settle({}, wide)["channels"] == "together"
    assert series.settle({"together": [["a", "b"]]}, wide)["channels"] == "apart"


@pytest.mark.parametrize(
    ("together", "said"),
    [
        ([["left", "rigth"]], "no input of the model is called `rigth`"),
        ([["left", "other"]], "`left` and `other` differ in shape"),
        ([["left"]], "one input alone"),
        ([["left", "right"], ["right", "other"]], "`right` is named twice"),
        ([["left", "left"]], "`left` is named twice"),
    ],
)
def test_what_cannot_change_together_is_refused(together, said):
    with pytest.raises(UnfitFeatures, match=said) as refused:
        series.settle({"together": together}, SHAPES)
    assert refused.value.key == "together"


@pytest.mark.frameworks
def test_an_audit_removes_them_at_once(tmp_path: Path):
    """y = sum(left) sum(right): a window that is removed is gone from both factors."""
    import onnx
    from onnx_zoo import make, node, tensor

    graph = [
        node("ReduceSum", ["left", "axes"], ["l"], keepdims=0),
        node("ReduceSum", ["right", "axes"], ["r"], keepdims=0),
        node("Mul", ["l", "r"], ["p"]),
        node("Unsqueeze", ["p", "axes"], ["y"]),
    ]
    inputs = [tensor("left", ["n", 4]), tensor("right", ["n", 4])]
    onnx.save(make(graph, inputs, [tensor("y", ["n", 1])], {"axes": np.array([1])}), tmp_path / "made.onnx")
    rng = np.random.default_rng(2)
    left, right = rng.normal(size=(2, 5, 4)).astype(np.float32)
    np.savez(tmp_path / "data.npz", left=left, right=right)
    spec: dict[str, Any] = {
        "apiVersion": "pgx/v1",
        "kind": "Audit",
        "metadata": {"name": "tied"},
        "model": {"onnx": "made.onnx", "task": "regression"},
        "data": {"modality": "series", "train": {"path": "data.npz"}},
        "explain": {
            "rows": {"from": "train", "all": True},
            "features": {"windows": 2, "together": [["left", "right"]]},
            "fill": {"kind": "value", "value": 0},
            "perturbation": [
                {"use": "occlusion"},
                {"use": "occlusion", "id": "apart", "features": {"windows": 2}},
            ],
        },
        "factsheet": {"formats": ["json"]},
    }
    (tmp_path / ".pgx").mkdir()
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    ran = driver.run(tmp_path / "spec.yaml", tmp_path / "out", engine="inline")
    assert {name: one.reason for name, one in ran.result.outcomes.items() if one.reason} == {}
    with np.load(tmp_path / "out" / "evidence" / "occlusion" / "attributions.npz") as held:
        found, names = held["values"], held["feature_names"].tolist()
    assert names == ["left + right 0–1", "left + right 2–3"]
    whole = left.sum(axis=1) * right.sum(axis=1)
    kept = [left[:, part].sum(axis=1) * right[:, part].sum(axis=1) for part in (slice(2, 4), slice(0, 2))]
    np.testing.assert_allclose(found, np.stack([whole - one for one in kept], axis=1), atol=1e-5)
    with np.load(tmp_path / "out" / "evidence" / "apart" / "attributions.npz") as held:
        assert held["values"].shape == (5, 4)
