"""Completeness gap: do the values add up to the difference explained? https://arxiv.org/abs/1703.01365 (IG)."""

import numpy as np

from pgx_compiler.methods.declaration import Cost, Params, RowScore, Shape, faithfulness
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Floats


class CompletenessGapParams(Params):
    """The completeness gap has no parameters."""


def cost(params: CompletenessGapParams, shape: Shape) -> Cost:
    """The empty coalition over all references; and the row itself."""
    return Cost(forward=shape.rows * (shape.references + 1))


@faithfulness(paper="https://arxiv.org/abs/1703.01365", cost=cost, better="lower", laws=("shapley_adds_up",))
def completeness_gap(game: Game, values: Floats, params: CompletenessGapParams) -> RowScore:
    """Measure how far the values of a row are from adding up to its score minus the mean score of the references.

    Reading:
        In the score's own unit, without sign; 0: the explanation accounts for the whole difference. ``relative`` is
        the gap as a share of that difference (undefined where there is none). For integrated gradients a gap means that
        there were too few steps.

    Limits:
        Only for methods whose values are meant to add up: Shapley values and integrated gradients. Saliency, SmoothGrad
        and occlusion make no such promise, and their gap is no fault. An explanation can add up and still share the
        difference out wrongly.
    """
    total = float(np.sum(np.asarray(values, np.float64)))
    difference = float(game.full()[0] - game.empty()[0])
    gap = abs(total - difference)
    relative = gap / abs(difference) if difference else float("nan")
    return RowScore(gap, {"sum": total, "difference": difference, "relative": relative})
