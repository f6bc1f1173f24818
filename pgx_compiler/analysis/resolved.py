"""A spec whose every word has been looked up: what the compiler lowers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pgx_compiler.analysis.strategy.choice import Choices
from pgx_compiler.analysis.targets import all_targets, outputs_of_regression, primary_target
from pgx_compiler.diagnostics.diagnostic import Span
from pgx_compiler.methods.declaration import Declaration, Params, Shape, Stage
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.spec.model import AuditSpec, RowSelection
from pgx_compiler.spec.source import Document, Path_
from runtimes.datasets import DatasetFacts
from runtimes.powers import NO_POWERS, Powers
from runtimes.target import ModelFacts, TensorFacts, framework_for
from runtimes.texts.vocabulary import Vocabulary

Format = Literal["keras", "onnx"]


@dataclass(frozen=True)
class ModelFile:
    """One file of the model."""

    path: Path
    relative: str
    """Below the spec's folder, with forward slashes: what may be written into plans."""
    sha256: str
    facts: ModelFacts
    beside: Mapping[str, tuple[Path, str]] = field(default_factory=dict)
    """Weights in files of their own: the location that the model says, to the file and its digest."""
    powers: Powers = NO_POWERS
    """What it does beyond the lists of what is allowed to all, because a person has trusted it to."""
    trust: tuple[Mapping[str, str], ...] = ()
    """What that rests on, a mapping for each power: file, digest, power, reason, who, until when."""


@dataclass(frozen=True)
class DataFile:
    """One split of the data."""

    path: Path
    relative: str
    sha256: str
    facts: DatasetFacts


@dataclass(frozen=True)
class MaskFile:
    """A named region of an image: white pixels of a PNG of the image's size."""

    path: Path
    relative: str
    sha256: str
    height: int
    width: int


@dataclass(frozen=True)
class VocabularyFile:
    """The words of a text model's token ids."""

    path: Path
    relative: str
    sha256: str
    facts: Vocabulary
    at: Path_
    """Where the spec names it."""


@dataclass(frozen=True)
class Ground:
    """The rows that a step explains, and the features on which: only steps of one ground can be compared."""

    name: str
    """Empty for the ground that the stage lays for all steps; else what is different: ``[sample=8]``."""
    select: RowSelection
    rows: int
    """How many, at most."""
    features: FeatureMap
    described: Mapping[str, Any]
    """What a feature is, as its modality settled it: ``{"superpixels": "patches", "size": 2}``."""
    rows_name: str
    """Empty where the rows are those of the stage; else what is different."""


@dataclass(frozen=True)
class ResolvedStep:
    """One step: its method, its parameters with defaults filled in, and what it runs on."""

    stage: Stage
    id: str
    declaration: Declaration
    params: Params
    path: Path_
    """Where it stands: ``("explain", "perturbation", 0)``."""
    span: Span | None
    """Of its ``use`` value."""
    runs_on: Format | None
    """The file it computes on; None where the method asks no model. Of a request: where its algorithms will run."""
    chosen: str = ""
    """Why the strategy has chosen it; empty where the author wrote it."""
    ground: Ground | None = None
    """Of a step that explains, where it has rows or features of its own."""

    @property
    def on_rebuild(self) -> bool:
        """Whether it computes with a rebuild of what the predictions of the same file come from."""
        needed = self.declaration.capability
        if self.runs_on is None or not needed:
            return False
        rebuilds: bool = framework_for(self.runs_on, needed).TARGET.rebuilds
        return rebuilds


