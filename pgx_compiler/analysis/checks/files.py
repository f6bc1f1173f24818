"""Are the files where the spec says, below its folder, and what their suffix says?"""

import hashlib
import struct
from pathlib import Path

from pgx_compiler.analysis.checks.trusted import as_plain, check_trusted, inspect_trusted
from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import DataFile, Format, MaskFile, ModelFile, VocabularyFile
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import quoted, shortened
from pgx_compiler.spec.paths import RefusedPath, locate
from pgx_compiler.spec.source import Path_
from runtimes import datasets
from runtimes.datasets import DataFileError
from runtimes.formats.saved_model_file import NAME as SAVED_MODEL_NAME
from runtimes.target import ModelFileError, NoSignatureError, framework_for
from runtimes.texts import vocabulary

NO_MODEL = Code(
    3010,
    "no-model",
    "An audit needs a model: `keras` for both directions, `onnx` for perturbation, or both.",
)
UNKNOWN_SUFFIX = Code(
    5003,
    "unknown-suffix",
    "The file's suffix says what it is, and this one is not among those that can be read here.",
)
UNUSABLE_MODEL = Code(
    5004,
    "unusable-model",
    "The model file is damaged, not what its suffix says, without the signature that `model.signature` names, or refused"
    " because it could run code of its own."
    " Model files are read statically; nothing in them is executed to check them.",
)
UNUSABLE_DATA = Code(
    5005,
    "unusable-data",
    "The data file is damaged, not what its suffix says, or not a table or archive of plain arrays.",
)
UNUSABLE_MASK = Code(
    5006,
    "unusable-mask",
    "A mask is a PNG file; white marks the region. Its height and width must be those of the images.",
)
UNUSABLE_VOCABULARY = Code(
    5007,
    "unusable-vocabulary",
    "A vocabulary is a `.txt` with a word a line, a `.json` list of words, a `.json` of words with their ids, or a"
    " `tokenizer.json`. It is read as plain data; a pickled tokenizer is not opened.",
)

_LARGEST_SIDE = 20_000
"""Pixels; a PNG's header may claim two thousand million."""


def check_files(context: Context) -> None:
    """Find, digest and inspect the files of the model, the data and the masks."""
    _check_models(context)
    check_trusted(context)
    _check_data(context)
    _check_vocabulary(context)
    for name, declared in context.spec.data.features.items():
        if declared.mask is not None:
            _check_mask(context, name, declared.mask)


def _check_models(context: Context) -> None:
    named: dict[Format, str | None] = {"keras": context.spec.model.keras, "onnx": context.spec.model.onnx}
    if not any(named.values()):
        help_ = "add `keras: FILE.keras` (white box) or `onnx: FILE.onnx` (black box)"
        context.error(NO_MODEL, "the audit names no model", ("model",), help_, on="key")
        return
    context.models_known = True
    for format_, text in named.items():
        if text is None:
            continue
        framework = framework_for(format_)
        text = _inside(context, text) if format_ == "keras" else text
        path = _find(context, text, ("model", format_), framework.TARGET.suffixes)
        if path is not None:
            sha256 = _sha256(path)
            try:
                found = inspect_trusted(context, framework, path, sha256)
            except ModelFileError as error:
                key = "signature" if isinstance(error, NoSignatureError) else format_
                context.error(UNUSABLE_MODEL, error.reason, ("model", key), error.help)
            else:
                trust = tuple(as_plain(_relative(text), grant) for grant in found.grants)
                context.models[format_] = ModelFile(
                    path, _relative(text), sha256, found.facts, powers=found.powers, trust=trust
                )
        context.models_known = context.models_known and format_ in context.models
    if context.spec.model.signature and not named["keras"]:
        message = "`model.signature` names the signature of a SavedModel, and the audit names none"
        help_ = "name its folder: `model.keras: FOLDER`, or delete `signature`"
        context.error(UNUSABLE_MODEL, message, ("model", "signature"), help_)


def _check_data(context: Context) -> None:
    for split, declared in (("train", context.spec.data.train), ("test", context.spec.data.test)):
        if declared is None:
            continue
        at: Path_ = ("data", split, "path")
        path = _find(context, declared.path, at, tuple(sorted(datasets.formats())))
        if path is None:
            continue
        try:
            facts = datasets.inspect(path)
        except DataFileError as error:
            context.error(UNUSABLE_DATA, error.reason, at, error.help)
        else:
            context.data[split] = DataFile(path, _relative(declared.path), _sha256(path), facts)


def _check_vocabulary(context: Context) -> None:
    tokenizer, inputs = context.spec.data.tokenizer, context.spec.model.inputs
    named: dict[Path_, str] = {("data", "tokenizer", "vocabulary"): tokenizer.vocabulary} if tokenizer else {}
    for name, declared in inputs.items():
        if declared.vocabulary is not None:
            named["model", "inputs", name, "vocabulary"] = declared.vocabulary
    for at, text in named.items():
        path = _find(context, text, at, vocabulary.SUFFIXES)
        if path is None:
            continue
        try:
            facts = vocabulary.read_vocabulary(path)
        except DataFileError as error:
            context.error(UNUSABLE_VOCABULARY, error.reason, at, error.help)
            continue
        found = VocabularyFile(path, _relative(text), _sha256(path), facts, at)
        if context.vocabulary is not None and context.vocabulary.sha256 != found.sha256:
            message = f"`{shortened(text)}` is another vocabulary than `{context.vocabulary.relative}`"
            context.error(UNUSABLE_VOCABULARY, message, at, "an audit has one vocabulary: name it once", on="key")
        context.vocabulary = context.vocabulary or found


def _check_mask(context: Context, name: str, text: str) -> None:
    at: Path_ = ("data", "features", name, "mask")
    path = _find(context, text, at, (".png",))
    if path is None:
        return
    with path.open("rb") as file:
        head = file.read(26)
    if len(head) < 26 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        context.error(UNUSABLE_MASK, f"`{shortened(text)}` is not a PNG file", at, "save the mask as PNG")
        return
    width, height = struct.unpack(">II", head[16:24])
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        message = f"`{shortened(text)}` claims to be {height} × {width} pixels"
        context.error(UNUSABLE_MASK, message, at, "make it the size of the images")
        return
    context.masks[name] = MaskFile(path, _relative(text), _sha256(path), height, width)


def _inside(context: Context, text: str) -> str:
    """A path to a SavedModel's folder as the file in it that holds the model; any other as it is."""
    within = f"{text.rstrip('/')}/{SAVED_MODEL_NAME}"
    return text if isinstance(locate(context.root, context.root, within), RefusedPath) else within


def _find(context: Context, text: str, at: Path_, suffixes: tuple[str, ...]) -> Path | None:
    """The file that a path of the spec means, or None where it has been complained about."""
    path = locate(context.root, context.root, text)
    if isinstance(path, RefusedPath):
        context.error(path.code, path.message, at, path.help, path.label)
        return None
    if path.suffix.lower() not in suffixes:
        shown = f"ends in `{shortened(path.suffix)}`" if path.suffix else "has no suffix"
        context.error(UNKNOWN_SUFFIX, f"`{shortened(text)}` {shown}", at, f"one of: {quoted(suffixes)}")
        return None
    return path


def _relative(text: str) -> str:
    return Path(text).as_posix()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
