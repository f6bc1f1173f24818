"""Pydantic's complaints in plain words at the span that they are about: for the spec, and for a method's parameters."""

import functools
import json
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from pgx_compiler.diagnostics.diagnostic import Code, Diagnostic
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.documented import description
from pgx_compiler.spec.source import Document, Path_

UNKNOWN_KEY = Code(
    2001,
    "unknown-key",
    "The language has no such key at this place. Nothing is ever ignored silently, so a mistyped key is an error."
    " The help line lists the keys that may stand here; keys of your own go below a top-level `x-` key.",
)
WRONG_TYPE = Code(
    2002,
    "wrong-type",
    "The value is of another kind than this key takes: text where a number belongs, one value where a list belongs."
    ' Nothing is converted: `"32"` is text, `32` a number; `yes` is text, `true` a boolean.',
)
UNKNOWN_WORD = Code(
    2003,
    "unknown-word",
    "This key takes one of a few words, and the value is none of them. The help line lists them.",
)
MISSING_KEY = Code(
    2004,
    "missing-key",
    "A key that has no default is missing. The place shown is the mapping in which it belongs.",
)
OUT_OF_RANGE = Code(
    2005,
    "out-of-range",
    "The number is smaller or larger than this key allows, or the list or text shorter or longer.",
)
BAD_PATTERN = Code(
    2006,
    "bad-form",
    "The text does not have the form that this key asks for: names hold letters, digits, `_`, `.` and `-` and start"
    " with a letter or digit; versions are three numbers such as 1.0.0; dates are 2026-03-01.",
)
MANY_MORE = Code(
    2007,
    "many-more",
    "The spec holds more mistakes than are worth showing at once. Mend those shown first.",
)

MOST_SHOWN = 100

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Schema(typing.Generic[M]):
    """A model of pydantic and what messages call the place where it stands."""

    model: type[M]
    name: str
    """`the audit`, or `method `kernel_shap``."""


def problems(
    schema: Schema[M], data: Mapping[str, Any], document: Document, at: Path_
) -> tuple[M | None, list[Diagnostic]]:
    """Validate a mapping that stands at a path of the document; nothing is converted from one kind to another."""
    try:
        # through JSON, so that lists may become tuples though the mode is strict
        return schema.model.model_validate_json(json.dumps(data), strict=True), []
    except ValidationError as error:
        complaints = error.errors(include_url=False, include_input=False, include_context=True)
    found: dict[tuple[Path_, str], Diagnostic] = {}
    for index, complaint in enumerate(complaints):
        place = _place(schema, complaint, data, at)
        if place is None:
            continue
        # the arms of a union complain one by one about the same value
        key = (place.path, "value" if place.kind not in ("extra_forbidden", "missing") else place.kind)
        if key not in found:
            found[key] = _diagnostic(place, complaint, document)
        if len(found) >= MOST_SHOWN and index + 1 < len(complaints):
            more = len(complaints) - index - 1
            span = document.key_span(at)
            message = f"{more:,} more complaints are not shown"
            return None, [*found.values(), Diagnostic(MANY_MORE, message, span, "mend those shown first", path=at)]
    return None, _without_echo(list(found.values()))


def _without_echo(found: list[Diagnostic]) -> list[Diagnostic]:
    """Leave out a missing key whose misspelling is complained about in the same mapping."""
    meant = {(item.path[:-1], item.label) for item in found if item.code is UNKNOWN_KEY}
    return [
        item
        for item in found
        if item.code is not MISSING_KEY or (item.path, item.label.replace("needs", "did you mean") + "?") not in meant
    ]


@dataclass(frozen=True)
class _Place:
    """Where a complaint is about, found by walking the schema and the data alongside."""

    kind: str
    path: Path_
    """In the document; of an unknown or missing key including that key."""
    key: str
    owner: type[BaseModel] | None
    """The model that holds the key."""
    owner_path: Path_
    owner_name: str
    annotation: Any
    field: FieldInfo | None
    value: Any


