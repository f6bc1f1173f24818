"""``factsheet.json``: strict JSON with the keys of the model, and the only thing the other formats know."""

import json
import math
import re
from pathlib import Path
from typing import Any

from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.report.formats import write_atomically

SUFFIX = ".json"


def text(factsheet: Factsheet) -> str:
    """The factsheet as JSON, two spaces deep, keys in the order of the model, the same text for equal factsheets.

    Raises:
        ValueError: a number is NaN or infinite; the message names where. A value that is not known is None.
    """
    data = factsheet.model_dump(mode="json", by_alias=True)
    _refuse_infinite(data, "")
    made = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # the same values, as escapes: they stand inside strings, and whoever prints the file must not be turned or commanded
    return _MOVING.sub(_escape, _HALVES.sub("\ufffd", made))


_MOVING = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_HALVES = re.compile("[\ud800-\udfff]")
"""Halves of characters, which names of files in no encoding leave in messages: no JSON reader takes them."""


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def again(factsheet: Factsheet) -> Factsheet:
    """The factsheet as a reader of its JSON gets it: what a page is drawn from."""
    return Factsheet.model_validate_json(text(factsheet))


def write(factsheet: Factsheet, path: Path) -> None:
    """Write ``factsheet.json``."""
    write_atomically(path, text(factsheet).encode("utf-8"))


def _refuse_infinite(data: Any, place: str) -> None:
    if isinstance(data, float) and not math.isfinite(data):
        raise ValueError(f"{place or 'the factsheet'} is {data}: a factsheet holds finite numbers or null")
    if isinstance(data, dict):
        for key, value in data.items():
            _refuse_infinite(value, f"{place}.{key}" if place else str(key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            _refuse_infinite(value, f"{place}[{index}]")
