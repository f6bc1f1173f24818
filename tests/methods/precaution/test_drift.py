from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from pgx_compiler.methods.precaution._divergence import ks, psi, psi_of_counts, wasserstein
from pgx_compiler.methods.precaution.drift import DriftParams, drift
from pgx_compiler.modalities import image

STATISTICS = ("psi", "ks", "wasserstein")


def run(data, **params):
    return drift(data, DriftParams(**params))


def holding(report, code="feature_drift"):
    return {f.subject: f.severity for f in report.findings if f.code == code and f.verdict == "holds"}


def two(table, train, test, **more):
    return table(train, None, test, None, **more)


def test_psi_by_hand():
    # (50.5, 50.5) of 101 against (80.5, 20.5) of 101: shares 0.5 0.5 against 0.79703 0.20297;
    # (0.5 - 0.79703) ln(0.5 / 0.79703) + (0.5 - 0.20297) ln(0.5 / 0.20297) = 0.13849 + 0.26779 = 0.40628
    result = psi_of_counts(np.array([50, 50]), np.array([80, 20]))
    assert result.value == pytest.approx(0.40628, abs=2e-5)
    # (1/100 + 1/100) chi-square with one degree of freedom
    assert result.p == pytest.approx(stats.chi2.sf(0.40628 / 0.02, 1), rel=1e-3)


def test_psi_joins_cells_with_too_few_rows():
    # the last two cells expect (1 + 0) / 2 and (1 + 2) / 2 rows: joined, they expect 2, and stay one cell
    with_rare = psi_of_counts(np.array([50, 48, 1, 1]), np.array([50, 48, 0, 2]))
    joined = psi_of_counts(np.array([50, 48, 2]), np.array([50, 48, 2]))
    assert with_rare.value == pytest.approx(joined.value) == 0.0


def test_psi_is_about_the_square_of_a_mean_shift():
    rng = np.random.default_rng(0)
    result = psi(rng.normal(size=100_000), rng.normal(0.3, 1, 100_000))
    assert result.value == pytest.approx(0.09, abs=0.01)
    assert result.in_sd == pytest.approx(0.3, abs=0.02)


def test_psi_follows_its_chi_square_without_drift():
    rng = np.random.default_rng(0)
    p = [psi(rng.normal(size=800), rng.normal(size=400)).p for _ in range(500)]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.025)


def test_ks_and_wasserstein_follow_their_definitions():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=300), rng.normal(0.4, 1.2, 200)
    grid = np.sort(np.r_[a, b])
    gap = np.abs((a[:, None] <= grid).mean(axis=0) - (b[:, None] <= grid).mean(axis=0)).max()
    assert ks(a, b).value == pytest.approx(gap)
    assert ks(a, b).p == pytest.approx(stats.kstwobign.sf(gap * np.sqrt(300 * 200 / 500)))
    # nothing is trimmed away where both samples are a shifted copy: |Q - Q'| is the shift at every level
    assert wasserstein(a, a + 0.7).value == pytest.approx(0.7 / np.subtract(*np.quantile(a, [0.75, 0.25])))


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_shift_of_half_a_standard_deviation_is_found(table, statistic):
    found = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        test = rng.normal(size=(1000, 8))
        test[:, 3] += 0.5
        found += "x3" in holding(run(two(table, rng.normal(size=(1000, 8)), test), statistic=statistic))
    assert found >= 29


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("n", [500])
def test_false_alarms_without_drift(table, statistic, n):
    """The significance gate alone, over 10 variables, lets at most 6 % of 200 runs through (5 % expected)."""
    gated, alone = 0, 0
    for seed in range(200):
        rng = np.random.default_rng([seed, n])
        data = two(table, rng.normal(size=(n, 10)), rng.normal(size=(n, 10)))
        gated += bool(holding(run(data, statistic=statistic)))
        alone += bool(holding(run(data, statistic=statistic, warn=1e-9, fail=1e9)))
    assert gated <= 12
    assert alone <= 18  # 10 expected, SD 3


@pytest.mark.parametrize("statistic", STATISTICS)
def test_an_absurd_value_neither_hides_nor_makes_drift(table, statistic):
    rng = np.random.default_rng(0)
    train, test = rng.normal(size=(5000, 2)), rng.normal(size=(5000, 2))
    test[:, 0] += 0.5
    plain = run(two(table, train, test), statistic=statistic)
    train[0] = 1e4
    spoilt = run(two(table, train, test), statistic=statistic)
    assert set(holding(plain)) == set(holding(spoilt)) == {"x0"}
    largest = [next(m.value for m in r.measures if m.name == "drift_max") for r in (plain, spoilt)]
    assert largest[1] == pytest.approx(largest[0], rel=0.02)


