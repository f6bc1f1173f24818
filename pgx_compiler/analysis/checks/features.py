"""What one interpretable feature is: groups of columns, or patches of an image; and the regions that have names."""

from typing import Any

import numpy as np

from pgx_compiler.analysis.checks.data import with_article
from pgx_compiler.analysis.context import Context
from pgx_compiler.diagnostics.diagnostic import Code
from pgx_compiler.diagnostics.nearest import nearest, quoted, shortened
from pgx_compiler.modalities import is_pictured, modalities
from pgx_compiler.modalities.features import FeatureMap, UnfitFeatures
from pgx_compiler.modalities.tabular import feature_map as table_features
from pgx_compiler.modalities.tabular import match_columns
from pgx_compiler.spec.model import FeatureChoice, FeatureSpec
from pgx_compiler.spec.source import Path_

UNKNOWN_FEATURE = Code(
    3021,
    "unknown-feature",
    "No column, group of columns or named region has this name. In an image the only features with names are the"
    " regions that `data.features` gives a `mask`.",
)
NO_COLUMNS = Code(
    3022,
    "pattern-without-columns",
    "A pattern of `columns` matches no column of the model's input. `*` stands for any text, `?` for one character.",
)
CLAIMED_TWICE = Code(
    4030,
    "claimed-twice",
    "A column belongs to one feature: two groups claim it, or a group has the name of a column outside it.",
)
NOT_THIS_MODALITY = Code(
    4031,
    "not-this-modality",
    "A `mask` is for images and volumes, `columns`, `categories`, `immutable`, `range` and `ordered` are for tables, and each modality"
    " has its own keys of `explain.features`.",
)
MASK_SIZE = Code(
    4032,
    "mask-size",
    "A mask must have the height and width of the images, or of a volume's slices, so that each of its pixels is one of theirs.",
)
UNFIT_FEATURES = Code(
    4033,
    "unfit-features",
    "What `explain.features` calls a feature does not fit the model's input: a patch cannot be larger than the image, nor"
    " can there be more windows than steps in time.",
)


def check_features(context: Context) -> None:
    """Build the feature map from names and shapes alone."""
    pictured = is_pictured(context.spec.data.modality)
    _check_modality(context, pictured)
    if context.columns is None or not context.inputs:
        return
    if pictured:
        _check_masks(context)
        _build(context)
    elif context.spec.data.modality != "tabular":
        _build(context)
    else:
        _build_groups(context)


def _check_modality(context: Context, pictured: bool) -> None:
    help_ = "delete it"
    modality = context.spec.data.modality
    for name, declared in context.spec.data.features.items():
        wrong: tuple[str, ...] = ("columns", "categories") if pictured else ("mask",)
        wrong += () if modality == "tabular" else ("immutable", "range", "ordered")
        for key in wrong:
            if getattr(declared, key):
                at: Path_ = ("data", "features", name, key)
                message = f"`{key}` does not apply to {modality} data"
                context.error(NOT_THIS_MODALITY, message, at, help_, on="key")
    explain = context.spec.explain
    choices: list[tuple[FeatureChoice | None, Path_]] = [(explain.features, ("explain", "features"))]
    choices += [(s.features, ("explain", "perturbation", n, "features")) for n, s in enumerate(explain.perturbation)]
    choices += [(s.features, ("explain", "gradient", n, "features")) for n, s in enumerate(explain.gradient)]
    for choice, where in choices:
        known = modalities()[modality].KEYS if modality in modalities() else frozenset()
        for key, value in choice.model_dump().items() if choice is not None else ():
            if value is not None and key not in known:
                message = f"`{key}` says nothing about the features of {modality} data"
                help_of_key = f"delete it; here it may be: {quoted(sorted(known))}" if known else help_
                if key == "together":
                    help_of_key = _TIED.get(modality, help_of_key)
                context.error(NOT_THIS_MODALITY, message, (*where, key), help_of_key, on="key")


_TIED = {
    "tabular": "in a table a group does it: `data.features: {NAME: {columns: [a, b]}}`",
    "text": "delete it: a mask of tokens changes with its tokens by itself",
}
"""What ties inputs together in a modality that has no key for it."""


