"""Adversarial examples: distances against the closed forms of linear models, and what is left alone."""

from typing import Any

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.gradient import adversarial_examples as method
from pgx_compiler.methods.gradient.adversarial_examples import AdversarialExamplesParams, adversarial_examples
from pgx_compiler.modalities.data import AuditData, Split, Variable
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from pgx_compiler.modalities.image import patches
from runtimes.capabilities import Floats
from tests.methods.models import Additive, Linear

RANGES = np.array([2.0, 10.0, 1.0, 4.0])


def audit_of(rows: Floats, owner: Any = None, modality: str = "tabular", train: Any = None) -> tuple[Rows, AuditData]:
    """Rows ``x (rows, 4)`` with training data that spans plus and minus half of `RANGES`."""
    owner = np.arange(rows.shape[1]) if owner is None else owner
    features = FeatureMap(tuple(f"f{k}" for k in range(int(owner.max()) + 1)), {"x": owner})
    if train is None:
        train = np.linspace(-0.5, 0.5, 21)[:, None] * RANGES[: rows.shape[1]]
    references = References({"x": np.zeros((1, 1, *rows.shape[1:]))})
    explained = Rows({"x": rows}, np.zeros(len(rows), np.int64), references, features)
    split = Split("train", {"x": train}, None, np.arange(len(train)))
    classes = ("a", "b", "c")
    return explained, AuditData(modality, "classification", classes, split, None, features, ())


def run(model: Any, rows: Rows, data: AuditData, **params: Any) -> Any:
    return adversarial_examples(model, rows, data, AdversarialExamplesParams(**params), np.random.default_rng(0))


def value(report: Any, name: str) -> float | None:
    (found,) = [measure.value for measure in report.measures if measure.name == name]
    return found


@pytest.fixture
def inner() -> Floats:
    """Rows near the middle of the box, so that no boundary is beyond it."""
    return np.random.default_rng(1).uniform(-0.05, 0.05, (30, 4)) * RANGES


WEIGHTS = np.array([[0.3, -0.2, 1.1], [0.01, 0.05, -0.08], [1.0, -1.5, 0.2], [-0.4, 0.1, 0.3]])


def margins(rows: Floats, norm: int) -> Floats:
    """For each row the distance in ranges to the nearest boundary of a linear model: (f_c - f_k) / |(w_k - w_c) * range|."""
    scores = rows @ WEIGHTS
    found = []
    for row in scores:
        own = row.argmax()
        slopes = {k: (WEIGHTS[:, k] - WEIGHTS[:, own]) * RANGES for k in range(3) if k != own}
        found.append(min((row[own] - row[k]) / np.linalg.norm(slope, norm) for k, slope in slopes.items()))
    return np.array(found)


def test_deepfool_finds_the_margin_of_a_linear_model(inner):
    rows, data = audit_of(inner)
    report = run(Linear(WEIGHTS), rows, data)
    assert value(report, "found") == 1.0
    np.testing.assert_allclose(report.arrays["distance"], margins(inner, 2), rtol=1e-4)
    assert value(report, "distance") == pytest.approx(np.median(margins(inner, 2)), rel=1e-4)


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
def test_sign_steps_find_the_largest_change_of_a_linear_model_of_two_classes(attack, inner):
    # |δ|∞ >= (f_c - f_k) / |w * range|₁, and the step by the sign attains it
    weights = WEIGHTS[:, :2]
    rows, data = audit_of(inner)
    report = run(Linear(weights), rows, data, attack=attack)
    gap, slope = inner @ (weights[:, 1] - weights[:, 0]), (weights[:, 1] - weights[:, 0]) * RANGES
    exact = np.abs(gap) / np.abs(slope).sum()
    if attack == "fgsm":
        np.testing.assert_allclose(report.arrays["largest_change"], exact, rtol=1e-3)
    else:
        # it starts anywhere in the box, so that it may end beside the corner; never nearer than the exact distance
        assert (report.arrays["largest_change"] >= exact * (1 - 1e-6)).all()
        assert np.median(report.arrays["largest_change"] / exact) < 2.0


def test_projected_gradient_stays_in_the_smallest_box_that_serves(inner):
    rows, data = audit_of(inner)
    strengths = (0.01, 0.03, 0.1, 0.3)
    weights = WEIGHTS[:, :2]
    report = run(Linear(weights), rows, data, attack="pgd", strengths=strengths, steps=40)
    slope = (weights[:, 1] - weights[:, 0]) * RANGES
    exact = np.abs(inner @ (weights[:, 1] - weights[:, 0])) / np.abs(slope).sum()
    # the smallest box that holds the exact change; within it 40 steps climb a linear function to its corner
    allowed = np.array([min(eps for eps in strengths if eps >= gap) for gap in exact])
    assert report.arrays["found"].all()
    assert (report.arrays["largest_change"] <= allowed + 1e-9).all()


