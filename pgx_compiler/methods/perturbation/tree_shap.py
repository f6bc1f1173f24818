"""Interventional TreeSHAP (Lundberg et al., 2020): https://doi.org/10.1038/s42256-019-0138-9."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import factorial

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Shape, attribution
from pgx_compiler.modalities.features import FIXED, Rows
from runtimes.capabilities import Floats, Integers, Tree, TreeEnsemble
from runtimes.target import ModelFacts

TRIPLES_AT_ONCE = 4_000_000
"""How many (row, reference, leaf) are looked at together: bounds the memory to about 100 MB."""

MOST_ON_A_PATH = 62
"""Features on one path are bits of one 64-bit word."""

ADDITIVE_SCORES = {
    "logistic": {"logit", "log_odds"},
    "sigmoid": {"logit", "log_odds"},
    "softmax": {"logit"},
    "exp": {"log_value"},
}
"""Final activation of an ensemble to the scores below it; any other is taken to add up as it is."""


class TreeShapParams(Params):
    """TreeSHAP has no parameters: nothing is sampled."""


@dataclass(frozen=True)
class Leaves:
    """The leaves of one tree, with the features that their paths ask about."""

    nodes: Integers
    """``(leaves,)``: the leaf's node."""
    players: Integers
    """``(leaves, longest path)``: the feature at each place of the path; `FIXED` where the path has fewer."""
    wanted: NDArray[np.uint64]
    """``(leaves,)``: one bit for each place in use."""
    places: tuple[tuple[tuple[int, int, bool], ...], ...]
    """For each leaf the tests on its path: place (-1: of a fixed column), node, and whether the path goes left."""


def cost(params: TreeShapParams, shape: Shape) -> Cost:
    """No model rows: the trees are walked here."""
    return Cost(bytes=TRIPLES_AT_ONCE * 24)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A tree ensemble, in the score in which its trees add up."""
    if facts.structure != "tree_ensemble" or "TreeEnsemble" not in facts.capabilities:
        return "the model is not a tree ensemble"
    additive = ADDITIVE_SCORES.get(facts.activation, {"value", "logit", "probability"})
    if score not in additive:
        better = " or ".join(sorted(additive & facts.scores)) or "another score"
        return f"the trees of this model do not add up in {score}; explain {better}"
    return None


@attribution(
    modalities={"tabular"},
    paper="https://doi.org/10.1038/s42256-019-0138-9",
    cost=cost,
    laws=("completeness", "null_feature", "symmetry", "linearity"),
    estimates="shapley_values",
    exact=True,
    admits=admits,
)
def tree_shap(model: TreeEnsemble, rows: Rows, params: TreeShapParams) -> FeatureValues:
    """Compute the Shapley values of a tree ensemble exactly, from the paths of its trees.

    Reading:
        In the score's own unit, in which the trees add up. The values of one row add up to its score minus the mean
        score of the references. A positive value has raised the score of the explained output, a negative one has
        lowered it. There is no sampling error; the references are the only thing that was chosen.

    Limits:
        The values describe the model, not the world: they are no causal effects. They depend on the references; and
        removed features are filled independently of those that are kept (the interventional kind of TreeSHAP), so
        that correlated features are judged on rows that may never occur. Values in log-odds are not shares of a
        probability; those of `log_value` are no amounts but factors: a value v multiplies the model's answer by exp(v).
    """
    values = np.zeros((len(rows), len(rows.features)))
    for part in parts_of(model, rows):
        values[part.rows] += share(part, len(rows.features))
    return FeatureValues(values / len(rows.references))


@dataclass(frozen=True)
class Part:
    """Some rows before the leaves of one tree, with their references."""

    rows: slice
    leaves: Leaves
    worth: Floats
    """``(rows, leaves)``: what a leaf adds to the explained output; 0 where the row's fixed columns keep it away."""
    known: NDArray[np.uint64]
    """``(rows, leaves)``: the places of the leaf's path whose tests the row passes."""
    others: NDArray[np.uint64]
    """``(references, leaves)``: the same of the references."""

    def met(self) -> "Met":
        """Every row, reference and leaf that some mixture of both reaches."""
        reachable = (self.known[:, None, :] | self.others[None]) == self.leaves.wanted
        row, reference, leaf = np.nonzero(reachable)
        of_row, of_reference = self.known[row, leaf], self.others[reference, leaf]
        return Met(row, leaf, of_row & ~of_reference, of_reference & ~of_row)


@dataclass(frozen=True)
class Met:
    """Triples of a row, a reference and a leaf that some mixture of both reaches.

    A coalition reaches the leaf when it has all features that only the row meets, and none that only the reference meets.
    """

    row: Integers
    leaf: Integers
    only_row: NDArray[np.uint64]
    only_reference: NDArray[np.uint64]


