"""Models of pydantic whose fields are described by the text below them, read only when somebody asks for it.

Pydantic's own ``use_attribute_docstrings`` reads and parses the source of every class while it is made: a sixth of what
``pgx check`` takes, for words that it seldom shows.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue


class Documented(BaseModel):
    """A model whose JSON Schema describes each property by the text that stands below the field."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, field in cls.model_fields.items():
            key = name if name in properties else field.alias
            described = description(cls, name)
            if described and key in properties:
                properties[key].setdefault("description", described)
        return schema


def description(model: type[BaseModel], name: str) -> str | None:
    """What a field is, by its name in Python: the text below it, there or in a class that it is inherited from."""
    field: FieldInfo = model.model_fields[name]
    if field.description:
        return field.description
    for kind in model.__mro__:
        if name in inspect.get_annotations(kind):
            return _described(sys.modules[kind.__module__]).get(kind.__qualname__, {}).get(name)
    return None


@cache
def _described(module: ModuleType) -> Mapping[str, Mapping[str, str]]:
    """Qualified name of each class of a module to its fields and the text below them."""
    try:
        tree = ast.parse(inspect.getsource(module))
    except OSError:
        return {}  # installed without its source: a schema without descriptions is still right
    return {name: dict(_fields(node)) for name, node in _classes(tree.body, "")}


def _classes(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.ClassDef]]:
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield f"{prefix}{node.name}", node
            yield from _classes(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            yield from _classes(node.body, f"{prefix}{node.name}.<locals>.")


def _fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for field, below in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str):
            yield field.target.id, inspect.cleandoc(below.value.value)
