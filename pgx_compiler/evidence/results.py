"""What a step of an audit may produce. Plain frozen data: numbers, arrays and words, never pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray

from runtimes.capabilities import Floats

Severity = Literal["info", "warning", "error"]
Better = Literal["higher", "lower"]
Status = Literal["measured", "derived", "declared", "not_measured", "not_applicable"]


@dataclass(frozen=True)
class Measure:
    """One number that a step has found; it becomes a fact of the factsheet."""

    name: str
    """Within its step, snake_case: ``drift_max``. The fact's id is ``<stage>.<step>.<name>``."""
    value: float | None
    """None: not measured; then `reason` says why."""
    title: str
    """What a reader sees: ``Largest PSI of a feature, training against test``."""
    n: int | None = None
    """How many rows (or whatever `unit_of_n` of the step is) it rests on."""
    unit: str = ""
    """``rows``, ``share``, ``logit``, ``seconds``; empty for a pure number."""
    interval: tuple[float, float] | None = None
    """95 % interval, where one is known."""
    standard_error: float | None = None
    better: Better | None = None
    reason: str | None = None
    subject: str | None = None
    """The feature, class or group that it is about, where it is about one."""


@dataclass(frozen=True)
class Finding:
    """Something a reader must know, with its reason and what to do.

    A finding needs an effect above its threshold, significance after correction for the number of tests, and
    enough rows; too few rows gives severity ``info`` with `verdict` ``unknown``, never a pass.
    """

    code: str
    """A stable word of the published list (``class_imbalance``)."""
    severity: Severity
    title: str
    """One line, in plain words."""
    summary: str
    """Two or three sentences with the numbers."""
    subject: str | None = None
    """Feature, class, group or step."""
    measures: tuple[str, ...] = ()
    """Names of the `Measure`s of the same step that carry it."""
    advice: tuple[str, ...] = ()
    verdict: Literal["holds", "unknown"] = "holds"
    effects: tuple[Mapping[str, Any], ...] = ()
    """What it may do to tuning by itself: ``{"kind": "protocol" | "add" | "seed", ...}``; see tuning."""


@dataclass(frozen=True)
class Table:
    """Figures in rows and columns, for the factsheet's detail pages."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float | int | None, ...], ...]
    shows_rows: bool = False
    """It holds values of single rows: it stays out of the factsheet unless the spec shows rows."""


@dataclass(frozen=True)
class Curve:
    """One line, or one group of bars or points, of a `Chart`."""

    name: str
    """``bad_risk``; what the legend says."""
    x: tuple[float | str, ...]
    """Numbers, or names of categories."""
    y: tuple[float | None, ...]
    """As many as `x`; None where it is not known."""
    low: tuple[float | None, ...] | None = None
    """Lower end of a 95 % interval, as many as `x`."""
    high: tuple[float | None, ...] | None = None


@dataclass(frozen=True)
class Chart:
    """A picture as data: what is drawn, never how."""

    kind: Literal["lines", "bars", "points", "steps"]
    title: str
    x_title: str
    """With its unit: ``duration (months)``."""
    y_title: str
    curves: tuple[Curve, ...]
    subject: str = ""
    """The feature, class or group that it is about, where it is about one."""
    marks: tuple[float, ...] = ()
    """Positions on x worth a tick of their own: deciles of the data, so that a reader sees where there were rows."""
    shows_rows: bool = False
    """It holds values of single rows (ICE curves): it stays out of the factsheet unless the spec shows rows."""


@dataclass(frozen=True)
class Matrix:
    """A picture of numbers in two directions: interactions of features, second-order effects."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    """``len(rows)`` tuples of ``len(columns)``; None where it is not known."""
    x_title: str = ""
    y_title: str = ""
    unit: str = ""
    subject: str = ""
    shows_rows: bool = False


@dataclass(frozen=True)
class Picture:
    """A picture that a method has made, in shades of grey: what a class looks like to the model."""

    title: str
    values: tuple[tuple[float, ...], ...]
    """Lines from the top, each from the left: 0 is black, 1 is white."""
    subject: str = ""
    """The class or channel that it is about."""
    shows_rows: bool = False
    """It is a row of the data, or made from one."""


@dataclass(frozen=True)
class Report:
    """What a precaution returns, and every method whose result is no attribution."""

    measures: tuple[Measure, ...] = ()
    findings: tuple[Finding, ...] = ()
    tables: tuple[Table, ...] = ()
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Anything longer that should stay in the evidence."""
    charts: tuple[Chart | Matrix | Picture, ...] = ()


