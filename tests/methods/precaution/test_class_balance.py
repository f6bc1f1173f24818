import numpy as np
import pytest

from pgx_compiler.methods.precaution.class_balance import ClassBalanceParams, class_balance


def audit(table, counts, classes=None):
    labels = np.repeat(np.arange(len(counts)), counts)
    classes = classes or [f"c{i}" for i in range(len(counts))]
    return table(np.arange(len(labels))[:, None], labels, classes=classes)


def values(report):
    return {m.name: m.value for m in report.measures}


def test_counts_by_hand(table):
    report = class_balance(audit(table, [900, 60, 40]), ClassBalanceParams())
    found = values(report)
    assert (found["n_rows"], found["rows_rarest"], found["imbalance_ratio"]) == (1000, 40, 22.5)
    assert found["share_rarest"] == 0.04
    assert [row[:3] for row in report.tables[0].rows] == [("c0", 900, 0.9), ("c1", 60, 0.06), ("c2", 40, 0.04)]


def test_rare_class_is_found_and_asks_for_stratified_splits(table):
    report = class_balance(audit(table, [950, 50]), ClassBalanceParams())
    (finding,) = [f for f in report.findings if f.code == "class_imbalance"]
    assert (finding.subject, finding.severity, finding.verdict) == ("c1", "warning", "holds")
    assert finding.effects[0] == {"kind": "protocol", "what": "stratify"}


def test_ratio_below_nine_is_no_finding(table):
    assert class_balance(audit(table, [800, 100]), ClassBalanceParams()).findings == ()


@pytest.mark.parametrize(("smallest", "severity"), [(49, "warning"), (10, "warning"), (9, "error"), (0, "error")])
def test_small_class(table, smallest, severity):
    report = class_balance(audit(table, [100, smallest]), ClassBalanceParams())
    (finding,) = [f for f in report.findings if f.code == "small_sample"]
    assert finding.severity == severity
    assert finding.subject == "c1"


def test_class_without_rows_has_no_ratio_but_a_reason(table):
    report = class_balance(audit(table, [100, 0]), ClassBalanceParams())
    (ratio,) = [m for m in report.measures if m.name == "imbalance_ratio"]
    assert ratio.value is None
    assert "no training row" in ratio.reason


def test_few_rows_give_unknown(table):
    report = class_balance(audit(table, [10, 1]), ClassBalanceParams())
    (finding,) = [f for f in report.findings if f.code == "class_imbalance"]
    assert (finding.severity, finding.verdict) == ("info", "unknown")


def test_a_single_class_is_not_unbalanced(table):
    report = class_balance(audit(table, [200]), ClassBalanceParams())
    assert report.findings == ()
    assert values(report)["imbalance_ratio"] == 1.0


def test_without_labels_nothing_is_measured(table):
    (measure,) = class_balance(table(np.zeros((5, 1))), ClassBalanceParams()).measures
    assert measure.value is None
    assert measure.reason == "no labels"


def test_equal_classes_seldom_look_unbalanced(table):
    """60 rows of ten equal classes: a ratio of nine arises by chance alone, and must not be a finding."""
    ratios, alarms = 0, 0
    for seed in range(200):
        labels = np.random.default_rng(seed).integers(0, 10, 60)
        report = class_balance(table(np.zeros((60, 1)), labels, classes=list("abcdefghij")), ClassBalanceParams())
        found = values(report)["imbalance_ratio"]
        ratios += found is None or found >= 9
        alarms += any(f.code == "class_imbalance" and f.verdict == "holds" for f in report.findings)
    assert ratios > 10  # the effect alone would alarm
    assert alarms <= 12  # 6 % of 200


def test_repository_data(german, digits):
    assert values(class_balance(german, ClassBalanceParams()))["rows_rarest"] == 210  # 30 % of 700
    assert class_balance(digits, ClassBalanceParams()).findings == ()
