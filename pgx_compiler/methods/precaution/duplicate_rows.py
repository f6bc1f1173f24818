"""Rows that occur more than once: within the training data, across the splits, and with labels that disagree."""

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.methods.declaration import Need, Params, precaution
from pgx_compiler.methods.precaution._equal_rows import equal_rows, plain
from pgx_compiler.methods.precaution._significance import judge, wilson
from pgx_compiler.methods.precaution._thresholds import threshold
from pgx_compiler.methods.precaution._wording import percent
from pgx_compiler.modalities.data import AuditData
from runtimes.capabilities import Floats, Inputs, Integers

MOST_COLUMNS = 1000
"""Columns looked at for the chance of a meeting."""


class DuplicateRowsParams(Params):
    """From when on repeated rows are a finding."""

    within: float = threshold("duplicate_rows.within")
    """Share of training rows that repeat an earlier one, above which it is a warning."""
    across: float = threshold("duplicate_rows.across")
    """Share of test rows that also stand in the training data, from which leakage is an error; below it a warning."""
    conflicts: float = threshold("duplicate_rows.conflicts")
    """Share of training rows whose twins have another label, from which it is a warning; below it a note."""


@precaution(
    codes=("duplicate_rows", "conflicting_labels", "split_leakage"),
    measures=("share_repeated", "share_conflicting", "accuracy_ceiling", "share_leaked", "leaked_by_chance"),
    measures_need={
        "share_conflicting": (Need("labels"), Need("classification")),
        "accuracy_ceiling": (Need("labels"), Need("classification")),
        "share_leaked": (Need("test"),),
        "leaked_by_chance": (Need("test"),),
    },
)
def duplicate_rows(data: AuditData, params: DuplicateRowsParams) -> Report:
    """Find rows whose model inputs are equal in every value.

    Reading:
        A test row that also stands in the training data is answered from memory: the test score is too good by
        up to that share. Equal rows with different labels bound from above what any model can reach on the
        training data. Where a table has few distinct values, some rows meet by chance; how many are to be expected
        if the columns were independent is stated beside the count.

    Limits:
        Only exact repetition is seen: a cropped or re-encoded picture, or a person with a changed address, is not.
        Columns that hang together make chance meetings more frequent than the stated expectation.
    """
    splits = [split for split in (data.train, data.test) if split is not None]
    train, *rest = equal_rows([split.inputs for split in splits], [len(split) for split in splits])
    test = rest[0] if rest else None
    _, inverse, counts = np.unique(train, return_inverse=True, return_counts=True)
    reports = (
        _within(data, inverse, counts, params),
        _conflicts(data, inverse, counts, params),
        _across(data, train, test, params),
    )
    measures = tuple(m for r in reports for m in r[0])
    rows = tuple((m.title, m.value, m.n) for m in measures)
    arrays: dict[str, NDArray[np.int64]] = {"repeated_rows": np.flatnonzero(counts[inverse] > 1)}
    if test is not None:
        arrays["leaked_test_rows"] = np.flatnonzero(np.isin(test, train))
    table = Table("Repeated rows", ("what", "value", "rows looked at"), rows)
    return Report(measures, tuple(f for r in reports for f in r[1]), (table,), arrays)


_Part = tuple[tuple[Measure, ...], tuple[Finding, ...]]


def _within(data: AuditData, inverse: Integers, counts: Integers, params: DuplicateRowsParams) -> _Part:
    n = len(inverse)
    repeats = n - len(counts)
    share = repeats / n if n else None
    expected, p = _by_chance(data.train.inputs, data.train.inputs, np.arange(n), repeats)
    measure = Measure(
        "share_repeated", share, "Share of training rows that repeat an earlier one", n, "share",
        wilson(repeats, n) if n else None, better="lower", reason=None if n else "no training rows",
    )  # fmt: skip
    verdict = judge((share or 0) > params.within, p, n, threshold("duplicate_rows.min_rows"))
    if not repeats or verdict == "none":
        return (measure,), ()
    known = verdict == "finding"
    finding = Finding(
        "duplicate_rows", "warning" if known else "info",
        f"{repeats} training rows repeat an earlier row",
        f"{repeats} of {n} training rows ({percent(repeats / n)}) equal an earlier one in every input; "
        f"about {expected:.1f} would do so by chance if the columns were independent."
        + ("" if known else " That does not settle whether they are copies."),
        measures=("share_repeated",),
        advice=("Remove copies, or keep all copies of a row in the same split and fold.",),
        verdict="holds" if known else "unknown",
        effects=({"kind": "protocol", "what": "group_duplicates"},) if known else (),
    )  # fmt: skip
    return (measure,), (finding,)


