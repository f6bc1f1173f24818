"""The smallest set of features that alone keeps the decision: https://arxiv.org/abs/1810.03805.

Sufficient input subsets (Carter, Mueller, Jain & Gifford, 2019); the pertinent positives of contrastive explanations
(Dhurandhar et al., 2018, https://arxiv.org/abs/1802.07623); the preservation game of meaningful perturbations (Fong &
Vedaldi, 2017, https://arxiv.org/abs/1704.03296). Searched for by asking alone, so that any model will do.
"""

import numpy as np

from pgx_compiler.evidence.results import RowReport
from pgx_compiler.methods.declaration import Cost, Quantity, Shape, local_explanation
from pgx_compiler.methods.perturbation._decision import SetParams, most_sets, percent, set_cost, set_report, standing
from pgx_compiler.methods.perturbation._smallest_set import smallest_set
from pgx_compiler.modalities.game import Game


class SufficientFeaturesParams(SetParams):
    """Parameters of sufficient features."""


def cost(params: SufficientFeaturesParams, shape: Shape) -> Cost:
    """At most: the coalitions and the empty one over all references, and the row itself."""
    return set_cost(params, shape)


@local_explanation(
    paper="https://arxiv.org/abs/1810.03805",
    cost=cost,
    laws=("unread_unnamed", "price_is_a_ceiling", "repeatable"),
    quantities={
        "found": Quantity("A sufficient set was found", "share", "mean", "higher"),
        "size": Quantity("Features in the smallest sufficient set", "features", "median", "lower"),
        "share": Quantity("Share of the features in the smallest sufficient set", "share", "median", "lower"),
        "proven": Quantity("Sufficient set proven to be the smallest", "share", "mean", "higher"),
        "needs_none": Quantity("The references alone give the same decision", "share", "mean"),
    },
)
def sufficient_features(game: Game, params: SufficientFeaturesParams, rng: np.random.Generator) -> RowReport:
    """Find the smallest set of features that, kept while all others are removed, keeps the decision (or the score).

    Reading:
        Whoever knows these features of the row alone would be told the same by the model, on average over the references.
        The smaller the set, the fewer features the decision rests on. An empty set means that the references alone get this
        decision: nothing in the row was needed for it, and nothing is explained by it. The lead says how far the decision
        is ahead with the set alone, beside that of the whole row. All coalitions are asked where there are few features,
        and the set is then proven to be the smallest; else it is the smallest that was found.

    Limits:
        There may be other sets of the same size; one is shown, that with the largest lead among those asked. A lead near
        zero is nearly a tie: the set just tips the balance of the references. That it suffices holds for the mean over
        the references, not for each of them, and for features that are removed by filling them from the references, on
        rows that may never occur. A set that was found and not proven may be larger than needed.
    """
    stands = standing(game, params)
    found = smallest_set(stands.lead, game.n_features, most_sets(params, game.n_features), rng)
    what = (
        "the decision"
        if stands.is_decision
        else f"at least {percent(params.share)} of the score's distance from the references"
    )

    def tell(features: str) -> str:
        if found is not None and not found.members.any():
            return f"no feature is needed: the references alone give {what}"
        return f"{features} alone keep{'s' if found is not None and found.members.sum() == 1 else ''} {what}"

    report = set_report(game, found, tell, 0.0 if found is None else found.margin, stands.of_row, "kept")
    none = float(found is not None and not found.members.any())
    return RowReport({**report.numbers, "needs_none": none}, report.statements, report.arrays)
