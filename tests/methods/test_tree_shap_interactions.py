"""Interactions of trees against the enumeration of all coalitions, and TreeSHAP."""

from pathlib import Path

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.perturbation.shapley_interactions import ShapleyInteractionsParams, shapley_interactions
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from pgx_compiler.modalities.game import game_of_row
from runtimes.capabilities import Tree, View
from tests.methods.models import Forest, facts, forest_bench, random_tree

METHOD = catalogue()["tree_shap_interactions"]
GOLDEN = Path(__file__).parent / "golden"


def found_of(model, rows, **params):
    return METHOD.function(model, rows, METHOD.params(**params))


def enumerated(model, rows):
    """What `shapley_interactions` finds with all coalitions, ``(rows, features, features)``."""
    squares = []
    for row, target in enumerate(rows.target):
        game = game_of_row(model, rows.inputs, row, rows.references, rows.features, int(target))
        told = shapley_interactions(game, ShapleyInteractionsParams(samples=2**12), np.random.default_rng(0))
        squares.append(told.arrays["interactions"])
    return np.stack(squares)


def rows_of(rng, columns, owners, rows=3, references=5, own=False):
    """Float32 rows with a few missing values; ``own``: each row has references of its own."""
    x = rng.normal(size=(rows, columns)).astype(np.float32)
    others = rng.normal(size=(rows if own else 1, references, columns)).astype(np.float32)
    x[0, 2] = others[0, 1, 2] = np.nan
    names = tuple(f"f{i}" for i in range(max(owners) + 1))
    return Rows(
        {"x": x}, rng.integers(0, 2, rows), References({"x": others}), FeatureMap(names, {"x": np.array(owners)})
    )


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize(
    ("depth", "owners"), [(3, [0, 1, 2, 3]), (5, [0, 0, 1, 2, 3, 4, FIXED, 5]), (7, list(range(9)))]
)
def test_they_are_what_all_coalitions_say(depth, owners, own):
    rng = np.random.default_rng(depth)
    rows = rows_of(rng, len(owners), owners, own=own)
    trees = [random_tree(range(len(owners)), depth, 2, rng) for _ in range(4)]
    model = Forest(trees, np.array([0.5, -1.0]))
    report = found_of(model, rows)
    np.testing.assert_allclose(report.arrays["interactions"], enumerated(model, rows), atol=1e-9)


def test_own_effects_and_half_of_the_interactions_are_the_values_of_tree_shap():
    bench = forest_bench()
    square = found_of(bench.model, bench.rows).arrays["interactions"]
    own = np.einsum("rff->rf", square)
    method = catalogue()["tree_shap"]
    values = attribute(method, bench.model, bench.rows, method.params()).values
    np.testing.assert_allclose(own + (square.sum(axis=2) - own) / 2, values, atol=1e-10)
    assert not square[:, 7].any()  # h is not read


def test_stumps_do_not_interact_and_a_tree_of_two_questions_is_shared_as_by_hand():
    # One leaf of worth 8 for a and b both above 0, the row above and the reference below: v(ab) = 8 is all interaction.
    rows = Rows(
        {"x": np.array([[1.0, 1.0, 1.0]])},
        np.array([0]),
        References({"x": -np.ones((1, 1, 3))}),
        FeatureMap(("a", "b", "c"), {"x": np.arange(3)}),
    )
    leaf = np.array([-1, -1])
    both = Tree(
        np.array([0, -1, 1, *leaf]), np.zeros(5), np.array([1, 0, 3, 0, 0]), np.array([2, 0, 4, 0, 0]),
        np.zeros(5, bool), np.array([[0.0], [0.0], [0.0], [0.0], [8.0]]),
    )  # fmt: skip
    report = found_of(Forest([both], np.zeros(1)), rows)
    np.testing.assert_allclose(report.arrays["interactions"][0], [[0, 8, 0], [8, 0, 0], [0, 0, 0]], atol=1e-12)
    assert {m.name: m.value for m in report.measures}["interaction_share"] == 1.0
    assert report.tables[0].rows[0] == ("a and b", 8.0, None, None, 8.0)
    stump = Tree(np.array([2, *leaf]), np.zeros(3), np.array([1, 0, 0]), np.array([2, 0, 0]), np.zeros(3, bool), np.array([[0.0], [0.0], [3.0]]))  # fmt: skip
    alone = found_of(Forest([stump], np.zeros(1)), rows)
    np.testing.assert_allclose(alone.arrays["interactions"][0], np.diag([0, 0, 3.0]), atol=1e-12)
    assert {m.name: m.value for m in alone.measures}["interaction_share"] == 0.0


def test_facts_are_means_of_sizes_over_the_rows_of_the_pairs_that_interact_most():
    bench = forest_bench()
    report = found_of(bench.model, bench.rows, pair_features=3)
    square = np.abs(report.arrays["interactions"])
    named = {m.name: m.value for m in report.measures if m.name.startswith("interaction_") and m.subject}
    assert len(named) == 3
    names = list("abcdefgh")
    for name, value in named.items():
        one, other = name.removeprefix("interaction_").split("_and_")
        assert value == pytest.approx(square[:, names.index(one), names.index(other)].mean())


def test_a_model_whose_trees_do_not_add_up_and_one_feature_are_refused():
    bench = forest_bench()
    assert METHOD.admits(bench.facts, Shape(1, 8), "value") is None
    assert "one feature" in METHOD.admits(bench.facts, Shape(1, 1), "value")
    network = facts(bench.rows, "network", {"Predictor"}, 2)
    assert METHOD.admits(network, Shape(1, 8), "value") == "the model is not a tree ensemble"


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["lightgbm_regressor", "xgboost_classes"])
def test_trees_of_an_onnx_file_are_explained_as_the_file_answers(name):
    from runtimes.frameworks import onnx_runtime

    score = ("value", "regression") if "regressor" in name else ("logit", "classification")
    handle = onnx_runtime.open_model(GOLDEN / f"{name}.onnx", View(*score))
    held = np.load(GOLDEN / "golden.npz")
    features = FeatureMap(tuple("abcdefgh"), {handle.input_name: np.arange(8)})
    rows = Rows({handle.input_name: held["explained"]}, np.zeros(6, np.int64), References({handle.input_name: held["background"][None, :20]}), features)  # fmt: skip
    before = handle.spent.forward
    report = found_of(handle, rows)
    ours = report.arrays["interactions"]
    assert handle.spent.forward - before == METHOD.cost(METHOD.params(), Shape(6, 8, 20)).forward == 26
    gap = next(m.value for m in report.measures if m.name == "completeness_gap")
    assert 0 <= gap < 1e-4 * max(1.0, np.abs(ours).max())
    # the session answers in single precision
    np.testing.assert_allclose(ours, enumerated(handle, rows), atol=2e-5 * max(1.0, np.abs(ours).max()))
