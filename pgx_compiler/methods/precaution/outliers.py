"""Values far from the rest of their variable (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.methods.declaration import Params, precaution
from pgx_compiler.methods.precaution._significance import benjamini_hochberg, binomial_tail, judge, wilson
from pgx_compiler.methods.precaution._thresholds import threshold
from pgx_compiler.methods.precaution._wording import listing, measure_names, number, percent
from pgx_compiler.modalities.data import AuditData, Variable
from runtimes.capabilities import Floats, Integers

FEWEST_DISTINCT = 10
"""Fewer distinct values are codes or steps: their distance has no scale."""
MAD_TO_SD = 1.4826
UNIT_TOLERANCE = 1.5
"""Far values whose median lies within this factor of a power of ten of the rest's look like another unit."""
FEWEST_IN_ANOTHER_UNIT = 3


class OutliersParams(Params):
    """When a value, and when a variable, stands out."""

    z: float = threshold("outliers.z")
    """Robust z from which a value is an outlier: distance from the median in robust standard deviations."""
    share: float = threshold("outliers.share")
    """Share of outliers in a variable, from which it is a warning."""
    extreme: float = threshold("outliers.extreme_z")
    """Robust z from which a single value is a warning: a typing error, a broken sensor or another unit."""


@dataclass(frozen=True)
class _Judged:
    variable: Variable
    flagged: Integers
    """Training rows beyond the threshold, in order."""
    largest: float
    """Robust z of the farthest value."""
    outlying: int
    extreme: int
    rows: int
    factor: float | None
    """Power of ten by which the extreme values seem to be off."""


@precaution(
    codes=("outliers",),
    measures=("share_outlying_max", "robust_z_max", "share_outlying_{variable}"),
)
def outliers(data: AuditData, params: OutliersParams) -> Report:
    """Look for values that lie far from the rest of their variable.

    Reading:
        The robust z is a value's distance from the median in robust standard deviations (from the median absolute
        deviation on its side of the median), which the outliers themselves cannot move. It is also taken on a
        logarithmic scale that makes the middle of the values symmetric, and the lesser of the two counts, so that a
        long tail by itself is not an outlier. Of normal data one value in 2,000 lies beyond 3.5.

    Limits:
        Each variable is judged by itself: a row whose values are each usual but odd together is not found.
        Categories, constants and variables with fewer than ten distinct values are not judged; where more than half
        of the values are equal, only the others are. An outlier may be right: look before removing.
    """
    numeric = sorted((v for v in data.variables if v.kind == "numeric" and v.role != "id"), key=lambda v: v.name)
    judged, left_out = [], []
    for variable in numeric:
        result = _judge_variable(variable, params)
        if isinstance(result, str):
            left_out.append((variable.name, result))
        else:
            judged.append(result)
    findings = _findings(judged, params)
    few = [name for name, reason in left_out if reason == TOO_FEW]
    if few:
        findings.append(
            Finding("outliers", "info", "Too few rows to look for outliers",
                    f"{listing(few)}: fewer than {threshold('outliers.min_rows'):.0f} values to compare.",
                    advice=("Collect more rows.",), verdict="unknown")
        )  # fmt: skip
    table = _table(judged, left_out)
    flagged = [np.stack([j.flagged, np.full_like(j.flagged, i)], axis=1) for i, j in enumerate(judged)]
    arrays = {"flagged_row_and_variable": np.concatenate([np.zeros((0, 2), np.int64), *flagged])}
    return Report(_measures(judged, findings), tuple(findings), (table,), arrays)


TOO_FEW = "too few values"


def _judge_variable(variable: Variable, params: OutliersParams) -> _Judged | str:
    values = np.asarray(variable.train, np.float64).copy()
    values[np.isinf(values)] = np.nan
    known = values[~np.isnan(values)]
    if len(known) < threshold("outliers.min_rows"):
        return TOO_FEW
    distinct, counts = np.unique(known, return_counts=True)
    if len(distinct) < FEWEST_DISTINCT:
        return "fewer than ten distinct values"
    if counts.max() * 2 > len(known):
        values[values == distinct[counts.argmax()]] = np.nan
        if (~np.isnan(values)).sum() < threshold("outliers.min_rows"):
            return "nearly all values are equal"
    z = robust_z(values)
    rows = int((~np.isnan(values)).sum())
    outlying = z > params.z
    far = outlying & (_one_scale(values) > params.extreme)
    extreme, largest = int((z > params.extreme).sum()), float(np.nanmax(z))
    flagged = np.flatnonzero(outlying)
    return _Judged(variable, flagged, largest, len(flagged), extreme, rows, _unit_factor(values, far))


def robust_z(values: Floats) -> Floats:
    """Distance from the median in robust standard deviations, each side with its own; NaN stays NaN.

    The lesser of it and the same on a logarithmic scale that makes the middle of the values symmetric, so that the
    long tail of a skewed variable is not taken for outliers.
    """
    return np.fmin(_one_scale(values), _one_scale(_symmetric(values)))


def _symmetric(values: Floats) -> Floats:
    """``log(x - c)``, with c such that the 10, 50 and 90 % quantiles become symmetric (mirrored for a left tail).

    A shift or another unit of the values does not change the result. Values beyond c, and all values where they are
    symmetric as they are, become NaN.
    """
    low, middle, high = np.nanquantile(values, [0.1, 0.5, 0.9])
    skew = low + high - 2 * middle
    if abs(skew) <= 1e-9 * (high - low):
        return np.full_like(values, np.nan)
    origin = (low * high - middle**2) / skew
    with np.errstate(invalid="ignore", divide="ignore"):
        logarithm: Floats = np.log(np.sign(skew) * (values - origin))
    return np.where(np.isfinite(logarithm), logarithm, np.nan)


