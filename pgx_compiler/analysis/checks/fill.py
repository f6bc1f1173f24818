"""What a removed feature is replaced by."""

from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import quoted
from pgx_compiler.modalities import modalities
from pgx_compiler.spec.model import Fill

WRONG_FILL = Code(
    4034,
    "wrong-fill",
    "Not every fill suits every modality, and each takes its own key: `background` takes `size`, `value` takes"
    " `value`, `blur` takes `sigma`, `mean` takes none. A background has at most as many rows as the training data.",
)

BACKGROUND_ROWS = 50
"""Our default; the standard error of a base value over 50 rows is a seventh of the score's own spread."""

_KEYS = {"background": "size", "value": "value", "blur": "sigma", "mean": ""}
_DEFAULTS = {"size": BACKGROUND_ROWS, "value": 0.0, "sigma": 4.0}


def check_fill(context: Context) -> None:
    """Settle the fill with its defaults, and how many references there are."""
    modality = modalities().get(context.spec.data.modality)
    if modality is None:
        return
    declared = context.spec.explain.fill
    kind = declared.kind if declared else modality.DEFAULT_FILL
    if kind not in modality.FILLS:
        message = f"`{kind}` cannot fill {context.spec.data.modality} data"
        context.error(WRONG_FILL, message, ("explain", "fill", "kind"), f"one of: {quoted(modality.FILLS)}")
        return
    if declared:
        _check_keys(context, declared)
    key = _KEYS[kind]
    context.fill = {"kind": kind}
    if key:
        given = getattr(declared, key) if declared else None
        context.fill[key] = _DEFAULTS[key] if given is None else given
    if kind == "background":
        _count_references(context, declared is not None and declared.size is not None)


def _check_keys(context: Context, declared: Fill) -> None:
    for key in _DEFAULTS:
        if getattr(declared, key) is not None and key != _KEYS[declared.kind]:
            message = f"`{key}` has no meaning with `{declared.kind}`"
            context.error(WRONG_FILL, message, ("explain", "fill", key), "delete it", on="key")


def _count_references(context: Context, asked: bool) -> None:
    size = context.fill["size"]
    if context.train is None:
        context.references = size
        return
    there = context.train.facts.rows
    if asked and size > there:
        message = f"{size} background rows are asked for, the training data has {there}"
        context.error(WRONG_FILL, message, ("explain", "fill", "size"), f"at most {there}")
    context.references = context.fill["size"] = min(size, there)
