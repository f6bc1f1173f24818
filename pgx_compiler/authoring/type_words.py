"""What a JSON Schema allows, in words: ``a whole number from 1 to 4096``, ``auto or a whole number of at least 2``."""

from collections.abc import Mapping
from typing import Any

_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "string": "text",
    "boolean": "true or false",
    "null": "nothing",
    "object": "a mapping",
    "array": "a list",
}


def type_words(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None = None) -> str:
    """What values a schema allows; `definitions` are those that it may refer to."""
    if "$ref" in schema:
        target = (definitions or {}).get(schema["$ref"].rpartition("/")[2])
        return type_words(target, definitions) if target else "a mapping"
    if "const" in schema:
        return _value(schema["const"])
    if "enum" in schema:
        return _either([_value(value) for value in schema["enum"]])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            parts = [part for part in schema[key] if part.get("type") != "null"]
            return _either(_numbers_as_one([type_words(part, definitions) for part in parts]))
    kind = str(schema.get("type", ""))
    if kind == "array":
        return _list_words(schema, definitions)
    if kind == "object":
        held = schema.get("additionalProperties")
        return f"a mapping to {type_words(held, definitions)}" if isinstance(held, Mapping) else "a mapping"
    return _WORDS.get(kind, "any value") + _range(schema)


def _value(value: object) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else "null" if value is None else str(value)


def _either(words: list[str]) -> str:
    words = list(dict.fromkeys(words))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}" if words else "any value"


def _numbers_as_one(words: list[str]) -> list[str]:
    """A number is said once: a whole number is one."""
    return [word for word in words if not (word == _WORDS["integer"] and _WORDS["number"] in words)]


def _list_words(schema: Mapping[str, Any], definitions: Mapping[str, Any] | None) -> str:
    least, most = schema.get("minItems"), schema.get("maxItems")
    count = f" of {least}" if least and least == most else f" of at least {least}" if least else ""
    items = schema.get("items")
    if isinstance(items, Mapping) and items:
        return f"a list{count or ' of'}{':' if count else ''} {_each(type_words(items, definitions))}"
    return f"a list{count}"


def _each(words: str) -> str:
    for one, many in (("a whole number", "whole numbers"), ("a number", "numbers"), ("a mapping", "mappings")):
        if words.startswith(one):
            return many + words[len(one) :]
    return words


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {_number(low)} to {_number(high)}"
    words = []
    if low is not None:
        words.append(f"of at least {_number(low)}")
    if above is not None:
        words.append(f"above {_number(above)}")
    if high is not None:
        words.append(f"of at most {_number(high)}" if not words else f"at most {_number(high)}")
    if below is not None:
        words.append(f"below {_number(below)}")
    return f" {' and '.join(words)}" if words else ""


def _number(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:g}"


def default_words(schema: Mapping[str, Any]) -> str:
    """The default as it would be written, or nothing where a key left out means nothing but that."""
    if schema.get("default") is None or schema["default"] in ({}, []) or "$ref" in schema:
        return ""
    value = schema["default"]
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    return "" if isinstance(value, dict) else _value(value)


def one_line(text: str) -> str:
    """A description without line breaks, and code marked as Markdown marks it."""
    return " ".join(text.split()).replace("``", "`")
