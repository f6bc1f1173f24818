"""What the first layers of a convolutional network can answer is looked up, and the scores are those of whole rows."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import View
from runtimes.conformance import check_composer
from runtimes.formats import onnx_incremental, onnx_tabulated
from runtimes.formats.onnx_incremental_graph import Axes, Stand, as_far_as_read, network_of
from runtimes.formats.onnx_incremental_parts import network_in
from runtimes.formats.onnx_tabulated import TableOfRow, coloured
from runtimes.frameworks import onnx_runtime
from tests.convolutional_networks import CASES, Drawn, grid, plain, residual

pytestmark = pytest.mark.frameworks


@pytest.fixture
def whatever_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small networks do not always pay; that the scores are right must show on them all the same."""
    monkeypatch.setattr(onnx_incremental, "_PAYS", 0.0)
    for name, value in (("_LOOKED_UP", 0.1), ("_PLACE", 0.0), ("_PAYS", 5.0), ("_FILLS", 0)):
        monkeypatch.setattr(onnx_tabulated, name, value)


def segments(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> np.ndarray:
    """Each place to the nearest of some points, as superpixels are: no boxes, and of any number of neighbours."""
    axes = np.array(shape[:-1])
    points = rng.random((count, len(axes))) * axes
    places = np.stack(np.meshgrid(*map(np.arange, axes), indexing="ij"), axis=-1)
    nearest = ((places[..., None, :] - points) ** 2).sum(axis=-1).argmin(axis=-1)
    return np.array(np.broadcast_to(nearest[..., None], shape), np.int64)


def of_each_channel(shape: tuple[int, ...], size: int) -> np.ndarray:
    """Patches of one channel: features that lie on each other."""
    owner = grid(shape, size)
    return owner * shape[-1] + np.arange(shape[-1])


def whole_scores(handle: Any, row: np.ndarray, references: np.ndarray, owner: np.ndarray, masks: np.ndarray) -> Any:
    keep = np.pad(masks, ((0, 0), (0, 1)), constant_values=True)[:, None, owner]
    return handle.predict({"image": np.where(keep, row, references[None]).reshape(-1, *row.shape[1:])})


DIVISIONS = {
    "patches of 4": lambda shape, rng: grid(shape, 4),
    "patches of 9": lambda shape, rng: grid(shape, 9),
    "a few fixed": lambda shape, rng: np.where(rng.random(shape) < 0.1, -1, grid(shape, 7)),
    "segments": lambda shape, rng: segments(shape, 12, rng),
    "channels apart": lambda shape, rng: of_each_channel(shape, 14),
    "one owns nothing": lambda shape, rng: grid(shape, 8) + (grid(shape, 8) > 1),
}


@pytest.mark.usefixtures("whatever_it_costs")
@pytest.mark.parametrize("references", [1, 3])
@pytest.mark.parametrize("division", DIVISIONS)
@pytest.mark.parametrize(("make", "shape"), CASES)
def test_any_mask_scores_as_whole_rows_do(
    tmp_path: Path, make: Any, shape: Any, division: str, references: int
) -> None:
    rng = np.random.default_rng(references)
    handle = onnx_runtime.open_model(make(tmp_path / "net.onnx", 1), View("value", "regression"))
    row, others = (rng.normal(size=(count, *shape)).astype(np.float32) for count in (1, references))
    owner = DIVISIONS[division](shape, rng)
    way = handle.coalitions({"image": row}, {"image": others}, {"image": owner})
    assert isinstance(way, TableOfRow)
    features = int(owner.max()) + 1
    masks = np.concatenate(
        [rng.random((30, features)) < 0.5, np.ones((1, features), bool), np.zeros((1, features), bool)]
    )
    assert way.takes(masks).all()
    before = handle.spent.forward
    scores = way.scores(masks)
    assert handle.spent.forward - before == references * len(masks)
    np.testing.assert_allclose(scores, whole_scores(handle, row, others, owner, masks), atol=1e-5)
    np.testing.assert_allclose(way.scores(masks[5:6]), scores[5 * references : 6 * references], atol=1e-6)


@pytest.mark.usefixtures("whatever_it_costs")
def test_the_whole_law_of_composers_holds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for make, shape in CASES:
        handle = onnx_runtime.open_model(make(tmp_path / "net.onnx", 1), View("value", "regression"))
        assert check_composer(handle, {"image": rng.normal(size=(4, *shape)).astype(np.float32)}, rng) == []


def test_masks_of_one_patch_are_computed_where_it_lies_and_others_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("_LEAST_WORK", 0.0), ("_CALL", 0.0), ("_COPIED", 0.01)):
        monkeypatch.setattr(onnx_incremental, name, value)
    for name, value in (("_LOOKED_UP", 0.1), ("_PLACE", 0.0), ("_PAYS", 5.0), ("_FILLS", 1)):
        monkeypatch.setattr(onnx_tabulated, name, value)
    rng = np.random.default_rng(0)
    handle = onnx_runtime.open_model(residual(tmp_path / "net.onnx", 0), View("value", "regression"))
    row, others = (rng.normal(size=(count, 29, 32, 3)).astype(np.float32) for count in (1, 2))
    owner = grid((29, 32, 3), 8)  # 4 rows of 4 patches
    masks = np.concatenate([~np.eye(16, dtype=bool), rng.random((80, 16)) < 0.5])[rng.permutation(96)]
    way = handle.coalitions({"image": row}, {"image": others}, {"image": owner})
    assert way is not None
    assert not isinstance(way, TableOfRow)
    assert way.takes(masks).all()
    assert way.takes(masks[:10]).tolist() == [
        mask.sum() == 15 for mask in masks[:10]
    ]  # the rest are too few for a table
    np.testing.assert_allclose(way.scores(masks), whole_scores(handle, row, others, owner, masks), atol=1e-5)
    few = masks[masks.sum(axis=1) < 15]
    np.testing.assert_allclose(way.scores(few), whole_scores(handle, row, others, owner, few), atol=1e-5)


