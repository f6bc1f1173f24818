"""Faithful Shapley interactions of tree ensembles (Tsai, Yeh & Ravikumar, 2023): https://www.jmlr.org/papers/v24/22-0202.html."""

from itertools import combinations
from math import factorial
from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Matrix, Measure, Report, Table
from pgx_compiler.evidence.summary import bootstrap_interval
from pgx_compiler.methods.declaration import Cost, NamesTogether, Pair, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._effects_report import Ranked, facts, ranking_chart, strongest_first
from pgx_compiler.methods.perturbation._named_together import positions, with_named
from pgx_compiler.methods.perturbation.tree_shap import TRIPLES_AT_ONCE, Part, parts_of, share
from pgx_compiler.methods.perturbation.tree_shap import admits as admits_trees
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, TreeEnsemble
from runtimes.target import ModelFacts

TITLE = "TreeSHAP interactions"

_DRAWN = 16
"""Features in the picture: those that interact most."""

_ROUNDING = 1e-12
"""An interaction below this share of the largest effect is what is left of sums of float64."""


class TreeShapInteractionsParams(Params):
    """Parameters of TreeSHAP interactions; nothing is sampled."""

    pair_features: Annotated[int, Field(ge=2, le=100)] = 8
    """Features whose pairs become facts, those that interact most (28 pairs of 8). All pairs stand in the evidence."""
    always: Annotated[tuple[Pair, ...], NamesTogether({"interaction_{pair}": ("pair_features",)})] = ()
    """Pairs that are facts besides, by name: `[[age, purpose]]`. Those on which a gate stands are added by themselves."""


def cost(params: TreeShapInteractionsParams, shape: Shape) -> Cost:
    """The trees are walked here; the rows and the references are asked once, to see that all adds up."""
    return Cost(forward=shape.rows + shape.references, bytes=TRIPLES_AT_ONCE * 24 + 8 * shape.rows * shape.features**2)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A tree ensemble, in the score in which its trees add up, of more than one feature."""
    return "one feature interacts with nothing" if shape.features < 2 else admits_trees(facts, shape, score)


@global_explanation(
    paper="https://www.jmlr.org/papers/v24/22-0202.html",
    cost=cost,
    laws=("repeatable", "price_is_a_ceiling"),
    admits=admits,
    measures=("interaction_share", "strongest", "completeness_gap", "interaction_{pair}"),
)
def tree_shap_interactions(model: TreeEnsemble, rows: Rows, params: TreeShapInteractionsParams) -> Report:
    """Find what pairs of features do together in each explained row, exactly, from the paths of a tree ensemble.

    It is what `shapley_interactions` finds when it asks all coalitions, for any number of features and without asking one. A
    feature's own effect and half of each of its interactions add up to its value by TreeSHAP.

    Reading:
        In the score's own unit. Each row has one number for each pair: how much more (or less) both features together raise
        its score than the sum of what each does alone, against the references. Reported is its mean size over the
        explained rows, and in the table its mean as well: where both are alike in size, the interaction has the same sign
        in all rows. The diagonal of the picture is what features do alone. The share says how much of all that features and
        pairs do is done by pairs. There is no sampling error; intervals are over the rows. The completeness gap is by how much
        all of a row's numbers together miss its score minus the mean score of the references, as the model answers.

    Limits:
        Interactions are those of the model in these rows, no causal ones, and depend on the references; correlated features
        are judged on rows that may never occur. Interactions of three and more features are shared out among pairs. Values in
        log-odds are not shares of a probability: a model of curves that is additive in one score is not in the other.
    """
    features = len(rows.features)
    together = np.zeros((len(rows), features, features))
    values = np.zeros((len(rows), features))
    for part in parts_of(model, rows):
        together[part.rows] += _shared_by_pairs(part, features)
        values[part.rows] += share(part, features)
    together, values = together / len(rows.references), values / len(rows.references)
    largest = max(float(np.abs(together).max()), float(np.abs(values).max()))
    together[np.abs(together) <= _ROUNDING * largest] = 0.0
    own = values - together.sum(axis=2) / 2
    return _report(rows, params, together, own, _gap(model, rows, values.sum(axis=1)))


def _gap(model: TreeEnsemble, rows: Rows, explained: Floats) -> Measure:
    """By how much the numbers of a row miss what the model answers, at most."""
    title = "Largest gap between what features and pairs add up to and the score less its mean over the references"
    if len(rows.references.inputs[model.input_name]) > 1:
        reason = "each row has references of its own, which would have to be asked"
        return Measure("completeness_gap", None, title, 0, "score", better="lower", reason=reason)
    scores = model.predict(rows.inputs)[np.arange(len(rows)), rows.target]
    base = model.predict(rows.references.of_row(0)).mean(axis=0)[rows.target]
    gap = float(np.abs(explained - (scores - base)).max())
    return Measure("completeness_gap", gap, title, len(rows), "score", better="lower")


def _shared_by_pairs(part: Part, features: int) -> Floats:
    """Each leaf's worth among the pairs that decide whether it is reached, summed over the references; symmetric.

    In the game of a leaf that a coalition reaches when it has all of a features and none of b (see `tree_shap`), the sum of theorem
    19 of Tsai et al. over coalitions T of the others, 6 (t+1)! (n-t-1)! / (n+1)! times what the pair adds to T, has one term: of two
    of the a features T is the rest of them, of two of the b all a features, of one of each the rest of the a.
    """
    met = part.met()
    a, b = np.bitwise_count(met.only_row), np.bitwise_count(met.only_reference)
    longest = part.leaves.players.shape[1]
    both_row, mixed, both_reference = _weights(longest)
    worth = part.worth[met.row, met.leaf]
    shared = np.zeros(len(part.known) * features * features)
    for one, other in combinations(range(longest), 2):
        first, second = np.uint64(1 << one), np.uint64(1 << other)
        of_row = np.where(met.only_row & first, 1, 0) + np.where(met.only_row & second, 1, 0)
        of_reference = np.where(met.only_reference & first, 1, 0) + np.where(met.only_reference & second, 1, 0)
        used = (of_row + of_reference == 2) & (worth != 0)
        x, y, k = a[used], b[used], of_row[used]
        weight = np.where(k == 2, both_row[x, y], np.where(k == 1, mixed[x, y], both_reference[x, y]))
        players = part.leaves.players[met.leaf[used]]
        cell = (met.row[used] * features + players[:, one]) * features + players[:, other]
        shared += np.bincount(cell, weight * worth[used], len(shared))
    square = shared.reshape(len(part.known), features, features)
    return np.asarray(square + square.transpose(0, 2, 1), np.float64)


def _weights(longest: int) -> tuple[Floats, Floats, Floats]:
    """What a pair gets of a leaf's worth by a and b: both met by the row alone, one of each, both by the reference alone."""
    both_row, mixed, both_reference = np.zeros((3, longest + 1, longest + 1))
    for a in range(longest + 1):
        for b in range(longest + 1 - a):
            whole = factorial(a + b + 1)
            if a > 1:
                both_row[a, b] = 6 * factorial(a - 1) * factorial(b + 1) / whole
            if a and b:
                mixed[a, b] = -6 * factorial(a) * factorial(b) / whole
            if b > 1:
                both_reference[a, b] = 6 * factorial(a + 1) * factorial(b - 1) / whole
    return both_row, mixed, both_reference


