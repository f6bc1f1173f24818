"""Extremal perturbations (Fong, Patrick & Vedaldi, 2019): https://arxiv.org/abs/1910.08485.

Among all masks of one area, the one under which the score is highest (or, deleting, lowest). The paper keeps to the area by
a penalty on the distance between the sorted mask and one that is 1 on the area and 0 elsewhere. Here the area is a
constraint, which is what the penalty becomes with growing weight: each step of the ascent is projected onto the masks of at
most that area. In the last part the sorted mask is drawn to 0 and 1, as in the paper. A feature without evidence is left
out even where the area would have room for it. Masks have one number for each feature, so that both directions compare;
where the paper smooths pixels by a maximum convolution, here are features and a pull towards their neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, attribution
from pgx_compiler.methods.gradient._paths import no_path, path_starts
from pgx_compiler.modalities.features import FeatureMap, Rows
from pgx_compiler.modalities.neighbours import neighbours
from runtimes.capabilities import Differentiable, Floats, Integers
from runtimes.target import ModelFacts

RATE = 0.1
"""How far one step moves a feature whose slope is that of the last feature inside the area (own default)."""
STEEPEST = 3.0
"""A feature moves at most so many times as far."""
LEAST = 0.01
"""Where the area has room for features that are hardly read, or not at all, the unit is this share of the largest slope."""
MOMENTUM = 0.8
"""Weight of the earlier slopes against the new one."""
SHRINKING = 0.5
"""Share of the steps in which the area shrinks from half of the row: a mask that shows next to nothing has no slope to go by."""
SHARPENING = 0.3
"""Share of the steps, the last ones, in which the mask is drawn to 0 and 1."""
DRAWN = 2.0
"""How strongly, in the end; over the last steps it is enough to cross the mask."""
COST = 0.02
"""What a feature's slope must pay, as a share of that of the last feature inside the area: so that the idle ones end at 0."""
TIED = 1e-6
"""Features closer than this stand on the same place: rounding must not decide which of equal ones is inside the area."""

Area = Annotated[float, Field(gt=0, lt=1)]


class ExtremalPerturbationParams(Params):
    """Parameters of extremal perturbation."""

    game: Literal["preservation", "deletion"] = "preservation"
    """``preservation``: the area that shown alone gives the highest score; ``deletion``: the area without which it is lowest."""
    areas: Annotated[tuple[Area, ...], Field(min_length=1, max_length=16)] = (0.1, 0.2, 0.4)
    """Shares of the row's features that a mask may take, one mask each, which are averaged (the paper looks at several, too).
    Each costs as much again. Of few features one at least is taken."""
    smoothness: Annotated[float, Field(ge=0)] = 0.3
    """Weight of a pull towards the mean of the neighbours (patches or segments that touch, windows or words that follow each
    other), as a share of the slope of the last feature inside the area. 0: none. Tables have no neighbours."""
    steps: Annotated[int, Field(ge=20, le=4096)] = 60
    """Steps of each mask; each asks for one gradient (the authors' code takes 800, for masks of pixels)."""


