"""Functional decomposition (Hooker, 2004; Hiabu, Meyer & Wright, 2023): https://arxiv.org/abs/2208.06151."""

from collections.abc import Sequence
from itertools import combinations
from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Chart, Matrix, Measure, Report
from pgx_compiler.evidence.results import Table as Figures
from pgx_compiler.methods.declaration import Cost, NamesTogether, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._effects_curves import EffectCurve, chart_of, deciles
from pgx_compiler.methods.perturbation._effects_report import Ranked, chosen, facts, ranking_chart, score_of
from pgx_compiler.methods.perturbation._effects_resampling import resampled
from pgx_compiler.methods.perturbation._functional_components import Components, Members, sum_of
from pgx_compiler.methods.perturbation._named_together import Named, at_most, positions, with_named
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats

_RESAMPLES = 200
"""Of the rows: each needs all components anew."""

_GRID = 8
"""Values of each feature of a pair that is drawn; a picture of more is no easier to read (own choice)."""

_CURVES = 6
"""Features whose own component is drawn; all of them are in the table and the evidence."""

_LISTED = 20
"""Components with a line of their own in the table; the smaller ones are in the evidence."""

_TOGETHER = {1: "main", 2: "pair", 3: "triple"}

_PAIRS = {"order": 2, "pair_features": 2}
_TRIPLES = {"order": 3, "pair_features": 3, "triple_features": 3}
"""Parameters that these components need to be at least so much; see `_sets`."""


class FunctionalDecompositionParams(Params):
    """Parameters of the functional decomposition."""

    order: Annotated[int, Field(ge=1, le=3)] = 2
    """Most features of one component: 1, each alone; 2, pairs as well; 3, and three together."""
    rows: Annotated[int, Field(ge=4, le=500)] = 100
    """Most unseen rows. Each component costs their square in model rows, or less where they share values."""
    pair_features: Annotated[int, Field(ge=0, le=60)] = 8
    """Features whose pairs are looked into, those that do most together with others (28 pairs of 8)."""
    triple_features: Annotated[int, Field(ge=0, le=12)] = 5
    """The same for three features together (10 of 5), where ``order`` is 3; they are among those whose pairs are looked into."""
    always: Annotated[
        tuple[Annotated[tuple[str, ...], Field(min_length=2, max_length=3)], ...],
        NamesTogether({"pair_{pair}": ("pair_features",), "triple_{triple}": ("triple_features", "pair_features")}),
    ] = ()
    """Two or three features that are looked into besides, by name: `[[age, purpose], [age, housing, job]]`; of three, their pairs
    as well. Those on which a gate stands are added by themselves."""
    drawn: Annotated[int, Field(ge=0, le=20)] = 3
    """Pairs whose component is drawn as a map, the largest first; each costs up to 64 times the rows."""


def cost(params: FunctionalDecompositionParams, shape: Shape) -> Cost:
    """Every row with every other row's values of the features of each component; a grid for each pair drawn.

    It is the most: values that rows share are asked once.
    """
    rows = min(params.rows, shape.unseen_rows)
    pairs = at_most(params.pair_features if params.order > 1 else 0, shape.features, _with_parts(params.always))
    triples = at_most(_among_triples(params), shape.features, params.always, 3)
    sets, drawn = shape.features + pairs + triples, min(params.drawn, pairs)
    draws = (_RESAMPLES + 1) * rows * shape.outputs
    return Cost(
        forward=rows**2 * sets + drawn * _GRID**2 * rows,
        bytes=8 * (2 * rows**2 * (shape.features + shape.outputs) + draws * (shape.features + 2 * sets)),
    )


