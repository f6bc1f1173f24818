"""Do labels differ between groups of people, and can the group be read off other variables? (29 CFR 1607.4 D)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.results import Finding, Measure, Report, Table, concat_reports
from pgx_compiler.methods.declaration import Need, Params, UnfitParams, precaution
from pgx_compiler.methods.precaution._groups import Groups, groups_of, proxies
from pgx_compiler.methods.precaution._significance import (
    benjamini_hochberg,
    homogeneity,
    judge,
    ratio_interval,
    wilson,
)
from pgx_compiler.methods.precaution._thresholds import threshold
from pgx_compiler.methods.precaution._wording import listing, measure_names, not_measured, number, percent
from pgx_compiler.modalities.data import AuditData, Variable
from runtimes.capabilities import Integers


class SensitiveGroupsParams(Params):
    """Which groups are compared, on which label, and from when on a difference is a finding."""

    favourable: str | None = None
    """The class that is good for the person concerned (``approved``); left out: every class is compared."""
    cuts: Mapping[str, tuple[float, ...]] = {}
    """Where a numeric sensitive variable is cut into groups: ``{age: [25, 60]}``; left out: at its quartiles."""
    label_ratio: float = threshold("sensitive_groups.label_ratio")
    """Ratio of the lowest to the highest group's share of a label, below which it is a finding."""
    proxy: float = threshold("sensitive_groups.proxy_single")
    """AUC of telling the group from one other variable, from which that variable is a proxy."""
    proxy_joint: float = threshold("sensitive_groups.proxy_joint")
    """AUC of telling the group from all other variables together, from which it is a finding."""


@precaution(
    codes=("group_disparity", "sensitive_proxy"),
    measures=("label_ratio_min", "proxy_auc_max", "label_ratio_{group}", "proxy_auc_{group}_{variable}"),
    measures_need={
        "label_ratio_min": (Need("labels"), Need("sensitive")),
        "label_ratio_{group}": (Need("labels"), Need("sensitive")),
        "proxy_auc_max": (Need("sensitive"),),
        "proxy_auc_{group}_{variable}": (Need("sensitive"),),
    },
)
def sensitive_groups(data: AuditData, params: SensitiveGroupsParams, rng: np.random.Generator) -> Report:
    """Compare the labels of the training rows between groups of people, and look for variables that give a group away.

    Reading:
        The ratio divides the share of a label in the group where it is lowest by that in the group where it is
        highest; below 0.8, a guideline of employment law asks for a reason (the four-fifths rule). A proxy is a
        variable from which the group can be told: an AUC of 0.5 is chance, 1 is certainty. Where there are proxies,
        leaving the sensitive variable out does not make a model blind to it; explain the variable and its proxies
        together.

    Limits:
        This is about the labels in the data, not about a model's decisions. A difference between groups is no proof of
        discrimination and its absence no proof of fairness. Groups with few rows are not judged, and groups are not
        crossed with each other. For a regression, the label compared is a value above the median.
    """
    sensitive = sorted(data.of_role("sensitive"), key=lambda v: v.name)
    if not sensitive:
        reason = "no variable is declared sensitive (`role: sensitive`)"
        return concat_reports(
            (
                not_measured("label_ratio_min", "Lowest ratio of a label's shares between two groups", reason),
                not_measured("proxy_auc_max", "How well a group can be told from another variable (AUC)", reason),
            )
        )
    others = sorted(data.of_role("feature"), key=lambda v: v.name)
    found = proxies(sensitive, others, params.cuts, (params.proxy, params.proxy_joint), rng)
    return concat_reports((_disparities(data, sensitive, params), found))


@dataclass(frozen=True)
class _Compared:
    """One label's shares in the groups of one sensitive variable that have enough rows."""

    groups: Groups
    label: str
    hits: Integers
    sizes: Integers
    lowest: int
    highest: int
    p: float
    q: float = 1.0

    def share(self, group: int) -> float:
        return float(self.hits[group] / self.sizes[group])

    @property
    def ratio(self) -> float:
        return self.share(self.lowest) / self.share(self.highest) if self.hits[self.highest] else 1.0

    def interval(self) -> tuple[float, float] | None:
        """Wider where the two groups were picked among more."""
        judged = int((self.sizes >= threshold("sensitive_groups.min_rows")).sum())
        pair = (self.lowest, self.highest)
        a, b = (float(self.hits[g]) for g in pair)
        return ratio_interval(
            (a, b), (float(self.sizes[pair[0]]), float(self.sizes[pair[1]])), judged * (judged - 1) // 2
        )


def _disparities(data: AuditData, sensitive: Sequence[Variable], params: SensitiveGroupsParams) -> Report:
    title = "Lowest ratio of a label's shares between two groups"
    if data.train.labels is None:
        return not_measured("label_ratio_min", title, "no labels")
    every = [groups_of(v, params.cuts.get(v.name) or None) for v in sensitive]
    outcomes = _outcomes(data, params)
    compared = [c for g in every for label, hit in outcomes.items() if (c := _compare(g, label, hit)) is not None]
    q = benjamini_hochberg([c.p for c in compared])
    compared = [replace(c, q=float(v)) for c, v in zip(compared, q, strict=True)]
    measures, findings = _judge_disparities(compared, params)
    worst = min(compared, key=lambda c: c.ratio, default=None)
    lowest = Measure("label_ratio_min", worst.ratio if worst else None, title,
                     int(worst.sizes.sum()) if worst else None, interval=worst.interval() if worst else None,
                     better="higher", subject=worst.groups.name if worst else None,
                     reason=None if worst else "fewer than two groups have enough rows")  # fmt: skip
    tables = tuple(_shares_table(g, outcomes) for g in every)
    return Report((lowest, *measures), (*findings, *_small_groups(every)), tables)


