"""Which features lie beside each other, in space or time or in a text: for methods that prefer masks in one piece."""

import numpy as np

from pgx_compiler.modalities.features import FIXED, FeatureMap
from runtimes.capabilities import Integers

_IN_SPACE = frozenset({"grid", "segments", "blocks", "supervoxels"})
"""Layouts of features that lie in a plane or in space."""


def neighbours(features: FeatureMap) -> Integers:
    """Pairs of features that touch, ``(pairs, 2)``, each once; none in a table. Of one row where rows differ.

    Patches, blocks and segments touch where two elements of them do; windows of a series follow each other in time, in the same
    channel; words follow each other in the text.
    """
    kind = features.layout.get("kind", "")
    if kind == "words":
        first = np.arange(max(0, len(features) - 1), dtype=np.int64)
        return np.stack([first, first + 1], axis=1)
    found = [np.zeros((0, 2), np.int64)]
    for owner in features.owners.values():
        # the channels of a pixel belong to one feature, so that their axis adds nothing; those of a series may not
        for axis in range(owner.ndim if kind in _IN_SPACE else kind == "windows"):
            ahead = np.moveaxis(owner, axis, 0)
            pairs = np.stack([ahead[:-1].reshape(-1), ahead[1:].reshape(-1)], axis=1)
            apart = (pairs[:, 0] != pairs[:, 1]) & (pairs != FIXED).all(axis=1)
            found.append(np.sort(pairs[apart], axis=1))
    return np.unique(np.concatenate(found), axis=0)
