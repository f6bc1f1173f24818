"""Insertion curve (Petsiuk, Das & Saenko, 2018): https://arxiv.org/abs/1806.07421."""

import numpy as np

from pgx_compiler.methods.declaration import RowScore, faithfulness
from pgx_compiler.methods.faithfulness._removal_curves import CurveParams, area, curve_cost, judged_curves
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Floats


class InsertionParams(CurveParams):
    """Parameters of the insertion curve."""


@faithfulness(
    paper="https://arxiv.org/abs/1806.07421", cost=curve_cost, laws=("chance_level", "oracle_order"), version=2
)
def insertion(game: Game, values: Floats, params: InsertionParams, rng: np.random.Generator) -> RowScore:
    """Put features back into the references from the most important to the least, and see how fast the score rises.

    Reading:
        In the score's own unit: by how much the score stays higher, on average over the way, than when
        features are put back in random order. Above 0: the explanation finds what is enough for the score
        better than chance; 0: no better; below 0: worse. ``auc`` is the mean height of the curve itself
        (higher is better), ``random_auc`` that of random orders.

    Limits:
        Half-filled rows are unlike anything in the data; a rise can come from their strangeness. The value
        depends on how missing features are filled, and favours explanations made by removing features in the
        same way over gradients. It judges the order of the features, not the size of the values. Features
        whose values only rounding may keep apart are moved as they stand in the row and the other way round, and the
        curve is the mean of both. For explanations without signs the order is that of magnitudes, which need not
        raise the score. Compare it between explanations of the same rows only.
    """
    values = np.asarray(values, np.float64).reshape(-1)
    found, moved, full, empty = judged_curves(game, values, params, rng, inserting=True)
    areas = area(found, moved)
    advantage = float(areas[0] - areas[1:].mean()) if np.isfinite(values).all() else float("nan")
    extra = {
        "auc": float(areas[0]),
        "random_auc": float(areas[1:].mean()),
        "random_spread": float(areas[1:].std()),
        "full": full,
        "empty": empty,
        "curve": found[0],
        "random_curve": found[1:].mean(axis=0),
        "moved_share": moved / moved[-1],
    }
    return RowScore(advantage, extra)
