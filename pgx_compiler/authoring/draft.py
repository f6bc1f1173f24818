"""All that is known of an audit before its steps are chosen: files, guesses, and the reasons for them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.analysis.checks.files import UNUSABLE_DATA
from pgx_compiler.analysis.checks.signature import channels_last
from pgx_compiler.authoring.columns import Columns, tell_columns, tell_texts
from pgx_compiler.authoring.files import Given
from pgx_compiler.authoring.labels import Labels, classes_of, find_labels
from pgx_compiler.authoring.signature import Guess, modality_of, rescales, task_of
from pgx_compiler.diagnostics.diagnostic import AuthorError, Diagnostic, Diagnostics
from pgx_compiler.modalities import is_pictured, modalities
from runtimes import datasets
from runtimes.datasets import DataFileError
from runtimes.target import ModelFacts

ROWS = 32
"""Rows explained, unless there are fewer: enough for a median, few enough to look at."""


@dataclass(frozen=True)
class Draft:
    """A first spec but for its steps."""

    given: Given
    name: str
    modality: Guess
    task: Guess
    output: str | None
    """Named only where the model has several."""
    classes: tuple[str, ...]
    classes_why: str
    labels: Labels | None
    columns: Columns
    scale: tuple[tuple[int, int], str] | None
    """What 0..255 becomes, and why."""
    patch: int | list[int] | None
    """Side of a patch, for images; sides of a block, for volumes."""
    commonest: float | None
    """Share of the commonest class: what saying always the same would reach."""

    @property
    def explained(self) -> str:
        """The split whose rows are explained."""
        return "test" if "test" in self.given.data else "train"

    @property
    def rows(self) -> int:
        """How many rows are explained."""
        return min(ROWS, self.given.data[self.explained].facts.rows)

    @property
    def labelled(self) -> bool:
        """Whether the explained split has labels."""
        return self.labels is not None and (self.explained == "train" or self.labels.in_test)


def draft_of(given: Given) -> Draft:
    """Look at the model and the data, and guess what they do not say. Raises `AuthorError` for unreadable data."""
    arrays = _read(given)
    facts = [model.facts for model in (given.model, *given.models.values())]
    labels = find_labels(given, arrays)
    task = task_of(facts, labels.are_classes if labels else None)
    modality = modality_of(facts[0])
    outputs = facts[0].n_outputs
    classes, why = (
        classes_of(labels.values if labels else None, outputs) if task.value == "classification" else ([], "")
    )
    columns = Columns()
    if modality.value == "tabular":
        columns = tell_columns(given, labels.name if labels else None, arrays)
    elif modality.value == "text":
        columns = tell_texts(given, labels.name if labels else None, arrays)
    several = len(given.model.facts.outputs) > 1 and "keras" in given.models
    return Draft(
        given=given,
        name=_name(given),
        modality=modality,
        task=task,
        output=given.model.facts.outputs[0].name if several else None,
        classes=tuple(classes),
        classes_why=why,
        labels=labels,
        columns=columns,
        scale=_scale(given, arrays) if is_pictured(modality.value) else None,
        patch=patch_of(facts[0], modality.value) if is_pictured(modality.value) else None,
        commonest=_commonest(labels) if labels and task.value == "classification" else None,
    )


def _read(given: Given) -> dict[str, NDArray[Any]]:
    if datasets.of_workers_alone(given.train.path):
        found = Diagnostics()
        told = f"`{given.train.path.name}` is read by the run alone, and a first spec is drawn up from the rows"
        found.add(
            Diagnostic(UNUSABLE_DATA, told, None, "draw it up from a sample in `.csv`, then name this file instead")
        )
        raise AuthorError(found)
    try:
        return dict(datasets.read(given.train.path).arrays)
    except DataFileError as error:
        found = Diagnostics()
        found.add(Diagnostic(UNUSABLE_DATA, error.reason, None, error.help))
        raise AuthorError(found) from error


def _name(given: Given) -> str:
    """The model's file name as a name that the language takes."""
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", given.model.path.stem).strip("-_.")[:64]
    return name or "audit"


def _scale(given: Given, arrays: Mapping[str, NDArray[Any]]) -> tuple[tuple[int, int], str] | None:
    """Integer pixels for a model that reads floats: 0..1, unless the model rescales them itself."""
    tensor = given.model.facts.inputs[0]
    pixels = next((arrays[name] for name in (tensor.name, "x", "X") if name in arrays), None)
    if pixels is None or pixels.dtype.kind not in "ui" or not tensor.dtype.startswith("float"):
        return None
    if any(rescales(model.facts) for model in given.models.values()):
        return (0, 255), "the model rescales the pixels itself; this leaves them as they are"
    return (0, 1), "the pixels are integers: guessed that training mapped 0..255 onto 0..1"


def patch_of(facts: ModelFacts, modality: str) -> int | list[int] | None:
    """Size of a patch of an image or of a block: the default of the language, written out; None where a size is open."""
    tensor, asked = facts.inputs[0], modalities()[modality]
    if len(tensor.shape) - 1 not in (asked.PLACES, asked.PLACES + 1):
        return None
    shape = channels_last(tensor, asked.PLACES).shape[1:]
    if None in shape[: asked.PLACES]:
        return None
    found: int | list[int] = asked.settle({}, {tensor.name: [int(size or 1) for size in shape]})["size"]
    return found


def _commonest(labels: Labels) -> float:
    _, counts = np.unique(labels.values.astype(str), return_counts=True)
    return float(counts.max() / counts.sum())
