"""Several targets in one audit: no further model rows, and of each class what an audit of that class alone gives."""

import numpy as np
import pytest

from pgx_compiler import driver
from pgx_compiler.audit import load
from tests.tests_project import make_project, write_spec

DIGITS = {
    "model.keras": None,
    "tuning": None,
    "gates": None,
    "faithfulness": None,
    "agreement": None,
    "strategy.expectations": None,
    "precaution": [{"use": "class_balance"}],
    "explain.rows": {"from": "test", "sample": 2},
    "explain.features": {"superpixels": "patches", "size": 4},
    "explain.perturbation": [
        {"use": "kernel_shap", "with": {"samples": 200}},
        {"use": "lime", "with": {"samples": 200}},
        {"use": "occlusion"},
    ],
    "explain.gradient": None,
    "factsheet": {"formats": ["json", "html"]},
}
STEPS = ("kernel_shap", "lime", "occlusion")
TREES = {
    "gates": None,
    "precaution": [{"use": "class_balance"}],
    "explain.rows": {"from": "test", "sample": 4},
    "explain.fill": {"kind": "background", "size": 6},
    "explain.perturbation": [
        {"use": "shapley_values"},
        {"use": "kernel_shap", "with": {"samples": 100}},
        {"use": "occlusion"},
    ],
    "agreement": [{"use": "rank_correlation"}],
    "faithfulness": [{"use": "deletion"}],
    "factsheet": {"formats": ["json"]},
}

pytestmark = pytest.mark.frameworks


