"""Which input of the model holds the tokens of a text, what pads them, and where they come from?"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pgx_compiler.analysis.checks.data import SHAPE_MISMATCH, UNKNOWN_COLUMN, WRONG_KIND, array_for, beside
from pgx_compiler.analysis.checks.model import fits, in_words
from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import DataFile
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.spec.source import Path_
from pgx_compiler.spec.text import TokenizerSpec
from runtimes.target import TensorFacts
from runtimes.texts.cutting import unsafe_pattern

TOKENS_UNCLEAR = Code(
    4026,
    "tokens-unclear",
    "A text model reads token ids, rows × length, perhaps with a mask and with types of the same length; or the text itself,"
    " one a row. Where names and shapes do not tell them apart, `model.inputs: {NAME: {kind: tokens}}` does (`token_mask`,"
    " `token_types`, `text`).",
)
UNKNOWN_PADDING = Code(
    4027,
    "unknown-padding",
    "Without the id of the padding nobody knows where a text ends. A vocabulary names it (`[PAD]`, `<pad>`), else"
    " `model.inputs: {NAME: {pad: 0}}` does.",
)
VOCABULARY_SIZE = Code(
    4028,
    "vocabulary-size",
    "An id of the spec or the vocabulary is none that the model embeds, or that the vocabulary has.",
)
BAD_TOKENIZER = Code(
    4029,
    "bad-tokenizer",
    "A column of text becomes token ids by `data.tokenizer`: a vocabulary that says how texts are cut (a `tokenizer.json`,"
    " WordPiece, or plain words), and a length, unless the model says it. Token ids in the file need none.",
)


def check_text(context: Context) -> None:
    """Settle the roles of the inputs, the meaning of the ids, and which arrays or columns hold the text."""
    data = context.spec.data
    if data.modality != "text":
        if data.tokenizer is not None:
            message = f"`tokenizer` cuts texts, and the modality is {data.modality}"
            context.error(BAD_TOKENIZER, message, ("data", "tokenizer"), "delete it", on="key")
        return
    if not context.inputs or context.train is None:
        return
    roles = _roles(context)
    if roles is None:
        return
    if "text" in roles.values():
        context.tokens = {"text": next(name for name, role in roles.items() if role == "text")}
        return  # `check_whole_text` goes on
    if not _settle_tokens(context, roles):
        return
    for split, file in context.data.items():
        bound = _bind(context, split, file, roles)
        if bound and split == "train":
            context.sources = bound
            context.columns = ()
        elif bound and context.sources and bound != context.sources:
            message = "the test data names the text otherwise than the training data"
            help_ = "give both files the same arrays or columns"
            context.error(SHAPE_MISMATCH, message, ("data", split, "path"), help_)


_IDS = {"tokens": "ids", "token_mask": "mask", "token_types": "types"}
"""Kinds of inputs that hold numbers for tokens, and their roles."""
Roles = Mapping[str, str]
"""Input name to ``ids``, ``mask``, ``types``, ``text`` (the model reads it itself) or ``given``."""


def _roles(context: Context) -> Roles | None:
    declared = {name: one.kind for name, one in context.spec.model.inputs.items()}
    said = {**_IDS, "text": "text"}
    roles = {tensor.name: said.get(declared.get(tensor.name) or "", "") for tensor in context.inputs}
    for tensor in context.inputs:
        if not roles[tensor.name]:
            alone = len(context.inputs) == 1
            looked_up = any("EmbeddingDifferentiable" in file.facts.capabilities for file in context.models.values())
            roles[tensor.name] = "ids" if alone and looked_up else _by_looks(tensor, alone=alone)
    wrong = [tensor.name for tensor in context.inputs if tensor.dtype == "str" and declared.get(tensor.name) in _IDS]
    if wrong:
        message = f"`{wrong[0]}` is said to hold token ids, and the model reads text there"
        at: Path_ = ("model", "inputs", wrong[0], "kind")
        context.error(TOKENS_UNCLEAR, message, at, "write `kind: text`, or delete it")
        return None
    if "text" in roles.values():
        # beside a text, numbers are no token ids, and beside one that the spec names other words are no text
        kept = {"text"} if "text" not in declared.values() else set[str]()
        roles = {n: role if role in kept or declared.get(n) in said else "given" for n, role in roles.items()}
    holding = [name for name, role in roles.items() if role in ("ids", "text")]
    masks = [name for name, role in roles.items() if role == "mask"]
    if len(holding) == 1 and len(masks) <= 1:
        return roles
    if not holding:
        read = ", ".join(f"`{tensor.name}` {tensor.dtype}" for tensor in context.inputs)
        message = f"no input of the model holds token ids or text; it reads {read}"
        help_ = "say which: `model.inputs: {NAME: {kind: tokens}}` or `text`, or choose the modality that the model was made for"
    else:
        several = holding if len(holding) > 1 else masks
        texts = "text" in roles.values()
        alike = "texts" if texts else "token ids" if len(holding) > 1 else "masks of tokens"
        message = f"{quoted(several)} all look like {alike}"
        help_ = "say what each is: `model.inputs: {NAME: {kind: tokens}}`, `token_mask` or `token_types`"
        if texts:
            help_ = "say which one is explained, and the others stay as they are: `model.inputs: {NAME: {kind: text}}`"
    context.error(TOKENS_UNCLEAR, message, ("data", "modality"), help_)
    return None


def _by_looks(tensor: TensorFacts, *, alone: bool) -> str:
    """The part of an input whose kind the spec does not say, by its name and type."""
    name = tensor.name.lower()
    if tensor.dtype in ("str", "object") and len(tensor.shape) <= 2:
        return "text"
    if len(tensor.shape) != 2 or not tensor.dtype.startswith(("int", "uint")):
        return "given"
    if alone:
        return "ids"
    return "mask" if "mask" in name else "types" if "type" in name or "segment" in name else "ids"


def _settle_tokens(context: Context, roles: Roles) -> bool:
    """What the ids mean, as `pgx_compiler.modalities.text.settle` takes it."""
    by_role = {role: name for name, role in roles.items()}
    name = by_role["ids"]
    declared = context.spec.model.inputs.get(name)
    vocabulary = context.vocabulary.facts if context.vocabulary else None
    if context.vocabulary is None and _names_vocabulary(context, name):
        return False  # it could not be read, which has been said
    pad = declared.pad if declared and declared.pad is not None else vocabulary.pad if vocabulary else None
    if pad is None:
        lacks = "the vocabulary names none" if vocabulary else "the audit names no vocabulary"
        message = f"nobody knows which id pads `{name}`: {lacks}"
        help_ = f"say it: `model.inputs: {{{name}: {{pad: 0}}}}`"
        context.error(UNKNOWN_PADDING, message, ("model", "inputs", name) if declared else ("model",), help_, on="key")
        return False
    context.tokens = {
        "ids": name,
        "mask": by_role.get("mask"),
        "types": by_role.get("types"),
        "pad": pad,
        "framing": sorted(vocabulary.framing - {pad}) if vocabulary else [],
        "mask_id": None if vocabulary is None else vocabulary.unknown if vocabulary.mask is None else vocabulary.mask,
        "unknown": _unknown(context),
        "pieces": vocabulary.pieces if vocabulary else "",
        "vocabulary": [context.vocabulary.sha256, context.vocabulary.path.suffix] if context.vocabulary else None,
    }
    return _check_sizes(context, name, pad)


def _names_vocabulary(context: Context, name: str) -> bool:
    declared = context.spec.model.inputs.get(name)
    return context.spec.data.tokenizer is not None or bool(declared and declared.vocabulary)


def _unknown(context: Context) -> int | None:
    tokenizer, vocabulary = context.spec.data.tokenizer, context.vocabulary
    if tokenizer is not None and tokenizer.unknown is not None:
        return tokenizer.unknown
    return vocabulary.facts.unknown if vocabulary else None


def _check_sizes(context: Context, name: str, pad: int) -> bool:
    """Hold the ids of spec and vocabulary against each other, and against what a Keras file embeds."""
    vocabulary = context.vocabulary
    tokenizer = context.spec.data.tokenizer
    given: dict[Path_, int | None] = {("model", "inputs", name, "pad"): pad}
    for key in ("unknown", "cls", "sep"):
        given["data", "tokenizer", key] = getattr(tokenizer, key, None)
    good = True
    for at, value in given.items():
        if vocabulary is not None and value is not None and value >= len(vocabulary.facts):
            message = f"the id {value} is beyond the {len(vocabulary.facts)} words of `{vocabulary.relative}`"
            context.error(VOCABULARY_SIZE, message, at, f"at most {len(vocabulary.facts) - 1}")
            good = False
    embedded = _embedded(context)
    if vocabulary is not None and embedded and len(vocabulary.facts) > embedded:
        message = f"`{vocabulary.relative}` has {len(vocabulary.facts)} ids, and the model embeds {embedded}"
        context.error(VOCABULARY_SIZE, message, vocabulary.at, "give the vocabulary that the model was trained with")
        good = False
    return good


def _embedded(context: Context) -> int | None:
    """How many ids the model knows, where its file says so: the largest of its embeddings."""
    for file in context.models.values():
        sizes = [layer.settings.get("input_dim") for layer in file.facts.layers if layer.kind == "Embedding"]
        known = [size for size in sizes if isinstance(size, int)]
        if known:
            return max(known)
    return None


def _bind(context: Context, split: str, file: DataFile, roles: Roles) -> dict[str, tuple[str, ...]] | None:
    if file.facts.tabular:
        return _bind_column(context, split, file, roles)
    tokenizer = context.spec.data.tokenizer
    if tokenizer is not None:
        message = f"`{file.relative}` holds arrays, and the tokenizer cuts a column of text"
        context.error(
            BAD_TOKENIZER, message, ("data", "tokenizer"), "delete it, or give a `.csv` or `.jsonl`", on="key"
        )
        return None
    at: Path_ = ("data", split, "path")
    found: dict[str, tuple[str, ...]] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for tensor in context.inputs:
        column = array_for(context, tensor, file, at, single=len(context.inputs) == 1)
        if column is None:
            return None
        if np.dtype(column.dtype if column.dtype != "str" else "U").kind not in "iu" and roles[tensor.name] != "given":
            message = f"the array `{column.name}` holds {column.dtype}, and the model reads token ids"
            context.error(WRONG_KIND, message, at, "store whole numbers, or give texts in a `.csv` with a `tokenizer`")
            return None
        if not fits(tensor.shape[1:], column.shape) or (roles[tensor.name] != "given" and len(column.shape) != 1):
            read = in_words(tensor.shape[1:])
            message = f"the array `{column.name}` holds {in_words(column.shape)} a row, the model reads {read}"
            context.error(SHAPE_MISMATCH, message, at, "pad and cut all rows to the length that the model reads")
            return None
        found[tensor.name], shapes[tensor.name] = (column.name,), column.shape
    lengths = {shapes[name] for name, role in roles.items() if role != "given"}
    if len(lengths) > 1:
        message = f"tokens, mask and types differ in length: {', '.join(in_words(one) for one in sorted(lengths))}"
        context.error(SHAPE_MISMATCH, message, at, "store them with one length")
        return None
    if split == "train":
        context.inputs = tuple(TensorFacts(t.name, (None, *shapes[t.name]), t.dtype) for t in context.inputs)
    elif any(tensor.shape[1:] != shapes[tensor.name] for tensor in context.inputs):
        message = "the rows of the test data have another length than those of the training data"
        context.error(SHAPE_MISMATCH, message, at, "pad and cut both to one length")
        return None
    return found


def _bind_column(context: Context, split: str, file: DataFile, roles: Roles) -> dict[str, tuple[str, ...]] | None:
    """A column of text, cut by the tokenizer."""
    at: Path_ = ("data", split, "path")
    given = [name for name, role in roles.items() if role == "given"]
    if given:
        message = f"the model also reads `{given[0]}`, which no text gives"
        context.error(BAD_TOKENIZER, message, at, "store all inputs as arrays of a `.npz` file")
        return None
    column = text_column(context, split, file)
    if column is None:
        return None
    tokenizer = context.spec.data.tokenizer
    if tokenizer is None:
        message = f"the model reads token ids, and `{file.relative}` holds text"
        help_ = "name what cuts it: `data.tokenizer: {vocabulary: FILE}`; or give token ids in a `.npz`"
        context.error(BAD_TOKENIZER, message, at, help_)
        return None
    if split == "train":
        if not _check_tokenizer(context, tokenizer, roles):
            return None
        context.beside = beside(context, file.facts, [column])
    return dict.fromkeys(roles, (column,))


def text_column(context: Context, split: str, file: DataFile) -> str | None:
    """The column that holds the texts; None where none does or several do, which has been said then."""
    names = [column.name for column in file.facts.columns]
    texts = [column.name for column in file.facts.columns if column.dtype in ("str", "object")]
    asked = context.spec.data.columns
    if asked is not None:
        for index, name in enumerate(asked):
            if name not in names:
                near = nearest(name, names)
                label = f"did you mean `{near}`?" if near else ""
                message = f"`{file.relative}` has no column `{shortened(name)}`"
                context.error(
                    UNKNOWN_COLUMN, message, ("data", "columns", index), f"it has: {quoted(names, 20)}", label
                )
                return None
        if len(asked) > 1:
            message = "several columns are named, and a text is one"
            context.error(SHAPE_MISMATCH, message, ("data", "columns", 1), "name the column of texts alone")
            return None
        if asked and asked[0] not in texts:
            message = f"the column `{shortened(asked[0])}` of `{file.relative}` holds no text"
            help_ = f"columns of text: {quoted(texts, 20)}" if texts else "the file has no column of text"
            context.error(WRONG_KIND, message, ("data", "columns", 0), help_)
            return None
        return asked[0]
    declared = context.spec.data.train if split == "train" else context.spec.data.test
    roles = {name for name, one in context.spec.data.features.items() if one.role != "feature"}
    free = [name for name in texts if name not in roles and (declared is None or name != declared.target)]
    if len(free) == 1:
        return free[0]
    message = f"`{file.relative}` has {'no column' if not free else 'several columns'} of text"
    help_ = f"name it: `data.columns: [NAME]`; the file has: {quoted(free or names, 20)}"
    context.error(UNKNOWN_COLUMN, message, ("data", split, "path"), help_)
    return None


def _check_tokenizer(context: Context, tokenizer: TokenizerSpec, roles: Roles) -> bool:
    at: Path_ = ("data", "tokenizer")
    facts = context.vocabulary.facts if context.vocabulary else None
    if facts is None:
        return False
    own_rules = [key for key in ("pattern", "cls", "sep") if getattr(tokenizer, key) is not None]
    if facts.tokenizer and (own_rules or tokenizer.unknown is not None):
        key = [*own_rules, "unknown"][0]
        message = f"`{key}` has no meaning here: the tokenizer's file says itself how texts are cut"
        context.error(BAD_TOKENIZER, message, (*at, key), "delete it", on="key")
        return False
    if not facts.tokenizer and facts.pieces in ("Ġ", "▁"):
        message = f"the vocabulary holds pieces of words (`{facts.pieces}`), but not how texts are cut into them"
        context.error(BAD_TOKENIZER, message, (*at, "vocabulary"), "give the `tokenizer.json` of the model")
        return False
    if facts.pieces == "##" and tokenizer.pattern is not None:
        message = "`pattern` has no meaning with a vocabulary of pieces, which is cut as WordPiece is"
        context.error(BAD_TOKENIZER, message, (*at, "pattern"), "delete it", on="key")
        return False
    refused = unsafe_pattern(tokenizer.pattern) if tokenizer.pattern is not None else None
    if refused:
        context.error(
            BAD_TOKENIZER, f"the pattern cannot be used: {refused}", (*at, "pattern"), "mend it, or delete it"
        )
        return False
    wanted = {tensor.shape[1] for tensor in context.inputs} - {None}
    if tokenizer.length is not None and wanted and wanted != {tokenizer.length}:
        message = f"texts are cut to {tokenizer.length} tokens, and the model reads {min(wanted, key=str)}"
        context.error(SHAPE_MISMATCH, message, (*at, "length"), "delete `length`: the model says it")
        return False
    if tokenizer.length is None and not wanted:
        message = "the model reads texts of any length, and nobody says how long they are here"
        context.error(BAD_TOKENIZER, message, at, "add `length`: as many tokens as the longest text needs", on="key")
        return False
    length = tokenizer.length or next(iter(wanted))
    context.inputs = tuple(TensorFacts(t.name, (None, length), t.dtype) for t in context.inputs)
    context.tokenizer = _cutting(context, tokenizer, roles, int(length or 1))
    return True


def _cutting(context: Context, tokenizer: TokenizerSpec, roles: Roles, length: int) -> dict[str, Any]:
    """All that a run needs to cut a text; see `runtimes.texts.cutting.Cutting`."""
    assert context.vocabulary is not None
    facts = context.vocabulary.facts
    framed = facts.pieces == "##" and not facts.tokenizer
    return {
        "vocabulary": [context.vocabulary.sha256, context.vocabulary.path.suffix],
        "roles": dict(roles),
        "cutting": {
            "length": length,
            "pad": context.tokens["pad"],
            "unknown": context.tokens["unknown"],
            "start": tokenizer.cls if tokenizer.cls is not None else facts.start if framed else None,
            "end": tokenizer.sep if tokenizer.sep is not None else facts.end if framed else None,
            "lowercase": tokenizer.lowercase,
            "pattern": tokenizer.pattern,
        },
    }


def check_word_of_fill(context: Context) -> None:
    """The word that stands in the place of a removed one, where the model reads the text itself."""
    at: Path_ = ("explain", "fill")
    if context.fill.pop("value") is not None:
        message = "the model reads the text itself, and `value` is a token id"
        context.error(VOCABULARY_SIZE, message, (*at, "value"), "write `token: WORD`", on="key")
    elif context.fill["token"] is None:
        message = "nobody knows which word masks another: the model cuts its text itself"
        context.error(UNKNOWN_PADDING, message, at, "add `token: WORD`, or write `kind: delete`")
    elif not context.fill["token"].strip() or not context.fill["token"].isprintable():
        message = "what stands in the place of a removed word is no word"
        context.error(UNKNOWN_PADDING, message, (*at, "token"), "write a word, or `kind: delete`")


def check_text_fill(context: Context) -> None:
    """Is there a token to put in the place of a removed one?"""
    if context.spec.data.modality != "text" or context.fill.get("kind") != "mask" or not context.tokens:
        return
    if "text" in context.tokens:
        check_word_of_fill(context)
        return
    if context.fill.pop("token") is not None:
        message = "the model reads token ids, and `token` is a word of a text"
        context.error(VOCABULARY_SIZE, message, ("explain", "fill", "token"), "write `value: ID`", on="key")
    value, vocabulary = context.fill.get("value"), context.vocabulary
    at: Path_ = ("explain", "fill")
    if value is None and context.tokens["mask_id"] is None:
        message = "nobody knows which token masks another: the vocabulary has neither `[MASK]` nor `[UNK]`"
        if vocabulary is None:
            message = "nobody knows which token masks another: the audit names no vocabulary"
        context.error(UNKNOWN_PADDING, message, at, "add `value: ID`, or write `kind: delete`")
    elif value is not None and (value != int(value) or value < 0):
        context.error(VOCABULARY_SIZE, f"{value} is no token id", (*at, "value"), "give a whole number from 0 up")
    elif value is not None and vocabulary is not None and value >= len(vocabulary.facts):
        message = f"the id {value} is beyond the {len(vocabulary.facts)} words of `{vocabulary.relative}`"
        context.error(VOCABULARY_SIZE, message, (*at, "value"), f"at most {len(vocabulary.facts) - 1}")
