"""Which of the given files is the model, which the training data, which the test data; in any order."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pgx_compiler.analysis.checks.files import UNKNOWN_SUFFIX, UNUSABLE_DATA, UNUSABLE_MODEL
from pgx_compiler.analysis.resolved import Format
from pgx_compiler.diagnostics.diagnostic import AuthorError, Code, Diagnostic, Diagnostics
from pgx_compiler.diagnostics.nearest import nearest, quoted
from pgx_compiler.spec.paths import FORBIDDEN_PATH, NO_SUCH_FILE
from runtimes import datasets
from runtimes.datasets import DataFileError, DatasetFacts
from runtimes.formats.saved_model_file import NAME as SAVED_MODEL_NAME
from runtimes.target import ModelFacts, ModelFileError, framework_for

NOT_ONE_AUDIT = Code(
    5090,
    "not-one-audit",
    "`pgx init` writes one audit: of one model, given as a Keras file, an ONNX file or both, and of one or two data files,"
    " for training and for test. Any order will do.",
)

_TEST = re.compile(
    r"(?i)(?<![a-z])(test|testing|valid|validation|val|holdout|hold[-_]out|eval|evaluation|unseen)(?![a-z])"
)
_TRAIN = re.compile(r"(?i)(?<![a-z])(train|training|fit|learn)(?![a-z])")


@dataclass(frozen=True)
class DataGiven:
    """One data file."""

    path: Path
    relative: str
    """From the spec's folder, with forward slashes."""
    facts: DatasetFacts


@dataclass(frozen=True)
class ModelGiven:
    """One file of the model."""

    path: Path
    relative: str
    facts: ModelFacts


@dataclass(frozen=True)
class Given:
    """The files of an audit to be."""

    root: Path
    """Folder of the spec."""
    models: Mapping[Format, ModelGiven]
    data: Mapping[str, DataGiven]
    """By split: ``train``, and ``test`` where there are two."""
    guesses: tuple[str, ...] = ()
    """What was guessed of the files, in sentences."""

    @property
    def model(self) -> ModelGiven:
        """The file that says most of the model: the white box where there is one."""
        return self.models.get("keras") or self.models["onnx"]

    @property
    def train(self) -> DataGiven:
        """The training data."""
        return self.data["train"]


def sort_files(paths: Sequence[str], root: Path) -> Given:
    """Tell models from data and train from test; `root` is the folder of the spec.

    Raises:
        AuthorError: files that are missing, unreadable, outside the folder, of unknown kind, or too many of one kind.
    """
    found = Diagnostics()
    models: dict[Format, ModelGiven] = {}
    data: list[DataGiven] = []
    for text in dict.fromkeys(paths):
        path = _inside(Path(text))
        format_ = _format_of(path)
        relative = _below(path, root, paths, found)
        if relative is None:
            continue
        if format_ in models:
            _say(
                found,
                NOT_ONE_AUDIT,
                f"two {format_} files are given",
                f"leave `{text}` or `{models[format_].path}` out",
            )
        elif format_ is not None:
            _add_model(models, format_, path, relative, found)
        elif path.suffix.lower() in datasets.formats():
            _add_data(data, path, relative, found)
        else:
            known = [*_model_suffixes(), *sorted(datasets.formats())]
            ending = f"ends in `{path.suffix}`" if path.suffix else "has no suffix"
            _say(found, UNKNOWN_SUFFIX, f"`{text}` {ending}", f"one of: {quoted(known)}")
    if not found.failed:
        _check_whole(models, data, found)
    if found.failed:
        raise AuthorError(found)
    splits, guess = _splits(data)
    return Given(root, models, splits, guess)


def read_model(path: Path) -> tuple[Format, ModelFacts]:
    """The format and the facts of one model file. Raises `AuthorError` where it is none, or cannot be read."""
    found = Diagnostics()
    models: dict[Format, ModelGiven] = {}
    path = _inside(path)
    format_ = _format_of(path)
    if not path.is_file():
        _say(found, NO_SUCH_FILE, f"`{path}` {_why_not(path)}", _near(path))
    elif format_ is None:
        _say(found, UNKNOWN_SUFFIX, f"`{path}` is no model file", f"one of: {quoted(_model_suffixes())}")
    else:
        _add_model(models, format_, path, path.name, found)
    if format_ is None or format_ not in models:
        raise AuthorError(found)
    return format_, models[format_].facts


def _inside(path: Path) -> Path:
    """The file that holds the model of a SavedModel's folder; any other path as it is."""
    within = path / SAVED_MODEL_NAME
    return within if within.is_file() else path