def _one_scale(values: Floats) -> Floats:
    if np.isnan(values).all():
        return values
    away = values - np.nanmedian(values)
    known = away[~np.isnan(away)]
    overall = float(np.median(np.abs(known)))
    scale = np.empty_like(away)
    for side in (away >= 0, away < 0):
        own = np.abs(away[side & (away != 0)])
        # A side's own scale may only be wider: a few close values on a short side must not make their peers far.
        scale[side] = max(overall, float(np.median(own)) if len(own) else 0.0) * MAD_TO_SD
    with np.errstate(invalid="ignore", divide="ignore"):
        z: Floats = np.abs(away) / np.where(np.isnan(away), np.nan, scale)
    return np.where(away == 0, 0.0, z)


def _unit_factor(values: Floats, far: NDArray[np.bool_]) -> float | None:
    """The power of ten between the far values and the rest, where there is one."""
    rest = values[~far & ~np.isnan(values)]
    if far.sum() < FEWEST_IN_ANOTHER_UNIT or not len(rest) or np.median(rest) == 0:
        return None
    ratio = float(np.median(values[far]) / np.median(rest))
    if ratio <= 0:
        return None
    power = round(np.log10(ratio))
    near = abs(np.log10(ratio) - power) <= np.log10(UNIT_TOLERANCE)
    return float(10.0**power) if power != 0 and near else None


def _findings(judged: list[_Judged], params: OutliersParams) -> list[Finding]:
    beyond = [2 * (1 - NormalDist().cdf(z)) for z in (params.z, params.extreme)]
    q = benjamini_hochberg(
        [
            min(1.0, 2 * min(binomial_tail(j.outlying, j.rows, beyond[0]), binomial_tail(j.extreme, j.rows, beyond[1])))
            for j in judged
        ]
    )
    names = measure_names("share_outlying", [j.variable.name for j in judged])
    found = []
    for j, q_value in zip(judged, q, strict=True):
        stands_out = j.extreme > 0 or j.factor is not None or j.outlying / j.rows >= params.share
        verdict = judge(stands_out, q_value, j.rows, threshold("outliers.min_rows"))
        if verdict == "none":
            continue
        name = j.variable.name
        words = (
            f"{j.outlying} of {j.rows} training values ({percent(j.outlying / j.rows)}) lie beyond a robust z "
            f"of {number(params.z)}, {j.extreme} beyond {number(params.extreme)}; "
            f"the farthest lies at {number(j.largest)}."
        )
        advice = ["Look at the rows (their positions are in the evidence) before removing or clipping any."]
        if j.factor:
            words += f" The farthest are about {j.factor:g} times the others: perhaps another unit."
            advice.insert(0, "Check the unit in which these rows were recorded.")
        found.append(
            Finding(
                "outliers",
                "info" if verdict == "unknown" else "error" if j.factor else "warning",
                f"`{name}` holds values in another unit" if j.factor else f"`{name}` holds outliers",
                words,
                name,
                (names[name],),
                tuple(advice),
                "unknown" if verdict == "unknown" else "holds",
                ({"kind": "add", "what": "clip_inputs", "values": [False, True]},) if verdict == "finding" else (),
            )
        )
    return found


def _measures(judged: list[_Judged], findings: list[Finding]) -> tuple[Measure, ...]:
    names = measure_names("share_outlying", [j.variable.name for j in judged])
    carried = {name for finding in findings for name in finding.measures}
    worst = max(judged, key=lambda j: j.outlying / j.rows, default=None)
    farthest = max(judged, key=lambda j: j.largest, default=None)
    reason = None if judged else "no variable could be judged"
    measures = [
        Measure("share_outlying_max", worst.outlying / worst.rows if worst else None,
                "Largest share of outliers in a variable", worst.rows if worst else None, "share",
                wilson(worst.outlying, worst.rows) if worst else None, better="lower",
                subject=worst.variable.name if worst else None, reason=reason),
        Measure("robust_z_max", farthest.largest if farthest else None,
                "Largest distance of a value from its variable's median, in robust standard deviations",
                farthest.rows if farthest else None, better="lower",
                subject=farthest.variable.name if farthest else None, reason=reason),
    ]  # fmt: skip
    for j in judged:
        if names[j.variable.name] in carried:
            title = f"Share of outliers in {j.variable.name}"
            measures.append(Measure(names[j.variable.name], j.outlying / j.rows, title, j.rows, "share",
                                    wilson(j.outlying, j.rows), better="lower", subject=j.variable.name))  # fmt: skip
    return tuple(measures)


def _table(judged: list[_Judged], left_out: list[tuple[str, str]]) -> Table:
    order = sorted(judged, key=lambda j: (-j.outlying / j.rows, j.variable.name))
    rows: list[tuple[str | float | int | None, ...]] = [
        (j.variable.name, j.rows, j.outlying, j.outlying / j.rows, j.extreme, j.largest, "") for j in order
    ]
    rows += [(name, None, None, None, None, None, reason) for name, reason in left_out]
    columns = ("variable", "values", "outliers", "share", "extreme", "largest robust z", "not judged because")
    return Table("Outliers of each variable", columns, tuple(rows))
