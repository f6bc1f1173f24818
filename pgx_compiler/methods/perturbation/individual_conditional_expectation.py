"""Individual conditional expectation (Goldstein et al., 2015): https://arxiv.org/abs/1309.6392; ceteris paribus profiles."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Chart, Curve, RowReport, Statement
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, UnfitParams, local_explanation
from pgx_compiler.methods.perturbation._counterfactual_words import score_words, value_words
from pgx_compiler.modalities.table import TableFeature, TableRow
from runtimes.capabilities import Floats

TITLE = "Individual conditional expectation"


class IndividualConditionalExpectationParams(Params):
    """Parameters of individual conditional expectation."""

    grid: Annotated[int, Field(ge=2, le=200)] = 20
    """Values that each feature is given: quantiles of the training data, or categories that occur there, the commonest
    first where there are more."""
    only: list[str] | None = None
    """The features whose curves are made (default: all)."""
    top: Annotated[int, Field(ge=1)] = 3
    """Features with the largest ranges that are stated and drawn for each row."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """A curve counts as turning back where it moves against its direction by more than this share of its range."""


def cost(params: IndividualConditionalExpectationParams, shape: Shape) -> Cost:
    """Every feature at each value of its grid; and the row itself."""
    features = shape.features if params.only is None else min(shape.features, len(params.only))
    values = features * params.grid + 1
    return Cost(forward=shape.rows * values, bytes=values * (8 * shape.features + 8 * shape.outputs))


@dataclass(frozen=True)
class _Profile:
    """The curve of one feature."""

    position: int
    feature: TableFeature
    x: Floats
    y: Floats
    """Scores of the row's target at ``x``."""
    turns: bool
    """The predicted class is another one somewhere."""

    @property
    def range(self) -> float:
        return float(np.ptp(self.y)) if len(self.y) else 0.0


@local_explanation(
    modalities={"tabular"},
    paper="https://arxiv.org/abs/1309.6392",
    cost=cost,
    laws=("price_is_a_ceiling", "flat_where_unread", "repeatable"),
    quantities={
        "largest_range": Quantity("Largest range of a curve", "score"),
        "non_monotone": Quantity("Curves over a scale that turn back", "share", "mean", "lower"),
        "decisive": Quantity("Features that alone can turn the decision", "share", "mean", "lower"),
    },
)  # fmt: skip
def individual_conditional_expectation(row: TableRow, params: IndividualConditionalExpectationParams) -> RowReport:
    """Move one feature of the row over the values of the training data while all others stay as they are.

    Reading:
        Each curve answers: what would the model say of this row if only this feature were another? A curve that is
        high at one end and low at the other shows a strong effect for this row; a flat one shows none. ``largest_range``
        is the height of the row's largest curve, ``non_monotone`` the share of curves over numbers or ordered
        categories that turn back by more than the tolerance, among those that move at all; ``decisive`` is the share of
        features which alone can turn the decision, NaN for a regression.

    Limits:
        All else stays as it is: where features hang together, far parts of a curve stand on rows that never occur (a long
        loan with a tiny amount), and there the model was never taught. Two features that act only together may both
        have flat curves. What changes the model's answer need not change the world.
    """
    positions = _chosen(row, params)
    grids = [_grid(row, j, params.grid) for j in positions]
    z = np.repeat(row.z[None], 1 + sum(map(len, grids)), axis=0)
    start = 1
    for j, grid in zip(positions, grids, strict=True):
        z[start : start + len(grid), j] = grid
        start += len(grid)
    scores = row.table.score(z)
    own, predicted = float(scores[0, row.target]), int(np.argmax(scores[0]))
    profiles, start = [], 1
    for j, grid in zip(positions, grids, strict=True):
        part = scores[start : start + len(grid)]
        turns = bool((part.argmax(axis=1) != predicted).any()) if len(part) else False
        profiles.append(_Profile(j, row.table.features[j], grid, part[:, row.target], turns))
        start += len(grid)
    ranked = sorted(profiles, key=lambda one: -one.range)
    told = [profile for profile in ranked if profile.range > 0][: params.top]
    return RowReport(
        _numbers(row, ranked, params.tolerance),
        tuple(_said(row, profile, own) for profile in told),
        _arrays(profiles, params.grid),
        tuple(_drawn(row, profile) for profile in told),
    )


