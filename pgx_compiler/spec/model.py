"""The audit language as frozen, strict types: what ``apiVersion: pgx/v1`` means.

Each field says what part it plays: *semantic* fields change the answer, *operational* ones how it is computed,
*descriptive* ones neither. Keys, diffs and comparability derive from that one declaration.
"""

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pgx_compiler.modalities import names
from pgx_compiler.spec.fields import (
    FillKind,
    Name,
    Number,
    Path,
    Scalar,
    SpecModel,
    StepName,
    VariableName,
    descriptive,
    operational,
    semantic,
    semantic_if_given,
)
from pgx_compiler.spec.search import Tuning
from pgx_compiler.spec.text import InputKind, TokenizerSpec

if TYPE_CHECKING:
    Modality = str
else:
    Modality = Literal[names()]  # a file of that folder is all that a modality takes

Side = Annotated[int, Field(ge=1)]

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
    kind: InputKind | None = semantic_if_given(None)
    """What the input holds. Of a text model: ``tokens`` (ids), ``token_mask`` (1 where there is a token), ``token_types``, or
    ``text`` (the text itself, which the model cuts)."""
    pad: int | None = semantic_if_given(None, ge=0)
    """Of tokens: the id that fills a row after its text (default: what the vocabulary calls ``[PAD]`` or ``<pad>``)."""
    vocabulary: Path | None = semantic_if_given(None)
    """Of tokens: the file that names them: a ``.json`` of words, or of a tokenizer, or a ``.txt`` with a word a line."""

    fixed: Scalar | list[Any] = semantic_if_given(None)
    """Given with every row and never perturbed: a number, text, ``zeros``, ``ones``, or a list of the input's own shape."""
    batch_axis: int | None = semantic_if_given(None, ge=0)
    """The axis of the rows (default: 0); the data holds rows on axis 0 whatever the model reads."""
    layout: Literal["NCHW", "NHWC", "NCL", "NLC", "NCDHW", "NDHWC"] | None = semantic_if_given(None)
    """The order of the axes that the model reads (N rows, C channels, D depth, H height, W width, L length); the data may
    hold channels first or last."""


class OutputSpec(SpecModel):
    """One output of a model, and what of it is explained: indexed first, then what is left is reduced."""

    name: str | int | None = semantic(None)
    """Name or position of the output (default: the first that holds scores)."""
    select: list[int | list[int] | Literal["all", "outputs"]] | None = semantic(None, min_length=1)
    """For each axis after the rows: a position, a list of positions that are the outputs, ``outputs`` (the whole axis is),
    or ``all`` (left to be reduced; so are axes that are not said)."""
    reduce: Literal["max", "mean", "sum"] | None = semantic(None)
    """How what is left becomes one number for each row and output."""
    batch_axis: int | None = semantic(None, ge=0)
    """The axis of the rows in this output (default: 0)."""
    names: list[str] | None = semantic_if_given(None, min_length=1)
    """Of a regression: what its outputs are called, in order (default: their positions); `explain.target` takes these names."""


class Model(SpecModel):
    """The model under audit: a white box, a black box, or both."""

    keras: Path | None = semantic(None)
    """Path of the white box: ``.keras``, ``.h5``, or the folder of a SavedModel; gradients run on it."""
    onnx: Path | None = semantic(None)
    """Path of the black box: ``.onnx``; perturbations run on it."""
    task: Literal["classification", "regression"] = semantic("classification")
    """What the model does."""
    signature: str | None = semantic_if_given(None, min_length=1, max_length=200)
    """Of a SavedModel: the signature that is called, by name (default: ``serving_default``, or the only one)."""
    output: str | int | OutputSpec | None = semantic(None)
    """Name or position of the output, where the model has several; or ``{name, select, reduce}`` where one holds more than
    a number for each row and output."""
    classes: list[str] | None = semantic(None, min_length=2)
    """Names of the classes in output order."""
    inputs: dict[str, InputSpec] = semantic({})
    """What the file cannot say of its inputs, by input name."""
    custom_objects: list[str] | None = semantic_if_given(None, min_length=1, max_length=100)
    """Classes and functions of others that the Keras file uses, by name. A spec can only ask: the file stays refused until
    the person who runs the audit trusts it (`pgx trust`)."""