def test_the_change_is_that_of_the_features_that_the_boundary_depends_on(inner):
    rows, data = audit_of(inner)
    weights = np.array([[3.0, 0.0], [0.0, 0.0], [4.0, 0.0], [0.0, 0.0]])
    report = run(Linear(weights, np.array([0.1, 0.0])), rows, data)
    # slopes by ranges: 3 * 2 = 6 and 4 * 1 = 4, so shares of the squared change are 36 / 52 and 16 / 52
    np.testing.assert_allclose(report.arrays["share_of_change"], np.tile([36 / 52, 0, 16 / 52, 0], (30, 1)), atol=1e-9)
    assert value(report, "features_for_most") == 2.0
    assert [row[0] for row in report.tables[0].rows] == ["f0", "f2"]


def test_that_nothing_was_found_is_said(inner):
    rows, data = audit_of(inner)
    weights = np.zeros((4, 2))
    weights[0] = [0.1, -0.1]
    report = run(Linear(weights, np.array([5.0, 0.0])), rows, data)  # the range of the data never reaches the boundary
    assert value(report, "found") == 0.0
    assert value(report, "distance") is None
    assert np.isnan(report.arrays["distance"]).all()
    assert [measure.reason for measure in report.measures if measure.name == "distance"] == [
        "for half of the rows or more no change was found"
    ]
    assert report.tables[-1].rows == (("a", "not found", 30, 1.0),)


def test_a_flat_model_is_called_flat(inner):
    rows, data = audit_of(inner)
    report = run(Linear(np.zeros((4, 2)), np.array([1.0, 0.0])), rows, data)
    assert value(report, "share_flat") == 1.0
    assert value(report, "found") == 0.0


def test_rows_stay_within_the_range_of_the_training_data():
    at_the_edge = np.array([[0.95, 0.0, 0.0, 0.0], [0.95, 4.9, 0.4, 0.0]])
    rows, data = audit_of(at_the_edge)
    # the boundary is at f0 + f1 / 10 = 1.2: the first row must use f1, since f0 ends at 1
    weights = np.array([[0.0, 1.0], [0.0, 0.1], [0.0, 0.0], [0.0, 0.0]])
    report = run(Linear(weights, np.array([1.2, 0.0])), rows, data)
    moved = at_the_edge + report.arrays["change_x"]
    assert report.arrays["found"].tolist() == [True, True]
    assert (np.abs(moved) <= RANGES / 2 + 1e-9).all()
    assert moved[0, 0] + moved[0, 1] / 10 == pytest.approx(1.2, abs=1e-3)


def test_categories_and_what_is_fixed_are_left_alone():
    rng = np.random.default_rng(2)
    train = np.concatenate([rng.uniform(-1, 1, (40, 2)), np.eye(2)[rng.integers(0, 2, 40)]], axis=1)
    rows, data = audit_of(train[:10], np.array([0, FIXED, 1, 1]), train=train)
    report = run(Linear(np.array([[1.0, 0.0], [5.0, 0.0], [5.0, 0.0], [0.0, 5.0]])), rows, data)
    assert not report.arrays["change_x"][:, 1:].any()
    assert report.arrays["change_x"][report.arrays["found"], 0].all()


def test_a_category_in_numbers_is_left_alone():
    train = np.stack([np.linspace(-1, 1, 30), np.arange(30) % 3], axis=1)
    rows, data = audit_of(train[:8], train=train)
    coded = Variable("f1", "categorical", train[:, 1].astype(int), None, ("x", "y", "z"))
    data = AuditData("tabular", "classification", data.classes, data.train, None, data.features, (coded,))
    report = run(Linear(np.array([[1.0, 0.0], [9.0, 0.0]]), np.array([0.0, 9.0])), rows, data)
    assert not report.arrays["change_x"][:, 1].any()


def test_a_missing_value_stays_missing():
    train = np.linspace(-1, 1, 30)[:, None] * np.ones((1, 2))
    rows, data = audit_of(np.array([[0.2, np.nan], [0.3, 0.1]]), train=train)

    class Without(Linear):
        def scores(self, flat: Floats) -> Floats:
            return super().scores(np.nan_to_num(flat))

    report = run(Without(np.array([[1.0, 0.0], [1.0, 0.0]])), rows, data)
    assert report.arrays["found"].all()
    assert report.arrays["change_x"][0].tolist() == [pytest.approx(-0.2, abs=1e-3), 0.0]


