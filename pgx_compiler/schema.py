"""JSON Schemas for editors and programs: of the audit language, with every method's parameters, and of the factsheet."""

from typing import Any

from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.methods.declaration import Declaration
from pgx_compiler.report.factsheet import Factsheet
from pgx_compiler.spec.model import STEP_PATHS, AuditSpec


def schema_of(what: str) -> dict[str, Any]:
    """The schema of ``audit`` or of ``factsheet``."""
    return audit_schema() if what == "audit" else factsheet_schema()


def factsheet_schema() -> dict[str, Any]:
    """JSON Schema of ``factsheet.json``."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Factsheet.model_json_schema(by_alias=True, mode="serialization"),
    }


def audit_schema() -> dict[str, Any]:
    """JSON Schema of the audit language: completion and hover for every ``use`` and its ``with``."""
    schema: dict[str, Any] = AuditSpec.model_json_schema(by_alias=True)
    definitions: dict[str, Any] = schema["$defs"]
    definitions["Step"].pop("required", None)
    for path in STEP_PATHS:
        stage = path[-1]
        name = f"{stage.capitalize()}Step"
        definitions[name] = _step(definitions, [d for d in catalogue().values() if d.stage == stage])
        owner = schema if len(path) == 1 else definitions[path[0].capitalize()]
        owner["properties"][stage]["items"] = {"$ref": f"#/$defs/{name}"}
    schema["patternProperties"] = {"^x-": {"description": "Yours: ignored, good for notes and anchors."}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pgx audit", **schema}


def _step(definitions: dict[str, Any], methods: list[Declaration]) -> dict[str, Any]:
    step = {key: value for key, value in definitions["Step"].items() if key != "title"}
    properties = {**step["properties"]}
    properties["use"] = {
        "description": "Name of a method.",
        "oneOf": [{"const": d.name, "description": d.summary} for d in methods],
    }
    branches = []
    for declaration in methods:
        params = declaration.params.model_json_schema()
        definitions.update(params.pop("$defs", {}))
        branches.append(
            {
                "if": {"properties": {"use": {"const": declaration.name}}, "required": ["use"]},
                "then": {"properties": {"with": {**params, "title": f"Parameters of {declaration.name}"}}},
            }
        )
    return {**step, "properties": properties, "required": ["use"], "allOf": branches}
