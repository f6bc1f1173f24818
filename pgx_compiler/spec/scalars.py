"""Plain scalars by the YAML 1.2 core schema, and the texts that people and older parsers read differently."""

import math
import re
from collections.abc import Mapping

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL = re.compile(r"0o[0-7]+\Z")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+\Z")
_UNDERSCORED = re.compile(r"[-+]?(0[xbo])?[0-9][0-9a-fA-F]*_[0-9a-fA-F_]*(\.[0-9_]*)?\Z|[-+]?[0-9]+\.[0-9]*_[0-9_]*\Z")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?\Z")
_BINARY = re.compile(r"[-+]?0b[01]+\Z")

LARGEST_INTEGER = 2**53

CORE = "tag:yaml.org,2002:"
SCALAR_TAGS: Mapping[str, tuple[type, ...]] = {
    "!": (str,),
    CORE + "str": (str,),
    CORE + "int": (int,),
    CORE + "float": (float, int),
    CORE + "bool": (bool,),
    CORE + "null": (type(None),),
}
"""Tag of a scalar to the kinds of value that it may stand before."""


class AmbiguousScalarError(ValueError):
    """A plain text that YAML 1.1 and 1.2 read as different things; the message says how to write it."""


class UnusableNumberError(ValueError):
    """A number that is not finite, or an integer that float64 cannot hold."""


def resolve(text: str) -> str | int | float | bool | None:
    """What a plain scalar is: null, a boolean, a number, or text.

    ``no``, ``on``, ``yes`` and dates are text. ``017``, ``0b1``, ``1_000`` and ``1:30`` are refused: older readers
    take them for 15, 1, 1000 and 90, and an audit must not depend on who reads it.

    Raises:
        AmbiguousScalarError: readers differ about it.
        UnusableNumberError: infinite, not a number, or an integer beyond 2**53.
    """
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    first = text[0]
    if not (first.isascii() and (first.isdigit() or first in "+-.")):
        return text
    _refuse_ambiguous(text)
    if _DECIMAL.match(text):
        return _integer(text, 10)
    if _OCTAL.match(text):
        return _integer(text[2:], 8)
    if _HEXADECIMAL.match(text):
        return _integer(text[2:], 16)
    if _NOT_FINITE.match(text):
        raise UnusableNumberError("is not a finite number")
    if _FLOAT.match(text):
        number = float(text)
        if not math.isfinite(number):
            raise UnusableNumberError("is too large for a float64")
        return number
    return text


def _refuse_ambiguous(text: str) -> None:
    if _LEADING_ZERO.match(text):
        raise AmbiguousScalarError("write it without the leading zero, as `0o…` for octal, or in quotes for text")
    if _BINARY.match(text):
        raise AmbiguousScalarError("write the number in decimals, or in quotes for text")
    if _UNDERSCORED.match(text):
        raise AmbiguousScalarError("write the number without underscores, or in quotes for text")
    if _SEXAGESIMAL.match(text):
        raise AmbiguousScalarError("write a number of seconds, or in quotes for text")


def _integer(digits: str, base: int) -> int:
    # len first: int() refuses more than 4,300 digits with an exception of its own
    if len(digits) > 80 or abs(number := int(digits, base)) > LARGEST_INTEGER:
        raise UnusableNumberError("is beyond 2^53, where float64 can no longer tell integers apart")
    return number
