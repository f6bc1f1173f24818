"""From a text to token ids: words by a pattern, pieces by WordPiece, or as a model's own ``tokenizer.json`` says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.capabilities import Integers
from runtimes.datasets import DataFileError
from runtimes.texts.vocabulary import Vocabulary

WORDS = r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]|_"
"""Words, with an apostrophe inside, and signs, each alone."""
LONGEST_TEXT = 1_000_000
"""Letters; a longer text is no row of a table."""
_LONGEST_WORD = 100
"""Letters of a word that WordPiece still looks up; BERT's own limit."""


@dataclass(frozen=True)
class Cutting:
    """How a text is cut and framed."""

    length: int
    """Tokens a row: longer texts are cut at the end, shorter ones padded there."""
    pad: int
    unknown: int | None
    """Id of what the vocabulary has not; None: such words are left out."""
    start: int | None = None
    end: int | None = None
    lowercase: bool = True
    pattern: str | None = None


def token_ids(texts: Sequence[str], path: Path, vocabulary: Vocabulary, cutting: Cutting) -> Integers:
    """The ids of each text, ``(rows, length)``, padded at the end.

    Args:
        texts: the rows.
        path: the vocabulary's file; read again only where it is a ``tokenizer.json``.
        vocabulary: what `read_vocabulary` found in it.
        cutting: how.

    Raises:
        DataFileError: a text is too long, or the tokenizer cannot be built.
    """
    for row, text in enumerate(texts):
        if len(text) > LONGEST_TEXT:
            raise DataFileError(f"the text of row {row} has {len(text):,} letters", f"at most {LONGEST_TEXT:,}")
    found = np.full((len(texts), cutting.length), cutting.pad, np.int64)
    for row, ids in enumerate(_cut(texts, path, vocabulary, cutting)):
        found[row, : len(ids)] = ids
    return found


def _cut(texts: Sequence[str], path: Path, vocabulary: Vocabulary, cutting: Cutting) -> list[list[int]]:
    if vocabulary.tokenizer:
        tokenizer = _tokenizer_of_file(path)
        tokenizer.enable_truncation(cutting.length)
        return [list(encoding.ids) for encoding in _encoded(tokenizer, texts, path)]
    if vocabulary.pieces == "##":
        tokenizer = _word_piece(vocabulary, cutting)
        bodies = [list(encoding.ids) for encoding in _encoded(tokenizer, texts, path)]
    else:
        position = {word: place for place, word in enumerate(vocabulary.words) if word}
        words = re.compile(cutting.pattern or WORDS)
        cut = [words.findall(text.lower() if cutting.lowercase else text) for text in texts]
        bodies = [[position.get(word, cutting.unknown) for word in row if word] for row in cut]
    framed = []
    before, after = ([] if one is None else [one] for one in (cutting.start, cutting.end))
    for body in bodies:
        known = [one for one in body if one is not None]
        framed.append((before + known[: max(0, cutting.length - len(before) - len(after))] + after)[: cutting.length])
    return framed


def _tokenizer_of_file(path: Path) -> Any:
    import tokenizers

    try:
        tokenizer = tokenizers.Tokenizer.from_str(path.read_text("utf-8-sig"))
    except Exception as error:  # the library raises bare exceptions; the text says what it stumbled over
        reason = f"`{path.name}` makes no tokenizer: {str(error)[:200]}"
        raise DataFileError(reason, "give the `tokenizer.json` of the model") from error
    tokenizer.no_padding()
    return tokenizer


def _word_piece(vocabulary: Vocabulary, cutting: Cutting) -> Any:
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers

    ids = {word: place for place, word in enumerate(vocabulary.words) if word}
    unknown = vocabulary.words[cutting.unknown] if cutting.unknown is not None else "[UNK]"
    model = models.WordPiece(vocab=ids, unk_token=unknown, max_input_chars_per_word=_LONGEST_WORD)
    tokenizer: Any = tokenizers.Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=cutting.lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _encoded(tokenizer: Any, texts: Sequence[str], path: Path) -> list[Any]:
    try:
        return list(tokenizer.encode_batch(list(texts)))
    except Exception as error:
        reason = f"`{path.name}` cannot cut the texts: {str(error)[:200]}"
        raise DataFileError(reason, "give the vocabulary a word for what it does not know") from error


def unsafe_pattern(pattern: str) -> str | None:
    """Why a pattern of words is refused, or None where it is fit.

    What may repeat without bound must be one letter or one class of letters: groups that repeat can take exponential time
    on a text made for it.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        return f"it is no regular expression: {error}"
    if compiled.match(""):
        return "it matches nothing at all"
    bare = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", pattern)
    if re.search(r"\)\s*(?:[*+]|\{\d*,\d*\})", bare):
        return "a group in it repeats without bound"
    if re.search(r"\\[1-9]|\(\?P=", pattern):
        return "it refers back to what it has matched"
    if compiled.groups:
        return "its groups are captured; write `(?:…)`"
    return None
