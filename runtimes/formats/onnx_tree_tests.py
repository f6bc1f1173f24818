"""Trees with tests other than an order, as trees that ask for an order only; and `TreeEnsemble` of ai.onnx.ml 5.

``x = t`` is ``x <= t`` and not ``x <= (the float below t)``, and membership in a set is one such pair for each member. The
branches are then reached over several ways, which exclude each other: sums over ways, such as TreeSHAP's, stay exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from runtimes.capabilities import Floats, Tree

MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""In the order of their numbers in ai.onnx.ml 5."""

MOST_WAYS = 20_000
"""Ways through one tree. Sets inside sets multiply them; trees with more are asked, and not looked into."""


@dataclass(frozen=True)
class Test:
    """What one inner node asks."""

    mode: str
    feature: int
    values: tuple[float, ...]
    """The threshold, or the members in ascending order."""
    below: tuple[float, ...]
    """The largest number below each, in the precision in which the file compares."""
    true: int
    false: int
    missing_true: bool


def built(root: int, tests: Mapping[int, Test], leaves: Mapping[int, Floats]) -> Tree | None:
    """A tree from its tests and leaves by their numbers; None where they form none, or one with too many ways."""
    found: list[tuple[int, float, int, int, bool]] = []
    first: dict[int, int] = {}
    order: list[int] = []
    pending, entered = [root], {root}
    outputs = len(next(iter(leaves.values()))) if leaves else 0
    while pending:
        number = pending.pop()
        first[number] = len(order)
        test = tests.get(number)
        if test is None and number not in leaves:
            return None
        steps = _steps(test) if test else [None]
        order += [number] * len(steps)
        for child in (test.false, test.true) if test else ():
            if child not in tests and child in leaves and child in entered:
                continue  # one leaf may stand under both branches
            if child in entered:
                return None
            entered.add(child)
            pending.append(child)
    values = np.zeros((len(order), outputs))
    for number, start in first.items():
        test = tests.get(number)
        if test is None:
            values[start] = leaves[number]
            found.append((-1, 0.0, -1, -1, False))
            continue
        places = {"true": first[test.true], "false": first[test.false]}
        for offset, (limit, if_so, if_not, of_missing) in enumerate(_steps(test)):
            here = {**places, "next": start + offset + 1}
            found.append((test.feature, limit, here[if_so], here[if_not], of_missing))
    feature, threshold, left, right, missing = zip(*found, strict=True)
    tree = Tree(
        np.array(feature, np.int64),
        np.array(threshold, np.float64),
        np.array(left, np.int64),
        np.array(right, np.int64),
        np.array(missing, bool),
        values,
    )
    return tree if _ways(tree) <= MOST_WAYS else None


def _steps(test: Test) -> list[tuple[float, str, str, bool]]:
    """A test as questions ``x <= threshold``: where to go if so, if not, and whether a missing value goes as if so."""
    missing = test.missing_true
    if test.mode in ("BRANCH_LEQ", "BRANCH_LT"):
        threshold = (test.values if test.mode == "BRANCH_LEQ" else test.below)[0]
        return [(threshold, "true", "false", missing)]
    if test.mode in ("BRANCH_GT", "BRANCH_GTE"):
        threshold = (test.values if test.mode == "BRANCH_GT" else test.below)[0]
        return [(threshold, "false", "true", not missing)]
    inside, outside = ("true", "false")
    if test.mode == "BRANCH_NEQ":
        inside, outside = outside, inside
        missing = False  # a missing value differs from every number, whatever its track
    steps: list[tuple[float, str, str, bool]] = []
    for position, (value, below) in enumerate(zip(test.values, test.below, strict=True)):
        last = position == len(test.values) - 1
        steps.append((below, outside, "next", position == 0 and not missing))
        steps.append((value, inside, outside if last else "next", True))
    return steps


def _ways(tree: Tree) -> int:
    """How many ways lead from the root to leaves."""
    count = np.zeros(len(tree.feature), object)
    count[0], total = 1, 0
    waiting = np.bincount(np.concatenate([tree.left, tree.right])[np.tile(tree.feature >= 0, 2)],
                          minlength=len(count))  # fmt: skip
    pending = [0]
    while pending:
        node = pending.pop()
        if tree.feature[node] < 0:
            total += count[node]
            continue
        for child in (int(tree.left[node]), int(tree.right[node])):
            count[child] += count[node]
            waiting[child] -= 1
            if waiting[child] == 0:
                pending.append(child)
    return int(total)


def trees_of_version_5(values: Mapping[str, Any]) -> tuple[Tree, ...]:
    """The trees of a `TreeEnsemble` node, from its attributes; empty where they cannot be read as trees."""
    modes = np.asarray(values.get("nodes_modes", ()), np.int64).reshape(-1)
    splits = np.asarray(values.get("nodes_splits", ())).reshape(-1)
    targets = int(values.get("n_targets", 1))
    if modes.size and (modes.min() < 0 or modes.max() >= len(MODES)):
        return ()
    sides = {
        side: (_whole(values, f"nodes_{side}leafs"), _whole(values, f"nodes_{side}nodeids"))
        for side in ("true", "false")
    }
    weights = np.asarray(values.get("leaf_weights", ()), np.float64).reshape(-1)
    ids = _whole(values, "leaf_targetids")
    features = _whole(values, "nodes_featureids")
    missing = (
        _whole(values, "nodes_missing_value_tracks_true")
        if values.get("nodes_missing_value_tracks_true")
        else (np.zeros(len(modes), np.int64))
    )
    lengths = {len(part) for part in (modes, splits, features, missing, *sides["true"], *sides["false"])}
    if len(lengths) != 1 or len(weights) != len(ids) or (len(ids) and (ids.min() < 0 or ids.max() >= targets)):
        return ()
    members = _members(np.asarray(values.get("membership_values", ())).reshape(-1))
    leaves = {-1 - leaf: np.eye(targets)[ids[leaf]] * weights[leaf] for leaf in range(len(ids))}
    tests: dict[int, Test] = {}
    for node, mode in enumerate(modes.tolist()):
        held: Any = splits[node : node + 1]
        if MODES[mode] == "BRANCH_MEMBER":
            if not members:
                return ()
            held = members.pop(0)
        below = np.nextafter(held, held.dtype.type(-np.inf))
        true, false = (
            int(-1 - numbers[node] if is_leaf[node] else numbers[node]) for is_leaf, numbers in sides.values()
        )
        tests[node] = Test(
            MODES[mode],
            int(features[node]),
            tuple(map(float, held)),
            tuple(map(float, below)),
            true,
            false,
            bool(missing[node]),
        )
    trees = [built(root, tests, leaves) for root in _whole(values, "tree_roots").tolist()]
    return tuple(tree for tree in trees if tree is not None) if None not in trees else ()


def _whole(values: Mapping[str, Any], name: str) -> Any:
    return np.asarray(values.get(name, ()), np.int64).reshape(-1)


def _members(flat: Any) -> list[Any]:
    """Sets of numbers, each ended by NaN, in ascending order without repetition."""
    ends = np.flatnonzero(np.isnan(flat)) if flat.size else np.zeros(0, np.int64)
    parts: Sequence[Any] = np.split(flat, ends)
    return [np.unique(part[~np.isnan(part)]) for part in parts if (~np.isnan(part)).any()]
