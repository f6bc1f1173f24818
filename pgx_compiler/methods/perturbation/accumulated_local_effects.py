"""Accumulated local effects (Apley & Zhu, 2020): https://doi.org/10.1111/rssb.12377."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Matrix, Measure, Report
from pgx_compiler.evidence.results import Table as Figures
from pgx_compiler.methods.declaration import Cost, NamesTogether, Pair, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._effects_ale import (
    Steps,
    accumulated,
    bins_of,
    edges_of,
    second_order,
    similarity_order,
)
from pgx_compiler.methods.perturbation._effects_curves import FLAT, EffectCurve, deciles, ranges, report_of
from pgx_compiler.methods.perturbation._effects_report import Ranked, chosen, facts, focus_names, ranking, score_of
from pgx_compiler.methods.perturbation._effects_resampling import resampled
from pgx_compiler.methods.perturbation._named_together import Members, at_most, positions, with_named
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats, Integers

_PAIR_BINS = 8
"""Bins a side of a second-order effect: with 1000 rows about 16 rows a cell (own choice)."""


class AccumulatedLocalEffectsParams(Params):
    """Parameters of accumulated local effects."""

    bins: Annotated[int, Field(ge=2, le=200)] = 20
    """Quantile bins of a numeric feature; fewer where a bin would hold under 4 rows (Alibi's least)."""
    rows: Annotated[int, Field(ge=8)] = 1000
    """Most unseen rows to ask about."""
    trim: Annotated[float, Field(ge=0, lt=0.5)] = 0.05
    """Share of the rows left out at either end of a numeric feature where range and direction are measured, as partial
    dependence does; the curve is drawn to the ends."""
    pairs: Annotated[int, Field(ge=0, le=30)] = 3
    """Second-order effects that are drawn, those that vary most among the pairs of the `pair_features`; 0: none."""
    pair_features: Annotated[int, Field(ge=2, le=30)] = 5
    """Numeric features whose pairs are looked into: those with the largest first-order range."""
    always: Annotated[tuple[Pair, ...], NamesTogether({"interaction_{pair}": ("pair_features",)})] = ()
    """Pairs of numeric features that are measured besides, by name: `[[age, duration]]`. Those on which a gate stands are added by
    themselves."""


def cost(params: AccumulatedLocalEffectsParams, shape: Shape) -> Cost:
    """Every row once as it is, twice for each feature and four times for each pair, at most."""
    rows = min(params.rows, shape.unseen_rows)
    pairs = at_most(params.pair_features if params.pairs else 0, shape.features, params.always)
    return Cost(
        forward=rows * (1 + 2 * shape.features + 4 * pairs), bytes=8 * rows * (2 * shape.features + 4 * shape.outputs)
    )


@global_explanation(
    paper="https://doi.org/10.1111/rssb.12377",
    cost=cost,
    measures=("range_{feature}", "monotone_{feature}", "interaction_{pair}"),
    measures_from={"interaction_{pair}": {"pairs": 1}},
    laws=("unread_feature",),
)
def accumulated_local_effects(table: Table, params: AccumulatedLocalEffectsParams, rng: np.random.Generator) -> Report:
    """Sum up how the score changes when a feature is moved a little in those rows that are nearby.

    Reading:
        A curve says by how much the score at a value of the feature differs from its average, in the score's unit,
        with all else as it is in rows that have about that value. The range is the distance between its highest and
        lowest point, without the trimmed ends. `monotone` is the net change over the total change: 1 where the curve only rises, -1 where it only
        falls. Bands are 95 % bootstrap intervals over the rows. `interaction` of a pair is the standard deviation,
        over the rows, of what both features do together beyond the sum of both curves; its picture shows where.

    Limits:
        Only the local steps are judged on rows that nearly occur; the ends of a curve far apart must not be compared as
        if one row could be moved all the way. The curve depends on the bins, most where rows are few. Values whose
        order means nothing are put in the order in which their rows resemble each other; then only the steps
        between neighbours are measured. Missing values are no point of the curve. Pairs are looked for among
        the numeric features with the largest ranges alone (and those that `always` names), and cells without rows show their neighbour's step.
    """
    named = positions(params.always, table.names)
    held = table.unseen.z[chosen(table.unseen, params.rows, rng)]
    base = table.score(held)[:, table.focus]
    curves = [_curve(table, held, base, position, params) for position in range(len(table))]
    spread = float(np.ptp(base, axis=0).max())
    report = report_of(table, curves, "accumulated local effect", spread)
    looked = with_named(_farthest(table, curves, spread)[: params.pair_features if params.pairs else 0], 2, named)
    return _with_pairs(table, held, looked, params, report, spread) if looked else report


def _curve(
    table: Table, held: Floats, base: Floats, position: int, params: AccumulatedLocalEffectsParams
) -> EffectCurve:
    feature = table.features[position]
    known = np.flatnonzero(np.isfinite(held[:, position]))
    values = held[known, position]
    if not len(known):
        nothing = np.zeros((0, base.shape[1]))
        return EffectCurve(feature, values, nothing, np.zeros((1, *nothing.shape)), 0)
    if feature.kind == "numeric":
        steps = _between_edges(table, held, known, position, edges_of(values, params.bins))
    else:
        order = np.unique(values)
        if not feature.is_scale:
            order = similarity_order(held, position, table.features, order)
        steps = _between_categories(table, held, base, known, position, order)
    whole = accumulated(steps, np.full((1, len(held)), 1 / len(held)))[0]
    numeric = feature.kind == "numeric"
    marks = deciles(values) if numeric else ()
    ends = _inner(steps.points, values, params.trim) if numeric else None
    draws = np.concatenate([accumulated(steps, weights) for weights in resampled(len(held))])
    return EffectCurve(feature, steps.points, whole, draws, len(known), marks, ends)


def _inner(edges: Floats, values: Floats, trim: float) -> tuple[int, int]:
    """The edges between the trimmed ends, and one to either side where an end lies between two; all where few would be."""
    low, high = np.quantile(values, [trim, 1 - trim], method="inverted_cdf")
    first = int(np.searchsorted(edges, low, side="right")) - 1
    last = int(np.searchsorted(edges, high, side="left"))
    return max(first, 0), last


def _between_edges(table: Table, held: Floats, known: Integers, position: int, edges: Floats) -> Steps:
    """Each row moved to the lower and to the upper edge of its bin."""
    values = held[known, position]
    mass = np.zeros((len(held), len(edges)))
    if len(edges) < 2:
        mass[known] = 1.0
        none = np.zeros(0, np.int64)
        return Steps(edges, none, none, np.zeros((0, len(table.focus))), mass)
    bins = bins_of(values, edges)
    ends = [_moved(held[known], position, edges[bins + side]) for side in (0, 1)]
    lower, upper = np.split(table.score(np.concatenate(ends))[:, table.focus], 2)
    mass[known, bins] = mass[known, bins + 1] = 0.5
    return Steps(edges, bins, known, upper - lower, mass)


def _between_categories(
    table: Table, held: Floats, base: Floats, known: Integers, position: int, order: Floats
) -> Steps:
    """Each row moved to the category before its own and to the one after it, where there are such."""
    place = {float(value): index for index, value in enumerate(order)}
    at = np.array([place[float(value)] for value in held[known, position]], np.int64)
    mass = np.zeros((len(held), len(order)))
    mass[known, at] = 1.0
    down, up = np.flatnonzero(at > 0), np.flatnonzero(at < len(order) - 1)
    moved = [_moved(held[known[down]], position, order[at[down] - 1]), _moved(held[known[up]], position, order[at[up] + 1])]  # fmt: skip
    scores = table.score(np.concatenate(moved))[:, table.focus]
    change = np.concatenate([base[known[down]] - scores[: len(down)], scores[len(down) :] - base[known[up]]])
    return Steps(order, np.concatenate([at[down] - 1, at[up]]), np.concatenate([known[down], known[up]]), change, mass)


def _moved(z: Floats, position: int, values: Floats) -> Floats:
    out = z.copy()
    out[:, position] = values
    return out


def _farthest(table: Table, curves: Sequence[EffectCurve], spread: float) -> list[int]:
    """The numeric features, those first whose curve ranges farthest."""
    reach = {j: ranges(curve, spread)[0].value or 0.0 for j, curve in enumerate(curves) if len(curve.points) > 1}
    return sorted((j for j in reach if table.features[j].kind == "numeric"), key=lambda j: -reach[j])


def _with_pairs(
    table: Table,
    held: Floats,
    looked: Sequence[Members],
    params: AccumulatedLocalEffectsParams,
    report: Report,
    spread: float,
) -> Report:
    """The report with the strongest of these second-order effects."""
    found = {members: _pair(table, held, members, spread) for members in looked}
    ranked = sorted((pair for pair in found.values() if pair is not None), key=lambda pair: -(pair[0].value or 0.0))
    told = [one for one, _ in ranked]
    left_open = [_unmeasured(table, members) for members, pair in found.items() if pair is None]
    measures: list[Measure] = facts(
        "interaction", "Standard deviation of what {} add together beyond each alone", [*told, *left_open], len(held),
        table.score_name,
    )  # fmt: skip
    title = f"Second-order accumulated local effects: standard deviation ({score_of(table)})"
    tables: tuple[Figures, ...] = (ranking(title, told, "pair"),) if told else ()
    drawn = tuple(picture for one, picture in ranked[: params.pairs] if one.value)
    return replace(
        report,
        measures=(*report.measures, *measures),
        tables=(*report.tables, *tables),
        charts=(*report.charts, *drawn),
    )


def _unmeasured(table: Table, members: Members) -> Ranked:
    """A pair without a second-order effect, and why it has none."""
    wordy = [table.names[j] for j in members if table.features[j].kind != "numeric"]
    reason = (
        f"a second-order effect is one of two numeric features, and {' and '.join(wordy)} {'are' if wordy[1:] else 'is'} not"
        if wordy
        else "one of the two has a single value in these rows"
    )
    return Ranked(_name(table, members), None, reason=reason)


def _name(table: Table, members: Members) -> str:
    return " and ".join(table.names[j] for j in members)


def _pair(table: Table, held: Floats, members: Members, spread: float) -> tuple[Ranked, Matrix] | None:
    """The output in which a pair interacts most, measured and drawn; None where a feature is no number or has one value only."""
    one, other = members
    if any(table.features[j].kind != "numeric" for j in members):
        return None
    known = held[np.isfinite(held[:, [one, other]]).all(axis=1)]
    if len(known) < 2:
        return None
    side = max(1, min(_PAIR_BINS, int(np.sqrt(len(known) / 2))))
    edges = [edges_of(known[:, j], side) for j in (one, other)]
    if min(map(len, edges)) < 2:
        return None
    bins = [bins_of(known[:, j], e) for j, e in zip((one, other), edges, strict=True)]
    corners = [
        _moved(_moved(known, one, edges[0][bins[0] + up]), other, edges[1][bins[1] + right])
        for up, right in ((1, 1), (0, 1), (1, 0), (0, 0))
    ]
    both, right, up, none = np.split(table.score(np.concatenate(corners))[:, table.focus], 4)
    sizes = (len(edges[0]) - 1, len(edges[1]) - 1)
    heights = []
    for change in (both - right - up + none).T:
        height, count = second_order(change, bins[0], bins[1], sizes)
        middle = (height[:-1, :-1] + height[1:, :-1] + height[:-1, 1:] + height[1:, 1:]) / 4
        heights.append((float(np.sqrt((middle**2 * count).sum() / count.sum())), height))
    output = max(range(len(heights)), key=lambda k: heights[k][0])
    strength, height = heights[output]
    strength = 0.0 if strength <= FLAT * spread else strength
    names = (table.features[one], table.features[other])
    title = f"Second-order accumulated local effect of {names[0].name} and {names[1].name}"
    title += f" ({focus_names(table)[output]})" if len(heights) > 1 else ""
    picture = Matrix(
        title,
        tuple(names[0].say(float(v)) for v in edges[0]),
        tuple(names[1].say(float(v)) for v in edges[1]),
        tuple(tuple(float(v) for v in row) for row in height),
        names[1].name,
        names[0].name,
        table.score_name,
        f"{names[0].name}, {names[1].name}",
    )
    return Ranked(_name(table, members), strength), picture
