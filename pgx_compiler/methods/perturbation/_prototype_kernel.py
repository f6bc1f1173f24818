"""Rows as points in a space with a kernel: what prototypes are chosen in."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.modalities.data import AuditData, Split, drawn_rows
from runtimes.capabilities import Floats, Integers
from runtimes.texts.pieces import pieces_of, word_of

_MOST_TEXTS = 10_000
"""Training texts whose words are counted."""
_MOST_WORDS = 1000
"""Words that texts are compared by, the commonest of all."""
_MOST_NEIGHBOURS = 500
"""Rows that the median distance is taken over."""


def points_of(data: AuditData, split: Split, chosen: Integers | None = None) -> Floats:
    """Rows of a split, all or some, as points ``(rows, dimensions)``.

    Every input element counts by the training data's spread, words by equality, whole texts by the words that they share;
    a missing value stands at the mean.
    """
    parts = []
    for name, train in data.train.inputs.items():
        rows = np.asarray(split.inputs[name])
        rows = rows if chosen is None else rows[chosen]
        placed = _by_words if name == data.features.layout.get("text") else _scaled
        parts.append(placed(np.asarray(train), rows))
    return np.concatenate(parts, axis=1)


def _by_words(train: NDArray[np.generic], rows: NDArray[np.generic]) -> Floats:
    """Texts as directions: the weights of their words, the rarer the heavier (Salton & Buckley, 1988), at length one."""
    told = train.reshape(-1)[drawn_rows(len(train), _MOST_TEXTS)].tolist()
    counted = Counter(word for text in told for word in _words_of(text))
    common = [word for word, count in counted.most_common(_MOST_WORDS) if count > 1] or list(counted)[:1]
    place = {word: position for position, word in enumerate(common)}
    weight = np.log(len(told) / np.array([counted[word] for word in common], np.float64)) + 1
    points = np.zeros((len(rows), max(1, len(common))))
    for row, text in enumerate(rows.reshape(-1).tolist()):
        held = [place[word] for word in _words_of(text) if word in place]
        points[row, held] = weight[held]
    length = np.linalg.norm(points, axis=1, keepdims=True)
    found: Floats = np.divide(points, length, out=points, where=length > 0)
    return found


def _words_of(text: str) -> set[str]:
    return {word_of(piece).lower() for piece in pieces_of(text)} - {""}


def _scaled(train: NDArray[np.generic], rows: NDArray[np.generic]) -> Floats:
    if train.dtype.kind in "OUS":
        words = sorted(set(map(str, train.reshape(-1))))
        flat = rows.reshape(len(rows), -1).astype(np.str_)
        columns = [(flat == word).astype(np.float64) / np.sqrt(2) for word in words]
        return np.concatenate(columns, axis=1)
    held, flat = train.reshape(len(train), -1).astype(np.float64), rows.reshape(len(rows), -1).astype(np.float64)
    centre, spread = np.nanmean(held, axis=0), np.nanstd(held, axis=0)
    # An element that hardly varies in training would otherwise outweigh all others in rows where it does.
    usual = np.median(spread[spread > 0]) if (spread > 0).any() else 1.0
    scaled: Floats = np.nan_to_num((flat - centre) / np.maximum(spread, 0.1 * usual))
    return scaled


@dataclass(frozen=True)
class Kernel:
    """The Gaussian kernel exp(-|a - b|² / (2 width²))."""

    width: float

    def __call__(self, first: Floats, second: Floats) -> Floats:
        """``(first rows, second rows)``."""
        squared = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)[None] - 2 * first @ second.T
        found: Floats = np.exp(-np.maximum(squared, 0.0) / (2 * self.width**2))
        return found


def median_kernel(points: Floats, rng: np.random.Generator) -> Kernel:
    """The kernel whose width is the median distance between rows (Gretton et al., 2012)."""
    chosen = points[rng.choice(len(points), min(len(points), _MOST_NEIGHBOURS), replace=False)]
    squared = (chosen**2).sum(axis=1)[:, None] + (chosen**2).sum(axis=1)[None] - 2 * chosen @ chosen.T
    apart = np.sqrt(np.maximum(squared[np.triu_indices(len(chosen), 1)], 0.0))
    apart = apart[apart > 0]
    return Kernel(float(np.median(apart)) if len(apart) else 1.0)


def nearest(kernel: Kernel, points: Floats, prototypes: Floats) -> Integers:
    """Position of the most similar prototype of each point."""
    return np.asarray(kernel(points, prototypes).argmax(axis=1), np.int64)
