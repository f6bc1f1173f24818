"""Activation maximisation: linear scores have a known maximum within the range of the data."""

from typing import Any

import numpy as np
import pytest

from pgx_compiler.evidence.results import Chart, Picture
from pgx_compiler.methods.declaration import Shape, UnfitParams
from pgx_compiler.methods.gradient import activation_maximisation as method
from pgx_compiler.methods.gradient.activation_maximisation import (
    ActivationMaximisationParams,
    activation_maximisation,
    blurred,
)
from pgx_compiler.modalities.data import AuditData, Split
from pgx_compiler.modalities.features import FIXED, FeatureMap
from runtimes.capabilities import Floats
from runtimes.target import ModelFacts, TensorFacts
from tests.methods.models import Linear

SIDE = 6
PLAIN = {"jitter": 0, "blur": 0.0, "steps": 400}


def images(rows: int = 40, owner: Any = None) -> AuditData:
    """Two classes: bright on the left or on the right; values from 10 to 30."""
    rng = np.random.default_rng(0)
    labels = np.arange(rows) % 2
    values = rng.uniform(10, 20, (rows, SIDE, SIDE, 1))
    values[labels == 0, :, :3] += 10
    values[labels == 1, :, 3:] += 10
    values[0, 0, 0], values[1, 0, 0] = 10.0, 30.0
    owner = np.zeros((SIDE, SIDE, 1), np.int64) if owner is None else owner
    train = Split("train", {"image": values}, labels, np.arange(rows))
    features = FeatureMap(("all",), {"image": owner}, {"kind": "grid"})
    return AuditData("image", "classification", ("left", "right"), train, None, features, ())


def sides() -> Linear:
    """Each class scores its own side's pixels by +1, the other's by -1."""
    weights = np.ones((SIDE, SIDE, 1, 2))
    weights[:, 3:, :, 0] = weights[:, :3, :, 1] = -1.0
    return Linear(weights.reshape(-1, 2))


def run(model: Any, data: AuditData, seed: int = 0, **params: Any) -> Any:
    return activation_maximisation(model, data, ActivationMaximisationParams(**params), np.random.default_rng(seed))


def facts(report: Any) -> dict[str, float | None]:
    return {measure.name: measure.value for measure in report.measures}


def test_a_linear_score_ends_in_the_corner_of_the_range():
    report = run(sides(), images(), **PLAIN)
    made = report.arrays["made"]
    # all 18 pixels of the own side at 30, the others at 10: 18 * 30 - 18 * 10
    assert facts(report)["score_left"] == pytest.approx(360.0)
    assert (made[0, :, :, :3] == 30.0).all()
    assert (made[0, :, :, 3:] == 10.0).all()
    assert facts(report)["above_data"] == 1.0
    assert facts(report)["resembles_class"] == 1.0
    assert facts(report)["starts_agree"] == pytest.approx(1.0)


def test_with_shifts_and_blur_it_still_stays_within_the_range_and_climbs():
    report = run(sides(), images())
    made = report.arrays["made"]
    assert made.min() >= 10.0
    assert made.max() <= 30.0
    assert (report.arrays["score"] > report.arrays["start_score"] + 50).all()
    assert facts(report)["resembles_class"] == 1.0


def test_a_row_of_the_data_that_scores_more_is_said():
    data = images()
    data.train.inputs["image"][2, :, :3], data.train.inputs["image"][2, :, 3:] = 30.0, 10.0
    report = run(sides(), data, steps=1)
    assert facts(report)["above_data"] == 0.0
    assert report.tables[0].rows[0][2] == pytest.approx(360.0)


def test_what_is_given_is_not_moved():
    owner = np.zeros((SIDE, SIDE, 1), np.int64)
    owner[0] = FIXED
    data = images(owner=owner)
    report = run(sides(), data)
    mean = data.train.inputs["image"].mean(axis=0)
    np.testing.assert_allclose(report.arrays["made"][:, :, 0], np.broadcast_to(mean[0], (2, 3, SIDE, 1)))


def test_a_picture_goes_from_the_least_to_the_largest_value_of_the_data():
    (first, second) = run(sides(), images(), **PLAIN).charts
    assert isinstance(first, Picture)
    assert (first.subject, second.subject) == ("left", "right")
    assert first.values[0] == (1.0, 1.0, 1.0, 0.0, 0.0, 0.0)


