"""The audit language with nothing required: the form of a profile, which is a part of a spec."""

import copy
import typing
from functools import cache
from typing import Any

from pydantic import BaseModel, create_model

from pgx_compiler.spec.fields import SpecModel
from pgx_compiler.spec.model import AuditSpec


@cache
def profile_model() -> type[BaseModel]:
    """The form of one profile, derived from `AuditSpec`: every key optional, no profiles in profiles."""
    return _partial(AuditSpec, frozenset({"extends", "profiles"}))


@cache
def _partial(model: type[BaseModel], left_out: frozenset[str] = frozenset()) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, declared in model.model_fields.items():
        if name in left_out:
            continue
        held = copy.copy(declared)
        # a default is not validated: a key that is absent is fine, one that is empty is not
        held.default, held.default_factory = None, None
        held.annotation = _of_parts(declared.annotation)
        fields[name] = (held.annotation, held)
    return create_model(f"Profile{model.__name__}", __base__=SpecModel, __doc__=model.__doc__, **fields)


def _of_parts(annotation: Any) -> Any:
    """An annotation in which mappings are partial; lists replace lists, and so stay whole."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _partial(annotation)
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is dict:
        return dict.__class_getitem__((arguments[0], _of_parts(arguments[1])))
    others = [argument for argument in arguments if argument is not type(None)]
    if type(None) in arguments and len(others) == 1:
        return _of_parts(others[0]) | None
    return annotation
