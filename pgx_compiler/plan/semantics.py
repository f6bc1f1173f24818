"""The part of a spec that changes the answer, derived from the role that each field declares."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from pgx_compiler.spec.model import AuditSpec


def role_of(model: type[BaseModel], field: str) -> str | None:
    """``semantic``, ``operational`` or ``descriptive``: what the field's declaration says; None where it says nothing."""
    extra = model.model_fields[field].json_schema_extra
    return str(extra["role"]) if isinstance(extra, dict) and "role" in extra else None


DECIDES = {"risk", "audience", "questions", "budget"}
"""Of a strategy, what methods are chosen by; it changes the answer of no audit that names its methods itself."""


def leaves_choice(spec: AuditSpec) -> bool:
    """Whether some stage says ``use: auto``, or the spec has no step at all."""
    explaining = (*spec.explain.perturbation, *spec.explain.gradient)
    steps = (*spec.precaution, *explaining, *spec.agreement, *spec.faithfulness)
    return not steps or any(step.use == "auto" for step in steps)


def _left_unsaid(value: BaseModel, field: str) -> bool:
    """Whether a field that counts only where it is given (`semantic_if_given`) has its default."""
    declared = type(value).model_fields[field]
    extra = declared.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("if_given")) and getattr(value, field) == declared.default


def semantic_part(value: Any) -> Any:
    """A value with every field left out that does not change the answer; plain data."""
    if isinstance(value, BaseModel):
        found = {
            name: semantic_part(getattr(value, name))
            for name in type(value).model_fields
            if role_of(type(value), name) == "semantic" and not _left_unsaid(value, name)
        }
        if isinstance(value, AuditSpec) and leaves_choice(value):
            # what the strategy says decides then what is done
            found["strategy"] |= value.strategy.model_dump(mode="json", include=DECIDES)
        return found
    if isinstance(value, Mapping):
        return {str(key): semantic_part(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [semantic_part(item) for item in value]
    return value