def cost(params: ExtremalPerturbationParams, shape: Shape) -> Cost:
    """A gradient for each row, reference, area and step; then the score of what was found."""
    points = shape.rows * shape.references * len(params.areas)
    return Cost(forward=points, backward=points * params.steps, bytes=64 * points * shape.features)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with an input that can be varied continuously."""
    return no_path(facts)


@attribution(
    paper="https://arxiv.org/abs/1910.08485",
    cost=cost,
    laws=("null_feature", "implementation_invariance", "shift_invariance"),
    unit="",
    quantities={
        "score_under_mask": Quantity("Score under the masks found, with whole features, mean over areas", "score")
    },
    admits=admits,
)
def extremal_perturbation(model: Differentiable, rows: Rows, params: ExtremalPerturbationParams) -> FeatureValues:
    """Find the mask of a given area under which the score is highest (or lowest), by the model's own gradient.

    A row under a mask is a blend, feature by feature, of the row and its references; with several references the mean score
    over them is followed. One mask is found for each of several areas, and their mean is given.

    Reading:
        Between 0 and 1: for how many of the areas the feature belongs to the mask. 1: even to that of the smallest area;
        0: to none. So the values put features in an order, in as many grades as there are areas. Nothing is taken
        that does not raise the score, even where the area would have room.

    Limits:
        It is a set and no measure of size. The ascent ends in a mask that no small change improves, which need not be the
        best one; equal features that do not both fit share the place. Half-blended rows may never occur, and the model's
        gradient there guides the search. Evidence against the score gets zero, and a row without any evidence for it zeros
        throughout. A saturated probability has no slope to follow: explain the logit. Of features that can stand for one
        another preservation takes any. Values of few areas have many ties.
    """
    masks = _Masks.over(rows, params)
    slope, evidence = np.zeros_like(masks.chosen), np.zeros_like(masks.chosen)
    unit = np.zeros(masks.room.shape)
    for step in range(params.steps):
        found = _slopes(model, rows, masks.chosen, params)
        largest = np.abs(found).max(axis=2, keepdims=True)
        found = np.where(np.abs(found) > TIED * largest, found, 0.0)  # what a float's last digits say is no evidence
        # In units of the last feature inside the area, at the steepest so far: what has saturated slows down.
        last = np.take_along_axis(-np.sort(-np.abs(found), axis=2), masks.room - 1, axis=2)
        unit = np.maximum(unit, np.maximum(last, LEAST * largest))  # few features may be read
        found = np.divide(found, unit, out=np.zeros_like(found), where=unit > 0)
        slope = MOMENTUM * slope + (1 - MOMENTUM) * np.clip(found, -STEEPEST, STEEPEST)
        evidence += found
        masks = masks.moved(slope, evidence, step, params)
    return FeatureValues(
        masks.chosen.mean(axis=0), notes={"score_under_mask": _scores(model, rows, masks.chosen, params)}
    )


@dataclass(frozen=True)
class _Masks:
    """Masks of all areas and rows, and how far they may go."""

    chosen: Floats
    """``(areas, rows, features)``, 0 to 1."""
    present: NDArray[np.bool_]
    """``(rows, features)``."""
    room: Integers
    """``(areas, rows, 1)``: how many features fit."""
    pairs: tuple[Integers, ...]
    """Of each row, those of its features that are neighbours."""

    @classmethod
    def over(cls, rows: Rows, params: ExtremalPerturbationParams) -> "_Masks":
        """Masks to begin with: each feature half in."""
        present = rows.features.present(len(rows))
        count = present.sum(axis=1)
        room = np.maximum(1, np.round(np.asarray(params.areas)[:, None] * count).astype(np.int64))
        chosen = np.broadcast_to(0.5 * present, (len(params.areas), *present.shape)).copy()
        if not params.smoothness:
            pairs = [np.zeros((0, 2), np.int64)] * len(rows)
        elif rows.features.varies:
            pairs = [neighbours(rows.features.of_row(row)) for row in range(len(rows))]
        else:
            pairs = [neighbours(rows.features)] * len(rows)
        return cls(chosen, present, room[:, :, None], tuple(pairs))

    def moved(self, slope: Floats, evidence: Floats, step: int, params: ExtremalPerturbationParams) -> "_Masks":
        """The masks after one step along slopes ``(areas, rows, features)``; the evidence is the sum of those of all steps."""
        gone = (step + 1) / params.steps
        late = max(0.0, (gone - 1 + SHARPENING) / SHARPENING)
        push = slope - COST + params.smoothness * self._to_neighbours() + DRAWN * late * self._to_ends(evidence)
        half = np.maximum(self.room, self.present.sum(axis=1)[:, None] / 2)
        area = half * (self.room / half) ** min(1.0, gone / SHRINKING)
        return _Masks(
            within(np.where(self.present, self.chosen + RATE * push, 0.0), area), self.present, self.room, self.pairs
        )

    def _to_ends(self, evidence: Floats) -> Floats:
        """1 for the largest of the mask as far as there is room, -1 for the rest; equal ones at the border share."""
        border = np.take_along_axis(-np.sort(-self.chosen, axis=2), self.room - 1, axis=2)
        above, tied = self.chosen > border + TIED, np.abs(self.chosen - border) <= TIED
        share = (self.room - above.sum(axis=2, keepdims=True)) / tied.sum(axis=2, keepdims=True)
        return np.where(evidence > 0, np.where(above, 1.0, np.where(tied, 2 * share - 1, -1.0)), -1.0)

    def _to_neighbours(self) -> Floats:
        """The mean of a feature's neighbours less itself."""
        pull = np.zeros_like(self.chosen)
        features = self.chosen.shape[2]
        for row, pairs in enumerate(self.pairs):
            count = np.maximum(1, np.bincount(pairs.reshape(-1), minlength=features))
            for one, other in (pairs.T, pairs.T[::-1]):
                for area, mask in enumerate(self.chosen[:, row]):
                    pull[area, row] += np.bincount(one, mask[other] - mask[one], features) / count
        return pull