def run(folder, name, changes, **target):
    spec = write_spec(folder, name, {**changes, **{f"explain.{key}": value for key, value in target.items()}})
    ran = driver.run(spec, folder / "out", engine="inline")
    assert driver.exit_status(ran) == 0
    return load(ran.folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.delenv("PGX_STORE", raising=False)
    yield lambda name: make_project(tmp_path_factory.mktemp(name))
    patch.undo()


@pytest.fixture(scope="module")
def every(project):
    return run(project("every"), "digits", DIGITS, target="all")


@pytest.fixture(scope="module")
def three(project):
    return run(project("three"), "digits", DIGITS, target="3")


def test_all_ten_classes_take_the_model_rows_of_one(every, three):
    costs = [
        {e.step: (e.cost_planned["forward"], e.cost_spent["forward"]) for e in audit.factsheet.explanations}
        for audit in (every, three)
    ]
    assert costs[0] == costs[1]
    assert all(planned == spent for planned, spent in costs[0].values())


@pytest.mark.parametrize("step", STEPS)
def test_a_class_gets_what_an_audit_of_it_alone_gives(every, three, step):
    together, alone = every.arrays(step), three.arrays(step)
    assert together["values_all"].shape == (2, 49, 10)
    assert (together["targets_all"] == np.arange(10)).all()
    np.testing.assert_allclose(together["values_all"][:, :, 3], alone["values"], atol=1e-9)
    np.testing.assert_allclose(together["base_values_all"][:, 3], alone["base_values"], atol=1e-9)
    np.testing.assert_allclose(together["scores_all"][:, 3], alone["scores"], atol=1e-9)
    assert ("standard_error_all" in together) == ("standard_error" in alone)
    if "standard_error" in alone:
        np.testing.assert_allclose(together["standard_error_all"][:, :, 3], alone["standard_error"], atol=1e-9)
    assert not [name for name in alone if name.endswith("_all")]


@pytest.mark.parametrize("step", STEPS)
def test_of_all_classes_the_predicted_one_is_compared_and_judged(every, step):
    arrays = every.arrays(step)
    predicted = arrays["scores_all"].argmax(axis=1)
    assert (arrays["targets"] == predicted).all()
    for row, at in enumerate(predicted):
        np.testing.assert_array_equal(arrays["values"][row], arrays["values_all"][row, :, at])
        assert arrays["base_values"][row] == arrays["base_values_all"][row, at]
        assert arrays["scores"][row] == arrays["scores_all"][row, at]


def test_the_fidelity_of_a_surrogate_is_that_of_the_target_not_a_mean_over_classes(project, every):
    predicted = run(project("predicted"), "digits", DIGITS, target="predicted")
    for name in ("note_fidelity", "note_gap"):
        np.testing.assert_allclose(every.arrays("lime")[name], predicted.arrays("lime")[name], atol=1e-9)
    fact = "explain.lime.fidelity"
    assert every.facts[fact].value == pytest.approx(predicted.facts[fact].value)


def test_the_factsheet_shows_where_the_model_looks_for_each_class(every):
    (entry,) = [e for e in every.factsheet.explanations if e.step == "occlusion"]
    assert entry.target == "each row's predicted class"
    assert entry.targets == [str(digit) for digit in range(10)] == entry.by_target.targets
    magnitude = np.abs(every.arrays("occlusion")["values_all"]).mean(axis=0)
    np.testing.assert_allclose(np.array(entry.by_target.mean_absolute).T, magnitude)
    page = (every.folder / "factsheet.html").read_text()
    assert page.count("Mean magnitude for each class explained") == len(STEPS)
    assert "Mean magnitude by Occlusion for 3, where it lies on the input" in page


def test_a_list_explains_its_classes_and_the_first_is_what_everything_else_is_about(project):
    both = run(project("both"), "german-credit-trees", TREES, target=["bad", "good"])
    alone = run(project("bad"), "german-credit-trees", TREES, target="bad")
    for step in ("shapley_values", "kernel_shap", "occlusion"):
        found = both.arrays(step)
        np.testing.assert_allclose(found["values"], alone.arrays(step)["values"], atol=1e-9)
        assert found["targets_all"].tolist() == [[1, 0]] * 4
        # two classes: the log-odds of one are those of the other with the other sign
        np.testing.assert_allclose(found["values_all"][:, :, 1], -found["values"], atol=1e-9)
    exact = both.arrays("shapley_values")
    np.testing.assert_allclose(
        exact["values_all"].sum(axis=1), exact["scores_all"] - exact["base_values_all"], atol=1e-5
    )
    for name in ("agreement", "faithfulness"):
        said = [[(e.step, e.median) for e in getattr(audit.factsheet, name)] for audit in (both, alone)]
        assert said[0] == [(step, pytest.approx(median, abs=1e-6)) for step, median in said[1]]
    entry = both.factsheet.explanations[0]
    assert (entry.target, entry.targets, len(entry.by_target.features)) == ("class bad", ["bad", "good"], 15)
    assert entry.by_target.features_left_out == 5


def test_words_stand_for_a_class_of_each_rows_own(project):
    audit = run(project("words"), "german-credit-trees", TREES, target=["label", "predicted"])
    rows, found = audit.arrays("rows"), audit.arrays("occlusion")
    assert (found["targets_all"] == np.stack([rows["labels"], rows["predicted"]], axis=1)).all()
    assert (found["targets"] == rows["labels"]).all()
    assert audit.factsheet.explanations[0].targets == ["each row's true class", "each row's predicted class"]


def nodes(folder, name, **changes):
    return driver.compile(write_spec(folder, name, {f"explain.{key}": value for key, value in changes.items()})).graph


def test_a_list_of_one_and_a_single_word_are_the_same_work(project):
    folder = project("plans")
    one, listed = (nodes(folder, "german-credit-trees", target=target) for target in ("bad", ["bad"]))
    assert [node.key for node in one] == [node.key for node in listed]
    assert set(one["rows"].params) == {"select", "target", "task", "classes"}


def test_gradient_methods_explain_every_target_at_the_price_of_each(project):
    folder = project("gradients")
    one, several = (nodes(folder, "digits", target=target) for target in ("3", ["3", "8"]))
    for step in ("integrated_gradients", "saliency"):
        alone, both = one[f"explain.{step}"].cost, several[f"explain.{step}"].cost
        assert both["backward"] == 2 * alone["backward"]
        assert not several[f"explain.{step}"].note
    assert one["explain.kernel_shap"].cost == several["explain.kernel_shap"].cost


def test_of_more_than_ten_targets_gradient_methods_explain_the_first_and_say_so(project):
    folder = project("many")
    one, many = (nodes(folder, "digits", target=target) for target in ("3", [*"3012456789", "predicted"]))
    for step in ("integrated_gradients", "saliency"):
        assert "of so many targets the first alone" in many[f"explain.{step}"].note
        assert one[f"explain.{step}"].cost == many[f"explain.{step}"].cost
