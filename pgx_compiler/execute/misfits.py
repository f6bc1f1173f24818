"""Whether plain JSON values are of a kind, and if not, what is wrong, in words.

Kinds are Python's types (``str``, ``Literal``, ``Mapping[str, float]``, ``tuple[int, ...]``), dataclasses of
`pgx_compiler.evidence.results` as plain data, and three of their own: ``{name: kind}`` is an object of exactly these keys,
``[kind]`` a list, ``(kind, kind)`` either. Null stands wherever a number does (NaN has become null), but for the ends of an
interval.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pgx_compiler.evidence.finding_codes import FINDING_CODES
from pgx_compiler.evidence.results import Chart, Curve, Finding, Matrix, Picture, Table


def misfit(kind: Any, value: Any, at: str, *, null: bool = True) -> str | None:
    """What is wrong with a value, in words; None where it is of a kind. ``null``: whether a number may be missing."""
    if isinstance(kind, Mapping):
        return _keys(kind, value, at)
    if isinstance(kind, list):
        return _items(kind * len(value), value, at) if isinstance(value, list) else _no(at, "list")
    if isinstance(kind, tuple):  # any of these
        found = [misfit(one, value, at, null=null) for one in kind]
        return None if None in found else found[0]
    if get_origin(kind) in (Union, UnionType):
        options = get_args(kind)
        if value is None and NoneType in options:
            return None
        found = [misfit(one, value, at, null=null) for one in options if one is not NoneType]
        return None if None in found else found[-1]
    if is_dataclass(kind):
        assert isinstance(kind, type)
        return _keys(_hints(kind), value, at) or _crooked(kind, value, at)
    return _of_type(kind, value, at, null=null)


def _of_type(kind: Any, value: Any, at: str, *, null: bool) -> str | None:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is tuple and inner[-1] is ...:
        return _items([inner[0]] * len(value), value, at) if isinstance(value, list) else _no(at, "list")
    if origin is tuple:  # the ends of an interval: where one is unknown, there is none
        fits = isinstance(value, list) and len(value) == len(inner)
        return _items(inner, value, at, null=False) if fits else _no(at, "pair")
    if origin is Literal:
        return (
            None
            if value in inner and type(value) in map(type, inner)
            else _no(at, "one of " + ", ".join(map(str, inner)))
        )
    if origin is not None:  # a mapping
        return _items([inner[1]] * len(value), value, at) if isinstance(value, dict) else _no(at, "object")
    if kind is float:
        number = type(value) in (int, float) and abs(value) < _LARGEST
        return None if number or (null and value is None) else _no(at, "number")
    if kind is int:
        return None if type(value) is int and abs(value) < _LARGEST else _no(at, "whole number")
    return None if kind is Any or type(value) is kind else _no(at, {str: "text", bool: "yes or no"}[kind])


_LARGEST = 1e308
"""A whole number can be longer in JSON, and is then no number in other programs."""


def _no(at: str, what: str) -> str:
    return f"is no {what}" if not at else f"has as `{at}` what is no {what}"


def _items(kinds: Sequence[Any], value: Any, at: str, *, null: bool = True) -> str | None:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return next((bad for kind, (key, one) in zip(kinds, pairs, strict=True)
                 if (bad := misfit(kind, one, f"{at}[{key}]", null=null))), None)  # fmt: skip


def _keys(kinds: Mapping[str, Any], value: Any, at: str) -> str | None:
    if not isinstance(value, dict):
        return _no(at, "object")
    where = f" in `{at}`" if at else ""
    if missing := sorted(kinds.keys() - value.keys()):
        return f"lacks `{missing[0]}`{where}"
    if unknown := sorted(value.keys() - kinds.keys()):
        return f"has `{unknown[0][:60]}`{where}, which nobody knows"
    found = (misfit(kind, value[name], f"{at}.{name}" if at else name) for name, kind in kinds.items())
    return next((bad for bad in found if bad), None)


@cache
def _hints(kind: type) -> dict[str, Any]:
    found = get_type_hints(kind)
    return {one.name: found[one.name] for one in fields(kind)}


def _crooked(kind: type, value: Mapping[str, Any], at: str) -> str | None:
    """What types do not say of a part: lengths that must agree, words of a published list."""
    if kind is Finding and value["code"] not in FINDING_CODES:
        return _no(f"{at}.code", "published code of a finding")
    if kind is Chart and None in value["marks"]:
        return _no(f"{at}.marks", "list of numbers")
    if kind is Curve:
        lengths = {len(value[name]) for name in ("x", "y", "low", "high") if value[name] is not None}
    elif kind is Table:
        lengths = {len(value["columns"]), *map(len, value["rows"])}
    elif kind is Matrix:
        lengths = (
            {len(value["columns"]), *map(len, value["values"])}
            if len(value["values"]) == len(value["rows"])
            else {0, 1}
        )
    elif kind is Picture:
        lengths = set(map(len, value["values"])) if value["values"] and all(value["values"]) else {0, 1}
    else:
        return None
    return f"has parts of several lengths in `{at}`" if len(lengths) > 1 else None
