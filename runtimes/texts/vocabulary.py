"""Vocabularies: the word of every token id, read as plain data; nothing in the file is executed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtimes.datasets import DataFileError

SUFFIXES = (".json", ".txt")
LIMIT_BYTES = 64 * 2**20
LIMIT_WORDS = 2_000_000
LIMIT_LETTERS = 1000
"""Of one word; the longest piece of a published vocabulary has some hundred."""
_MOST_GAPS = 1000
"""Ids without a word: published vocabularies leave some hundred free, a hostile one would name the id 10**9."""

_AGAIN = "give a list of words, words with their ids, a word a line, or the `tokenizer.json` of the model"
_PADS = ("[PAD]", "<pad>", "<PAD>", "[pad]", "<|pad|>", "<|endoftext|>", "")
_MASKS = ("[MASK]", "<mask>", "<MASK>", "[mask]")
_UNKNOWNS = ("[UNK]", "<unk>", "<UNK>", "[unk]", "<|unk|>", "[OOV]", "<OOV>", "<oov>")
_STARTS = ("[CLS]", "<s>", "<cls>", "[BOS]", "<bos>", "<BOS>", "[cls]", "<start>", "<START>", "[START]")
_ENDS = ("[SEP]", "</s>", "<sep>", "[EOS]", "<eos>", "<EOS>", "[sep]", "<end>", "<END>", "[END]")
_PIECES = ("##", "Ġ", "▁")
_PIECES_FROM = 8
"""So many words with a mark, beside others without, make a vocabulary of pieces; a lone ``##`` is a word like others."""


@dataclass(frozen=True)
class Vocabulary:
    """What a vocabulary says of each token id."""

    words: tuple[str, ...]
    """By id; empty where an id has no word."""
    framing: frozenset[int]
    """Ids that frame a text and are no part of it: ``[CLS]``, ``[SEP]``, ``<s>``, …; not those of padding."""
    pad: int | None
    mask: int | None
    """``[MASK]`` or ``<mask>``."""
    unknown: int | None
    """What stands for words that the vocabulary has not."""
    start: int | None
    end: int | None
    pieces: str
    """The mark that tells pieces of words apart: ``##`` before a piece that goes on, ``Ġ`` or ``▁`` before one that
    begins; empty where every token is a word."""
    tokenizer: bool
    """Whether the file also says how text is cut (the ``tokenizer.json`` of the `tokenizers` library)."""

    def __len__(self) -> int:
        return len(self.words)


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary. Raises `DataFileError`."""
    text = _text(path)
    if path.suffix.lower() == ".txt":
        return _described(path, _of_lines(path, text), frozenset(), tokenizer=False)
    document = _json(path, text)
    if isinstance(document, dict) and isinstance(document.get("model"), dict):
        return _of_tokenizer(path, document)
    return _described(path, _of_json(path, document), frozenset(), tokenizer=False)


def _text(path: Path) -> str:
    if path.is_dir():
        raise DataFileError(f"`{path.name}` is a directory, not a vocabulary", "name the file inside it")
    if not path.is_file():
        raise DataFileError(f"`{path.name}` does not exist", "check the path; it is relative to the spec")
    size = path.stat().st_size
    if size > LIMIT_BYTES:
        raise DataFileError(f"`{path.name}` has {size:,} bytes, above the limit of {LIMIT_BYTES:,}", _AGAIN)
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataFileError(f"`{path.name}`: line {line} is not UTF-8", "save it as UTF-8 text") from error
    if not text.strip():
        raise DataFileError(f"`{path.name}` is empty", _AGAIN)
    return text


def _json(path: Path, text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repetition)
    except RecursionError as error:
        raise DataFileError(f"`{path.name}` is nested too deeply", _AGAIN) from error
    except ValueError as error:
        raise DataFileError(f"`{path.name}` is no JSON: {str(error)[:200]}", _AGAIN) from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:50]!r} stands there twice")
    return found


def _of_lines(path: Path, text: str) -> dict[str, int]:
    lines = text.replace("\r\n", "\n").split("\n")
    return _numbered(path, lines[:-1] if lines[-1] == "" else lines, "lines", 1)


def _of_json(path: Path, document: Any) -> dict[str, int]:
    if isinstance(document, list):
        if not all(isinstance(word, str) for word in document):
            raise DataFileError(f"`{path.name}` is a list that does not hold words alone", _AGAIN)
        return _numbered(path, document, "entries", 0)
    if isinstance(document, dict) and document and all(_is_id(value) for value in document.values()):
        return document
    raise DataFileError(f"`{path.name}` is not a vocabulary", _AGAIN)


def _numbered(path: Path, words: list[str], what: str, first: int) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, word in enumerate(words):
        if word in found:
            reason = f"`{path.name}`: {what} {found[word] + first} and {place + first} are both `{word[:50]}`"
            raise DataFileError(reason, "give every word one id")
        found[word] = place
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def _of_tokenizer(path: Path, document: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a ``tokenizer.json``: of its model, and the tokens that were added to it."""
    listed = document["model"].get("vocab")
    if isinstance(listed, list):  # Unigram: pieces with their log probabilities
        pairs = [item for item in listed if isinstance(item, list) and len(item) == 2 and isinstance(item[0], str)]
        if len(pairs) != len(listed):
            raise DataFileError(f"`{path.name}`: its vocabulary does not hold pieces with their weights", _AGAIN)
        listed = {str(piece): place for place, (piece, _) in enumerate(pairs)}
    if not isinstance(listed, dict) or not all(_is_id(value) for value in listed.values()):
        raise DataFileError(f"`{path.name}` names a tokenizer without a vocabulary", _AGAIN)
    framing = set()
    added = document.get("added_tokens") or []
    for token in added if isinstance(added, list) else []:
        if isinstance(token, dict) and isinstance(token.get("content"), str) and _is_id(token.get("id")):
            listed[token["content"]] = token["id"]
            if token.get("special") is True:
                framing.add(token["id"])
    return _described(path, listed, frozenset(framing), tokenizer=True)


