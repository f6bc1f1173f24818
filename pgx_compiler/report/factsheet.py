"""The factsheet as data: what ``factsheet.json`` holds, and all that the HTML and the PDF may know."""

from typing import Any, Literal

from pydantic import Field

from pgx_compiler.report.part import Number, Part
from pgx_compiler.report.statement_entries import StatementEntry
from pgx_compiler.report.table_entry import TableEntry
from pgx_compiler.report.target_entry import ByTarget

SCHEMA = "pgx-factsheet/1"


class Source(Part):
    """Where in the author's text a number was asked for."""

    step: str
    spec_path: str
    """``explain.perturbation[0]``."""
    line: int | None = None
    file: str = ""
    """The file of that line, where it is not the spec itself but one that it extends, or the command line."""


class Fact(Part):
    """One number and everything needed to believe it."""

    id: str
    """``precaution.drift.drift_max``, ``agreement.rank_correlation.kernel_shap~integrated_gradients.median``."""
    title: str
    value: Number | str | None
    unit: str = ""
    n: int | None = None
    interval: tuple[Number, Number] | None = None
    """95 % interval."""
    standard_error: Number | None = None
    status: Literal["measured", "derived", "declared", "not_measured", "not_applicable"]
    reason: str | None = None
    """Why there is no value, where there is none."""
    better: Literal["higher", "lower"] | None = None
    subject: str | None = None
    source: Source
    evidence: list[str] = []
    """Digests of the artifacts it rests on."""


class FindingEntry(Part):
    """Something a reader must know."""

    id: str
    code: str
    stage: str
    step: str
    severity: Literal["info", "warning", "error"]
    verdict: Literal["holds", "unknown", "accepted"]
    """``unknown``: too few rows to say; ``accepted``: the spec answers for it, with `reason`."""
    title: str
    summary: str
    subject: str | None = None
    facts: list[str] = []
    advice: list[str] = []
    reason: str | None = None
    until: str | None = None


class GateEntry(Part):
    """One thing that had to hold."""

    gate: str
    fact: str
    title: str
    aggregate: str | None = None
    value: Number | None
    interval: tuple[Number, Number] | None = None
    threshold: str
    """In words: ``>= 0.5``."""
    min: Number | None = None
    max: Number | None = None
    bound: str = "value"
    status: Literal["passed", "failed", "unknown"]
    reason: str | None = None


class Verdict(Part):
    """The decision."""

    status: Literal["passed", "failed", "incomplete"]
    sentence: str
    counts: dict[str, int]
    """``gates_passed``, ``gates_failed``, ``gates_unknown``, ``errors``, ``warnings``, ``unknown``, ``nodes_failed``;
    ``nodes_not_selected`` where only a part was run."""
    headline: list[str]
    """Ids of the (up to) five facts that matter most; gates first."""
    may_conclude: list[str]
    may_not_conclude: list[str]


class ExampleValues(Part):
    """One method's values for one shown row."""

    step: str
    values: list[Number]
    """One for each feature."""
    standard_error: list[Number] | None = None


class WordImportance(Part):
    """What one word is to one method, over all explained rows that hold it."""

    word: str
    rows: int
    """In how many of the explained rows it stands."""
    mean: Number
    mean_absolute: Number


class Slice(Part):
    """One slice of an explained volume, across its depth."""

    first: int
    last: int
    """Positions along the depth that its map stands for, from 0: one, or those of a layer of blocks."""
    image: list[list[Number]] | None = None
    """Grey values 0..1 in the middle of them, rows of voxels; only where the spec shows rows."""
    owners: list[list[int]] | None = None
    """Which feature owns each voxel, where features are segments; only where the spec shows rows."""


