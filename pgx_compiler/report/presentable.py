"""A factsheet whose texts may be set on a page: names and messages come from models, data and specs of strangers.

Escaping is the templates' business. Here goes what escaping cannot help: characters that are invalid in a document, that hide
or turn what a reader sees, and texts as long as a book. ``factsheet.json`` keeps all of it, as escapes.
"""

import hashlib
import re
from typing import Any

from pgx_compiler.report.factsheet import Factsheet

LONGEST = 2_000
"""Characters of one text; what methods say of themselves takes a few hundred."""

_UNSHOWABLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"  # controls: invalid in HTML, commands to a terminal
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"  # hide or turn
    "\ufff9-\ufffb\ufdd0-\ufdef\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]"
)
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_PILED = re.compile(f"([{_MARKS}]{{4}})[{_MARKS}]+")
"""Marks upon marks reach over the lines above and below; no script needs more than four."""


def visible(text: str) -> str:
    """A text without what hides or turns it; what is replaced stays visible as U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return _PILED.sub(r"\1", _UNSHOWABLE.sub("\ufffd", text))


def shown(text: str) -> str:
    """A visible text of at most a length; what is cut is counted."""
    if len(text) > LONGEST:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        text = f"{text[:LONGEST]}\u2026 [{len(text):,} characters, sha256:{digest}]"
    return visible(text)


def presentable(factsheet: Factsheet) -> Factsheet:
    """The factsheet with every text of it fit to be shown; equal texts stay equal, others stay apart."""
    return Factsheet.model_validate(_presentable(factsheet.model_dump(mode="json", by_alias=True)))


def _presentable(value: Any) -> Any:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {shown(key): _presentable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_presentable(one) for one in value] if not _numbers(value) else value
    return value


def _numbers(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(one, float | int) for one in values)