def _check_masks(context: Context) -> None:
    modality = context.spec.data.modality
    height, width = context.inputs[0].shape[1:][: modalities()[modality].PLACES][-2:]
    for name, declared in context.spec.data.features.items():
        at: Path_ = ("data", "features", name)
        if declared.mask is None:
            message = f"{with_article(modality)} has no feature `{shortened(name)}` unless a mask says where it is"
            context.error(UNKNOWN_FEATURE, message, at, "add `mask: FILE.png`, or delete it", on="key")
        elif name in context.masks:
            mask = context.masks[name]
            if (mask.height, mask.width) != (height, width):
                message = f"the mask is {mask.height} × {mask.width} pixels, the {modality}s are {height} × {width}"
                context.error(MASK_SIZE, message, (*at, "mask"), f"draw it in the {modality}s' own size")


def _build(context: Context) -> None:
    found = features_of(context, context.choice, context.at_common("features"))
    if found is not None:
        context.described, context.features = found


def features_of(context: Context, choice: FeatureChoice, at: Path_) -> tuple[dict[str, Any], FeatureMap] | None:
    """What a feature is, settled, and the map; None where it does not fit the model's input, which has been said then."""
    modality = modalities()[context.spec.data.modality]
    shapes = {tensor.name: [int(size or 1) for size in tensor.shape[1:]] for tensor in context.inputs}
    given = {key: value for key, value in choice.model_dump(mode="json").items() if value is not None}
    try:
        own = {key: value for key, value in given.items() if key in modality.KEYS}
        settled = modality.settle({**context.tokens, **own}, shapes)
    except UnfitFeatures as error:
        where = (*at, error.key) if error.key in given else at
        context.error(UNFIT_FEATURES, str(error), where, error.help)
        return None
    described = {**settled, "columns": context.columns or (), "groups": context.groups}
    return settled, modality.feature_map(shapes, described)


def _build_groups(context: Context) -> None:
    columns = context.columns or ()
    good = True
    owner: dict[int, str] = {}
    for name, declared in context.spec.data.features.items():
        if declared.columns is None:
            good = _check_single(context, name) and good
            continue
        good = _claim(context, name, declared, owner) and good
    for name, declared in context.spec.data.features.items():
        if declared.columns is not None and name in columns and owner.get(columns.index(name)) != name:
            message = f"`{shortened(name)}` is a group, but also a column outside it"
            help_ = "give the group another name, or add the column to it"
            context.error(CLAIMED_TWICE, message, ("data", "features", name), help_, on="key")
            good = False
    if not good:
        return
    context.groups = {
        name: tuple(declared.columns) for name, declared in context.spec.data.features.items() if declared.columns
    }
    shapes = {tensor.name: [int(size or 1) for size in tensor.shape[1:]] for tensor in context.inputs}
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == len(columns)
    context.features = table_features(shapes, {"columns": columns, "groups": context.groups})


def _check_single(context: Context, name: str) -> bool:
    """A feature without `columns` is the column of that name."""
    known = [*(context.columns or ()), *context.beside]
    if name in known:
        return True
    near = nearest(name, known)
    label = f"did you mean `{near}`?" if near else ""
    message = f"no column is called `{shortened(name)}`"
    help_ = f"columns: {quoted(known, 20)}; a group of columns needs `columns: [...]`"
    context.error(UNKNOWN_FEATURE, message, ("data", "features", name), help_, label, on="key")
    return False


def _claim(context: Context, name: str, declared: FeatureSpec, owner: dict[int, str]) -> bool:
    columns = context.columns or ()
    good = True
    for index, pattern in enumerate(declared.columns or []):
        at: Path_ = ("data", "features", name, "columns", index)
        matched = match_columns([pattern], columns)
        if not matched:
            near = nearest(pattern.rstrip("*"), {column.split("=")[0] for column in columns})
            label = f"did you mean `{near}=*`?" if near and "=" in pattern else ""
            message = f"no column of the model's input matches `{shortened(pattern)}`"
            context.error(NO_COLUMNS, message, at, f"columns: {quoted(columns, 12)}", label)
            good = False
        for position in matched:
            other = owner.setdefault(position, name)
            if other != name:
                message = f"the column `{shortened(columns[position])}` already belongs to `{shortened(other)}`"
                context.error(CLAIMED_TWICE, message, at, "let one of the two go")
                good = False
                break
    return good
