"""Which coalitions a Shapley regression asks for: pairs of a coalition and its complement, drawn size by size.

Pairing cancels the even part of the game, which says nothing about Shapley values (Covert & Lee, 2021). Sizes whose
coalitions can all be afforded are enumerated (Lundberg & Lee, 2017); the others are drawn without replacement.

How many of each size: Lundberg & Lee draw in proportion to the Shapley kernel, Musco & Witter (2024) the same number of
every size. The square root of the kernel lies between; measured, it was the best or as good with 20 features, and
with 196 a quarter better than the kernel (root mean square error against exact values, at equal samples).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from math import comb

import numpy as np

from pgx_compiler.methods.perturbation._random_masks import BLOCK, random_subsets
from pgx_compiler.modalities.game import Masks
from runtimes.capabilities import Floats, Integers

_ODD = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio, of whose powers a sum of words modulo 2^64 is made."""


@dataclass(frozen=True)
class PairedCoalitions:
    """A drawn design: one line for each pair, standing for the coalition and its complement."""

    masks: Masks
    """``(pairs, features)``: the smaller coalition of each pair."""
    weights: Floats
    """``(pairs,)``: Shapley kernel mass of the pair's size over the number of pairs expected of that size."""
    sizes: Integers
    """``(pairs,)``: size of the smaller coalition, ascending."""
    unseen: Floats
    """``(pairs,)``: share of all pairs of that size that was not drawn; 0 where the size was enumerated."""
    rounding: Floats = field(default_factory=lambda: np.zeros(0))
    """``(sizes,)``: uniform numbers; a size of which x pairs are expected has got floor(x + its number)."""

    def blocks(self) -> Iterator[slice]:
        """Runs of pairs that fit the processor's cache, as far as no size is cut in two."""
        least = 2 * BLOCK // self.masks.shape[1]
        start = 0
        for edge in np.flatnonzero(np.diff(self.sizes, append=0)) + 1:
            if edge - start >= least or edge == len(self.sizes):
                yield slice(start, int(edge))
                start = int(edge)


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


@cache
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


@cache
def expected_counts(features: int, pairs: int) -> Floats:
    """Pairs to expect of each size from 1 on: as the square root of kernel mass, never more than there are. Read-only."""
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
    counts.flags.writeable = False  # the same array is given to all who ask
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
    existing = [pairs_of_size(features, size) for size in range(1, len(expected) + 1)]
    counts = np.array([min(int(count), most) for count, most in zip(np.diff(ticks), existing, strict=True)])
    mass = np.array([kernel_mass(features, size) for size in range(1, len(expected) + 1)])
    sizes = np.repeat(np.arange(1, len(expected) + 1), counts)
    unseen = np.array([1.0 - count / most for count, most in zip(counts.tolist(), existing, strict=True)])
    return PairedCoalitions(
        _distinct_subsets(features, counts, existing, rng),
        (mass / np.where(expected > 0, expected, np.inf))[sizes - 1],
        sizes,
        unseen[sizes - 1],
        rounding=(edges[:-1] + offset) % 1.0,
    )


def _distinct_subsets(features: int, counts: Integers, existing: list[int], rng: np.random.Generator) -> Masks:
    """As many different subsets of each size as its count says, smallest size first, no two each other's complement."""
    listed = [2 * int(count) > most for count, most in zip(counts, existing, strict=True)]
    sizes = np.repeat(np.arange(1, len(counts) + 1), counts)
    masks = np.zeros((len(sizes), features), bool)
    for size in [place + 1 for place, all_of_it in enumerate(listed) if all_of_it]:
        every = _as_masks(_enumerate(features, size), features)
        count = counts[size - 1]
        chosen = slice(None) if count == len(every) else np.sort(rng.choice(len(every), count, replace=False))
        masks[sizes == size] = every[chosen]
    wanted = np.flatnonzero(~np.array(listed)[sizes - 1])
    while len(wanted):
        fresh = random_subsets(features, sizes[wanted], rng)
        # Of a coalition and its complement of the same size, keep the one with feature 0.
        fresh ^= (2 * sizes[wanted] == features)[:, None] & ~fresh[:, :1]
        masks[wanted] = fresh
        wanted = _repeated(masks)
    return masks


def _repeated(masks: Masks) -> Integers:
    """Positions of the masks that an earlier one equals."""
    packed = np.packbits(masks, axis=1)
    words = np.zeros((len(masks), -(-packed.shape[1] // 8) * 8), np.uint8)
    words[:, : packed.shape[1]] = packed
    # Different masks seldom have the same sum; only those that do are compared.
    sums = words.view(np.uint64) @ (_ODD ** np.arange(1, words.shape[1] // 8 + 1, dtype=np.uint64))
    _, of_sum, counts = np.unique(sums, return_inverse=True, return_counts=True)
    alike: list[int] = np.flatnonzero(counts[of_sum] > 1).tolist()
    first: dict[bytes, int] = {}
    return np.array([place for place in alike if first.setdefault(packed[place].tobytes(), place) != place], np.int64)


def _enumerate(features: int, size: int) -> Iterator[tuple[int, ...]]:
    if 2 * size < features:
        return combinations(range(features), size)
    return ((0, *rest) for rest in combinations(range(1, features), size - 1))


def _as_masks(subsets: Iterator[tuple[int, ...]], features: int) -> Masks:
    positions = np.array(list(subsets), np.int64)
    masks = np.zeros((len(positions), features), bool)
    np.put_along_axis(masks, positions, True, axis=1)
    return masks
