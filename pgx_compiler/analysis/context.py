"""What the checks have established so far, and what they have to say."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pgx_compiler.analysis.resolved import (
    DataFile,
    Format,
    Ground,
    MaskFile,
    ModelFile,
    ResolvedStep,
    VocabularyFile,
)
from pgx_compiler.analysis.strategy.choice import Choices
from pgx_compiler.analysis.targets import all_targets, outputs_of_regression
from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic, Diagnostics
from pgx_compiler.methods.declaration import Declaration, Shape, Stage
from pgx_compiler.modalities.features import FeatureMap
from pgx_compiler.spec.model import STEP_PATHS, AuditSpec, FeatureChoice, RowSelection, Step
from pgx_compiler.spec.source import Document, Path_
from pgx_compiler.spec.validate import MANY_MORE, MOST_SHOWN
from runtimes.target import TensorFacts


class EnoughSaidError(Exception):
    """So much is wrong that the rest is not worth saying; the last diagnostic says so."""


@dataclass(frozen=True)
class NamedStep:
    """A step whose method is known; its parameters and what it runs on come later."""

    stage: Stage
    id: str
    declaration: Declaration
    path: Path_
    step: Step
    chosen: str = ""
    """Why the strategy has chosen it; empty where the author wrote it."""


@dataclass
class Context:
    """Filled in by the checks in their order; None or empty where a check has failed or not yet run."""

    spec: AuditSpec
    document: Document
    root: Path
    diagnostics: Diagnostics = field(default_factory=Diagnostics)
    models: dict[Format, ModelFile] = field(default_factory=dict)
    models_known: bool = False
    """Every file that the spec names could be read."""
    data: dict[str, DataFile] = field(default_factory=dict)
    masks: dict[str, MaskFile] = field(default_factory=dict)
    vocabulary: VocabularyFile | None = None
    tokens: dict[str, Any] = field(default_factory=dict)
    """What the token ids of a text mean, as its modality takes it; empty for other data."""
    tokenizer: dict[str, Any] = field(default_factory=dict)
    """How a column of text becomes token ids, where it has to."""
    named: list[NamedStep] = field(default_factory=list)
    steps_known: bool = False
    """Every step has a method of the right stage."""
    auto: dict[Stage, Path_] = field(default_factory=dict)
    """Where a stage says `use: auto`."""
    salvaged: bool = False
    """The spec is what is left of one that has not the form of an audit."""
    choices: Choices | None = None
    """What the strategy chose; None where nothing was left to it."""
    inputs: tuple[TensorFacts, ...] = ()
    """The model's inputs as both files have them, unknown sizes filled in from the data."""
    renamed: dict[Format, dict[str, str]] = field(default_factory=dict)
    adaptations: dict[Format, dict[str, Any]] = field(default_factory=dict)
    """What is done to a file's own inputs and output; plain values, as `runtimes.adaptation.Adaptation.of` takes them."""
    moved: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    """Split to: input whose array holds its axes in another order than the audit, with that order."""
    n_outputs: int | None = None
    classes: tuple[str, ...] | None = None
    score: str | None = None
    sources: dict[str, tuple[str, ...]] = field(default_factory=dict)
    columns: tuple[str, ...] | None = None
    beside: tuple[str, ...] = ()
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)
    features: FeatureMap | None = None
    described: dict[str, Any] = field(default_factory=dict)
    """What a feature is, as its modality settled it."""
    fill: dict[str, Any] = field(default_factory=dict)
    references: int = 1
    rows: int | None = None
    grounds: dict[str, Ground] = field(default_factory=dict)
    """Of the steps that explain rows or features of their own, by id."""
    steps: list[ResolvedStep] = field(default_factory=list)

    def error(
        self,
        code: Code,
        message: str,
        path: Path_,
        help: str,
        label: str = "",
        on: Literal["value", "key"] = "value",
    ) -> None:
        """Say what is wrong at a path of the document."""
        self._say("error", code, message, path, help, label, on)

    def warn(self, code: Code, message: str, path: Path_, help: str, label: str = "") -> None:
        """Say what is doubtful at a path of the document."""
        self._say("warning", code, message, path, help, label, "value")

    def _say(
        self,
        severity: Literal["error", "warning"],
        code: Code,
        message: str,
        path: Path_,
        help: str,
        label: str,
        on: Literal["value", "key"],
    ) -> None:
        span = self.document.key_span(path) if on == "key" else self.document.value_span(path)
        if len(self.diagnostics) >= MOST_SHOWN:
            told = "there may be more mistakes; checking has stopped here"
            self.diagnostics.add(Diagnostic(MANY_MORE, told, span, "mend those shown first"))
            raise EnoughSaidError
        self.diagnostics.add(Diagnostic(code, message, span, help, severity, label, path))

    @property
    def train(self) -> DataFile | None:
        """The training data, where its file could be read."""
        return self.data.get("train")

    @property
    def explained(self) -> DataFile | None:
        """The split whose rows are explained, where its file could be read."""
        return self.data.get(self.select.from_)

    @property
    def select(self) -> RowSelection:
        """The rows explained by steps that have none of their own; where there is no such step, those of the first."""
        chosen: RowSelection = self._common("rows")
        return chosen

    @property
    def choice(self) -> FeatureChoice:
        """The features of steps that have none of their own; where there is no such step, those of the first."""
        chosen: FeatureChoice = self._common("features")
        return chosen

    def at_common(self, key: Literal["rows", "features"]) -> Path_:
        """Where `select` or `choice` stands in the document."""
        first = self._first_of_all(key)
        return ("explain", key) if first is None else (*first, key)

    def _common(self, key: Literal["rows", "features"]) -> Any:
        first = self._first_of_all(key)
        return getattr(self.spec.explain, key) if first is None else getattr(self._step_at(first), key)

    def _first_of_all(self, key: Literal["rows", "features"]) -> Path_ | None:
        """The first step that explains, where every one has its own `key` and nothing else needs the stage's."""
        steps = [(path, step) for _, path, step in steps_of(self.spec) if path[0] == "explain"]
        alone = bool(steps) and all(getattr(step, key) is not None for _, step in steps) and self.spec.tuning is None
        return steps[0][0] if alone else None

    def _step_at(self, path: Path_) -> Step:
        found: Any = getattr(self.spec.explain, str(path[1]))
        step: Step = found[path[2]]
        return step

    @property
    def attributions(self) -> list[NamedStep]:
        """The named steps of both directions that make an attribution."""
        return [step for step in self.named if step.declaration.direction]

    @property
    def explaining(self) -> list[NamedStep]:
        """The named steps under ``explain``."""
        return [step for step in self.named if step.declaration.explains]

    def of_stage(self, *stages: str) -> list[NamedStep]:
        """The named steps of some stages."""
        return [step for step in self.named if step.stage in stages]

    @property
    def all_auto(self) -> bool:
        """Whether the spec has a strategy and no step at all, so that everything is left to the strategy."""
        stated = isinstance(self.document.data, dict) and "strategy" in self.document.data
        written = next(steps_of(self.spec), None) is not None or bool(self.document.composition.left_out)
        return stated and not self.salvaged and not written

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs of a regression, where it has several or one that has a name; else empty."""
        return outputs_of_regression(self.spec.model, self.n_outputs) if self.n_outputs else ()

    @property
    def explains_outputs(self) -> bool:
        """Whether several outputs of a regression are explained, so that a label, one number, is of none of them."""
        asked, names = self.spec.explain.target, self.outputs
        known = bool(names) and (isinstance(asked, str) or set(asked) <= set(names))
        return known and bool(all_targets(asked, names))

    def has_labels(self, split: str) -> bool:
        """Whether the spec names the labels of a split."""
        declared = self.spec.data.train if split == "train" else self.spec.data.test
        return declared is not None and declared.target is not None

    def has(self, what: str) -> bool:
        """Whether the audit has what a method or one of its measures needs: see `Had` in methods/declared.py."""
        if what in ("labels", "test_labels"):
            return self.has_labels("train" if what == "labels" else "test")
        if what == "unseen_labels":
            return self.has_labels("train" if self.spec.data.test is None else "test")
        if what == "test":
            return self.spec.data.test is not None
        if what == "sensitive":
            return any(feature.role == "sensitive" for feature in self.spec.data.features.values())
        if what == "classification":
            return self.spec.model.task == "classification"
        return what == "one_output" and not self.explains_outputs

    def ground_name(self, step: str) -> str:
        """What tells the rows and features of a step from those of others: steps of one name can be compared."""
        return self.grounds[step].name if step in self.grounds else ""

    def shape(self, step: str = "") -> Shape | None:
        """What attribution steps will be run on, as far as it is known; with a step's id, what that one will."""
        ground = self.grounds.get(step)
        features, rows = (ground.features, ground.rows) if ground else (self.features, self.rows)
        if features is None or rows is None or self.n_outputs is None:
            return None
        held = {split: file.facts.rows for split, file in self.data.items()}
        test = held.get("test", 0)
        return Shape(rows, len(features), self.references, self.n_outputs, sum(held.values()), test)


def steps_of(spec: AuditSpec) -> Iterator[tuple[Stage, Path_, Step]]:
    """Every step of a spec with its stage and path, in the order in which the stages run."""
    for where in STEP_PATHS:
        found: Any = spec
        for part in where:
            found = getattr(found, part)
        for index, step in enumerate(found):
            yield where[-1], (*where, index), step  # type: ignore[misc]


def listed(words: Iterable[object]) -> str:
    """Words as ``a, b and c``."""
    texts = [str(word) for word in words]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else "nothing"
