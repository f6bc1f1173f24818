"""Friedman's H, the strength of interactions (Friedman & Popescu, 2008): https://doi.org/10.1214/07-AOAS148."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Matrix, Measure, Report
from pgx_compiler.evidence.results import Table as Figures
from pgx_compiler.methods.declaration import Cost, NamesTogether, Pair, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._effects_report import (
    Ranked,
    chosen,
    facts,
    ranking,
    ranking_chart,
    score_of,
)
from pgx_compiler.methods.perturbation._effects_resampling import interval, resampled
from pgx_compiler.methods.perturbation._named_together import at_most, positions, with_named
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats

TITLE = "Friedman's H"

_RESAMPLES = 200
"""Of the rows: each needs all partial dependences anew."""

_NOISE = 1e-12
"""A variance below this share of the score's, or of the mean square of the scores, is rounding in float32."""


class FriedmanHParams(Params):
    """Parameters of Friedman's H."""

    rows: Annotated[int, Field(ge=4, le=1000)] = 100
    """Most unseen rows. Each feature costs their square in model rows, and each pair does."""
    pair_features: Annotated[int, Field(ge=0, le=100)] = 8
    """Features whose pairs are looked into, those that interact most (28 pairs of 8); 0: no pairs."""
    always: Annotated[tuple[Pair, ...], NamesTogether({"interaction_{pair}": ("pair_features",)})] = ()
    """Pairs that are measured besides, by name: `[[age, purpose]]`. Those on which a gate stands are added by themselves."""


def cost(params: FriedmanHParams, shape: Shape) -> Cost:
    """Every row with every other row's value of each feature, and of each pair."""
    rows = min(params.rows, shape.unseen_rows)
    tables = shape.features + at_most(params.pair_features, shape.features, params.always)
    return Cost(forward=rows**2 * tables, bytes=8 * rows**2 * (shape.features * (1 + shape.outputs) + shape.outputs))


@global_explanation(
    paper="https://doi.org/10.1214/07-AOAS148",
    cost=cost,
    measures=("h_{feature}", "interaction_{pair}", "interaction_strength"),
    measures_from={"interaction_{pair}": {"pair_features": 2}},
    laws=("unread_feature",),
)
def friedman_h(table: Table, params: FriedmanHParams, rng: np.random.Generator) -> Report:
    """Compare the score with what the partial dependences of single features add up to; what is left over is interaction.

    Reading:
        `h` of a feature is the root of the share of the score's variance that is neither its own partial dependence
        nor that of all others together: 0, it interacts with none; near 1, only together with others does it matter.
        `interaction` of a pair, its H, is the root of the share of their joint partial dependence that is not the sum of both. The
        strength is the share of the score's variance that all single partial dependences together leave over: 0, the
        model is a sum of curves. `joint` in the table of pairs is the standard deviation of what a pair does together, in the
        score's unit: read it beside H, which is also large where hardly anything depends on either.

    Limits:
        Partial dependence joins values of different rows, so that where features hang together, part of the
        strength comes from rows that cannot occur, and H may exceed 1. The rows are few: intervals, by bootstrap over the
        rows, are wide, and a small H of a noisy model is biased upwards. Pairs are looked for among the features that
        interact most; others are measured where `always` names them. Where several outputs are reported, variances are summed over them.
    """
    named = positions(params.always, table.names)
    held = table.unseen.z[chosen(table.unseen, params.rows, rng)]
    singles = [_exchanged(table, held, [j]) for j in range(len(table))]
    weights = np.concatenate([np.full((1, len(held)), 1 / len(held)), *resampled(len(held), _RESAMPLES)])
    scores = np.einsum("iik->ik", singles[0])
    whole = _centred(np.repeat(scores[None], len(weights), 0), weights)
    total = _variance(whole, weights)
    if total[0] <= _NOISE * (scores**2).sum(axis=1).mean():
        total = np.zeros_like(total)
    own = [_dependence(single, weights) for single in singles]
    left = [
        _variance(whole - alone - _dependence(single.transpose(1, 0, 2), weights), weights)
        for single, alone in zip(singles, own, strict=True)
    ]
    overall = [_ranked(name, part, total, total[0]) for name, part in zip(table.names, left, strict=True)]
    strength = _ranked("", _variance(whole - np.sum(own, axis=0), weights), total, total[0], root=False)
    order = sorted(range(len(table)), key=lambda j: -(overall[j].value or 0.0))
    looked = with_named(order[: params.pair_features], 2, named)
    pairs = [_pair(table, held, one, other, own, weights, float(total[0])) for one, other in looked]
    return _report(table, overall, strength, pairs, len(held))


