"""Intervals by hand and by their coverage."""

import numpy as np

from pgx_compiler.evidence.summary import bootstrap_interval, column_intervals, summarise, wilson_interval


def test_wilson_interval_by_hand():
    # 8 of 10, z = 1.96: centre (0.8 + 0.19208) / 1.38416 = 0.7167, half 0.2266 -> 0.4902 to 0.9433
    low, high = wilson_interval(8, 10)
    assert abs(low - 0.4902) < 2e-4
    assert abs(high - 0.9433) < 2e-4
    assert wilson_interval(0, 0) is None
    assert abs(wilson_interval(0, 5)[0]) < 1e-12


def test_undefined_rows_are_counted_out_and_too_few_have_no_interval():
    assert summarise(np.array([1.0, np.nan, 3.0]))["n"] == 2
    assert summarise(np.array([1.0, np.nan, 3.0]))["median"] == 2.0
    assert summarise(np.array([np.nan]))["median"] is None
    assert bootstrap_interval(np.array([1.0])) is None
    assert column_intervals(np.ones((1, 3))) is None


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        low, high = bootstrap_interval(rng.normal(size=40), "mean")
        covered += low <= 0 <= high
    # 95 % nominal; the percentile bootstrap of 40 rows is a little short of it
    assert 0.89 <= covered / 200 <= 0.985


def test_columns_are_treated_alike_and_apart():
    table = np.column_stack([np.arange(20.0), np.full(20, 3.0)])
    (low, high), constant = column_intervals(table)
    assert low < 9.5 < high
    assert np.allclose(constant, 3.0)