def _across(data: AuditData, train: Integers, test: Integers | None, params: DuplicateRowsParams) -> _Part:
    title = "Share of test rows that also stand in the training data"
    if data.test is None or test is None or not len(test):
        return (Measure("share_leaked", None, title, reason="the audit has no test rows"),), ()
    leaked = np.flatnonzero(np.isin(test, train))
    n, share = len(test), len(leaked) / len(test)
    expected, p = _by_chance(data.test.inputs, data.train.inputs, np.full(n, len(train)), len(leaked))
    measures = (
        Measure("share_leaked", share, title, n, "share", wilson(len(leaked), n), better="lower"),
        Measure(
            "leaked_by_chance", expected / n, "The same share, expected by chance of independent columns", n, "share"
        ),
    )
    # One test row in the training data is a fact, not an estimate; chance is all that can excuse it.
    if not len(leaked):
        return measures, ()
    if judge(True, p, n, threshold("duplicate_rows.min_rows")) == "unknown":
        note = f"{len(leaked)} of {n} test rows equal a training row; about {expected:.1f} are expected by chance."
        return measures, (
            Finding("split_leakage", "info", "Some test rows equal training rows, perhaps by chance", note,
                    measures=("share_leaked", "leaked_by_chance"),
                    advice=("Compare the rows by an identifier that the model does not read.",), verdict="unknown"),
        )  # fmt: skip
    return measures, (
        Finding(
            "split_leakage",
            "error" if share >= params.across else "warning",
            f"{len(leaked)} test rows also stand in the training data",
            f"{len(leaked)} of {n} test rows ({percent(share)}) equal a training row in every input; about "
            f"{expected:.1f} are expected by chance.",
            measures=("share_leaked", "leaked_by_chance"),
            advice=("Take these rows out of the test data and measure again.",),
            effects=({"kind": "protocol", "what": "group_duplicates"},),
        ),
    )


def _conflicts(data: AuditData, inverse: Integers, counts: Integers, params: DuplicateRowsParams) -> _Part:
    title = "Share of training rows whose twins have another label"
    if data.task != "classification" or data.train.labels is None:
        reason = "no labels" if data.train.labels is None else "labels of a regression may differ by noise"
        return (Measure("share_conflicting", None, title, reason=reason),), ()
    n = len(inverse)
    labels = np.unique(data.train.labels, return_inverse=True)[1]
    kinds = int(labels.max(initial=0)) + 1
    pairs, sizes = np.unique(inverse * kinds + labels, return_counts=True)
    most = np.zeros(len(counts), np.int64)
    np.maximum.at(most, pairs // kinds, sizes)
    conflicting = int(counts[most < counts].sum())
    share = conflicting / n if n else 0.0
    measures = (
        Measure("share_conflicting", share if n else None, title, n, "share", wilson(conflicting, n) if n else None,
                better="lower", reason=None if n else "no training rows"),
        Measure("accuracy_ceiling", float(most.sum() / n) if n else None,
                "Best accuracy that any model can reach on the training rows", n, "share", better="higher",
                reason=None if n else "no training rows"),
    )  # fmt: skip
    if not conflicting:
        return measures, ()
    return measures, (
        Finding(
            "conflicting_labels",
            "warning" if share >= params.conflicts else "info",
            f"{conflicting} training rows have twins with another label",
            f"{conflicting} of {n} training rows ({percent(share)}) equal a row with another label in every input; no "
            f"model can be right on more than {percent(float(most.sum() / n))} of the training rows.",
            measures=("share_conflicting", "accuracy_ceiling"),
            advice=("Have these rows labelled again, or add the input that tells them apart.",),
        ),
    )


def _by_chance(inputs: Inputs, pool: Inputs, partners: Integers, seen: int) -> tuple[float, float]:
    """Chance meetings if the columns were independent: how many to expect, and P(at least as many as were seen).

    Row i has ``partners[i]`` rows of the pool to meet; it meets one with the product of its values' frequencies.
    """
    from scipy.special import pdtrc

    if not seen:
        return 0.0, 1.0
    log_meeting = np.zeros(len(partners))
    for name, array in inputs.items():
        rows, drawn = (np.asarray(a).reshape(len(a), -1) for a in (array, pool[name]))
        # Fewer columns only make a meeting look likelier, which errs on the side of chance.
        for column in np.unique(np.linspace(0, rows.shape[1] - 1, MOST_COLUMNS).astype(np.int64)):
            own, theirs = (plain(part[:, [column]])[:, 0] for part in (rows, drawn))
            log_meeting += np.log(np.maximum(_frequencies(own, theirs), 1e-300))
    expected = float((-np.expm1(partners * np.log1p(-np.minimum(np.exp(log_meeting), 1 - 1e-12)))).sum())
    return expected, float(pdtrc(seen - 1, expected))


def _frequencies(values: NDArray[np.generic], pool: NDArray[np.generic]) -> Floats:
    """Share of the pool that equals each value."""
    known, counts = np.unique(pool, return_counts=True)
    # looked up in order: of millions each would else be a walk through all of memory
    order = np.argsort(values)
    place = np.empty(len(values), np.int64)
    place[order] = np.minimum(np.searchsorted(known, values[order]), len(known) - 1)
    same = known[place] == values
    if values.dtype.kind == "f":
        same |= np.isnan(known[place].astype(np.float64)) & np.isnan(values.astype(np.float64))
    return np.where(same, counts[place] / len(pool), 0.0)
