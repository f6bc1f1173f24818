import numpy as np
import pytest

from pgx_compiler.methods.precaution.sensitive_groups import SensitiveGroupsParams, sensitive_groups


def run(data, seed=0, **params):
    return sensitive_groups(data, SensitiveGroupsParams(**params), np.random.default_rng(seed))


def holding(report, code):
    return [f for f in report.findings if f.code == code and f.verdict == "holds"]


def people(table, counts, hits, extra=None, **more):
    """Groups of the given sizes; the first `hits` rows of each carry the label yes."""
    sex = np.repeat(np.arange(len(counts)), counts)
    labels = np.concatenate([np.arange(n) < h for n, h in zip(counts, hits, strict=True)])
    x = sex[:, None] if extra is None else np.c_[sex, extra]
    return table(
        x, labels, columns=["sex", *[f"x{i}" for i in range(x.shape[1] - 1)]], roles={"sex": "sensitive"}, **more
    )


def test_label_ratio_by_hand(table):
    report = run(people(table, [400, 600], [80, 240]), favourable="yes")
    (finding,) = holding(report, "group_disparity")
    (lowest,) = [m for m in report.measures if m.name == "label_ratio_min"]
    assert lowest.value == pytest.approx(0.5)  # 20 % against 40 %
    # se of the log: sqrt(1/80 - 1/400 + 1/240 - 1/600) = 0.111803
    assert lowest.interval == pytest.approx((0.5 * np.exp(-0.219131), 0.5 * np.exp(0.219131)), rel=1e-4)
    assert (finding.subject, finding.severity) == ("sex", "error")  # even the interval's upper end is below 0.8


def test_uncertain_ratio_is_a_warning(table):
    report = run(people(table, [400, 600], [140, 290]), favourable="yes")  # 35 % against 48.3 %: 0.724, up to 0.84
    assert [f.severity for f in holding(report, "group_disparity")] == ["warning"]


def test_four_fifths_is_no_finding(table):
    report = run(people(table, [400, 600], [160, 290]), favourable="yes")  # 40 % against 48.3 %: 0.828
    assert holding(report, "group_disparity") == []


def test_few_rows_give_unknown(table):
    (finding, *_) = [f for f in run(people(table, [12, 300], [1, 150])).findings if f.code == "group_disparity"]
    assert (finding.severity, finding.verdict) == ("info", "unknown")
    unsettled = run(people(table, [40, 300], [12, 130]), favourable="yes")  # 0.69, but p = 0.12
    assert holding(unsettled, "group_disparity") == []
    assert any("chance" in f.summary and f.verdict == "unknown" for f in unsettled.findings)


def test_age_is_cut_at_its_quartiles_or_where_stated(table):
    age = np.arange(20.0, 80, 0.1)
    labels = age > 60
    data = table(age[:, None], labels, columns=["age"], roles={"age": "sensitive"})
    assert [row[0] for row in run(data).tables[0].rows[::2]] == ["up to 35", "35 to 50", "50 to 64.9", "above 64.9"]
    stated = run(data, cuts={"age": (60.0,)}).tables[0]
    assert {(row[0], row[3]) for row in stated.rows if row[2] == "yes"} == {("up to 60", 0.0), ("above 60", 1.0)}


def test_regression_compares_values_above_the_median(table):
    sex = np.repeat([0.0, 1.0], 200)
    data = table(
        sex[:, None], np.r_[np.arange(200), np.arange(200) + 100.0], columns=["sex"], roles={"sex": "sensitive"},
        task="regression",
    )  # fmt: skip
    # the median of both is 149.5: 50 of 200 lie above it in the first group, 150 of 200 in the second
    report = run(data)
    assert next(m.value for m in report.measures if m.name == "label_ratio_min") == pytest.approx(1 / 3)


def test_proxies_are_named_and_others_are_not(table):
    rng = np.random.default_rng(0)
    sex = np.repeat([0, 1], 300)
    extra = np.c_[sex * 1.2 + rng.normal(size=600), rng.normal(size=(600, 2))]  # true AUC Phi(1.2 / sqrt 2) = 0.802
    report = run(people(table, [300, 300], [150, 150], extra))
    (finding,) = holding(report, "sensitive_proxy")
    assert "`x0`" in finding.summary
    assert "`x1`" not in finding.summary
    best = next(m for m in report.measures if m.name == "proxy_auc_max")
    assert best.value == pytest.approx(0.80, abs=0.05)
    assert best.interval[0] < 0.802 < best.interval[1]


def test_what_only_all_variables_together_give_away_is_found(table):
    """Sex is the sign of a product: neither factor alone tells it."""
    rng = np.random.default_rng(1)
    extra = rng.normal(size=(1500, 2))
    sex = (extra.prod(axis=1) > 0).astype(int)
    order = np.argsort(sex, kind="stable")
    counts = np.bincount(sex)
    report = run(people(table, counts, counts // 2, extra[order]))
    (finding,) = holding(report, "sensitive_proxy")
    assert finding.summary.startswith("No single variable")


def test_false_alarms_without_any_connection(table):
    disparity = proxy = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        x = np.c_[rng.integers(0, 3, 240), rng.normal(size=(240, 3))]
        data = table(x, rng.integers(0, 2, 240), columns=["sex", "a", "b", "c"], roles={"sex": "sensitive"})
        report = run(data, seed, label_ratio=1.0, proxy=0.0, proxy_joint=0.0)  # the significance gate alone
        disparity += bool(holding(report, "group_disparity"))
        proxy += bool(holding(report, "sensitive_proxy"))
    assert disparity <= 7  # 3 expected, SD 1.7
    assert proxy <= 7


def test_without_a_sensitive_variable_there_is_a_reason_and_no_finding(table):
    report = run(table(np.zeros((50, 2)), np.zeros(50)))
    assert report.findings == ()
    assert all(m.value is None and "role: sensitive" in m.reason for m in report.measures)


def test_unknown_favourable_class_is_refused(table):
    with pytest.raises(ValueError, match="none of the classes `no`, `yes`"):
        run(people(table, [50, 50], [10, 10]), favourable="maybe")


def test_one_class_only(table):
    report = run(people(table, [100, 100], [0, 0]))
    assert holding(report, "group_disparity") == []


def test_german_credit(german):
    report = run(german, favourable="good")
    status = next(v for v in german.variables if v.name == "personal_status_sex")
    good = german.train.labels == 0
    by_hand = {
        label: (good[status.train == code].mean(), int((status.train == code).sum()))
        for code, label in enumerate(status.categories)
    }
    (rows,) = [t.rows for t in report.tables if t.title == "Labels by group of personal_status_sex"]
    assert {row[0]: (row[3], row[1]) for row in rows} == by_hand
    assert holding(report, "group_disparity") == []  # 0.876 for women against single men: above four fifths
    best = next(m for m in report.measures if m.name == "proxy_auc_max")
    assert best.subject == "age, employment_since"  # those long employed are older
    assert best.interval[0] > 0.6
