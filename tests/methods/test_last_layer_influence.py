"""Influence of training rows: held against regressions that are fitted again without each of them."""

from typing import Any

import numpy as np
import pytest

from pgx_compiler.methods.declaration import Shape, UnfitParams
from pgx_compiler.methods.gradient import _influence
from pgx_compiler.methods.gradient import last_layer_influence as method
from pgx_compiler.methods.gradient._influence import said_of
from pgx_compiler.methods.gradient.last_layer_influence import (
    LastLayerInfluenceParams,
    below_the_last,
    last_layer_influence,
)
from pgx_compiler.modalities.data import AuditData, Split
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from runtimes.capabilities import Floats, Inputs, Integers, LayerShape
from tests.methods.layered import Convolved, Stacked
from tests.methods.models import flatten

RAISED = 8.0  # so that every rectifier is on, and a hidden unit is its column


class Scored(Stacked):
    """Hidden units are the columns; a softmax, or for one column of weights a sigmoid, stands on top, in a view."""

    def __init__(self, weights: Floats, bias: Floats, score: str = "logit") -> None:
        size = len(weights)
        super().__init__(np.eye(size), np.full(size, RAISED), weights)
        self.offset, self.score = bias - RAISED * weights.sum(axis=0), score
        self.layers = (LayerShape("hidden", "Dense", (size,)), LayerShape("score", "Dense", weights.shape[1:]))

    def logits(self, hidden: Floats) -> Floats:
        z = hidden @ self.second + self.offset
        return np.concatenate([-z, z], axis=1) if z.shape[1] == 1 else z

    def viewed(self, hidden: Floats) -> Floats:
        z = self.logits(hidden)
        if self.score == "logit":
            return z
        p = 1 / (1 + np.exp(-z)) if self.second.shape[1] == 1 else np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        return p if self.score == "probability" else np.log(p / (1 - p))

    def scores(self, flat: Floats) -> Floats:
        return self.viewed(self.hidden(flat))

    def layer_gradient(self, inputs: Inputs, target: Integers, layer: str) -> tuple[Floats, Floats]:
        hidden = self.hidden(flatten(inputs))
        self.spent.backward += len(hidden)
        step, slope = 1e-6, np.zeros_like(hidden)
        for k in range(hidden.shape[1]):  # central differences: slow and plain
            up, down = hidden.copy(), hidden.copy()
            up[:, k], down[:, k] = up[:, k] + step, down[:, k] - step
            rise = self.viewed(up) - self.viewed(down)
            slope[:, k] = rise[np.arange(len(hidden)), target] / (2 * step)
        return hidden, slope


def with_ones(x: Floats) -> Floats:
    return np.concatenate([x + RAISED, np.ones((len(x), 1))], axis=1)


def probabilities(theta: Floats, h: Floats) -> Floats:
    z = h @ theta.T
    if len(theta) == 1:
        p = 1 / (1 + np.exp(-z))
        return np.concatenate([1 - p, p], axis=1)
    shares = np.exp(z - z.max(axis=1, keepdims=True))
    return shares / shares.sum(axis=1, keepdims=True)


def fitted(h: Floats, y: Integers, classes: int, penalty: float, weights: Any = None, start: Any = None) -> Floats:
    """Softmax (of two classes: logistic) regression by Newton's method; every row's loss has its weight by n."""
    n, d = h.shape
    outputs = 1 if classes == 2 else classes
    theta = np.zeros((outputs, d)) if start is None else start.copy()
    weights = np.ones(n) if weights is None else weights
    for _ in range(200):
        p = probabilities(theta, h)
        error = (p - np.eye(classes)[y])[:, -outputs:] if outputs == 1 else p - np.eye(classes)[y]
        gradient = (error * weights[:, None]).T @ h / n + penalty * theta
        curve = np.zeros((outputs, d, outputs, d))
        for a in range(outputs):
            for b in range(outputs):
                c = p[:, 0] * p[:, 1] if outputs == 1 else p[:, a] * ((a == b) - p[:, b])
                curve[a, :, b] = (h * (weights * c)[:, None]).T @ h / n
        step = np.linalg.solve(curve.reshape(outputs * d, -1) + penalty * np.eye(outputs * d), gradient.reshape(-1))
        theta = theta - step.reshape(outputs, d) * min(1.0, 1.0 / np.abs(step).max())  # no step too far
        if np.abs(step).max() < 1e-12:
            return theta
    raise AssertionError("the fit has not converged")


