"""Class activation maps: closed forms, the papers' sums written out, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.methods.gradient._layers import admits, over_input, pick_spatial, resize
from pgx_compiler.methods.gradient.grad_cam import GradCamParams, grad_cam, grad_cam_map
from pgx_compiler.methods.gradient.grad_cam_plus_plus import plus_plus_map
from pgx_compiler.methods.gradient.guided_grad_cam import GuidedGradCamParams, guided_grad_cam
from pgx_compiler.methods.gradient.hires_cam import HiresCamParams, hires_cam, hires_cam_map
from pgx_compiler.methods.gradient.layer_cam import LayerCamParams, layer_cam, layer_cam_map
from pgx_compiler.methods.gradient.score_cam import ScoreCamParams, score_cam
from tests.methods.layered import convolved_bench, volumes_bench

CAMS = ["grad_cam", "grad_cam_plus_plus", "layer_cam", "hires_cam", "score_cam", "guided_grad_cam"]


@pytest.fixture
def bench():
    return convolved_bench()


def class_maps(bench):
    """Zhou and others (2016): the class's weights times the channels, laid over the input."""
    given = bench.model.activations(bench.rows.inputs, "conv")
    maps = np.einsum("rijk,kr->rij", given, bench.model.weights[:, bench.rows.target])
    return resize(maps, (6, 6))


def test_maps_of_a_volume_are_laid_over_its_three_axes():
    from scipy.interpolate import RegularGridInterpolator

    bench = volumes_bench()
    given = bench.model.activations(bench.rows.inputs, "conv")  # 2 x 2 x 2 places over 4 x 4 x 4 voxels
    maps = np.einsum("rdhwk,kr->rdhw", given, bench.model.weights[:, bench.rows.target]) / 8
    # Voxel i lies at (i + 0.5) * 2 / 4 - 0.5 on the axis of the places, and stays between the outermost ones.
    at = np.clip((np.arange(4) + 0.5) / 2 - 0.5, 0, 1)
    points = np.stack(np.meshgrid(at, at, at, indexing="ij"), axis=-1)
    expected = [RegularGridInterpolator([[0, 1]] * 3, one)(points) for one in maps]
    found = grad_cam(bench.model, bench.rows, GradCamParams(relu=False))["scan"]
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-12)


def test_below_a_mean_and_one_dense_layer_grad_cam_and_hires_cam_are_the_class_activation_map(bench):
    # Each place has the class's weights / 16 as its gradient, so both are the class activation map / 16.
    expected = class_maps(bench) / 16
    for method, params in ((grad_cam, GradCamParams(relu=False)), (hires_cam, HiresCamParams())):
        np.testing.assert_allclose(method(bench.model, bench.rows, params)["image"][..., 0], expected, atol=1e-12)
    cut = grad_cam(bench.model, bench.rows, GradCamParams())["image"]
    assert (cut >= 0).all()


def test_the_hires_map_of_a_layer_below_one_dense_layer_adds_up_to_the_score(bench):
    given, slopes = bench.model.layer_gradient(bench.rows.inputs, bench.rows.target, "conv")
    scores = bench.model.predict(bench.rows.inputs)[np.arange(2), bench.rows.target]
    np.testing.assert_allclose(hires_cam_map(given, slopes).sum(axis=(1, 2)), scores, atol=1e-12)


def test_layer_cam_takes_what_the_positive_weights_give(bench):
    given = bench.model.activations(bench.rows.inputs, "conv")
    positive = np.maximum(bench.model.weights[:, bench.rows.target], 0) / 16
    expected = resize(np.einsum("rijk,kr->rij", given, positive), (6, 6))
    found = layer_cam(bench.model, bench.rows, LayerCamParams())["image"][..., 0]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_grad_cam_sees_places_that_the_model_does_not_use_and_hires_cam_does_not():
    # One channel, two places with activations 2 and 3, slopes +1 and -1 (example of Draelos & Carin, section 3):
    # the mean slope is 0, so that Grad-CAM is blind; HiResCAM has +2 and -3.
    given, slopes = np.array([[[2.0], [3.0]]]), np.array([[[1.0], [-1.0]]])
    assert grad_cam_map(given, slopes).tolist() == [[0.0, 0.0]]
    assert hires_cam_map(given, slopes).tolist() == [[2.0, -3.0]]
    assert layer_cam_map(given, slopes).tolist() == [[2.0, 0.0]]


