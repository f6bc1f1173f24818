"""Segments of pictures: each row is cut into its own, no more than promised, and nothing is left over."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgx_compiler import driver, load
from pgx_compiler.modalities import image
from pgx_compiler.modalities._image_segments import KINDS, _at_most, places, segment
from pgx_compiler.modalities.features import UnfitFeatures

CHANNELS_FIRST = {"channels_first": True}


def quarters(side: int = 24, channels: int = 3) -> np.ndarray:
    """A picture of four flat quarters of different brightness."""
    picture = np.zeros((side, side, channels))
    half = side // 2
    picture[:half, half:], picture[half:, :half], picture[half:, half:] = 0.3, 0.6, 1.0
    return picture


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("scale", [(0, 1), (-2.5, 4), (0, 255)])
def test_segments_partition_the_picture_whatever_its_channels_and_numbers(kind, channels, scale):
    rng = np.random.default_rng(0)
    noisy = quarters(channels=channels) + 0.02 * rng.random((24, 24, channels))
    owner = segment(scale[0] + noisy * (scale[1] - scale[0]), kind, 9)
    count = owner.max() + 1
    assert owner.shape == (24, 24)
    assert 1 < count <= 9
    assert (np.bincount(owner.reshape(-1)) > 0).all()
    _, first = np.unique(owner, return_index=True)
    assert (np.diff(first) > 0).all()  # numbered as they are met row by row
    # The picture is stretched before it is cut: its numbers' unit means nothing.
    assert (segment(noisy, kind, 9) == owner).mean() > 0.95


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_segments_follow_the_picture(kind):
    owner = segment(quarters(), kind, 4)
    corners = [owner[4, 4], owner[4, 19], owner[19, 4], owner[19, 19]]
    assert len(set(corners)) == 4
    for corner, block in zip(
        corners, (np.s_[:12, :12], np.s_[:12, 12:], np.s_[12:, :12], np.s_[12:, 12:]), strict=True
    ):
        assert (owner[block] == corner).mean() > 0.9


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 12), st.sampled_from(sorted(KINDS)))
def test_there_are_never_more_segments_than_promised(seed, most, kind):
    picture = np.random.default_rng(seed).random((13, 9, 3))
    owner = segment(picture, kind, most)
    assert owner.max() < most
    assert len(np.unique(owner)) == owner.max() + 1


def test_too_many_segments_merge_smallest_first_into_the_likest_neighbour():
    # Sizes 4, 1, 3, 4 with grey 0, 0.4, 0.5, 1: the single pixel is likest the third (0.1 apart, not 0.4), the two
    # together (4 pixels of 0.475) come first among equals of size 4 only by number, so the first segment goes next;
    # its one neighbour is that pair.
    owner = np.array([[0, 0, 0, 0, 1, 2, 2, 2, 3, 3, 3, 3]])
    picture = np.array([0, 0.4, 0.5, 1.0])[owner][..., None]
    three = _at_most(owner, picture, 3)
    assert three.tolist() == [[0, 0, 0, 0, 2, 2, 2, 2, 3, 3, 3, 3]]
    two = _at_most(owner, picture, 2)
    assert two.tolist() == [[2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3]]


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_flat_or_broken_picture_still_has_segments(value):
    for kind in KINDS:
        owner = segment(np.full((10, 10, 1), value), kind, 5)
        assert 0 <= owner.max() < 5


@pytest.mark.parametrize(("shape", "more"), [((16, 16), {}), ((16, 16, 3), {}), ((3, 16, 16), CHANNELS_FIRST)])
def test_owners_of_rows_partition_all_elements_and_agree_with_the_counts(shape, more):
    rng = np.random.default_rng(1)
    images = rng.random((3, *shape)).astype(np.float32)
    images[1] = 0.5  # one flat row: another number of segments than the others
    described = {**image.settle({"superpixels": "felzenszwalb", "segments": 12}, {"x": shape}), **more}
    found = image.features_of_rows({"x": images}, described)
    assert image.varies(described)
    assert found.names == image.feature_map({"x": shape}, described).names
    assert len(found) == 12
    assert found.owners["x"].shape == images.shape
    assert found.counts[1] == 1
    for row in range(3):
        own = found.of_row(row)
        assert len(own) == found.counts[row] <= 12
        assert set(np.unique(own.owners["x"])) == set(range(len(own)))
        assert own.sizes().sum() == images[row].size
        assert len(set(own.names)) == len(own)
        channels = 0 if more else 2
        if len(shape) == 3:
            assert (np.diff(own.owners["x"], axis=channels) == 0).all()  # all channels of a pixel go together
    again = image.features_of_rows({"x": images[2:]}, described)
    assert (again.owners["x"][0] == found.owners["x"][2]).all()  # a row's segments do not depend on the others
    assert found.present(3).sum() == found.counts.sum()


def test_where_a_segment_lies_is_told_in_words():
    owner = np.kron(np.arange(9).reshape(3, 3), np.ones((4, 4), int))
    assert places(owner, 9) == [
        *("upper left", "top", "upper right"),
        *("left", "centre", "right"),
        *("lower left", "bottom", "lower right"),
    ]


def test_patches_know_where_the_channels_are():
    last = image.patches((4, 6, 3), 2)
    first = image.patches((3, 4, 6), 2, channels_first=True)
    assert (np.moveaxis(last, -1, 0) == first).all()
    described = {**image.settle({**CHANNELS_FIRST, "size": 2}, {"x": (3, 4, 6)})}
    assert described == {"superpixels": "patches", "size": 2, "channels_first": True}
    found = image.feature_map({"x": (3, 4, 6)}, described)
    assert found.layout == {
        "kind": "grid",
        "rows": 2,
        "columns": 3,
        "size": 2,
        "height": 4,
        "width": 6,
        "channels_first": True,
    }


@pytest.mark.parametrize(
    ("choice", "key"),
    [
        ({"superpixels": "slic", "size": 4}, "size"),
        ({"superpixels": "patches", "segments": 4}, "segments"),
        ({"superpixels": "slic", "segments": 100}, "segments"),
        ({"size": 9}, "size"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_key_at_fault(choice, key):
    with pytest.raises(UnfitFeatures) as refused:
        image.settle(choice, {"x": (8, 8)})
    assert refused.value.key == key


def test_defaults_are_patches_and_segments_alone_mean_slic():
    assert image.settle({}, {"x": (64, 32, 3)}) == {"superpixels": "patches", "size": 4}
    assert image.settle({"superpixels": "slic"}, {"x": (64, 32, 3)}) == {"superpixels": "slic", "segments": 50}
    assert image.settle({"segments": 7}, {"x": (8, 8)}) == {"superpixels": "slic", "segments": 7}


def tiny_network(path):
    """8 random filters over 16 x 16 x 3 pixels, their mean response, three classes."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(3)
    weights = {
        "k": rng.normal(size=(8, 3, 5, 5)).astype(np.float32),
        "w": rng.normal(size=(8, 3)).astype(np.float32) * 3,
    }
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["t", "k"], ["c"], pads=[2, 2, 2, 2]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("ReduceMax", ["r", "axes"], ["m"], keepdims=0),
        helper.make_node("MatMul", ["m", "w"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 16, 16, 3])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 3])],
        [
            *(numpy_helper.from_array(v, n) for n, v in weights.items()),
            numpy_helper.from_array(np.array([2, 3], np.int64), "axes"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)


@pytest.mark.frameworks
def test_an_audit_explains_segments_from_end_to_end(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.delenv("PGX_STORE", raising=False)
    tiny_network(tmp_path / "tiny.onnx")
    rng = np.random.default_rng(0)
    images = np.clip(quarters(16)[None] * rng.random((40, 1, 1, 3)) + 0.05 * rng.random((40, 16, 16, 3)), 0, 1)
    np.savez(tmp_path / "photos.npz", x=images.astype(np.float32))
    upper = np.zeros((16, 16), np.uint8)
    upper[:8] = 255
    Image.fromarray(upper).save(tmp_path / "upper.png")
    spec = {
        "apiVersion": "pgx/v1",
        "kind": "Audit",
        "metadata": {"name": "tiny"},
        "seed": 1,
        "strategy": {"expectations": [{"feature": "upper", "effect": "irrelevant", "source": "test"}]},
        "model": {"onnx": "tiny.onnx", "task": "classification"},
        "data": {
            "modality": "image",
            "train": {"path": "photos.npz"},
            "features": {"upper": {"mask": "upper.png"}},
        },
        "explain": {
            "rows": {"from": "train", "sample": 5},
            "features": {"superpixels": "slic", "segments": 8},
            "fill": {"kind": "blur"},
            "perturbation": [{"use": "exact_shapley"}, {"use": "occlusion"}],
        },
        "agreement": [{"use": "rank_correlation"}, {"use": "top_k_overlap", "with": {"k": 8}}],
        "faithfulness": [{"use": "deletion"}],
        "factsheet": {"formats": ["json"]},
    }
    (tmp_path / "tiny.yaml").write_text(json.dumps(spec))
    ran = driver.run(tmp_path / "tiny.yaml", tmp_path / "out", engine="inline")
    assert {outcome.status for outcome in ran.result.outcomes.values()} == {"computed"}
    audit = load(tmp_path / "out")
    arrays = audit.arrays("exact_shapley")
    present, values = arrays["present"], arrays["values"]
    assert arrays["owner_x"].shape == (5, 16, 16, 3)
    assert (present.sum(axis=1) == arrays["owner_x"].reshape(5, -1).max(axis=1) + 1).all()
    assert (values[~present] == 0).all()
    assert np.allclose(values.sum(axis=1), arrays["scores"] - arrays["base_values"], atol=1e-5)
    # the share of the upper half, worked out anew: each segment counts by how much of it lies there
    share = []
    for row in range(5):
        owner = arrays["owner_x"][row, :, :, 0]
        weight = np.array([(owner[:8] == s).sum() / max(1, (owner == s).sum()) for s in range(8)])
        share.append((np.abs(values[row]) * weight).sum() / np.abs(values[row]).sum())
    fact = audit.facts["reliance.upper.irrelevant.share.exact_shapley"]
    assert fact.value == pytest.approx(np.mean(share))
    # where a row has no more than the eight features of the top, their overlap is undefined and says so
    overlap = audit.facts["agreement.top_k_overlap.exact_shapley~occlusion.median"]
    assert (overlap.value is None) == (present.sum(axis=1) <= 8).all()
