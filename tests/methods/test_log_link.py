"""Models with a log link: exact values below the Exp against all coalitions, and what stands beside labels or needs a sum."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from pgx_compiler.methods.algorithms import best_first, refusal_by_model
from pgx_compiler.methods.apply import attribute, row_rng
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Shape, UnfitParams
from pgx_compiler.methods.gradient._tf_explain import admits as seen_by_tf_explain
from pgx_compiler.methods.perturbation.shapley_interactions import ShapleyInteractionsParams, shapley_interactions
from pgx_compiler.modalities.features import FIXED, FeatureMap, References, Rows
from pgx_compiler.modalities.game import game_of_row
from runtimes.capabilities import View
from runtimes.frameworks.reference import ReferenceModel, random_network
from tests.log_link_models import READ, ROWS, WEIGHTS
from tests.methods.models import facts
from tests.methods.tables import Column, run, table_of

LINEAR = [name for name, case in READ.items() if case.capability == "LinearModel"]
TREES = [name for name, case in READ.items() if case.capability == "TreeEnsemble"]
EXPLAINED = 4
GOLDEN = Path(__file__).parent / "golden"


def opened(name, tmp_path, score="log_value"):
    from runtimes.frameworks import onnx_runtime

    path = tmp_path / "model.onnx"
    onnx.save(READ[name].make(), path)
    return onnx_runtime.inspect(path), onnx_runtime.open_model(path, View(score, "regression"))


def rows_of(owners=(0, 0, 1, 2, 3)):
    """Four rows, sixteen others as references; the first two columns are one feature."""
    names = tuple(f"f{k}" for k in range(max(owners) + 1))
    return Rows(
        {"x": ROWS[:EXPLAINED]},
        np.zeros(EXPLAINED, np.int64),
        References({"x": ROWS[None, EXPLAINED:20]}),
        FeatureMap(names, {"x": np.array(owners)}),
    )


@pytest.mark.frameworks
@pytest.mark.parametrize("owners", [(0, 0, 1, 2, 3), (0, 1, 2, FIXED, 3)])
@pytest.mark.parametrize("name", [*LINEAR, *TREES])
def test_values_below_the_exp_are_those_of_all_coalitions_and_add_up_in_logarithms(name, owners, tmp_path):
    told, handle = opened(name, tmp_path)
    method = catalogue()["linear_shap" if name in LINEAR else "tree_shap"]
    assert method.admits(told, Shape(4, 4), "log_value") is None
    rows, exact = rows_of(owners), catalogue()["exact_shapley"]
    before = handle.spent.forward
    values = method.function(handle, rows, method.params()).values
    assert handle.spent.forward == before
    asked = attribute(exact, handle, rows, exact.params())
    np.testing.assert_allclose(values, asked.values, atol=2e-6)
    if FIXED not in owners:
        logs = READ[name].logs
        apart = logs(ROWS[:EXPLAINED]) - logs(ROWS[EXPLAINED:20]).mean()
        np.testing.assert_allclose(values.sum(axis=1), apart, atol=5e-6)
        assert np.abs(apart).max() > 0.1


@pytest.mark.frameworks
@pytest.mark.parametrize("name", ["lightgbm_poisson", "xgboost_poisson", "xgboost_tweedie"])
def test_converted_trees_of_counts_are_explained_as_shap_explains_the_original(name):
    # README.md of the folder has the script. XGBoost's converter writes the base score as a factor behind the Exp.
    from runtimes.frameworks import onnx_runtime

    held, path = np.load(GOLDEN / "log_links.npz"), GOLDEN / f"{name}.onnx"
    handle = onnx_runtime.open_model(path, View("log_value", "regression"))
    np.testing.assert_allclose(handle.predict({"x": held["explained"]})[:, 0], held[f"{name}_logs"], atol=1e-5)
    plain = onnx_runtime.open_model(path, View("value", "regression"))
    np.testing.assert_allclose(plain.predict({"x": held["explained"]})[:, 0], held[f"{name}_answers"], rtol=1e-5)
    features = FeatureMap(tuple("abcdefgh"), {"x": np.arange(8)})
    rows = Rows({"x": held["explained"]}, np.zeros(6, np.int64), References({"x": held["background"][None]}), features)
    method = catalogue()["tree_shap"]
    ours = attribute(method, handle, rows, method.params())
    np.testing.assert_allclose(ours.values, held[f"{name}_values"], atol=1e-5)
    np.testing.assert_allclose(ours.values.sum(axis=1), ours.scores - ours.base_values, atol=1e-5)


@pytest.mark.frameworks
@pytest.mark.parametrize("name", LINEAR)
def test_a_generalised_linear_model_has_its_coefficient_times_the_distance(name, tmp_path):
    _, handle = opened(name, tmp_path)
    method = catalogue()["linear_shap"]
    values = method.function(handle, rows_of((0, 1, 2, 3, 4)), method.params()).values
    expected = WEIGHTS[:, 0] * (ROWS[:EXPLAINED] - ROWS[EXPLAINED:20].mean(axis=0))
    np.testing.assert_allclose(values, expected, atol=1e-6)
    # exp of a value is the factor between the row's answer and that with the column at the references' mean
    answer = opened(name, tmp_path, "value")[1].predict
    moved = ROWS[:1].copy()
    moved[0, 2] = ROWS[EXPLAINED:20, 2].mean()
    factor = float(answer({"x": ROWS[:1]})[0, 0] / answer({"x": moved})[0, 0])
    assert np.exp(values[0, 2]) == pytest.approx(factor, rel=1e-5)


@pytest.mark.frameworks
@pytest.mark.parametrize("name", TREES)
def test_interactions_of_trees_below_an_exp_are_those_of_all_coalitions(name, tmp_path):
    _, handle = opened(name, tmp_path)
    rows, method = rows_of(), catalogue()["tree_shap_interactions"]
    found = method.function(handle, rows, method.params()).arrays["interactions"]
    for row in range(EXPLAINED):
        game = game_of_row(handle, rows.inputs, row, rows.references, rows.features, 0)
        told = shapley_interactions(game, ShapleyInteractionsParams(samples=2**12), np.random.default_rng(0))
        np.testing.assert_allclose(found[row], told.arrays["interactions"], atol=5e-6)


@pytest.mark.frameworks
@pytest.mark.parametrize("name", [*LINEAR, *TREES])
def test_what_the_compiler_takes_for_shapley_values_is_the_closed_form_in_logarithms_alone(name, tmp_path):
    told, _ = opened(name, tmp_path)
    own = "linear_shap" if name in LINEAR else "tree_shap"
    shape = Shape(rows=4, features=20)
    admitted, reasons = best_first("shapley_values", shape, refusal_by_model(told, shape, "log_value"))
    assert admitted[0].name == own
    admitted, reasons = best_first("shapley_values", shape, refusal_by_model(told, shape, "value"))
    assert own not in [one.name for one in admitted]
    assert "explain log_value" in str(reasons)


def test_relevance_starts_from_the_sum_below_an_exponential_and_from_no_other_logarithm():
    network = replace(facts(rows_of(), "network", {"RulePropagating"}, 1), scores=frozenset({"value", "log_value"}))
    lrp = catalogue()["lrp"]
    assert lrp.admits(replace(network, activation="exp"), Shape(4, 4), "log_value") is None
    reason = lrp.admits(replace(network, activation="softplus"), Shape(4, 4), "log_value")
    assert reason == "relevance starts from a sum, a logit or a value; `explain.score` is log_value"


@pytest.mark.parametrize("method", ["lrp", "deep_lift"])
def test_relevance_and_differences_add_up_in_logarithms(method):
    rng = np.random.default_rng(3)
    model = ReferenceModel(random_network(rng, (5, 7, 1), "relu", "exp"), View("log_value", "regression"))
    rows = Rows(
        {"x": rng.normal(size=(3, 5))},
        np.zeros(3, np.int64),
        References({"x": rng.normal(size=(1, 1, 5))}),
        FeatureMap(tuple("abcde"), {"x": np.arange(5)}),
    )
    declaration = catalogue()[method]
    found = attribute(declaration, model, rows, declaration.params())
    scores = model.predict(rows.inputs)[:, 0]
    if method == "lrp":
        # what biases absorb of the score is told as a share of its size
        np.testing.assert_allclose(
            found.values.sum(axis=1), scores - found.notes["absorbed"] * np.abs(scores), atol=1e-5
        )
        return
    start = model.predict({"x": rows.references.inputs["x"][0]})[0, 0]
    np.testing.assert_allclose(found.values.sum(axis=1), scores - start, atol=1e-9)


def counts(score, n=400, test=0):
    """Labels with the mean exp(0.8 a - 0.4 b), and a model that says so in one of the two scores."""
    rng = np.random.default_rng(6)
    x = rng.normal(size=(n, 3))
    mean = np.exp(0.8 * x[:, 0] - 0.4 * x[:, 1])
    labels = rng.poisson(mean).astype(np.float64)
    columns = [Column(name, x[:, j]) for j, name in enumerate("abc")]

    def formula(z):
        logs = 0.8 * z[:, 0] - 0.4 * z[:, 1]
        return logs if score == "log_value" else np.exp(logs)

    return labels, table_of(formula, columns, labels=labels, score=score, test=test)


@pytest.mark.parametrize("method", ["permutation_importance", "sage", "marginalised_importance"])
def test_what_predicts_labels_is_judged_in_their_unit_whatever_is_explained(method):
    told = [run(catalogue()[method], counts(score)[1]) for score in ("log_value", "value")]
    by_name = [{one.name: one.value for one in report.measures} for report in told]
    assert by_name[0].keys() == by_name[1].keys()
    for name, value in by_name[0].items():
        assert value == pytest.approx(by_name[1][name], rel=1e-9, abs=1e-9), name


def test_influence_of_labels_is_in_their_unit_whatever_is_explained():
    method = catalogue()["surrogate_influence"]
    report = run(method, counts("log_value", test=100)[1])
    assert {one.unit for one in report.measures if one.name == "largest_influence"} == {"value"}
    labels, table = counts("log_value", test=100)
    said = report.arrays["model_answer"]
    np.testing.assert_allclose(said, np.exp(table.score(table.explained.z)[:, 0]))


def test_a_counterfactual_of_counts_moves_by_the_spread_of_their_logarithms():
    labels, table = counts("log_value")
    method = catalogue()["counterfactuals"]
    said = method.function(table.row(0), method.params(), row_rng(0, 0))
    spread = np.log(labels[labels > 0]).std()
    assert 0.3 < spread < 1.2 < labels.std()
    found = said.arrays["counterfactuals"]
    z = found[~np.isnan(found).all(axis=1)]
    assert len(z)
    moved = np.abs(table.score(z)[:, 0] - table.score(table.row(0).z[None])[0, 0])
    assert (moved >= spread - 1e-9).all()
    assert any("the standard deviation of the logarithms of the labels above 0" in str(one) for one in said.statements)


def test_labels_that_are_never_above_0_leave_a_counterfactual_to_the_author():
    rng = np.random.default_rng(0)
    columns = [Column("a", rng.normal(size=50))]
    table = table_of(lambda z: z[:, 0], columns, labels=np.zeros(50), score="log_value")
    method = catalogue()["counterfactuals"]
    with pytest.raises(UnfitParams, match="say what is wanted of a regression"):
        method.function(table.row(0), method.params(), row_rng(0, 0))


def test_a_last_layer_that_is_fitted_through_a_logarithm_is_refused():
    network = facts(rows_of(), "network", {"LayerDifferentiable"}, 1)
    admits = catalogue()["last_layer_influence"].admits
    assert "through a log" in admits(replace(network, activation="exp"), Shape(4, 4), "value")
    assert "through a log" in admits(replace(network, activation="softplus"), Shape(4, 4), "log_value")
    assert admits(replace(network, activation="linear"), Shape(4, 4), "value") is None


def test_tf_explain_reads_a_logarithm_only_where_it_is_what_the_layer_gives():
    network = facts(rows_of(), "network", {"TfExplained"}, 1)
    assert seen_by_tf_explain(replace(network, activation="exp"), Shape(4, 4), "log_value") is None
    assert "no logarithm" in seen_by_tf_explain(replace(network, activation="softplus"), Shape(4, 4), "log_value")
