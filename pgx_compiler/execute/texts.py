"""Texts at work: a column cut into token ids or pieces, ids held against the vocabulary, and the words of ids."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.store import Store
from runtimes.capabilities import Inputs
from runtimes.datasets import DataFileError
from runtimes.texts.cutting import LONGEST_TEXT, Cutting, token_ids
from runtimes.texts.pieces import as_array, pieces_of
from runtimes.texts.vocabulary import read_vocabulary


def columns_of_text(source: Mapping[str, Any]) -> set[str]:
    """Columns of a data node whose cells are wanted as they are written, to be cut."""
    whole = whole_text(source)
    names = [whole] if whole else _tokenizer(source).get("roles", ())
    return {source["sources"][name][0] for name in names}


def whole_text(source: Mapping[str, Any]) -> str:
    """The input of a data node that holds texts which the model cuts itself; empty where there is none."""
    return (source.get("text") or {}).get("whole") or ""


def _tokenizer(source: Mapping[str, Any]) -> Mapping[str, Any]:
    return (source.get("text") or {}).get("tokenizer") or {}


def cut(arrays: Mapping[str, NDArray[Any]], source: Mapping[str, Any], store: Store | None) -> dict[str, NDArray[Any]]:
    """The model's inputs, by name, of a data node whose text has to be cut; empty for others. Raises `DataFileError`.

    A text that the model cuts itself is left whole, ``(rows, 1)``: see `in_pieces`.
    """
    if whole_text(source):
        return {whole_text(source): _whole(arrays, source)}
    tokenizer = _tokenizer(source)
    if not tokenizer:
        return {}
    assert store is not None
    (column,) = columns_of_text(source)
    texts = ["" if cell is None else str(cell) for cell in arrays[column].reshape(-1)]
    path = store.path(*tokenizer["vocabulary"])
    ids = token_ids(texts, path, read_vocabulary(path), Cutting(**tokenizer["cutting"]))
    there = ids != tokenizer["cutting"]["pad"]
    made = {"ids": ids, "mask": there.astype(np.int64), "types": np.zeros_like(ids)}
    return {name: made[role] for name, role in tokenizer["roles"].items()}


def _whole(arrays: Mapping[str, NDArray[Any]], source: Mapping[str, Any]) -> NDArray[np.object_]:
    """Texts as they stand in the file, of any length each; a missing one is empty."""
    (column,) = columns_of_text(source)
    texts = ["" if cell is None else str(cell) for cell in arrays[column].reshape(-1)]
    for row, text in enumerate(texts):
        if len(text) > LONGEST_TEXT:
            reason = f"the text of row {row} of {source['split']} has {len(text):,} letters"
            raise DataFileError(reason, f"at most {LONGEST_TEXT:,}")
        if "\0" in text or not _is_utf8(text):
            reason = f"the text of row {row} of {source['split']} holds what is no letter"
            raise DataFileError(reason, "save it as UTF-8 text, without zero bytes")
    held = np.empty((len(texts), 1), object)
    held[:, 0] = texts
    return held


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a letter, which a file can spell out as an escape
        return False
    return True


def in_pieces(rows: Inputs, source: Mapping[str, Any]) -> Inputs:
    """Explained rows with their texts cut into pieces, ``(rows, pieces)``, where the model reads texts whole."""
    name = whole_text(source)
    if not name:
        return rows
    texts = np.asarray(rows[name])[:, 0].tolist()
    return {key: as_array([pieces_of(text) for text in texts]) if key == name else one for key, one in rows.items()}


def check_ids(inputs: Inputs, source: Mapping[str, Any]) -> None:
    """Hold token ids against the vocabulary. Raises `DataFileError` naming the first row that has another."""
    text = source.get("text")
    if not text or text.get("known") is None:
        return
    ids = np.asarray(inputs[text["ids"]])
    wrong = np.flatnonzero(((ids < 0) | (ids >= text["known"])).any(axis=1))
    if len(wrong):
        row = ids[wrong[0]]
        place = int(row[(row < 0) | (row >= text["known"])][0])
        reason = (
            f"row {wrong[0]} of {source['split']} holds the token id {place}, and the vocabulary has {text['known']}"
        )
        raise DataFileError(reason, "give the vocabulary that the ids were made with")


def with_words(described: Mapping[str, Any], store: Store) -> Mapping[str, Any]:
    """A description of features with the words of its vocabulary, where it names one."""
    named = described.get("vocabulary")
    return {**described, "words": _words(store.path(*named))} if named else described


def _words(path: Path) -> tuple[str, ...]:
    return read_vocabulary(path).words