@dataclass(frozen=True)
class Statement:
    """One thing that a method says of one row: a rule, a counterfactual, an interaction."""

    text: str
    """In words, with the values: ``duration_months 48 → 24 and savings_status none → high: bad_risk 0.71 → 0.38``."""
    without_values: str
    """The same with no value of the row, for readers who must not see it: ``another duration_months and savings_status``."""
    features: tuple[str, ...] = ()
    """The features that it names."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """What it comes with: ``{"precision": 0.97, "coverage": 0.12}``."""


@dataclass(frozen=True)
class RowReport:
    """What a method whose result is no attribution says of one row."""

    numbers: Mapping[str, float] = field(default_factory=dict)
    """By the names that the method declares; NaN where it is undefined for this row."""
    statements: tuple[Statement, ...] = ()
    """The best first. None is an answer too: a counterfactual that was not found."""
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Anything longer that should stay in the evidence, under the same names for every row."""
    charts: tuple[Chart | Matrix | Picture, ...] = ()
    """Of this row; drawn for the rows that the factsheet shows as examples."""


@dataclass(frozen=True)
class FeatureValues:
    """Attributions of features, for one row or for many.

    Shapes are ``(features, outputs)`` for one row, ``(rows, features)`` for many with one output each, and ``(rows, features,
    outputs)`` for many from a method that shares what it asks among several targets.
    """

    values: Floats
    standard_error: Floats | None = None
    """Same shape as `values`; None: the method draws nothing at random."""
    notes: Mapping[str, float | Floats] = field(default_factory=dict)
    """By-products by the names that the method declares (`quantities`): where `values` are of one row a number, or ``(outputs,)``
    where each output has its own; else ``(rows,)``. ``fidelity`` (R² of a surrogate) and ``converged`` (1 or 0) raise
    findings where they are low."""
    maps: Mapping[str, Floats] = field(default_factory=dict)
    """Of many rows: what `values` are the sums of, shaped like the inputs, where the method knows it."""


@dataclass(frozen=True)
class Attribution:
    """A finished attribution step, as agreement and faithfulness see it. Every array has rows on axis 0."""

    step: str
    method: str
    direction: Literal["perturbation", "gradient"]
    values: Floats
    """``(rows, features)``: signed, in the score's unit unless the method's `Reading` says otherwise."""
    standard_error: Floats | None
    signed: bool
    """False where the method gives magnitudes only (saliency)."""
    present: NDArray[Any] | None = None
    """``(rows, features)`` bool: which features each row has, where rows differ; None: all."""


@dataclass(frozen=True)
class Scores:
    """One number for each explained row (or one for all), with what chance would give."""

    values: Floats
    """``(rows,)``; NaN where it is undefined for that row."""
    title: str
    range: tuple[float, float] | None = None
    better: Better = "higher"
    chance: float | None = None
    """Expected value for an explanation that knows nothing."""
    unit: str = ""
    undefined: str | None = None
    """Why some rows are NaN, where they are."""
    extra: Mapping[str, Floats] = field(default_factory=dict)
    """Further per-row numbers ``(rows,)`` or curves ``(rows, points)``: ``{"curve": ...}``."""


def concat_reports(reports: Sequence[Report]) -> Report:
    """Join several reports into one, in order."""
    arrays: dict[str, NDArray[Any]] = {}
    for report in reports:
        arrays.update(report.arrays)
    return Report(
        tuple(m for r in reports for m in r.measures),
        tuple(f for r in reports for f in r.findings),
        tuple(t for r in reports for t in r.tables),
        arrays,
        tuple(c for r in reports for c in r.charts),
    )
