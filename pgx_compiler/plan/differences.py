"""What differs between two plain values, a line each."""

import re
import textwrap
from collections.abc import Mapping
from typing import Any


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """What differs between two plain values, one line each: ``params.with.samples: 512 -> 2048``."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        found = []
        for key in sorted({*before, *after}):
            found += differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
        return found
    if isinstance(before, list | tuple) and isinstance(after, list | tuple) and len(before) == len(after):
        return [
            line
            for place, (old, new) in enumerate(zip(before, after, strict=True))
            for line in differences(old, new, f"{path}[{place}]")
        ]
    return [] if before == after else [f"{path}: {_short(before)} -> {_short(after)}"]


def _short(value: Any) -> str:
    text = str(value)
    if re.fullmatch(r"[0-9a-f]{64}", text):
        return text[:12]
    return textwrap.shorten(text, 60, placeholder=" …") or "nothing"