@dataclass(frozen=True)
class Resolved:
    """A checked audit. Everything in it is static: no model was opened; of the data at most the row ids were read."""

    spec: AuditSpec
    document: Document
    root: Path
    models: Mapping[Format, ModelFile]
    """By format: ``keras``, ``onnx``."""
    data: Mapping[str, DataFile]
    """By split: ``train``, ``test``."""
    masks: Mapping[str, MaskFile]
    """Named regions, by feature name."""
    inputs: tuple[TensorFacts, ...]
    """The model's inputs, as the Keras file names them where there is one; sizes that it leaves open are the data's."""
    renamed: Mapping[Format, Mapping[str, str]]
    """Format to: name in `inputs` to the name that this file gives the same input."""
    adaptations: Mapping[Format, Mapping[str, Any]]
    """What is done to a file's own inputs and output, where anything is; see `runtimes.adaptation.Adaptation.of`."""
    moved: Mapping[str, Mapping[str, list[int]]]
    """Split to: input whose array holds its axes in another order than the audit, with that order."""
    sources: Mapping[str, tuple[str, ...]]
    """Input name to the arrays of the data file that make it: one array, or the columns of a table in order."""
    features: FeatureMap
    columns: tuple[str, ...]
    """The columns that make the model's input, in order; empty for images."""
    score: str
    n_outputs: int
    classes: tuple[str, ...]
    """Class names in output order (``0``, ``1``, … where the spec has none); empty for regression."""
    steps: tuple[ResolvedStep, ...]
    """In the order in which the stages run."""
    references: int
    """Rows that stand for a removed feature: of the background, else 1."""
    select: RowSelection
    """Which rows are explained by steps that say nothing else."""
    rows: int
    """How many rows are explained, at most (``errors`` says up to)."""
    fill: Mapping[str, Any]
    """``{"kind": "background", "size": 50}``: what `modalities.<modality>.references` takes."""
    groups: Mapping[str, tuple[str, ...]]
    """Feature name to the patterns of its columns, for groups alone."""
    beside: tuple[str, ...]
    """Columns of the file that the model does not read, though the spec speaks of them (``sensitive``, ``id``, …)."""
    described: Mapping[str, Any]
    """What a feature is, as its modality settled it: ``{"superpixels": "patches", "size": 2}``."""
    vocabulary: VocabularyFile | None
    """The words of the token ids, where the audit names them."""
    tokenizer: Mapping[str, Any]
    """How a column of text becomes token ids; empty where the file holds what the model reads."""
    weigh: Callable[[], Choices] = field(repr=False, compare=False)
    """Goes through the whole catalogue, which an audit that leaves nothing to the strategy need not pay for."""

    @cached_property
    def choices(self) -> Choices:
        """Every method of the catalogue, taken or refused, with the reason."""
        return self.weigh()

    def span(self, *path: str | int) -> Span | None:
        """Where the value at a path of the document stands."""
        return self.document.value_span(path)

    def step(self, id: str) -> ResolvedStep:
        """The step of that id. Raises `KeyError`."""
        for step in self.steps:
            if step.id == id:
                return step
        raise KeyError(id)

    def ground(self, step: ResolvedStep) -> Ground:
        """The rows and features of a step that explains."""
        return step.ground or Ground("", self.select, self.rows, self.features, self.described, "")

    def of_stage(self, *stages: Stage) -> tuple[ResolvedStep, ...]:
        """The steps of one or more stages, in order."""
        return tuple(step for step in self.steps if step.stage in stages)

    @property
    def target(self) -> str:
        """What is compared, judged and drawn: ``predicted``, ``label`` or a class name; of several outputs one of `outputs`."""
        asked = self.spec.explain.target
        if self.outputs and isinstance(asked, str) and asked not in self.outputs:  # every one, or the only one
            return self.outputs[0]
        return primary_target(asked, self.classes)

    @property
    def targets(self) -> tuple[str | int, ...]:
        """The targets where they are several: positions of classes, ``predicted``, ``label``; empty where it is one."""
        return all_targets(self.spec.explain.target, self.classes or self.outputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of a regression, where it has several or one that has a name; else empty."""
        return outputs_of_regression(self.spec.model, self.n_outputs)

    @property
    def chosen_outputs(self) -> tuple[int, ...]:
        """Of a regression whose outputs have names: positions of those that are explained, the primary first; else empty."""
        if not self.outputs:
            return ()
        return tuple(t for t in self.targets if isinstance(t, int)) or (self.outputs.index(self.target),)

    def gives_every_target(self, step: ResolvedStep) -> bool:
        """Whether a step explains all of several targets, not just the first; see `Declaration.times_for_targets`."""
        ground = self.ground(step)
        shape = Shape(ground.rows, len(ground.features), self.references, self.n_outputs)
        return step.declaration.times_for_targets(step.params, shape, len(self.targets)) is not None

    @property
    def attributions(self) -> tuple[ResolvedStep, ...]:
        """The steps whose result is an attribution, both directions."""
        return tuple(step for step in self.steps if step.declaration.gives == "attribution")

    @property
    def statements(self) -> tuple[ResolvedStep, ...]:
        """The steps under ``explain`` that state something of rows or of the whole model."""
        return tuple(step for step in self.steps if step.declaration.gives in ("local", "global"))

    @property
    def explaining(self) -> tuple[ResolvedStep, ...]:
        """All steps under ``explain``."""
        return self.of_stage("perturbation", "gradient")
