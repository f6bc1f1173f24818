"""Variables that say the same (Spearman 1904; Cramér's V, bias-corrected: doi:10.1016/j.jkss.2012.10.002)."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.methods.declaration import Params, precaution
from pgx_compiler.methods.precaution._significance import benjamini_hochberg, homogeneity, judge
from pgx_compiler.methods.precaution._thresholds import threshold
from pgx_compiler.methods.precaution._wording import listing, measure_names, number
from pgx_compiler.modalities.data import MOST_ROWS, AuditData, Variable, drawn_rows
from runtimes.capabilities import Floats, Integers


class CorrelationParams(Params):
    """From when on two variables count as saying the same."""

    warn: float = threshold("correlation.warn")
    """Absolute correlation (or Cramér's V) from which a pair is a warning."""
    cluster: float = threshold("correlation.cluster")
    """Absolute correlation that every two members of a cluster must reach."""


@precaution(
    modalities={"tabular"},
    codes=("correlated_features",),
    measures=("correlation_max", "strong_pairs", "rows_used", "correlation_{variables}"),
    paper="https://doi.org/10.1016/j.jkss.2012.10.002",
)
def correlation(data: AuditData, params: CorrelationParams) -> Report:
    """Measure how strongly the variables of a table hang together, pair by pair, and group those that do.

    Reading:
        0 is no connection, 1 a full one; the sign of a correlation is left out of account, since a variable and its
        opposite say the same. Where two variables are strongly correlated, an explanation may give their shared
        importance to either: read the members of a cluster as one, by their sum, and do not rank them.

    Limits:
        Spearman's correlation sees relations that rise or fall throughout, not curves that turn; Cramér's V compares
        categories. A number is not compared with a category here. That two variables are correlated says nothing of
        why. Of more than 200,000 training rows so many are drawn, and how many is stated beside the result.
    """
    every = sorted((v for v in data.variables if v.role not in ("id", "time")), key=lambda v: v.name)
    drawn = drawn_rows(len(data.train)) if len(data.train) > MOST_ROWS else None
    held = every if drawn is None else [replace(v, train=v.train[drawn], test=None) for v in every]
    strength, p, n = _pairwise(held)
    pairs = [(i, j) for i, j in combinations(range(len(held)), 2) if not np.isnan(strength[i, j])]
    q = np.ones_like(p)
    for (i, j), value in zip(pairs, benjamini_hochberg([p[i, j] for i, j in pairs]), strict=True):
        q[i, j] = q[j, i] = value
    verdicts = {
        (i, j): judge(strength[i, j] >= params.warn, q[i, j], n[i, j], threshold("correlation.min_rows"))
        for i, j in pairs
    }
    strong = [pair for pair in pairs if verdicts[pair] == "finding"]
    groups = _clusters(np.nan_to_num(strength), params.cluster)
    measures = [*_measures(held, pairs, strength, n, len(strong)), _rows_used(data, drawn)]
    findings: list[Finding] = []
    for group in _joined(groups, strong):
        inside = [(i, j) for i, j in strong if i in group and j in group]
        measure, finding = _finding(held, group, inside, strength, n)
        measures.append(measure)
        findings.append(finding)
    unknown = [pair for pair in pairs if verdicts[pair] == "unknown"]
    if unknown:
        names = sorted({held[i].name for pair in unknown for i in pair})
        findings.append(
            Finding("correlated_features", "info", "Too few rows to judge some correlations",
                    f"{len(unknown)} pairs of {listing(names)} rest on too few common rows.",
                    measures=("correlation_max",), advice=("Collect more rows.",), verdict="unknown")
        )  # fmt: skip
    tables = _tables(held, pairs, strength, q, n, groups)
    return Report(tuple(measures), tuple(findings), tables, {"correlation": strength})


def _rows_used(data: AuditData, drawn: Integers | None) -> Measure:
    rows = len(data.train)
    if drawn is None:
        return Measure("rows_used", float(rows), "Training rows looked at", rows, "rows")
    title = f"Rows that stand for all {rows:,} training rows here, drawn at random"
    return Measure("rows_used", float(len(drawn)), title, rows, "rows")


def _pairwise(held: Sequence[Variable]) -> tuple[Floats, Floats, Integers]:
    """Strength, p-value and common rows of each pair; NaN where the two cannot be compared."""
    from scipy.stats import rankdata

    size = len(held)
    strength, p = np.full((size, size), np.nan), np.full((size, size), np.nan)
    n = np.zeros((size, size), np.int64)
    known = [_known(v) for v in held]
    # The ranks of a complete variable serve all its pairs; with gaps, each pair has its own common rows.
    values = [
        rankdata(v.train) if v.kind == "numeric" and k.all() else v.train for v, k in zip(held, known, strict=True)
    ]
    for i, j in combinations(range(size), 2):
        if held[i].kind != held[j].kind:
            continue
        both = known[i] & known[j]
        first, second = values[i][both], values[j][both]
        if held[i].kind == "numeric" and not both.all():
            first, second = rankdata(first), rankdata(second)
        measured = _spearman(first, second) if held[i].kind == "numeric" else _cramers_v(first, second)
        n[i, j] = n[j, i] = int(both.sum())
        if measured is not None:
            strength[i, j] = strength[j, i] = measured[0]
            p[i, j] = p[j, i] = measured[1]
    return strength, p, n


def _known(variable: Variable) -> NDArray[np.bool_]:
    numeric = variable.kind == "numeric"
    known: NDArray[np.bool_] = np.isfinite(variable.train) if numeric else np.asarray(variable.train) >= 0
    return known


def _spearman(first: Floats, second: Floats) -> tuple[float, float] | None:
    """Absolute correlation of ranks and its p-value (Student's t); None where one side is constant."""
    from scipy.special import stdtr

    n = len(first)
    if n < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    value = min(1.0, abs(float(np.corrcoef(first, second)[0, 1])))
    if value == 1.0:
        return 1.0, 0.0
    return value, 2 * float(stdtr(n - 2, -value * np.sqrt((n - 2) / (1 - value**2))))


def _cramers_v(first: Integers, second: Integers) -> tuple[float, float] | None:
    """Bias-corrected Cramér's V (Bergsma 2013) and the chi-square test's p-value; None where one side is constant."""
    rows, columns = (np.unique(codes, return_inverse=True) for codes in (first, second))
    r, k, n = len(rows[0]), len(columns[0]), len(first)
    if min(r, k) < 2 or n < 3:
        return None
    counts = np.zeros((r, k))
    np.add.at(counts, (rows[1], columns[1]), 1.0)
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / n
    phi2 = float(((counts - expected) ** 2 / expected).sum()) / n
    corrected = max(0.0, phi2 - (r - 1) * (k - 1) / (n - 1))
    rows_corrected, columns_corrected = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    least = min(rows_corrected, columns_corrected) - 1
    value = float(np.sqrt(corrected / least)) if least > 0 else 0.0
    return min(1.0, value), homogeneity(counts)


def _clusters(strength: Floats, least: float) -> list[list[int]]:
    """Groups in which every two members reach `least` (complete linkage); single variables are left out."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(strength) < 2:
        return []
    distance = 1 - strength
    np.fill_diagonal(distance, 0)
    label = fcluster(linkage(squareform(distance, checks=False), "complete"), 1 - least + 1e-12, "distance")
    groups = [list(map(int, np.flatnonzero(label == value))) for value in np.unique(label)]
    return sorted(group for group in groups if len(group) > 1)


def _joined(groups: Sequence[list[int]], strong: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The clusters that hold a strong pair, and each strong pair that no cluster holds."""
    found = [group for group in groups if any(i in group and j in group for i, j in strong)]
    loose = [[i, j] for i, j in strong if not any(i in group and j in group for group in groups)]
    return found + loose


def _finding(
    held: Sequence[Variable],
    group: Sequence[int],
    inside: Sequence[tuple[int, int]],
    strength: Floats,
    n: Integers,
) -> tuple[Measure, Finding]:
    names = [held[i].name for i in group]
    subject = ", ".join(names)
    first, second = max(inside, key=lambda pair: strength[pair])
    value = float(strength[first, second])
    name = measure_names("correlation", [subject])[subject]
    measure = Measure(name, value, f"Strongest correlation among {subject}", int(n[first, second]), better="lower",
                      subject=subject)  # fmt: skip
    return measure, Finding(
        "correlated_features",
        "warning",
        f"{listing(names)} say nearly the same",
        f"`{held[first].name}` and `{held[second].name}` are correlated with {number(value)}; {len(inside)} of the "
        f"{len(group) * (len(group) - 1) // 2} pairs among these variables are strongly correlated.",
        subject,
        (name,),
        (
            "Read the importance of these variables as one sum; their order among each other means little.",
            "Prefer accumulated local effects to partial dependence for them, or keep one of them.",
        ),
        effects=({"kind": "add", "what": "l2", "values": [0.0, 0.0001, 0.001]},),
    )


def _measures(
    held: Sequence[Variable], pairs: Sequence[tuple[int, int]], strength: Floats, n: Integers, strong: int
) -> list[Measure]:
    reason = None if pairs else "no two variables of the same kind vary"
    best = max(pairs, key=lambda pair: strength[pair], default=None)
    return [
        Measure("correlation_max", float(strength[best]) if best else None,
                "Strongest correlation between two variables, without its sign", int(n[best]) if best else None,
                better="lower", subject=f"{held[best[0]].name}, {held[best[1]].name}" if best else None, reason=reason),
        Measure("strong_pairs", float(strong) if pairs else None, "Strongly correlated pairs of variables", len(pairs),
                "pairs", better="lower", reason=reason),
    ]  # fmt: skip


def _tables(
    held: Sequence[Variable],
    pairs: Sequence[tuple[int, int]],
    strength: Floats,
    q: Floats,
    n: Integers,
    groups: Sequence[Sequence[int]],
) -> tuple[Table, ...]:
    top = sorted(pairs, key=lambda pair: (-strength[pair], pair))[:30]
    words = {"numeric": "Spearman", "categorical": "Cramér's V"}
    rows = tuple(
        (held[i].name, held[j].name, words[held[i].kind], float(strength[i, j]), float(q[i, j]), int(n[i, j]))
        for i, j in top
    )
    columns = ("first", "second", "coefficient", "value", "adjusted p", "common rows")
    strongest = Table("Strongest correlations", columns, rows)
    members = tuple((k + 1, ", ".join(held[i].name for i in group)) for k, group in enumerate(groups))
    return (strongest, Table("Clusters of correlated variables", ("cluster", "variables"), members))