def _outcomes(data: AuditData, params: SensitiveGroupsParams) -> dict[str, NDArray[np.bool_]]:
    labels = np.asarray(data.train.labels)
    if data.task == "regression":
        return {"above the median": labels > np.nanmedian(labels)}
    if params.favourable is not None and params.favourable not in data.classes:
        raise UnfitParams(f"`favourable: {params.favourable}` is none of the classes {listing(data.classes, 20)}")
    wanted = data.classes if params.favourable is None else (params.favourable,)
    return {name: labels == data.classes.index(name) for name in wanted}


def _compare(groups: Groups, label: str, hit: NDArray[np.bool_]) -> _Compared | None:
    sizes = groups.sizes()
    known = groups.codes >= 0
    hits = np.bincount(groups.codes[known], hit[known], len(sizes)).astype(np.int64)
    judged = np.flatnonzero(sizes >= threshold("sensitive_groups.min_rows"))
    if len(judged) < 2:
        return None
    share = hits[judged] / sizes[judged]
    p = homogeneity(np.stack([hits[judged], sizes[judged] - hits[judged]], axis=1).astype(np.float64))
    return _Compared(groups, label, hits, sizes, int(judged[share.argmin()]), int(judged[share.argmax()]), p)


def _judge_disparities(
    compared: Sequence[_Compared], params: SensitiveGroupsParams
) -> tuple[list[Measure], list[Finding]]:
    keys = [f"{c.groups.name} {c.label}" for c in compared]
    names = measure_names("label_ratio", keys)
    measures, findings, open_ = [], [], []
    for key, c in zip(keys, compared, strict=True):
        verdict = judge(c.ratio < params.label_ratio, c.q, 1, 1)
        if verdict == "unknown":
            open_.append(f"{c.groups.name}: {c.label}")
        if verdict != "finding":
            continue
        low, high = c.groups.labels[c.lowest], c.groups.labels[c.highest]
        interval = c.interval()
        measures.append(
            Measure(names[key], c.ratio, f"Share of {c.label} in {c.groups.name} {low}, divided by that in {high}",
                    int(c.sizes.sum()), interval=interval, better="higher", subject=c.groups.name)
        )  # fmt: skip
        findings.append(_disparity(c, names[key], interval, params.label_ratio))
    if open_:
        findings.append(
            Finding("group_disparity", "info", "Too few rows to settle some differences between groups",
                    f"A ratio below {number(params.label_ratio)} is seen for {listing(open_)}, but it may be chance.",
                    measures=("label_ratio_min",), advice=("Collect more rows of the smaller groups.",),
                    verdict="unknown")
        )  # fmt: skip
    return measures, findings


def _disparity(c: _Compared, measure: str, interval: tuple[float, float] | None, limit: float) -> Finding:
    low, high = c.groups.labels[c.lowest], c.groups.labels[c.highest]
    between = "" if interval is None else f", interval {number(interval[0])} to {number(interval[1])}"
    return Finding(
        "group_disparity",
        "error" if interval is not None and interval[1] < limit else "warning",
        f"Label `{c.label}` is unevenly spread over the groups of `{c.groups.name}`",
        f"{percent(c.share(c.lowest))} of {c.sizes[c.lowest]} rows in `{low}`, {percent(c.share(c.highest))} of "
        f"{c.sizes[c.highest]} in `{high}`: a ratio of {number(c.ratio)}{between} (adjusted p {number(c.q)}).",
        c.groups.name,
        (measure,),
        (
            "Ask how the labels came about, and measure the model's own decisions for each group.",
            "Read the attribution of this variable together with that of its proxies.",
        ),
        effects=({"kind": "protocol", "what": "stratify_by", "variable": c.groups.name},),
    )


def _small_groups(every: Sequence[Groups]) -> list[Finding]:
    least = threshold("sensitive_groups.min_rows")
    small = [f"{g.name}: {label}" for g in every for label, n in zip(g.labels, g.sizes(), strict=True) if n < least]
    if not small:
        return []
    return [
        Finding("group_disparity", "info", "Some groups have too few rows to be compared",
                f"Fewer than {least:.0f} training rows: {listing(small)}. Nothing is said of them.",
                advice=("Collect more rows of these groups, or join groups that may be treated alike.",),
                verdict="unknown")
    ]  # fmt: skip


def _shares_table(groups: Groups, outcomes: Mapping[str, NDArray[np.bool_]]) -> Table:
    rows: list[tuple[str | float | int | None, ...]] = []
    for code, (label, n) in enumerate(zip(groups.labels, groups.sizes(), strict=True)):
        for outcome, hit in outcomes.items():
            hits = int(hit[groups.codes == code].sum())
            low, high = wilson(hits, n)
            rows.append((label, int(n), outcome, float(hits / n) if n else None, low, high))
    columns = ("group", "training rows", "label", "share", "interval low", "interval high")
    return Table(f"Labels by group of {groups.name}", columns, tuple(rows))
