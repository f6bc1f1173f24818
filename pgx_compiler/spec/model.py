"""The audit language as frozen, strict types: what ``apiVersion: pgx/v1`` means.

Each field says what part it plays: *semantic* fields change the answer, *operational* ones how it is computed,
*descriptive* ones neither. Keys, diffs and comparability derive from that one declaration.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


def semantic(default: Any = ..., **more: Any) -> Any:
    """A field that changes the answer."""
    return Field(default, json_schema_extra={"role": "semantic"}, **more)


def operational(default: Any = ..., **more: Any) -> Any:
    """A field that changes how the answer is computed, not what it is."""
    return Field(default, json_schema_extra={"role": "operational"}, **more)


def descriptive(default: Any = ..., **more: Any) -> Any:
    """A field for people: it changes neither the answer nor how it is computed."""
    return Field(default, json_schema_extra={"role": "descriptive"}, **more)


class SpecModel(BaseModel):
    """Base of every part of the spec: unknown keys are errors, values are not coerced, nothing changes later."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
Path = Annotated[str, Field(min_length=1, max_length=1024)]
Number = int | float
Risk = Literal["minimal", "limited", "high"]
Audience = Literal["developer", "validator", "regulator", "affected_person", "domain_expert", "business"]
Question = Literal[
    "which_inputs_matter",
    "what_would_change_it",
    "is_the_data_fit",
    "is_it_robust",
    "can_the_explanation_be_trusted",
    "is_it_fair",
]


class Metadata(SpecModel):
    """Who the audit belongs to."""

    name: Name = semantic()
    """Short name of the audit; names the folder of its runs."""
    version: str = semantic("0.0.0", pattern=r"^\d+\.\d+\.\d+([.\-+][0-9A-Za-z.\-]+)?$")
    """Version of this spec (semantic versioning); it lives in git beside the model."""
    owner: str | None = descriptive(None)
    """Who answers for the audit."""
    description: str | None = descriptive(None)
    """What the audit is about, in a sentence."""
    labels: dict[str, str] = descriptive({})
    """Words of your own to find it by."""


class Expectation(SpecModel):
    """What people who know the domain expect of one feature; it becomes a test of the model."""

    feature: str = semantic()
    """A feature, a group, or a named region."""
    effect: Literal["irrelevant", "matters", "increases", "decreases"] = semantic()
    """What it should do to the score."""
    on: str | None = semantic(None)
    """The class whose score is meant (default: the one explained)."""
    source: str | None = descriptive(None)
    """Where the expectation comes from: an interview, a paper, a rule."""


class Budget(SpecModel):
    """What the audit may cost; a plan that needs more is refused at compile time."""

    model_rows: int | None = operational(None, ge=1)
    """Model rows forward and backward, all steps together."""
    seconds: Number | None = operational(None, gt=0)
    """Wall-clock seconds; checked against what finished runs measured, shown when passed."""


class Strategy(SpecModel):
    """Why the audit is done, and for whom."""

    intended_use: str | None = descriptive(None)
    """What the model is for, in a sentence a reader outside the team understands."""
    risk: Risk | None = descriptive(None)
    """How much harm a wrong decision can do."""
    audience: list[Audience] = descriptive([])
    """Who will read the factsheet."""
    questions: list[Question] = descriptive([])
    """What the readers want to know."""
    expectations: list[Expectation] = semantic([])
    """What people who know the domain expect of the model."""
    budget: Budget = operational(Budget())
    """What the audit may cost."""


class InputSpec(SpecModel):
    """What a model file cannot say of one of its inputs."""

    value_range: list[Number] | None = semantic(None, min_length=2, max_length=2)
    """Smallest and largest valid value: ``[0, 1]``."""


