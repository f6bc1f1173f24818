"""What a game composes at once stays within the model's call, and less is composed where memory does not suffice."""

import numpy as np
import pytest

from pgx_compiler.modalities.features import FIXED, FeatureMap
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Spent


class Weighted:
    """score = x @ weights (two outputs); notes the largest call that it was handed."""

    def __init__(self, rows_per_call, most=10**9):
        self.rows_per_call, self.most = rows_per_call, most
        self.spent, self.largest = Spent(), 0
        self.weights = np.random.default_rng(0).normal(size=(24, 2))

    def predict(self, inputs):
        (x,) = inputs.values()
        self.largest = max(self.largest, len(x))
        if len(x) > self.most:
            raise MemoryError(f"Unable to allocate {len(x)} rows")
        self.spent.forward += len(x)
        return x.reshape(len(x), -1).astype(np.float64) @ self.weights


class Inside(Weighted):
    """Answers coalitions by itself, but for one alone has no memory."""

    def coalitions(self, row, references, owners):
        return self

    def takes(self, masks):
        return np.ones(len(masks), bool)

    def scores(self, masks):
        raise MemoryError("Failed to allocate memory for requested buffer of size 123")


def game(model, references, owner=None, dtype=np.float32):
    rng = np.random.default_rng(1)
    owner = np.arange(24) // 2 if owner is None else owner
    features = FeatureMap(tuple(f"f{i}" for i in range(int(owner.max()) + 1)), {"x": owner})
    row, others = rng.normal(size=(1, 24)).astype(dtype), rng.normal(size=(references, 24)).astype(dtype)
    return Game(model, {"x": row}, {"x": others}, features, np.array([1])), row, others


MASKS = np.random.default_rng(2).random((9, 12)) < 0.5
OWNERS = {
    "pairs": np.arange(24) // 2,
    "long runs": np.arange(24) // 12,
    "fixed": np.where(np.arange(24) < 4, FIXED, np.arange(24) // 2),
}


@pytest.mark.parametrize("owners", OWNERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_references_beyond_a_call_are_composed_in_runs(owners, dtype):
    owner = OWNERS[owners]
    masks = MASKS[:, : owner.max() + 1]
    small, row, others = game(Weighted(rows_per_call=4), 30, owner, dtype)
    found = small.value(masks)
    assert small._model.largest == 4
    assert small._model.spent.forward == len(masks) * 30
    keep = np.concatenate([masks, np.ones((len(masks), 1), bool)], axis=1)[:, owner]
    slowly = [np.where(one, row, others).astype(np.float64) @ small._model.weights[:, 1] for one in keep]
    np.testing.assert_allclose(found[:, 0], np.mean(slowly, axis=1), rtol=1e-12)
    np.testing.assert_allclose(found, game(Weighted(rows_per_call=1000), 30, owner, dtype)[0].value(masks), rtol=1e-12)


def test_fewer_coalitions_are_composed_where_memory_does_not_suffice():
    tight, *_ = game(Weighted(rows_per_call=1000, most=25), 5)
    roomy, *_ = game(Weighted(rows_per_call=1000), 5)
    np.testing.assert_allclose(tight.value(MASKS), roomy.value(MASKS), rtol=1e-12)
    assert tight._model.spent.halved == 1
    assert tight._model.spent.forward == roomy._model.spent.forward == 45


def test_one_coalition_without_memory_is_no_answer():
    with pytest.raises(MemoryError):
        game(Weighted(rows_per_call=1000, most=4), 5)[0].value(MASKS)


def test_what_does_not_fit_inside_the_model_is_composed():
    inside, *_ = game(Inside(rows_per_call=1000), 5)
    wanted = game(Weighted(rows_per_call=1000), 5)[0].value(MASKS)
    np.testing.assert_allclose(inside.value(MASKS), wanted, rtol=1e-12)
    assert inside._model.largest == 45
    assert inside._model.spent.halved > 0
