"""Methods against slow re-derivations from their papers, and against closed forms on linear and additive models."""

from itertools import permutations

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.gradient.integrated_gradients import IntegratedGradientsParams
from pgx_compiler.methods.perturbation import tree_shap as tree_shap_module
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from pgx_compiler.modalities.game import Game, game_of_row
from runtimes.capabilities import Spent
from tests.methods.models import (
    Linear,
    Mlp,
    flatten,
    forest_bench,
    image_rows,
    linear_bench,
    smooth_benches,
    smooth_models,
    table_rows,
)

SHAPLEY = [d for d in catalogue().values() if d.estimates == "shapley_values"]


def bench_named(name):
    return next(bench for bench in smooth_benches() if bench.name == name)


def game_of(bench, row=0):
    rows = bench.rows
    return game_of_row(bench.model, rows.inputs, row, rows.references, rows.features, int(rows.target[row]))


def shapley_by_orders(game):
    """Shapley (1953), word for word: the mean marginal contribution over all orders of the players."""
    total, count = np.zeros((game.n_features, game.n_targets)), 0
    worth = {}

    def value(members):
        if members not in worth:
            mask = np.zeros((1, game.n_features), bool)
            mask[0, list(members)] = True
            worth[members] = game.value(mask)[0]
        return worth[members]

    for order in permutations(range(game.n_features)):
        members = frozenset()
        for player in order:
            total[player] += value(members | {player}) - value(members)
            members |= {player}
        count += 1
    return total / count


@pytest.mark.parametrize("declaration", SHAPLEY, ids=lambda d: d.name)
def test_shapley_values_are_the_mean_contribution_over_all_orders(declaration):
    # 7 features: 5040 orders; Kernel SHAP asks all 126 coalitions and must be exact.
    last = linear_bench() if declaration.capability == "LinearModel" else forest_bench()
    for bench in (bench_named("tabular sum"), last):
        if not bench.suits(declaration):
            continue
        found = attribute(declaration, bench.model, bench.rows, declaration.params())
        for row in range(2 if bench.name == "tabular sum" else 1):
            slow = shapley_by_orders(game_of(bench, row))[:, 0]
            error = 0.0 if found.standard_error is None else 5 * found.standard_error[row]
            assert (np.abs(found.values[row] - slow) <= 1e-9 + error).all()
            if declaration.name == "kernel_shap":
                np.testing.assert_allclose(found.values[row], slow, atol=1e-10)
                assert (found.standard_error[row] < 1e-10).all()


@pytest.mark.parametrize("modality", ["tabular", "image"])
@pytest.mark.parametrize(
    "name", [d.name for d in SHAPLEY if d.capability == "Predictor"] + ["occlusion", "integrated_gradients"]
)
def test_on_a_linear_model_a_value_is_weight_times_distance_from_the_mean_reference(name, modality):
    # score = sum_c w_c x_c, so feature j is worth sum over its columns of w_c (x_c - mean_r r_c), exactly.
    declaration, bench = catalogue()[name], bench_named(f"{modality} linear")
    if not bench.suits(declaration):
        pytest.skip("16 features are too many to enumerate")
    rows = bench.rows
    expected = np.zeros((len(rows), len(rows.features)))
    owner = np.concatenate([rows.features.owners[n].reshape(-1) for n in rows.inputs])
    for row, target in enumerate(rows.target):
        x = flatten({n: a[row : row + 1] for n, a in rows.inputs.items()})[0]
        mean = flatten(rows.references.of_row(row)).mean(axis=0)
        for column, feature in enumerate(owner):
            if feature != FIXED:
                expected[row, feature] += bench.model.weights[column, target] * (x[column] - mean[column])
    found = attribute(declaration, bench.model, rows, declaration.params())
    np.testing.assert_allclose(found.values, expected, atol=1e-5 if modality == "image" else 1e-9)


@pytest.mark.parametrize(
    "name", [d.name for d in SHAPLEY if d.capability == "Predictor"] + ["occlusion", "integrated_gradients"]
)
def test_on_an_additive_model_a_value_is_what_the_feature_alone_adds(name):
    # Without interactions v(S + i) - v(S) is the same for all S: v({i}) - v({}).
    declaration, bench = catalogue()[name], bench_named("tabular additive")
    found = attribute(declaration, bench.model, bench.rows, declaration.params())
    for row in range(len(bench.rows)):
        game = game_of(bench, row)
        alone = (game.value(np.eye(game.n_features, dtype=bool)) - game.empty())[:, 0]
        np.testing.assert_allclose(found.values[row], alone, atol=1e-8)