def test_grad_cam_plus_plus_written_out():
    # Two places, one channel: A = (1, 3), g = (2, -1). Sum of A = 4.
    #   share 1 = 4 / (2 * 4 + 4 * 8) = 0.1;  share 2 = 1 / (2 * 1 + 4 * -1) = -0.5
    #   weight = 0.1 * 2 + -0.5 * 0 = 0.2;  map = (0.2, 0.6)
    found = plus_plus_map(np.array([[[1.0], [3.0]]]), np.array([[[2.0], [-1.0]]]))
    np.testing.assert_allclose(found, [[0.2, 0.6]])
    assert plus_plus_map(np.zeros((1, 2, 1)), np.zeros((1, 2, 1))).tolist() == [[0.0, 0.0]]


def test_grad_cam_plus_plus_is_the_paper_summed_place_by_place():
    rng = np.random.default_rng(3)
    given, slopes = rng.random((2, 3, 4, 5)), rng.normal(size=(2, 3, 4, 5))
    expected = np.zeros((2, 3, 4))
    for row in range(2):
        for channel in range(5):
            weight = 0.0
            for i in range(3):
                for j in range(4):
                    g = slopes[row, i, j, channel]
                    weight += g**2 / (2 * g**2 + given[row, :, :, channel].sum() * g**3) * max(g, 0.0)
            expected[row] += weight * given[row, :, :, channel]
    np.testing.assert_allclose(plus_plus_map(given, slopes), expected, rtol=1e-10)


def score_cam_slowly(bench, params):
    """Algorithm 1 of the paper, one masked image at a time."""
    maps = []
    for row, target in enumerate(bench.rows.target):
        image = bench.rows.inputs["image"][row]
        given = bench.model.activations({"image": image[None]}, "conv")[0]
        order = np.argsort(-given.std(axis=(0, 1)), kind="stable")[: params.channels]
        scores = []
        for channel in order:
            mask = resize(given[None, :, :, channel], (6, 6))[0]
            span = mask.max() - mask.min()
            mask = (mask - mask.min()) / span if span else np.zeros_like(mask)
            scores.append(bench.model.predict({"image": (image * mask[..., None])[None]})[0, target])
        if params.softmax:
            weights = np.exp(scores) / np.exp(scores).sum()
        else:
            weights = np.array(scores) - bench.model.predict({"image": np.zeros((1, 6, 6, 1))})[0, target]
        raw = sum(weight * given[:, :, channel] for weight, channel in zip(weights, order, strict=True))
        maps.append(np.maximum(raw, 0) if params.relu else raw)
    return resize(np.stack(maps), (6, 6))


@pytest.mark.parametrize("params", [{}, {"channels": 5}, {"softmax": False, "relu": False}])
def test_score_cam_is_the_paper_one_mask_at_a_time(bench, params):
    chosen = ScoreCamParams(**params)
    found = score_cam(bench.model, bench.rows, chosen)["image"][..., 0]
    np.testing.assert_allclose(found, score_cam_slowly(bench, chosen), atol=1e-10)


@pytest.mark.parametrize("params", [{}, {"channels": 5}, {"channels": 500}, {"softmax": False}])
def test_score_cam_spends_what_is_planned_for_the_channels_of_its_layer(bench, params):
    chosen = ScoreCamParams(**params)
    channels = next(layer.shape[-1] for layer in bench.model.layers if layer.name == "conv")
    before = bench.model.spent.forward
    score_cam(bench.model, bench.rows, chosen)
    planned = catalogue()["score_cam"].cost(chosen, replace(bench.shape, channels=channels)).forward
    assert bench.model.spent.forward - before == planned


def test_guided_grad_cam_is_the_product(bench):
    coarse = grad_cam(bench.model, bench.rows, GradCamParams())["image"]
    fine = bench.model.rectified_gradient(bench.rows.inputs, bench.rows.target, "guided")["image"]
    found = guided_grad_cam(bench.model, bench.rows, GuidedGradCamParams())["image"]
    np.testing.assert_allclose(found, coarse * fine)


def test_guided_and_deconvolved_gradients_by_hand(bench):
    # Units with bias -1 are off for all pixels from 0 to 1, the others on; above each unit stands weight / 16.
    weights = np.maximum(bench.model.weights[:, bench.rows.target].T, 0) / 16
    on = np.arange(64) % 4 != 0
    filters = bench.model.matrix.reshape(36, 16, 64)
    for name, through in (("guided_backprop", weights * on), ("deconvnet", weights)):
        declaration = catalogue()[name]
        found = declaration.function(bench.model, bench.rows, declaration.params())["image"]
        np.testing.assert_allclose(found.reshape(2, 36), np.einsum("rk,ipk->ri", through, filters), atol=1e-12)


