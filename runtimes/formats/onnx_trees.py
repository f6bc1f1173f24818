"""Tree ensembles in ONNX files as arrays, and the views in which they add up exactly.

ONNX Runtime's own rules, found by asking it: a classifier with two labels, all weights on class 0 and at most one
base value is *one column* s; it answers ``[sigmoid(-s), sigmoid(s)]`` for LOGISTIC, and for NONE ``[1 - s, s]``
where no weight is negative, else ``[-s, s]``. Base values of other two-label classifiers are not added as the
specification says, so those are not offered as trees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.capabilities import Floats, Integers, Tree
from runtimes.formats.onnx_file import FLOATS, Tail, attributes, tensor_facts
from runtimes.formats.onnx_tree_tests import MODES, Test, built, trees_of_version_5

_SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Ensemble:
    """One tree node of a graph: raw score = base + sum of leaves, before the post transform."""

    kind: str
    """``classifier``, ``regressor``, or ``either``: the operator of ai.onnx.ml 5, which does not say."""
    post: str
    """``NONE``, ``LOGISTIC``, ``SOFTMAX``, ``SOFTMAX_ZERO`` or ``PROBIT``."""
    columns: int
    """Raw columns."""
    outputs: int
    """Columns of a view: two for a classifier of one column."""
    trees: tuple[Tree, ...]
    """Empty where the trees do not add up, or use a test other than an order of numbers."""
    base: Floats
    input_name: str
    """Empty where something stands between the graph's input and the trees."""
    leaves: int
    nodes: int
    link: str = ""
    """``exp`` where an Exp follows the trees, which then add up to the logarithm of the value."""

    @property
    def is_positive(self) -> bool:
        """True where the file shows that every value is above 0: an Exp, or leaves that cannot add up to less."""
        if self.link or self.post != "NONE" or not self.trees:
            return bool(self.link)
        least = sum((tree.values[tree.feature == -1].min(axis=0) for tree in self.trees), self.base)
        return bool((least > 0).all())

    @property
    def holds_probabilities(self) -> bool:
        """True where the raw scores are already probabilities: averages of the leaves' class shares."""
        if self.kind == "regressor" or self.post != "NONE" or not self.trees:
            return False
        low, high = self.base.copy(), self.base.copy()
        total = np.array([self.base.sum(), self.base.sum()])
        for tree in self.trees:
            leaves = tree.values[tree.feature == -1]
            if leaves.min() < 0:
                return False
            low, high = low + leaves.min(axis=0), high + leaves.max(axis=0)
            sums = leaves.sum(axis=1)
            total = total + np.array([sums.min(), sums.max()])
        if self.columns == 1:
            return bool(high.max() <= 1 + _SUM_TOLERANCE)
        return bool(np.abs(total - 1).max() <= _SUM_TOLERANCE)

    @property
    def scores(self) -> frozenset[str]:
        """The scores that the file can give."""
        logs = {"log_value"} if self.kind != "classifier" and self.is_positive else set()
        if self.kind == "regressor" or self.link:
            return frozenset({"value", *logs})
        if self.kind == "either":
            return frozenset({"value", "probability", "log_odds", *logs})
        if self.post == "NONE" and self.trees and not self.holds_probabilities:
            return frozenset({"logit"})
        if self.post in ("LOGISTIC", "SOFTMAX") and (self.trees or self.columns > 2):
            return frozenset({"logit", "probability", "log_odds"})
        return frozenset({"probability", "log_odds"})

    @property
    def additive_scores(self) -> frozenset[str]:
        """The scores in which the trees add up exactly."""
        if not self.trees or not self.input_name:
            return frozenset()
        if self.link:
            return frozenset({"log_value"}) if self.post == "NONE" else frozenset()
        if self.kind == "regressor":
            return frozenset({"value"}) if self.post == "NONE" else frozenset()
        if self.kind == "either":
            return frozenset({"value", "probability"} if self.columns > 1 and self.holds_probabilities else {"value"})
        if self.post == "NONE":
            return frozenset({"probability"}) if self.holds_probabilities else frozenset({"logit"})
        return {"LOGISTIC": frozenset({"logit", "log_odds"}), "SOFTMAX": frozenset({"logit"})}.get(
            self.post, frozenset()
        )

    def view(self, score: str) -> tuple[tuple[Tree, ...], Floats]:
        """The trees and base of one additive score, with a view's columns."""
        if self.columns != 1 or self.kind != "classifier":
            return self.trees, self.base
        trees = tuple(
            Tree(
                tree.feature,
                tree.threshold,
                tree.left,
                tree.right,
                tree.missing_left,
                np.concatenate([-tree.values, tree.values], axis=1),
            )
            for tree in self.trees
        )
        first = 1.0 - self.base if score == "probability" else -self.base
        return trees, np.concatenate([first, self.base])


