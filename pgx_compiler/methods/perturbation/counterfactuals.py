"""Diverse counterfactuals (DiCE; Mothilal, Sharma & Tan, 2020): https://arxiv.org/abs/1905.07697."""

from typing import Annotated

import numpy as np
from pydantic import Field, model_validator

from pgx_compiler.evidence.results import RowReport, Statement
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, local_explanation
from pgx_compiler.methods.perturbation._counterfactual_breeding import breed
from pgx_compiler.methods.perturbation._counterfactual_goal import OTHER, goal_of
from pgx_compiler.methods.perturbation._counterfactual_polish import Found, polished
from pgx_compiler.methods.perturbation._counterfactual_search import Search, Space, space_of
from pgx_compiler.methods.perturbation._counterfactual_words import changed_row, nothing_found
from pgx_compiler.modalities._table_metric import Scaling
from pgx_compiler.modalities.table import MOST_SAMPLED, TableRow
from runtimes.capabilities import Floats


class CounterfactualsParams(Params):
    """Parameters of diverse counterfactuals."""

    count: Annotated[int, Field(ge=1, le=20)] = 3
    """How many are looked for, for each row."""
    wanted: str = OTHER
    """The class that the row should get: a name of `model.classes`, or ``other``: any but the predicted one."""
    change: float | None = None
    """Of a regression: by how much the score should at least rise (or fall, where negative). Without it and `range`: by
    the standard deviation of the labels (of their logarithms where those are explained), either way."""
    range: tuple[float, float] | None = None
    """Of a regression: between which values the score should come to lie."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """By how much the wanted class must lead, in the score's unit."""
    only: list[str] | None = None
    """The features that may change (default: all that are not `immutable`)."""
    most_changed: Annotated[int, Field(ge=1)] | None = None
    """The most features that a counterfactual may change (default: any number)."""
    scaling: Scaling = "mad"
    """What counts as a change of 1 in a number: ``mad``, the median absolute deviation of the training data, or ``range``,
    its range. A category that changes counts 1."""
    max_calls: Annotated[int, Field(ge=50)] = 2000
    """Rows that the model may be asked for each explained row; what is not found by then is not found."""

    @model_validator(mode="after")
    def _in_order(self) -> "CounterfactualsParams":
        if self.range is not None and self.range[0] > self.range[1]:
            raise ValueError("`range` must be [low, high]")
        if self.change == 0:
            raise ValueError("`change` must not be 0")
        return self


def cost(params: CounterfactualsParams, shape: Shape) -> Cost:
    """At most the budget of each row; and the training rows once, to know which are of which class."""
    forward = shape.rows * params.max_calls + min(shape.train_rows, MOST_SAMPLED)
    return Cost(forward=forward, bytes=params.max_calls * shape.features * 32 + MOST_SAMPLED**2 * 32)


@local_explanation(
    modalities={"tabular"},
    paper="https://arxiv.org/abs/1905.07697",
    cost=cost,
    laws=("price_is_a_ceiling", "counterfactuals_hold", "repeatable"),
    quantities={
        "found": Quantity("Rows with at least one counterfactual", "share", "mean", "higher"),
        "distance": Quantity("Distance of the nearest counterfactual", "typical changes"),
        "changed": Quantity("Features changed in the nearest counterfactual", "features"),
        "diversity": Quantity("Changed features that two counterfactuals of a row do not share", "share", "mean", "higher"),
        "plausibility": Quantity("Counterfactuals as near to training rows as those to one another", "share", "mean", "higher"),
        "irreducible": Quantity("Counterfactuals shown to need every one of their changes", "share", "mean", "higher"),
    },
)  # fmt: skip
def counterfactuals(row: TableRow, params: CounterfactualsParams, rng: np.random.Generator) -> RowReport:
    """Find a few small and different changes of a row, each of which makes the model decide otherwise.

    Immutable features keep their values, numbers stay in their range and whole where the data is, categories are ones that
    occur. The search breeds rows from nearby training rows of the other side and from changes of single features, then
    gives back every change that is not needed and shortens the others. Each further counterfactual is first sought without
    the features that the earlier ones change. Every one printed was put to the model once more.

    Reading:
        Each line is a complete alternative: with these changes, and no other, the model decides otherwise. The first has
        the least distance. A distance of 1 is one changed category, or a number moved by the median absolute
        deviation of the training data. ``plausibility`` is the share whose nearest training row is no further off than the
        nearest neighbours of 95 of 100 training rows are: the others are combinations that hardly occur. Rows without a
        counterfactual are a result too: within the budget, nothing that may change turns the decision.

    Limits:
        It tells what would change the model's answer, not what would change the world: nothing says that the person
        could make the change, nor that other features would stay as they are when one of them moves. The search is not
        exhaustive: nearer ones may exist, and "not found" is no proof that there is none. Where a small change
        of an odd kind is enough, it may show a weakness of the model rather than advice.
    """
    scores = row.table.score(row.z[None])[0]
    goal = goal_of(row, scores, params.wanted, params.margin, params.change, params.range)
    space = space_of(row, params.only, params.scaling, rounded=True)
    if goal.gap(scores[None])[0] <= 0:
        words = f"nothing to find: the row is {goal.aim} as it stands"
        return RowReport(dict.fromkeys(NUMBERS, float("nan")), (Statement(words, words),), _arrays(params, [], row))
    search = Search(row, goal, params.max_calls - 1 - params.count)
    found = _diverse(search, space, params, rng)
    after = row.table.score(np.stack([z for z, _ in found])) if found else np.zeros((0, len(scores)))
    holds = goal.gap(after) <= 0  # once more, in a call of its own
    found = [one for one, still in zip(found, holds, strict=True) if still]
    return _report(row, search, space, params, found, (float(scores[row.target]), after[holds, row.target]))


