"""tf-explain on Keras files: what it computes is what its equations say, and what cannot be computed is said before."""

from pathlib import Path

import numpy as np
import pytest

from pgx_compiler.methods.gradient._layers import resize
from runtimes.capabilities import TfExplained, View
from runtimes.formats import keras_tf_explain
from runtimes.frameworks import keras_tf_explain as framework
from runtimes.frameworks import tensorflow_native
from runtimes.target import framework_for

pytestmark = pytest.mark.frameworks
WITHOUT = [name for name in keras_tf_explain.NEEDED if keras_tf_explain.find_spec(name) is None]
needs_tf_explain = pytest.mark.skipif(bool(WITHOUT), reason=f"the extra `tf-explain` is not installed: no {WITHOUT}")

RNG = np.random.default_rng(5)
IMAGES = RNG.random((4, 12, 10, 2)).astype(np.float32)  # not square: what mixes up height and width is seen
TARGET = np.array([2, 0, 2, 1])


def block(layers, name):  # type: ignore[no-untyped-def]
    return [
        layers.Conv2D(6, 3, padding="same", activation="relu", name=f"{name}1"),
        layers.MaxPooling2D(name=f"{name}pool"),
        layers.Conv2D(5, 3, activation="tanh", name=f"{name}2"),
    ]


def network(kind="functional", outputs=3, end="softmax", size=(12, 10, 2), policy=None):  # type: ignore[no-untyped-def]
    tensorflow_native.warm_up()
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    tail = [layers.Flatten(name="flat"), layers.Dense(outputs, activation=end, name="scores", dtype=policy)]
    if kind == "separate softmax":
        tail = [layers.Flatten(), layers.Dense(outputs, name="scores"), layers.Softmax(name="shares")]
    picture = keras.Input(size, name="picture")
    if kind == "never called":
        return keras.Sequential([picture, *block(layers, "conv"), *tail])
    if kind == "nested":
        inner = keras.Sequential([keras.Input(size), *block(layers, "conv")], name="inner")
        parts = [inner, layers.Conv2D(4, 1, name="own"), *tail]
    else:
        parts = [*block(layers, "conv"), *tail]
    given = picture
    for layer in parts:
        given = layer(given)
    return keras.Model(picture, given)


@pytest.fixture
def saved(tmp_path: Path):  # type: ignore[no-untyped-def]
    def save(model, suffix=".keras"):  # type: ignore[no-untyped-def]
        path = tmp_path / f"made{suffix}"
        model.save(path)
        return path

    return save


def opened(path: Path, score: str = "logit", task: str = "classification") -> TfExplained:
    handle = framework.open_model(path, View(score, task))
    assert isinstance(handle, TfExplained)
    return handle


KINDS = ["functional", "never called", "separate softmax", "nested"]


@needs_tf_explain
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("score", ["logit", "probability"])
@pytest.mark.parametrize("kind", KINDS)
def test_its_numbers_are_those_of_its_equations_on_our_own_slopes(saved, kind: str, score: str, suffix: str) -> None:
    handle, inputs = opened(saved(network(kind), suffix), score), {"picture": IMAGES}
    slope = handle.gradient(inputs, TARGET)["picture"]
    size = np.abs(slope).max()
    found = handle.tf_explain_gradient(inputs, TARGET)["picture"]
    np.testing.assert_allclose(found, slope, atol=2e-6 * size)

    # 5 points: shares 0, 1/4, 1/2, 3/4 and 1 of the row, and their plain mean
    shares = [handle.gradient({"picture": IMAGES * np.float32(k / 4)}, TARGET)["picture"] for k in range(5)]
    found = handle.tf_explain_path(inputs, TARGET, 5)["picture"]
    np.testing.assert_allclose(found, np.mean(shares, axis=0), atol=2e-6 * size)

    layer = "own" if kind == "nested" else "conv2"
    given, slopes = handle.layer_gradient(inputs, TARGET, layer)
    for guided in (False, True):
        kept = slopes * (slopes > 0) * (given > 0) if guided else slopes
        expected = (given * kept.mean(axis=(1, 2), keepdims=True)).sum(axis=-1)
        found = handle.tf_explain_cam(inputs, TARGET, layer, guided=guided)
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(found, expected, atol=5e-6 * np.abs(expected).max())


@needs_tf_explain
def test_what_is_asked_is_counted_and_each_row_is_computed_by_itself(saved) -> None:
    handle, inputs = opened(saved(network())), {"picture": IMAGES}

    def spent(ask):  # type: ignore[no-untyped-def]
        before = handle.spent.backward, handle.spent.forward
        ask()
        assert handle.spent.forward == before[1]
        return handle.spent.backward - before[0]

    assert spent(lambda: handle.tf_explain_gradient(inputs, TARGET)) == 4
    assert spent(lambda: handle.tf_explain_path(inputs, TARGET, 7)) == 28
    assert spent(lambda: handle.tf_explain_cam(inputs, TARGET, "conv2", guided=True)) == 4
    together = handle.tf_explain_gradient(inputs, TARGET)["picture"]
    alone = handle.tf_explain_gradient({"picture": IMAGES[2:3]}, TARGET[2:3])["picture"]
    assert together[2:3].tobytes() == alone.tobytes()
    whole = handle.tf_explain_path(inputs, TARGET, 7)["picture"]
    handle.rows_per_call = 3  # 7 points in calls of 3, 3 and 1
    np.testing.assert_allclose(handle.tf_explain_path(inputs, TARGET, 7)["picture"], whole, atol=1e-7)