def _place(schema: Schema[Any], complaint: Any, data: Any, at: Path_) -> _Place | None:
    """Where a complaint is about; None where it is that a mapping is not one of the other things that may stand there."""
    owner: type[BaseModel] | None = schema.model
    owner_path, owner_name = at, schema.name
    annotation: Any = schema.model
    field: FieldInfo | None = None
    path, value = at, data
    for part in complaint["loc"]:
        arm = _bare(annotation)
        of_mapping = _mapping_of_union(arm) if isinstance(value, dict) else None
        if of_mapping is not None:
            if part != of_mapping.__name__:  # how pydantic names the arm of a union
                return None
            annotation = of_mapping
            continue
        if _is_model(arm):
            if isinstance(value, dict) and (part in value or complaint["type"] == "missing"):
                owner, owner_path = arm, path
                owner_name = f"`{_shown(path, at)}`" if path != at else schema.name
                field = _fields(arm).get(str(part))
                annotation = field.annotation if field else Any
                path, value = (*path, part), value.get(part)
                continue
            break
        origin = typing.get_origin(arm)
        if origin is dict and isinstance(value, dict) and part in value:
            annotation, value = typing.get_args(arm)[1], value[part]
        elif origin in (list, tuple, set, frozenset) and isinstance(value, list) and isinstance(part, int):
            annotation, value = typing.get_args(arm)[0], value[part]
        else:
            break
        path = (*path, part)
    key = _key(path, schema.name)
    return _Place(complaint["type"], path, key, owner, owner_path, owner_name, annotation, field, value)


def _key(path: Path_, otherwise: str) -> str:
    """The last key of a path, with the positions in its list: ``classes[0]``."""
    last = next((index for index in reversed(range(len(path))) if isinstance(path[index], str)), None)
    return otherwise if last is None else _shown(path[last:], path)


def _diagnostic(place: _Place, complaint: Any, document: Document) -> Diagnostic:
    kind, context = place.kind, complaint.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(place, document)
    if kind == "missing":
        message = f"the key `{place.key}` is missing in {place.owner_name}"
        span = document.key_span(place.owner_path)
        return Diagnostic(MISSING_KEY, message, span, _help(place), label=f"needs `{place.key}`", path=place.owner_path)
    span = document.value_span(place.path)
    words = _words(place.annotation)
    if kind == "literal_error" and words:
        return _unknown_word(place, words, document)
    if kind == "string_pattern_mismatch":
        message = f"`{place.key}` is {_form(context.get('pattern', ''))}, not `{shortened(place.value)}`"
        return Diagnostic(BAD_PATTERN, message, span, _help(place), path=place.path)
    limit = _limit(kind, context)
    if limit:
        message = f"`{place.key}` must {limit}, but is {_described(place.value)}"
        return Diagnostic(OUT_OF_RANGE, message, span, _help(place), path=place.path)
    if kind in ("value_error", "assertion_error"):
        named = _key_named(place, complaint["msg"])
        span = document.value_span(named.path)
        return Diagnostic(OUT_OF_RANGE, _own_words(place, complaint["msg"]), span, _help(named), path=named.path)
    if words and isinstance(place.value, str):
        return _unknown_word(place, words, document)
    message = f"`{place.key}` takes {expected(place.annotation)}, but this is {_described(place.value)}"
    return Diagnostic(WRONG_TYPE, message, span, _type_help(place), path=place.path)


def _unknown_key(place: _Place, document: Document) -> Diagnostic:
    allowed = list(_fields(place.owner)) if place.owner else []
    homes = _homes().get(place.key, [])
    # a word of the language that belongs one level deeper was indented too little, not misspelt
    here = ".".join(str(part) for part in place.owner_path if isinstance(part, str))
    deeper = [home for home in homes if here and home.startswith(f"{here}.")]
    near = None if deeper else nearest(place.key, allowed)
    homes = deeper or ([] if near else homes)
    belongs = " or ".join(f"`{home}`" for home in homes) if len(homes) == 1 or deeper else ""
    label = f"did you mean `{near}`?" if near else f"belongs under {belongs}" if belongs else ""
    message = f"unknown key `{shortened(place.key)}` in {place.owner_name}"
    help_ = f"allowed keys: {quoted(allowed)}" if allowed else "nothing may stand here: delete the key"
    return Diagnostic(UNKNOWN_KEY, message, document.key_span(place.path), help_, label=label, path=place.path)


