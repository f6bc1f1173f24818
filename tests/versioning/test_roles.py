"""The role of every field of the language, held against what it does: each is changed, found by walking the model.

Semantic: the digest of the question is another. Operational and descriptive: it is the same, and so is every key.
"""

import copy
import functools
import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from pgx_compiler.driver import compile
from pgx_compiler.evidence.canonical import digest
from pgx_compiler.plan.plan import Plan, compile_plan
from pgx_compiler.plan.semantics import role_of, semantic_part
from pgx_compiler.spec.model import AuditSpec
from pgx_compiler.spec.source import load
from pgx_compiler.versioning.questions import changes, question_of

ROOT = Path(__file__).parents[2]
WORDS = ("other", "another", "9.9.9", "2031-01-01", "other.npz", "has")
NUMBERS = (1, 2, 3, 7, 11, 0.25, 0.5, 0)

# examples of values, from types


def bare(annotation: Any) -> Any:
    return bare(typing.get_args(annotation)[0]) if typing.get_origin(annotation) is Annotated else annotation


def examples(annotation: Any) -> Iterator[Any]:
    """Plain values that an annotation may take; some may be refused by its bounds."""
    annotation, origin, arguments = annotation, typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        yield from examples(arguments[0])
    elif origin is Literal:
        yield from arguments
    elif origin in (typing.Union, types.UnionType):
        for arm in arguments:
            yield from examples(arm)
        yield from (None for arm in arguments if arm is type(None))
    elif origin in (list, tuple):
        inner = [value for value in examples(arguments[0]) if fits(arguments[0], value)]
        yield from (inner[:length] for length in (1, 2, 3) if len(inner) >= length)
        yield from ([value] * length for value in inner[:1] for length in (1, 2, 3))
    elif origin is dict:
        keys = [key for key in examples(arguments[0]) if fits(arguments[0], key)]
        inner = [value for value in examples(arguments[1]) if fits(arguments[1], value)]
        yield from ({key: value} for key in keys[:3] for value in inner[:2])
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield smallest(annotation)
    elif annotation is bool:
        yield from (True, False)
    elif annotation in (int, float):
        yield from (number for number in NUMBERS if annotation is float or isinstance(number, int))
    elif annotation in (str, Any):
        yield from WORDS


def fits(annotation: Any, value: Any, field: FieldInfo | None = None) -> bool:
    if field is not None and field.metadata:
        annotation = Annotated[annotation, *field.metadata]
    try:
        TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    return True


def smallest(model: type[BaseModel]) -> dict[str, Any]:
    """A model of its required keys alone."""
    return {
        field.alias or name: next(v for v in examples(field.annotation) if fits(field.annotation, v, field))
        for name, field in model.model_fields.items()
        if field.is_required()
    }


def others(field: FieldInfo, value: Any) -> Iterator[Any]:
    yield from (v for v in examples(field.annotation) if v != value and fits(field.annotation, v, field))


# places of fields, from models


@dataclass(frozen=True)
class Place:
    path: tuple[str | int, ...]
    owner: type[BaseModel]
    name: str
    role: str

    @property
    def field(self) -> FieldInfo:
        return self.owner.model_fields[self.name]

    def __str__(self) -> str:
        return ".".join(str(part) for part in self.path)


def places(model: type[BaseModel], path: tuple[str | int, ...] = (), role: str = "semantic") -> Iterator[Place]:
    for name, field in model.model_fields.items():
        here = (*path, field.alias or name)
        own = role_of(model, name) if role == "semantic" else role
        assert own is not None
        yield Place(here, model, name, own)
        for below, inner in held(field.annotation):
            yield from places(inner, (*here, *below), own)


def held(annotation: Any) -> Iterator[tuple[tuple[str | int, ...], type[BaseModel]]]:
    """Models inside an annotation, and the way to them: an item ``0`` of a list, a member ``other`` of a mapping."""
    annotation = bare(annotation)
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield (), annotation
    elif origin in (typing.Union, types.UnionType):
        for arm in arguments:
            yield from held(arm)
    elif origin in (list, tuple, dict):
        key: tuple[str | int, ...] = ("other",) if origin is dict else (0,)
        yield from ((key + below, model) for below, model in held(arguments[-1]))


