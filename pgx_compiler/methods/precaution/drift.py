"""Do the test rows come from the same distribution as the training rows? (PSI: doi:10.3390/risks7020053)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.methods.declaration import Need, Params, precaution
from pgx_compiler.methods.precaution._divergence import Divergence, ks, psi, psi_of_counts, wasserstein
from pgx_compiler.methods.precaution._significance import Verdict, benjamini_hochberg, judge
from pgx_compiler.methods.precaution._thresholds import threshold
from pgx_compiler.methods.precaution._wording import listing, measure_names, not_measured, number, percent
from pgx_compiler.modalities.data import AuditData, Split, Variable
from runtimes.capabilities import Floats

Statistic = Literal["psi", "ks", "wasserstein"]
STATISTICS = {"psi": psi, "ks": ks, "wasserstein": wasserstein}
IN_WORDS = {
    "psi": "population stability index",
    "ks": "Kolmogorov-Smirnov distance",
    "wasserstein": "trimmed Wasserstein distance in interquartile ranges",
}
LABEL = "label"


class DriftParams(Params):
    """How drift is measured and from when on it is a finding."""

    statistic: Statistic = "psi"
    """For numeric variables: ``psi`` over quantile bins, ``ks``, or trimmed ``wasserstein`` in interquartile ranges."""
    warn: Annotated[float, Field(ge=0)] | None = None
    """Value from which a variable's drift is a warning; left out: 0.1 for each statistic."""
    fail: Annotated[float, Field(ge=0)] | None = None
    """Value from which it is an error; left out: 0.25 for ``psi``, 0.2 for ``ks`` and ``wasserstein``."""
    min_rows: int | None = None
    """Rows that each split must have, below which nothing is concluded; left out: 500, for ``ks`` 100."""
    bins: int = 10
    """Quantile bins of ``psi``."""


@dataclass(frozen=True)
class _Limits:
    warn: float
    fail: float
    min_rows: float


@dataclass(frozen=True)
class _Compared:
    name: str
    statistic: Statistic
    result: Divergence
    n: tuple[int, int]
    limits: _Limits
    q: float = 1.0

    @property
    def verdict(self) -> Verdict:
        return judge(self.result.value >= self.limits.warn, self.q, min(self.n), self.limits.min_rows)


@precaution(
    needs={"test"},
    codes=("feature_drift", "label_drift"),
    measures=("drift_max", "share_drifted", "label_drift", "{statistic}_{variable}"),
    measures_need={"label_drift": (Need("labels"), Need("test_labels"))},
    paper="https://doi.org/10.3390/risks7020053",
)
def drift(data: AuditData, params: DriftParams) -> Report:
    """Compare the distribution of every variable, and of the labels, between training and test rows.

    Reading:
        0 means equal distributions. A PSI of 0.1 is about a mean shift of a third of a standard deviation, 0.25 of a
        half; a Kolmogorov-Smirnov distance of 0.1 is a quarter, 0.2 a half. A variable is reported only where the
        value is large and, with all variables tested together, unlikely to be chance. Below the least number of rows
        the answer is "unknown", not "no drift".

    Limits:
        Each variable is compared by itself: a change only in how variables hang together is not seen, nor a change in
        what the labels depend on. That a variable has drifted does not say that the model suffers. Categories are
        always compared by PSI. Missing values are left out here and compared by `missing_values`.
    """
    if data.test is None:
        return not_measured("drift_max", "Largest drift of a variable", "the audit has no test rows")
    compared = _corrected([c for v in sorted(data.variables, key=lambda v: v.name) if (c := _compare(v, params))])
    measures, findings = _of_variables(compared, params)
    labels = _of_labels(data.train, data.test, data.classes, params)
    return Report(
        (*measures, *labels.measures),
        (*findings, *labels.findings),
        (_table(f"Drift of each variable ({IN_WORDS[params.statistic]})", compared), *labels.tables),
    )


def _limits(statistic: Statistic, params: DriftParams) -> _Limits:
    own = statistic == params.statistic
    return _Limits(
        params.warn if own and params.warn is not None else threshold(f"drift.{statistic}.warn"),
        params.fail if own and params.fail is not None else threshold(f"drift.{statistic}.fail"),
        params.min_rows if params.min_rows is not None else threshold(f"drift.{statistic}.min_rows"),
    )


