"""Which steps explain rows or features of their own, and are what compares them on one ground?"""

from typing import Any

from pgx_compiler.analysis.checks.features import features_of
from pgx_compiler.analysis.checks.rows import count_rows
from pgx_compiler.analysis.context import Context, NamedStep
from pgx_compiler.analysis.resolved import Ground
from pgx_compiler.evidence.canonical import digest
from pgx_compiler.spec.model import ExplainStep, RowSelection


def check_grounds(context: Context) -> None:
    """Settle the rows and features of each step that has its own."""
    for named in context.explaining:
        if isinstance(named.step, ExplainStep) and (named.step.rows or named.step.features):
            ground = _ground(context, named, named.step)
            if ground is not None and ground.name:
                context.grounds[named.id] = ground


def _ground(context: Context, named: NamedStep, step: ExplainStep) -> Ground | None:
    select, choice = step.rows or context.select, step.features or context.choice
    rows_at, features_at = (*named.path, "rows"), (*named.path, "features")
    rows, features, settled = context.rows, context.features, context.described
    if select != context.select:
        rows = count_rows(context, select, rows_at)
    if choice != context.choice and context.inputs and context.columns is not None:
        own = features_of(context, choice, features_at)
        settled, features = own if own is not None else (settled, None)
    if rows is None or features is None:
        return None
    words = [] if select == context.select else described(select)
    rows_name = f"[{','.join(words)}]" if words else ""
    if settled != context.described:
        keys = dict.fromkeys([*settled, *context.described])
        changed = [key for key in keys if context.described.get(key) != settled.get(key)]
        words += [f"{key}={_short(settled.get(key))}" for key in changed]
    return Ground(f"[{','.join(words)}]" if words else "", select, rows, features, settled, rows_name)


def described(select: RowSelection) -> list[str]:
    """A selection of rows in words that can be part of a node's name, the same for the same rows: ``sample=8``."""
    given: dict[str, Any] = select.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    if "ids" in given:
        given["ids"] = digest(given["ids"])[:8]
    return [f"{key}={str(value).lower() if isinstance(value, bool) else value}" for key, value in sorted(given.items())]


def _short(value: Any) -> Any:
    """A value that can be part of a node's name."""
    return "none" if value is None else digest(value)[:8] if isinstance(value, list) else value
