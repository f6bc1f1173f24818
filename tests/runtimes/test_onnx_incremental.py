"""Incremental inference: only what a removed patch reaches is computed, and the scores are those of whole rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import View
from runtimes.conformance import check_composer
from runtimes.formats import onnx_incremental, onnx_tabulated
from runtimes.formats.onnx_incremental import Patched, put, windows
from runtimes.formats.onnx_incremental_graph import Axes
from runtimes.frameworks import onnx_runtime
from tests.convolutional_networks import CASES, grid, plain, residual

pytestmark = pytest.mark.frameworks


@pytest.fixture(autouse=True)
def whatever_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks never pay; that the scores are right must show on them all the same."""
    for name, value in (("_LEAST_WORK", 0.0), ("_CALL", 0.0), ("_COPIED", 0.01), ("_PAYS", 5.0)):
        monkeypatch.setattr(onnx_incremental, name, value)
    monkeypatch.setattr(onnx_tabulated, "_PAYS", 0.0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [2, 5, 9])
@pytest.mark.parametrize(("make", "shape"), CASES)
def test_patches_score_as_whole_rows_do(tmp_path: Path, make: Any, shape: Any, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    handle = onnx_runtime.open_model(make(tmp_path / "net.onnx", seed), View("value", "regression"))
    row, references = rng.normal(size=(1, *shape)).astype(np.float32), rng.normal(size=(2, *shape)).astype(np.float32)
    owner = grid(shape, size)
    owner.reshape(-1)[::7] = -1  # some elements are never perturbed
    features = int(owner.max()) + 1
    way = handle.coalitions({"image": row}, {"image": references}, {"image": owner})
    assert isinstance(way, Patched)
    masks = np.concatenate([~np.eye(features, dtype=bool), np.ones((1, features), bool)])
    assert way.takes(masks).all()
    composed = np.where(np.pad(masks, ((0, 0), (0, 1)), constant_values=True)[:, None, owner], row, references[None])
    whole = handle.predict({"image": composed.reshape(-1, *shape)})
    before = handle.spent.forward
    np.testing.assert_allclose(way.scores(masks), whole, atol=1e-5)
    assert handle.spent.forward - before == 2 * len(masks)
    assert way.scores(masks).tobytes() == way.scores(masks).tobytes()


def test_neighbours_are_taken_where_they_fit_and_far_patches_are_not(tmp_path: Path) -> None:
    handle = onnx_runtime.open_model(residual(tmp_path / "net.onnx", 0), View("value", "regression"))
    image = np.random.default_rng(0).normal(size=(1, 29, 32, 3)).astype(np.float32)
    owner = grid((29, 32, 3), 4)  # 8 rows of 8 patches
    way = handle.coalitions({"image": image}, {"image": np.zeros_like(image)}, {"image": owner})
    assert way is not None
    masks = np.ones((3, 64), bool)
    masks[0, 9] = masks[1, [0, 63]] = masks[2, :] = False
    assert way.takes(masks).tolist() == [True, False, False]


def test_the_whole_law_of_composers_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for make, shape in CASES:
        handle = onnx_runtime.open_model(make(tmp_path / "net.onnx", 1), View("value", "regression"))
        rows = rng.normal(size=(4, *shape)).astype(np.float32)
        assert check_composer(handle, {"image": rows}, rng) == []


def test_a_network_too_small_to_profit_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    handle = onnx_runtime.open_model(plain(tmp_path / "net.onnx", 0), View("value", "regression"))
    image = np.zeros((1, 28, 28, 1), np.float32)
    way = handle.coalitions({"image": image}, {"image": image}, {"image": grid((28, 28, 1), 4)})
    assert not isinstance(way, Patched)


def test_missing_values_are_left_to_whole_rows(tmp_path: Path) -> None:
    handle = onnx_runtime.open_model(plain(tmp_path / "net.onnx", 0), View("value", "regression"))
    image = np.full((1, 28, 28, 1), np.nan, np.float32)
    assert handle.coalitions({"image": image}, {"image": image}, {"image": grid((28, 28, 1), 4)}) is None


def test_reach_along_an_axis_by_hand() -> None:
    # A kernel of 3 with padding 1, then one of 3 with stride 2 and no padding: element i reads 2i - 1 to 2i + 3.
    axes = Axes((1,), np.array([6]), np.array([2]), np.array([1]), np.array([3]))
    assert [int(n[0]) for n in axes.reads(np.array([2]), np.array([3]))] == [3, 8]
    # Element 5 is read by i = 1 (reads 1 to 5), 2 (3 to 7) and 3 (5 to 9).
    assert [int(n[0]) for n in axes.reached(np.array([5]), np.array([6]))] == [1, 4]


def test_windows_are_read_and_written_where_they_start() -> None:
    tensor = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    start = np.array([[0, 3], [2, 1]])
    taken = windows(tensor, (2, 3), start, np.array([2, 2]))
    np.testing.assert_array_equal(taken, np.stack([tensor[0, :, 0:2, 3:5], tensor[1, :, 2:4, 1:3]]))
    written = np.zeros_like(tensor)
    put(written, (2, 3), start, taken)
    assert written.sum() == taken.sum()
    np.testing.assert_array_equal(written[1, :, 2:4, 1:3], tensor[1, :, 2:4, 1:3])
