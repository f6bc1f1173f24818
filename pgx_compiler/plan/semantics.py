"""The part of a spec that changes the answer, derived from the role that each field declares."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


def role_of(model: type[BaseModel], field: str) -> str | None:
    """``semantic``, ``operational`` or ``descriptive``: what the field's declaration says; None where it says nothing."""
    extra = model.model_fields[field].json_schema_extra
    return str(extra["role"]) if isinstance(extra, dict) and "role" in extra else None


def semantic_part(value: Any) -> Any:
    """A value with every field left out that does not change the answer; plain data."""
    if isinstance(value, BaseModel):
        return {
            name: semantic_part(getattr(value, name))
            for name in type(value).model_fields
            if role_of(type(value), name) == "semantic"
        }
    if isinstance(value, Mapping):
        return {str(key): semantic_part(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [semantic_part(item) for item in value]
    return value
