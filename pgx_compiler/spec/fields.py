"""How the audit language is declared: the part that each field plays, and the words and values that many fields take."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from pgx_compiler.documented import Documented


def semantic(default: Any = ..., **more: Any) -> Any:
    """A field that changes the answer."""
    return Field(default, json_schema_extra={"role": "semantic"}, **more)


def semantic_if_given(default: Any = ..., **more: Any) -> Any:
    """A field that changes the answer where it is given; a spec that leaves it out has the digest that it always had."""
    return Field(default, json_schema_extra={"role": "semantic", "if_given": True}, **more)


def operational(default: Any = ..., **more: Any) -> Any:
    """A field that changes how the answer is computed, not what it is."""
    return Field(default, json_schema_extra={"role": "operational"}, **more)


def descriptive(default: Any = ..., **more: Any) -> Any:
    """A field for people: it changes neither the answer nor how it is computed."""
    return Field(default, json_schema_extra={"role": "descriptive"}, **more)


class SpecModel(Documented):
    """Base of every part of the spec: unknown keys are errors, values are not coerced, nothing changes later."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")]
StepName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}(\[[A-Za-z0-9_.+\-=,]{1,98}\])?$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]{0,63}$")]
Path = Annotated[str, Field(min_length=1, max_length=1024)]
Scalar = int | float | str | bool | None
Number = int | float
FillKind = Literal[
    "background",
    "kmeans",
    "conditional",
    "mean",
    "value",
    "blur",
    "noise",
    "uniform",
    "maximum_distance",
    "inpaint",
    "mask",
    "delete",
    "substitute",
    "interpolation",
    "fourier",
]
"""What a removed feature may be replaced by."""