NUMBERS = ("found", "distance", "changed", "diversity", "plausibility", "irreducible")


def _diverse(search: Search, space: Space, params: CounterfactualsParams, rng: np.random.Generator) -> list[Found]:
    """Counterfactuals one after another, each without the features of the earlier ones where that can be."""
    found: list[Found] = []
    most = params.most_changed or len(space.origin)
    for turn in range(params.count):
        share = search.left // (params.count - turn)
        another = _another(search, space, most, params, found, share, rng)
        if another is None and not found:
            # nothing was found yet: what was kept for further ones is of no use but for the first
            another = _another(search, space, most, params, found, search.left, rng)
        if another is not None:
            found.append(another)
        elif not found:
            break
    return sorted(found, key=lambda one: (float(space.distance(one[0])), one[0].tobytes()))


def _another(
    search: Search,
    space: Space,
    most: int,
    params: CounterfactualsParams,
    found: list[Found],
    share: int,
    rng: np.random.Generator,
) -> Found | None:
    """One more counterfactual for a share of the budget, or None."""
    options = _fresh(space, found)
    for done, fresh in enumerate(options):
        part = share // (2 ** (done + 1)) if done + 1 < len(options) else share // (2**done)
        search.kept = search.left - min(search.left, part // 2)
        breed(search, fresh, most, rng)
        search.kept = max(0, search.left - part // 2)
        another = polished(search, space, most, params.scaling, found, last=done + 1 == len(options))
        if another is not None:
            return another
    return None


def _fresh(space: Space, found: list[Found]) -> list[Space]:
    """Where to look for another: without the features of those found, else without the largest change of each, or of one."""
    if not found:
        return [space]
    sets = [np.flatnonzero(space.changed(z)).tolist() for z, _ in found]
    largest = [int(np.argmax(space.metric.differences(z, space.origin))) for z, _ in found]
    held = [sorted({j for one in sets for j in one}), sorted(set(largest)), *([j] for j in reversed(largest))]
    distinct = [list(one) for one in dict.fromkeys(map(tuple, held))]
    return [fresh for fresh in map(space.without, distinct) if len(fresh.changeable)]


def _report(
    row: TableRow,
    search: Search,
    space: Space,
    params: CounterfactualsParams,
    found: list[Found],
    scores: tuple[float, Floats],
) -> RowReport:
    if not found:
        numbers = dict.fromkeys(NUMBERS, float("nan")) | {"found": 0.0}
        told = nothing_found(row, search.goal, space, search.calls - search.left)
        return RowReport(numbers, (told,), _arrays(params, [], row))
    z = np.stack([one for one, _ in found])
    neighbours = row.table.neighbourhood(params.scaling)
    nearest = neighbours.nearest(z)
    distance, changed = space.distance(z), space.changed(z)
    pairs = [(a, b) for a in range(len(z)) for b in range(a)]
    apart = [1 - (changed[a] & changed[b]).sum() / (changed[a] | changed[b]).sum() for a, b in pairs]
    before, after = scores
    said = [
        changed_row(
            row,
            search.goal,
            space,
            z[i],
            (before, float(after[i])),
            {
                "distance": float(distance[i]),
                "changed": float(changed[i].sum()),
                "plausible": float(nearest[i] <= neighbours.usual),
            },
        )
        for i in range(len(z))
    ]
    numbers = {
        "found": 1.0,
        "distance": float(distance[0]),
        "changed": float(changed[0].sum()),
        "diversity": float(np.mean(apart)) if apart else float("nan"),
        "plausibility": float((nearest <= neighbours.usual).mean()),
        "irreducible": float(np.mean([certain for _, certain in found])),
    }
    return RowReport(numbers, tuple(said), _arrays(params, list(z), row))


def _arrays(params: CounterfactualsParams, found: list[Floats], row: TableRow) -> dict[str, Floats]:
    """The counterfactuals in the table's numbers, NaN where fewer were found."""
    held = np.full((params.count, len(row.z)), np.nan)
    held[: len(found)] = np.reshape(found, (len(found), len(row.z)))
    return {"counterfactuals": held}
