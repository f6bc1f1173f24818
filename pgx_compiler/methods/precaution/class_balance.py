"""Volume and balance of the classes (KEEL imbalanced data sets: https://doi.org/10.1016/j.ins.2013.07.007)."""

import numpy as np

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.methods.declaration import Params, precaution
from pgx_compiler.methods.precaution._significance import chi_square_tail, judge, wilson
from pgx_compiler.methods.precaution._thresholds import threshold
from pgx_compiler.methods.precaution._wording import listing, not_measured, number, percent
from pgx_compiler.modalities.data import AuditData, Split
from runtimes.capabilities import Integers


class ClassBalanceParams(Params):
    """When classes count as unbalanced or too small."""

    ratio: float = threshold("class_balance.imbalance_ratio")
    """Rows of the most common class for each row of the rarest, from which the classes count as unbalanced."""
    rarest_times_classes: float = threshold("class_balance.rarest_times_classes")
    """Share of the rarest class times the number of classes, below which the classes count as unbalanced."""
    warn_rows: int = int(threshold("class_balance.rows_per_class.warn"))
    """Training rows below which a class is called small."""
    fail_rows: int = int(threshold("class_balance.rows_per_class.fail"))
    """Training rows below which a class is called too small to learn or to judge."""


@precaution(
    tasks={"classification"},
    needs={"labels"},
    codes=("class_imbalance", "small_sample"),
    measures=("n_rows", "n_classes", "rows_rarest", "share_rarest", "imbalance_ratio"),
)
def class_balance(data: AuditData, params: ClassBalanceParams) -> Report:
    """Count the training rows of each class.

    Reading:
        The imbalance ratio is the number of rows of the most common class for each row of the rarest; 1 is perfect
        balance. Where it is high, accuracy says little: a model that never predicts the rare class looks good.
        A class with few rows has wide intervals in everything that is said of it.

    Limits:
        Imbalance is a property of the data, often a true one, not a fault. The counts say nothing of whether the
        rows of a class are varied. How many rows are enough depends on the task; the limits here are defaults.
    """
    if data.train.labels is None:
        return not_measured("imbalance_ratio", "Rows of the most common class for each of the rarest", "no labels")
    counts = _counts(data.train, len(data.classes))
    n, classes = int(counts.sum()), len(counts)
    rarest, commonest = int(counts.argmin()), int(counts.argmax())
    ratio = counts[commonest] / counts[rarest] if counts[rarest] else None
    absent = "a class has no training row" if n else "no training row has a label"
    measures = (
        Measure("n_rows", float(n), "Training rows with a label", n, "rows"),
        Measure("n_classes", float(classes), "Classes", n),
        Measure("rows_rarest", float(counts[rarest]), "Training rows of the rarest class", n, "rows",
                better="higher", subject=data.classes[rarest]),
        Measure("share_rarest", float(counts[rarest] / n) if n else None, "Share of the rarest class", n, "share",
                wilson(counts[rarest], n), better="higher", subject=data.classes[rarest], reason=None if n else absent),
        Measure("imbalance_ratio", None if ratio is None else float(ratio),
                "Rows of the most common class for each row of the rarest", n, better="lower",
                reason=absent if ratio is None else None),
    )  # fmt: skip
    findings = (*_imbalance(data, counts, params), *_small(data, counts, params))
    return Report(measures, findings, (_table(data, counts),))


def _counts(split: Split, classes: int) -> Integers:
    labels = np.asarray(split.labels, np.int64)
    return np.bincount(labels[(labels >= 0) & (labels < classes)], minlength=classes).astype(np.int64)


def _imbalance(data: AuditData, counts: Integers, params: ClassBalanceParams) -> tuple[Finding, ...]:
    n, classes, rarest = int(counts.sum()), len(counts), int(counts.argmin())
    if n == 0 or classes < 2:
        return ()
    expected = n / classes
    p = chi_square_tail(float(((counts - expected) ** 2 / expected).sum()), classes - 1)
    unbalanced = counts.max() >= params.ratio * counts[rarest]
    unbalanced = bool(unbalanced or counts[rarest] / n * classes < params.rarest_times_classes)
    verdict = judge(unbalanced, p, n, params.warn_rows)
    if verdict == "none":
        return ()
    named = f"`{data.classes[rarest]}` has {counts[rarest]} of {n} training rows ({percent(counts[rarest] / n)})"
    if verdict == "unknown":
        return (
            Finding(
                "class_imbalance", "info", "Too few rows to tell whether the classes are balanced",
                f"{named}; with so few rows such counts may be chance.", measures=("imbalance_ratio", "n_rows"),
                advice=("Collect more labelled rows.",), verdict="unknown",
            ),
        )  # fmt: skip
    return (
        Finding(
            "class_imbalance",
            "warning",
            f"Class `{data.classes[rarest]}` is rare",
            f"{named}, the most common class `{data.classes[int(counts.argmax())]}` {counts.max()}.",
            data.classes[rarest],
            ("imbalance_ratio", "share_rarest"),
            (
                "Judge the model by balanced accuracy, precision and recall, or log loss; not by accuracy.",
                "Keep the class shares equal in every split, and try class weights or another decision threshold.",
            ),
            effects=(
                {"kind": "protocol", "what": "stratify"},
                {"kind": "add", "what": "class_weight", "values": ["none", "balanced"]},
            ),
        ),
    )


def _small(data: AuditData, counts: Integers, params: ClassBalanceParams) -> tuple[Finding, ...]:
    small = [i for i in np.argsort(counts, kind="stable") if counts[i] < params.warn_rows]
    if not small:
        return ()
    fewest = int(counts[small[0]])
    return (
        Finding(
            "small_sample",
            "error" if fewest < params.fail_rows else "warning",
            f"{len(small)} of {len(counts)} classes have fewer than {params.warn_rows} training rows",
            f"The smallest, `{data.classes[small[0]]}`, has {fewest}: {listing([data.classes[i] for i in small])}. "
            "What the audit says of these classes rests on few rows.",
            data.classes[small[0]],
            ("rows_rarest",),
            (
                "Collect more rows of these classes, or join classes that may be treated alike.",
                "Read intervals, not single figures, for these classes.",
            ),
            effects=(
                {"kind": "protocol", "what": "stratify"},
                {"kind": "seed", "what": "small_model"},
            ),
        ),
    )


def _table(data: AuditData, counts: Integers) -> Table:
    n = max(1, int(counts.sum()))
    labelled_test = data.test is not None and data.test.labels is not None
    test = _counts(data.test, len(counts)) if data.test is not None and labelled_test else None
    rows: list[tuple[str | float | int | None, ...]] = []
    for i, name in enumerate(data.classes):
        low, high = wilson(counts[i], n)
        in_test = None if test is None else int(test[i])
        rows.append((name, int(counts[i]), float(counts[i] / n), low, high, in_test))
    columns = ("class", "training rows", "share", "interval low", "interval high", "test rows")
    return Table(f"Rows of each class ({number(n)} training rows)", columns, tuple(rows))