@needs_tf_explain
def test_its_pictures_are_drawn_from_the_numbers_that_are_read(saved) -> None:
    """`explain` draws |gradient| summed over channels and standardised over all rows together, as whole numbers."""
    from tf_explain.core.vanilla_gradients import VanillaGradients

    handle, column = opened(saved(network())), np.full(4, 2)
    grid = VanillaGradients().explain_score_model((IMAGES, None), handle._functional, 2)  # type: ignore[attr-defined]
    assert grid.dtype == np.uint8
    drawn = grid.reshape(2, 12, 2, 10).swapaxes(1, 2).reshape(4, 12, 10)
    size = np.abs(handle.tf_explain_gradient({"picture": IMAGES}, column)["picture"]).sum(axis=-1)
    expected = 255 * (size - size.mean()) / max(size.std(), size.size**-0.5)
    inside = (expected > 1) & (expected < 254)  # what lies beyond overflows, each platform in its own way
    assert inside.sum() > 50
    assert np.abs(drawn[inside] - np.floor(expected[inside])).max() <= 1


@needs_tf_explain
def test_maps_are_laid_over_the_input_as_tf_explain_does_it() -> None:
    """It resizes by OpenCV's linear interpolation; ours is the same one."""
    import cv2

    maps = RNG.normal(size=(1, 5, 4))
    np.testing.assert_allclose(resize(maps, (12, 10))[0], cv2.resize(maps[0], (10, 12)), atol=1e-6)


@needs_tf_explain
@pytest.mark.parametrize(("outputs", "score"), [(3, "log_odds"), (1, "probability"), (1, "logit")])
def test_a_score_that_is_no_column_of_the_output_is_refused(saved, outputs: int, score: str) -> None:
    handle = opened(saved(network(outputs=outputs, end="softmax" if outputs > 1 else "sigmoid")), score)
    with pytest.raises(ValueError, match="the model's output as it is"):
        handle.tf_explain_gradient({"picture": IMAGES}, np.zeros(4, int))


@needs_tf_explain
@pytest.mark.parametrize("layer", ["inner/conv2", "flat", "there is none"])
def test_a_layer_that_tf_explain_cannot_find_is_refused(saved, layer: str) -> None:
    handle = opened(saved(network("nested")))
    with pytest.raises(ValueError, match="only layers of the model itself"):
        handle.tf_explain_cam({"picture": IMAGES}, TARGET, layer, guided=True)


@needs_tf_explain
def test_a_regression_is_read_as_it_is(saved) -> None:
    handle = opened(saved(network(outputs=1, end="linear")), "value", "regression")
    target = np.zeros(4, int)
    ours, theirs = (
        one({"picture": IMAGES}, target)["picture"] for one in (handle.gradient, handle.tf_explain_gradient)
    )
    np.testing.assert_allclose(theirs, ours, atol=1e-6 * np.abs(ours).max())


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"size": (None, 10, 2), "kind": "open"}, "fixed size"), ({"policy": "mixed_float16"}, "half precision")],
)
def test_a_model_that_tf_explain_cannot_read_says_why(
    saved, monkeypatch, change: dict[str, object], reason: str
) -> None:
    monkeypatch.setattr(keras_tf_explain, "find_spec", lambda name: name)
    if change.pop("kind", "") == "open":
        tensorflow_native.warm_up()
        import keras

        picture = keras.Input((None, 10, 2), name="picture")
        pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(3, 3)(picture))
        facts = tensorflow_native.inspect(saved(keras.Model(picture, pooled)))
    else:
        facts = tensorflow_native.inspect(saved(network(**change)))
    assert "TfExplained" not in facts.capabilities
    assert reason in facts.lacks["TfExplained"]


def test_without_the_library_the_way_out_is_said(saved, monkeypatch) -> None:
    path = saved(network())
    monkeypatch.setattr(keras_tf_explain, "find_spec", lambda name: None if name == "cv2" else name)
    facts = tensorflow_native.inspect(path)
    assert "TfExplained" not in facts.capabilities
    expected = "opencv-python-headless cannot be imported: install pgx-compiler with the extra `tf-explain`"
    assert facts.lacks["TfExplained"] == expected
    monkeypatch.setattr(keras_tf_explain, "find_spec", lambda name: name)
    assert "TfExplained" in tensorflow_native.inspect(path).capabilities


def test_only_what_asks_for_tf_explain_is_computed_beside_it() -> None:
    assert framework_for("keras", "TfExplained") is framework
    for capability in tensorflow_native.TARGET.capabilities:
        assert framework_for("keras", capability) is tensorflow_native
    assert not framework.TARGET.rebuilds
