"""Every number that a precaution method decides by, in one table, each with its source or marked as our own."""

from collections.abc import Mapping
from dataclasses import dataclass

OWN = "own default"


@dataclass(frozen=True)
class Threshold:
    """One number that separates a finding from none."""

    name: str
    value: float
    unit: str
    source: str
    """Where it comes from; `OWN`: our choice, calibrated on a few public data sets only."""


_TABLE = (
    Threshold("false_discovery_rate", 0.05, "share", "Benjamini and Hochberg 1995, the customary level"),
    Threshold("class_balance.imbalance_ratio", 9.0, "ratio", "KEEL repository: a ratio above 9 is called high"),
    Threshold("class_balance.rarest_times_classes", 0.1, "ratio", "cleanlab: rarest share below 0.1 / classes"),
    Threshold("class_balance.rows_per_class.warn", 50, "rows", OWN),
    Threshold("class_balance.rows_per_class.fail", 10, "rows", OWN),
    Threshold("missing_values.warn", 0.05, "share", "deepchecks: share of nulls above 0.05"),
    Threshold("missing_values.fail", 0.30, "share", OWN),
    Threshold("missing_values.difference", 0.05, "share", OWN),
    Threshold("missing_values.auc", 0.70, "AUC", OWN),
    Threshold("missing_values.min_rows", 30, "rows", OWN),
    Threshold("duplicate_rows.within", 0.01, "share", OWN),
    Threshold("duplicate_rows.across", 0.01, "share", OWN),
    Threshold("duplicate_rows.conflicts", 0.005, "share", OWN),
    Threshold("duplicate_rows.min_rows", 30, "rows", OWN),
    Threshold("outliers.z", 3.5, "robust z", "Iglewicz and Hoaglin 1993"),
    Threshold("outliers.extreme_z", 50.0, "robust z", OWN),
    Threshold("outliers.share", 0.01, "share", OWN),
    Threshold("outliers.min_rows", 30, "rows", OWN),
    Threshold("correlation.warn", 0.9, "coefficient", "deepchecks: correlation above 0.9"),
    Threshold("correlation.cluster", 0.7, "coefficient", OWN),
    Threshold("correlation.min_rows", 30, "rows", OWN),
    Threshold("drift.psi.warn", 0.1, "PSI", "Lewis 1994, credit scoring; about a mean shift of 0.32 SD"),
    Threshold("drift.psi.fail", 0.25, "PSI", "Lewis 1994, credit scoring; about a mean shift of 0.5 SD"),
    Threshold("drift.psi.min_rows", 500, "rows per split", "own measurement: 0.1 means nothing below it"),
    Threshold("drift.ks.warn", 0.1, "D", OWN),
    Threshold("drift.ks.fail", 0.2, "D", OWN),
    Threshold("drift.ks.min_rows", 100, "rows per split", OWN),
    Threshold("drift.wasserstein.warn", 0.1, "interquartile ranges", OWN),
    Threshold("drift.wasserstein.fail", 0.2, "interquartile ranges", "Bhattacharya 2022, chapter 3"),
    Threshold("drift.wasserstein.min_rows", 500, "rows per split", "own measurement: 0.1 is noise below it"),
    Threshold("drift.class_ratio", 2.0, "ratio", OWN),
    Threshold("sensitive_groups.label_ratio", 0.8, "ratio", "four-fifths rule, 29 CFR 1607.4 D; a guideline"),
    Threshold("sensitive_groups.min_rows", 30, "rows per group", OWN),
    Threshold("sensitive_groups.proxy_single", 0.70, "AUC", OWN),
    Threshold("sensitive_groups.proxy_joint", 0.75, "AUC", OWN),
    Threshold("adversarial_robustness.drop", 0.3, "share", OWN),
    Threshold("adversarial_robustness.min_rows", 50, "rows", OWN),
    Threshold("adversarial_robustness.flat", 0.1, "share", OWN),
)

THRESHOLDS: Mapping[str, Threshold] = {row.name: row for row in _TABLE}
"""Name to threshold; the defaults of every precaution method's parameters are taken from here."""


def threshold(name: str) -> float:
    """The value of one threshold. Raises `KeyError` for a name that is not in the table."""
    return THRESHOLDS[name].value
