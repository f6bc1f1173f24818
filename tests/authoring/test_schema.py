"""The schema for editors: current, true to the language, and shaped so that an editor shows what an author needs.

What an editor makes of it is tried by hand: see ``yaml_language_server.py`` beside this file.
"""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pgx_compiler.authoring.type_words import default_words, one_line, type_words
from pgx_compiler.cli import main
from pgx_compiler.methods.catalogue import catalogue
from pgx_compiler.schema import audit_schema, schema_text
from pgx_compiler.spec.source import load

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").glob("*.yaml"))


@pytest.fixture(scope="module")
def schema():
    return audit_schema()


def spec(**changes):
    whole = {
        "apiVersion": "pgx/v1",
        "kind": "Audit",
        "metadata": {"name": "tried"},
        "model": {"keras": "model.keras"},
        "data": {"modality": "tabular", "train": {"path": "rows.csv"}},
    }
    return whole | changes


def complaints(schema, document):
    return [error.message for error in Draft202012Validator(schema).iter_errors(document)]


def step_branches(schema, stage):
    """Method to what its `with` may hold, besides a variable."""
    found = {}
    for branch in schema["$defs"][f"{stage.capitalize()}Step"]["allOf"]:
        held, variable = branch["then"]["properties"]["with"]["anyOf"]
        assert variable["pattern"] == r"\$\{vars\.[^}]+\}"
        found[branch["if"]["properties"]["use"]["const"]] = held
    return found


def test_the_file_beside_the_specs_is_current():
    """Written by ``pgx schema > specs/audit.schema.json``."""
    assert (ROOT / "specs" / "audit.schema.json").read_text("utf-8") == schema_text("audit")


def test_the_command_prints_what_the_file_holds(capsys):
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == schema_text("audit")


def test_the_schema_is_a_schema(schema):
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_examples_point_to_the_schema_and_pass_it(path, schema):
    text = path.read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=audit.schema.json\n")
    assert complaints(schema, load(text, path.name).data) == []


@pytest.mark.parametrize("name", catalogue())
def test_each_method_is_offered_at_its_stage_with_its_summary_and_its_parameters(name, schema):
    declaration = catalogue()[name]
    step = schema["$defs"][f"{declaration.stage.capitalize()}Step"]
    offered = {one["const"]: one["description"] for one in step["properties"]["use"]["oneOf"]}
    assert offered[name].startswith(one_line(declaration.summary))
    fields = step_branches(schema, declaration.stage)[name].get("properties", {})
    assert set(fields) == set(declaration.params.model_fields)
    assert [key for key, field in fields.items() if not field.get("description")] == []


def test_a_hover_shows_range_and_default(schema):
    steps = step_branches(schema, "gradient")["integrated_gradients"]["properties"]["steps"]
    assert steps["description"].endswith("\n\nA whole number from 1 to 4096; default `64`.")


def test_what_may_be_left_out_is_not_offered_as_null(schema):
    def nulls(node, path):
        if isinstance(node, list):
            return [found for i, part in enumerate(node) for found in nulls(part, f"{path}/{i}")]
        if not isinstance(node, dict):
            return []
        mine = [path] if node.get("type") == "null" else []
        return mine + [found for key, part in node.items() for found in nulls(part, f"{path}/{key}")]

    # but where null itself is a value of the language: a setting that is searched, a parameter's value
    assert [path for path in nulls(schema, "") if "choice" not in path and "matrix" not in path] == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"explain": {"gradient": [{"use": "integrated_gradients", "with": {"stepz": 3}}]}}, "stepz"),
        ({"explain": {"gradient": [{"use": "integrated_gradients", "with": {"steps": 0}}]}}, "is not valid"),
        ({"explain": {"gradient": [{"use": "deletion"}]}}, "is not valid"),
        ({"precautions": []}, "precautions"),
        ({"seed": "seven"}, "seven"),
    ],
)
def test_a_mistake_is_one_for_the_schema_too(changes, told, schema):
    said = " ".join(complaints(schema, spec(**changes)))
    assert told in said


@pytest.mark.parametrize(
    "changes",
    [
        {"vars": {"n": 8}, "explain": {"gradient": [{"use": "integrated_gradients", "with": {"steps": "${vars.n}"}}]}},
        {"vars": {"n": {"sample": 4}}, "explain": {"rows": "${vars.n}"}},
        {"explain": {"perturbation": [{"use": "kernel_shap", "matrix": {"samples": [64, 128]}}]}},
        {"explain": {"gradient": [{"use": "auto"}]}},
        {"x-notes": ["mine"]},
    ],
)
def test_what_the_language_allows_the_schema_allows(changes, schema):
    assert complaints(schema, spec(**changes)) == []


def test_an_audit_that_extends_another_need_not_repeat_it(schema):
    own = {"apiVersion": "pgx/v1", "kind": "Audit"}
    assert complaints(schema, own | {"extends": "whole.yaml"}) == []
    assert any("model" in message for message in complaints(schema, own))


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 4096}, "a whole number from 1 to 4096"),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "a number above 0 and at most 1"),
        ({"type": "number", "minimum": 0, "exclusiveMaximum": 0.5}, "a number of at least 0 and below 0.5"),
        ({"enum": ["psi", "ks", "wasserstein"]}, "psi, ks or wasserstein"),
        ({"anyOf": [{"type": "integer", "minimum": 2}, {"const": "auto"}]}, "a whole number of at least 2 or auto"),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "a number"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}]}, "a number"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}, "a list of 2: numbers"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, "a mapping to true or false"),
    ],
)
def test_types_in_words(field, words):
    assert type_words(field) == words


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"default": None}, ""),
        ({"default": False}, "false"),
        ({"default": [1, 2.5]}, "[1, 2.5]"),
        ({"default": 0}, "0"),
    ],
)
def test_defaults_in_words(field, words):
    assert default_words(field) == words


def test_the_schema_is_plain_json():
    assert json.loads(schema_text("audit")) == audit_schema()