def _compare(variable: Variable, params: DriftParams) -> _Compared | None:
    if variable.test is None or variable.role in ("id", "time"):
        return None
    if variable.kind == "categorical":
        counts = [np.bincount(s[s >= 0], minlength=len(variable.categories)) for s in (variable.train, variable.test)]
        n = (int(counts[0].sum()), int(counts[1].sum()))
        return _Compared(variable.name, "psi", psi_of_counts(counts[0], counts[1]), n, _limits("psi", params))
    train, test = (_known(s) for s in (variable.train, variable.test))
    return _numeric(variable.name, train, test, params)


def _numeric(name: str, train: Floats, test: Floats, params: DriftParams) -> _Compared:
    n = (len(train), len(test))
    limits = _limits(params.statistic, params)
    if min(n) == 0:
        return _Compared(name, params.statistic, Divergence(0.0, 1.0, None), n, limits)
    if params.statistic == "psi":
        return _Compared(name, "psi", psi(train, test, params.bins), n, limits)
    return _Compared(name, params.statistic, STATISTICS[params.statistic](train, test), n, limits)


def _known(values: Floats) -> Floats:
    values = np.asarray(values, np.float64)
    return values[np.isfinite(values)]


def _corrected(compared: Sequence[_Compared]) -> list[_Compared]:
    q = benjamini_hochberg([c.result.p for c in compared])
    return [replace(c, q=float(v)) for c, v in zip(compared, q, strict=True)]


def _of_variables(compared: Sequence[_Compared], params: DriftParams) -> tuple[list[Measure], list[Finding]]:
    names = measure_names(params.statistic, [c.name for c in compared])
    drifted = [c for c in compared if c.verdict == "finding"]
    unknown = [c for c in compared if c.verdict == "unknown"]
    judged = [c for c in compared if min(c.n) >= c.limits.min_rows]
    worst = max(compared, key=lambda c: c.result.value, default=None)
    measures = [
        Measure(
            "drift_max", worst.result.value if worst else None,
            f"Largest drift of a variable ({IN_WORDS[params.statistic]})", min(worst.n) if worst else None,
            better="lower", subject=worst.name if worst else None, reason=None if worst else "there are no variables",
        ),
        Measure(
            "share_drifted", len(drifted) / len(judged) if judged else None, "Share of variables that have drifted",
            len(judged), "share", better="lower", reason=None if judged else "too few rows in a split",
        ),
    ]  # fmt: skip
    measures += [
        Measure(names[c.name], c.result.value, f"Drift of {c.name} ({IN_WORDS[c.statistic]})", min(c.n),
                better="lower", subject=c.name)
        for c in drifted
    ]  # fmt: skip
    findings = [_drifted(c, names[c.name]) for c in drifted]
    if unknown:
        findings.append(_undecided("feature_drift", unknown, params))
    return measures, findings


def _drifted(c: _Compared, measure: str) -> Finding:
    like = "" if c.result.in_sd is None else f", as much as a mean shift of {number(c.result.in_sd)} SD would give"
    return Finding(
        "feature_drift",
        "error" if c.result.value >= c.limits.fail else "warning",
        f"`{c.name}` is distributed differently in the test rows",
        f"The {IN_WORDS[c.statistic]} is {number(c.result.value)}{like}; warning from {number(c.limits.warn)}, error "
        f"from {number(c.limits.fail)}. Adjusted p {number(c.q)}, {c.n[0]} training and {c.n[1]} test values.",
        c.name,
        (measure,),
        (
            "Find out how the two splits were collected, and which of them the model will meet in use.",
            "Validate on rows that are as new as those in use (a split by time or by source).",
        ),
        effects=({"kind": "protocol", "what": "split_by_time_or_group"},),
    )


def _undecided(code: str, unknown: Sequence[_Compared], params: DriftParams) -> Finding:
    fewest = min(min(c.n) for c in unknown)
    needed = max(c.limits.min_rows for c in unknown)
    advice = ["Collect more rows."]
    if params.statistic != "ks" and fewest >= threshold("drift.ks.min_rows"):
        advice.append("Or use `statistic: ks`, which says something from 100 rows on.")
    return Finding(
        code,
        "info",
        "Too few rows to tell whether there is drift",
        f"For {listing([c.name for c in unknown])} the smaller split has as few as {fewest} values ({needed:.0f} are "
        "needed), or the difference seen may be chance. This is neither a pass nor a finding.",
        measures=("drift_max",) if code == "feature_drift" else ("label_drift",),
        advice=tuple(advice),
        verdict="unknown",
    )