def log_odds(theta: Floats, h: Floats, target: Integers) -> Floats:
    p = probabilities(theta, h)[np.arange(len(h)), target]
    return np.log(p / (1 - p))


def problem(classes: int, rows: int = 120, seed: int = 0) -> tuple[Floats, Integers]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 3))
    x[:, 2] *= 0.3
    centres = rng.normal(size=(3, classes)) * 1.5
    return x, np.array([rng.choice(classes, p=p) for p in probabilities(centres.T, x)])


def audit_of(x: Floats, y: Any, explained: Floats, target: Any, classes: int) -> tuple[AuditData, Rows]:
    features = FeatureMap(("a", "b", "c"), {"x": np.arange(3)})
    train = Split("train", {"x": x}, y, np.array([f"r{k}" for k in range(len(x))]))
    test = Split("test", {"x": explained}, None, np.array([f"t{k}" for k in range(len(explained))]))
    named = tuple(f"class {k}" for k in range(classes))
    data = AuditData("tabular", "classification" if classes else "regression", named, train, test, features, ())
    return data, Rows({"x": explained}, np.asarray(target), References({"x": np.zeros((1, 1, 3))}), features)


def model_of(theta: Floats, score: str = "logit") -> Scored:
    # the bias of theta stands beside raised columns, as the method sees them
    return Scored(theta[:, :-1].T, theta[:, -1] + RAISED * theta[:, :-1].sum(axis=1), score)


def run(model: Any, data: AuditData, explained: Rows, /, **params: Any) -> Any:
    params = {"layer": "hidden", **params}
    return last_layer_influence(model, data, explained, LastLayerInfluenceParams(**params), np.random.default_rng(0))


def damping_for(penalty: float, theta: Floats, h: Floats) -> float:
    """The penalty as a share of the mean curvature."""
    p = probabilities(theta, h)
    curve = p * (1 - p) if len(theta) > 1 else p[:, 1:] * (1 - p[:, 1:])
    return penalty / float((curve[:, :, None] * h[:, None, :] ** 2).mean(axis=0).mean())


@pytest.mark.parametrize("classes", [2, 3])
def test_influence_is_what_a_fit_without_the_row_shows(classes):
    x, y = problem(classes)
    h, penalty = with_ones(x), 1e-3
    theta = fitted(h, y, classes, penalty)
    explained = np.random.default_rng(1).normal(size=(5, 3))
    target = np.array([0, 1, 0, 1, classes - 1])
    data, rows = audit_of(x, y, explained, target, classes)
    found = run(model_of(theta), data, rows, damping=damping_for(penalty, theta, h)).arrays["influence"]
    before = log_odds(theta, with_ones(explained), target)
    actual = np.empty_like(found)
    for row in range(len(x)):
        weights = np.ones(len(x))
        weights[row] = 0.0
        without = fitted(h, y, classes, penalty, weights, theta)
        actual[:, row] = before - log_odds(without, with_ones(explained), target)
    # one step of Newton's method: as good as the other fit lies near
    near = (np.abs(actual) > 0.01) & (np.abs(actual) < 0.3)
    assert near.sum() > 100
    assert np.quantile(np.abs(found / actual - 1)[near], 0.9) < 0.1
    assert np.quantile(np.abs(found - actual)[np.abs(actual) <= 0.01], 0.95) < 0.003
    for one, other in zip(found, actual, strict=True):
        assert np.corrcoef(one, other)[0, 1] > 0.99
        assert (one @ other) / (one @ one) == pytest.approx(1.0, abs=0.25)