@global_explanation(
    paper="https://arxiv.org/abs/2208.06151",
    cost=cost,
    measures=(
        "share_of_main_effects",
        "share_of_pairs",
        "share_of_triples",
        "share_left",
        "main_{feature}",
        "total_{feature}",
        "pair_{pair}",
        "triple_{triple}",
    ),
    measures_from={
        "share_of_pairs": _PAIRS,
        "pair_{pair}": _PAIRS,
        "share_of_triples": _TRIPLES,
        "triple_{triple}": _TRIPLES,
    },
    laws=("unread_feature", "price_is_a_ceiling", "repeatable"),
)
def functional_decomposition(table: Table, params: FunctionalDecompositionParams, rng: np.random.Generator) -> Report:
    """Take the score apart into what each feature does alone, what pairs do beyond that, and what is left.

    The component of a feature is its partial dependence; that of a pair is their joint partial dependence less both of these,
    and so on. All components together, up to that of all features, give back the score of every row exactly.

    Reading:
        The share of a component is its variance over the score's. `main` is the share of what a feature does alone, `pair` and
        `triple` of what two and three do together and no part of them does; `total` is that of all components in
        which the feature takes part, of any order, taken together; `share_left` is what the score would lose if
        it were the sum of the components looked into. A model without interactions has main effects and nothing else, and
        then its curves say all there is to say. Where features are independent, all shares add up to 1. `credit` in the table is
        the covariance with the score over the score's variance: it always adds up to 1. `size` is a component's standard
        deviation in the score's unit. Curves and maps are centred: they say by how much a value, or a pair of values, raises the
        score above its mean.

    Limits:
        Partial dependence joins values of different rows. Where features hang together, components rest in part on rows that
        cannot occur, sizes may grow large against one another, and shares then add up to more than 1; `credit` may even be
        negative, where a component moves against the score. Where `share` and `credit` differ much, read accumulated
        local effects instead. Shares are of these rows; intervals, by bootstrap over them, are wide, and small shares of
        pairs are biased upwards. A cell of a map that no training row comes near is left open. Pairs are looked for among the
        features that interact most; others are looked into where `always` names them. Where several outputs are reported, variances are summed over them.
    """
    named = positions(_with_parts(params.always), table.names)
    held = table.unseen.z[chosen(table.unseen, params.rows, rng)]
    weights = np.concatenate([np.full((1, len(held)), 1 / len(held)), *resampled(len(held), _RESAMPLES)])
    found = Components(table, held, weights)
    sets = _sets(params, tuple(found.interacting()), named)
    parts = {members: found.component(members) for members in sets}
    rest = found.score - sum_of(parts, found.score)
    ranked = {members: _ranked(found, _name(table, members), part) for members, part in parts.items()}
    told = strongest(parts, found)
    return Report(
        tuple(_measures(table, found, parts, ranked, rest, len(held), params)),
        tables=(_figures(table, found, parts, ranked, rest, told),),
        arrays=_arrays(table, found, parts, sets),
        charts=(
            ranking_chart(f"Share of each component in the variance ({score_of(table)})", "share", list(ranked.values()), "component"),
            *_curves(table, found, told),
            *_maps(table, found, parts, [members for members in told if len(members) == 2][: params.drawn]),
        ),
    )  # fmt: skip


def _sets(params: FunctionalDecompositionParams, order: Members, named: Sequence[Members]) -> list[Members]:
    """The components to look into, given the features in the order of how much they interact."""
    alone: list[Members] = [(feature,) for feature in sorted(order)]
    pairs = with_named(order[: params.pair_features if params.order > 1 else 0], 2, named)
    return [*alone, *pairs, *with_named(order[: _among_triples(params)], 3, named)]


def _among_triples(params: FunctionalDecompositionParams) -> int:
    """Of how many features three together are looked into."""
    return min(params.triple_features, params.pair_features) if params.order > 2 else 0


def _with_parts(named: Named) -> Named:
    """What is named, and the pairs of three that are: their component is what they do beyond these."""
    pairs = [pair for one in named if len(one) == 3 for pair in combinations(one, 2)]
    return tuple(dict.fromkeys([*named, *pairs]))


def strongest(parts: dict[Members, Floats], found: Components) -> list[Members]:
    """Components that are not nothing, by their size."""
    sizes = {members: found.size(part) for members, part in parts.items()}
    return sorted((members for members in parts if sizes[members] > 0), key=lambda members: -sizes[members])


def _name(table: Table, members: Members) -> str:
    return " and ".join(table.names[feature] for feature in members)


def _ranked(found: Components, name: str, component: Floats) -> Ranked:
    told = found.share(component)
    return Ranked(name, None, reason="the score does not vary") if told is None else Ranked(name, *told)


def _measures(
    table: Table,
    found: Components,
    parts: dict[Members, Floats],
    named: dict[Members, Ranked],
    rest: Floats,
    n: int,
    params: FunctionalDecompositionParams,
) -> list[Measure]:
    of = f"share of the variance of the {score_of(table)}"

    def summed(name: str, words: str, component: Floats) -> Measure:
        one = _ranked(found, "", component)
        return Measure(name, one.value, f"{words}: {of}", n, "share", one.interval, reason=one.reason)

    words = {1: "Features alone", 2: "Pairs beyond their features", 3: "Three features beyond their pairs"}
    measures = []
    for size in sorted({len(members) for members in parts}):
        if any(getattr(params, name) < least for name, least in {2: _PAIRS, 3: _TRIPLES}.get(size, {}).items()):
            continue  # of those that are named alone there is nothing to sum up
        of_size = {members: part for members, part in parts.items() if len(members) == size}
        name = "share_of_main_effects" if size == 1 else f"share_of_{_TOGETHER[size]}s"
        measures.append(summed(name, words[size], sum_of(of_size, found.score)))
    measures.append(summed("share_left", "All other components", rest))
    for size, title in ((1, "{} alone"), (2, "{} together beyond each alone"), (3, "{} together beyond their pairs")):
        of_one_size = [one for members, one in named.items() if len(members) == size]
        measures += facts(_TOGETHER[size], f"{title}: {of}", of_one_size, n, "share")
    total = [_ranked(found, name, found.everything_of(feature)) for feature, name in enumerate(table.names)]
    return [*measures, *facts("total", f"All components that {{}} takes part in: {of}", total, n, "share")]


