from dataclasses import replace

import numpy as np
import pytest

from pgx_compiler.methods.precaution.duplicate_rows import DuplicateRowsParams, duplicate_rows


def run(data, **params):
    return duplicate_rows(data, DuplicateRowsParams(**params))


def measure(report, name):
    return next(m for m in report.measures if m.name == name)


def rows(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 5))


def test_exact_counts(table):
    x = rows(100)
    x[97:] = x[0]  # three repeats of one row
    labels = np.zeros(100)
    labels[99] = 1
    test = rows(50, 1)
    test[:2] = x[10:12]
    report = run(table(x, labels, test, np.zeros(50)))
    assert measure(report, "share_repeated").value == 0.03
    assert measure(report, "share_leaked").value == 0.04
    # the four equal rows carry labels 0 0 0 1: all four conflict, one must be wrong
    assert measure(report, "share_conflicting").value == 0.04
    assert measure(report, "accuracy_ceiling").value == 0.99
    found = {f.code: f.severity for f in report.findings}
    assert found == {"duplicate_rows": "warning", "conflicting_labels": "warning", "split_leakage": "error"}
    np.testing.assert_array_equal(report.arrays["repeated_rows"], [0, 97, 98, 99])
    np.testing.assert_array_equal(report.arrays["leaked_test_rows"], [0, 1])


def test_one_leaked_row_among_many_is_a_warning(table):
    test = rows(400, 1)
    x = rows(300)
    test[5] = x[7]
    (finding,) = run(table(x, test=test)).findings
    assert (finding.code, finding.severity) == ("split_leakage", "warning")


def test_distinct_rows_have_no_finding(table):
    assert run(table(rows(200), np.zeros(200), rows(100, 1), np.zeros(100))).findings == ()


def test_minus_zero_and_missing_values_are_equal(table):
    x = rows(60)
    x[0] = [0.0, np.nan, 1, 2, 3]
    x[1] = [-0.0, -np.nan, 1, 2, 3]
    assert measure(run(table(x)), "share_repeated").value == pytest.approx(1 / 60)


def test_meetings_in_a_coarse_table_are_put_down_to_chance(table):
    """Three yes-no columns have eight rows to choose from: all test rows stand in the training data."""
    rng = np.random.default_rng(0)
    report = run(table(rng.integers(0, 2, (300, 3)), None, rng.integers(0, 2, (100, 3))))
    assert measure(report, "share_leaked").value == 1.0
    assert measure(report, "leaked_by_chance").value == pytest.approx(1.0, abs=0.01)
    assert {(f.code, f.verdict) for f in report.findings} == {
        ("duplicate_rows", "unknown"),
        ("split_leakage", "unknown"),
    }


def test_chance_meetings_follow_the_frequencies(table):
    """One column of 1,000 equally frequent values, one row to meet: 1/1000 each."""
    x = np.arange(1000.0)[:, None]
    test = np.r_[x[:1], rows(39)[:, :1] + 5000]
    # the one row that is met has p = 1/1000, the others none: 1 - (1 - 1/1000)^1000 = 0.6323
    report = run(table(x, None, test))
    assert measure(report, "leaked_by_chance").value == pytest.approx((1 - (1 - 1 / 1000) ** 1000) / 40)


def test_coarse_tables_seldom_look_leaked(table):
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        data = table(rng.integers(0, 4, (200, 5)), None, rng.integers(0, 4, (100, 5)))
        alarms += any(f.verdict == "holds" for f in run(data).findings)
    assert alarms <= 12


def test_words_are_compared_as_words(table):
    data = table(rows(40))
    words = np.array([[f"a{i}", None] for i in range(39)] + [["a3", None]], object)
    data = replace(data, train=replace(data.train, inputs={"x": words}))
    assert measure(run(data), "share_repeated").value == pytest.approx(1 / 40)


def test_regression_labels_do_not_conflict(table):
    x = np.repeat(rows(50), 2, axis=0)
    report = run(table(x, np.arange(100), task="regression"))
    assert measure(report, "share_conflicting").value is None
    assert "noise" in measure(report, "share_conflicting").reason


def test_repository_data_holds_no_copies(german, digits):
    assert run(german).findings == ()
    assert run(digits).findings == ()


def test_a_digit_copied_into_the_test_rows_is_found(digits):
    pixels = digits.test.inputs["x"].copy()
    pixels[:20] = digits.train.inputs["x"][:20]
    leaked = replace(digits, test=replace(digits.test, inputs={"x": pixels}))
    (finding,) = run(leaked).findings
    assert (finding.code, finding.severity) == ("split_leakage", "error")
