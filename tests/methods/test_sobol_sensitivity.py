"""Variance-based sensitivity against analytic indices."""

import numpy as np
import pytest

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.perturbation.sobol_sensitivity import points
from tests.methods.tables import Column, mixed_columns, run, spent_by, table_of, values_of

METHOD = catalogue()["sobol_sensitivity"]


def uniform(n=8192, features="abc"):
    rng = np.random.default_rng(0)
    return [Column(name, rng.permutation((np.arange(n) + 0.5) / n)) for name in features]


def ishigami(z):
    x = np.pi * (2 * z - 1)
    return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])


def test_the_ishigami_function_has_its_analytic_indices():
    # a = 7, b = 0.1: V = a²/8 + b pi⁴/5 + b² pi⁸/18 + 1/2 = 13.8446; V1 = (1 + b pi⁴/5)²/2, V2 = a²/8,
    # V13 = b² pi⁸ (1/18 - 1/50). First order 0.3139, 0.4424, 0; total 0.5576, 0.4424, 0.2437.
    # SALib 1.6.0 at 1024 points: first 0.3156, 0.4383, 0.0014; total 0.5575, 0.4426, 0.2451.
    report = run(METHOD, table_of(ishigami, uniform()))
    first, total = values_of(report, "first_order_"), values_of(report, "total_order_")
    assert [first[f] for f in "abc"] == pytest.approx([0.3139, 0.4424, 0.0], abs=0.02)
    assert [total[f] for f in "abc"] == pytest.approx([0.5576, 0.4424, 0.2437], abs=0.02)
    assert values_of(report, "interaction_share")[""] == pytest.approx(0.2437, abs=0.03)


def test_more_points_come_nearer():
    found = values_of(run(METHOD, table_of(ishigami, uniform()), samples=8192), "first_order_")
    assert [found[f] for f in "abc"] == pytest.approx([0.3139, 0.4424, 0.0], abs=0.005)


def test_intervals_and_standard_errors_hold_the_truth():
    truth = {"first_order_a": 0.3139, "first_order_b": 0.4424, "first_order_c": 0.0, "total_order_a": 0.5576}
    for seed in range(3):
        for measure in run(METHOD, table_of(ishigami, uniform()), seed).measures:
            if measure.name in truth:
                assert abs(measure.value - truth[measure.name]) < 3 * measure.standard_error
                assert measure.interval[0] < truth[measure.name] < measure.interval[1]


def test_categories_are_drawn_as_often_as_they_occur():
    # c is 1 in a tenth of the rows: variance 9 * 0.1 * 0.9 = 0.81 for 3 c, and 1 / 12 for x: shares 0.9067 and 0.0933.
    n = 4000
    rng = np.random.default_rng(1)
    code = rng.permutation((np.arange(n) < n // 10).astype(int))
    columns = [Column("c", code, ("no", "yes"), "one_hot"), Column("x", rng.permutation((np.arange(n) + 0.5) / n))]
    report = run(METHOD, table_of(lambda z: 3 * z[:, 0] + z[:, 1], columns), samples=4096)
    for prefix in ("first_order_", "total_order_"):
        found = values_of(report, prefix)
        assert found["c"] == pytest.approx(0.9067, abs=0.02)
        assert found["x"] == pytest.approx(0.0933, abs=0.02)
    assert values_of(report, "interaction_share")[""] == pytest.approx(0.0, abs=0.02)


def test_a_feature_that_is_not_read_has_exactly_no_share():
    report = run(METHOD, table_of(lambda z: z[:, 0] * z[:, 1], mixed_columns()))
    assert values_of(report, "first_order_")["unread"] == values_of(report, "total_order_")["unread"] == 0.0


def test_variances_are_summed_over_the_reported_outputs():
    # outputs a and 2 b: variances 1 and 4 parts of 5
    table = table_of(lambda z: np.stack([z[:, 0], 2 * z[:, 1]], axis=1), uniform(), outputs=("p", "q"), focus=(0, 1))
    found = values_of(run(METHOD, table), "total_order_")
    assert [found[f] for f in "abc"] == pytest.approx([0.2, 0.8, 0.0], abs=0.01)


def test_missing_values_are_drawn_like_others_and_constants_do_nothing():
    x = np.where(np.arange(400) % 4 == 0, np.nan, np.arange(400.0) % 3)
    columns = [Column("x", x), Column("same", np.ones(400)), Column("y", np.random.default_rng(0).normal(size=400))]
    report = run(METHOD, table_of(lambda z: np.isnan(z[:, 0]) + z[:, 2] / 10, columns), samples=4096)
    found = values_of(report, "total_order_")
    # missing in a fourth of the rows: variance 3 / 16, against about 1 / 100
    assert found["x"] == pytest.approx(0.1875 / (0.1875 + 0.01 * np.var(columns[2].values)), abs=0.02)
    assert found["same"] == 0.0


def test_a_constant_score_has_no_shares():
    report = run(METHOD, table_of(lambda z: 0 * z[:, 0] + 7.1, mixed_columns()))
    assert {m.value for m in report.measures} == {None}
    assert all(m.reason for m in report.measures)


def test_planned_rows_are_spent_and_the_same_seed_gives_the_same_bytes():
    table = table_of(lambda z: z[:, 0] * z[:, 1], mixed_columns())
    assert [points(METHOD.params(samples=n)) for n in (16, 17, 1000, 1024)] == [16, 32, 1024, 1024]
    assert spent_by(METHOD, table) == (1024 * 7, 1024 * 7)
    assert spent_by(METHOD, table, samples=100) == (128 * 7, 128 * 7)
    one, two, other = (run(METHOD, table, seed, samples=64) for seed in (1, 1, 2))
    assert one.measures == two.measures
    assert one.measures != other.measures
