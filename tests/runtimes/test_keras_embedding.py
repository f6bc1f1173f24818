"""Models that look up ids: the gradient by what the ids stand for, through every way that a file can wire the table."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtimes.capabilities import Differentiable, EmbeddingDifferentiable, View
from runtimes.conformance import check
from runtimes.formats.keras_runtime import keras
from runtimes.frameworks import tensorflow_native

pytestmark = pytest.mark.frameworks

IDS = np.array([[1, 2, 3, 0], [4, 4, 0, 0], [5, 1, 2, 6]], np.int32)
TARGET = np.array([0, 1, 1])


def sequential(k: Any) -> Any:
    layers = [k.layers.Embedding(7, 3), k.layers.Flatten(), k.layers.Dense(2, "softmax")]
    return k.Sequential([k.Input((4,), name="ids", dtype="int32"), *layers])


def functional_with_masks(k: Any) -> Any:
    """Padding is masked out by the table itself, so that the layer above must still see which ids are padding."""
    ids = k.Input((4,), name="ids", dtype="int32")
    seen = k.layers.GlobalAveragePooling1D()(k.layers.Embedding(7, 3, mask_zero=True)(ids))
    return k.Model(ids, k.layers.Dense(2, "softmax")(k.layers.Dense(4, "tanh")(seen)))


def ids_as_floats(k: Any) -> Any:
    """Keras' own default: ids are declared as float32 and cast by the table; their own gradient would be zero."""
    ids = k.Input((4,), name="ids")
    return k.Model(ids, k.layers.Dense(2, "softmax")(k.layers.Flatten()(k.layers.Embedding(7, 3)(ids))))


def two_tables(k: Any) -> Any:
    ids = k.Input((4,), name="ids", dtype="int32")
    both = k.layers.Concatenate()([k.layers.Embedding(7, 3)(ids), k.layers.Embedding(7, 2)(ids)])
    return k.Model(ids, k.layers.Dense(2, "softmax")(k.layers.Flatten()(both)))


BUILDS = [sequential, functional_with_masks, ids_as_floats, two_tables]


def opened(tmp_path: Path, build: Any) -> Any:
    keras().utils.set_random_seed(5)
    path = tmp_path / "model.keras"
    build(keras()).save(path)
    assert tensorflow_native.inspect(path).capabilities >= {"Differentiable", "EmbeddingDifferentiable"}
    return tensorflow_native.open_model(path, View("logit"))


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
def test_above_the_table_is_the_same_model_with_a_gradient(tmp_path: Path, build: Any) -> None:
    handle = opened(tmp_path, build)
    assert isinstance(handle, EmbeddingDifferentiable)
    looked_up = handle.embed({"ids": IDS})
    assert looked_up["ids"].shape[:2] == (3, 4)
    np.testing.assert_array_equal(looked_up["ids.ids"], IDS)
    np.testing.assert_allclose(handle.above.predict(looked_up), handle.predict({"ids": IDS}), atol=1e-6)
    assert check(handle.above, looked_up, np.random.default_rng(0)) == []
    slopes = handle.above.gradient(looked_up, TARGET)
    assert not slopes["ids.ids"].any()
    assert slopes["ids"].any()
    np.testing.assert_allclose(handle.gradient({"ids": IDS}, TARGET)["ids"], slopes["ids"].sum(axis=-1))


def test_masked_padding_has_no_gradient(tmp_path: Path) -> None:
    slopes = opened(tmp_path, functional_with_masks).gradient({"ids": IDS}, TARGET)["ids"]
    np.testing.assert_array_equal(slopes == 0, IDS == 0)


def test_rows_above_the_table_are_counted_as_rows_of_the_model(tmp_path: Path) -> None:
    handle = opened(tmp_path, sequential)
    looked_up = handle.embed({"ids": IDS})
    assert (handle.spent.forward, handle.spent.backward) == (0, 0)
    handle.above.gradient(looked_up, TARGET)
    handle.above.predict(looked_up)
    assert (handle.spent.forward, handle.spent.backward) == (3, 3)


def test_an_id_beyond_the_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="beyond the 7"):
        opened(tmp_path, sequential).embed({"ids": IDS + 3})


def test_a_mask_of_the_same_length_goes_along_and_other_whole_numbers_do_not(tmp_path: Path) -> None:
    k = keras()

    def build(shape: tuple[int, ...]) -> Any:
        ids, mask = k.Input((4,), name="ids", dtype="int32"), k.Input(shape, name="mask", dtype="int32")
        seen = k.layers.Flatten()(k.layers.Embedding(7, 3)(ids))
        given = k.layers.Rescaling(0.5)(mask)
        return k.Model([ids, mask], k.layers.Dense(2, "softmax")(k.layers.Concatenate()([seen, given])))

    build((4,)).save(tmp_path / "mask.keras")
    handle = tensorflow_native.open_model(tmp_path / "mask.keras", View("logit"))
    assert isinstance(handle, EmbeddingDifferentiable)
    slopes = handle.gradient({"ids": IDS, "mask": (IDS > 0).astype(np.int32)}, TARGET)
    assert not slopes["mask"].any()
    build((2,)).save(tmp_path / "age.keras")
    assert not isinstance(tensorflow_native.open_model(tmp_path / "age.keras", View("logit")), Differentiable)