def _say(found: Diagnostics, code: Code, message: str, help: str) -> None:
    found.add(Diagnostic(code, message, None, help))


def _model_suffixes() -> list[str]:
    return [suffix for format_ in get_args(Format) for suffix in framework_for(format_).TARGET.suffixes]


def _format_of(path: Path) -> Format | None:
    for format_ in get_args(Format):
        if path.suffix.lower() in framework_for(format_).TARGET.suffixes:
            return format_  # type: ignore[no-any-return]
    return None


def _below(path: Path, root: Path, paths: Sequence[str], found: Diagnostics) -> str | None:
    """The path from the spec's folder, or None where it has been complained about."""
    if not path.is_file():
        _say(found, NO_SUCH_FILE, f"`{path}` {_why_not(path)}", _near(path))
        return None
    place = Path(os.path.abspath(path))
    if place.is_relative_to(os.path.abspath(root)) and path.resolve().is_relative_to(root.resolve()):
        return place.relative_to(os.path.abspath(root)).as_posix()
    above = _common(paths)
    # a link out of the folder is refused by every later check, wherever the spec stands
    linked = place.is_relative_to(os.path.abspath(root))
    help_ = "copy the file itself below the spec's folder"
    if not linked and above is not None:
        help_ = f"write the spec above all files, `-o {above / 'audit.yaml'}`, or copy them below its folder"
    what = "is a link out of" if linked else "does not lie below"
    _say(found, FORBIDDEN_PATH, f"`{path}` {what} the spec's folder, `{root}`", help_)
    return None


def _why_not(path: Path) -> str:
    return "is a folder, not a file" if path.is_dir() else "does not exist"


def _near(path: Path) -> str:
    beside = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    near = nearest(path.name, beside)
    return f"did you mean `{path.parent / near}`?" if near else "paths are relative to the folder you are in"


def _common(paths: Sequence[str]) -> Path | None:
    """The deepest folder above all files, as a person would write it from here."""
    try:
        folder = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    except ValueError:
        return None
    return Path(os.path.relpath(folder))


def _add_model(
    models: dict[Format, ModelGiven], format_: Format, path: Path, relative: str, found: Diagnostics
) -> None:
    try:
        named = relative.removesuffix(f"/{SAVED_MODEL_NAME}")
        models[format_] = ModelGiven(path, named, framework_for(format_).inspect(path))
    except ModelFileError as error:
        _say(found, UNUSABLE_MODEL, error.reason, error.help)


def _add_data(data: list[DataGiven], path: Path, relative: str, found: Diagnostics) -> None:
    try:
        data.append(DataGiven(path, relative, datasets.inspect(path)))
    except DataFileError as error:
        _say(found, UNUSABLE_DATA, error.reason, error.help)


def _check_whole(models: Mapping[Format, ModelGiven], data: Sequence[DataGiven], found: Diagnostics) -> None:
    if not models:
        help_ = f"add the model: a file that ends in {quoted(_model_suffixes())}"
        _say(found, NOT_ONE_AUDIT, "no model file is given", help_)
    if not data:
        help_ = f"add the training data: a file that ends in {quoted(sorted(datasets.formats()))}"
        _say(found, NOT_ONE_AUDIT, "no data file is given", help_)
    if len(data) > 2:
        names = quoted([given.relative for given in data])
        _say(found, NOT_ONE_AUDIT, f"{len(data)} data files are given: {names}", "give the training and the test data")


def _splits(data: Sequence[DataGiven]) -> tuple[dict[str, DataGiven], tuple[str, ...]]:
    """Train and test by their names; where these say nothing, the larger file is the training data."""
    if len(data) == 1:
        return {"train": data[0]}, (f"`{data[0].relative}` is taken as the training data; nothing is kept for a test",)
    first, second = data
    for a, b in ((first, second), (second, first)):
        if _TEST.search(b.path.stem) and not _TEST.search(a.path.stem):
            return {"train": a, "test": b}, ()
        if _TRAIN.search(a.path.stem) and not _TRAIN.search(b.path.stem):
            return {"train": a, "test": b}, ()
    train, test = (first, second) if first.facts.rows >= second.facts.rows else (second, first)
    guess = (
        f"neither data file says in its name what it is; `{train.relative}` has {train.facts.rows} rows and is taken for"
        f" training, `{test.relative}` has {test.facts.rows} and for test"
    )
    return {"train": train, "test": test}, (guess,)
