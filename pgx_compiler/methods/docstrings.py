"""A method's docstring in parts: its summary, how to read the result, and what not to conclude."""

import inspect
import re
from collections.abc import Callable
from typing import Any


def sections_of(function: Callable[..., Any]) -> dict[str, str]:
    """Split a Google-style docstring into its summary and named sections."""
    doc = inspect.cleandoc(function.__doc__ or "")
    parts = re.split(r"^(Reading|Limits|Raises|Args|Returns):\s*$|^(Reading|Limits): ", doc, flags=re.MULTILINE)
    sections = {"summary": parts[0].strip()}
    for index in range(1, len(parts), 3):
        name = parts[index] or parts[index + 1]
        sections[name.lower()] = " ".join(inspect.cleandoc(parts[index + 2]).split())
    return sections
