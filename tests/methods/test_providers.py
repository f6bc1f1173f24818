"""Our Shapley values against those of shap and of a real ONNX file, at stated settings."""

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.perturbation.exact_shapley import ExactShapleyParams, exact_shapley
from pgx_compiler.methods.perturbation.kernel_shap import KernelShapParams, kernel_shap
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Tree, View
from tests.methods.models import Forest, Mlp

pytestmark = pytest.mark.frameworks


def network(features, outputs=1, references=3, seed=0):
    rng = np.random.default_rng(seed)
    model = Mlp(rng.normal(size=(features, 8)) * 0.6, rng.normal(size=8), rng.normal(size=(8, outputs)))
    model.rows_per_call = 65_536
    owners = FeatureMap(tuple(map(str, range(features))), {"x": np.arange(features)})
    row, background = rng.normal(size=(1, features)), rng.normal(size=(references, features))
    return model, Game(model, {"x": row}, {"x": background}, owners, np.arange(outputs)), row, background


def shap_kernel(model, row, background, samples, seed):
    import shap

    np.random.seed(seed)  # noqa: NPY002 - shap draws from NumPy's global state
    explainer = shap.KernelExplainer(model.scores, background, silent=True)
    return explainer.shap_values(row, nsamples=samples, l1_reg=False, silent=True)[0]


def test_kernel_shap_equals_shap_where_both_ask_every_coalition():
    # 9 features: 510 coalitions; two outputs at once.
    model, game, row, background = network(9, outputs=2)
    ours = kernel_shap(game, KernelShapParams(samples=510), np.random.default_rng(0)).values
    np.testing.assert_allclose(ours, shap_kernel(model, row, background, 510, 0), atol=1e-6)


def test_sampled_kernel_shap_agrees_with_shap_within_the_standard_error_and_errs_no_more():
    # 14 features, 600 of 16,382 coalitions, 12 seeds each, against exact enumeration.
    model, game, row, background = network(14)
    truth = exact_shapley(game, ExactShapleyParams()).values[:, 0]
    ours = [kernel_shap(game, KernelShapParams(samples=600), np.random.default_rng(seed)) for seed in range(12)]
    theirs = np.array([shap_kernel(model, row, background, 600, seed)[:, 0] for seed in range(12)])
    our_error = np.sqrt(np.mean([(run.values[:, 0] - truth) ** 2 for run in ours]))
    their_error = np.sqrt(np.mean((theirs - truth) ** 2))
    assert our_error <= 1.1 * their_error
    for run, other in zip(ours, theirs, strict=True):
        # shap has no standard error of its own; with about the same design its error is about ours.
        both = np.hypot(run.standard_error[:, 0], 1.5 * run.standard_error[:, 0])
        assert (np.abs(run.values[:, 0] - other) <= 4.5 * both).all()


def as_trees(model, column, learning_rate=1.0):
    """scikit-learn's fitted trees as arrays; its thresholds are float64, compared with float32 values."""
    trees = []
    for fitted in model:
        tree = fitted.tree_
        leaf = tree.children_left == -1
        values = tree.value[:, :, 0] if column is None else tree.value[:, 0, :]
        trees.append(
            Tree(
                np.where(leaf, -1, tree.feature).astype(np.int64),
                tree.threshold,
                np.maximum(tree.children_left, 0),
                np.maximum(tree.children_right, 0),
                tree.missing_go_to_left.astype(bool),
                np.where(leaf[:, None], learning_rate * values, 0.0),
            )
        )
    return trees


def gradient_boosting(x, y):
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(n_estimators=40, max_depth=4, random_state=0).fit(x, y > 0)
    trees = as_trees(model.estimators_[:, 0], None, model.learning_rate)
    prior = float((y > 0).mean())
    return model, Forest(trees, np.array([np.log(prior / (1 - prior))])), lambda a: model.decision_function(a)[:, None]