def test_influence_on_a_value_is_exact():
    x, _ = problem(2)
    y = x @ [1.0, -2.0, 0.5] + np.random.default_rng(2).normal(size=len(x)) * 0.3
    h = with_ones(x)
    theta = np.linalg.lstsq(h, y, rcond=None)[0]
    explained = np.random.default_rng(1).normal(size=(4, 3))
    data, rows = audit_of(x, y, explained, np.zeros(4, np.int64), 0)

    class Value(Scored):
        def viewed(self, hidden: Floats) -> Floats:
            return hidden @ self.second + self.offset

    model = Value(theta[:-1, None], theta[-1:] + RAISED * theta[:-1].sum())
    report = run(model, data, rows, damping=1e-13)
    leverage = np.einsum("ij,jk,ik->i", h, np.linalg.inv(h.T @ h), h)
    for row in range(0, len(x), 10):
        rest = np.arange(len(x)) != row
        without = np.linalg.lstsq(h[rest], y[rest], rcond=None)[0]
        actual = with_ones(explained) @ (theta - without)
        np.testing.assert_allclose(report.arrays["influence"][:, row], actual, atol=2e-5)
    # a row draws the value at itself towards its label by l / (1 - l) times its error (the leverage l of regression)
    error = np.abs(h @ theta - y)
    np.testing.assert_allclose(report.arrays["self_influence"], leverage / (1 - leverage) * error, rtol=1e-3, atol=1e-5)
    assert {m.name: m.value for m in report.measures}["gradient_left"] == pytest.approx(0.0, abs=1e-6)


def test_the_damping_is_the_penalty_that_holds_the_weights():
    # at the optimum of a fit with a ridge the mean gradient is minus the ridge times the weights
    x, y = problem(3)
    for penalty in (1e-2, 1e-3):
        theta = fitted(x, y, 3, penalty)
        p = probabilities(theta, x)
        last = _influence.LastLayer(x, p - np.eye(3)[y], p, 0.0)
        assert last.damped(None, float(np.linalg.norm(theta))).damping == pytest.approx(penalty, rel=1e-6)
        assert last.damped(0.5, 1.0).damping == pytest.approx(
            0.5 * np.mean(p * (1 - p) @ np.ones(3) * (x**2).sum(axis=1)) / 9
        )
    assert last.damped(None, 1e12).damping == pytest.approx(0.01 * last.mean_curvature)


def test_of_a_sample_a_row_weighs_as_little_as_in_all():
    x, y = problem(2, rows=2000)
    theta = fitted(with_ones(x), y, 2, 1e-3)
    data, rows = audit_of(x, y, x[:3], np.array([0, 1, 1]), 2)
    whole = run(model_of(theta), data, rows, damping=0.1).arrays
    some = run(model_of(theta), data, rows, damping=0.1, rows=500).arrays
    place = [int(name[1:]) for name in some["train_row_ids"]]
    one, other = whole["influence"][:, place].reshape(-1), some["influence"].reshape(-1)
    assert (one @ other) / (one @ one) == pytest.approx(1.0, abs=0.2)