def _described(path: Path, ids: Mapping[str, int], framing: frozenset[int], *, tokenizer: bool) -> Vocabulary:
    _check(path, ids)
    words = [""] * (max(ids.values()) + 1)
    for word, place in ids.items():
        if words[place]:
            reason = f"`{path.name}`: `{words[place][:50]}` and `{word[:50]}` have one id, {place}"
            raise DataFileError(reason, "give every word an id of its own")
        words[place] = word
    pad, mask, unknown = (_first(ids, names) for names in (_PADS, _MASKS, _UNKNOWNS))
    start, end = _first(ids, _STARTS), _first(ids, _ENDS)
    named = {ids[name] for name in (*_STARTS, *_ENDS, *_PADS) if name in ids}
    reserved = {place for word, place in ids.items() if word.startswith("<|") and word.endswith("|>")}
    marked = [sum(word.startswith(mark) and word != mark for word in ids) for mark in _PIECES]
    most = max(range(len(_PIECES)), key=marked.__getitem__)
    return Vocabulary(
        words=tuple(words),
        framing=frozenset((named | reserved | framing) - {pad, mask, unknown}),
        pad=pad,
        mask=mask,
        unknown=unknown,
        start=start,
        end=end,
        pieces=_PIECES[most] if _PIECES_FROM <= marked[most] < len(ids) else "",
        tokenizer=tokenizer,
    )


def _check(path: Path, ids: Mapping[str, int]) -> None:
    if not ids:
        raise DataFileError(f"`{path.name}` holds no words", _AGAIN)
    if len(ids) > LIMIT_WORDS:
        raise DataFileError(f"`{path.name}` holds {len(ids):,} words, above the limit of {LIMIT_WORDS:,}", _AGAIN)
    largest = max(ids.values())
    if largest > 2 * len(ids) + _MOST_GAPS:
        reason = f"`{path.name}` holds {len(ids):,} words, but ids up to {largest:,}"
        raise DataFileError(reason, "number the words without large gaps")
    for word in ids:
        if len(word) > LIMIT_LETTERS:
            raise DataFileError(f"`{path.name}` holds a word of {len(word):,} letters: `{word[:30]}…`", _AGAIN)
        if any("\ud800" <= letter <= "\udfff" for letter in word):
            raise DataFileError(f"`{path.name}` holds half a letter in `{ascii(word)[:50]}`", "save it as UTF-8 text")


def _first(ids: Mapping[str, int], names: tuple[str, ...]) -> int | None:
    return next((ids[name] for name in names if name in ids), None)