class Example(Part):
    """One explained row, shown."""

    row_id: str
    target: str
    """Name of the class explained, or the output."""
    predicted: str
    label: str | None
    score: Number
    """The model's score for the target, in `Audit.score`'s unit."""
    base_value: Number
    explanations: list[ExampleValues]
    inputs: dict[str, str] | None = None
    """Feature name to its value in words; only where the spec shows rows."""
    image: list[list[Number]] | None = None
    """Grey values 0..1, rows of pixels; only where the spec shows rows (colour images are averaged)."""
    image_note: str = ""
    features: list[str] | None = None
    """Names of this row's own features, where rows differ; words only where the spec shows rows."""
    owners: list[list[int]] | None = None
    """Which feature owns each pixel, where features are segments; only where the spec shows rows."""
    slices: list[Slice] | None = None
    """Of a volume the slices that carry most of its explanations, in order of depth."""


class Explanation(Part):
    """One attribution step."""

    step: str
    method: str
    title: str
    computed_by: str
    """The algorithm that ran, where a quantity was asked for: ``tree_shap``."""
    chosen_because: str = ""
    direction: Literal["perturbation", "gradient"]
    runtime: str
    """``onnxruntime 1.32.0``."""
    target: str
    """What `mean_absolute` and every comparison is about."""
    targets: list[str] = []
    """All targets whose values are in the evidence (``values_all``), where they are several."""
    unit: str
    signed: bool
    parameters: dict[str, Any]
    feature_names: list[str]
    mean_absolute: list[Number]
    """Mean over rows of the magnitude, one for each feature; empty where each row has features of its own."""
    by_word: list[WordImportance] = []
    """Of a text, the words that matter most; only where the spec shows rows."""
    by_target: ByTarget | None = None
    """Where several targets are explained, and all rows have the same features."""
    mean_absolute_interval: list[tuple[Number, Number]] | None = None
    """95 % bootstrap interval over rows."""
    mean_signed: list[Number]
    mean_standard_error: Number | None = None
    """Mean over rows and features of the sampling error; None: nothing is drawn at random."""
    rows: int
    ground: str = ""
    """Which rows and features it explains, where they are its own: ``sample=8``."""
    layout: dict[str, Any] = {}
    """How to draw its features, where they are its own (`FeatureMap.layout`)."""
    cost_planned: dict[str, int]
    """``forward``, ``backward``: model rows."""
    cost_spent: dict[str, int]
    seconds: Number | None = None
    arrays: str
    """Path of the arrays inside the run."""
    digest: str
    paper: str
    summary: str
    reading: str
    limits: str
    status: Literal["done", "failed", "blocked"] = "done"
    reason: str | None = None


class AgreementEntry(Part):
    """One comparison of two steps by one method."""

    step: str
    method: str
    title: str
    first: str
    second: str
    across: bool
    """True where it compares the two directions."""
    kind: Literal["pair", "self"]
    """``self``: one stochastic step against itself under another seed: the noise floor."""
    median: Number | None
    mean: Number | None
    interval: tuple[Number, Number] | None
    """95 % bootstrap interval of the median over rows."""
    minimum: Number | None
    maximum: Number | None
    n: int
    chance: Number | None
    """What two explanations that know nothing would give."""
    other_rows: Number | None = None
    """Median of the same comparison when each row's explanation is held against those of other rows: what the two have in
    common whatever the row."""
    range: tuple[Number, Number] | None
    better: Literal["higher", "lower"]
    values: list[Number | None]
    """One for each row."""
    reason: str | None = None
    reading: str = ""
    limits: str = ""


class FaithfulnessEntry(Part):
    """One check of one step."""

    step: str
    method: str
    title: str
    of: str
    median: Number | None
    mean: Number | None
    interval: tuple[Number, Number] | None
    n: int
    unit: str
    better: Literal["higher", "lower"]
    share_better_than_chance: Number | None = None
    curve: list[Number] | None = None
    """Mean score after removing the share of features in `grid`, most important first."""
    random_curve: list[Number] | None = None
    """The same in random order."""
    grid: list[Number] | None = None
    values: list[Number | None]
    reason: str | None = None
    reading: str = ""
    limits: str = ""


class ExpectationEntry(Part):
    """One expectation of the domain, tested."""

    feature: str
    effect: str
    on: str | None
    source: str | None
    status: Literal["confirmed", "violated", "unknown"]
    """``unknown``: the interval does not settle it."""
    summary: str
    facts: list[str] = []


