"""Lines of YAML with comments beside them, as a person would write them."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

BESIDE = 44
"""Column at which comments start."""
WIDEST = 120

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./\-]*")
_NOT_PLAIN = frozenset({"true", "false", "null", "yes", "no", "on", "off"})


def scalar(value: object) -> str:
    """A scalar that every YAML reader takes for what it is: words that look like something else are quoted."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = f"{value:g}"
        return text if re.search(r"[.e]", text) else f"{text}.0"
    text = str(value)
    if _PLAIN.fullmatch(text) and text.casefold() not in _NOT_PLAIN:
        return text
    return json.dumps(text, ensure_ascii=False)


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    return "null" if value is None else scalar(value)


def line(text: str, comment: str = "") -> list[str]:
    """One line with a comment beside it, or above it where both do not fit."""
    if not comment:
        return [text]
    beside = f"{text.ljust(BESIDE - 2)}  # {comment}"
    if len(beside) <= WIDEST:
        return [beside]
    indent = re.match(r" *", text)
    return [f"{indent[0] if indent else ''}# {comment}", text]


def suggestion(lines: Sequence[str]) -> list[str]:
    """Lines that do nothing until their ``# `` is taken away; comments beside them stay in their column."""
    return [f"# {text.replace('    # ', '  # ', 1) if text.lstrip()[:1] != '#' else text}" for text in lines]


def indented_suggestion(text: str, comment: str = "") -> list[str]:
    """One such line inside a block: the ``#`` stands at the block's own indentation."""
    indent = re.match(r" *", text)
    place = len(indent[0]) if indent else 0
    return line(f"{text[:place]}# {text[place:]}", comment)
