"""Contrastive explanation by pertinent positives and negatives (Dhurandhar et al., 2018): https://arxiv.org/abs/1802.07623."""

from dataclasses import replace
from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import RowReport, Statement
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, local_explanation
from pgx_compiler.methods.perturbation._counterfactual_breeding import breed
from pgx_compiler.methods.perturbation._counterfactual_goal import OTHER, goal_of, staying
from pgx_compiler.methods.perturbation._counterfactual_polish import polished
from pgx_compiler.methods.perturbation._counterfactual_search import Search, Space, restore, space_of
from pgx_compiler.methods.perturbation._counterfactual_words import change_words, direction_words, joined, value_words
from pgx_compiler.modalities._table_metric import Scaling
from pgx_compiler.modalities.table import MOST_SAMPLED, Table, TableFeature, TableRow
from runtimes.capabilities import Floats


class ContrastiveExplanationParams(Params):
    """Parameters of contrastive explanation."""

    scaling: Scaling = "mad"
    """What counts as a change of 1 in a number: ``mad``, the median absolute deviation of the training data, or ``range``,
    its range. A category that changes counts 1."""
    max_calls: Annotated[int, Field(ge=50)] = 1000
    """Rows that the model may be asked for each explained row."""


def cost(params: ContrastiveExplanationParams, shape: Shape) -> Cost:
    """At most the budget of each row; and the training rows once, to know which are of which class."""
    forward = shape.rows * params.max_calls + min(shape.train_rows, MOST_SAMPLED)
    return Cost(forward=forward, bytes=params.max_calls * shape.features * 32 + MOST_SAMPLED**2 * 32)


