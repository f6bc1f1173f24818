"""A changed row in words: with its values, and without any."""

from collections.abc import Mapping

import numpy as np

from pgx_compiler.evidence.results import Statement
from pgx_compiler.methods.perturbation._counterfactual_goal import Goal
from pgx_compiler.methods.perturbation._counterfactual_search import Space
from pgx_compiler.modalities.table import TableFeature, TableRow
from runtimes.capabilities import Floats


def joined(parts: list[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1]))) if parts else ""


def score_words(row: TableRow) -> str:
    """``log odds of bad``."""
    name = row.table.score_name.replace("_", " ")
    return name if len(row.table.outputs) == 1 else f"{name} of {row.table.outputs[row.target]}"


def changed_row(
    row: TableRow, goal: Goal, space: Space, z: Floats, scores: tuple[float, float], numbers: Mapping[str, float]
) -> Statement:
    """One counterfactual; ``scores`` of the row's target before and after."""
    changed = np.flatnonzero(space.changed(z))
    # the feature with the largest change first
    changed = changed[np.argsort(-space.metric.differences(z, space.origin)[changed], kind="stable")]
    told = [change_words(row, int(j), z) for j in changed]
    before, after = scores
    return Statement(
        f"{goal.words} with {joined(told)} ({score_words(row)} {before:.3g} → {after:.3g})",
        f"{row_free(row, goal)} with {joined([direction_words(row, int(j), z) for j in changed])}",
        tuple(row.table.names[j] for j in changed),
        numbers,
    )


def nothing_found(row: TableRow, goal: Goal, space: Space, asked: int) -> Statement:
    """That no counterfactual was found: no proof that there is none."""
    held = len(row.table) - len(space.changeable)
    others = f" ({held} of {len(row.table)} features are held)" if held else ""
    return Statement(
        f"not found: none of {asked} changed rows gives {goal.words}{others}",
        f"not found: none of {asked} changed rows gives {row_free(row, goal)}{others}",
    )


def row_free(row: TableRow, goal: Goal) -> str:
    """The goal without the row's own number."""
    return "the value wanted" if row.table.task == "regression" else goal.words


def change_words(row: TableRow, j: int, z: Floats) -> str:
    """``duration_months 48 → 24 months``."""
    feature = row.table.features[j]
    if feature.kind == "block":
        return f"{feature.name} as in other rows"
    before, after = (value_words(feature, value) for value in (row.z[j], z[j]))
    if feature.unit and np.isfinite(row.z[j]):
        before = before.removesuffix(f" {feature.unit}")
    return f"{feature.name} {before} → {after}"


def value_words(feature: TableFeature, value: float) -> str:
    """A value; a category in quotes, for many are whole phrases."""
    said = feature.say(value)
    return said if feature.kind == "numeric" or said == "missing" else f"“{said}”"


def direction_words(row: TableRow, j: int, z: Floats) -> str:
    """``a lower duration_months``: no value of the row."""
    feature = row.table.features[j]
    if feature.is_scale and np.isfinite(row.z[j]):
        return f"a {'higher' if z[j] > row.z[j] else 'lower'} {feature.name}"
    return f"another {feature.name}"
