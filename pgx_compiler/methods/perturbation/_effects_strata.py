"""Groups of rows that are alike in all features but one: the leaves of a tree that predicts it (Molnar et al., 2023)."""

import numpy as np

from pgx_compiler.methods.perturbation._surrogate_columns import columns_of
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats, Integers

FEWEST_IN_A_LEAF = 30
"""Training rows (the minimal node size of Molnar et al.)."""


def strata(table: Table, z: Floats, feature: int, depth: int, rng: np.random.Generator) -> Integers:
    """The group of each row, ``(rows,)``: leaves of a tree, learned from the training rows, that predicts a feature."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    others = [one for place, one in enumerate(table.features) if place != feature]
    columns = columns_of(others)
    known = np.isfinite(table.train.z[:, feature])
    values = table.train.z[known, feature]
    seed = int(rng.integers(2**31))
    if len(np.unique(values)) < 2 or not columns.feature:
        return np.zeros(len(z), np.int64)
    kind = DecisionTreeRegressor if table.features[feature].is_scale else DecisionTreeClassifier
    tree = kind(max_depth=depth, min_samples_leaf=FEWEST_IN_A_LEAF, random_state=seed)
    tree.fit(columns.matrix(np.delete(table.train.z[known], feature, axis=1)), values)
    return np.asarray(tree.apply(columns.matrix(np.delete(z, feature, axis=1))), np.int64)
