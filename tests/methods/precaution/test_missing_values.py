import numpy as np

from pgx_compiler.methods.precaution.missing_values import MissingValuesParams, missing_values


def run(data, **params):
    return missing_values(data, MissingValuesParams(**params), np.random.default_rng(0))


def holding(report, code):
    return [f for f in report.findings if f.code == code and f.verdict == "holds"]


def complete(n, seed=0, columns=4):
    return np.random.default_rng(seed).normal(size=(n, columns))


def test_shares_and_severities(table):
    x = complete(400)
    x[:16, 0] = np.nan  # 4 %: harmless
    x[:40, 1] = np.nan  # 10 %: warning
    x[:160, 2] = np.nan  # 40 %: error
    report = run(table(x))
    assert {f.subject: f.severity for f in holding(report, "missing_values")} == {"x1": "warning", "x2": "error"}
    found = {m.name: m for m in report.measures}
    assert (found["share_missing_max"].value, found["share_missing_max"].subject) == (0.4, "x2")
    assert found["rows_incomplete"].value == 0.4  # the gaps stand in the same first rows
    assert found["share_missing_x1"].value == 0.1


def test_one_hot_group_without_a_one_is_missing(table):
    block = np.eye(3)[np.random.default_rng(0).integers(0, 3, 200)]
    block[:20] = 0
    report = run(table(block, columns=["c=a", "c=b", "c=c"], groups={"c": ["c=*"]}))
    assert [f.subject for f in holding(report, "missing_values")] == ["c"]


def test_infinite_values_count_as_missing(table):
    x = complete(100)
    x[:20, 3] = np.inf
    assert [f.subject for f in holding(run(table(x)), "missing_values")] == ["x3"]


def test_complete_data_has_no_finding_and_no_table(table):
    report = run(table(complete(100)))
    assert report.findings == ()
    assert report.tables == ()


def test_few_rows_give_unknown(table):
    x = complete(12)
    x[0, 0] = np.nan
    (finding,) = [f for f in run(table(x)).findings if f.code == "missing_values"]
    assert (finding.severity, finding.verdict) == ("info", "unknown")


def test_a_split_that_lacks_more_is_found(table):
    x, test = complete(300), complete(300, 1)
    test[:60, 0] = np.nan  # 20 % against 0 %
    (finding,) = holding(run(table(x, test=test)), "missing_values")
    assert (finding.subject, finding.severity) == ("x0", "warning")


def test_missing_labels_are_an_error(table):
    labels = np.r_[np.full(3, -1), np.zeros(97)]
    (finding,) = holding(run(table(complete(100), labels)), "missing_values")
    assert (finding.subject, finding.severity) == ("label", "error")
    regression = run(table(complete(100), np.r_[np.nan, np.zeros(99)], task="regression"))
    assert [f.subject for f in holding(regression, "missing_values")] == ["label"]


def test_gaps_that_depend_on_another_variable_are_found(table):
    x = complete(800)
    x[x[:, 1] > 1.0, 0] = np.nan  # about 16 %, decided by x1
    (finding,) = holding(run(table(x)), "missing_not_at_random")
    assert finding.subject == "x0"
    assert finding.effects[0]["what"] == "missing_indicator"


def test_gaps_by_chance_seldom_look_like_a_pattern(table):
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(250, 3))
        x[rng.random((250, 3)) < 0.15] = np.nan
        alarms += bool(holding(missing_values(table(x), MissingValuesParams(auc=0.5), rng), "missing_not_at_random"))
    assert alarms <= 4  # the significance gate alone; 2 expected at 5 %


def test_too_few_gaps_for_a_pattern_give_unknown(table):
    x = complete(200)
    x[:11, 0] = np.nan
    (finding,) = [f for f in run(table(x)).findings if f.code == "missing_not_at_random"]
    assert finding.verdict == "unknown"


def test_same_seed_same_report(table):
    x = complete(300)
    x[x[:, 1] > 0.8, 0] = np.nan
    assert run(table(x)) == run(table(x))
