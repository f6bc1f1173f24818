"""What the first layers of a convolutional network can answer is looked up, and the scores are those of whole rows."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

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


def two_ways_down(net: Drawn) -> str:
    """A block halved by a kernel of 1 (which leaves the last row out) and by one of 3 with padding (which reads it)."""
    x = net.add("Relu", net.add("Conv", "image", net.weight(8, 3, 3, 3), kernel_shape=[3, 3], pads=[1] * 4))
    short = net.add("Conv", x, net.weight(8, 8, 1, 1), kernel_shape=[1, 1], strides=[2, 2])
    wide = net.add("Conv", x, net.weight(8, 8, 3, 3), kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    gate = net.add("Sigmoid", net.add("Conv", net.add("GlobalAveragePool", wide), net.weight(8, 8, 1, 1)))
    return net.add("Add", short, net.add("Mul", wide, gate))


def unpooled(net: Drawn) -> str:
    """What a pooling says of places depends on how wide the tensor is."""
    x = net.add("Relu", net.add("Conv", "image", net.weight(8, 3, 3, 3), kernel_shape=[3, 3]))
    x = net.add("Conv", x, net.weight(8, 8, 3, 3), kernel_shape=[3, 3])
    net.nodes.append(helper.make_node("MaxPool", [x], ["v", "i"], kernel_shape=[3, 3], strides=[3, 3]))
    return net.add("MaxUnpool", "v", "i", net.add("Shape", x), kernel_shape=[3, 3], strides=[3, 3])


def wide_strides(net: Drawn) -> str:
    """ONNX Runtime pads by less than nothing where a stride is far wider than its kernel."""
    x = net.add("Relu", net.add("Conv", "image", net.weight(8, 3, 3, 3), kernel_shape=[3, 3], pads=[1] * 4))
    return net.add("Conv", x, net.weight(8, 8, 2, 2), kernel_shape=[2, 2], strides=[7, 7], auto_pad="SAME_UPPER")


def of_its_own(net: Drawn) -> str:
    """A function that the file brings along."""
    x = net.add("Conv", "image", net.weight(8, 3, 3, 3), kernel_shape=[3, 3])
    net.nodes.append(helper.make_node("Act", [x], ["act"], domain="mine"))
    return net.add("Conv", "act", net.weight(8, 8, 3, 3), kernel_shape=[3, 3])


def misnamed(net: Drawn) -> str:
    """Beside a file that claims other sizes for its tensors (below)."""
    x = net.add("Relu", net.add("Conv", "image", net.weight(8, 3, 3, 3), kernel_shape=[3, 3]))
    return net.add("Conv", x, net.weight(8, 8, 3, 3), kernel_shape=[3, 3])


@pytest.mark.parametrize("make", [two_ways_down, unpooled, wide_strides, of_its_own, misnamed])
def test_networks_that_a_fuzzer_found_score_as_whole_rows_do(tmp_path: Path, make: Any) -> None:
    net = Drawn(0)
    x = net.add("Flatten", net.add("GlobalAveragePool", net.add("Relu", make(net))))
    path = net.saved(tmp_path / "net.onnx", [3, 32, 32], net.add("MatMul", x, net.weight(8, 3)))
    model = onnx.load(path)
    if make is of_its_own:
        act = helper.make_node("Relu", ["a"], ["b"])
        model.functions.append(helper.make_function("mine", "Act", ["a"], ["b"], [act], [helper.make_opsetid("", 15)]))
        model.opset_import.append(helper.make_opsetid("mine", 1))
    if make is misnamed:
        claimed = [
            helper.make_tensor_value_info(name, 1, ["n", 8, size, size]) for name, size in (("t0", 24), ("t2", 22))
        ]
        model.graph.value_info.extend(claimed)
    onnx.save(model, path)
    handle = onnx_runtime.open_model(path, View("value", "regression"))
    rng = np.random.default_rng(0)
    row = rng.normal(size=(1, 3, 32, 32)).astype(np.float32)
    owner = np.moveaxis(grid((32, 32, 3), 8), -1, 0)
    way = handle.coalitions({"image": row}, {"image": 0 * row}, {"image": owner})
    masks = rng.random((300, 16)) < 0.5
    assert way is not None
    assert way.takes(masks).all()
    expected = whole_scores(handle, row, 0 * row, owner, masks)
    np.testing.assert_allclose(way.scores(masks), expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.usefixtures("whatever_it_costs")
def test_one_handle_serves_features_along_other_axes(tmp_path: Path) -> None:
    net = Drawn(0)
    x = net.add("Relu", net.add("Relu", "image"))
    x = net.add(
        "Flatten", net.add("GlobalAveragePool", net.add("Conv", x, net.weight(4, 3, 3, 3), kernel_shape=[3, 3]))
    )
    path = net.saved(tmp_path / "net.onnx", [3, 9, 10], net.add("MatMul", x, net.weight(4, 3)))
    handle = onnx_runtime.open_model(path, View("value", "regression"))
    rng = np.random.default_rng(0)
    row = rng.normal(size=(1, 3, 9, 10)).astype(np.float32)
    rows_of_channels = np.broadcast_to(np.arange(27).reshape(3, 9, 1), (3, 9, 10))
    for owner in (np.moveaxis(grid((9, 10, 3), 5), -1, 0), rows_of_channels, np.moveaxis(grid((9, 10, 3), 5), -1, 0)):
        masks = rng.random((40, int(owner.max()) + 1)) < 0.5
        way = handle.coalitions({"image": row}, {"image": 0 * row}, {"image": np.array(owner)})
        assert way is not None
        np.testing.assert_allclose(way.scores(masks), whole_scores(handle, row, 0 * row, owner, masks), atol=1e-5)


class Tight:
    """A session without memory for more than a few rows."""

    def __init__(self, session: Any, most: int) -> None:
        self._session, self._most = session, most

    def run(self, asked: Any, given: dict[str, np.ndarray]) -> Any:
        if len(next(iter(given.values()))) > self._most:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 1")
        return self._session.run(asked, given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


@pytest.mark.parametrize("most", [1, 7])
@pytest.mark.parametrize("patched", [False, True])
def test_a_game_goes_on_where_memory_does_not_suffice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patched: bool, most: int
) -> None:
    for name, value in (("_LOOKED_UP", 0.1), ("_PLACE", 0.0), ("_PAYS", 5.0), ("_FILLS", 1)):
        monkeypatch.setattr(onnx_tabulated, name, value)
    settings = (("_LEAST_WORK", 0.0), ("_CALL", 0.0), ("_COPIED", 0.01), ("_PAYS", 5.0 if patched else 0.0))
    for name, value in settings:
        monkeypatch.setattr(onnx_incremental, name, value)
    rng = np.random.default_rng(0)
    path = residual(tmp_path / "net.onnx", 0)
    row, others = (rng.normal(size=(count, 29, 32, 3)).astype(np.float32) for count in (1, 3))
    features = FeatureMap(tuple(f"p{i}" for i in range(16)), {"image": grid((29, 32, 3), 8)})
    masks = np.concatenate([rng.random((80, 16)) < 0.5, ~np.eye(16, dtype=bool)])
    values = []
    for rows in (10**6, most):
        handle = onnx_runtime.open_model(path, View("value", "regression"))
        handle._session = Tight(handle._session, rows)
        assert handle.composing is not None
        opens = handle.composing._session
        handle.composing._session = lambda part, opens=opens, rows=rows: Tight(opens(part), rows)  # type: ignore[misc]
        values.append(Game(handle, {"image": row}, {"image": others}, features, np.array([0, 2])).value(masks))
    np.testing.assert_allclose(values[1], values[0], atol=1e-6)