class Preprocess(SpecModel):
    """What is done to raw rows before the model sees them."""

    scale: list[Number] | None = semantic(None, min_length=2, max_length=2)
    """Map integer pixels 0..255 linearly onto this range: ``[0, 1]``."""


class DataSplit(SpecModel):
    """One file of rows."""

    path: Path = semantic()
    """A ``.npz``, ``.csv`` or ``.jsonl`` file below the spec's folder."""
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
    immutable: bool = semantic_if_given(False)
    """Nobody can change it: a counterfactual must leave it as it is."""
    range: list[Number] | None = semantic_if_given(None, min_length=2, max_length=2)
    """Least and largest value that makes sense, ``[0, 120]`` (default: those of the training data)."""
    ordered: bool = semantic_if_given(False)
    """Its categories are in order, from little to much."""
    mask: Path | None = semantic(None)
    """A PNG the size of the image, or of a volume's slices: white marks the region."""
    unit: str | None = descriptive(None)
    """Unit of the values."""
    description: str | None = descriptive(None)
    """What the feature means."""


class Data(SpecModel):
    """The data that the model was made from and is judged on."""

    modality: Modality = semantic()
    """What a row is."""
    train: DataSplit = semantic()
    """The training data: what precaution looks at, and where references come from."""
    test: DataSplit | None = semantic(None)
    """Unseen data: what is explained."""
    columns: list[str] | None = semantic(None, min_length=1)
    """The columns that make the model's input, in order (default: all but the target, in file order)."""
    preprocess: Preprocess = semantic(Preprocess())
    """What is done to raw rows before the model sees them."""
    tokenizer: TokenizerSpec | None = semantic_if_given(None)
    """How a column of text becomes token ids; left out where the file holds ids, or the model reads text itself."""
    features: dict[str, FeatureSpec] = semantic({})
    """What the data cannot say of itself, by feature name."""


class When(SpecModel):
    """What must hold, or the step is left out; ``vars.NAME: VALUE`` asks for the value of a variable. All must hold."""

    model_config = ConfigDict(json_schema_extra={"patternProperties": {"^vars\\.": {"description": "Its value."}}})

    modality: Modality | None = descriptive(None)
    """The modality of the data."""
    task: Literal["classification", "regression"] | None = descriptive(None)
    """What the model does."""
    has: Literal["keras", "onnx", "test"] | list[Literal["keras", "onnx", "test"]] | None = descriptive(None)
    """What the audit has: the white box, the black box, test data; one of them or a list."""
    profile: str | None = descriptive(None)
    """A profile that `--profile` has chosen."""


class Step(SpecModel):
    """One method to run."""

    use: str = semantic()
    """Name of a method (``pgx methods``)."""
    id: StepName | None = semantic(None)
    """Name of this step (default: the method's name)."""
    with_: dict[str, Any] = semantic({}, alias="with")
    """Parameters of the method."""
    matrix: dict[str, Annotated[list[Scalar], Field(min_length=1)]] | None = descriptive(None, min_length=1)
    """Parameters with several values each: one step for every combination, ``kernel_shap[samples=512]``."""
    when: When | None = descriptive(None)
    """What must hold, or the step is left out."""


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

    superpixels: Literal["patches", "slic", "quickshift", "felzenszwalb"] | None = semantic(None)
    """Images and volumes: ``patches`` (blocks) of ``size``, or segments that follow the picture's own edges; of volumes
    ``slic`` alone."""
    size: Side | list[Side] | None = semantic(None)
    """Side of a patch, in pixels; of a block of a volume also ``[depth, height, width]``."""
    segments: int | None = semantic_if_given(None, ge=2, le=1000)
    """Images and volumes: about how many segments a picture is cut into."""
    units: Literal["words", "tokens", "sentences"] | None = semantic_if_given(None)
    """Text: what is removed at once."""
    windows: int | None = semantic_if_given(None, ge=1)
    """Series: into how many windows time is cut."""
    channels: Literal["apart", "together"] | None = semantic_if_given(None)
    """Series: whether each channel of a window is a feature of its own."""
    together: list[list[str]] | None = semantic_if_given(None, min_length=1)
    """Series: inputs that must change together, by name: ``[[left, right]]``. Their elements are one feature, position by
    position."""


