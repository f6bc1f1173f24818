"""JSON Schemas for editors and programs: of the audit language, with every method's parameters, of factsheet and events.

The schema of the language is shaped for editors (tried in yaml-language-server): every description ends with type, range and
default, since a hover shows nothing else; a key that may be left out is not offered as ``null``; and what a ``with`` may
hold hangs on its ``use`` by ``if`` and ``then``, which editors follow better than a choice between whole steps.
"""

import json
from collections.abc import Mapping
from typing import Any

from pgx_compiler.analysis.checks.names import AUTO
from pgx_compiler.analysis.checks.strategy import AutoParams
from pgx_compiler.authoring.type_words import default_words, one_line, type_words
from pgx_compiler.execute.events import events_schema
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Declaration
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.spec.model import STEP_PATHS, AuditSpec

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_AUTO = "The strategy chooses the methods of this stage; `pgx compile --why` says which, and why."
_VARIABLE = {"type": "string", "pattern": r"\$\{vars\.[^}]+\}"}
"""Any value may be that of a variable."""
_SAYS_NOTHING = ("a mapping", "any value", "text", "a list of mappings", "true or false")
_MAPS = ("properties", "$defs", "patternProperties")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "if", "then", "else")


def schema_of(what: str) -> dict[str, Any]:
    """The schema of ``audit``, of ``factsheet`` or of ``events``."""
    return {"audit": audit_schema, "factsheet": factsheet_schema, "events": events_line_schema}[what]()


def schema_text(what: str) -> str:
    """The schema as it stands in a file, such as ``specs/audit.schema.json``."""
    return json.dumps(schema_of(what), indent=1, ensure_ascii=False) + "\n"


def factsheet_schema() -> dict[str, Any]:
    """JSON Schema of ``factsheet.json``."""
    return {"$schema": DIALECT, **Factsheet.model_json_schema(by_alias=True, mode="serialization")}


def events_line_schema() -> dict[str, Any]:
    """JSON Schema of a line of ``events.jsonl``, and of what ``pgx run --format json`` prints."""
    return {"$schema": DIALECT, **events_schema()}


def audit_schema() -> dict[str, Any]:
    """JSON Schema of the audit language: completion and hover for every ``use`` and its ``with``."""
    schema: dict[str, Any] = AuditSpec.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema["$defs"]
    plain = {name: definitions.pop(name) for name in ("Step", "ExplainStep")}
    for path in STEP_PATHS:
        stage = path[-1]
        name = f"{stage.capitalize()}Step"
        definitions[name] = _step(
            plain["ExplainStep" if len(path) > 1 else "Step"],
            definitions,
            [d for d in catalogue().values() if d.stage == stage],
        )
        owner = schema if len(path) == 1 else definitions[path[0].capitalize()]
        _point_to(owner["properties"][stage], name)
    schema["patternProperties"] = {"^x-": {"description": "Yours: ignored, good for notes and anchors."}}
    needed = [name for name in schema.pop("required", ()) if name not in ("apiVersion", "kind")]
    schema["required"] = ["apiVersion", "kind"]
    schema |= {"if": {"not": {"required": ["extends"]}}, "then": {"required": needed}}
    tidy: dict[str, Any] = _with_variables(_tidied(schema, definitions))
    return {"$schema": DIALECT, "title": "pgx audit", **tidy}


def _point_to(steps: dict[str, Any], name: str) -> None:
    """Let the items of a stage be its own steps, also where the stage may be something else besides a list."""
    for place in (steps, *steps.get("anyOf", ())):
        if place.get("type") == "array":
            place["items"] = {"$ref": f"#/$defs/{name}"}


def _step(plain: Mapping[str, Any], definitions: dict[str, Any], methods: list[Declaration]) -> dict[str, Any]:
    properties = {**plain["properties"]}
    properties["use"] = {
        "description": "Name of a method.",
        "oneOf": [
            *({"const": d.name, "title": d.title, "description": _about(d)} for d in methods),
            {"const": AUTO, "title": "Chosen by the strategy", "description": _AUTO},
        ],
    }
    auto = {**AutoParams.model_json_schema(), "description": "What the strategy may choose from."}
    branches = [
        {"if": {"properties": {"use": {"const": AUTO}}, "required": ["use"]}, "then": {"properties": {"with": auto}}}
    ]
    for declaration in methods:
        params = declaration.params.model_json_schema()
        definitions.update(params.pop("$defs", {}))
        fields = {**params, "description": f"Parameters of {declaration.name}."}
        several = {"type": "object", "additionalProperties": False, "properties": _several(params)}
        branches.append(
            {
                "if": {"properties": {"use": {"const": declaration.name}}, "required": ["use"]},
                "then": {"properties": {"with": fields, "matrix": several}},
            }
        )
    return {**plain, "properties": properties, "required": ["use"], "allOf": branches}