class Model(SpecModel):
    """The model under audit: a white box, a black box, or both."""

    keras: Path | None = semantic(None)
    """Path of the white box: ``.keras`` or ``.h5``; gradients run on it."""
    onnx: Path | None = semantic(None)
    """Path of the black box: ``.onnx``; perturbations run on it."""
    task: Literal["classification", "regression"] = semantic("classification")
    """What the model does."""
    output: str | int | None = semantic(None)
    """Name or position of the output, where the model has several."""
    classes: list[str] | None = semantic(None, min_length=2)
    """Names of the classes in output order."""
    inputs: dict[str, InputSpec] = semantic({})
    """What the file cannot say of its inputs, by input name."""


class Preprocess(SpecModel):
    """What is done to raw rows before the model sees them."""

    scale: list[Number] | None = semantic(None, min_length=2, max_length=2)
    """Map integer pixels 0..255 linearly onto this range: ``[0, 1]``."""


class DataSplit(SpecModel):
    """One file of rows."""

    path: Path = semantic()
    """A ``.npz`` or ``.csv`` file below the spec's folder."""
    target: str | None = semantic(None)
    """The array or column of labels."""


class FeatureSpec(SpecModel):
    """What the data cannot say of one feature."""

    role: Literal["feature", "sensitive", "id", "time", "group"] = semantic("feature")
    """``sensitive``: an attribute that the law or fairness protects."""
    columns: list[str] | None = semantic(None, min_length=1)
    """Patterns of the columns that together are this feature: ``["purpose=*"]``."""
    categories: list[str] | None = semantic(None, min_length=2)
    """Names of the codes 0, 1, 2, … where a number in the file is a category."""
    mask: Path | None = semantic(None)
    """A PNG the size of the image: white marks the region."""
    unit: str | None = descriptive(None)
    """Unit of the values."""
    description: str | None = descriptive(None)
    """What the feature means."""


class Data(SpecModel):
    """The data that the model was made from and is judged on."""

    modality: Literal["tabular", "image", "text", "series"] = semantic()
    """What a row is."""
    train: DataSplit = semantic()
    """The training data: what precaution looks at, and where references come from."""
    test: DataSplit | None = semantic(None)
    """Unseen data: what is explained."""
    columns: list[str] | None = semantic(None, min_length=1)
    """The columns that make the model's input, in order (default: all but the target, in file order)."""
    preprocess: Preprocess = semantic(Preprocess())
    """What is done to raw rows before the model sees them."""
    features: dict[str, FeatureSpec] = semantic({})
    """What the data cannot say of itself, by feature name."""


class Step(SpecModel):
    """One method to run."""

    use: str = semantic()
    """Name of a method (``pgx methods``)."""
    id: Name | None = semantic(None)
    """Name of this step (default: the method's name)."""
    with_: dict[str, Any] = semantic({}, alias="with")
    """Parameters of the method."""


class RowSelection(SpecModel):
    """Which rows are explained."""

    from_: Literal["test", "train"] = semantic("test", alias="from")
    """The split they come from."""
    sample: int | None = semantic(None, ge=1)
    """So many rows at random."""
    stratify: Literal["target"] | None = semantic(None)
    """Draw the sample evenly over the classes."""
    ids: list[str | int] | None = semantic(None, min_length=1)
    """These rows, by row id."""
    errors: int | None = semantic(None, ge=1)
    """Up to so many rows that the model gets wrong, the surest first."""
    borderline: int | None = semantic(None, ge=1)
    """So many rows where the model is least sure."""
    all: bool = semantic(False)
    """Every row of the split."""


class FeatureChoice(SpecModel):
    """What one interpretable feature is."""

    superpixels: Literal["patches"] | None = semantic(None)
    """Images: ``patches`` of ``size`` pixels a side."""
    size: int | None = semantic(None, ge=1)
    """Side of a patch, in pixels."""


