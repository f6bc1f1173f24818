"""Meaningful perturbation by masks of probabilities (Fong & Vedaldi, 2017): https://arxiv.org/abs/1704.03296.

The paper blends a picture with a reference, pixel by pixel, and descends the network's own gradient. A game knows features
that are kept or removed, and no gradient: so the mask holds probabilities, the worth of a mask is the mean worth of the
coalitions drawn with it, and that is what the descent makes small (`_mask_descent`).
"""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, attribution
from pgx_compiler.methods.perturbation._mask_descent import Wanted, find_masks
from pgx_compiler.modalities.features import Rows
from pgx_compiler.modalities.game import game_of_row
from runtimes.capabilities import Predictor


class MeaningfulPerturbationParams(Params):
    """Parameters of meaningful perturbation."""

    game: Literal["deletion", "preservation"] = "deletion"
    """``deletion``: the fewest features whose removal lowers the score most; ``preservation``: the fewest that keep it up."""
    area: Annotated[float, Field(gt=0)] = 0.5
    """Price of the whole area, in units of the row's distance from its base value (lambda of the paper). Where features do
    not interact, those are chosen whose contribution is more than ``area`` times an even share. From 1 on, taking every
    feature costs more than taking the whole distance away brings."""
    smoothness: Annotated[float, Field(ge=0)] = 0.0
    """Price, in the same unit, of parting all pairs of neighbours (patches or segments that touch, windows or words that
    follow each other): the paper's total variation. 0: a feature is chosen whatever is beside it. Tables have no neighbours."""
    samples: Annotated[int, Field(ge=8)] | Literal["auto"] = "auto"
    """Coalitions drawn at each step for each row, rounded down to a multiple of four: as many for each of four masks. ``auto``:
    half as many as there are features, and 48 at least."""
    steps: Annotated[int, Field(ge=4)] = 64
    """Steps of each mask. Where there are no more coalitions than the steps would draw, all are asked and the best set is
    found for sure."""

    def wanted(self, features: int) -> Wanted:
        """What is looked for among so many features, in plain numbers."""
        samples = max(48, features // 2) if self.samples == "auto" else self.samples
        return Wanted(self.game == "deletion", self.area, self.smoothness, samples, self.steps)


def cost(params: MeaningfulPerturbationParams, shape: Shape) -> Cost:
    """The coalitions of all steps, the empty one and one for each mask over all references, and the row itself; or all."""
    wanted = params.wanted(shape.features)
    return Cost(
        forward=shape.rows * wanted.forward_rows(shape.features, shape.references),
        bytes=wanted.samples * (24 * shape.features + 16 * shape.outputs),
    )


def shares_targets(params: MeaningfulPerturbationParams, shape: Shape) -> bool:
    """All coalitions are asked, and answer for every target. The draws of a descent lie where the masks of one target stand."""
    return params.wanted(shape.features).is_exact(shape.features)


@attribution(
    paper="https://arxiv.org/abs/1704.03296",
    cost=cost,
    shares_targets=shares_targets,
    laws=("null_feature",),
    unit="",
    quantities={
        "score_left": Quantity("Score under the masks found, with whole features", "score"),
        "area": Quantity("Features that the masks found choose", "share"),
        "overlap": Quantity("Features that two independent masks both choose, of those that either does", "share"),
        "converged": Quantity("Rows whose masks came out about equally good", "share", "mean", "higher"),
    },
)
def meaningful_perturbation(
    model: Predictor, rows: Rows, params: MeaningfulPerturbationParams, rng: np.random.Generator
) -> FeatureValues:
    """Find the smallest mask that deletes what the score rests on (or that keeps it up), by descent on random coalitions.

    Unlike methods that remove one feature at a time, it sees evidence that is there twice: the score does not fall without
    either copy alone, and a mask removes both. Four masks are looked for independently, and their mean is given.

    Reading:
        Between 0 and 1: how firmly a feature belongs to the smallest set that takes the score away (deletion) or holds it
        up (preservation). 1: it is in every mask that was found; 0: in none, or it lowers the score. Values in between:
        masks that do about as well differ there. The standard error is that of the mean of four independent masks. The
        score left is that of the row without the chosen features (deletion) or with nothing else (preservation), to be
        held against the row's own score and the base value. Where there are few features all sets are asked, and the best
        one is given, or the mean of those that are equally good.

    Limits:
        It is a set and no measure of size: a feature that brings little more than its price gets the same 1 as the
        decisive one. The price of the area decides how large the set is. Evidence against the score gets zero, and a row
        without any evidence for it zeros throughout. Of features that can stand for one another deletion has to take all
        and preservation takes any, so that its masks may differ between runs, which the overlap shows. A descent may end in
        a set that is not the best, and with few steps or samples in noise: of many features that do nothing some are then in
        one mask or another, so that small values must be held against their standard errors. Removed features are filled independently of
        those that are kept, on rows that may never occur. The paper's masks are blends with a blurred picture, finer than
        features: see extremal perturbation for blends. Where not all sets are asked, a descent serves one target: each of
        several costs as much again, and of more than ten the first alone is explained.
    """
    # The coalitions of a descent help no other target: so this takes rows and a model, and not a game.
    shape = Shape(len(rows), len(rows.features), len(rows.references))
    shared = rows.targets if shares_targets(params, shape) else None
    asked = rows.target[:, None] if shared is None else shared
    places = np.zeros(len(rows), np.int64) if shared is None else rows.primary
    values, errors = (np.zeros((len(rows), len(rows.features), asked.shape[1])) for _ in range(2))
    notes = {name: np.zeros(len(rows)) for name in ("score_left", "area", "overlap", "converged")}
    for row, own in enumerate(rng.spawn(len(rows))):
        game = game_of_row(model, rows.inputs, row, rows.references, rows.features, asked[row])
        masks = find_masks(game, params.wanted(game.n_features), own)
        for place, found in enumerate(masks):
            values[row, : game.n_features, place] = found.values
            errors[row, : game.n_features, place] = found.standard_error
        first = masks[places[row]]
        told = (first.score_left, float(first.chosen.mean()), first.overlap, float(first.converged))
        for name, number in zip(notes, told, strict=True):
            notes[name][row] = number
    if shared is None:
        return FeatureValues(values[:, :, 0], errors[:, :, 0], notes)
    return FeatureValues(values, errors, notes)
