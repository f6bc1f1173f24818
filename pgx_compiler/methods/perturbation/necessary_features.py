"""The smallest set of features whose removal changes the decision: https://arxiv.org/abs/1704.03296.

The deletion game of meaningful perturbations (Fong & Vedaldi, 2017), here with whole features, which are kept or removed;
the area constraint is the size of the set, as in extremal perturbations (Fong, Patrick & Vedaldi, 2019,
https://arxiv.org/abs/1910.08485). Searched for by asking alone, so that any model will do.
"""

import numpy as np

from pgx_compiler.evidence.results import RowReport
from pgx_compiler.methods.declaration import Cost, Quantity, Shape, local_explanation
from pgx_compiler.methods.perturbation._decision import SetParams, most_sets, percent, set_cost, set_report, standing
from pgx_compiler.methods.perturbation._smallest_set import smallest_set
from pgx_compiler.modalities.game import Game, Masks
from runtimes.capabilities import Floats


class NecessaryFeaturesParams(SetParams):
    """Parameters of necessary features."""


def cost(params: NecessaryFeaturesParams, shape: Shape) -> Cost:
    """At most: the coalitions and the empty one over all references, and the row itself."""
    return set_cost(params, shape)


@local_explanation(
    paper="https://arxiv.org/abs/1704.03296",
    cost=cost,
    laws=("unread_unnamed", "price_is_a_ceiling", "repeatable"),
    quantities={
        "found": Quantity("Removing features changes the decision", "share", "mean"),
        "size": Quantity("Features in the smallest set whose removal changes the decision", "features"),
        "share": Quantity("Share of the features in the smallest set whose removal changes the decision", "share"),
        "proven": Quantity("Necessary set proven to be the smallest", "share", "mean", "higher"),
    },
)
def necessary_features(game: Game, params: NecessaryFeaturesParams, rng: np.random.Generator) -> RowReport:
    """Find the smallest set of features whose removal, while all others are kept, changes the decision (or the score).

    Reading:
        Without these features the model would have said something else of the row, on average over the references. A small
        set says that the decision hangs on little. Nothing found is a result: whatever was removed, the decision stood, as
        it does where the references alone get the same decision. The lead says how far the former decision is behind
        after the removal. All coalitions are asked where there are few features, and the set is then proven to be the
        smallest; else it is the smallest that was found.

    Limits:
        There may be other sets of the same size; one is shown, that which changes the decision most among those asked. It
        does not say what values would change the decision (ask for counterfactuals), only that those of the references do
        on average, on rows that may never occur. A set that was found and not proven may be larger than needed, and where
        none was found and nothing was proven there may be one.
    """
    stands = standing(game, params)
    # Of a score: gone is `share` of the distance, so that less than 1 - share of it is left.
    spare = 0.0 if stands.is_decision else 1 - 2 * params.share

    def falls(removed: Masks) -> Floats:
        return np.asarray(spare - stands.lead(~removed), np.float64)

    found = smallest_set(falls, game.n_features, most_sets(params, game.n_features), rng)
    what = (
        "changes the decision"
        if stands.is_decision
        else f"takes at least {percent(params.share)} of the score's distance from the references"
    )

    def tell(features: str) -> str:
        return f"removing {features} {what}"

    lead = 0.0 if found is None else spare - found.margin
    return set_report(game, found, tell, lead, stands.of_row, "removed")