def test_occlusion_is_the_fall_of_the_score_when_one_feature_is_removed():
    # score = tanh(x0 + 2 x1), reference 0, row (1, 1): tanh 3 - tanh 2 and tanh 3 - tanh 1.
    model = Mlp(np.array([[1.0], [2.0]]), np.zeros(1), np.ones((1, 1)))
    features = FeatureMap(("a", "b"), {"x": np.array([0, 1])})
    rows = Rows({"x": np.ones((1, 2))}, np.array([0]), References({"x": np.zeros((1, 1, 2))}), features)
    occlusion = catalogue()["occlusion"]
    found = attribute(occlusion, model, rows, occlusion.params()).values
    np.testing.assert_allclose(found, [[np.tanh(3) - np.tanh(2), np.tanh(3) - np.tanh(1)]], atol=1e-15)


def test_integrated_gradients_are_the_mean_gradient_along_the_path_times_its_length():
    # Sundararajan et al. (2017), equation 1, by a midpoint sum of 20,000 points for each reference.
    bench = bench_named("tabular sum")
    rows = table_rows(np.random.default_rng(8), rows=1, references=2)
    method = catalogue()["integrated_gradients"]
    found = method.function(bench.model, rows, method.params())
    share = (np.arange(20_000) + 0.5)[:, None] / 20_000
    expected = dict.fromkeys(rows.inputs, 0.0)
    for reference in range(2):
        start = {n: a[0, reference : reference + 1].copy() for n, a in rows.references.inputs.items()}
        for name, owner in rows.features.owners.items():
            start[name][0, owner == FIXED] = rows.inputs[name][0, owner == FIXED]
        points = {n: start[n] + share * (rows.inputs[n] - start[n]) for n in rows.inputs}
        gradient = bench.model.gradient(points, np.repeat(rows.target, len(share)))
        for name in rows.inputs:
            expected[name] = expected[name] + (rows.inputs[name] - start[name])[0] * gradient[name].mean(axis=0) / 2
    for name, values in expected.items():
        np.testing.assert_allclose(found[name][0], values, atol=1e-7)


def test_integrated_gradients_take_more_steps_only_for_rows_whose_gap_is_too_large():
    # tanh(9 x) from -1 to 1 has all its slope in the middle; the second row hardly moves and is done after 2 steps.
    model = Mlp(np.array([[9.0]]), np.zeros(1), np.ones((1, 1)))
    rows = Rows(
        {"x": np.array([[1.0], [-0.99]])},
        np.array([0, 0]),
        References({"x": np.full((1, 1, 1), -1.0)}),
        FeatureMap(("a",), {"x": np.array([0])}),
    )
    method = catalogue()["integrated_gradients"]
    wanted = np.tanh(9 * rows.inputs["x"]) - np.tanh(-9.0)
    coarse = method.function(model, rows, IntegratedGradientsParams(steps=2))["x"]
    assert abs(coarse[0, 0] - wanted[0, 0]) > 1.0
    model.spent = Spent()
    fine = method.function(model, rows, IntegratedGradientsParams(steps=2, tolerance=1e-6, max_steps=256)).maps["x"]
    assert np.abs(fine - wanted).max() <= 1e-6
    # Row 1 costs 2 steps, row 0 costs 2 + 4 + 8 + ...: less than if both had been refined.
    tried = [steps for steps in (2, 4, 8, 16, 32, 64, 128, 256) if model.spent.backward - 2 >= 2 * steps - 2]
    assert model.spent.backward == 2 + sum(tried)
    declared = method.cost(IntegratedGradientsParams(steps=2, tolerance=1e-6, max_steps=256), bench_shape(rows))
    assert model.spent.backward <= declared.backward
    assert model.spent.forward == declared.forward == 4  # two rows, and the reference once for each


def bench_shape(rows):
    from pgx_compiler.methods.declaration import Shape

    return Shape(len(rows), len(rows.features), len(rows.references))


def test_integrated_gradients_never_hold_more_points_than_a_call_of_the_model():
    rng = np.random.default_rng(1)
    rows = image_rows(rng)
    model = smooth_models(rows, 3, (0, 5), rng)[2]
    method = catalogue()["integrated_gradients"]
    method.function(model, rows, method.params())  # 2 rows x 2 references x 64 steps = 256 points
    model.rows_per_call = 50
    model.largest_call = 0
    in_small_calls = method.function(model, rows, method.params())
    assert model.largest_call == 50
    model.rows_per_call = 10_000
    np.testing.assert_allclose(
        in_small_calls["image"], method.function(model, rows, method.params())["image"], atol=1e-14
    )