class Fill(SpecModel):
    """What a removed feature is replaced by; both directions start from it."""

    kind: Literal["background", "mean", "value", "blur"] = semantic()
    """``background``: training rows; ``mean``: their mean; ``value``: a constant; ``blur``: the row itself, blurred."""
    size: int | None = semantic(None, ge=1, le=1000)
    """Number of background rows (default 50)."""
    value: Number | None = semantic(None)
    """The constant."""
    sigma: Number | None = semantic(None, gt=0)
    """Width of the blur, in pixels."""


class Explain(SpecModel):
    """What is explained, and how."""

    score: Literal["logit", "probability", "log_odds", "value"] | None = semantic(None)
    """The quantity explained (default: logit where both files have it, log_odds for trees, value for regression)."""
    target: str = semantic("predicted")
    """The class explained: ``predicted``, ``label``, or a class name. Regression has no target."""
    rows: RowSelection = semantic(RowSelection.model_validate({"from": "test", "sample": 32}))
    """The rows explained."""
    features: FeatureChoice = semantic(FeatureChoice())
    """What one interpretable feature is."""
    fill: Fill | None = semantic(None)
    """What a removed feature is replaced by (default: background rows for tables, the mean image for images)."""
    perturbation: list[Step] = semantic([])
    """Black-box methods."""
    gradient: list[Step] = semantic([])
    """White-box methods."""


class Gate(SpecModel):
    """What must hold, or the audit fails."""

    fact: str = semantic()
    """Id of a fact: ``agreement.rank_correlation``, ``precaution.drift.psi_max``."""
    between: list[str] | None = semantic(None, min_length=2, max_length=2)
    """The two steps compared (agreement)."""
    of: str | None = semantic(None)
    """The step judged (faithfulness)."""
    aggregate: Literal["median", "mean", "min", "max"] | None = semantic(None)
    """How the rows' values become one number; required where a fact has one value for each row."""
    min: Number | None = semantic(None)
    """Passes at or above."""
    max: Number | None = semantic(None)
    """Passes at or below."""
    tolerance: Number = semantic(0, ge=0)
    """How far beyond the threshold still passes."""
    bound: Literal["value", "lower", "upper"] = semantic("value")
    """``lower``/``upper``: that end of the 95 % interval must hold, not just the value."""
    id: Name | None = semantic(None)
    """Name of the gate (default: derived from the fact)."""


Scalar = int | float | str | bool | None


class Dimension(SpecModel):
    """One searched setting: exactly one of the distributions, in natural units."""

    uniform: list[Number] | None = semantic(None, min_length=2, max_length=2)
    """Evenly between two values: ``[low, high]``."""
    loguniform: list[Number] | None = semantic(None, min_length=2, max_length=2)
    """Evenly in the logarithm: ``[low, high]``, both above 0, in natural units."""
    quniform: list[Number] | None = semantic(None, min_length=3, max_length=3)
    """Evenly on a grid: ``[low, high, step]``."""
    choice: list[Scalar] | None = semantic(None, min_length=1)
    """One of these."""


class TuningBound(SpecModel):
    """A bound on a metric of a candidate's explanation."""

    min: Number | None = semantic(None)
    """Must be at least."""
    max: Number | None = semantic(None)
    """Must be at most."""


class TuningExplain(SpecModel):
    """How each candidate is explained, and what its explanation must show."""

    rows: int = semantic(16, ge=2)
    """How many of the explained rows each candidate is explained on."""
    methods: list[str] = semantic(["integrated_gradients"], min_length=1)
    """Attribution methods run on every candidate. With one method the candidate is compared with the audited model
    by that method; with several, the methods are compared with one another on the candidate."""
    require: dict[str, TuningBound] = semantic({})
    """Constraints, by metric: ``agreement.rank_correlation: {min: 0.4}``."""


class Narrowing(SpecModel):
    """A cut of the search space that happens only if a finding was made."""

    finding: str = semantic()
    """Finding code: ``small_sample``."""
    space: dict[str, Dimension] = semantic()
    """The dimensions as they should be then."""
    reason: str = descriptive()
    """Why; printed in the factsheet."""


