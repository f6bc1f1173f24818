"""A table as surrogates learn from it: scales as they are, one indicator column for each category."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pgx_compiler.modalities.table import TableFeature
from runtimes.capabilities import Floats


@dataclass(frozen=True)
class Columns:
    """The columns that a surrogate sees.

    Missing values of scales stay NaN, which trees send to one side; a missing category sets no indicator.
    """

    features: tuple[TableFeature, ...]
    feature: tuple[int, ...]
    """Of each column, the feature that it belongs to."""
    category: tuple[int | None, ...]
    """Of each column, the category that it indicates; None for scales."""

    def matrix(self, z: Floats) -> Floats:
        """Decoded rows ``(rows, features)`` as ``(rows, columns)``."""
        pairs = zip(self.feature, self.category, strict=True)
        parts = [z[:, j] if c is None else (z[:, j] == c).astype(np.float64) for j, c in pairs]
        return np.stack(parts, axis=1)

    def sentence(self, conditions: Sequence[tuple[int, float, bool]]) -> str:
        """Conditions in words, those of one scale drawn together: ``6 < duration ≤ 24 and purpose is car``."""
        bounds: dict[int, list[float]] = {}
        said: list[tuple[int, str]] = []
        order: list[int] = []
        for column, threshold, below in conditions:
            j, category = self.feature[column], self.category[column]
            if category is None:
                low_high = bounds.setdefault(j, [-np.inf, np.inf])
                order += [j] if j not in order else []
                low_high[1 if below else 0] = (min if below else max)(low_high[1 if below else 0], threshold)
            else:
                feature = self.features[j]
                said.append((column, f"{feature.name} is {'not ' if below else ''}{feature.say(float(category))}"))
        words = [self._between(self.features[j], *bounds[j]) for j in order]
        return " and ".join([*words, *dict(sorted(dict(said).items())).values()])

    @staticmethod
    def _between(feature: TableFeature, low: float, high: float) -> str:
        if feature.kind == "ordered":
            return _of_order(feature, low, high)
        if feature.whole:
            low, high = np.floor(low) if np.isfinite(low) else low, np.floor(high) if np.isfinite(high) else high
        if np.isinf(low):
            return f"{feature.name} ≤ {feature.say(high)}"
        if np.isinf(high):
            return f"{feature.name} > {feature.say(low)}"
        return f"{low:.6g} < {feature.name} ≤ {feature.say(high)}"


def _of_order(feature: TableFeature, low: float, high: float) -> str:
    first = 0 if np.isinf(low) else int(np.floor(low)) + 1
    last = len(feature.categories) - 1 if np.isinf(high) else int(np.floor(high))
    names = [feature.say(float(place)) for place in range(first, last + 1)]
    return f"{feature.name} is {' or '.join(names)}"


def columns_of(features: Sequence[TableFeature]) -> Columns:
    """One column for a scale, one for each category; blocks of several numbers are left out, having no order."""
    feature: list[int] = []
    category: list[int | None] = []
    for j, one in enumerate(features):
        if one.is_scale:
            feature.append(j)
            category.append(None)
        elif one.kind == "categorical":
            feature += [j] * len(one.categories)
            category += list(range(len(one.categories)))
    return Columns(tuple(features), tuple(feature), tuple(category))