def test_gradient_methods_on_a_linear_model():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 2))
    model = Linear(weights)
    features = FeatureMap(("a", "b", "c"), {"x": np.array([0, 1, 2, 2])})
    x = rng.normal(size=(3, 4))
    rows = Rows({"x": x}, np.array([0, 1, 1]), References({"x": np.zeros((1, 1, 4))}), features)
    slopes = weights.T[rows.target]
    maps = {name: catalogue()[name] for name in ("saliency", "gradient_x_input", "smoothgrad")}
    saliency = attribute(maps["saliency"], model, rows, maps["saliency"].params())
    np.testing.assert_array_equal(saliency.maps["x"], np.abs(slopes))
    np.testing.assert_allclose(saliency.values[:, 2], np.abs(slopes[:, 2]) + np.abs(slopes[:, 3]))
    product = attribute(maps["gradient_x_input"], model, rows, maps["gradient_x_input"].params())
    np.testing.assert_array_equal(product.maps["x"], slopes * x)
    smooth = attribute(maps["smoothgrad"], model, rows, maps["smoothgrad"].params())
    # The gradient of a linear model is the same everywhere: no noise changes it, and there is no error.
    np.testing.assert_allclose(smooth.values, np.stack([slopes[:, 0], slopes[:, 1], slopes[:, 2:].sum(axis=1)], 1))
    np.testing.assert_allclose(smooth.standard_error, 0.0, atol=1e-15)


def test_smoothgrad_is_the_gradient_smoothed_by_a_normal_curve_of_the_stated_width():
    # score = sin(x), range of the row and its reference 4, noise 0.25: sigma 1. E cos(x + e) = cos(x) exp(-1/2).
    bench_model = smooth_models(table_rows(np.random.default_rng(0)), 6, (0, 1), np.random.default_rng(0))[1]
    bench_model.weights, bench_model.shift = np.ones((1, 1)), np.zeros(1)
    rows = Rows(
        {"x": np.array([[0.5]])},
        np.array([0]),
        References({"x": np.full((1, 1, 1), -3.5)}),
        FeatureMap(("a",), {"x": np.array([0])}),
    )
    method = catalogue()["smoothgrad"]
    found = attribute(method, bench_model, rows, method.params(samples=20_000, noise=0.25))
    assert found.standard_error[0, 0] < 0.01
    assert abs(found.values[0, 0] - np.cos(0.5) * np.exp(-0.5)) < 4 * found.standard_error[0, 0]


def test_gradients_of_the_test_models_are_right():
    # Everything above rests on them: central differences, step 1e-6.
    for bench in smooth_benches():
        flat = np.random.default_rng(2).normal(size=(3, flatten(bench.rows.inputs).shape[1]))
        target = np.array([0, 1, 2])
        for column in range(flat.shape[1]):
            step = np.zeros(flat.shape[1])
            step[column] = 1e-6
            rise = (bench.model.scores(flat + step) - bench.model.scores(flat - step))[np.arange(3), target] / 2e-6
            np.testing.assert_allclose(bench.model.slopes(flat, target)[:, column], rise, atol=1e-6)


def test_tree_shap_is_the_same_in_small_blocks(monkeypatch):
    bench, method = forest_bench(), catalogue()["tree_shap"]
    whole = method.function(bench.model, bench.rows, method.params()).values
    monkeypatch.setattr(tree_shap_module, "TRIPLES_AT_ONCE", 1)
    np.testing.assert_allclose(method.function(bench.model, bench.rows, method.params()).values, whole, atol=1e-12)


def test_tree_shap_reads_references_of_each_row_on_their_own():
    bench, method = forest_bench(), catalogue()["tree_shap"]
    rng, rows = np.random.default_rng(3), bench.rows
    own = References({"x": rng.normal(size=(len(rows), 3, 10)).astype(np.float32)})
    found = method.function(bench.model, Rows(rows.inputs, rows.target, own, rows.features), method.params()).values
    for row, target in enumerate(rows.target):
        row_inputs = {"x": rows.inputs["x"][row : row + 1]}
        game = Game(bench.model, row_inputs, own.of_row(row), rows.features, np.array([target]))
        exact = catalogue()["exact_shapley"]
        np.testing.assert_allclose(found[row], exact.function(game, exact.params()).values[:, 0], atol=1e-10)


@pytest.mark.parametrize(
    ("activation", "score", "admitted"),
    [("logistic", "log_odds", True), ("logistic", "probability", False), ("softmax", "log_odds", False),
     ("softmax", "logit", True), ("linear", "probability", True), ("linear", "value", True)],
)  # fmt: skip
def test_tree_shap_is_admitted_only_in_a_score_in_which_trees_add_up(activation, score, admitted):
    from dataclasses import replace

    bench, method = forest_bench(), catalogue()["tree_shap"]
    said = replace(bench.facts, activation=activation, scores=frozenset({"logit", "log_odds", "probability"}))
    reason = method.admits(said, bench.shape, score)
    assert (reason is None) == admitted
    if activation == "logistic" and not admitted:
        assert "log_odds" in reason
    assert method.admits(replace(said, structure="network"), bench.shape, score) == "the model is not a tree ensemble"
