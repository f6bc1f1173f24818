"""Expected gradients against closed forms, integrated gradients, and their own spread over seeds."""

import numpy as np
import pytest

from pgx_compiler.methods.apply import attribute
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.gradient.expected_gradients import ExpectedGradientsParams, expected_gradients
from pgx_compiler.methods.gradient.integrated_gradients import IntegratedGradientsParams, integrated_gradients
from pgx_compiler.modalities.features import FeatureMap, References, Rows
from tests.methods.models import Linear, Mlp


def rows_of(references, rows=2, columns=3, seed=0):
    rng = np.random.default_rng(seed)
    owners = FeatureMap(tuple("abcdef"[:columns]), {"x": np.arange(columns)})
    others = References({"x": rng.normal(size=(1, references, columns))})
    return Rows({"x": rng.normal(size=(rows, columns))}, np.zeros(rows, np.int64), others, owners)


def curved(columns=3, seed=1):
    rng = np.random.default_rng(seed)
    return Mlp(rng.normal(size=(columns, 4)), rng.normal(size=4), rng.normal(size=(4, 1)))


def test_a_linear_model_and_one_reference_leave_nothing_to_chance():
    # (x - reference) w whatever the points are: no error at all.
    rows, model = rows_of(references=1), Linear(np.array([[2.0], [-1.0], [0.0]]), 5.0)
    found = expected_gradients(model, rows, ExpectedGradientsParams(), np.random.default_rng(0))
    expected = (rows.inputs["x"] - rows.references.inputs["x"][0, 0]) * [2.0, -1.0, 0.0]
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    np.testing.assert_allclose(found.standard_error, 0.0, atol=1e-12)
    np.testing.assert_allclose(found.notes["sum_error"], 0.0, atol=1e-12)


def test_references_that_fit_a_drawing_are_all_taken_equally_often():
    # 200 samples are ten drawings of 20; each takes five references four times: the mean over them is exact.
    rows, model = rows_of(references=5), Linear(np.array([[2.0], [-1.0], [0.5]]))
    found = expected_gradients(model, rows, ExpectedGradientsParams(), np.random.default_rng(0))
    expected = (rows.inputs["x"] - rows.references.inputs["x"][0].mean(axis=0)) * [2.0, -1.0, 0.5]
    np.testing.assert_allclose(found.values, expected, atol=1e-12)


@pytest.mark.parametrize("references", [1, 7, 60])
def test_the_standard_errors_are_the_spread_over_seeds(references):
    rows, model = rows_of(references), curved()
    truth = integrated_gradients(model, rows, IntegratedGradientsParams(steps=128))["x"]
    runs = [expected_gradients(model, rows, ExpectedGradientsParams(), np.random.default_rng(s)) for s in range(80)]
    off = np.array([run.values - truth for run in runs])
    said = np.array([run.standard_error for run in runs])
    assert np.sqrt((said**2).mean() / (off**2).mean()) == pytest.approx(1.0, abs=0.15)
    assert (np.abs(off.mean(axis=0)) <= 4 * off.std(axis=0) / np.sqrt(80)).all()
    sums = np.array([run.notes["sum_error"] for run in runs])
    assert np.sqrt((sums**2).mean() / (off.sum(axis=2) ** 2).mean()) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(("references", "times"), [(1, 10.0), (7, 1.5), (20, 1.5)])
def test_points_that_are_spread_evenly_err_less_than_points_drawn_one_by_one(references, times):
    # The paper draws each point on its own; its standard error is that of a plain mean of 200.
    rows, model, rng = rows_of(references, rows=1), curved(), np.random.default_rng(0)
    start = rows.references.inputs["x"][0][rng.integers(0, references, 20_000)]
    way = rows.inputs["x"] - start
    point = start + rng.random((20_000, 1)) * way
    plain = (way * model.slopes(point, np.zeros(20_000, np.int64))).std(axis=0) / np.sqrt(200)
    runs = [expected_gradients(model, rows, ExpectedGradientsParams(), np.random.default_rng(s)) for s in range(40)]
    ours = np.array([run.values[0] for run in runs]).std(axis=0)
    assert (ours < plain / times).all()


def test_rows_are_explained_alike_in_calls_of_any_size():
    rows = rows_of(references=3, rows=3)
    small, large = curved(), curved()
    small.rows_per_call, large.rows_per_call = 7, 10_000
    one, other = (
        expected_gradients(model, rows, ExpectedGradientsParams(samples=53), np.random.default_rng(2))
        for model in (small, large)
    )
    np.testing.assert_allclose(one.values, other.values, atol=1e-12)
    np.testing.assert_allclose(one.standard_error, other.standard_error, atol=1e-12)
    assert small.largest_call <= 7
    assert small.spent.backward == 3 * 50  # 53 rounded down to a multiple of ten


def test_rows_with_features_of_their_own_are_summed_onto_them():
    # Row 0 has two features, row 1 one; what is absent gets zero.
    owners = FeatureMap(("s1", "s2"), {"x": np.array([[0, 0, 1], [0, 0, 0]])}, {}, np.array([2, 1]))
    plain = rows_of(references=4)
    rows = Rows(plain.inputs, plain.target, plain.references, owners)
    drawn = {"params": ExpectedGradientsParams()}
    whole = expected_gradients(curved(), plain, **drawn, rng=np.random.default_rng(3)).values
    found = expected_gradients(curved(), rows, **drawn, rng=np.random.default_rng(3)).values
    np.testing.assert_allclose(found, [[whole[0, :2].sum(), whole[0, 2]], [whole[1].sum(), 0.0]], atol=1e-12)


def test_the_gap_lies_within_the_error_that_is_told_of_the_sum():
    declaration, rows, model = catalogue()["expected_gradients"], rows_of(references=60, rows=5), curved()
    found = [attribute(declaration, model, rows, declaration.params(), seed) for seed in range(40)]
    off = np.array([f.values.sum(axis=1) - (f.scores - f.base_values) for f in found])
    said = np.array([f.notes["sum_error"] for f in found])
    assert 0.88 <= (np.abs(off) <= 2.26 * said).mean() <= 0.99  # Student's t of nine degrees: 95 %
