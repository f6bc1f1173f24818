"""Permutation importance (Breiman, 2001; Fisher, Rudin & Dominici, 2019): https://arxiv.org/abs/1801.01489."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Report
from pgx_compiler.methods.declaration import Cost, Need, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._effects_loss import LABELS_MISSING, LossName, loss_of
from pgx_compiler.methods.perturbation._effects_report import chosen, increase_report
from pgx_compiler.methods.perturbation._effects_strata import strata
from pgx_compiler.methods.precaution._wording import not_measured
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats, Integers


class PermutationImportanceParams(Params):
    """Parameters of permutation importance."""

    loss: LossName = "auto"
    """What is counted: ``log_loss`` or ``error_rate`` for classes, ``squared_error`` or ``absolute_error`` for values;
    ``auto``: the first of each."""
    repeats: Annotated[int, Field(ge=1, le=1000)] = 10
    """How often each feature is permuted (10: as in DALEX)."""
    rows: Annotated[int, Field(ge=2)] = 1000
    """Most unseen rows to ask about (1000: as in DALEX)."""
    conditional: bool = False
    """Permute a feature only among rows that are alike in the other features: the leaves of a decision tree that
    predicts it from them (Strobl et al., 2008; Molnar et al., 2023)."""
    depth: Annotated[int, Field(ge=1, le=12)] = 4
    """Most questions that such a tree asks in a row: at most 16 groups of rows, each of 30 training rows or more (own
    choice)."""


def cost(params: PermutationImportanceParams, shape: Shape) -> Cost:
    """Every row as it is, and once for each feature and repeat."""
    rows = min(params.rows, shape.unseen_rows)
    asked = shape.features * params.repeats
    return Cost(forward=rows * (1 + asked), bytes=8 * rows * (shape.features * 3 + shape.outputs))


@global_explanation(
    paper="https://arxiv.org/abs/1801.01489",
    cost=cost,
    needs={"labels"},
    measures=("importance_{feature}", "loss"),
    measures_need=dict.fromkeys(("importance_{feature}", "loss"), (Need("unseen_labels"),)),
    laws=("unread_feature",),
)
def permutation_importance(table: Table, params: PermutationImportanceParams, rng: np.random.Generator) -> Report:
    """Measure how much worse the model predicts the labels when the values of a feature are exchanged between rows.

    Reading:
        The increase of the mean loss, in the loss's own unit, beside the loss with all features. Zero: the model
        predicts as well without knowing the feature. All columns of a group of columns are exchanged together. The
        interval covers the choice of rows and the drawing of permutations. A feature whose interval holds zero has
        not been shown to matter for the model's accuracy. Where it is conditional, a value counts only what the
        feature knows beyond the other features.

    Limits:
        It is about accuracy on these labels, so that a feature which the model uses to no avail gets zero. Where features
        hang together, exchanging one makes rows that cannot occur, and the model is judged on what it makes of
        them; and two features that say the same share their importance, or hide it altogether where it is conditional.
        The tree of a conditional importance removes only the dependence that it finds. The values do not add up to
        anything.
    """
    split = table.unseen
    if split.labels is None:
        return not_measured("loss", "Loss with all features", LABELS_MISSING)
    rows = chosen(split, params.rows, rng)
    held, labels = split.z[rows], split.labels[rows]
    loss = loss_of(table, params.loss)

    def losses(z: Floats) -> Floats:
        return loss.of(loss.predicted(table.score(z)), labels)

    before = losses(held)
    groups = np.zeros((len(table), len(held)), np.int64)
    if params.conditional:
        groups = np.stack([strata(table, held, j, params.depth, rng) for j in range(len(table))])
    increase = np.zeros((params.repeats, len(table)))
    influence = np.zeros((len(held), len(table)))
    for repeat in range(params.repeats):
        for feature in range(len(table)):
            source = permuted(groups[feature], rng)
            moved = held.copy()
            moved[:, feature] = held[source, feature]
            worse = losses(moved) - before
            increase[repeat, feature] = worse.mean()
            influence[:, feature] += _influence(worse, source) / params.repeats
    how = f"exchanged between {'like rows' if params.conditional else 'rows'}"
    return increase_report(table, loss.words, before, influence, increase, how)


def permuted(group: Integers, rng: np.random.Generator) -> Integers:
    """For each row the row whose value it takes: a random permutation within each group."""
    order = np.argsort(group, kind="stable")
    drawn = np.lexsort((rng.random(len(group)), group))
    source = np.empty(len(group), np.int64)
    source[order] = drawn
    return source


def _influence(worse: Floats, source: Integers) -> Floats:
    """What each row adds to the mean increase, as the row judged and as the row whose value is borrowed.

    The mean over pairs of a row and a lender is a two-sample statistic: its variance over the choice of rows is that of
    the mean of both projections (Hoeffding, 1948). The mean of what is returned is the mean increase.
    """
    lent = np.empty(len(worse))
    lent[source] = worse
    return np.asarray(worse + lent - worse.mean(), np.float64)