def test_tracin_is_what_a_step_of_training_does():
    classes = 3
    x, y = problem(classes)
    h = with_ones(x)
    theta = fitted(h, y, classes, 1e-3)
    explained = np.random.default_rng(1).normal(size=(3, 3))
    target = np.array([2, 0, 1])
    data, rows = audit_of(x, y, explained, target, classes)
    found = run(model_of(theta), data, rows, by="tracin").arrays["influence"]
    before, rate = log_odds(theta, with_ones(explained), target), 1e-8
    for row in (0, 17, 80):
        error = probabilities(theta, h[row : row + 1])[0] - np.eye(classes)[y[row]]
        stepped = theta - rate * error[:, None] * h[row]
        rise = (log_odds(stepped, with_ones(explained), target) - before) / rate
        np.testing.assert_allclose(found[:, row], rise, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_score_that_is_explained_makes_no_difference(classes):
    x, y = problem(classes)
    theta = fitted(with_ones(x), y, classes, 1e-3)
    data, rows = audit_of(x, y, x[:4], np.array([0, 1, 1, 0]), classes)
    found = [
        run(model_of(theta, score), data, rows).arrays["influence"] for score in ("logit", "probability", "log_odds")
    ]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(found[2], found[0], rtol=1e-5, atol=1e-8)


def test_scores_are_told_apart():
    assert said_of(np.array([[0.2, 0.8], [0.5, 0.5]])).kind == "probability"
    assert said_of(np.array([[-2.0, 2.0], [1.0, -1.0]])).kind == "log_odds"
    assert said_of(np.array([[3.0, 1.0], [0.0, 5.0]])).kind == "logit"
    np.testing.assert_allclose(said_of(np.array([[-2.0, 2.0]])).probabilities, [[0.119203, 0.880797]], atol=1e-6)
    np.testing.assert_allclose(said_of(np.array([[0.0, np.log(3)]])).probabilities, [[0.25, 0.75]])


@pytest.mark.parametrize("by", ["influence_functions", "tracin"])
def test_wrong_labels_rise_to_the_top(by):
    rng = np.random.default_rng(7)
    x = rng.normal(size=(300, 3))
    truth = (x @ [2.0, 1.0, 0.0] > 0).astype(np.int64)
    wrong = rng.choice(np.flatnonzero(np.abs(x @ [2.0, 1.0, 0.0]) > 2), 12, replace=False)
    y = truth.copy()
    y[wrong] = 1 - y[wrong]
    theta = fitted(with_ones(x), y, 2, 1e-3)
    data, rows = audit_of(x, y, rng.normal(size=(10, 3)), truth[:10], 2)
    report = run(model_of(theta), data, rows, by=by)
    itself = report.arrays["self_influence"]
    right = np.setdiff1d(np.arange(300), wrong)
    assert (itself[wrong][:, None] > itself[right]).mean() > 0.9  # the area under the curve of finding them
    top = np.argsort(-itself)
    facts = {m.name: m.value for m in report.measures}
    assert facts["suspects_contradicted"] > 0.6 > 0.2 > facts["contradicted"]
    assert set(report.tables[1].rows[0][:3]) >= {f"r{top[0]}"}


def test_the_table_names_the_rows_that_count():
    x, y = problem(2)
    theta = fitted(with_ones(x), y, 2, 1e-3)
    data, rows = audit_of(x, y, x[[5, 9]] + 0.01, np.array([1, 1]), 2)
    report = run(model_of(theta), data, rows, shown=2)
    found = report.arrays["influence"]
    lines = report.tables[0].rows
    assert [line[0] for line in lines] == ["t0"] * 4 + ["t1"] * 4
    assert [line[3] for line in lines[:2]] == [f"r{k}" for k in np.argsort(-found[0])[:2]]
    assert [line[3] for line in lines[2:4]] == [f"r{k}" for k in np.argsort(found[0])[:2]]
    assert lines[0][2] == "raises"
    assert lines[2][2] == "lowers"
    assert lines[0][6] == pytest.approx(found[0].max())
    assert lines[0][7] == pytest.approx(found[0].max() / np.abs(found[0]).sum())


def test_an_odd_row_that_is_right_only_by_itself_is_memorised():
    # one row of class 1 alone at the far end of a column of its own that nothing else uses
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.normal(size=(80, 2)), np.zeros((80, 1))], axis=1)
    x[0] = [-0.5, 0.0, 6.0]
    y = (x[:, 0] > 0).astype(np.int64)
    y[0] = 1
    h, penalty = with_ones(x), 1e-4
    theta = fitted(h, y, 2, penalty)
    data, rows = audit_of(x, y, x[:2], y[:2], 2)
    report = run(model_of(theta), data, rows, damping=damping_for(penalty, theta, h))
    assert log_odds(theta, h[:1], y[:1])[0] > 0
    own = fitted(h, y, 2, penalty, (np.arange(80) > 0).astype(float), theta)
    assert log_odds(own, h[:1], y[:1])[0] < 0
    assert {m.name: m.value for m in report.measures}["memorised"] >= 1 / 80
    assert report.tables[1].rows[0][0] == "r0"


def test_a_layer_that_something_stands_above_is_refused():
    class Curved(Scored):
        def viewed(self, hidden: Floats) -> Floats:
            return np.tanh((hidden - RAISED) ** 2 @ self.second) * 3

    x, y = problem(3)
    data, rows = audit_of(x, y, x[:2], np.array([0, 1]), 3)
    with pytest.raises(UnfitParams, match="not what the last layer reads"):
        run(Curved(np.random.default_rng(0).normal(size=(3, 3)), np.zeros(3)), data, rows)


