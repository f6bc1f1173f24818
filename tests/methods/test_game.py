"""The game of one row: composing is that of its definition to the bit, streams, and asks what it says."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.modalities.game import Game
from pgx_compiler.modalities.image import patches
from runtimes.capabilities import Floats, Inputs, Spent


class Recording:
    """Keeps what it was asked; the score is the sum of all numbers of a row."""

    def __init__(self, rows_per_call: int = 7, keep: bool = True) -> None:
        self.rows_per_call, self.keep, self.spent = rows_per_call, keep, Spent()
        self.asked: list[dict[str, Any]] = []

    def predict(self, inputs: Inputs) -> Floats:
        rows = len(next(iter(inputs.values())))
        self.spent.forward += rows
        if self.keep:
            self.asked.append({name: np.array(array) for name, array in inputs.items()})
        numbers = [a.reshape(rows, -1).astype(np.float64) for a in inputs.values() if a.dtype.kind in "biuf"]
        total = sum((part.sum(axis=1) for part in numbers), np.zeros(rows))
        return np.stack([total, -total], axis=1)

    def rows(self, name: str) -> Any:
        return np.concatenate([asked[name] for asked in self.asked])


def by_definition(row: Any, references: Any, owner: Any, masks: Any) -> Any:
    """Element by element: from the row where its owner is present or it has none, else from the reference."""
    rows = []
    for mask in masks:
        for reference in references:
            made = reference.copy()
            for at in np.ndindex(owner.shape):
                if owner[at] < 0 or mask[owner[at]]:
                    made[at] = row[0][at]
            rows.append(made)
    return np.stack(rows)


def columns(rng: np.random.Generator) -> Any:
    return np.array([0, 0, 3, 1, 2, -1, 2, 4, 4, 4])


def image(rng: np.random.Generator) -> Any:
    return np.array(patches((8, 8, 3), 4))


def channels_first(rng: np.random.Generator) -> Any:
    return np.array(np.broadcast_to(patches((8, 8), 2), (3, 8, 8)))


def segments(rng: np.random.Generator) -> Any:
    return np.repeat(rng.integers(-1, 5, (6, 7))[..., None], 3, axis=2)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])
@pytest.mark.parametrize("draw", [columns, image, channels_first, segments])
def test_rows_are_composed_to_the_bit(draw: Any, dtype: str) -> None:
    rng = np.random.default_rng(4)
    owner = draw(rng)
    features = int(owner.max()) + 1
    row = (3 * rng.normal(size=(1, *owner.shape))).astype(dtype)
    references = (3 * rng.normal(size=(3, *owner.shape))).astype(dtype)
    masks, model = rng.random((5, features)) < 0.5, Recording()
    game = Game(model, {"x": row}, {"x": references}, FeatureMap(("f",) * features, {"x": owner}), np.array([0]))
    worth = game.value(masks)
    expected = by_definition(row, references, owner, masks)
    assert model.rows("x").dtype == row.dtype
    assert model.rows("x").tobytes() == expected.tobytes()
    means = expected.reshape(5, 3, -1).astype(np.float64).sum(axis=2).mean(axis=1)
    np.testing.assert_allclose(worth[:, 0], means, atol=1e-9)


def test_missing_values_and_negative_zeros_stay_what_they_are() -> None:
    row, references = np.array([[-0.0, np.nan, np.inf]], np.float32), np.array([[np.nan, 0.0, -1.0]], np.float32)
    model = Recording()
    game = Game(model, {"x": row}, {"x": references}, FeatureMap(tuple("abc"), {"x": np.arange(3)}), np.array([0]))
    game.value(np.array([[True, False, True], [False, True, False]]))
    np.testing.assert_array_equal(model.rows("x"), np.array([[-0.0, 0.0, np.inf], [np.nan, np.nan, -1.0]], np.float32))
    assert np.signbit(model.rows("x")[0, 0])


def test_words_of_any_length_are_put_in_whole() -> None:
    model = Recording()
    row, references = {"word": np.array([["no", "b"]])}, {"word": np.array([["certainly", "c"]])}
    game = Game(model, row, references, FeatureMap(("a", "b"), {"word": np.arange(2)}), np.array([0]))
    game.value(np.array([[False, True], [True, False]]))
    assert model.rows("word").tolist() == [["certainly", "b"], ["no", "c"]]


def test_composed_rows_stay_below_half_a_megabyte_or_one_call_and_all_are_counted() -> None:
    model, owner = Recording(rows_per_call=7), np.zeros(10_000, np.int64)
    owner[:3] = 1, 2, 3
    references = np.zeros((3, 10_000))
    game = Game(
        model, {"x": np.ones((1, 10_000))}, {"x": references}, FeatureMap(tuple("abcd"), {"x": owner}), np.array([1])
    )
    game.value(np.random.default_rng(0).random((9, 4)) < 0.5)
    # A row has 80,000 bytes: six of them are half a megabyte, and two coalitions of three references fit a call of seven.
    assert [len(asked["x"]) for asked in model.asked] == [6, 6, 6, 6, 3]
    assert (game.coalitions_per_call, model.spent.forward) == (2, 27)
    assert game.full().tolist() == [-10_000.0]
    assert game.empty().tolist() == [0.0]
    model.rows_per_call = 13
    game.value(np.random.default_rng(0).random((9, 4)) < 0.5)
    assert [len(asked["x"]) for asked in model.asked][7:] == [12, 12, 3]


def test_rows_of_several_small_calls_are_composed_at_once() -> None:
    model = Recording(rows_per_call=7)
    game = Game(
        model,
        {"x": np.ones((1, 6400))},
        {"x": np.zeros((3, 6400))},
        FeatureMap(("a",), {"x": np.zeros(6400, np.int64)}),
        np.array([0]),
    )
    game.value(np.zeros((9, 1), bool))
    # Ten rows of 51,200 bytes are half a megabyte, more than the six of one call but fewer than those of two.
    assert [len(asked["x"]) for asked in model.asked] == [6, 6, 6, 6, 3]
    small = Game(
        model,
        {"x": np.ones((1, 4))},
        {"x": np.zeros((3, 4))},
        FeatureMap(("a",), {"x": np.zeros(4, np.int64)}),
        np.array([0]),
    )
    small.value(np.zeros((9, 1), bool))
    assert [len(asked["x"]) for asked in model.asked][5:] == [27]


class Composing(Recording):
    """Answers coalitions of one removed feature itself."""

    def coalitions(self, row: Inputs, references: Inputs, owners: Any) -> Any:
        return self

    def takes(self, masks: Any) -> Any:
        return (~masks).sum(axis=1) == 1

    def scores(self, masks: Any) -> Floats:
        self.spent.forward += len(masks)
        return np.stack([np.full(len(masks), 100.0), np.zeros(len(masks))], axis=1)


def test_coalitions_that_a_handle_takes_are_left_to_it_in_their_places() -> None:
    model, features = Composing(), FeatureMap(tuple("abc"), {"x": np.arange(3)})
    given: dict[str, Any] = {"x": np.ones((1, 3))}, {"x": np.zeros((1, 3))}
    masks = np.array([[True, False, False], [False, True, True], [True, True, True], [True, True, False]])
    game = Game(model, *given, features, np.array([0]))
    assert game.value(masks)[:, 0].tolist() == [1.0, 100.0, 3.0, 100.0]
    assert model.spent.forward == 4
    packed = Game(model, *given, features, np.array([0]), {"x": 0})
    assert packed.value(masks)[:, 0].tolist() == [1.0, 2.0, 3.0, 2.0]


def test_memory_does_not_grow_with_the_number_of_masks() -> None:
    # 4,000 rows of 32 x 32 x 3 float32 would be 49 MB; eight of them, and what composing needs, are below 2 MB.
    owner = patches((32, 32, 3), 4)
    row, masks = np.zeros((1, 32, 32, 3), np.float32), np.random.default_rng(0).random((4000, 64)) < 0.5
    game = Game(
        Recording(8, keep=False), {"x": row}, {"x": row + 1}, FeatureMap(("p",) * 64, {"x": owner}), np.array([0])
    )
    game.value(masks[:8])
    tracemalloc.start()
    game.value(masks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6