def with_place(document: dict[str, Any], place: Place) -> dict[str, Any]:
    """A document in which the model that holds a place is there; what is missing is the smallest of its kind."""
    document = copy.deepcopy(document)
    at: Any = document
    model: Any = AuditSpec
    for part, following in zip(place.path[:-1], place.path[1:], strict=True):
        model = inside(model, part)
        if isinstance(at, list) and not at:
            at.append(None)
        empty = at[part] is None if isinstance(at, list) else at.get(part) is None
        if empty:
            is_model = isinstance(model, type) and issubclass(model, BaseModel)
            at[part] = smallest(model) if is_model else [] if isinstance(following, int) else {}
        at = at[part]
    return document


def inside(annotation: Any, part: str | int) -> Any:
    """The annotation at a part of a path, without ``None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        found = next(f.annotation for n, f in annotation.model_fields.items() if part == (f.alias or n))
    else:
        found = typing.get_args(annotation)[-1]
    found = bare(found)
    while typing.get_origin(found) in (typing.Union, types.UnionType):
        arms = [arm for arm in typing.get_args(found) if arm is not type(None)]
        found = bare(next((arm for arm in arms if list(held(arm))), arms[0]))
    return found


def changed(place: Place, start: dict[str, Any]) -> tuple[AuditSpec, AuditSpec] | None:
    """An audit, and the same with one field changed; None where the field has no second value."""
    document = with_place(start, place)
    before = AuditSpec.model_validate_json(json.dumps(document), strict=True)
    owner = functools.reduce(lambda held, part: held[part], place.path[:-1], document)
    spoken = before.model_dump(mode="json", by_alias=True)
    value = functools.reduce(lambda held, part: held[part], place.path, spoken)
    for other in others(place.field, value):
        owner[place.path[-1]] = other
        try:
            after = AuditSpec.model_validate_json(json.dumps(document), strict=True)
        except ValidationError:
            continue
        if after != before:
            return before, after
    return None


SPEC = ROOT / "specs" / "german-credit.yaml"
START = load(SPEC.read_text("utf-8"), "german-credit.yaml").data
PLACES = [place for place in places(AuditSpec) if not any(way == () for way, _ in held(place.field.annotation))]
"""Every field but those that are a mapping of fields themselves: these change by what is in them."""
WITHOUT_EFFECT = [place for place in PLACES if place.role != "semantic"]


@functools.cache
def plan() -> Plan:
    return compile(SPEC)


def question(spec: AuditSpec) -> str:
    return digest(semantic_part(spec))


def keys(spec: AuditSpec) -> dict[str, str]:
    """Every node's key, were the audit of the example this one."""
    return {node.id: node.key for node in compile_plan(replace(plan().audit, spec=spec), "0").graph}


def test_the_walk_reaches_every_model_of_the_language() -> None:
    reached = {place.owner.__name__ for place in places(AuditSpec)}
    assert reached == set(AuditSpec.model_json_schema()["$defs"]) | {"AuditSpec"}
    assert len(PLACES) > 100


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_the_question_is_what_semantic_fields_say_and_nothing_else(place: Place) -> None:
    pair = changed(place, START)
    if pair is None:
        words = typing.get_args(place.field.annotation)
        assert typing.get_origin(place.field.annotation) is Literal
        assert len(words) == 1, "no second value was found"
        return
    before, after = pair
    assert (question(before) != question(after)) == (place.role == "semantic")


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_a_difference_says_the_role_of_what_differs(place: Place) -> None:
    pair = changed(place, START)
    if pair is None:
        return
    told = changes(question_of(pair[0]), question_of(pair[1]))
    assert {change.role for change in told} == {place.role}


@pytest.mark.parametrize("place", WITHOUT_EFFECT, ids=str)
def test_no_key_depends_on_what_changes_no_answer(place: Place) -> None:
    pair = changed(place, START)
    assert pair is not None
    assert keys(pair[0]) == keys(pair[1])


def test_some_keys_depend_on_what_does() -> None:
    """The comparison above can fail: another seed changes every node that draws."""
    seeded = plan().audit.spec.model_copy(update={"seed": 8})
    assert keys(seeded) != keys(plan().audit.spec)