def test_no_number_to_move_is_no_result():
    train = np.eye(2)[np.arange(20) % 2]
    rows, data = audit_of(train[:4], np.array([0, 0]), train=train)
    (measure,) = run(Linear(np.eye(2)), rows, data).measures
    assert measure.value is None
    assert "may be moved" in str(measure.reason)


def test_an_image_is_measured_in_the_range_of_all_pixels():
    rng = np.random.default_rng(3)
    train = rng.uniform(0, 255, (30, 4, 4, 1))
    train[0, 0, 0], train[0, 0, 1] = 0.0, 255.0
    pixels = rng.uniform(120, 140, (5, 4, 4, 1))
    rows, data = audit_of(pixels, patches((4, 4, 1), 2), "image", train)
    weights = np.zeros((16, 2))
    weights[0, 0], weights[1, 0] = 0.6, 0.8  # both in the patch at the top left
    report = run(Linear(weights, np.array([0.0, 100.0])), rows, data)
    assert report.arrays["found"].all()
    # |w| = 1 in the two pixels: the distance is how far the score is above 100, in ranges of 255
    score = 0.6 * pixels[:, 0, 0, 0] + 0.8 * pixels[:, 0, 1, 0]
    np.testing.assert_allclose(report.arrays["distance"], (score - 100) / 255, rtol=1e-3)
    np.testing.assert_allclose(report.arrays["share_of_change"][:, 0], 1.0)


def test_a_distance_is_held_against_the_nearest_row_of_another_decision():
    train = np.stack([np.linspace(-1, 1, 21), np.zeros(21)], axis=1)
    rows, data = audit_of(np.array([[0.75, 0.0]]), train=train)
    report = run(Linear(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([0.45, 0.0])), rows, data)
    # decided by f0 > 0.45; range 2: boundary at 0.3 / 2 = 0.15 ranges, nearest other training row at 0.4: 0.35 / 2 = 0.175
    assert report.arrays["nearest_other_row"].tolist() == [pytest.approx(0.175)]
    assert value(report, "share_of_nearest") == pytest.approx(0.15 / 0.175, rel=1e-4)


def test_without_training_rows_to_hold_it_against_a_distance_has_no_share_and_the_check_knows():
    train = np.stack([np.linspace(-1, 1, 21), np.zeros(21)], axis=1)
    rows, data = audit_of(np.array([[0.75, 0.0]]), train=train)
    report = run(Linear(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([0.45, 0.0])), rows, data, compared=0)
    assert value(report, "share_of_nearest") is None
    declared = catalogue()["adversarial_examples"]
    assert declared.short_of("share_of_nearest", declared.params(compared=0)) == {"compared": 1}


def test_noise_of_the_same_size_does_less(inner):
    wide = np.random.default_rng(4).normal(size=(60, 2))
    near = np.random.default_rng(5).uniform(-0.05, 0.05, (40, 60))
    rows, data = audit_of(near, train=np.linspace(-1, 1, 21)[:, None] * np.ones(60))
    report = run(Linear(wide), rows, data)
    assert value(report, "found") == 1.0
    # random signs over 60 elements undo each other: a sum beyond that of the aligned signs happens once in 2^60
    assert value(report, "changed_by_noise") == 0.0


def test_the_plan_is_a_ceiling(inner):
    rows, data = audit_of(inner)
    shape = Shape(30, 4, 1, 3, 21)
    for attack in ("deepfool", "pgd", "fgsm"):
        model = Additive(WEIGHTS, np.array([0.3, 0.1, 2.0, 1.0]))
        run(model, rows, data, attack=attack)
        planned = method.cost(AdversarialExamplesParams(attack=attack), shape)
        assert 0 < model.spent.forward <= planned.forward
        assert 0 < model.spent.backward <= planned.backward


def test_a_curved_boundary_is_reached_too(inner):
    model = Additive(WEIGHTS, np.array([0.3, 0.1, 2.0, 1.0]))
    rows, data = audit_of(inner)
    report = run(model, rows, data)
    found = report.arrays["found"]
    assert found.mean() > 0.9
    short = model.predict({"x": inner + 0.999 * report.arrays["change_x"]}).argmax(axis=1)
    moved = model.predict({"x": inner + report.arrays["change_x"]}).argmax(axis=1)
    assert (moved[found] != report.arrays["decision"][found]).all()
    assert (short[found] == report.arrays["decision"][found]).all()  # just over the boundary and no farther