def _several(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as keys of ``matrix``: a list of values each, held against the parameter when the spec is checked."""
    return {
        name: {"type": "array", "minItems": 1, "description": one_line(field.get("description", ""))}
        for name, field in params.get("properties", {}).items()
    }


def _about(declaration: Declaration) -> str:
    """What an author wants to know of a method before choosing it."""
    needs = {"Predictor": "predictions", "Differentiable": "gradients (a Keras file)", "TreeEnsemble": "trees"}
    needed = [needs.get(declaration.capability, declaration.capability), *sorted(declaration.needs)]
    needed = [word for word in needed if word]
    told = f"\n\nNeeds: {', '.join(needed)}." if needed else ""
    return f"{one_line(declaration.summary)}{told}\n\nLimits: {one_line(declaration.limits)}"


def _tidied(node: Any, definitions: Mapping[str, Any]) -> Any:
    """A schema without generated titles, with nothing offered as null, and descriptions that say type and default."""
    if not isinstance(node, dict):
        return node
    schema = {key: value for key, value in node.items() if key not in ("description", "default")}
    if "const" not in node:
        schema.pop("title", None)
    if node.get("default", ...) is None and "anyOf" in schema:
        left = [part for part in schema["anyOf"] if part.get("type") != "null"]
        schema.pop("anyOf")
        schema |= left[0] if len(left) == 1 else {"anyOf": left}
        schema.pop("title", None)
    for key in _MAPS:
        if key in schema:
            schema[key] = {name: _field(name, part, definitions) for name, part in schema[key].items()}
    for key in _LISTS:
        if key in schema:
            schema[key] = [_tidied(part, definitions) for part in schema[key]]
    for key in _SINGLE:
        if key in schema:
            schema[key] = _tidied(schema[key], definitions)
    told = node.get("description") or _said_of(node, definitions)
    if told:
        schema["description"] = told if "const" in node else one_line(told)
    if default_words(node):
        schema["default"] = node["default"]
    return schema


def _said_of(node: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """The description of what a node refers to; generated schemas leave out a field's where the two are the same."""
    target = definitions.get(str(node.get("$ref", "")).rpartition("/")[2], {})
    return str(target.get("description", ""))


def _field(name: str, node: Any, definitions: Mapping[str, Any]) -> Any:
    """A property: its title is its key, and its description says what a hover would else leave out."""
    schema = _tidied(node, definitions)
    if not isinstance(node, dict) or not schema.get("description") or "properties" in node:
        return schema
    kind, default = type_words(schema, definitions), default_words(node)
    told = [] if "$ref" in node or "enum" in schema or kind in _SAYS_NOTHING else [kind[0].upper() + kind[1:]]
    told += [f"default `{default}`" if told else f"Default `{default}`"] if default else []
    if told:
        schema["description"] = f"{schema['description']}\n\n{'; '.join(told)}."
    return {"title": name, **schema}


def _with_variables(schema: dict[str, Any]) -> dict[str, Any]:
    """Let every value that is no text also be a variable's."""
    found = dict(schema)
    for key in _MAPS:
        if key in found:
            admit = _or_variable if key == "properties" else _with_variables
            found[key] = {name: admit(part) for name, part in found[key].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _or_variable(found[key])
    for key in ("then", "else"):
        if key in found:
            found[key] = _with_variables(found[key])
    for key in ("anyOf", "allOf", "oneOf"):
        if key in found:
            found[key] = [_with_variables(part) for part in found[key]]
    return found


def _or_variable(schema: Any) -> Any:
    if not isinstance(schema, dict):
        return schema
    found = _with_variables(schema)
    about = {key: found.pop(key) for key in ("title", "description", "default", "role") if key in found}
    simple = isinstance(found.get("type"), str) and "enum" not in found and "const" not in found
    if not found or "oneOf" in found or (found.get("type") == "string" and simple):
        return {**about, **found}
    if simple and found["type"] in ("integer", "number", "boolean"):
        words = f"not {type_words(found)}, nor `${{vars.NAME}}`"
        found |= {"type": [found["type"], "string"], "pattern": _VARIABLE["pattern"], "patternErrorMessage": words}
        return {**about, **found}
    parts = found.pop("anyOf", None) or [found]
    return {**about, "anyOf": [*parts, _VARIABLE]}