def test_a_tiny_shift_of_many_rows_is_no_finding(table):
    rng = np.random.default_rng(0)
    report = run(two(table, rng.normal(size=(200_000, 1)), rng.normal(0.03, 1, (200_000, 1))))
    assert report.findings == ()
    assert report.tables[0].rows[0][4] < 1e-6  # significant all the same


@pytest.mark.parametrize("statistic", STATISTICS)
def test_few_rows_give_unknown_never_a_pass(table, statistic):
    rng = np.random.default_rng(0)
    report = run(two(table, rng.normal(size=(60, 3)), rng.normal(9, 1, (60, 3))), statistic=statistic)
    (finding,) = report.findings
    assert (finding.code, finding.severity, finding.verdict) == ("feature_drift", "info", "unknown")
    assert next(m.value for m in report.measures if m.name == "share_drifted") is None


def test_severity_follows_the_stated_limits(table):
    rng = np.random.default_rng(0)
    data = two(table, rng.normal(size=(2000, 1)), rng.normal(0.4, 1, (2000, 1)))  # PSI about 0.16
    assert holding(run(data)) == {"x0": "warning"}
    assert holding(run(data, warn=0.05, fail=0.1)) == {"x0": "error"}
    assert holding(run(data, warn=0.3, fail=0.4)) == {}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_constants_zeros_and_gaps(table, statistic):
    rng = np.random.default_rng(0)
    n = 1500
    zeros = np.where(rng.random((2, n)) < 0.9, 0, rng.lognormal(size=(2, n)))
    train = np.c_[np.full(n, 2.0), zeros[0], rng.normal(size=n), np.full(n, np.nan)]
    test = np.c_[np.full(n, 2.0), zeros[1], rng.normal(size=n), np.full(n, np.nan)]
    train[::3, 2] = np.nan
    report = run(two(table, train, test), statistic=statistic)
    assert holding(report) == {}
    unknown = [f for f in report.findings if f.verdict == "unknown"]
    assert "`x3`" in unknown[0].summary  # never seen, so never cleared
    test[:, 0] = 3.0
    test[: n // 2, 1] = 5.0
    assert set(holding(run(two(table, train, test), statistic=statistic))) == {"x0", "x1"}


def test_categories_are_compared_by_psi(table):
    rng = np.random.default_rng(0)
    train, test = rng.choice(4, 2000, p=[0.4, 0.3, 0.2, 0.1]), rng.choice(4, 2000, p=[0.1, 0.2, 0.3, 0.4])
    columns = [f"c={i}" for i in range(4)]
    data = two(table, np.eye(4)[train], np.eye(4)[test], columns=columns, groups={"c": ["c=*"]})
    report = run(data, statistic="ks")
    assert holding(report) == {"c": "error"}
    assert report.tables[0].rows[0][1] == "psi"


def test_label_drift_and_a_rare_class_that_doubles(table):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 1))

    def labelled(share_train, share_test):
        y = [np.arange(20_000) < 20_000 * share for share in (share_train, share_test)]
        return table(x, y[0], x, y[1])

    assert holding(run(labelled(0.5, 0.5)), "label_drift") == {}
    assert holding(run(labelled(0.5, 0.75)), "label_drift") == {"label": "error"}
    rare = run(labelled(0.002, 0.004))  # PSI 0.0014: far below any limit
    assert holding(rare, "label_drift") == {"label": "warning"}


def test_labels_of_a_regression_are_compared_as_numbers(table):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 1))
    data = table(x, rng.normal(size=1000), x, rng.normal(1, 1, 1000), task="regression")
    assert holding(run(data), "label_drift") == {"label": "error"}


def test_label_alarms_without_drift(table):
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x, y = np.zeros((600, 1)), rng.choice(10, (2, 600), p=[0.37, *[0.07] * 9])
        alarms += bool(holding(run(table(x, y[0], x, y[1], classes=list("abcdefghij"))), "label_drift"))
    assert alarms <= 12


def test_without_test_rows_nothing_is_measured(table):
    (measure,) = run(table(np.zeros((5, 1)))).measures
    assert measure.value is None
    assert measure.reason == "the audit has no test rows"


def test_repository_data(german, digits):
    assert holding(run(digits)) == {}
    assert holding(run(german, statistic="ks")) == {}
    assert {f.verdict for f in run(german).findings} == {"unknown"}  # 300 test rows are too few for PSI


def test_darkened_pictures_have_drifted(digits):
    dark = {"x": digits.test.inputs["x"] * 0.8}
    data = replace(
        digits,
        test=replace(digits.test, inputs=dark),
        variables=image.variables(digits.train.inputs, dark, digits.features, (), {}),
    )
    assert "brightness" in holding(run(data))
