"""Do the steps' `with` values fit their methods?"""

from typing import Any

from pgx_compiler.analysis.checks.capabilities import runs_on
from pgx_compiler.analysis.checks.layers import with_layers
from pgx_compiler.analysis.checks.together import with_together
from pgx_compiler.analysis.context import Context
from pgx_compiler.analysis.resolved import ResolvedStep
from pgx_compiler.spec.validate import Schema, problems


def check_parameters(context: Context) -> None:
    """Validate every step's parameters and fill in the defaults; the steps are resolved then."""
    for named in context.named:
        at = (*named.path, "with")
        schema: Schema[Any] = Schema(named.declaration.params, f"the parameters of `{named.declaration.name}`")
        params, found = problems(schema, named.step.with_, context.document, at)
        for item in found:
            if item.path not in context.document.composition.refused:
                context.diagnostics.add(item)
        if params is None:
            continue
        span = context.document.value_span((*named.path, "use"))
        file = (
            runs_on(context, named.declaration, named.id)
            if named.declaration.capability or named.declaration.is_request
            else None
        )
        params = with_together(context, named, with_layers(context, params, file, at), at)
        ground = context.grounds.get(named.id)
        context.steps.append(
            ResolvedStep(named.stage, named.id, named.declaration, params, named.path, span, file, named.chosen, ground)
        )
