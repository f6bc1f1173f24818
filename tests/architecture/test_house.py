"""How the house is kept: names, sizes, declarations, roles of fields, the public surface."""

import ast
import importlib
import inspect
import tomllib
from pathlib import Path

import pydantic
import pytest

import pgx_compiler
from pgx_compiler.documented import description
from pgx_compiler.methods.catalogue import STAGES, catalogue, source_of
from pgx_compiler.methods.declaration import declaration_of
from pgx_compiler.spec import model as spec_model
from pgx_compiler.spec import search
from pgx_compiler.spec.fields import SpecModel
from pgx_compiler.spec.model import AuditSpec

ROOT = Path(__file__).parents[2]
PACKAGES = ("pgx_compiler", "runtimes")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "base", "manager", "misc"}
LONGEST_FILE = 450
ROLES = {"semantic", "operational", "descriptive"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def method_files() -> list[Path]:
    return [
        path
        for stage in STAGES
        for path in sorted((ROOT / "pgx_compiler" / "methods" / stage).glob("*.py"))
        if not path.name.startswith("_")
    ]


def spec_models() -> list[type[SpecModel]]:
    found = {model for place in (spec_model, search) for _, model in inspect.getmembers(place, inspect.isclass)}
    ours = [model for model in found if issubclass(model, SpecModel) and model is not SpecModel]
    return sorted(ours, key=lambda model: model.__name__)


def careless_fields(model: type[SpecModel]) -> list[str]:
    """Fields whose part in keys and diffs is unknown, or that nobody has described."""
    found = []
    for name, field in model.model_fields.items():
        extra = field.json_schema_extra
        role = extra.get("role") if isinstance(extra, dict) else None
        if role not in ROLES or not description(model, name):
            found.append(name)
    return found


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    lines = path.read_text("utf-8").count("\n")
    assert lines <= LONGEST_FILE


def test_names_say_what_is_inside() -> None:
    parts = {
        (relative(path), part.strip("_")) for path in SOURCES for part in path.relative_to(ROOT).with_suffix("").parts
    }
    assert sorted(where for where, part in parts if part in FORBIDDEN_NAMES) == []


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in SOURCES}
    assert sorted(relative(folder) for folder in folders if not (folder / "__init__.py").exists()) == []


@pytest.mark.parametrize("path", method_files(), ids=lambda path: path.stem)
def test_a_method_file_declares_its_method_and_no_other(path: Path) -> None:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    own = [thing for _, thing in inspect.getmembers(module, inspect.isfunction) if thing.__module__ == module.__name__]
    assert [thing.__name__ for thing in own if declaration_of(thing)] == [path.stem]


def test_the_catalogue_is_what_stands_in_the_folders() -> None:
    assert {source_of(declaration) for declaration in catalogue().values()} == set(method_files())


def test_no_other_file_names_a_method() -> None:
    """A second place to edit is a defect. Defaults of the language and lowered requests name what they must."""
    allowed = {
        # The defaults of `tuning.explain.methods` are part of the language.
        "pgx_compiler/spec/search.py",
    }
    names = set(catalogue())
    methods = {source_of(declaration) for declaration in catalogue().values()}
    named = []
    for path in SOURCES:
        if path in methods or relative(path) in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
                members = node.keys if isinstance(node, ast.Dict) else node.elts
                listed = {member.value for member in members if isinstance(member, ast.Constant)} & names
                if len(listed) > 1:
                    named.append(f"{relative(path)}:{node.lineno} lists {sorted(listed)}")
    assert named == []


@pytest.mark.parametrize("model", spec_models(), ids=lambda model: model.__name__)
def test_every_field_of_the_language_has_its_role_and_its_words(model: type[SpecModel]) -> None:
    assert careless_fields(model) == []


def test_a_field_without_role_or_words_is_found() -> None:
    class Careless(SpecModel):
        """A part of the language whose author was in a hurry."""

        whole: int = spec_model.semantic(1, description="words")
        without_role: int = pydantic.Field(1, description="words")
        without_words: int = spec_model.semantic(1)

    assert careless_fields(Careless) == ["without_role", "without_words"]


def test_the_roles_cover_all_that_an_audit_can_say() -> None:
    """No part of an audit is a model of another kind, which could hold fields without a role."""
    schema = AuditSpec.model_json_schema()
    assert set(schema["$defs"]) | {"AuditSpec"} == {model.__name__ for model in spec_models()}


def test_the_public_surface_is_sorted_and_there() -> None:
    names = list(pgx_compiler.__all__)
    assert names == sorted(names, key=lambda name: (name.lower(), name))
    assert [name for name in names if not hasattr(pgx_compiler, name)] == []
    assert "run" in names


def test_what_tests_need_is_no_burden_for_those_who_run() -> None:
    """Tools for tests stand in the dev group alone."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    run = {requirement.split(">")[0].split("<")[0] for requirement in project["project"]["dependencies"]}
    dev = {requirement.split(">")[0].split("<")[0] for requirement in project["dependency-groups"]["dev"]}
    assert run & dev == set()
    assert {"pytest", "mypy", "ruff", "import-linter"} <= dev
