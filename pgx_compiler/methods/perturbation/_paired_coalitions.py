"""Which coalitions a Shapley regression asks for: pairs of a coalition and its complement, drawn size by size.

Pairing cancels the even part of the game, which says nothing about Shapley values (Covert & Lee, 2021). Sizes whose
coalitions can all be afforded are enumerated (Lundberg & Lee, 2017); the others are drawn without replacement.

How many of each size: Lundberg & Lee draw in proportion to the Shapley kernel, Musco & Witter (2024) the same number of
every size. The square root of the kernel lies between; measured, it was the best or as good with 20 features, and
with 196 a quarter better than the kernel (root mean square error against exact values, at equal samples).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

import numpy as np

from pgx_compiler.modalities.game import Masks
from runtimes.capabilities import Floats, Integers


@dataclass(frozen=True)
class PairedCoalitions:
    """A drawn design: one line for each pair, standing for the coalition and its complement."""

    masks: Masks
    """``(pairs, features)``: the smaller coalition of each pair."""
    weights: Floats
    """``(pairs,)``: Shapley kernel mass of the pair's size over the number of pairs expected of that size."""
    sizes: Integers
    """``(pairs,)``: size of the smaller coalition."""
    unseen: Floats
    """``(pairs,)``: share of all pairs of that size that was not drawn; 0 where the size was enumerated."""
    rounding: Floats = field(default_factory=lambda: np.zeros(0))
    """``(sizes,)``: uniform numbers; a size of which x pairs are expected has got floor(x + its number)."""


class StagedCoalitions:
    """A design that is asked bit by bit: every beginning of it is a design of its own, drawn as if it were the whole.

    The whole is drawn at once, which costs no model row. A beginning of p pairs takes of each size floor(x + u) of the pairs
    drawn, in random order, where x are expected among p and u is the size's number in the whole: never fewer than a
    shorter beginning takes, and x on average. So it has the weights, and the error, of a design of about p pairs.
    """

    def __init__(self, features: int, pairs: int, rng: np.random.Generator) -> None:
        self._features = features
        self.whole = draw_pairs(features, pairs, rng)
        shuffled = rng.permutation(len(self.whole.masks))
        by_size = np.argsort(self.whole.sizes[shuffled], kind="stable")
        self._order = shuffled[by_size]
        sizes = self.whole.sizes[self._order]
        self._place = np.arange(len(sizes)) - np.searchsorted(sizes, sizes)

    def beginning(self, pairs: int) -> tuple[Integers, PairedCoalitions]:
        """About ``pairs`` pairs: their positions in the whole, and the design that they are."""
        whole = self.whole
        if pairs >= len(whole.masks):
            return np.arange(len(whole.masks)), whole
        expected = expected_counts(self._features, pairs)
        counts = np.floor(np.round(expected + whole.rounding, 9)).astype(np.int64)
        existing = np.array([pairs_of_size(self._features, size) for size in range(1, len(expected) + 1)], object)
        taken = np.sort(self._order[self._place < counts[whole.sizes[self._order] - 1]])
        sizes = whole.sizes[taken]
        mass = np.array([kernel_mass(self._features, size) for size in range(1, len(expected) + 1)])
        weights = mass[sizes - 1] / expected[sizes - 1]
        unseen = np.array([1.0 - count / total for count, total in zip(counts, existing, strict=True)])
        return taken, PairedCoalitions(whole.masks[taken], weights, sizes, np.maximum(unseen[sizes - 1], 0.0))


def pairs_of_size(features: int, size: int) -> int:
    """How many pairs {S, complement of S} have a coalition of ``size`` as their smaller one."""
    return comb(features, size) // 2 if 2 * size == features else comb(features, size)


def all_pairs(features: int) -> int:
    """How many pairs there are, without that of the empty and the full coalition."""
    return int(2 ** (features - 1)) - 1


def kernel_mass(features: int, size: int) -> float:
    """Shapley kernel weight of all pairs of one size together, up to a constant."""
    both = 1.0 if 2 * size == features else 2.0
    return both * (features - 1) / (size * (features - size))


def expected_counts(features: int, pairs: int) -> Floats:
    """Pairs to expect of each size from 1 on: as the square root of kernel mass, never more than there are."""
    sizes = range(1, features // 2 + 1)
    most = np.array([float(min(pairs_of_size(features, s), 2**53)) for s in sizes])
    part = np.sqrt([kernel_mass(features, s) for s in sizes])
    counts = np.zeros(len(part))
    open_sizes = np.ones(len(part), bool)
    left = float(pairs)
    while open_sizes.any():
        share = left * part / part[open_sizes].sum()
        full = open_sizes & (share >= most - 1e-9)
        if not full.any():
            counts[open_sizes] = share[open_sizes]
            break
        counts[full] = most[full]
        left -= float(most[full].sum())
        open_sizes &= ~full
    return counts


def draw_pairs(features: int, pairs: int, rng: np.random.Generator) -> PairedCoalitions:
    """Draw ``pairs`` different pairs (all of them, where no more exist), ``features`` at least 2."""
    pairs = min(pairs, all_pairs(features))
    expected = expected_counts(features, pairs)
    # Systematic sampling: each size gets its expected count rounded up or down, and the total is exact.
    edges = np.concatenate([[0.0], np.cumsum(expected)])
    edges[-1] = pairs
    offset = rng.random()
    ticks = np.floor(np.round(edges + offset, 9)).astype(np.int64)
    blocks, weights, sizes, unseen = [], [], [], []
    for size, (count, mean) in enumerate(zip(np.diff(ticks), expected, strict=True), start=1):
        existing = pairs_of_size(features, size)
        count = min(int(count), existing)
        blocks.append(_distinct_subsets(features, size, count, rng))
        weights.append(np.full(count, kernel_mass(features, size) / mean if mean else 0.0))
        sizes.append(np.full(count, size, np.int64))
        unseen.append(np.full(count, 1.0 - count / existing))
    return PairedCoalitions(
        np.concatenate(blocks),
        np.concatenate(weights),
        np.concatenate(sizes),
        np.concatenate(unseen),
        rounding=(edges[:-1] + offset) % 1.0,
    )


def _distinct_subsets(features: int, size: int, count: int, rng: np.random.Generator) -> Masks:
    """Draw ``count`` different subsets, no two of them each other's complement."""
    existing = pairs_of_size(features, size)
    if 2 * count > existing:
        every = _as_masks(_enumerate(features, size), features)
        return every if count == existing else every[np.sort(rng.choice(existing, count, replace=False))]
    found = np.zeros((0, features), bool)
    while len(found) < count:
        order = np.argsort(rng.random((count, features)), axis=1)[:, :size]
        fresh = np.zeros((count, features), bool)
        np.put_along_axis(fresh, order, True, axis=1)
        if 2 * size == features:
            fresh ^= ~fresh[:, :1]  # of a coalition and its complement of the same size, keep the one with feature 0
        stacked = np.concatenate([found, fresh])
        first = np.unique(np.packbits(stacked, axis=1), axis=0, return_index=True)[1]
        found = stacked[np.sort(first)]
    return found[:count]


def _enumerate(features: int, size: int) -> Iterator[tuple[int, ...]]:
    if 2 * size < features:
        return combinations(range(features), size)
    return ((0, *rest) for rest in combinations(range(1, features), size - 1))


def _as_masks(subsets: Iterator[tuple[int, ...]], features: int) -> Masks:
    positions = np.array(list(subsets), np.int64)
    masks = np.zeros((len(positions), features), bool)
    np.put_along_axis(masks, positions, True, axis=1)
    return masks
