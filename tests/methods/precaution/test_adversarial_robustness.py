"""A linear softmax model, on which the attack has a closed form."""

from dataclasses import replace

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.precaution.adversarial_robustness import AdversarialRobustnessParams, adversarial_robustness
from pgx_compiler.modalities import image
from pgx_compiler.modalities.data import AuditData, Split
from runtimes.capabilities import Differentiable, Spent


class Linear:
    """Logits ``x @ weights`` of a flat or image input called x."""

    def __init__(self, weights, scale=1.0):
        self.weights, self.scale = np.asarray(weights, np.float64), scale
        self.rows_per_call = 64
        self.spent = Spent()

    def predict(self, inputs):
        rows = inputs["x"].reshape(len(inputs["x"]), -1)
        self.spent.forward += len(rows)
        return rows @ self.weights * self.scale

    def gradient(self, inputs, target):
        self.spent.backward += len(target)
        return {"x": (self.weights.T[target] * self.scale).reshape(inputs["x"].shape)}


class Flat(Linear):
    """Right, but without a gradient: a saturated output."""

    def gradient(self, inputs, target):
        return {"x": np.zeros(inputs["x"].shape)}


def pictures(n=150, seed=0):
    """Grey 4 × 4 pictures in 0..1 of three classes, with the model that tells them."""
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(16, 3))
    pixels = rng.random((n, 4, 4))
    labels = (pixels.reshape(n, -1) @ weights).argmax(axis=1)
    features = image.feature_map({"x": (4, 4)}, {"size": 2})
    split = Split("train", {"x": pixels}, labels, np.arange(n))
    data = AuditData(
        "image", "classification", ("a", "b", "c"), split, replace(split, name="test"), features,
        image.variables(split.inputs, None, features, (), {}),
    )  # fmt: skip
    return data, Linear(weights)


def run(data, model, seed=0, **params):
    return adversarial_robustness(data, model, AdversarialRobustnessParams(**params), np.random.default_rng(seed))


def value(report, name):
    return next(m.value for m in report.measures if m.name == name)


def test_the_model_of_the_tests_is_differentiable():
    assert isinstance(Linear(np.ones((2, 2))), Differentiable)


