"""What several targets of one step look like side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgx_compiler.report.part import Number, Part

GRIDS = ("grid", "windows", "blocks")
"""Layouts whose features have a place of their own, the same in every row."""

MOST_TARGETS = 20
"""Targets that are shown: those with the highest mean score; all of them are in the evidence."""

MOST_FEATURES = 15
"""Features that are listed, the most important over the shown targets first."""


class ByTarget(Part):
    """What each feature is to each of several targets, over all explained rows."""

    targets: list[str]
    features: list[str]
    """Of a picture, volume or series all, in the order of its layout; else the most important, the largest first."""
    mean_absolute: list[list[Number]]
    """For each target, one number for each feature."""
    mean_signed: list[list[Number]] = []
    """The same with its sign, for methods whose values have one; not of those."""
    mean_score: list[Number]
    """The model's mean score for each target."""
    targets_left_out: int = 0
    features_left_out: int = 0


def by_target(
    arrays: Mapping[str, Any], targets: Sequence[str], layout: Mapping[str, Any], *, signed: bool
) -> ByTarget | None:
    """Mean magnitude of each feature for each target; None where each row has features of its own."""
    if "values_all" not in arrays or "present" in arrays:
        return None
    names = [str(name) for name in arrays["feature_names"]]
    magnitude, score = np.abs(arrays["values_all"]).mean(axis=0), arrays["scores_all"].mean(axis=0)
    shown = np.sort(np.argsort(-score, kind="stable")[:MOST_TARGETS])
    listed, grid = np.arange(len(names)), layout.get("kind") in GRIDS
    if not grid:
        listed = np.argsort(-magnitude[:, shown].sum(axis=1), kind="stable")[:MOST_FEATURES]
    return ByTarget(
        targets=[targets[place] for place in shown],
        features=[names[place] for place in listed],
        mean_absolute=magnitude[np.ix_(listed, shown)].T.tolist(),
        mean_signed=arrays["values_all"].mean(axis=0)[np.ix_(listed, shown)].T.tolist() if signed and not grid else [],
        mean_score=score[shown].tolist(),
        targets_left_out=len(targets) - len(shown),
        features_left_out=len(names) - len(listed),
    )
