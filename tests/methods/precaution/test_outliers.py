import numpy as np
import pytest

from pgx_compiler.methods.precaution.outliers import OutliersParams, outliers, robust_z


def run(data, **params):
    return outliers(data, OutliersParams(**params))


def column(table, values, **more):
    return table(np.asarray(values, float)[:, None], **more)


def test_robust_z_by_hand():
    # median 3, distances 2 1 0 1 2, their median 1 on the whole and 1.5 on each side: z = 2 / (1.4826 * 1.5)
    z = robust_z(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    np.testing.assert_allclose(z, np.array([2, 1, 0, 1, 2]) / (1.4826 * 1.5))


def test_robust_z_does_not_depend_on_unit_or_origin():
    x = np.random.default_rng(0).lognormal(size=300)
    np.testing.assert_allclose(robust_z(x), robust_z(5 - 1000 * x), atol=1e-6)


def test_another_unit_is_found_in_every_row(table):
    """Two rows in a hundred recorded in centimetres instead of metres."""
    x = np.random.default_rng(1).normal(1.7, 0.1, 500)
    x[:10] *= 100
    report = run(column(table, x))
    (finding,) = report.findings
    assert (finding.subject, finding.severity) == ("x0", "error")
    assert "100 times" in finding.summary
    assert {row for row, _ in report.arrays["flagged_row_and_variable"] if row < 10} == set(range(10))


def test_one_absurd_value_among_thousands_is_found(table):
    x = np.random.default_rng(2).normal(size=5000)
    x[0] = 1e4
    (finding,) = run(column(table, x)).findings
    assert finding.severity == "warning"
    assert "1 beyond 50" in finding.summary


@pytest.mark.parametrize("tail", ["lognormal", "exponential", "uniform", "normal", "poisson"])
def test_ordinary_distributions_are_left_alone(table, tail):
    alarms = 0
    for seed in range(200):
        values = getattr(np.random.default_rng(seed), tail)(size=(300, 5)) if tail != "poisson" else (
            np.random.default_rng(seed).poisson(30, (300, 5)))  # fmt: skip
        alarms += any(f.verdict == "holds" for f in run(table(values)).findings)
    assert alarms <= 12  # 6 % of 200


def test_constants_codes_and_one_hot_columns_are_not_judged(table):
    rng = np.random.default_rng(0)
    x = np.c_[np.full(200, 3.0), rng.random(200) < 0.02, rng.integers(0, 5, 200), np.eye(3)[rng.integers(0, 3, 200)]]
    report = run(table(x, columns=["constant", "flag", "code", "c=a", "c=b", "c=c"], groups={"c": ["c=*"]}))
    assert report.findings == ()
    assert {row[0] for row in report.tables[0].rows} == {"constant", "flag", "code"}
    assert all(m.value is None and m.reason for m in report.measures)


def test_a_column_of_mostly_zeros_is_judged_by_its_other_values(table):
    rng = np.random.default_rng(4)
    gains = np.where(rng.random(2000) < 0.9, 0.0, rng.lognormal(8, 0.8, 2000))
    assert run(column(table, gains)).findings == ()
    gains[np.flatnonzero(gains)[0]] = 1e9
    assert [f.subject for f in run(column(table, gains), share=0.004).findings] == ["x0"]


def test_missing_values_are_passed_over(table):
    x = np.random.default_rng(5).normal(size=400)
    x[::7] = np.nan
    x[1] = np.inf
    report = run(column(table, x))
    assert report.findings == ()
    assert report.tables[0].rows[0][1] == np.isfinite(x).sum()


def test_few_rows_give_unknown(table):
    (finding,) = run(column(table, np.arange(12))).findings
    assert (finding.verdict, finding.severity) == ("unknown", "info")


def test_repository_data(german, digits):
    judged = {row[0]: row[6] for row in run(german).tables[0].rows}
    assert judged["credit_amount"] == ""
    assert judged["num_dependents"] != ""
    assert run(digits).findings == ()


def test_a_white_picture_stands_out_by_its_brightness(digits):
    from dataclasses import replace

    from pgx_compiler.modalities import image

    pixels = digits.train.inputs["x"].copy()
    pixels[:60] = pixels.max()
    spoilt = replace(digits, variables=image.variables({"x": pixels}, None, digits.features, (), {}))
    assert "brightness" in {f.subject for f in run(spoilt).findings}