def _exchanged(table: Table, held: Floats, features: Sequence[int]) -> Floats:
    """The reported scores of row i with the given features as row k has them, ``(k, i, outputs)``."""
    n = len(held)
    moved = np.tile(held, (n, 1))
    moved[:, features] = np.repeat(held[:, features], n, axis=0)
    return np.asarray(table.score(moved)[:, table.focus].reshape(n, n, -1), np.float64)


def _dependence(exchanged: Floats, weights: Floats) -> Floats:
    """The centred partial dependence at each row k for each vector of row weights, ``(weights, k, outputs)``."""
    return _centred(np.einsum("bi,kio->bko", weights, exchanged, optimize=True), weights)


def _centred(values: Floats, weights: Floats) -> Floats:
    return np.asarray(values - np.einsum("bk,bko->bo", weights, values)[:, None], np.float64)


def _variance(values: Floats, weights: Floats) -> Floats:
    """Of centred values, summed over the outputs, ``(weights,)``."""
    return np.asarray(np.einsum("bk,bko->b", weights, values**2), np.float64)


def _ranked(name: str, part: Floats, of: Floats, spread: float, *, root: bool = True) -> Ranked:
    """The share of a variance, or its root, with its bootstrap interval; rounding counts as nothing."""
    if spread <= 0:
        return Ranked(name, None, reason="the score does not vary")
    if of[0] <= _NOISE * spread:
        return Ranked(name, 0.0, (0.0, 0.0))
    share = np.where(of > 0, part / np.where(of > 0, of, 1.0), 0.0)
    share[part <= _NOISE * spread] = 0.0
    told = np.sqrt(share) if root else share
    return Ranked(name, float(told[0]), interval(told[1:]))


@dataclass(frozen=True)
class _Pair:
    """What two features do together."""

    first: str
    second: str
    h: Ranked
    joint: float
    """Standard deviation in the score's unit."""


def _pair(
    table: Table, held: Floats, one: int, other: int, own: Sequence[Floats], weights: Floats, spread: float
) -> _Pair:
    both = _dependence(_exchanged(table, held, [one, other]), weights)
    part = _variance(both - own[one] - own[other], weights)
    names = table.names[one], table.names[other]
    h = _ranked(f"{names[0]} and {names[1]}", part, _variance(both, weights), spread)
    return _Pair(*names, h, 0.0 if part[0] <= _NOISE * spread else float(np.sqrt(part[0])))


def _report(table: Table, overall: list[Ranked], strength: Ranked, pairs: list[_Pair], n: int) -> Report:
    of = score_of(table)
    title = f"Friedman's H of each feature with all others ({of})"
    share = "Share of the score's variance that no single feature explains"
    measures = [
        Measure("interaction_strength", strength.value, share, n, "share", strength.interval, reason=strength.reason),
        *facts("h", "Friedman's H of {} with all others", overall, n),
        *facts("interaction", "Friedman's H of {}", [pair.h for pair in pairs], n),
    ]
    tables, charts = [ranking(title, overall)], [ranking_chart(title, "H", overall)]
    drawn: tuple[Matrix, ...] = ()
    if pairs:
        ranked = sorted(pairs, key=lambda pair: -pair.joint)
        rows = tuple((p.h.name, p.h.value, *(p.h.interval or (None, None)), p.joint) for p in ranked)
        columns = ("pair", "value", "low", "high", "joint")
        tables.append(Figures(f"Friedman's H of pairs, with what they do together ({of})", columns, rows))
        drawn = (_matrix(pairs, table.score_name),)
    return Report(
        tuple(measures),
        tables=tuple(tables),
        arrays={"h": np.array([_number(one.value) for one in overall]), "feature_names": np.array(table.names)},
        charts=(*charts, *drawn),
    )


def _matrix(pairs: Sequence[_Pair], unit: str) -> Matrix:
    names = tuple(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    joint = {frozenset((pair.first, pair.second)): pair.joint for pair in pairs}
    values = tuple(tuple(joint.get(frozenset((one, other))) for other in names) for one in names)
    title = "What pairs of features do together: standard deviation of the joint effect"
    return Matrix(title, names, names, values, "feature", "feature", unit)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