def _report(rows: Rows, params: TreeShapInteractionsParams, together: Floats, own: Floats, gap: Measure) -> Report:
    names, n = rows.features.names, len(rows)
    size = np.abs(together)
    order = np.argsort(-size.mean(axis=0).sum(axis=1), kind="stable")
    strongest = [int(feature) for feature in order[: params.pair_features]]
    pairs = [
        Ranked(f"{names[i]} and {names[j]}", float(size[:, i, j].mean()), bootstrap_interval(size[:, i, j], "mean"))
        for i, j in with_named(strongest, 2, positions(params.always, names))
    ]
    mean = {
        f"{names[i]} and {names[j]}": float(together[:, i, j].mean()) for i, j in combinations(range(len(names)), 2)
    }
    of_pairs, alone = size.sum(axis=(1, 2)) / 2, np.abs(own).sum(axis=1)
    whole = of_pairs + alone
    shares = (of_pairs / np.where(whole > 0, whole, 1.0))[whole > 0]
    most = size.max(axis=(1, 2))
    title = "Share of interactions in all that features and pairs do, median over rows"
    reason = None if len(shares) else "no feature moves the score of any row"
    measures = [
        Measure("interaction_share", float(np.median(shares)) if len(shares) else None, title, len(shares), "share",
                bootstrap_interval(shares) if len(shares) else None, reason=reason),
        Measure("strongest", float(np.median(most)), "Size of the strongest interaction, median over rows", n, "score",
                bootstrap_interval(most)),
        gap,
        *facts("interaction", "Mean size of the interaction of {} over the explained rows", pairs, n, "score"),
    ]  # fmt: skip
    lines = tuple((p.name, p.value, *(p.interval or (None, None)), mean[p.name]) for p in strongest_first(pairs))
    title = "Interactions of pairs over the explained rows (score)"
    picture = np.abs(own).mean(axis=0) * np.eye(len(names)) + size.mean(axis=0)
    shown = np.sort(order[:_DRAWN])
    words = tuple(names[feature] for feature in shown)
    values = tuple(tuple(float(v) for v in picture[feature, shown]) for feature in shown)
    drawn = "Mean size of what features do alone (diagonal) and of what pairs do together"
    if len(words) < len(names):
        drawn += f", of the {len(words)} features that interact most"
    return Report(
        tuple(measures),
        tables=(Table(title, ("pair", "size", "low", "high", "mean"), lines),),
        arrays={"interactions": together + own[:, :, None] * np.eye(len(names)), "feature_names": np.array(names)},
        charts=(
            ranking_chart(title, "mean size (score)", pairs, "pair"),
            Matrix(drawn, words, words, values, unit="score"),
        ),
    )