class ExplainStep(Step):
    """One method that explains rows."""

    rows: RowSelection | None = semantic_if_given(None)
    """The rows that this step explains, instead of `explain.rows`."""
    features: FeatureChoice | None = semantic_if_given(None)
    """What one interpretable feature is for this step, instead of `explain.features`."""


class Fill(SpecModel):
    """What a removed feature is replaced by; both directions start from it."""

    kind: FillKind = semantic()
    """``background``: training rows; ``mean``: their mean; ``value``: a constant; ``blur``: the row itself, blurred; others
    as their modality says. `pgx check` names those that suit the data."""
    size: int | None = semantic(None, ge=1, le=1000)
    """Number of background rows, or of draws (default: by kind)."""
    value: Number | None = semantic(None)
    """The constant."""
    sigma: Number | None = semantic(None, gt=0)
    """Width of the blur, in pixels."""
    token: str | None = semantic_if_given(None, min_length=1, max_length=100)
    """``mask``, of a model that reads the text itself: the word in the place of each removed one."""


class Explain(SpecModel):
    """What is explained, and how."""

    score: Literal["logit", "probability", "log_odds", "value", "log_value"] | None = semantic(None)
    """The quantity explained (default: logit where both files have it, log_odds for trees, value for regression).
    ``log_value``: the natural logarithm of a regression's value, in which a model with a log link (Poisson, gamma, Tweedie) is
    a sum: differences are ratios of values."""
    target: str | Annotated[list[str], Field(min_length=1)] = semantic("predicted")
    """The class explained: ``predicted``, ``label``, or a class name. A list of those, or ``all``, explains several:
    games from the same model rows, gradient methods and masks found by descent at the price of each (of more than ten the
    first alone; of ``all``: the predicted class). Comparisons, judgements and charts are about the first. A regression has a
    target where it has several outputs, and needs one then: a position from 0 or a name (``model.output: {names: [...]}``), a list of them, or ``all``."""
    rows: RowSelection = semantic(RowSelection.model_validate({"from": "test", "sample": 32}))
    """The rows explained."""
    features: FeatureChoice = semantic(FeatureChoice())
    """What one interpretable feature is."""
    fill: Fill | None = semantic(None)
    """What a removed feature is replaced by (default: background rows for tables, the mean row for images, volumes and
    series)."""
    perturbation: list[ExplainStep] = semantic([])
    """Black-box methods."""
    gradient: list[ExplainStep] = semantic([])
    """White-box methods."""


class Gate(SpecModel):
    """What must hold, or the audit fails."""

    fact: str = semantic()
    """Id of a fact: ``agreement.rank_correlation``, ``precaution.drift.drift_max``."""
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


class Accepted(SpecModel):
    """A finding that somebody has answered for."""

    code: str = semantic()
    """The finding's code."""
    subject: str | None = semantic(None)
    """The feature or step it is about (default: any)."""
    reason: str = descriptive(min_length=1)
    """Why it is acceptable; printed."""
    until: str | None = semantic(None, pattern=r"^\d{4}-\d{2}-\d{2}$")
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
    extends: Path | Annotated[list[Path], Field(max_length=32)] | None = descriptive(None)
    """Files below the spec's folder that this one starts from, a later one over an earlier one and this one over all:
    mappings merge, lists and single values replace."""
    vars: dict[VariableName, Any] = descriptive({})
    """Values of your own that others refer to by ``${vars.NAME}``."""
    profiles: dict[Name, dict[str, Any]] = descriptive({})
    """Parts of a spec that ``--profile NAME`` lays over it."""


STEP_PATHS: tuple[tuple[str, ...], ...] = (
    ("precaution",),
    ("explain", "perturbation"),
    ("explain", "gradient"),
    ("agreement",),
    ("faithfulness",),
)
"""Where steps stand in the document, in the order in which they run."""