class Objective(SpecModel):
    """What the search improves."""

    minimize: Literal["validation.loss"] | None = semantic(None)
    """A metric to make small."""
    maximize: Literal["validation.accuracy"] | None = semantic(None)
    """A metric to make large."""


class Fit(SpecModel):
    """How every candidate is trained, where the space does not say."""

    epochs: int = semantic(5, ge=1, le=1000)
    """Passes over the training rows."""
    batch_size: int = semantic(32, ge=1)
    """Rows a step."""
    validation: float = semantic(0.2, gt=0, lt=0.9)
    """Share of the training rows held out to judge candidates."""


class Tuning(SpecModel):
    """A search over what the Keras file itself declares."""

    search: Literal["hyperopt.tpe", "hyperopt.rand", "hyperopt.anneal"] = semantic("hyperopt.tpe")
    """The search algorithm."""
    trials: int = semantic(20, ge=1, le=2000)
    """Candidates tried, the audited settings included as the first."""
    space: dict[str, Dimension] = semantic(min_length=1)
    """Searched settings by address: ``layers.dense.units``, ``optimizer.learning_rate``, ``fit.batch_size``."""
    fit: Fit = semantic(Fit())
    """How candidates are trained."""
    objective: Objective = semantic(Objective(minimize="validation.loss"))
    """What the search improves."""
    explain: TuningExplain = semantic(TuningExplain())
    """How candidates are explained."""
    narrow: list[Narrowing] = semantic([])
    """Cuts of the space that a finding triggers."""


class Accepted(SpecModel):
    """A finding that somebody has answered for."""

    code: str = semantic()
    """The finding's code."""
    subject: str | None = semantic(None)
    """The feature or step it is about (default: any)."""
    reason: str = descriptive(min_length=1)
    """Why it is acceptable; printed."""
    until: str | None = descriptive(None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    """Date after which it counts again."""


class FactsheetSpec(SpecModel):
    """What is handed over."""

    formats: list[Literal["json", "html", "pdf"]] = operational(["json", "html", "pdf"], min_length=1)
    """Files to write; ``json`` is always written."""
    language: Literal["en", "ko"] = descriptive("en")
    """Language of the factsheet's own words."""
    show_rows: bool = operational(False)
    """Show raw values of explained rows; they stay out unless this says so."""


class AuditSpec(SpecModel):
    """A whole audit."""

    apiVersion: Literal["pgx/v1"] = semantic()  # noqa: N815 - the key's own spelling
    """Version of the language."""
    kind: Literal["Audit"] = semantic()
    """Always ``Audit``."""
    metadata: Metadata = semantic()
    """Name, version, owner."""
    strategy: Strategy = semantic(Strategy())
    """Why the audit is done, and for whom."""
    seed: int = semantic(0, ge=0, le=2**53 - 1)
    """The one seed; every step derives its own from it and from what it is."""
    model: Model = semantic()
    """The model under audit."""
    data: Data = semantic()
    """The data."""
    precaution: list[Step] = semantic([])
    """Checks of the data before the model is believed."""
    explain: Explain = semantic(Explain())
    """What is explained, and how."""
    agreement: list[Step] = semantic([])
    """Do the explanations say the same?"""
    faithfulness: list[Step] = semantic([])
    """Is what they say true of the model?"""
    gates: list[Gate] = semantic([])
    """What must hold."""
    tuning: Tuning | None = semantic(None)
    """A search for better settings, judged by the explanations."""
    accept: list[Accepted] = semantic([])
    """Findings that somebody has answered for."""
    factsheet: FactsheetSpec = operational(FactsheetSpec())
    """What is handed over."""


STEP_PATHS: tuple[tuple[str, ...], ...] = (
    ("precaution",),
    ("explain", "perturbation"),
    ("explain", "gradient"),
    ("agreement",),
    ("faithfulness",),
)
"""Where steps stand in the document, in the order in which they run."""