def test_a_game_of_many_masks_takes_the_table_and_a_game_of_few_does_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    handle = onnx_runtime.open_model(plain(tmp_path / "net.onnx", 0), View("value", "regression"))
    row = rng.normal(size=(1, 28, 28, 1)).astype(np.float32)
    owner = grid((28, 28, 1), 2)
    features = FeatureMap(tuple(f"p{i}" for i in range(196)), {"image": owner})
    game = Game(handle, {"image": row}, {"image": np.zeros_like(row)}, features, np.array([0, 2]))
    way = game._composed_inside
    assert isinstance(way, TableOfRow)
    masks = rng.random((64, 196)) < 0.5
    assert not way.takes(masks[:63]).any()
    few = game.value(masks[:63])
    assert way._table is None
    many = game.value(masks)
    assert way._table is not None
    assert way.takes(masks[:1]).all()  # now that it is there
    np.testing.assert_allclose(many[:63], few, atol=1e-6)


def test_features_that_too_many_windows_share_are_left_to_whole_rows(tmp_path: Path) -> None:
    handle = onnx_runtime.open_model(plain(tmp_path / "net.onnx", 0), View("value", "regression"))
    image = np.zeros((1, 28, 28, 1), np.float32)
    alone = np.arange(28 * 28).reshape(28, 28, 1)  # a window of 3 x 3 pixels has 2^9 ways
    assert handle.coalitions({"image": image}, {"image": image}, {"image": alone}) is None
    everywhere = np.arange(28 * 28).reshape(28, 28, 1) % 40  # of few features, all of them in every window
    assert handle.coalitions({"image": image}, {"image": image}, {"image": everywhere}) is None


@pytest.mark.parametrize("seed", range(20))
def test_no_place_reads_two_features_of_one_colour(seed: int) -> None:
    rng = np.random.default_rng(seed)
    touched = rng.random((30, 200)) < rng.random() * 0.2
    colours = coloured(touched)
    assert colours.min() == 0
    for reads in touched.T:
        own = colours[reads].tolist()
        assert len(own) == len(set(own))


def test_a_grid_of_patches_needs_four_colours() -> None:
    places = grid((12, 12, 1), 2)[..., 0]  # 36 patches; windows of 2 x 2
    windows = np.lib.stride_tricks.sliding_window_view(places, (2, 2)).reshape(-1, 4)
    touched = (windows == np.arange(36)[:, None, None]).any(axis=2)
    assert set(coloured(touched).tolist()) == {0, 1, 2, 3}


def chain(path: Path, *, pads: int = 0, stride: int = 2) -> Any:
    """An image of 13 x 13, a kernel of 3 (11 x 11), a pooling of 2 (5 x 5)."""
    net = Drawn(0)
    x = net.add("Conv", "image", net.weight(2, 1, 3, 3), kernel_shape=[3, 3], pads=[0, 0, pads, pads])
    x = net.add("MaxPool", net.add("Relu", x), kernel_shape=[2, 2], strides=[stride, stride])
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    import onnx

    found = network_in(onnx.load(net.saved(path, [1, 13, 13], net.add("MatMul", x, net.weight(2, 3)))))
    assert found is not None
    name, nodes, weights, shapes = found
    return network_of(nodes, weights, shapes, name)


@pytest.mark.parametrize(("said", "read"), [({}, 12), ({"stride": 1}, 13), ({"pads": 1}, 13)])
def test_what_no_later_layer_reads_is_cut_off(tmp_path: Path, said: dict[str, int], read: int) -> None:
    # 5 poolings of 2 read 10 of the 11 that the kernel makes, and those read 12 of 13. Padding behind the last would move.
    image = Stand((1, 13, 13), Axes.afresh([2, 3], [13, 13]))
    found = as_far_as_read(chain(tmp_path / "net.onnx", **said), 0, image)
    assert found.shape == (1, read, read)
    assert found.axes.size.tolist() == [read, read]