@pytest.mark.parametrize("name", CAMS)
def test_a_layer_that_cannot_be_used_is_said_to_the_author(bench, name):
    declaration = catalogue()[name]
    with pytest.raises(UnfitParams, match="the layer `score` has no places"):
        declaration.function(bench.model, bench.rows, declaration.params(layer="score"))
    with pytest.raises(UnfitParams, match="`conv2` cannot be looked into"):
        declaration.function(bench.model, bench.rows, declaration.params(layer="conv2"))


@pytest.mark.parametrize("name", CAMS)
def test_a_model_without_places_is_not_admitted(bench, name):
    dense = replace(bench.facts, layers=bench.facts.layers[1:])
    assert catalogue()[name].admits(bench.facts, bench.shape, "value") is None
    assert "no layer of the model gives a value for each place" in catalogue()[name].admits(dense, bench.shape, "value")


def test_several_inputs_of_as_many_axes_are_refused_and_others_get_zero(bench):
    rows = bench.rows
    two = replace(
        rows,
        inputs={**rows.inputs, "age": np.ones((2, 1))},
        features=replace(rows.features, owners={**rows.features.owners, "age": np.zeros(1, int)}),
    )
    assert over_input(np.ones((2, 4, 4)), two)["age"].tolist() == [[0.0], [0.0]]
    alike = replace(
        rows,
        inputs={"image": rows.inputs["image"], "other": rows.inputs["image"]},
        features=replace(rows.features, owners=dict.fromkeys(("image", "other"), rows.features.owners["image"])),
    )
    with pytest.raises(UnfitParams, match="`image` and `other` of the model has as many"):
        over_input(np.ones((2, 4, 4)), alike)


def test_the_channels_of_a_place_share_its_value(bench):
    rows = bench.rows
    coloured = replace(
        rows,
        inputs={"image": np.zeros((2, 6, 6, 3))},
        features=replace(rows.features, owners={"image": np.zeros((6, 6, 3), int)}),
    )
    maps = np.random.default_rng(0).random((2, 6, 6))
    np.testing.assert_allclose(over_input(maps, coloured)["image"].sum(axis=-1), maps)


LAYERS = {
    "a convolution, normalised, activated, pooled": (
        [
            ("c1", "Conv2D", (8, 8, 4)),
            ("c", "Conv2D", (4, 4, 8)),
            ("bn", "BatchNormalization", (4, 4, 8)),
            ("act", "ReLU", (4, 4, 8)),
            ("pool", "MaxPooling2D", (2, 2, 8)),
            ("end", "Dense", (3,)),
        ],
        "act",
    ),
    "joined after the last convolution": (
        [
            ("c", "Conv1D", None),
            ("bn", "BatchNormalization", None),
            ("add", "Add", None),
            ("out", "Activation", None),
            ("gap", "GlobalAveragePooling1D", None),
            ("act", "Activation", None),
        ],
        "out",
    ),
    "a convolution of one place": (
        [("c", "Conv2D", (4, 4, 8)), ("gap", "GlobalAveragePooling2D", (1, 1, 8)), ("top", "Conv2D", (1, 1, 9))],
        "c",
    ),
    "no convolution": ([("steps", "LSTM", (5, 4)), ("last", "GRU", (3,)), ("end", "Dense", (2,))], "steps"),
    "no places": ([("a", "Dense", (5,)), ("end", "Dense", (2,))], None),
}


@pytest.mark.parametrize("case", LAYERS)
def test_the_layer_that_is_taken_where_none_is_named(case):
    layers, expected = LAYERS[case]
    assert pick_spatial(layers) == expected


def test_resizing_by_hand():
    # Centres of 2 places on 4: at -0.25 (held at 0), 0.25, 0.75, 1.25 (held at 1).
    assert resize(np.array([[0.0, 1.0]]), (4,)).tolist() == [[0.0, 0.25, 0.75, 1.0]]
    assert resize(np.array([[2.0, 5.0, 1.0]]), (3,)).tolist() == [[2.0, 5.0, 1.0]]
    assert resize(np.array([[3.0]]), (4,)).tolist() == [[3.0] * 4]


@pytest.mark.frameworks
def test_resizing_is_that_of_tensorflow():
    from runtimes.formats.keras_runtime import tensorflow

    rng = np.random.default_rng(0)
    for here, there in (((7, 7), (224, 224)), ((3, 5), (8, 6)), ((6, 4), (3, 9))):
        maps = rng.normal(size=(2, *here, 3))
        expected = tensorflow().image.resize(maps.astype(np.float32), there, antialias=False).numpy()
        np.testing.assert_allclose(resize(maps, there), expected, atol=1e-5)


def test_admission_reads_the_facts_alone(bench):
    unknown = replace(bench.facts, layers=tuple(replace(layer, shape=None) for layer in bench.facts.layers))
    assert admits(unknown, bench.shape, "value") is None
