"""Missing values: how many, where, whether they differ between splits, and whether they depend on other values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.methods.declaration import Params, precaution
from pgx_compiler.methods.precaution._prediction import MOST_ROWS, Auc, folds_of, mean_auc, scores_from_all
from pgx_compiler.methods.precaution._significance import benjamini_hochberg, homogeneity, judge, wilson
from pgx_compiler.methods.precaution._thresholds import threshold
from pgx_compiler.methods.precaution._wording import listing, measure_names, number, percent
from pgx_compiler.modalities.data import AuditData, Split, Variable


class MissingValuesParams(Params):
    """From when on missing values are a finding."""

    warn: float = threshold("missing_values.warn")
    """Share of a variable's training values that are missing, above which it is a warning."""
    fail: float = threshold("missing_values.fail")
    """Share above which it is an error."""
    difference: float = threshold("missing_values.difference")
    """Difference of the share between training and test rows, from which it is a warning."""
    auc: float = threshold("missing_values.auc")
    """AUC of telling from the other variables which values are missing, from which they are not missing at random."""


@dataclass(frozen=True)
class _Column:
    variable: Variable
    train: NDArray[np.bool_]
    """True where missing."""
    test: NDArray[np.bool_] | None

    @property
    def share(self) -> float:
        return float(self.train.mean()) if len(self.train) else 0.0


@precaution(
    codes=("missing_values", "missing_not_at_random"),
    measures=("rows_incomplete", "share_missing_max", "share_missing_{variable}"),
)
def missing_values(data: AuditData, params: MissingValuesParams, rng: np.random.Generator) -> Report:
    """Count missing values in every variable, and look for a pattern in what is missing.

    Reading:
        The share of missing values of each variable, with the share in the test rows beside it. Where the other
        variables tell well which values are missing (an AUC of 0.5 is chance, 1 is certainty), the gaps carry
        information: filling them with a mean or a most common value would distort the data, often for one group
        of people more than for another.

    Limits:
        Values that stand for "unknown" without being empty (such as -1, 999 or "other") are not recognised.
        That no pattern was found does not show that values are missing by pure chance: the reason may lie in the
        missing value itself, which no data can show.
    """
    columns = [
        _Column(v, _missing(v.train), None if v.test is None else _missing(v.test))
        for v in sorted(data.variables, key=lambda v: v.name)
        if v.role != "id"
    ]
    names = measure_names("share_missing", [c.variable.name for c in columns])
    findings = [*_shares(columns, names, params), *_differences(columns, names, params), *_labels(data)]
    patterned, told = _patterns(columns, names, params, rng)
    findings += patterned
    incomplete = _incomplete(data.train)
    n = len(incomplete)
    worst = max(columns, key=lambda c: c.share, default=None)
    measures = [
        Measure("rows_incomplete", float(incomplete.mean()) if n else None,
                "Share of training rows whose model inputs are incomplete", n, "share",
                wilson(int(incomplete.sum()), n), better="lower", reason=None if n else "no training rows"),
        Measure("share_missing_max", worst.share if worst else None,
                "Largest share of missing training values of a variable", n, "share",
                wilson(int(worst.train.sum()), n) if worst else None, better="lower",
                subject=worst.variable.name if worst else None, reason=None if worst else "there are no variables"),
    ]  # fmt: skip
    for column in columns:
        name = names[column.variable.name]
        if any(name in finding.measures for finding in findings):
            title = f"Share of missing training values of {column.variable.name}"
            measures.append(Measure(name, column.share, title, n, "share", wilson(int(column.train.sum()), n),
                                    better="lower", subject=column.variable.name))  # fmt: skip
    return Report(tuple(measures), tuple(findings), _table(columns, told))


def _missing(values: NDArray[Any]) -> NDArray[np.bool_]:
    missing: NDArray[np.bool_] = ~np.isfinite(values) if values.dtype.kind == "f" else np.asarray(values) < 0
    return missing


_AT_ONCE = 100_000
"""Rows looked at together."""


def _incomplete(split: Split) -> NDArray[np.bool_]:
    gaps = np.zeros(len(split), bool)
    for array in split.inputs.values():
        for start in range(0, len(split), _AT_ONCE):
            rows = np.asarray(array[start : start + _AT_ONCE])
            flat = rows.reshape(len(rows), -1)
            if flat.dtype.kind == "f":
                gaps[start : start + len(rows)] |= ~np.isfinite(flat).all(axis=1)
            elif flat.dtype.kind == "O":
                gone = np.array([any(v is None or v != v for v in row) for row in flat], bool)
                gaps[start : start + len(rows)] |= gone
    return gaps


def _shares(columns: Sequence[_Column], names: dict[str, str], params: MissingValuesParams) -> list[Finding]:
    found = []
    for column in columns:
        name, n, count = column.variable.name, len(column.train), int(column.train.sum())
        if n < threshold("missing_values.min_rows"):
            if count:
                found.append(
                    Finding("missing_values", "info", f"Too few rows to judge the gaps in `{name}`",
                            f"{count} of {n} values are missing.", name, (names[name],),
                            ("Collect more rows.",), "unknown")
                )  # fmt: skip
            continue
        # What a file lacks is counted, not estimated: no test stands between the count and the finding.
        if column.share > params.warn:
            found.append(
                Finding(
                    "missing_values",
                    "error" if column.share > params.fail else "warning",
                    f"`{name}` lacks {percent(column.share)} of its training values",
                    f"{count} of {n} training values are missing; up to {percent(params.warn)} is taken as harmless.",
                    name,
                    (names[name],),
                    (
                        "Find out why the values are missing before filling them.",
                        "Add a column that says whether the value was missing; fit any filling on training rows only.",
                    ),
                    effects=({"kind": "add", "what": "missing_indicator", "values": [False, True]},),
                )
            )
    return found