class CheckEntry(Part):
    """One precaution step."""

    step: str
    method: str
    title: str
    status: Literal["done", "failed", "blocked"]
    reason: str | None = None
    facts: list[str]
    findings: list[str]
    tables: list[TableEntry] = []
    summary: str
    reading: str
    limits: str
    paper: str = ""


class Trial(Part):
    """One candidate of the search."""

    number: int
    settings: dict[str, Any]
    metrics: dict[str, Number | None]
    """``validation.loss``, ``validation.accuracy``, ``agreement.rank_correlation``, …"""
    feasible: bool
    verdict: Literal["accept", "re-think", "reject"]
    reasons: list[str]
    history: list[dict[str, Number | None]] = []


class TuningEntry(Part):
    """The search."""

    search: str
    objective: str
    space_declared: dict[str, Any]
    space_used: dict[str, Any]
    narrowing: list[dict[str, Any]]
    """Each cut: finding, dimension, before, after, reason; and each trial or protocol change that a finding made."""
    require: dict[str, Any]
    trials: list[Trial]
    baseline: int
    """Number of the trial with the audited settings."""
    best: int | None
    """Number of the chosen trial; None: no trial meets the constraints."""
    pareto: list[int]
    importance: dict[str, dict[str, Number | None]]
    """Metric to setting to share of the explained variance."""
    decision: str
    """One sentence: change the settings, or keep them, and why."""
    limits: str


class AuditEntry(Part):
    """What was audited."""

    name: str
    version: str
    owner: str | None
    description: str | None
    labels: dict[str, str]
    strategy: dict[str, Any]
    modality: str
    task: str
    score: str
    classes: list[str]
    started: str
    """UTC, ISO 8601."""
    ended: str
    spec_digest: str
    plan_digest: str
    lock_digest: str
    model_digests: dict[str, str]
    """``keras``, ``onnx`` to SHA-256."""
    data_digests: dict[str, str]
    rows_explained: int
    features: int
    layout: dict[str, Any]
    """How to draw the features (`FeatureMap.layout`)."""
    references: str
    language: str


class NodeEntry(Part):
    """One node of the execution graph."""

    id: str
    op: str
    runtime: str
    key: str
    content: str | None
    status: Literal["done", "failed", "blocked", "not_selected"]
    """Whether the result was computed in this run or known before is in ``events.jsonl``: it changes nothing here."""
    stage: str = ""
    """The part of the audit that it belongs to: ``precaution``, ``gradient``, ``ground`` (rows and references)."""
    inputs: list[str] = []
    seconds: Number | None = None
    cost_planned: dict[str, int] = {}
    cost_spent: dict[str, int] = {}
    reason: str | None = None


class Provenance(Part):
    """Everything needed to do it again."""

    models: list[dict[str, Any]]
    data: list[dict[str, Any]]
    versions: dict[str, str]
    seed: int
    host: dict[str, Any]
    nodes: list[NodeEntry]
    overrides: list[str] = []
    selection: str = ""
    """The part of the audit that was run, as it was asked for: ``-s kernel_shap``; empty: all of it."""
    trust: list[dict[str, str]] = []
    """What a model file was trusted to do beyond what is allowed to all: file, digest, power, code, reason, who, until when."""


class Factsheet(Part):
    """The whole factsheet."""

    schema_: str = Field(SCHEMA, alias="schema")
    """Name and version of this layout."""
    pgx: str
    """Version of the program."""
    audit: AuditEntry
    verdict: Verdict
    findings: list[FindingEntry]
    facts: list[Fact]
    gates: list[GateEntry]
    precaution: list[CheckEntry]
    explanations: list[Explanation]
    statements: list[StatementEntry] = []
    examples: list[Example]
    agreement: list[AgreementEntry]
    faithfulness: list[FaithfulnessEntry]
    expectations: list[ExpectationEntry]
    tuning: TuningEntry | None
    provenance: Provenance
