import numpy as np
import pytest
from scipy import stats

from pgx_compiler.methods.precaution.correlation import CorrelationParams, correlation


def run(data, **params):
    return correlation(data, CorrelationParams(**params))


def blocks(n=400, seed=0):
    """x0, x1 and x2 one block (x2 with the opposite sign), x3 and x4 another, x5 alone."""
    rng = np.random.default_rng(seed)
    a, b, c = rng.normal(size=(3, n))
    noise = rng.normal(size=(6, n)) * 0.1
    return np.stack([a, a, -a, b, b, c], axis=1) + noise.T


def test_blocks_are_found_whatever_the_sign(table):
    report = run(table(blocks()))
    assert [f.subject for f in report.findings] == ["x0, x1, x2", "x3, x4"]
    assert [row[1] for row in report.tables[1].rows] == ["x0, x1, x2", "x3, x4"]
    strong = next(m.value for m in report.measures if m.name == "strong_pairs")
    assert strong == 4  # three pairs of the first block, one of the second


def test_spearman_is_scipys_and_passes_over_gaps(table):
    x = blocks()
    x[::5, 0] = np.nan
    kept = ~np.isnan(x[:, 0])
    matrix = run(table(x)).arrays["correlation"]
    assert matrix[0, 3] == pytest.approx(abs(stats.spearmanr(x[kept, 0], x[kept, 3]).statistic))
    assert np.isnan(matrix[0, 0])


def test_cramers_v_by_hand(table):
    # 40 30 / 10 20: chi-square 100 (800 - 300)^2 / (70 30 50 50) = 4.7619, phi^2 0.047619;
    # minus 1/99 is 0.037518; both sides corrected to 2 - 1/99: V = sqrt(0.037518 / 0.989899) = 0.19468
    first = np.repeat([0, 0, 1, 1], [40, 30, 10, 20])
    second = np.repeat([0, 1, 0, 1], [40, 30, 10, 20])
    columns = ["a=0", "a=1", "b=0", "b=1"]
    data = table(
        np.c_[np.eye(2)[first], np.eye(2)[second]], columns=columns, groups={"a": ["a=*"], "b": ["b=*"]}
    )  # fmt: skip
    assert run(data).arrays["correlation"][0, 1] == pytest.approx(0.19468, abs=1e-5)


def test_equal_categories_are_found(table):
    codes = np.random.default_rng(0).integers(0, 4, 300)
    block = np.eye(4)[codes]
    columns = [f"{v}={i}" for v in "ab" for i in range(4)]
    report = run(table(np.c_[block, block[:, ::-1]], columns=columns, groups={"a": ["a=*"], "b": ["b=*"]}))
    assert [f.subject for f in report.findings] == ["a, b"]


def test_a_number_is_not_compared_with_a_category(table):
    codes = np.random.default_rng(0).integers(0, 2, 300)
    data = table(np.c_[codes, np.eye(2)[codes]], columns=["n", "c=0", "c=1"], groups={"c": ["c=*"]})
    report = run(data)
    assert report.findings == ()
    assert all(m.value is None and m.reason for m in report.measures if m.name != "rows_used")


def test_constants_have_no_correlation(table):
    report = run(table(np.c_[np.ones(100), np.arange(100.0)]))
    assert report.findings == ()
    assert np.isnan(report.arrays["correlation"]).all()


def test_few_rows_give_unknown(table):
    (finding,) = run(table(blocks(12))).findings
    assert (finding.severity, finding.verdict) == ("info", "unknown")


def test_independent_columns_seldom_look_correlated(table):
    alarms = 0
    for seed in range(200):
        x = np.random.default_rng(seed).normal(size=(200, 6))
        alarms += any(f.verdict == "holds" for f in run(table(x), warn=0.01).findings)
    assert alarms <= 18  # the significance gate alone; 10 expected, SD 3


def test_repository_data(german):
    report = run(german)
    assert report.findings == ()
    first = report.tables[0].rows[0]
    assert first[:2] == ("credit_amount", "duration_months")
    assert first[3] == pytest.approx(
        abs(stats.spearmanr(*(v.train for v in german.variables if v.name in first[:2])).statistic)
    )