def test_a_layer_with_places_is_refused():
    image = np.random.default_rng(0).random((40, 6, 6, 1))
    features = FeatureMap(("all",), {"image": np.zeros((6, 6, 1), np.int64)})
    train = Split("train", {"image": image}, np.arange(40) % 2, np.arange(40))
    data = AuditData("image", "classification", ("a", "b"), train, None, features, ())
    rows = Rows({"image": image[:2]}, np.array([0, 1]), References({"image": image[None, :1]}), features)
    model = Convolved(np.ones((3, 3, 2)), np.ones(2), np.eye(2), 6)
    with pytest.raises(UnfitParams, match="4 × 4 × 2 numbers a row"):
        run(model, data, rows, layer="conv")


def test_a_large_last_layer_is_solved_for_step_by_step(monkeypatch):
    classes = 3
    x, y = problem(classes)
    theta = fitted(with_ones(x), y, classes, 1e-3)
    data, rows = audit_of(x, y, x[:4] + 0.1, np.array([0, 1, 2, 1]), classes)
    whole = run(model_of(theta), data, rows)
    monkeypatch.setattr(_influence, "MOST_EXACT", 0)
    steps = run(model_of(theta), data, rows)
    # the same, but that what a row's own curvature takes is counted for each output alone
    one, other = whole.arrays["influence"], steps.arrays["influence"]
    assert all(np.corrcoef(a, b)[0, 1] > 0.98 for a, b in zip(one, other, strict=True))
    plain = {}
    for most in (0, 10_000):
        monkeypatch.setattr(_influence, "MOST_EXACT", most)
        last = _influence.LastLayer(with_ones(x), np.zeros((len(x), 3)), probabilities(theta, with_ones(x)), 1e-3)
        plain[most] = last.solved(np.eye(3), with_ones(x[:3]))[0]
    np.testing.assert_allclose(plain[0], plain[10_000], rtol=1e-3, atol=1e-3 * np.abs(plain[0]).max())
    assert "memorised" not in {m.name for m in steps.measures}
    assert steps.findings == ()


def test_what_is_not_solved_is_a_finding(monkeypatch):
    x, y = problem(3)
    theta = fitted(with_ones(x), y, 3, 1e-3)
    data, rows = audit_of(x, y, x[:4], np.array([0, 1, 2, 1]), 3)
    monkeypatch.setattr(_influence, "MOST_EXACT", 0)
    monkeypatch.setattr(_influence, "MOST_STEPS", 1)
    assert [finding.code for finding in run(model_of(theta), data, rows).findings] == ["not_converged"]


def test_a_last_layer_that_is_too_large_is_left_to_tracin(monkeypatch):
    x, y = problem(3)
    theta = fitted(with_ones(x), y, 3, 1e-3)
    data, rows = audit_of(x, y, x[:4], np.array([0, 1, 2, 1]), 3)
    monkeypatch.setattr(_influence, "MOST_EXACT", 0)
    monkeypatch.setattr(_influence, "MOST_NUMBERS", 47)  # 3 outputs of 4 x 4 numbers are 48
    with pytest.raises(UnfitParams, match="12 parameters, too many"):
        run(model_of(theta), data, rows)
    assert run(model_of(theta), data, rows, by="tracin").arrays["influence"].shape == (4, len(x))


def test_the_layer_in_front_of_the_last_dense_one_is_taken():
    layers = [("conv", "Conv2D"), ("flat", "Flatten"), ("hidden", "Dense"), ("drop", "Dropout"), ("out", "Dense")]
    assert below_the_last(layers) == "drop"
    assert below_the_last([*layers, ("softmax", "Activation")]) == "drop"
    assert below_the_last([("out", "Dense")]) is None


def test_no_labels_are_no_result():
    x, _ = problem(2)
    data, rows = audit_of(x, None, x[:2], np.array([0, 1]), 2)
    (measure,) = run(model_of(np.ones((1, 4))), data, rows).measures
    assert "no labels" in str(measure.reason)


def test_the_plan_is_a_ceiling():
    x, y = problem(2)
    model = model_of(fitted(with_ones(x), y, 2, 1e-3))
    data, rows = audit_of(x, y, x[:5], np.zeros(5, np.int64), 2)
    run(model, data, rows)
    planned = method.cost(LastLayerInfluenceParams(), Shape(5, 3, 1, 2, len(x) + 5, 5))
    assert (model.spent.forward, model.spent.backward) == (planned.forward, planned.backward)
