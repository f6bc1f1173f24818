"""Whether what a model says of a row still stands when features are removed, and how a set of features is told."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import RowReport, Statement
from pgx_compiler.methods.declaration import Cost, Params, Shape
from pgx_compiler.methods.perturbation._smallest_set import Smallest
from pgx_compiler.modalities.game import Game, Masks
from runtimes.capabilities import Floats

MOST_NAMED = 12
"""Features that a sentence names; of more it says how many there are."""


class SetParams(Params):
    """Parameters of methods that look for a smallest set of features."""

    criterion: Literal["auto", "decision", "score"] = "auto"
    """What must stand. ``decision``: the output that leads for the row leads still (whichever is explained); ``score``: the
    explained score is kept up to ``share`` of its distance from the references' mean. ``auto``: the decision where the
    model has several outputs, else the score."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Of criterion ``score``: which part of the row's distance from the base value counts as the whole (Carter et al., 2019,
    leave the threshold to the author; own default)."""
    samples: Annotated[int, Field(ge=16)] | Literal["auto"] = "auto"
    """Most coalitions asked of the model for each row; ``auto``: 2 for each feature, and 2048. Where there are no more than
    that, all are asked and the set is proven to be the smallest."""


def percent(share: float) -> str:
    """``90%``, and ``99.9%`` where that is what was asked."""
    return f"{100 * share:.6g}%"


def most_sets(params: SetParams, features: int) -> int:
    """Coalitions that may be asked for each row."""
    return 2 * features + 2048 if params.samples == "auto" else params.samples


def set_cost(params: SetParams, shape: Shape) -> Cost:
    """At most: the coalitions and the empty one over all references, and the row itself."""
    most = min(most_sets(params, shape.features), 2**shape.features)
    return Cost(
        forward=shape.rows * ((most + 1) * shape.references + 1),
        bytes=most * (3 * shape.features + 16 * shape.outputs),
    )


@dataclass(frozen=True)
class Standing:
    """How firmly the row's decision or score stands under any coalition."""

    lead: Callable[[Masks], Floats]
    """``(n,)`` for masks ``(n, features)``; above zero: it stands. Of a decision, in the score's unit, how far the leading
    output is ahead; of a score, how far the part of the distance that is kept is above ``share``."""
    of_row: float
    """The lead with everything kept."""
    is_decision: bool


def standing(game: Game, params: SetParams) -> Standing:
    """What must stand for this row. Asks for the row, and for the empty coalition where it is the score."""
    whole, scores = game.of_all_outputs()
    if params.criterion == "decision" or (params.criterion == "auto" and len(scores) > 1):
        leader = int(np.argmax(scores))

        def ahead(masks: Masks) -> Floats:
            worth = whole.value(masks)
            return _ahead(worth, leader)

        return Standing(ahead, float(_ahead(scores[None], leader)[0]), True)
    full, empty = scores[game.targets], game.empty()
    distance = float((full - empty)[0])
    if abs(distance) <= 1e-12 * max(abs(float(full[0])), abs(float(empty[0])), 1e-300):
        return Standing(lambda masks: np.full(len(masks), 1 - params.share), 1 - params.share, False)
    return Standing(
        lambda masks: (game.value(masks)[:, 0] - float(empty[0])) / distance - params.share, 1 - params.share, False
    )


def _ahead(worth: Floats, leader: int) -> Floats:
    """How far one output is ahead of the best of the others, ``(n,)``; of a single output, how far above zero."""
    others = np.delete(worth, leader, axis=1)
    return np.asarray(worth[:, leader] - (others.max(axis=1) if others.shape[1] else 0.0), np.float64)


def set_numbers(found: Smallest | None, features: int) -> dict[str, float]:
    """The numbers of a row: size and share are undefined where nothing was found."""
    if found is None:
        return {"found": 0.0}
    size = float(found.members.sum())
    return {"found": 1.0, "size": size, "share": size / max(1, features), "proven": float(found.proven)}


def set_report(
    game: Game, found: Smallest | None, tell: Callable[[str], str], lead: float, of_row: float, name: str
) -> RowReport:
    """What is said of a row. ``tell`` makes a sentence of the words for the features; ``name`` is that of the array."""
    numbers = set_numbers(found, game.n_features)
    if found is None:
        return RowReport(numbers, arrays={name: np.zeros(game.n_features, bool)})
    chosen = [feature for feature, inside in zip(game.features.names, found.members, strict=True) if inside]
    told = {**numbers, "lead": lead, "lead_of_row": of_row}
    told.pop("found")
    counted = f"{len(chosen)} of {game.n_features} features"
    # The words of a text are the row's own content; columns, patches and windows are not.
    hidden = game.features.layout.get("kind") == "words"
    statement = Statement(
        tell(_named(chosen, counted)),
        tell(counted if hidden or len(chosen) > MOST_NAMED else _named(chosen, counted)),
        tuple(chosen),
        told,
    )
    return RowReport(numbers, (statement,), {name: found.members})


def _named(chosen: list[str], counted: str) -> str:
    if not chosen:
        return "no feature"
    shown = ", ".join(chosen[:MOST_NAMED])
    return f"{counted} ({shown}{', …' if len(chosen) > MOST_NAMED else ''})"
