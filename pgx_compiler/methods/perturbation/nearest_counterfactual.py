"""The nearest counterfactual, by growing spheres (Laugel et al., 2018): https://arxiv.org/abs/1712.08443."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import RowReport, Statement
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, local_explanation
from pgx_compiler.methods.perturbation._counterfactual_descent import approach, length, nearest_reached
from pgx_compiler.methods.perturbation._counterfactual_goal import OTHER, goal_of
from pgx_compiler.methods.perturbation._counterfactual_search import Search, Space, restore, shrink, space_of
from pgx_compiler.methods.perturbation._counterfactual_words import changed_row, nothing_found
from pgx_compiler.modalities._table_metric import Scaling
from pgx_compiler.modalities.table import MOST_SAMPLED, TableRow
from runtimes.capabilities import Floats


class NearestCounterfactualParams(Params):
    """Parameters of the nearest counterfactual."""

    wanted: str = OTHER
    """The class whose border is looked for: a name of `model.classes`, or ``other``: any but the predicted one."""
    change: float | None = None
    """Of a regression: by how much the score should at least rise (or fall, where negative). Without it: by the standard
    deviation of the labels (of their logarithms where those are explained), either way."""
    only: list[str] | None = None
    """The features that may change (default: all that are not `immutable`)."""
    scaling: Scaling = "mad"
    """What counts as a change of 1 in a number: ``mad``, the median absolute deviation of the training data, or ``range``,
    its range. A category that changes counts 1."""
    max_calls: Annotated[int, Field(ge=50)] = 2000
    """Rows that the model may be asked for each explained row."""


def cost(params: NearestCounterfactualParams, shape: Shape) -> Cost:
    """At most the budget of each row; and the training rows once, to know which are of which class."""
    forward = shape.rows * params.max_calls + min(shape.train_rows, MOST_SAMPLED)
    return Cost(forward=forward, bytes=params.max_calls * shape.features * 32)


@local_explanation(
    modalities={"tabular"},
    paper="https://arxiv.org/abs/1712.08443",
    cost=cost,
    laws=("price_is_a_ceiling", "counterfactuals_hold", "repeatable"),
    quantities={
        "found": Quantity("Rows whose border was reached", "share", "mean", "higher"),
        "distance": Quantity("Distance to the nearest row found beyond the border", "typical changes", better="higher"),
        "sparse_distance": Quantity("Distance to the nearest found with few features changed", "typical changes"),
        "changed": Quantity("Features changed in that one", "features"),
        "unlike_neighbour": Quantity("Distance to the nearest training row that already gets what is wanted", "typical changes"),
    },
)  # fmt: skip
def nearest_counterfactual(row: TableRow, params: NearestCounterfactualParams, rng: np.random.Generator) -> RowReport:
    """Find the nearest row that the model decides otherwise: how far the row is from the border of its class.

    It starts from the nearest training rows of the other side and from spheres that grow around the row, walks back to the
    border, and along it by its slope there; then by balls and single features, which also borders of trees give way to.
    Every row printed was put to the model and found to be beyond the border.

    Reading:
        ``distance`` is Euclidean, in typical changes: 1 is a number moved by the median absolute deviation of the training
        data, or one changed category. It bounds the row's robustness from above: a change of that size is known to
        turn the decision, so a row with a small distance is decided by a hair. The line printed changes as few features
        as were found to do; it may be a little further off. Far below ``unlike_neighbour``, the border is near without
        any real row there: the model is sure of nothing in that direction.

    Limits:
        An upper bound, no certificate: a nearer row beyond the border may exist, more likely so with many features or few
        calls. Nothing asks that the changed row be plausible, nor that anybody could make the change; for advice, see
        diverse counterfactuals. Distances depend on the scaling of the features, and on which of them may change.
    """
    scores = row.table.score(row.z[None])[0]
    goal = goal_of(row, scores, params.wanted, 0.0, params.change)
    space = space_of(row, params.only, params.scaling, rounded=False)
    if goal.gap(scores[None])[0] <= 0:
        words = f"nothing to find: the row is {goal.aim} as it stands"
        return RowReport(dict.fromkeys(NUMBERS, float("nan")), (Statement(words, words),), _arrays(row))
    search = Search(row, goal, params.max_calls - 3)
    other = row.table.sample.z[goal.gap(row.table.sample_scores) <= 0]
    unlike = float(length(space, other).min()) if len(other) else float("nan")
    search.kept = search.calls // 4
    dense = approach(search, space, space.settle(other), rng)
    search.kept = 0
    if dense is None:
        told = nothing_found(row, goal, space, search.calls - search.left)
        numbers = dict.fromkeys(NUMBERS, float("nan")) | {"found": 0.0, "unlike_neighbour": unlike}
        return RowReport(numbers, (told,), _arrays(row))
    sparse = _sparse(search, space, dense)
    nearest = nearest_reached(search, space)
    dense = dense if nearest is None else nearest
    after = row.table.score(np.stack([dense, sparse]))
    if not (goal.gap(after) <= 0).all():  # once more, in a call of its own
        numbers = dict.fromkeys(NUMBERS, float("nan")) | {"found": 0.0, "unlike_neighbour": unlike}
        return RowReport(numbers, (nothing_found(row, goal, space, search.calls - search.left),), _arrays(row))
    near, few = (float(length(space, z[None])[0]) for z in (dense, sparse))
    changed = float(space.changed(sparse).sum())
    told = changed_row(
        row,
        goal,
        space,
        sparse,
        (float(scores[row.target]), float(after[1, row.target])),
        {"distance": near, "sparse_distance": few, "changed": changed},
    )
    numbers = {"found": 1.0, "distance": near, "sparse_distance": few, "changed": changed, "unlike_neighbour": unlike}
    return RowReport(numbers, (told,), _arrays(row, dense, sparse))


NUMBERS = ("found", "distance", "sparse_distance", "changed", "unlike_neighbour")


def _sparse(search: Search, space: Space, z: Floats) -> Floats:
    """The row with as few changes as can be found; each of them as small as the goal allows."""
    # From a little further out the changes of fewer features are enough: beyond the border itself all are needed.
    further = [space.settle((space.origin + factor * (z - space.origin))[None])[0] for factor in (2.0, 1.5, 1.25, 1.1)]
    best = z
    for start in (*further, z):
        if not search.gaps(start[None])[0] <= 0:
            continue
        few, _ = restore(search, space, start)
        few = shrink(search, space, few, times=3)
        few, _ = restore(search, space, few)
        if _better(space, few, best):
            best = few
    return best


def _better(space: Space, one: Floats, other: Floats) -> bool:
    """Fewer changes, or as many in a nearer row."""
    counts = space.changed(np.stack([one, other])).sum(axis=1)
    lengths = length(space, np.stack([one, other]))
    return bool((counts[0], lengths[0]) < (counts[1], lengths[1]))


def _arrays(row: TableRow, *found: Floats) -> dict[str, Floats]:
    """The nearest row and the one of few changes, in the table's numbers; NaN where nothing was found."""
    held = np.full((2, len(row.z)), np.nan)
    held[: len(found)] = np.reshape(found, (len(found), len(row.z)))
    return {"counterfactuals": held}