def _figures(
    table: Table,
    found: Components,
    parts: dict[Members, Floats],
    named: dict[Members, Ranked],
    rest: Floats,
    told: Sequence[Members],
) -> Figures:
    """One line for each of the largest components, one for the smaller ones together, and one for what is left."""

    def line(one: Ranked, component: Floats) -> tuple[str | float | None, ...]:
        return (one.name, one.value, *(one.interval or (None, None)), found.credit(component), found.size(component))

    lines = [line(named[members], parts[members]) for members in told[:_LISTED]]
    smaller = {members: parts[members] for members in told[_LISTED:]}
    if smaller:
        together = sum_of(smaller, found.score)
        lines.append(line(_ranked(found, f"{len(smaller)} smaller ones together", together), together))
    lines.append(line(_ranked(found, "all other components", rest), rest))
    title = f"Components of the score ({score_of(table)})"
    return Figures(title, ("component", "share", "low", "high", "credit", "size"), tuple(lines))


def _arrays(
    table: Table, found: Components, parts: dict[Members, Floats], sets: Sequence[Members]
) -> dict[str, Floats]:
    members = np.full((len(sets), 3), -1)
    for place, one in enumerate(sets):
        members[place, : len(one)] = one
    return {
        "members": members,
        "components": np.stack([parts[one][0] for one in sets]),
        "score": found.score[0],
        "feature_names": np.array(table.names),
    }


def _curves(table: Table, found: Components, told: Sequence[Members]) -> list[Chart]:
    charts = []
    for members in [one for one in told if len(one) == 1][:_CURVES]:
        feature, single = table.features[members[0]], found.dependences[members]
        known = np.isfinite(single.values[:, 0])
        marks = deciles(table.train.z[:, members[0]]) if feature.kind == "numeric" else ()
        heights, points = single.heights[:, known], single.values[known, 0]
        curve = EffectCurve(feature, points, heights[0], heights[1:], len(single.place), marks)
        charts.append(chart_of(table, curve, "component"))
    return charts


def _maps(table: Table, found: Components, parts: dict[Members, Floats], pairs: Sequence[Members]) -> list[Matrix]:
    maps = []
    for one, other in pairs:
        points = _points(found, table, one), _points(found, table, other)
        if not len(points[0]) or not len(points[1]):
            continue
        heights = found.on_grid(one, other, points)
        output = int((parts[one, other][0] ** 2).sum(axis=0).argmax())
        near = _is_near(table, one, points[0]).T.astype(float) @ _is_near(table, other, points[1]).astype(float) > 0
        values = tuple(
            tuple(float(v) if seen else None for v, seen in zip(line, held, strict=True))
            for line, held in zip(heights[..., output], near, strict=True)
        )
        first, second = table.features[one], table.features[other]
        unit = (
            f"{table.score_name} of {table.outputs[int(table.focus[output])]}"
            if len(table.focus) > 1
            else score_of(table)
        )
        title = f"{first.name} and {second.name} together beyond each alone ({unit})"
        rows, columns = (tuple(f.say(v) for v in own) for f, own in zip((first, second), points, strict=True))
        maps.append(Matrix(title, rows, columns, values, second.name, first.name, unit, _name(table, (one, other))))
    return maps  # fmt: skip


def _points(found: Components, table: Table, feature: int) -> Floats:
    """Values that the rows have: evenly spaced quantiles of a scale, the commonest of others."""
    single = found.dependences[feature,]
    own = single.values[single.place, 0]
    values, counts = np.unique(own[np.isfinite(own)], return_counts=True)
    if len(values) <= _GRID:
        return np.asarray(values, np.float64)
    if table.features[feature].is_scale:
        return np.unique(np.quantile(own[np.isfinite(own)], np.linspace(0.05, 0.95, _GRID), method="inverted_cdf"))
    return np.sort(values[np.argsort(-counts, kind="stable")[:_GRID]])


def _is_near(table: Table, feature: int, points: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """``(training rows, points)``: the point of each row that is nearest, or equal where values have no order."""
    own = table.train.z[:, feature]
    if not table.features[feature].is_scale:
        return np.asarray(own[:, None] == points, np.bool_)
    nearest = np.abs(np.nan_to_num(own)[:, None] - points).argmin(axis=1)
    return np.asarray((nearest[:, None] == np.arange(len(points))) & np.isfinite(own)[:, None], np.bool_)