def test_colours_are_drawn_by_their_mean():
    rng = np.random.default_rng(1)
    values = rng.random((20, 4, 4, 3))
    values[0], values[1] = 0.0, 1.0
    train = Split("train", {"image": values}, np.arange(20) % 2, np.arange(20))
    features = FeatureMap(("all",), {"image": np.zeros((4, 4, 3), np.int64)})
    data = AuditData("image", "classification", ("a", "b"), train, None, features, ())
    weights = np.zeros((4, 4, 3, 2))
    weights[..., 0, 0], weights[..., 1:, 0] = 1.0, -1.0  # red and nothing else
    picture = run(Linear(weights.reshape(-1, 2)), data, classes=("a",), **PLAIN).charts[0]
    np.testing.assert_allclose(picture.values, np.full((4, 4), 1 / 3), atol=1e-9)


def test_a_series_is_drawn_by_its_channels_each_in_its_own_range():
    rng = np.random.default_rng(2)
    values = rng.uniform(-1, 1, (30, 8, 2)) * [1.0, 100.0]
    values[0], values[1] = [-1, -100], [1, 100]
    train = Split("train", {"x": values}, np.arange(30) % 2, np.arange(30))
    layout = {"kind": "windows", "channels": ["speed", "turn"]}
    features = FeatureMap(("all",), {"x": np.zeros((8, 2), np.int64)}, layout)
    data = AuditData("series", "classification", ("a", "b"), train, None, features, ())
    weights = np.zeros((8, 2, 2))
    weights[:, 0, 0], weights[:, 1, 0] = 1.0, -0.01  # as steep in ranges
    chart = run(Linear(weights.reshape(-1, 2)), data, classes=("a",), **PLAIN).charts[0]
    assert isinstance(chart, Chart)
    assert [curve.name for curve in chart.curves] == ["speed", "turn"]
    np.testing.assert_allclose([curve.y for curve in chart.curves], [[1.0] * 8, [0.0] * 8], atol=1e-9)


def test_blur_keeps_what_is_even_and_the_sum_of_what_is_inside():
    flat = np.full((1, 5, 5), 3.0)
    np.testing.assert_allclose(blurred(flat, 1.0, (1, 2)), flat)
    point = np.zeros((1, 15, 15))
    point[0, 7, 7] = 1.0
    soft = blurred(point, 1.0, (1, 2))
    assert soft.sum() == pytest.approx(1.0)
    # the weights of a Gaussian at distance 1 and 0 stand as exp(-1/2)
    assert soft[0, 7, 8] / soft[0, 7, 7] == pytest.approx(np.exp(-0.5))


def test_a_model_without_slope_makes_nothing():
    report = run(Linear(np.zeros((SIDE * SIDE, 2))), images())
    assert facts(report)["above_data"] == 0.0
    assert facts(report)["score_left"] == 0.0


def test_a_range_of_nothing_is_no_result():
    data = images(owner=np.full((SIDE, SIDE, 1), FIXED))
    (measure,) = run(sides(), data).measures
    assert measure.value is None


def test_an_unknown_class_is_the_authors_mistake():
    with pytest.raises(UnfitParams, match="no classes `middle`"):
        run(sides(), images(), classes=("middle",))


def test_the_plan_is_what_is_spent():
    model = sides()
    run(model, images(), steps=5)
    planned = method.cost(ActivationMaximisationParams(steps=5), Shape(3, 1, 1, 2, 40))
    assert (model.spent.forward, model.spent.backward) == (planned.forward, planned.backward)


@pytest.mark.parametrize(
    ("inputs", "words"), [((("a", "float32"), ("b", "float32")), "2 inputs"), ((("a", "int64"),), "no floating")]
)
def test_models_that_it_cannot_be_done_for_are_refused(inputs, words):
    tensors = tuple(TensorFacts(name, (None, 4), dtype) for name, dtype in inputs)
    said = ModelFacts("keras", "network", tensors, (), frozenset(), frozenset({"logit"}), 2, 0, {})
    assert words in str(method.admits(said, Shape(1, 1), "logit"))


def same(one: Floats, other: Floats) -> bool:
    return one.tobytes() == other.tobytes()


def test_the_seed_decides_the_starts():
    first, again, other = (run(sides(), images(), seed, steps=3).arrays["made"] for seed in (1, 1, 2))
    assert same(first, again)
    assert not same(first, other)
