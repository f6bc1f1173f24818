"""Groups of people that a sensitive variable makes, and how well they can be told from other variables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.methods.precaution._prediction import (
    MOST_ROWS,
    Auc,
    folds_of,
    mean_auc,
    scores_from_all,
    scores_from_one,
)
from pgx_compiler.methods.precaution._significance import benjamini_hochberg, judge
from pgx_compiler.methods.precaution._thresholds import threshold
from pgx_compiler.methods.precaution._wording import listing, measure_names, number
from pgx_compiler.modalities.data import Variable
from runtimes.capabilities import Integers

MOST_VALUES = 5
"""A number with at most so many distinct values is a code: each value is a group."""


@dataclass(frozen=True)
class Groups:
    """The training rows, sorted into groups."""

    name: str
    labels: tuple[str, ...]
    codes: Integers
    """Each training row's group; -1 where it is missing."""

    def sizes(self) -> Integers:
        """Training rows of each group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.labels)).astype(np.int64)


def groups_of(variable: Variable, cuts: Sequence[float] | None) -> Groups:
    """The groups of one variable: its categories, a code's values, or a number cut at `cuts` or its quartiles."""
    if variable.kind == "categorical":
        return Groups(variable.name, variable.categories, np.asarray(variable.train, np.int64))
    values = np.asarray(variable.train, np.float64)
    known = np.isfinite(values)
    distinct = np.unique(values[known])
    if cuts is None and len(distinct) <= MOST_VALUES:
        codes = np.searchsorted(distinct, values)
        labels = tuple(f"{v:g}" for v in distinct)
    else:
        at = np.unique(np.quantile(values[known], [0.25, 0.5, 0.75])) if cuts is None else np.unique(cuts)
        codes = np.searchsorted(at, values)
        labels = (f"up to {at[0]:.3g}", *(f"{a:.3g} to {b:.3g}" for a, b in pairwise(at)),
                  f"above {at[-1]:.3g}")  # fmt: skip
    return Groups(variable.name, labels, np.where(known, codes, -1).astype(np.int64))


@dataclass(frozen=True)
class _Told:
    """How well one sensitive variable's groups can be told from one variable, or from all (name is None)."""

    of: str
    name: str | None
    auc: Auc
    n: int
    q: float = 1.0


def proxies(
    sensitive: Sequence[Variable],
    others: Sequence[Variable],
    cuts: Mapping[str, Sequence[float]],
    limits: tuple[float, float],
    rng: np.random.Generator,
) -> Report:
    """Find the variables that stand in for a sensitive one. `limits`: AUC of a single variable, and of all together."""
    title = "How well a group can be told from another variable (AUC)"
    told, unknown = [], []
    for variable in sensitive:
        found = _tell(variable, others, cuts.get(variable.name) or None, rng) if others else []
        told += found
        if not found:
            unknown.append(variable.name)
    q = benjamini_hochberg([t.auc.p for t in told])
    told = [replace(t, q=float(v)) for t, v in zip(told, q, strict=True)]
    single = [t for t in told if t.name is not None]
    best = max(single, key=lambda t: t.auc.value, default=None)
    measures = [
        Measure("proxy_auc_max", best.auc.value if best else None, title, best.n if best else None,
                interval=best.auc.interval if best else None, better="lower",
                subject=f"{best.of}, {best.name}" if best else None,
                reason=None if best else "too few rows in each group, or no other variable")
    ]  # fmt: skip
    findings: list[Finding] = []
    for variable in sensitive:
        own = [t for t in told if t.of == variable.name]
        names = measure_names(f"proxy_auc_{variable.name}", [t.name or "all together" for t in own])
        more, finding = _judge_proxies(variable.name, own, names, limits)
        measures += more
        findings += finding
    if unknown:
        findings.append(
            Finding("sensitive_proxy", "info", "Too few rows to look for proxies",
                    f"{listing(unknown)}: there are not two groups with enough rows, or there is no other variable.",
                    measures=("proxy_auc_max",), advice=("Collect more rows of the smaller groups.",),
                    verdict="unknown")
        )  # fmt: skip
    return Report(tuple(measures), tuple(findings), (_proxy_table(told),))


def _tell(
    variable: Variable, others: Sequence[Variable], cuts: Sequence[float] | None, rng: np.random.Generator
) -> list[_Told]:
    """AUC of every other variable and of all; numbers are split at the median unless cuts are stated."""
    groups = groups_of(variable, cuts)
    if cuts is None and variable.kind == "numeric" and len(groups.labels) > 2:
        groups = groups_of(variable, [float(np.nanmedian(variable.train))])
    enough = np.flatnonzero(groups.sizes() >= threshold("sensitive_groups.min_rows"))
    if len(enough) < 2:
        return []
    rows = np.flatnonzero(np.isin(groups.codes, enough))
    rows = np.sort(rng.permutation(rows)[:MOST_ROWS])
    codes = np.searchsorted(enough, groups.codes[rows]).astype(np.int64)
    fold = folds_of(codes, rng)
    sampled = [replace(v, train=v.train[rows]) for v in others]
    told = [
        _Told(variable.name, v.name, mean_auc(scores_from_one(v, codes, fold), codes, fold), len(rows)) for v in sampled
    ]
    joint = mean_auc(scores_from_all(sampled, codes, fold, rng), codes, fold)
    return [*told, _Told(variable.name, None, joint, len(rows))]


def _judge_proxies(
    name: str, told: Sequence[_Told], names: Mapping[str, str], limits: tuple[float, float]
) -> tuple[list[Measure], list[Finding]]:
    single = [t for t in told if t.name and judge(t.auc.value >= limits[0], t.q, 1, 1) == "finding"]
    joint = [t for t in told if not t.name and judge(t.auc.value >= limits[1], t.q, 1, 1) == "finding"]
    if not single and not joint:
        return [], []
    single = sorted(single, key=lambda t: -t.auc.value)
    words = "; ".join(f"`{t.name}` {number(t.auc.value)}" for t in single[:5])
    together = next(t.auc for t in told if not t.name)
    measures = [
        Measure(names[t.name or "all together"], t.auc.value,
                f"How well {name} can be told from {t.name or 'all other variables together'} (AUC)", t.n,
                interval=t.auc.interval, better="lower", subject=name)
        for t in told if t in single or not t.name
    ]  # fmt: skip
    summary = (
        f"From one variable: {words} (AUC; 0.5 is chance). " if single else "No single variable gives it away. "
    ) + (
        f"From all other variables together: {number(together.value)}, interval {number(together.interval[0])} to "
        f"{number(together.interval[1])}."
    )
    return measures, [
        Finding(
            "sensitive_proxy",
            "warning",
            f"`{name}` can be told from other variables",
            summary,
            name,
            tuple(m.name for m in measures),
            (
                "A low attribution of this variable alone does not clear the model: explain it with its proxies.",
                "Leaving the variable out does not make a model blind to it.",
            ),
        )
    ]


def _proxy_table(told: Sequence[_Told]) -> Table:
    order = sorted(told, key=lambda t: (t.of, -t.auc.value, t.name or ""))
    rows = tuple(
        (t.of, t.name or "all together", t.auc.value, t.auc.interval[0], t.auc.interval[1], t.q, t.n) for t in order
    )
    columns = ("sensitive variable", "told from", "AUC", "interval low", "interval high", "adjusted p", "rows")
    return Table("How well sensitive variables can be told from others", columns, rows)
