"""What a removed feature is replaced by."""

from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import quoted
from pgx_compiler.modalities import modalities

WRONG_FILL = Code(
    4034,
    "wrong-fill",
    "Not every fill suits every modality, and each takes its own keys: `background`, `kmeans`, `conditional`, `noise`,"
    " `uniform` and `fourier` take `size`, `value` takes `value`, `blur` takes `sigma`, `mean`, `inpaint`, `maximum_distance`"
    " and `interpolation` take none."
    " A background has at most as many rows as the training data.",
)

_OF_ROWS = ("background", "kmeans", "conditional")
"""Fills that cannot have more references than there are training rows."""


def check_fill(context: Context) -> None:
    """Settle the fill with its defaults, and how many references there are."""
    modality = modalities().get(context.spec.data.modality)
    if modality is None:
        return
    declared = context.spec.explain.fill
    kind = declared.kind if declared else modality.DEFAULT_FILL
    if declared is None and kind == "mask" and context.tokens.get("mask_id") is None:
        kind = "delete"  # of texts whose vocabulary has no mask
    if kind not in modality.FILLS:
        message = f"`{kind}` cannot fill {context.spec.data.modality} data"
        context.error(WRONG_FILL, message, ("explain", "fill", "kind"), f"one of: {quoted(modality.FILLS)}")
        return
    defaults = modality.FILLS[kind]
    given = {} if declared is None else declared.model_dump(mode="json", exclude={"kind"}, exclude_none=True)
    for key in given:
        if key not in defaults:
            message = f"`{key}` has no meaning with `{kind}`"
            help_ = f"delete it; `{kind}` takes {quoted(defaults)}" if defaults else "delete it"
            context.error(WRONG_FILL, message, ("explain", "fill", key), help_, on="key")
    context.fill = {"kind": kind, **{key: given.get(key, default) for key, default in defaults.items()}}
    context.references = context.fill.get("size", 1)
    if kind in _OF_ROWS and context.train is not None:
        there = context.train.facts.rows
        if "size" in given and given["size"] > there:
            message = f"{given['size']} background rows are asked for, the training data has {there}"
            context.error(WRONG_FILL, message, ("explain", "fill", "size"), f"at most {there}")
        context.references = context.fill["size"] = min(context.fill["size"], there)
