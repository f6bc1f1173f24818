"""Importance without a feature, no model fitted again (Covert, Lundberg & Lee, 2021): https://arxiv.org/abs/2011.14878."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Report
from pgx_compiler.methods.declaration import Cost, Need, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._effects_loss import LABELS_MISSING, Loss, LossName, loss_of
from pgx_compiler.methods.perturbation._effects_report import chosen, increase_report
from pgx_compiler.methods.perturbation._effects_strata import strata
from pgx_compiler.methods.precaution._wording import not_measured
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats, Integers

TITLE = "Importance without a feature"


class MarginalisedImportanceParams(Params):
    """Parameters of the importance without a feature."""

    loss: LossName = "auto"
    """What is counted: ``log_loss`` or ``error_rate`` for classes, ``squared_error`` or ``absolute_error`` for values;
    ``auto``: the first of each."""
    samples: Annotated[int, Field(ge=2, le=1000)] = 32
    """Values, drawn from the training rows, that stand for the missing one; where there are no more different ones, each is
    asked with its share (own choice: what averaging over few adds to the loss falls with their number)."""
    rows: Annotated[int, Field(ge=2)] = 1000
    """Most unseen rows to ask about (1000: as for permutation importance)."""
    conditional: bool = True
    """Draw values only from training rows that are alike in the other features (the leaves of a decision tree that predicts
    the feature from them), since a model fitted again without the feature would make up for it by the others."""
    depth: Annotated[int, Field(ge=1, le=12)] = 4
    """Most questions that such a tree asks in a row: at most 16 groups of rows, each of 30 training rows or more (own
    choice)."""


def cost(params: MarginalisedImportanceParams, shape: Shape) -> Cost:
    """Every row as it is, and with so many values of each feature; features with fewer values cost less."""
    rows = min(params.rows, shape.unseen_rows)
    asked = rows * params.samples
    return Cost(forward=rows + asked * shape.features, bytes=8 * asked * (shape.features + 2 * shape.outputs))


@global_explanation(
    paper="https://arxiv.org/abs/2011.14878",
    cost=cost,
    needs={"labels"},
    measures=("importance_{feature}", "loss"),
    measures_need=dict.fromkeys(("importance_{feature}", "loss"), (Need("unseen_labels"),)),
    laws=("unread_feature", "price_is_a_ceiling", "repeatable"),
)
def marginalised_importance(table: Table, params: MarginalisedImportanceParams, rng: np.random.Generator) -> Report:
    """Measure how much worse the model predicts the labels when it is not told the value of a feature.

    The prediction without a feature is the mean of the model's predictions over values that the feature could have had. It is what
    leaving one feature out (LOFO) measures by fitting the model again, without fitting anything: the audited file is kept.

    Reading:
        The increase of the mean loss, in the loss's own unit, beside the loss with all features. Zero: the model predicts
        as well without knowing the value. Below zero: better. A feature whose interval holds zero has not been shown
        to matter for the model's accuracy. Permutation importance gives the model a wrong value, and so counts the harm of being
        misled: under the squared error up to twice as much. This one averages over what could be, and counts only what
        is lost by not knowing. Conditional values count what the feature knows beyond the other features.

    Limits:
        A model fitted again without the feature may find other ways to predict: this tells what this model loses, and no more. The
        tree finds only part of what features have in common; what it misses makes rows that cannot occur. Two features
        that say the same share their importance, or hide it altogether where it is conditional. The interval
        covers the choice of rows and drawn values, not the tree. The values do not add up to anything.
    """
    split = table.unseen
    if split.labels is None:
        return not_measured("loss", "Loss with all features", LABELS_MISSING)
    rows = chosen(split, params.rows, rng)
    held, labels = split.z[rows], split.labels[rows]
    loss = loss_of(table, params.loss)
    before = loss.of(loss.predicted(table.score(held)), labels)
    increase = np.zeros((len(held), len(table)))
    for feature in range(len(table)):
        group, given = _groups(table, params, held, feature, rng)
        said = _without(table, loss, held, feature, (group, given), params.samples, rng)
        increase[:, feature] = loss.of(said, labels) - before
    # What is left of sums of equal numbers, in float32, is nothing.
    increase = np.where(np.abs(increase) <= 1e-7 * max(1.0, float(np.abs(before).max())), 0.0, increase)
    how = f"averaged out over {'like' if params.conditional else 'all'} rows"
    return increase_report(table, loss.words, before, increase, increase, how)


def _groups(
    table: Table, params: MarginalisedImportanceParams, held: Floats, feature: int, rng: np.random.Generator
) -> tuple[Integers, Integers]:
    """The group of each row, and of each training row."""
    if not params.conditional:
        return np.zeros(len(held), np.int64), np.zeros(len(table.train), np.int64)
    both = strata(table, np.concatenate([held, table.train.z]), feature, params.depth, rng)
    return both[: len(held)], both[len(held) :]


def _without(
    table: Table,
    loss: Loss,
    held: Floats,
    feature: int,
    groups: tuple[Integers, Integers],
    samples: int,
    rng: np.random.Generator,
) -> Floats:
    """The mean prediction of each row over values of one feature that rows of its group have, ``(rows, outputs)``."""
    group, given = groups
    own = table.train.z[:, feature]
    pieces, weights, row = [], [], []
    for which in np.unique(group):
        rows = np.flatnonzero(group == which)
        lent = own[given == which] if (given == which).any() else own
        values, counts = np.unique(lent, return_counts=True)
        if len(values) <= samples:
            pieces.append(np.tile(values, len(rows)))
            weights.append(np.tile(counts / len(lent), len(rows)))
            row.append(np.repeat(rows, len(values)))
        else:
            # Evenly spaced in the order of the values, from a random start for each row: each value is as likely as any.
            levels = (rng.random((len(rows), 1)) + np.arange(samples)) / samples
            drawn = np.sort(lent)[np.minimum((levels * len(lent)).astype(np.int64), len(lent) - 1)]
            pieces.append(drawn.reshape(-1))
            weights.append(np.full(drawn.size, 1 / samples))
            row.append(np.repeat(rows, samples))
    place = np.concatenate(row)
    moved = held[place]
    moved[:, feature] = np.concatenate(pieces)
    said = loss.predicted(table.score(moved)) * np.concatenate(weights)[:, None]
    found = np.zeros((len(held), said.shape[1]))
    np.add.at(found, place, said)
    return found