def _chosen(row: TableRow, params: IndividualConditionalExpectationParams) -> list[int]:
    names = row.table.names
    unknown = sorted(set(params.only or ()) - set(names))
    if unknown:
        raise UnfitParams(f"`only` names `{unknown[0]}`, and the features are {', '.join(names)}")
    return [j for j, name in enumerate(names) if params.only is None or name in params.only]


def _grid(row: TableRow, j: int, size: int) -> Floats:
    """Values of the training data, sorted: quantiles of a number, all categories or the commonest."""
    values, counts = row.table.held[j]
    if len(values) <= size:
        return values
    if row.table.features[j].is_scale:
        # only values that occur, so that whole numbers stay whole
        places = np.round(np.linspace(0, 1, size) * (counts.sum() - 1))
        return np.unique(values[np.searchsorted(np.cumsum(counts), places, side="right")])
    return np.sort(values[np.argsort(-counts, kind="stable")[:size]])


def _numbers(row: TableRow, ranked: list[_Profile], tolerance: float) -> dict[str, float]:
    moving = [one for one in ranked if one.feature.is_scale and one.range > 0 and len(one.y) > 2]
    decisive = float(np.mean([one.turns for one in ranked])) if row.table.task == "classification" else float("nan")
    return {
        "largest_range": ranked[0].range if ranked else float("nan"),
        "non_monotone": float(np.mean([turns_back(one.y, tolerance) for one in moving])) if moving else float("nan"),
        "decisive": decisive,
    }


def turns_back(y: Floats, tolerance: float) -> bool:
    """Whether a curve both rises and falls by more than a share of its range."""
    rise = float((y - np.minimum.accumulate(y)).max())
    fall = float((np.maximum.accumulate(y) - y).max())
    return min(rise, fall) > tolerance * float(np.ptp(y))


def _said(row: TableRow, profile: _Profile, own: float) -> Statement:
    feature, low, high = profile.feature, int(np.argmin(profile.y)), int(np.argmax(profile.y))
    score = score_words(row)
    turns = ", enough to turn the decision" if profile.turns and row.table.task == "classification" else ""
    if feature.kind == "block":
        ends = f"from {profile.y[low]:.3g} to {profile.y[high]:.3g}"
    else:
        ends = f"from {_end(row, profile, low)} to {_end(row, profile, high)}"
        if row.z[profile.position] not in profile.x[[low, high]]:
            ends += f"; it is {own:.3g} at {value_words(feature, row.z[profile.position])}"
    return Statement(
        f"{feature.name} alone moves the {score} {ends}{turns}",
        f"{feature.name} alone moves the {score} over a range of {profile.range:.3g}{turns}",
        (feature.name,),
        {"range": profile.range, "decisive": float(profile.turns)},
    )


def _end(row: TableRow, profile: _Profile, at: int) -> str:
    """One end of a curve; that it is where the row stands, where it is."""
    here = "as it is, " if profile.x[at] == row.z[profile.position] else ""
    return f"{profile.y[at]:.3g} ({here}{value_words(profile.feature, profile.x[at])})"


def _drawn(row: TableRow, profile: _Profile) -> Chart:
    feature = profile.feature
    is_line = feature.kind == "numeric"
    x = tuple(map(float, profile.x)) if is_line else tuple(feature.say(value) for value in profile.x)
    train = row.table.train.z[:, profile.position]
    deciles = np.quantile(train[np.isfinite(train)], np.arange(1, 10) / 10) if is_line else np.zeros(0)
    unit = f" ({feature.unit})" if feature.unit else ""
    return Chart(
        "lines" if is_line else "bars",
        f"If only {feature.name} were another; it is {feature.say(row.z[profile.position])}",
        f"{feature.name}{unit}",
        score_words(row),
        (Curve("this row", x, tuple(map(float, profile.y))),),
        subject=feature.name,
        marks=tuple(map(float, np.unique(deciles))),
        shows_rows=True,
    )


def _arrays(profiles: list[_Profile], size: int) -> dict[str, Floats]:
    """Values and scores of every curve, ``(features, grid)``, NaN where a grid is shorter."""
    values, scores = np.full((2, len(profiles), size), np.nan)
    for index, one in enumerate(profiles):
        values[index, : len(one.x)], scores[index, : len(one.y)] = one.x, one.y
    return {"curve_values": values, "curve_scores": scores}
