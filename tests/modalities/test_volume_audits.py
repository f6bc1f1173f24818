"""Audits of volumes from the file to the page: a linear 3D convolution, whose every value is known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgx_compiler import driver

pytestmark = pytest.mark.frameworks

SHAPE = (4, 4, 6)
CLASSES = ("left", "right")


def kernel() -> Any:
    """Two filters over blocks of 2 × 2 × 2 voxels in two channels, ``(outputs, channels, 2, 2, 2)``."""
    return np.random.default_rng(3).normal(size=(2, 2, 2, 2, 2)).astype(np.float32)


def channels_first(path: Path) -> None:
    """score = mean over the twelve blocks of the filter's product with the block; N × C × D × H × W."""
    from onnx import TensorProto, checker, helper, numpy_helper, save

    nodes = [
        helper.make_node("Conv", ["scan", "w"], ["blocks"], strides=[2, 2, 2]),
        helper.make_node("GlobalAveragePool", ["blocks"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["score"]),
        helper.make_node("Softmax", ["score"], ["share"], axis=1),
    ]
    scan = helper.make_tensor_value_info("scan", TensorProto.FLOAT, ["n", 2, *SHAPE])
    share = helper.make_tensor_value_info("share", TensorProto.FLOAT, ["n", 2])
    graph = helper.make_graph(nodes, "linear", [scan], [share], [numpy_helper.from_array(kernel(), "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    checker.check_model(model)
    save(model, path)


@pytest.fixture
def scans() -> Any:
    return np.random.default_rng(0).normal(size=(40, *SHAPE, 2)).astype(np.float32)


@pytest.fixture
def project(tmp_path: Path, scans: Any) -> Path:
    channels_first(tmp_path / "model.onnx")
    labels = np.arange(40) % 2
    np.savez(tmp_path / "last.npz", x=scans, y=labels)
    np.savez(tmp_path / "first.npz", x=np.moveaxis(scans, -1, 1), y=labels)
    return tmp_path


def written(project: Path, file: str = "last.npz", **changes: Any) -> Path:
    spec = {
        "apiVersion": "pgx/v1",
        "kind": "Audit",
        "metadata": {"name": "scans"},
        "model": {"onnx": "model.onnx", "classes": list(CLASSES)},
        "data": {"modality": "volume", "train": {"path": file, "target": "y"}, "test": {"path": file, "target": "y"}},
        "precaution": [{"use": "outliers"}],
        "explain": {
            "score": "logit",
            "rows": {"from": "test", "sample": 4},
            "features": {"size": 2},
            "fill": {"kind": "value", "value": 0},
            "perturbation": [{"use": "occlusion"}],
            "gradient": [{"use": "integrated_gradients"}],
            **changes.pop("explain", {}),
        },
        "agreement": [{"use": "rank_correlation"}],
        "factsheet": {"formats": ["json", "html"], "show_rows": True},
        **changes,
    }
    (project / "audit.yaml").write_text(json.dumps(spec))
    return project / "audit.yaml"


def run(spec: Path) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The factsheet, what each step left, and the page."""
    ran = driver.run(spec, spec.parent / "run", engine="inline")
    assert {name: one.reason for name, one in ran.result.outcomes.items() if one.reason} == {}
    folder = spec.parent / "run"
    left = {}
    for step in ("occlusion", "integrated_gradients"):
        with np.load(folder / "evidence" / step / "attributions.npz") as held:
            left[step] = dict(held)
    return json.loads((folder / "factsheet.json").read_text()), left, (folder / "factsheet.html").read_text("utf-8")


def worked_out(scans: Any, target: Any) -> Any:
    """What each block adds to the score of a class, ``(rows, 12)``: its product with the filter, over twelve blocks."""
    rows = scans.reshape(len(scans), 2, 2, 2, 2, 3, 2, 2)  # depth, in it; height, in it; width, in it; channel
    filters = kernel()[target]
    return np.einsum("radbecfx,rxdef->rabc", rows, filters).reshape(len(scans), -1) / 12


@pytest.mark.parametrize("data", ["last.npz", "first.npz"])
def test_both_directions_say_what_each_block_adds_wherever_the_channels_stand(
    project: Path, scans: Any, data: str
) -> None:
    sheet, left, page = run(written(project, data))
    for found in left.values():
        rows = scans[found["row_ids"].astype(int)]
        assert found["values"].shape == (4, 12)
        np.testing.assert_allclose(found["values"], worked_out(rows, found["targets"]), atol=1e-5)
    layout = sheet["audit"]["layout"]
    assert (layout["kind"], layout["slices"], layout["rows"], layout["columns"]) == ("blocks", 2, 2, 3)
    assert [one["median"] for one in sheet["agreement"]] == [pytest.approx(1.0)]
    shown = sheet["examples"][0]["slices"]
    assert [(one["first"], one["last"]) for one in shown] == [(0, 1), (2, 3)]
    assert np.shape(shown[0]["image"]) == (4, 6)
    assert 'class="map montage picture" data-example="0"' in page
    assert "depth 0–1, 2–3" in page


def test_rows_that_are_kept_out_show_blocks_but_no_voxels(project: Path) -> None:
    hidden = {"formats": ["json", "html"]}
    sheet, _, page = run(written(project, factsheet=hidden))
    assert all(one["image"] is None for example in sheet["examples"] for one in example["slices"])
    assert 'class="map montage"' in page
    assert "picture" not in page[page.index('class="maps rows-of-maps"') :].split("</table>")[0]


def test_supervoxels_are_each_row_s_own_and_drawn_by_their_voxels(project: Path, scans: Any) -> None:
    sheet, left, page = run(written(project, explain={"features": {"segments": 6}}))
    for found in left.values():
        rows = scans[found["row_ids"].astype(int)]
        # All segments together hold all voxels: their values add up to the sum over the blocks.
        expected = worked_out(rows, found["targets"]).sum(axis=1)
        np.testing.assert_allclose(found["values"].sum(axis=1), expected, atol=1e-5)
    example = sheet["examples"][0]
    assert example["features"][0].startswith("segment 1 (depth 0")
    assert all(np.shape(one["owners"]) == np.shape(one["image"]) == (4, 6) for one in example["slices"])
    assert 'class="map montage"' in page
    assert "Words that matter most" not in page


def messages(spec: Path) -> list[tuple[str, str]]:
    return [(str(one.code), f"{one.message}; {one.help}") for one in driver.check(spec).diagnostics]


def test_a_single_channel_may_be_left_out_of_the_file(tmp_path: Path) -> None:
    single_channel(tmp_path / "model.onnx")
    rows = np.random.default_rng(1).normal(size=(40, *SHAPE)).astype(np.float32)
    np.savez(tmp_path / "last.npz", x=rows, y=np.arange(40) % 2)
    checked = driver.check(written(tmp_path))
    assert [one.message for one in checked.diagnostics] == []
    assert checked.audit is not None
    assert checked.audit.inputs[0].shape == (None, *SHAPE, 1)


def single_channel(path: Path) -> None:
    from onnx import load, numpy_helper, save

    channels_first(path)
    model = load(path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(kernel()[:, :1], "w"))
    save(model, path)


def test_volumes_called_images_and_the_other_way_round_are_told_apart(project: Path) -> None:
    data = {"modality": "image", "train": {"path": "last.npz", "target": "y"}}
    ((code, said), *_) = messages(written(project, data=data, explain={"rows": {"from": "train", "sample": 4}}))
    assert code in ("PGX4020", "PGX4021")
    assert "`modality: volume`" in said


def test_a_mask_of_the_slices_is_a_region_of_every_volume(project: Path, scans: Any) -> None:
    from PIL import Image

    mask = np.zeros((4, 6), np.uint8)
    mask[:2, :2] = 255  # the upper left block of both layers: blocks 0 and 6
    Image.fromarray(mask).save(project / "corner.png")
    paths = {split: {"path": "last.npz", "target": "y"} for split in ("train", "test")}
    data = {"modality": "volume", **paths, "features": {"corner": {"mask": "corner.png"}}}
    expectations = {"strategy": {"expectations": [{"feature": "corner", "effect": "irrelevant"}]}}
    sheet, left, _ = run(written(project, data=data, **expectations))
    found = np.abs(left["occlusion"]["values"])
    expected = found[:, [0, 6]].sum(axis=1) / found.sum(axis=1)
    shares = [f["value"] for f in sheet["facts"] if "corner" in f["id"] and "occlusion" in f["id"]]
    assert pytest.approx(np.median(expected)) in shares or pytest.approx(expected.mean()) in shares
