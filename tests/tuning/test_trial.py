"""One candidate, with a NumPy model whose attributions are known in closed form."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.tuning.trial import Examination, bootstrap_error, explain, recipe_of, run_trial
from runtimes.capabilities import Recipe, View

LOGIT = View("logit")


def method(name: str, **params):
    declaration = catalogue()[name]
    return declaration, declaration.params(**params)


def test_with_one_method_the_candidate_is_compared_with_the_audited_model(trainable, labelled, explained) -> None:
    train, validation = labelled
    audited = trainable.train(Recipe({}, epochs=200), train, validation, 3).open_view(LOGIT)
    # Integrated gradients of a linear score from a zero reference are w * x, exactly.
    reference = audited.weights * explained.inputs["x"]
    examination = Examination(
        explained, LOGIT, [method("integrated_gradients")], [method("rank_correlation")],
        {"integrated_gradients": reference},
    )  # fmt: skip
    same = run_trial(trainable, Recipe({}, epochs=200), train, validation, examination, 3)
    assert same.metrics["agreement.rank_correlation"] == pytest.approx(1.0)
    assert same.standard_errors["agreement.rank_correlation"] == pytest.approx(0.0)
    blind = run_trial(trainable, Recipe({"layers.mask.column": 0}, epochs=200), train, validation, examination, 3)
    assert blind.metrics["agreement.rank_correlation"] < 0.95
    assert blind.metrics["validation.loss"] > same.metrics["validation.loss"]


def test_with_several_methods_every_pair_is_compared_on_the_candidate(trainable, labelled, explained) -> None:
    train, validation = labelled
    model = trainable.train(Recipe({}, epochs=50), train, validation, 3).open_view(LOGIT)
    methods = [method("integrated_gradients"), method("occlusion"), method("saliency")]
    metrics, errors = explain(model, Examination(explained, LOGIT, methods, [method("top_k_overlap", k=1)]))
    # On a linear score occlusion = integrated gradients = w * x, so that pair overlaps in every row; saliency is |w|,
    # whose largest entry is always the first: each row gives [1, s, s], s = 1 where |w x| is largest at feature 0.
    top = np.abs(model.weights * explained.inputs["x"]).argmax(axis=1)
    row = (top == np.abs(model.weights).argmax()).astype(float)
    expected = np.median(np.stack([np.ones(10), row, row], axis=1))
    assert metrics == {"agreement.top_k_overlap": pytest.approx(expected)}
    assert set(errors) == set(metrics)


def test_validation_metrics_and_their_errors_are_those_of_the_held_out_rows(trainable, labelled, explained) -> None:
    train, validation = labelled
    result = run_trial(trainable, Recipe({}, epochs=30), train, validation, Examination(explained, LOGIT, [], []), 3)
    model = trainable.train(Recipe({}, epochs=30), train, validation, 3).open_view(View("probability"))
    p = model.predict(validation.inputs)
    losses = [-np.log(p[row, label]) for row, label in enumerate(validation.labels)]
    right = [float(p[row].argmax() == label) for row, label in enumerate(validation.labels)]
    assert result.metrics == {
        "validation.loss": pytest.approx(np.mean(losses)),
        "validation.accuracy": pytest.approx(np.mean(right)),
    }
    assert result.standard_errors == {
        "validation.loss": pytest.approx(np.std(losses, ddof=1) / np.sqrt(80)),
        "validation.accuracy": pytest.approx(np.std(right, ddof=1) / np.sqrt(80)),
    }
    assert (result.parameters, len(result.history)) == (5, 30)
    assert type(result).from_dict(result.to_dict()) == result


def test_a_comparison_with_the_audited_model_needs_its_values(explained) -> None:
    with pytest.raises(ValueError, match="the audited model's values"):
        Examination(explained, LOGIT, [method("saliency")], [method("rank_correlation")])


def test_a_method_for_trees_cannot_explain_a_candidate(trainable, labelled, explained) -> None:
    model = trainable.train(Recipe({}, epochs=1), *labelled, 3).open_view(LOGIT)
    methods = [method("tree_shap"), method("saliency")]
    with pytest.raises(ValueError, match="tree_shap"):
        explain(model, Examination(explained, LOGIT, methods, [method("rank_correlation")]))


def test_the_bootstrap_error_of_a_median_matches_its_theory() -> None:
    # The median of n normal values has standard error 1.2533 / sqrt(n): 0.0886 for 200.
    values = np.random.default_rng(0).normal(size=(200, 1))
    assert bootstrap_error(values, np.random.default_rng(1)) == pytest.approx(0.0886, rel=0.35)
    values = np.vstack([values, np.full((5, 1), np.nan)])
    assert bootstrap_error(values, np.random.default_rng(1)) == pytest.approx(0.0886, rel=0.35)
    assert np.isnan(bootstrap_error(np.array([[1.0], [np.nan]]), np.random.default_rng(1)))


def test_a_recipe_takes_what_it_has_a_place_for() -> None:
    recipe = recipe_of({"fit.batch_size": 64, "layers.dense.units": 8}, epochs=5, batch_size=32)
    assert recipe == Recipe({"layers.dense.units": 8}, epochs=5, batch_size=64)
    assert recipe_of({"fit.epochs": 9.0}, 5, 32) == Recipe({}, 9, 32)