@pytest.mark.parametrize("eps", [0.02, 0.05, 0.1])
def test_two_classes_have_a_closed_form(table, eps):
    """A row stays right where its margin exceeds eps times the 1-norm of the weights' difference."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 6))
    x = np.r_[x, np.full((1, 6), 9.0), np.full((1, 6), -9.0)]  # a wide training range: nothing is clipped
    weights = rng.normal(size=(6, 2))
    difference = weights[:, 1] - weights[:, 0]
    labels = (x @ difference > 0).astype(int)
    data = table(x, labels, x[:200], labels[:200])
    report = run(data, Linear(weights), eps=eps, curve=(1.0,))
    stays = np.abs(x[:200] @ difference) > eps * np.abs(difference).sum()
    assert value(report, "accuracy_clean") == 1.0
    assert value(report, "accuracy_single_step") == pytest.approx(stays.mean())
    assert value(report, "accuracy_attacked") == pytest.approx(stays.mean())


def test_attacked_pictures_stay_within_eps_and_within_the_training_range():
    data, model = pictures()
    seen = []
    plain = model.predict
    model.predict = lambda inputs: (seen.append(inputs["x"].copy()), plain(inputs))[1]
    run(data, model, eps=0.1, curve=(1.0,), rows=1000)
    original = data.test.inputs["x"]
    for rows in seen:
        assert np.abs(rows - original).max() <= 0.1 + 1e-12
        assert rows.min() >= original.min()
        assert rows.max() <= original.max()
    assert len(seen) == 14  # clean, noise, single step, and eleven looks of the ten-step descent


def test_noise_harms_less_than_one_step_and_one_step_less_than_ten():
    data, model = pictures()
    report = run(data, model, eps=0.1)
    clean, noise, single, ten = (
        value(report, f"accuracy_{n}") for n in ("clean", "noise", "single_step", "attacked")
    )  # fmt: skip
    assert clean == 1.0
    assert clean >= noise > single >= ten
    curve = [row[2] for row in report.tables[0].rows]
    assert curve == sorted(curve, reverse=True)


def test_weak_model_is_found_and_strong_model_is_not():
    data, model = pictures()
    weak = run(data, model, eps=0.1)
    (finding,) = weak.findings
    assert (finding.code, finding.severity, finding.verdict) == ("adversarial_weakness", "warning", "holds")
    assert run(data, model, eps=0.0005).findings == ()
    assert 0 < value(weak, "eps_halving") <= 0.2


def test_halving_lies_between_the_points_of_the_curve():
    data, model = pictures()
    rows = run(data, model, eps=0.1, curve=(0.25, 0.5, 1.0)).tables[0].rows
    eps = value(run(data, model, eps=0.1, curve=(0.25, 0.5, 1.0)), "eps_halving")
    before = max(r[0] for r in rows if r[2] > 0.5)
    after = min(r[0] for r in rows if r[2] <= 0.5)
    assert before < eps <= after


def test_few_rows_give_unknown():
    data, model = pictures(20)
    (finding,) = run(data, model, eps=0.1).findings
    assert (finding.severity, finding.verdict) == ("info", "unknown")


def test_a_model_without_gradient_is_not_called_strong():
    data, model = pictures()
    report = run(data, Flat(model.weights), eps=0.01)
    assert value(report, "share_flat") == 1.0
    (finding,) = report.findings
    assert finding.verdict == "unknown"
    assert "zero" in finding.summary


def test_what_noise_breaks_as_well_is_not_laid_at_the_adversarys_door():
    """A gradient that is itself noise: no more false alarms than the gate allows."""
    alarms = 0
    for seed in range(60):
        data, model = pictures(80, seed)
        rng = np.random.default_rng(seed)
        model.gradient = lambda inputs, target, rng=rng: {"x": rng.normal(size=inputs["x"].shape)}
        report = run(data, model, seed, eps=0.5, steps=0, curve=(1.0,), drop=0.0)
        alarms += any(f.verdict == "holds" for f in report.findings)
    assert alarms <= 7  # 3 expected, SD 1.7


def test_a_table_moves_single_numbers_only(table):
    """Columns: two numbers, a flag, and a one-hot group."""
    rng = np.random.default_rng(0)
    x = np.c_[rng.normal(size=(120, 2)), rng.random(120) < 0.5, np.eye(3)[rng.integers(0, 3, 120)]]
    data = table(x, rng.integers(0, 2, 120), columns=["a", "b", "flag", "c=0", "c=1", "c=2"], groups={"c": ["c=*"]})
    model, seen = Linear(rng.normal(size=(6, 2))), []
    plain = model.predict
    model.predict = lambda inputs: (seen.append(inputs["x"].copy()), plain(inputs))[1]
    run(data, model, eps=0.3)
    assert all((rows[:, 2:] == x[:, 2:]).all() for rows in seen)
    assert any((rows[:, :2] != x[:, :2]).any() for rows in seen)


def test_spread_is_the_interquartile_range(table):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2)) * [1000.0, 0.001]
    data = table(x, rng.integers(0, 2, 400))
    model, seen = Linear(rng.normal(size=(2, 2))), []
    plain = model.predict
    model.predict = lambda inputs: (seen.append(inputs["x"].copy()), plain(inputs))[1]
    run(data, model, eps=0.1, unit="spread", curve=(1.0,), rows=400)
    moved = np.max([np.abs(rows - x).max(axis=0) for rows in seen], axis=0)
    iqr = np.subtract(*np.quantile(x, [0.75, 0.25], axis=0))
    np.testing.assert_allclose(moved, 0.1 * iqr, rtol=1e-6)


def test_whole_numbers_and_missing_labels_are_left_alone(table):
    data = table(np.arange(60.0)[:, None], np.zeros(60))
    whole = replace(data, train=replace(data.train, inputs={"x": np.arange(60)[:, None]}))
    model = Linear(np.ones((1, 2)))
    assert value(run(whole, model), "accuracy_attacked") is None
    assert value(run(table(np.ones((60, 1))), model), "accuracy_attacked") is None


def test_cost_is_what_is_spent():
    declared = catalogue()["adversarial_robustness"].cost
    for steps in (0, 3):
        data, model = pictures(90)
        params = AdversarialRobustnessParams(steps=steps, rows=70)
        adversarial_robustness(data, model, params, np.random.default_rng(0))
        cost = declared(params, Shape(rows=1, features=4, data_rows=90))
        assert (model.spent.forward, model.spent.backward) == (cost.forward, cost.backward)


def test_same_seed_same_report():
    data, model = pictures()
    assert run(data, model, 5) == run(data, model, 5)