def random_forest_classifier(x, y):
    from sklearn.ensemble import RandomForestClassifier

    classes = np.digitize(y, [-1.0, 1.0])
    model = RandomForestClassifier(n_estimators=20, max_depth=7, random_state=0).fit(x, classes)
    return model, Forest(as_trees(model.estimators_, 0, 1 / 20), np.zeros(3)), model.predict_proba


def random_forest_regressor(x, y):
    from sklearn.ensemble import RandomForestRegressor

    model = RandomForestRegressor(n_estimators=10, random_state=0).fit(x, y)
    trees = as_trees(model.estimators_, None, 1 / 10)
    return model, Forest(trees, np.zeros(1)), lambda a: model.predict(a)[:, None]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 8)).astype(np.float32)
    x[:, 3] = np.round(x[:, 3])  # values that stand exactly on thresholds' sides
    y = x[:, 0] * x[:, 1] + np.sin(2 * x[:, 2]) + 0.5 * x[:, 3] + 0.1 * rng.normal(size=400)
    return x, y


@pytest.mark.parametrize("fit", [gradient_boosting, random_forest_classifier, random_forest_regressor])
def test_tree_shap_equals_shap_and_exact_enumeration(table, fit):
    import shap

    x, y = table
    model, forest, scores = fit(x, y)
    explained, background = x[:5], x[100:130]
    np.testing.assert_allclose(forest.scores(explained.astype(np.float64)), scores(explained), atol=1e-6)
    outputs = forest.base.shape[0]
    theirs = shap.TreeExplainer(model, background, feature_perturbation="interventional").shap_values(explained)
    theirs = np.asarray(theirs).reshape(5, 8, -1)
    references = References({"x": background[None]})
    features = FeatureMap(tuple("abcdefgh"), {"x": np.arange(8)})
    method = catalogue()["tree_shap"]
    for output in range(outputs):
        rows = Rows({"x": explained}, np.full(5, output), references, features)
        ours = attribute(method, forest, rows, method.params())
        np.testing.assert_allclose(ours.values, theirs[:, :, output], atol=1e-5)
        np.testing.assert_allclose(ours.values.sum(axis=1), ours.scores - ours.base_values, atol=1e-9)
        game = Game(forest, {"x": explained[:1]}, references.of_row(0), features, np.array([output]))
        exact = exact_shapley(game, ExactShapleyParams()).values[:, 0]
        np.testing.assert_allclose(ours.values[0], exact, atol=1e-9)


@pytest.mark.parametrize("kind", ["boosting", "forest"])
def test_tree_shap_on_an_onnx_file_equals_sampling_on_onnx_runtime(table, kind, tmp_path):
    skl2onnx = pytest.importorskip("skl2onnx")
    from runtimes.frameworks import onnx_runtime

    x, y = table
    model, _, _ = (gradient_boosting if kind == "boosting" else random_forest_classifier)(x, y)
    path = tmp_path / "model.onnx"
    path.write_bytes(skl2onnx.to_onnx(model, x[:1], options={"zipmap": False}).SerializeToString())
    score = "log_odds" if kind == "boosting" else "probability"
    method = catalogue()["tree_shap"]
    facts = onnx_runtime.inspect(path)
    handle = onnx_runtime.open_model(path, View(score=score))
    features = FeatureMap(("ab", "c", "d", "e", "f", "gh"), {handle.input_name: np.array([0, 0, 1, 2, 3, 4, 5, 5])})
    references = References({handle.input_name: x[None, 100:120]})
    rows = Rows({handle.input_name: x[:4]}, np.array([0, 1, 1, 0]), references, features)
    exact, by_trees = catalogue()["exact_shapley"], attribute(method, handle, rows, method.params())
    assert method.admits(facts, None, score) is None
    asked = attribute(exact, handle, rows, exact.params())
    # The file holds float32 leaves, and ONNX Runtime adds them in float32.
    np.testing.assert_allclose(by_trees.values, asked.values, atol=1e-5)
    assert np.abs(by_trees.values).max() > 0.01