def _unknown_word(place: _Place, words: list[Any], document: Document) -> Diagnostic:
    near = nearest(str(place.value), [str(word) for word in words])
    message = f"`{place.key}` does not know the word `{shortened(place.value)}`"
    if not isinstance(place.value, str):
        message = f"`{place.key}` takes a word, but this is {_described(place.value)}"
    label = f"did you mean `{near}`?" if near else ""
    span, help_ = document.value_span(place.path), f"one of: {quoted(words)}"
    if place.path == ("apiVersion",) and _is_older(place.value, words):
        message, label = f"`{place.value}` is an older version of the language", f"this program reads {quoted(words)}"
        help_ = f"`pgx upgrade {document.file} --write` rewrites the file; comments and formatting stay"
    return Diagnostic(UNKNOWN_WORD, message, span, help_, label=label, path=place.path)


def _is_older(version: Any, known: list[Any]) -> bool:
    """Whether a version of the language comes before those that are known: then `pgx upgrade` may help."""
    number, *numbers = (re.fullmatch(r"pgx/v(\d{1,4})", str(one)) for one in (version, *known))
    return number is not None and all(one is not None and int(number[1]) < int(one[1]) for one in numbers)


def _key_named(place: _Place, message: str) -> _Place:
    """Of a complaint about several keys of a mapping: the first that it names and that stands there."""
    arm = _bare(place.annotation)
    if not _is_model(arm) or not isinstance(place.value, dict):
        return place
    key = next((word for word in re.findall(r"`(\w+)`", message) if word in place.value), None)
    if key is None:
        return place
    path, field = (*place.path, key), _fields(arm).get(key)
    return replace(place, path=path, key=key, owner=arm, owner_path=place.path, field=field, value=place.value[key])


def _own_words(place: _Place, message: str) -> str:
    said = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return f"`{place.key}`: {said}" if place.path != place.owner_path else said


def _help(place: _Place) -> str:
    fields = place.owner.model_fields if place.owner else {}
    name = next((name for name, field in fields.items() if field is place.field), None)
    described = description(place.owner, name) if place.owner and name else None
    key = place.key.split("[")[0]
    return f"{key}: {' '.join(described.split()).replace('``', '`')}" if described else f"see `pgx schema` for `{key}`"


def _type_help(place: _Place) -> str:
    if place.value is None:
        return "fill it in, or delete the key"
    if typing.get_origin(_bare(place.annotation)) is list and not isinstance(place.value, list | dict):
        return f"write a list: `[{shortened(place.value)}]`"
    if _bare(place.annotation) is bool and str(place.value).lower() in ("yes", "on", "no", "off", "y", "n"):
        return f"write `{'true' if str(place.value).lower() in ('yes', 'on', 'y') else 'false'}`"
    arms = [_bare(arm) for arm in _arms(place.annotation)]
    if str in arms and isinstance(place.value, bool | int | float):
        return "put it in quotes"
    if list[str] in arms and isinstance(place.value, list) and not all(isinstance(one, str) for one in place.value):
        return "put each in quotes"
    if isinstance(place.value, str) and _looks_numeric(place.value):
        return "write the number without quotes"
    return _help(place)


def _looks_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# what a schema says, in words


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _bare(annotation: Any) -> Any:
    """An annotation without its metadata and without ``| None``; a union of several arms stays."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _bare(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        arms = [arm for arm in typing.get_args(annotation) if arm is not type(None)]
        return _bare(arms[0]) if len(arms) == 1 else annotation
    return annotation


def _arms(annotation: Any) -> tuple[Any, ...]:
    """What a value may be: the arms of a union, else the one thing."""
    bare = _bare(annotation)
    return typing.get_args(bare) if typing.get_origin(bare) in (typing.Union, types.UnionType) else (bare,)


def _mapping_of_union(annotation: Any) -> type[BaseModel] | None:
    """The one arm of a union that a mapping can be, where there is one."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return None
    models = [arm for arm in typing.get_args(annotation) if _is_model(arm)]
    return models[0] if len(models) == 1 else None