@local_explanation(
    modalities={"tabular"},
    tasks={"classification"},
    paper="https://arxiv.org/abs/1802.07623",
    cost=cost,
    laws=("price_is_a_ceiling", "counterfactuals_hold", "repeatable"),
    quantities={
        "typical_agrees": Quantity("Rows of the class that a wholly typical row gets too", "share", "mean"),
        "present": Quantity("Features whose values keep the class with all else typical", "features"),
        "found": Quantity("Rows with an absence that keeps their class", "share", "mean"),
        "absent": Quantity("Features that would turn the decision if they left the typical", "features"),
        "distance": Quantity("How far they would have to leave it", "typical changes"),
    },
)  # fmt: skip
def contrastive_explanation(row: TableRow, params: ContrastiveExplanationParams, rng: np.random.Generator) -> RowReport:
    """Say what of a row is enough for its class, and what is absent from it that would change it.

    Typical is the median of a number and the commonest category. Pertinent positives: as many features as can be are set to
    the typical value while the class stays; those left are enough. Pertinent negatives: values may only move further away
    from the typical, so that something is added to the row and nothing taken off it; the smallest such addition that turns
    the decision is given.

    Reading:
        "Enough" names a set of this row's values with which even an otherwise typical row gets this class; it may be empty,
        where a typical row gets it anyhow. "If it left the typical further" names what is absent: the row has this class
        also because nothing of this is there. A class that is held by an absence alone falls with the first row that has what is absent.

    Limits:
        Both sets are minimal, not smallest: no single feature can be left out, yet another set may be smaller. A row of
        medians and commonest categories may occur nowhere. Being typical is a choice of what "no information" means;
        another choice gives other sets. Immutable features are never added to, though they may be among what is enough.
    """
    scores = row.table.score(row.z[None])[0]
    current = row.table.outputs[int(np.argmax(scores))]
    typical = _typical(row.table)
    stay = Search(row, staying(row, scores), params.max_calls // 2)
    kept, agrees = _present(stay, row, typical)
    goal = goal_of(row, scores, OTHER, 0.0)
    add = Search(row, goal, params.max_calls - 2 - (stay.calls - stay.left))
    space = _outwards(space_of(row, None, params.scaling, rounded=True), typical)
    added = None
    if len(space.changeable):
        add.kept = add.left // 2
        breed(add, space, len(row.z), rng)
        add.kept = 0
        added = polished(add, space, len(row.z), params.scaling, [], last=True)
    z = None if added is None or not goal.gap(row.table.score(added[0][None]))[0] <= 0 else added[0]
    held = np.full((1, len(row.z)), np.nan) if z is None else z[None]
    numbers = {
        "typical_agrees": float(agrees),
        "present": float("nan") if kept is None else float(len(kept)),
        "found": float(z is not None),
        "absent": float("nan") if z is None else float(space.changed(z).sum()),
        "distance": float("nan") if z is None else float(space.distance(z)),
    }
    return RowReport(
        numbers,
        (_enough(row, current, kept), _absent(row, current, goal.aim, space, z)),
        {"counterfactuals": held, "typical": typical},
    )


def _typical(table: Table) -> Floats:
    """The median of each number, as it occurs, and the commonest category."""
    found = np.full(len(table), np.nan)
    for j, (feature, (values, counts)) in enumerate(zip(table.features, table.held, strict=True)):
        if feature.is_scale and len(values):
            found[j] = values[np.searchsorted(np.cumsum(counts), (counts.sum() - 1) // 2, side="right")]
        elif len(values):
            found[j] = values[np.argmax(counts)]
    return np.where(np.isnan(found), table.train.z[0], found)


def _present(search: Search, row: TableRow, typical: Floats) -> tuple[list[int] | None, bool]:
    """The features whose values are enough, and whether a typical row gets the class anyhow; None: not known."""
    agrees = bool(search.gaps(typical[None])[0] <= 0)
    if agrees:
        return [], True
    every = tuple(np.zeros(0) for _ in row.z)
    space = Space(typical, row.table.features, every, row.table.metric(), np.zeros(len(row.z)))
    z, certain = restore(search, space, row.z)
    return (np.flatnonzero(space.changed(z)).tolist() if certain else None), False


def _outwards(space: Space, typical: Floats) -> Space:
    """The same, but values may only move away from the typical one."""
    features: list[TableFeature] = list(space.features)
    values = list(space.values)
    for j in space.changeable:
        own, feature = space.origin[j], features[j]
        if np.isnan(own) or (not feature.is_scale and own != typical[j]):
            values[j] = values[j][:0]
        elif feature.is_scale and own != typical[j]:
            up = own > typical[j]
            values[j] = values[j][values[j] > own] if up else values[j][values[j] < own]
            features[j] = (
                replace(feature, low=max(own, feature.low)) if up else replace(feature, high=min(own, feature.high))
            )
    return replace(space, features=tuple(features), values=tuple(values))


def _enough(row: TableRow, current: str, kept: list[int] | None) -> Statement:
    if kept is None:
        words = f"which values are enough for {current} was not settled within the budget"
        return Statement(words, words)
    if not kept:
        words = f"{current} needs nothing of this row: a wholly typical one is {current} too"
        return Statement(words, words)
    names = [row.table.names[j] for j in kept]
    features = [row.table.features[j] for j in kept]
    values = [
        f"{f.name} {value_words(f, row.z[j]) if f.kind != 'block' else 'as it is'}"
        for j, f in zip(kept, features, strict=True)
    ]
    tail = f"enough for {current}, were all else typical"
    return Statement(
        f"{joined(values)}: {tail}", f"{joined(names)}: {tail}", tuple(names), {"present": float(len(kept))}
    )


def _absent(row: TableRow, current: str, aim: str, space: Space, z: Floats | None) -> Statement:
    if z is None:
        words = f"no addition was found that would make it {aim} instead of {current}"
        return Statement(words, words)
    changed = np.flatnonzero(space.changed(z))
    head = f"{aim} instead of {current} if it left the typical further:"
    return Statement(
        f"{head} {joined([change_words(row, int(j), z) for j in changed])}",
        f"{head} {joined([direction_words(row, int(j), z) for j in changed])}",
        tuple(row.table.names[j] for j in changed),
        {"absent": float(len(changed)), "distance": float(space.distance(z))},
    )