def read_ensemble(model: Any, tail: Tail) -> Ensemble:
    """Read the tree node that makes a graph's scores."""
    values = attributes(tail.node)
    classifier = tail.node.op_type == "TreeEnsembleClassifier"
    kind = "classifier" if classifier else "regressor"
    if tail.node.op_type == "TreeEnsemble":
        return _of_version_5(model, tail.node, values)
    post = values.get("post_transform", "NONE")
    prefix = "class" if classifier else "target"
    ids = np.asarray(values.get(f"{prefix}_ids", ()), np.int64)
    labels = values.get("classlabels_int64s") or values.get("classlabels_strings") or []
    outputs = len(labels) if classifier else int(values.get("n_targets", 1))
    single = classifier and outputs == 2 and len(ids) > 0 and not ids.any()
    columns = 1 if single else outputs
    base = _numbers(values, "base_values")
    trees = _trees(values, prefix, columns, ids)
    if not _base_is_added(classifier, single, outputs, ids, base) or (single and post not in ("NONE", "LOGISTIC")):
        trees = ()
    if not classifier and values.get("aggregate_function", "SUM") not in ("SUM", "AVERAGE"):
        trees = ()
    if not classifier and values.get("aggregate_function", "SUM") == "AVERAGE":
        trees = tuple(_scaled(tree, 1.0 / len(trees)) for tree in trees)
    nodes = len(values.get("nodes_modes", ()))
    return Ensemble(
        kind=kind,
        post=post,
        columns=columns,
        outputs=2 if single else outputs,
        trees=trees,
        base=np.resize(base, columns) if len(base) else np.zeros(columns),
        input_name=_input_of(model, tail.node),
        leaves=len(ids),
        nodes=nodes,
    )


_POSTS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
"""By their numbers in ai.onnx.ml 5."""


def _of_version_5(model: Any, node: Any, values: dict[str, Any]) -> Ensemble:
    """One operator for classes and numbers, which does not say which it is: only the number itself is read as trees."""
    trees = trees_of_version_5(values)
    aggregate = _AGGREGATES[values.get("aggregate_function", 1)]
    if aggregate not in ("SUM", "AVERAGE") or _POSTS[values.get("post_transform", 0)] != "NONE" or not trees:
        return Ensemble("regressor", "OTHER", 1, 1, (), np.zeros(1), "", 0, 0)
    if aggregate == "AVERAGE":
        trees = tuple(_scaled(tree, 1.0 / len(trees)) for tree in trees)
    targets = int(values.get("n_targets", 1))
    leaves, nodes = len(values["leaf_targetids"]), len(values["nodes_featureids"])
    return Ensemble("either", "NONE", targets, targets, trees, np.zeros(targets), _input_of(model, node), leaves, nodes)


def _base_is_added(classifier: bool, single: bool, outputs: int, ids: Integers, base: Floats) -> bool:
    """True where ONNX Runtime adds the base values as the specification says."""
    if not classifier:
        return len(base) in (0, outputs)
    if outputs < 2:
        return False
    if single:
        return len(base) <= 1
    if outputs == 2:
        return len(base) == 0 and len(set(ids.tolist())) == 2
    return len(base) in (0, outputs)