def _fields(model: type[BaseModel] | None) -> dict[str, FieldInfo]:
    """The keys that a mapping may hold, by the name that stands in YAML."""
    return {} if model is None else {field.alias or name: field for name, field in model.model_fields.items()}


def _words(annotation: Any) -> list[Any]:
    bare = _bare(annotation)
    return list(typing.get_args(bare)) if typing.get_origin(bare) is Literal else []


_KINDS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Any: "any value",
}


_PLURALS = {
    "text": "texts",
    "a number": "numbers",
    "a whole number": "whole numbers",
    "a mapping": "mappings",
    "text or a whole number": "texts or whole numbers",
    "any value": "values",
}


def expected(annotation: Any) -> str:
    """What an annotation takes, in words: ``a list of numbers`` for ``list[int | float]``."""
    bare = _bare(annotation)
    if bare in _KINDS:
        return _KINDS[bare]
    origin, arguments = typing.get_origin(bare), typing.get_args(bare)
    if origin is Literal:
        return f"one of {quoted(arguments)}" if len(arguments) > 1 else f"`{arguments[0]}`"
    if origin in (list, tuple, set, frozenset):
        inner = expected(arguments[0]) if arguments else "any value"
        return f"a list of {_PLURALS.get(inner, inner.replace('one of ', ''))}"
    if origin in (typing.Union, types.UnionType):
        arms = {_bare(arm) for arm in arguments if arm is not type(None)}
        if arms == {int, float}:
            return "a number"
        return " or ".join(dict.fromkeys(expected(arm) for arm in arguments if arm is not type(None)))
    return "a mapping"


def _described(value: Any) -> str:
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {shortened(value)}"
    if isinstance(value, str):
        return f"the text `{shortened(value)}`" if value else "empty text"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    return "a mapping"


def _form(pattern: str) -> str:
    if r"\d{4}-" in pattern:
        return "a date such as `2026-03-01`"
    if r"\.\d+\.\d+" in pattern or r"\d+\.\d+" in pattern:
        return "a version of three numbers such as `1.0.0`"
    if pattern.startswith("^[A-Za-z0-9]["):
        return "a name of at most 64 letters, digits, `_`, `.` or `-`, starting with a letter or digit"
    return f"text of the form `{pattern}`"


def _limit(kind: str, context: Mapping[str, Any]) -> str:
    sentences = {
        "greater_than": "be above {gt}",
        "greater_than_equal": "be at least {ge}",
        "less_than": "be below {lt}",
        "less_than_equal": "be at most {le}",
        "multiple_of": "be a multiple of {multiple_of}",
        "finite_number": "be a finite number",
        "string_too_short": "hold at least {min_length} characters",
        "string_too_long": "hold at most {max_length} characters",
        "too_short": "hold at least {min_length} values",
        "too_long": "hold at most {max_length} values",
    }
    sentence = sentences.get(kind)
    return sentence.format(**context).replace(" 1 values", " 1 value") if sentence else ""


def _shown(path: Path_, at: Path_) -> str:
    """A path as people write it: ``explain.perturbation[0].with``."""
    words = ""
    for part in path:
        words += f"[{part}]" if isinstance(part, int) else f".{part}" if words else str(part)
    return words or str(at)


@functools.cache
def _homes() -> Mapping[str, list[str]]:
    """Every key of the audit language to the places where it may stand."""
    from pgx_compiler.spec.model import AuditSpec

    homes: dict[str, list[str]] = {}
    for key, place in _walk(AuditSpec, ()):
        homes.setdefault(key, [])
        if place not in homes[key]:
            homes[key].append(place)
    return homes


def _walk(annotation: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    bare = _bare(annotation)
    if _is_model(bare):
        for key, field in _fields(bare).items():
            if path:
                yield key, ".".join(path)
            yield from _walk(field.annotation, (*path, key))
    else:
        for argument in typing.get_args(bare):
            yield from _walk(argument, path)
