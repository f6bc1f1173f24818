"""Parameters that name a layer of the model: is it there, and which one is it where none is named?"""

from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import Format
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted
from pgx_compiler.methods.declaration import NamesLayer, Params
from pgx_compiler.spec.source import Path_
from runtimes.target import LayerFacts

UNKNOWN_LAYER = Code(
    4016,
    "unknown-layer",
    "The parameter names a layer that the model has not, or that cannot be looked into: an input, or a layer that one call"
    " of the model uses more than once, so that it has no one output. Layers of nested models are named `outer/inner`.",
)


def with_layers(context: Context, params: Params, format_: Format | None, at: Path_) -> Params:
    """Check the layers that parameters name, and fill in those that the author left to the method.

    Args:
        context: what is known so far.
        params: of one step.
        format_: the file that the step runs on; None: not known, and nothing is said.
        at: where the step's parameters stand.
    """
    if format_ is None:
        return params
    facts = context.models[format_].facts
    chosen: dict[str, str] = {}
    for name, field in type(params).model_fields.items():
        mark = next((item for item in field.metadata if isinstance(item, NamesLayer)), None)
        if mark is None:
            continue
        value = getattr(params, name)
        if value is None and mark.otherwise and (found := mark.otherwise(facts)):
            chosen[name] = found
        elif value is not None and (wrong := _wrong(value, facts.layers)):
            context.error(UNKNOWN_LAYER, wrong[0], (*at, name), wrong[1])
    return params.model_copy(update=chosen) if chosen else params


def _wrong(name: str, layers: tuple[LayerFacts, ...]) -> tuple[str, str] | None:
    """What is wrong with the name of a layer, and what to do about it."""
    usable = [layer.name for layer in layers if layer.used == 1]
    named = next((layer for layer in layers if layer.name == name), None)
    if named and named.used == 1:
        return None
    if named is None:
        near = nearest(name, usable)
        help_ = f"did you mean `{near}`?" if near else f"the layers are {quoted(usable, 12)}"
        return f"the model has no layer `{name}`", help_
    instead = f"name one of the layers that are used once: {quoted(usable, 12)}"
    if named.used == 0:
        return f"`{name}` is no layer that can be looked into ({named.kind})", instead
    return f"the layer `{name}` is used {named.used} times, so that it has no one output", instead