def parts_of(model: TreeEnsemble, rows: Rows) -> Iterator[Part]:
    """Walk through the trees with as many rows at once as memory allows."""
    columns = np.asarray(rows.inputs[model.input_name])
    columns = columns.reshape(len(rows), -1).astype(np.float64)
    owners = rows.features.owners[model.input_name].reshape(-1)
    references = rows.references.inputs[model.input_name]
    references = references.reshape(*references.shape[:2], -1).astype(np.float64)
    for tree in model.trees:
        leaves = leaves_of(tree, owners)
        known, reached = _places_met(tree, leaves, columns)
        worth = tree.values[leaves.nodes][:, rows.target].T * reached
        at_once = max(1, TRIPLES_AT_ONCE // (references.shape[1] * len(leaves.nodes)))
        if len(references) == 1:
            others, _ = _places_met(tree, leaves, references[0])
        else:
            at_once = 1  # each row has references of its own
        for start in range(0, len(rows), at_once):
            if len(references) > 1:
                others, _ = _places_met(tree, leaves, references[start])
            part = slice(start, start + at_once)
            yield Part(part, leaves, worth[part], known[part], others)


def leaves_of(tree: Tree, owners: Integers) -> Leaves:
    """List the leaves of a tree with the tests on the way to each."""
    nodes, players, places = [], [], []
    waiting: list[tuple[int, tuple[tuple[int, bool], ...]]] = [(0, ())]
    while waiting:
        node, path = waiting.pop()
        if tree.feature[node] >= 0:
            waiting.append((int(tree.left[node]), (*path, (node, True))))
            waiting.append((int(tree.right[node]), (*path, (node, False))))
            continue
        owner_of = [int(owners[tree.feature[test]]) for test, _ in path]
        distinct = [owner for owner in dict.fromkeys(owner_of) if owner != FIXED]
        if len(distinct) > MOST_ON_A_PATH:
            raise ValueError(f"a path of this tree asks about {len(distinct)} features, more than {MOST_ON_A_PATH}")
        nodes.append(node)
        players.append(distinct)
        places.append(
            tuple(
                (distinct.index(owner) if owner != FIXED else -1, test, left)
                for owner, (test, left) in zip(owner_of, path, strict=True)
            )
        )
    longest = max(map(len, players))
    table = np.array([row + [FIXED] * (longest - len(row)) for row in players], np.int64).reshape(len(nodes), longest)
    wanted = np.array([(1 << len(row)) - 1 for row in players], np.uint64)
    return Leaves(np.array(nodes, np.int64), table, wanted, tuple(places))


def _places_met(tree: Tree, leaves: Leaves, columns: Floats) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """For each row and leaf: the bits of the places whose tests it passes, and whether it passes the fixed ones."""
    read = columns[:, np.maximum(tree.feature, 0)]
    goes_left = np.where(np.isnan(read), tree.missing_left, read <= tree.threshold)
    met = np.broadcast_to(leaves.wanted, (len(columns), len(leaves.nodes))).copy()
    fixed = np.ones(met.shape, bool)
    for leaf, tests in enumerate(leaves.places):
        for place, node, left in tests:
            fails = goes_left[:, node] != left
            if place < 0:
                fixed[fails, leaf] = False
            else:
                met[fails, leaf] &= ~np.uint64(1 << place)
    return met, fixed


def share(part: Part, features: int) -> Floats:
    """Share each leaf's worth among the features that decide whether it is reached, summed over the references.

    Of a row and a reference, a coalition reaches the leaf when it has all a features that only the row meets, and none
    of the b that only the reference meets. In that game each of the former is worth (a-1)! b! / (a+b)!, each of
    the latter -a! (b-1)! / (a+b)!.
    """
    met = part.met()
    a, b = np.bitwise_count(met.only_row), np.bitwise_count(met.only_reference)
    gains, losses = _weights(part.leaves.players.shape[1])
    worth = part.worth[met.row, met.leaf]
    gain, loss = gains[a, b] * worth, losses[a, b] * worth
    shared = np.zeros(len(part.known) * features)
    for place in range(part.leaves.players.shape[1]):
        bit = np.uint64(1 << place)
        amount = np.where(met.only_row & bit, gain, np.where(met.only_reference & bit, loss, 0.0))
        used = amount != 0
        cell = met.row[used] * features + part.leaves.players[met.leaf[used], place]
        shared += np.bincount(cell, amount[used], len(shared))
    return shared.reshape(len(part.known), features)


def _weights(longest: int) -> tuple[Floats, Floats]:
    """Share of a feature that only the row meets, and of one that only the reference meets, by a and b."""
    gains, losses = np.zeros((longest + 1, longest + 1)), np.zeros((longest + 1, longest + 1))
    for a in range(longest + 1):
        for b in range(longest + 1 - a):
            if a:
                gains[a, b] = factorial(a - 1) * factorial(b) / factorial(a + b)
            if b:
                losses[a, b] = -factorial(a) * factorial(b - 1) / factorial(a + b)
    return gains, losses
