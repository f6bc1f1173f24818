"""Influence of training rows in a surrogate: held to fitting it again without each row, and to models that it can follow."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import UnfitParams
from pgx_compiler.methods.perturbation._leave_one_out import most_like, regress
from tests.methods.tables import Column, run, spent_by, table_of

METHOD = catalogue()["surrogate_influence"]


def measured(report):
    return {measure.name: measure.value for measure in report.measures}


def columns(n=160, seed=2):
    rng = np.random.default_rng(seed)
    return [
        Column("a", rng.uniform(-1, 1, n)),
        Column("kind", rng.integers(0, 3, n), ("x", "y", "z"), "one_hot"),
        Column("noise", rng.normal(size=n)),
    ]


def classifier(labels, *, test=40, score="probability", explained=3):
    """Two classes by the sign of a; its answers are smooth."""

    def formula(z):
        share = 1 / (1 + np.exp(-6 * z[:, 0]))
        return np.stack([1 - share, share], axis=1)

    made = columns()
    told = labels(np.asarray(made[0].values))
    return table_of(formula, made, labels=told, test=test, classes=("no", "yes"), outputs=("no", "yes"), focus=(1,), score=score, explained=explained)  # fmt: skip


def test_leaving_a_row_out_of_the_formula_is_fitting_again_without_it():
    rng = np.random.default_rng(0)
    points, asked = rng.normal(size=(30, 2)), rng.normal(size=(4, 2))
    told = rng.normal(size=(30, 2))

    def like(one, other):
        return np.exp(-((one[:, None] - other[None]) ** 2).sum(axis=2))

    whole = regress(like(points, points), told, 0.7)
    kernel = like(asked, points)
    np.testing.assert_allclose(whole.weights(kernel).sum(axis=1), 1.0)
    np.testing.assert_allclose(whole.weights(kernel) @ told, whole.answers(kernel))
    for row in range(30):
        rest = np.arange(30) != row
        again = regress(like(points[rest], points[rest]), told[rest], 0.7)
        np.testing.assert_allclose(told[row] - again.answers(like(points[row : row + 1], points[rest]))[0], whole.surprises[row])  # fmt: skip
        change = whole.answers(kernel) - again.answers(kernel[:, rest])
        np.testing.assert_allclose(whole.weights(kernel)[:, [row]] * whole.surprises[row], change, atol=1e-12)


def test_the_penalty_is_the_one_whose_answers_without_each_row_are_nearest_to_the_wanted():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(40, 1))
    kernel = np.exp(-((points - points.T) ** 2))
    told = rng.normal(size=(40, 1))
    for penalty in (0.1, 3.0, 30.0):
        wanted = told - regress(kernel, told, penalty).surprises
        assert most_like(kernel, told, wanted, (0.1, 0.3, 3.0, 30.0)).penalty == penalty


@pytest.mark.parametrize("learns", ["labels", "answers"])
def test_a_model_that_follows_its_labels_is_followed(learns):
    report = run(METHOD, classifier(lambda a: (a > 0).astype(int)), learns=learns)
    found = measured(report)
    assert found["fidelity"] > 0.8
    assert found["same_answer"] > 0.8
    assert not report.findings
    assert all(abs(line[2] - line[3]) < 0.4 for line in report.tables[0].rows)


def test_a_model_that_has_not_learned_from_these_labels_is_not_followed():
    drawn = np.random.default_rng(5).integers(0, 2, 160)
    report = run(METHOD, classifier(lambda _a: drawn))
    assert measured(report)["fidelity"] < 0.5
    assert [finding.code for finding in report.findings] == ["surrogate_unfaithful"]
    # its own answers it does follow, and these have nothing to do with the labels
    assert not run(METHOD, classifier(lambda _a: drawn), learns="answers").findings


def test_rows_of_the_explained_class_raise_it_and_mislabelled_neighbours_lower_it_most():
    wrong = 3

    def labels(a):
        told = (a > 0).astype(int)
        certain = np.flatnonzero(a[:120] > 0.4)[:wrong]
        told[certain] = 0
        return told

    table = classifier(labels, explained=20)
    report = run(METHOD, table)
    explained = [place for place, row in enumerate(table.explained.z) if row[0] > 0.4]
    assert explained
    mislabelled = set(map(str, np.flatnonzero(table.train.z[:, 0] > 0.4)[:wrong]))
    for place in explained:
        raising, lowering = (text.split("; ") for text in report.tables[0].rows[place][-2:])
        raised = [int(text.split()[0]) for text in raising]
        assert (report.arrays["influence"][place, raised] > 0).all()
        assert all("(yes" in text for text in raising)
        # "16 (no, model: yes) -0.05"
        assert lowering[0].split()[0] in mislabelled
    assert len({line[0] for line in report.tables[1].rows[:wrong]} & mislabelled) >= 2
    found = measured(report)
    assert found["contradicted"] == pytest.approx(wrong / 120)
    assert found["harmful_contradicted"] > found["contradicted"]


def test_influences_on_a_value_are_in_its_unit_and_scale_with_it():
    made = columns()
    a = np.asarray(made[0].values)
    reports = [
        run(METHOD, table_of(lambda z, by=by: by * z[:, 0], made, labels=by * a, test=40))
        for by in (1.0, 1024.0)  # a power of two: the same roundings
    ]
    one, other = (report.arrays["influence"] for report in reports)
    np.testing.assert_allclose(1024 * one, other, rtol=1e-9, atol=1e-9)
    assert measured(reports[0])["fidelity"] > 0.9


def test_without_unseen_rows_the_fidelity_is_that_of_rows_held_out():
    report = run(METHOD, classifier(lambda a: (a > 0).astype(int), test=0))
    fidelity = report.measures[0]
    assert "training rows held out" in fidelity.title
    assert fidelity.n == 160 // 5
    assert fidelity.value > 0.7


def test_no_labels_are_said_and_labels_are_not_compared_with_margins():
    table = table_of(lambda z: z[:, 0], columns())
    assert run(METHOD, table).measures[0].reason == "the training data has no labels"
    assert measured(run(METHOD, table, learns="answers"))["fidelity"] > 0.9
    with pytest.raises(UnfitParams, match="learns: answers"):
        run(METHOD, classifier(lambda a: (a > 0).astype(int), score="value"))


def test_a_constant_model_has_no_influence_of_answers_and_no_fidelity():
    report = run(METHOD, table_of(lambda z: 0 * z[:, 0] + 3.3, columns(), test=40), learns="answers")
    assert measured(report)["fidelity"] is None
    assert measured(report)["largest_influence"] == 0.0
    assert report.tables[0].rows[0][-2:] == ("", "")
    assert report.tables[1].rows == ()


def test_planned_rows_are_spent_and_the_seed_decides():
    table = classifier(lambda a: (a > 0).astype(int))
    assert spent_by(METHOD, table) == (120 + 40 + 3, 120 + 40 + 3)
    assert spent_by(METHOD, table, rows=50) == (50 + 40 + 3, 50 + 40 + 3)
    one, two, other = (run(METHOD, table, seed, rows=50) for seed in (1, 1, 2))
    assert repr(one) == repr(two)
    assert one.measures != other.measures
