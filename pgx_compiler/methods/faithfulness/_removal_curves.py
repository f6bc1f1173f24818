"""Score curves along an order of the features, shared by deletion and insertion."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.methods.agreement._rounding import levelled
from pgx_compiler.methods.declaration import Cost, Params, Shape
from pgx_compiler.modalities.game import Game, Masks
from runtimes.capabilities import Floats, Integers


class CurveParams(Params):
    """Parameters of a curve of scores."""

    steps: Annotated[int, Field(ge=1)] = 32
    """Into how many steps, as even as whole features allow, the way from all features to none is cut."""
    order: Literal["signed", "magnitude"] = "signed"
    """``signed``: first the features that are said to raise the score most; ``magnitude``: first the largest values,
    whatever their sign."""
    random_orders: Annotated[int, Field(ge=1)] = 10
    """Random orders whose mean curve is the floor; one more where no features are level, which then need no second order."""


def counts(features: int, steps: int) -> Integers:
    """How many features have been moved at each point of the curve, from 0 to all."""
    return np.unique(np.round(np.linspace(0, features, min(steps, features) + 1)).astype(np.int64))


def curve_cost(params: CurveParams, shape: Shape) -> Cost:
    """The inner points of every order and the empty coalition over all references; and the row itself."""
    inner = len(counts(shape.features, params.steps)) - 2
    asked = inner * (2 + params.random_orders)
    return Cost(
        forward=shape.rows * ((asked + 1) * shape.references + 1),
        bytes=asked * (shape.features + 16),
    )


def orders(values: Floats, params: CurveParams) -> list[Integers]:
    """The explanation's order of the features; two where it puts some level that rounding alone may keep apart.

    Then these follow each other as they stand in the row in the one, and the other way round in the other. The mean of both is
    no chance and favours none that stands first: where features do not interact, the area below it is that of all their orders.
    """
    key = -levelled((values if params.order == "signed" else np.abs(values))[None])[0]
    forwards = np.argsort(key, kind="stable")
    backwards = len(key) - 1 - np.argsort(key[::-1], kind="stable")
    return [forwards] if np.array_equal(forwards, backwards) else [forwards, backwards]


def judged_curves(
    game: Game, values: Floats, params: CurveParams, rng: np.random.Generator, *, inserting: bool
) -> tuple[Floats, Integers, float, float]:
    """The curve of an explanation's order and then those of random ones, as `curves` gives them; points; full; empty."""
    moved, own = counts(game.n_features, params.steps), orders(values, params)
    # as many orders in all whether or not features are level, so that the price is known before
    ways = [*own, *(rng.permutation(len(values)) for _ in range(params.random_orders + 2 - len(own)))]
    found, full, empty = curves(game, ways, moved, inserting)
    return np.concatenate([found[: len(own)].mean(axis=0)[None], found[len(own) :]]), moved, full, empty


def curves(game: Game, ways: Sequence[Integers], moved: Integers, inserting: bool) -> tuple[Floats, float, float]:
    """Score of the game's first target after each number of moved features, ``(orders, points)``; full; empty.

    Args:
        game: the row's game.
        ways: orders of the features, first moved first.
        moved: how many features have been moved at each point.
        inserting: features are put back into the empty row; else removed from the full one.
    """
    full, empty = float(game.full()[0]), float(game.empty()[0])
    inner = moved[1:-1]
    masks: Masks = np.zeros((len(ways), len(inner), game.n_features), bool)
    for way, order in enumerate(ways):
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        masks[way] = (rank < inner[:, None]) == inserting
    found = np.empty((len(ways), len(moved)))
    found[:, 0], found[:, -1] = (empty, full) if inserting else (full, empty)
    found[:, 1:-1] = game.value(masks.reshape(-1, game.n_features))[:, 0].reshape(len(ways), len(inner))
    return found, full, empty


def area(curve: Floats, moved: Integers) -> Floats:
    """Mean height of each curve, by the trapezoid rule over the share of features moved: in the score's unit."""
    return np.asarray(np.trapezoid(curve, moved / moved[-1], axis=-1), np.float64)