def within(masks: Floats, area: Floats) -> Floats:
    """The nearest masks ``(..., features)`` with values from 0 to 1 and a sum of at most ``area (..., 1)``.

    What is too much is taken off all alike, until they fit: by halving, to the last bit.
    """
    inside = np.clip(masks, 0.0, 1.0)
    low, high = np.zeros(area.shape), np.maximum(masks.max(axis=-1, keepdims=True), 0.0)
    for _ in range(60):
        middle = (low + high) / 2
        fits = np.clip(masks - middle, 0.0, 1.0).sum(axis=-1, keepdims=True) <= area
        low, high = np.where(fits, low, middle), np.where(fits, middle, high)
    fits = inside.sum(axis=-1, keepdims=True) <= area
    return np.where(fits, inside, np.clip(masks - high, 0.0, 1.0))


def _slopes(model: Differentiable, rows: Rows, chosen: Floats, params: ExtremalPerturbationParams) -> Floats:
    """How fast the score rises (or falls, deleting) as each feature is chosen, ``(areas, rows, features)``; mean over references."""
    total = np.zeros_like(chosen)
    for area, row, reference in _points(model, rows, len(chosen)):
        keep = chosen[area, row] if params.game == "preservation" else 1.0 - chosen[area, row]
        blends, ways = _blended(rows, keep, row, reference)
        gradient = model.gradient(blends, rows.target[row])
        for name, way in ways.items():
            way *= gradient[name]
        np.add.at(total, (area, row), _features_of(rows, row).sum_onto(ways) / len(rows.references))
    return total


def _scores(model: Differentiable, rows: Rows, chosen: Floats, params: ExtremalPerturbationParams) -> Floats:
    """Score under the masks with whole features, mean over areas and references, ``(rows,)``."""
    total = np.zeros(len(rows))
    for area, row, reference in _points(model, rows, len(chosen)):
        whole = chosen[area, row] >= 0.5
        keep = np.asarray(whole if params.game == "preservation" else ~whole, np.float64)
        blends, _ = _blended(rows, keep, row, reference)
        scores = model.predict(blends)[np.arange(len(row)), rows.target[row]]
        np.add.at(total, row, scores / (len(chosen) * len(rows.references)))
    return total


def _points(model: Differentiable, rows: Rows, areas: int) -> Iterator[tuple[Integers, Integers, Integers]]:
    """Positions of areas, rows and references, all with all, as many at a time as a call of the model takes."""
    each = len(rows) * len(rows.references)
    for start in range(0, areas * each, model.rows_per_call):
        area, rest = np.divmod(np.arange(start, min(start + model.rows_per_call, areas * each)), each)
        yield area, *np.divmod(rest, len(rows.references))


def _blended(
    rows: Rows, keep: Floats, row: Integers, reference: Integers
) -> tuple[dict[str, NDArray[Any]], dict[str, Floats]]:
    """Blends of rows and references by masks ``(points, features)``, and what each element changes from mask 0 to 1."""
    starts = path_starts(rows, row, reference)
    padded = np.concatenate([keep, np.ones((len(keep), 1))], axis=1)  # the last column serves what is fixed
    blends: dict[str, NDArray[Any]] = {}
    ways: dict[str, Floats] = {}
    for name, array in rows.inputs.items():
        end = array[row]
        if not np.issubdtype(array.dtype, np.floating):
            blends[name] = end
            continue
        owner = _features_of(rows, row).owners[name]
        if rows.features.varies:
            share = np.take_along_axis(padded, owner.reshape(len(row), -1) % padded.shape[1], axis=1).reshape(
                owner.shape
            )
        else:
            share = padded[:, owner]
        ways[name] = np.subtract(end, starts[name], dtype=np.float64)
        blends[name] = (starts[name] + share * ways[name]).astype(array.dtype)
    return blends, ways


def _features_of(rows: Rows, row: Integers) -> FeatureMap:
    """The features of rows that may come several times."""
    own = rows.features
    if own.counts is None:
        return own
    return FeatureMap(own.names, {name: owner[row] for name, owner in own.owners.items()}, own.layout, own.counts[row])