def _numbers(values: dict[str, Any], name: str) -> Floats:
    """A float attribute, or its double twin ``<name>_as_tensor``."""
    found = values.get(f"{name}_as_tensor")
    if found is None:
        found = np.asarray(values.get(name, ()), np.float32)
    return np.asarray(found, np.float64).reshape(-1)


def _trees(values: dict[str, Any], prefix: str, columns: int, ids: Integers) -> tuple[Tree, ...]:
    tree_ids = np.asarray(values.get("nodes_treeids", ()), np.int64)
    node_ids = np.asarray(values.get("nodes_nodeids", ()), np.int64)
    modes = np.asarray(values.get("nodes_modes", ()), np.str_)
    weights = _numbers(values, f"{prefix}_weights")
    if not set(modes.tolist()) <= {*MODES[:6], "LEAF"}:
        return ()
    if len(ids) and (ids.min() < 0 or ids.max() >= columns):
        return ()
    weight_trees = np.asarray(values.get(f"{prefix}_treeids", ()), np.int64)
    weight_nodes = np.asarray(values.get(f"{prefix}_nodeids", ()), np.int64)
    missing = np.asarray(values.get("nodes_missing_value_tracks_true") or np.zeros(len(modes)), bool)
    features = np.asarray(values.get("nodes_featureids", ()), np.int64)
    thresholds = _numbers(values, "nodes_values")
    true, false = (np.asarray(values.get(f"nodes_{side}nodeids", ()), np.int64) for side in ("true", "false"))
    # `x >= t` is `not x <= (the float below t)`, and `x < t` is `x <= (the float below t)`.
    held = thresholds.astype(np.float64 if "nodes_values_as_tensor" in values else np.float32)
    below = np.nextafter(held, held.dtype.type(-np.inf))
    equalities = np.isin(modes, MODES[4:6])
    thresholds = np.where((modes == "BRANCH_LT") | (modes == "BRANCH_GTE"), below, thresholds).astype(np.float64)
    thresholds[equalities] = held[equalities]
    nodes = (tree_ids, node_ids, modes, features, thresholds, true, false, missing)
    if (
        len({len(part) for part in nodes}) > 1
        or len({len(part) for part in (weight_trees, weight_nodes, ids, weights)}) > 1
    ):
        return ()
    places, weight_places = _by_tree(tree_ids), _by_tree(weight_trees)
    found: list[Tree] = []
    for tree_id, own in places.items():
        mine = weight_places.get(tree_id, np.zeros(0, np.int64))
        parts = (node_ids[own], modes[own], features[own], thresholds[own], true[own], false[own], missing[own])
        of_leaves = (weight_nodes[mine], ids[mine], weights[mine])
        tree = _tree(parts, of_leaves, columns)
        if tree is not None and equalities[own].any():
            tree = _with_equalities(parts, below[own], of_leaves, columns)
        if tree is None:
            return ()
        found.append(tree)
    return tuple(found)


def _by_tree(tree_ids: Integers) -> dict[int, Integers]:
    """The positions of each tree's entries, in file order; one sort, however many trees there are."""
    order = np.argsort(tree_ids, kind="stable")
    starts = np.flatnonzero(np.diff(tree_ids[order], prepend=tree_ids[order][:1] - 1))
    parts = np.split(order, starts[1:])
    found = {int(tree_ids[part[0]]): part for part in parts if len(part)}
    return dict(sorted(found.items(), key=lambda item: int(item[1][0])))