def _of_labels(train: Split, test: Split, classes: Sequence[str], params: DriftParams) -> Report:
    title = "Drift of the labels"
    if train.labels is None or test.labels is None:
        return not_measured("label_drift", title, "one of the splits has no labels")
    if not classes:
        of_train, of_test = (_known(s.labels) for s in (train, test) if s.labels is not None)
        (compared,) = _corrected([_numeric(LABEL, of_train, of_test, params)])
        swings: list[_Swing] = []
        tables: tuple[Table, ...] = ()
    else:
        counts = [_class_counts(s, len(classes)) for s in (train, test)]
        n = (int(counts[0].sum()), int(counts[1].sum()))
        compared = _Compared(LABEL, "psi", psi_of_counts(counts[0], counts[1]), n, _limits("psi", params))
        compared, swings = _swings(compared, classes, counts[0], counts[1])
        rows = tuple((s.name, s.shares[0], s.shares[1], s.q) for s in swings)
        tables = (Table("Share of each class", ("class", "training share", "test share", "adjusted p"), rows),)
    measure = Measure("label_drift", compared.result.value, f"{title} ({IN_WORDS[compared.statistic]})",
                      min(compared.n), better="lower", subject=LABEL)  # fmt: skip
    return Report((measure,), _label_findings(compared, swings, params), tables)


@dataclass(frozen=True)
class _Swing:
    """One class's share in the two splits: overall PSI cannot see a rare class double."""

    name: str
    shares: tuple[float, float]
    q: float

    @property
    def beyond(self) -> bool:
        low, high = sorted(self.shares)
        return high >= threshold("drift.class_ratio") * low


def _class_counts(split: Split, classes: int) -> Floats:
    labels = np.asarray(split.labels, np.int64)
    return np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes).astype(np.float64)


def _swings(compared: _Compared, classes: Sequence[str], train: Floats, test: Floats) -> tuple[_Compared, list[_Swing]]:
    """Each class's own change, tested together with the overall one."""
    from scipy.stats import fisher_exact

    n, m = train.sum(), test.sum()
    if min(n, m) == 0:
        return compared, []
    p = [float(fisher_exact([[a, n - a], [b, m - b]])[1]) for a, b in zip(train, test, strict=True)]
    q, *q_of = benjamini_hochberg([compared.result.p, *p])
    swings = [
        _Swing(c, (float(a / n), float(b / m)), float(v)) for c, a, b, v in zip(classes, train, test, q_of, strict=True)
    ]
    return replace(compared, q=float(q)), swings


def _label_findings(compared: _Compared, swings: Sequence[_Swing], params: DriftParams) -> tuple[Finding, ...]:
    enough = min(compared.n) >= compared.limits.min_rows
    swung = [s for s in swings if enough and s.beyond and judge(True, s.q, 1, 1) == "finding"]
    verdict = compared.verdict
    if verdict != "finding" and not swung:
        return (_undecided("label_drift", [compared], params),) if verdict == "unknown" else ()
    bad = verdict == "finding" and compared.result.value >= compared.limits.fail
    summary = f"The {IN_WORDS[compared.statistic]} is {number(compared.result.value)}, adjusted p {number(compared.q)}."
    if swung:
        words = ", ".join(f"`{s.name}` {percent(s.shares[0])} to {percent(s.shares[1])}" for s in swung[:5])
        summary += f" Classes whose share at least halves or doubles, from training to test rows: {words}."
    return (
        Finding(
            "label_drift",
            "error" if bad else "warning",
            "The labels are distributed differently in the test rows",
            summary,
            LABEL,
            ("label_drift",),
            ("Find out which class shares the model will meet in use, and weigh the test figures accordingly.",),
            effects=({"kind": "protocol", "what": "stratify"},),
        ),
    )


def _table(title: str, compared: Sequence[_Compared]) -> Table:
    words = {"finding": "drift", "unknown": "unknown", "none": "no drift found"}
    order = sorted(compared, key=lambda c: (-c.result.value, c.name))
    rows = tuple(
        (c.name, c.statistic, c.result.value, c.result.in_sd, c.q, c.n[0], c.n[1], words[c.verdict]) for c in order
    )
    columns = ("variable", "statistic", "value", "as a mean shift (SD)", "adjusted p", "training values",
               "test values", "result")  # fmt: skip
    return Table(title, columns, rows)
