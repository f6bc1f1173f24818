"""Random coalitions for methods that average or regress over them, drawn in rounds until a precision is met.

Where a game is so small that all its coalitions cost no more than the draws allowed, all are asked: the result is
then exact. The full coalition is the row itself, one model row whatever the references.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.methods.declaration import Shape
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.modalities.game import Game, Masks
from runtimes.capabilities import Floats, Integers

Samples = int | Literal["auto"]

LEAST_A_FEATURE = 4
"""Draws for each feature below which neither a mean nor a regression says anything (as in Kernel SHAP here)."""

BLOCK = 2**15
"""Numbers: 256 KiB, of which the second-level cache of a processor of today holds a few."""

Fit = Callable[[Masks, Floats], tuple[Floats, Floats]]
"""Masks ``(n, features)`` and their worth ``(n, k)`` to values and standard errors, ``(features, k)`` each."""


@dataclass(frozen=True)
class Drawn:
    """What was asked, and what came of it."""

    masks: Masks
    worth: Floats
    values: Floats
    standard_error: Floats
    converged: bool
    """The precision asked for was met; true where none was."""


def most_draws(samples: Samples, features: int) -> int:
    """Coalitions that may be asked: ``auto`` is what Kernel SHAP asks for; an even number, as draws may come in pairs."""
    asked: int = 2 * features + 2048 if samples == "auto" else samples
    return 2 * (max(asked, LEAST_A_FEATURE * features, 2) // 2)


def are_all_affordable(samples: Samples, features: int) -> bool:
    """Whether all coalitions but the full one cost no more than the draws."""
    return bool(2**features - 1 <= most_draws(samples, features))


def forward_rows(samples: Samples, shape: Shape, beside: int) -> int:
    """Model rows for all rows: the draws over all references and ``beside`` further rows; or every coalition."""
    if are_all_affordable(samples, shape.features):
        return shape.rows * (int(2**shape.features - 1) * shape.references + 1)
    return shape.rows * (most_draws(samples, shape.features) * shape.references + beside)


def all_coalitions(game: Game) -> tuple[Masks, Floats]:
    """Every mask, that of feature i being bit i of its position, and its worth; the full one comes last."""
    masks = every_mask(game.n_features)
    return masks, np.concatenate([game.value(masks[:-1]), game.full()[None]])


def every_mask(features: int) -> Masks:
    """``(2 ** features, features)``."""
    return np.asarray((np.arange(2**features)[:, None] >> np.arange(features)) & 1 == 1)


def in_blocks(rows: int, features: int) -> Iterator[slice]:
    """Some rows of ``features`` numbers at a time, so that what is computed of them stays in the processor's cache.

    Measured with 196 features and 1,024 to 2,048 masks: two to three times as fast as all at once.
    """
    step = max(1, BLOCK // max(1, features))
    return (slice(start, start + step) for start in range(0, rows, step))


def weighted_sum(squares: NDArray[Any], weights: Floats) -> Floats:
    """``squares (n, features)`` times ``weights (n, k)``, in the precision of the squares, whatever unit the weights have."""
    total = np.empty((squares.shape[1], weights.shape[1]))
    for column, held in enumerate(weights.T):  # one by one: several outputs give what each gives alone
        scale = float(np.abs(held).max(initial=0.0)) or 1.0
        total[:, column] = (held / scale).astype(squares.dtype) @ squares
        total[:, column] *= scale
    return total


def random_subsets(features: int, sizes: Integers, rng: np.random.Generator) -> Masks:
    """A random subset of each size (at least 1), ``(n, features)``: where the smallest of uniform numbers stand.

    Up to a threshold, which sorting alone gives: ranking takes four times as long, and sorting 64 bits twice as long as 32.
    Two equal numbers at the threshold, which of 32 bits come once in some ten million draws, are told apart by their place.
    A word of 64 bits is drawn for two numbers, in the time that one of 32 would take.
    """
    masks = np.empty((len(sizes), features), bool)
    for part in in_blocks(len(sizes), features):
        wanted = masks[part].size
        words = rng.integers(0, 2**64 - 1, -(-wanted // 2), np.uint64, endpoint=True)
        uniform = words.view(np.uint32)[:wanted].reshape(-1, features)
        ordered, size, row = np.sort(uniform, axis=1), sizes[part], np.arange(len(uniform))
        threshold = ordered[row, size - 1]
        np.less_equal(uniform, threshold[:, None], out=masks[part])
        next_one = ordered[row, np.minimum(size, features - 1)]
        for tied in np.flatnonzero((next_one == threshold) & (size < features)):
            smallest = np.argsort(uniform[tied], kind="stable")[: size[tied]]
            masks[part.start + tied] = np.isin(np.arange(features), smallest)
    return masks


def ask_in_rounds(
    game: Game, draw: Callable[[int], Masks], samples: Samples, precision: float | None, fit: Fit
) -> Drawn:
    """Draw, ask and fit; with a precision in growing rounds, until it is met or nothing is left.

    ``draw`` is asked for an even number of masks at a time. What precision means, and when to look again, is that of
    Shapley values (`_precision`), with the sum of the values for the difference that they share out.
    """
    most = most_draws(samples, game.n_features)
    pairs = (
        most // 2
        if precision is None
        else min(most // 2, max(2 * _precision.FIRST_LOOK, LEAST_A_FEATURE * game.n_features))
    )
    masks = np.zeros((0, game.n_features), bool)
    worth = np.zeros((0, game.n_targets))
    while True:
        fresh = draw(2 * pairs - len(masks))
        masks, worth = np.concatenate([masks, fresh]), np.concatenate([worth, game.value(fresh)])
        values, error = fit(masks, worth)
        over = 0.0 if precision is None else _precision.excess(values, error, values.sum(axis=0), precision)
        if over <= 1.0 or 2 * pairs == most:
            return Drawn(masks, worth, values, error, over <= 1.0)
        pairs = _precision.next_look(pairs, over, most // 2)
