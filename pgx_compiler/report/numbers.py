"""Numbers as a reader expects them: three significant digits, thousands separators, a true minus sign."""

import math
import re
from typing import Any

MINUS = "\u2212"
NOTHING = "\u2014"
_SUPERSCRIPT = str.maketrans("0123456789-", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207b")
_PLAIN_FROM, _PLAIN_TO = 1e-4, 1e9


def number(value: Any) -> str:
    """A value in words: numbers to three digits, None as a dash, lists and mappings item by item."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", MINUS)
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, dict):
        return ", ".join(f"{key}: {number(item)}" for key, item in value.items() if item is not None) or NOTHING
    if isinstance(value, list | tuple):
        return ", ".join(number(item) for item in value) or NOTHING
    return str(value)


def _decimal(value: float) -> str:
    rounded = float(f"{value:.3g}")
    if rounded == 0:
        return "0"
    size = abs(rounded)
    if not _PLAIN_FROM <= size < _PLAIN_TO:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}\u00d710{str(int(exponent)).translate(_SUPERSCRIPT)}".replace("-", MINUS)
    decimals = max(0, 2 - math.floor(math.log10(size)))
    return f"{value if size >= 1000 else rounded:,.{decimals}f}".replace("-", MINUS)


def signed(value: float) -> str:
    """A number that always carries its sign."""
    return number(value) if value <= 0 else f"+{number(value)}"


def interval(bounds: tuple[float, float] | None) -> str:
    """An interval as ``[low, high]``, or a dash."""
    return NOTHING if bounds is None else f"[{number(bounds[0])}, {number(bounds[1])}]"


def percent(share: float | None) -> str:
    """A share as whole percent."""
    return NOTHING if share is None else f"{100 * share:.0f}\u202f%"


def threshold(text: str) -> str:
    """A threshold in words with its signs typeset (``>= 0.5`` becomes ``≥ 0.5``); decimals stay as written."""
    plain = re.sub(r"-?\d+(?:\.\d+)?[eE][-+]?\d+", lambda match: _written_out(float(match[0])), text)
    typeset = plain.replace(">=", "\u2265").replace("<=", "\u2264")
    return re.sub(r"(?<![\w.])-(?=\d)", MINUS, typeset)


def _written_out(value: float) -> str:
    """A number without an exponent where it is not tiny, and no more digits than it has."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if 1e-5 <= abs(value) < _PLAIN_TO else number(value)


def short(digest: str, length: int = 12) -> str:
    """The first characters of a digest, its algorithm left out."""
    return digest.rpartition(":")[2][:length]


def clip(text: str, length: int) -> str:
    """A label cut to a length, with an ellipsis where something is missing."""
    return text if len(text) <= length else text[: length - 1] + "\u2026"


def unmarked(prose: str) -> str:
    """Prose of a docstring without its code marks."""
    return prose.replace("`", "")


def moment(timestamp: str) -> str:
    """An ISO time as ``2026-03-01 12:30 UTC``; anything else as it is."""
    match = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)", timestamp)
    return f"{match[1]} {match[2]} UTC" if match else timestamp