def _tree(nodes: Sequence[Any], weights: Sequence[Any], columns: int) -> Tree | None:
    """One tree with its root first, or None where the nodes do not form one tree."""
    node_ids, modes, features, thresholds, true, false, missing = nodes
    leaf = modes == "LEAF"
    place = {node: position for position, node in enumerate(node_ids.tolist())}
    if len(place) != len(node_ids):
        return None
    children = [
        [] if leaf[i] else [place.get(int(true[i]), -1), place.get(int(false[i]), -1)] for i in range(len(leaf))
    ]
    flat = [child for pair in children for child in pair]
    roots = set(range(len(leaf))) - set(flat)
    if -1 in flat or len(flat) != len(set(flat)) or len(roots) != 1:
        return None
    order = _order(roots.pop(), children)
    if len(order) != len(leaf):
        return None
    new = {old: position for position, old in enumerate(order)}
    values = np.zeros((len(leaf), columns))
    for node, column, weight in zip(*weights, strict=True):
        if int(node) not in place:
            return None
        if leaf[place[int(node)]]:
            values[new[place[int(node)]], column] += weight
    flipped = (modes == "BRANCH_GT") | (modes == "BRANCH_GTE")
    pairs = np.array([[new[child] for child in pair] or [-1, -1] for pair in children], np.int64).reshape(-1, 2)
    left = np.where(flipped, pairs[:, 1], pairs[:, 0])
    right = np.where(flipped, pairs[:, 0], pairs[:, 1])
    return Tree(
        feature=np.where(leaf, -1, features)[order],
        threshold=np.where(leaf, 0.0, thresholds)[order],
        left=left[order],
        right=right[order],
        missing_left=(np.where(flipped, ~missing, missing) & ~leaf)[order],
        values=values,
    )


def _with_equalities(nodes: Sequence[Any], below: Floats, weights: Sequence[Any], columns: int) -> Tree | None:
    """A tree, known to be one, in which some tests are equalities."""
    node_ids, modes, features, thresholds, true, false, missing = (part.tolist() for part in nodes)
    tests: dict[int, Test] = {}
    leaves = {node: np.zeros(columns) for node, mode in zip(node_ids, modes, strict=True) if mode == "LEAF"}
    for i, node in enumerate(node_ids):
        if modes[i] != "LEAF":
            # thresholds of `<` and `>=` have been moved already
            mode = {"BRANCH_LT": "BRANCH_LEQ", "BRANCH_GTE": "BRANCH_GT"}.get(modes[i], modes[i])
            parts = ((thresholds[i],), (float(below[i]),), true[i], false[i], missing[i])
            tests[node] = Test(mode, features[i], *parts)
    for node, column, weight in zip(*weights, strict=True):
        if int(node) in leaves:
            leaves[int(node)][column] += weight
    roots = set(node_ids) - {child for test in tests.values() for child in (test.true, test.false)}
    return built(roots.pop(), tests, leaves)


def _order(root: int, children: list[list[int]]) -> list[int]:
    """Nodes from the root down; a node met twice would be a cycle, which the caller has excluded."""
    order, pending = [], [root]
    while pending:
        node = pending.pop()
        order.append(node)
        pending.extend(reversed(children[node]))
    return order


def _scaled(tree: Tree, factor: float) -> Tree:
    return Tree(tree.feature, tree.threshold, tree.left, tree.right, tree.missing_left, tree.values * factor)


def _input_of(model: Any, node: Any) -> str:
    """The graph input that the trees read directly; empty where there is none."""
    inputs = {value.name: tensor_facts(value) for value in model.graph.input}
    makers = {name: maker for maker in model.graph.node for name in maker.output}
    name = node.input[0]
    while name in makers and makers[name].op_type == "Identity":
        name = makers[name].input[0]
    found = inputs.get(name)
    if found is None or len(inputs) != 1 or len(found.shape) != 2 or found.dtype not in FLOATS - {"float16"}:
        return ""
    return str(name)


def predict_trees(trees: Sequence[Tree], base: Floats, rows: Floats) -> Floats:
    """Add the leaf of each tree to the base, ``(rows, outputs)``: the definition, for all rows at once."""
    total = np.repeat(np.asarray(base, np.float64)[None], len(rows), axis=0)
    index = np.arange(len(rows))
    for tree in trees:
        at = np.zeros(len(rows), np.int64)
        inner = tree.feature[at] >= 0
        while inner.any():
            here = at[inner]
            x = rows[index[inner], tree.feature[here]]
            left = np.where(np.isnan(x), tree.missing_left[here], x <= tree.threshold[here])
            at[inner] = np.where(left, tree.left[here], tree.right[here])
            inner = tree.feature[at] >= 0
        total += tree.values[at]
    return total
