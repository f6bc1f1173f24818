"""Score curves along an order of the features, shared by deletion and insertion."""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

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
    """Random orders whose mean curve is the floor."""


def counts(features: int, steps: int) -> Integers:
    """How many features have been moved at each point of the curve, from 0 to all."""
    return np.unique(np.round(np.linspace(0, features, min(steps, features) + 1)).astype(np.int64))


def curve_cost(params: CurveParams, shape: Shape) -> Cost:
    """The inner points of every order and the empty coalition over all references; and the row itself."""
    inner = len(counts(shape.features, params.steps)) - 2
    asked = inner * (1 + params.random_orders)
    return Cost(
        forward=shape.rows * ((asked + 1) * shape.references + 1),
        bytes=asked * (shape.features + 16),
    )


def orders(values: Floats, params: CurveParams, rng: np.random.Generator) -> list[Integers]:
    """The explanation's order of the features (ties at random), then the random ones."""
    key = values if params.order == "signed" else np.abs(values)
    shuffled = rng.permutation(len(key))
    by_value = shuffled[np.argsort(-key[shuffled], kind="stable")]
    return [by_value, *(rng.permutation(len(key)) for _ in range(params.random_orders))]


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