def _differences(columns: Sequence[_Column], names: dict[str, str], params: MissingValuesParams) -> list[Finding]:
    pairs = [(c, c.test) for c in columns if c.test is not None and (c.train.any() or c.test.any())]
    q = benjamini_hochberg(
        [homogeneity(np.array([[t.sum(), (~t).sum()] for t in (c.train, test)], np.float64)) for c, test in pairs]
    )
    found, undecided = [], []
    for (column, test), q_value in zip(pairs, q, strict=True):
        name, gap = column.variable.name, float(test.mean()) - column.share if len(test) else 0.0
        n = min(len(column.train), len(test))
        verdict = judge(abs(gap) >= params.difference, q_value, n, threshold("missing_values.min_rows"))
        if verdict == "unknown":
            undecided.append(name)
        if verdict == "finding":
            found.append(
                Finding(
                    "missing_values", "warning", f"`{name}` is missing more often in one split than in the other",
                    f"{percent(column.share)} of the training values are missing, {percent(float(test.mean()))} of the "
                    f"test values (adjusted p {number(float(q_value))}).", name, (names[name],),
                    ("Check how the two splits were collected; an indicator of the gap would not carry over.",),
                )
            )  # fmt: skip
    if undecided:
        found.append(
            Finding("missing_values", "info", "Too few rows to compare the gaps of the two splits",
                    f"For {listing(undecided)} the rows do not settle whether the splits differ.",
                    advice=("Collect more rows.",), verdict="unknown")
        )  # fmt: skip
    return found


def _labels(data: AuditData) -> list[Finding]:
    found = []
    for split in (data.train, data.test):
        if split is None or split.labels is None:
            continue
        gaps = _missing(np.asarray(split.labels))
        if gaps.any():
            found.append(
                Finding("missing_values", "error", f"{int(gaps.sum())} {split.name} rows have no label",
                        f"{int(gaps.sum())} of {len(gaps)} labels of the {split.name} rows are missing.", "label",
                        advice=("Leave these rows out, or label them.",))
            )  # fmt: skip
    return found


def _patterns(
    columns: Sequence[_Column], names: dict[str, str], params: MissingValuesParams, rng: np.random.Generator
) -> tuple[list[Finding], dict[str, Auc]]:
    least = int(threshold("missing_values.min_rows"))
    told = {
        c.variable.name: _told_from_others(c, columns, rng)
        for c in columns
        if min(c.train.sum(), (~c.train).sum()) >= least and any(o is not c for o in columns)
    }
    found = []
    for (name, result), q in zip(told.items(), benjamini_hochberg([a.p for a in told.values()]), strict=True):
        if judge(result.value >= params.auc, q, least, least) == "finding":
            found.append(
                Finding(
                    "missing_not_at_random",
                    "warning",
                    f"Which values of `{name}` are missing depends on the other variables",
                    f"The other variables, their gaps included, tell with an AUC of {number(result.value)} (interval "
                    f"{number(result.interval[0])} to {number(result.interval[1])}; chance is 0.5) which values are "
                    "missing.",
                    name,
                    (names[name],),
                    ("Keep an indicator of the gap as a feature, and read the two together as one feature.",),
                    effects=({"kind": "add", "what": "missing_indicator", "values": [False, True]},),
                )
            )
    few = [c.variable.name for c in columns if c.train.any() and c.variable.name not in told]
    if few:
        found.append(
            Finding("missing_not_at_random", "info", "Too few gaps, or too few values, to look for a pattern",
                    f"{listing(few)}: fewer than {least} missing or present values, or nothing to compare with.",
                    advice=("Collect more rows if it matters why these values are missing.",), verdict="unknown")
        )  # fmt: skip
    return found, told


def _told_from_others(column: _Column, columns: Sequence[_Column], rng: np.random.Generator) -> Auc:
    others = [c.variable for c in columns if c is not column]
    rows = np.sort(rng.permutation(len(column.train))[:MOST_ROWS])
    gaps = column.train[rows].astype(np.int64)
    sampled = [replace(v, train=v.train[rows]) for v in others]
    fold = folds_of(gaps, rng)
    return mean_auc(scores_from_all(sampled, gaps, fold, rng), gaps, fold)


def _table(columns: Sequence[_Column], told: Mapping[str, Auc]) -> tuple[Table, ...]:
    rows: list[tuple[str | float | int | None, ...]] = []
    for c in columns:
        if c.train.any() or (c.test is not None and c.test.any()):
            low, high = wilson(int(c.train.sum()), len(c.train))
            in_test = None if c.test is None or not len(c.test) else float(c.test.mean())
            pattern = told[c.variable.name].value if c.variable.name in told else None
            rows.append((c.variable.name, c.share, low, high, in_test, pattern))
    titles = ("variable", "share of training values", "interval low", "interval high", "share of test values",
              "AUC from the other variables")  # fmt: skip
    return (Table("Missing values of each variable that has any", titles, tuple(rows)),) if rows else ()
