"""An example of each code: a bad line and what is said of it, written down by ``make docs`` from the pages of the tests."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FILE = Path(__file__).with_suffix(".json")


@cache
def examples() -> Mapping[str, str]:
    """Code (``PGX2001``) to a diagnostic of that code as people see it; not every code has one."""
    found: dict[str, str] = json.loads(FILE.read_text("utf-8")) if FILE.is_file() else {}
    return found
