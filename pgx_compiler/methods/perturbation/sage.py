"""SAGE, Shapley additive global importance (Covert, Lundberg & Lee, 2020): https://arxiv.org/abs/2004.00668."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pgx_compiler.evidence.results import Finding, Measure, Report
from pgx_compiler.methods.declaration import Cost, Need, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._effects_loss import LABELS_MISSING, Loss, LossName, loss_of
from pgx_compiler.methods.perturbation._effects_report import (
    NORMAL,
    Ranked,
    chosen,
    facts,
    ranking,
    ranking_chart,
)
from pgx_compiler.methods.precaution._wording import not_measured
from pgx_compiler.modalities.table import Table
from runtimes.capabilities import Floats, Integers

TITLE = "SAGE"

_AT_ONCE = 32
"""Rows walked through at a time; after each lot it is seen whether enough were walked."""

_MEASURES = ("importance_{feature}", "loss", "loss_without_features", "convergence", "orders")


class SageParams(Params):
    """Parameters of SAGE."""

    loss: LossName = "auto"
    """What is shared out: ``log_loss`` or ``error_rate`` for classes, ``squared_error`` or ``absolute_error`` for values;
    ``auto``: the first of each."""
    samples: Annotated[int, Field(ge=2)] = 2048
    """Most orders of the features that are walked through, each for one unseen row; the rows take turns."""
    background: Annotated[int, Field(ge=1)] = 64
    """Training rows that stand for removed features. The authors take 512; the error falls with its root (own choice)."""
    precision: Annotated[float, Field(ge=0)] = 0.05
    """The walk ends when the largest standard error over the orders is below this share of the range of the values; 0: only
    when all samples are used. The authors take 0.025, for four times as many samples (own choice)."""


def cost(params: SageParams, shape: Shape) -> Cost:
    """The background once, and for each sample the background with 1 to all but one features, and the row itself."""
    background = min(params.background, shape.train_rows)
    a_sample = background * (shape.features - 1) + 1
    at_once = _AT_ONCE * background
    return Cost(
        forward=background + params.samples * a_sample,
        bytes=8 * at_once * (2 * shape.features + shape.outputs) + 8 * params.samples * shape.features,
    )


@global_explanation(
    paper="https://arxiv.org/abs/2004.00668",
    cost=cost,
    needs={"labels"},
    codes=("not_converged",),
    measures=_MEASURES,
    measures_need=dict.fromkeys(_MEASURES, (Need("unseen_labels"),)),
    laws=("unread_feature",),
)
def sage(table: Table, params: SageParams, rng: np.random.Generator) -> Report:
    """Share out among the features how much better the model predicts the labels than without knowing any.

    Features are added one by one in random order; what is not yet known is filled from background rows and the
    predictions are averaged. Each feature is credited with the fall of the loss that it brings, averaged over orders and rows.

    Reading:
        In the loss's own unit. The values add up to the loss without any feature minus the loss with all. Positive: knowing
        the feature makes predictions better; negative: worse. Features that say the same share what they bring,
        and what features bring only together is shared among them. Two values whose difference is within about two
        standard errors must be read as equal.

    Limits:
        Features are filled in independently of those that are known, so that correlated features are judged
        on rows that may never occur. The standard error covers rows and orders, not the choice of background rows;
        averaging over a small background makes the loss without features a little too large. It is about the
        accuracy on these labels, not about how strongly a score moves.
    """
    split = table.unseen
    if split.labels is None:
        return not_measured("loss", "Loss with all features", LABELS_MISSING)
    loss = loss_of(table, params.loss)
    rows = chosen(split, params.samples, rng)
    background = table.train.z[chosen(table.train, params.background, rng)]
    walk = _Walk(table, loss, background, loss.predicted(table.score(background)).mean(axis=0))
    order = np.resize(rng.permutation(rows), params.samples)
    gains: list[Floats] = []
    ends: list[Floats] = []
    for start in range(0, params.samples, _AT_ONCE):
        some = order[start : start + _AT_ONCE]
        found, losses = walk.through(split.z[some], split.labels[some], rng)
        gains.append(found)
        ends.append(losses)
        if start and convergence(np.concatenate(gains), order) < params.precision:
            break
    found = np.concatenate(gains)
    return _report(table, params, loss, found, order[: len(found)], np.concatenate(ends))


@dataclass(frozen=True)
class _Walk:
    """From no known feature to all of them, in random orders."""

    table: Table
    loss: Loss
    background: Floats
    usual: Floats
    """``(outputs,)``: the mean prediction where nothing is known."""

    def through(self, z: Floats, labels: NDArray[np.generic], rng: np.random.Generator) -> tuple[Floats, Floats]:
        """The fall of the loss that each feature brings to each row ``(rows, features)``; first and last loss of each."""
        n, features = z.shape
        orders = np.argsort(rng.random((n, features)), axis=1)
        filled = np.tile(self.background, (n, 1)).reshape(n, -1, features)
        before = self.loss.of(np.tile(self.usual, (n, 1)), labels)
        first, gains, each = before, np.zeros((n, features)), np.arange(n)
        for place in range(features):
            added = orders[:, place]
            filled[each, :, added] = z[each, added, None]
            if place == features - 1:
                said = self.loss.predicted(self.table.score(z))
            else:
                scores = self.table.score(filled.reshape(-1, features))
                said = self.loss.predicted(scores).reshape(n, len(self.background), -1).mean(axis=1)
            after = self.loss.of(said, labels)
            gains[each, added] = before - after
            before = after
        return gains, np.stack([first, before], axis=1)


ROUNDING = 1e-12
"""A fall of the loss below this is what is left of sums of equal numbers."""


def convergence(gains: Floats, order: Integers) -> float:
    """The largest standard error over the orders as a share of the range of the values (Covert et al., section 3.2).

    The authors draw a row with each order, so that their error is also that of rows. Here rows take turns: once each had
    two orders on average, what differs between rows is no error of the walk, and only what differs within them counts.
    """
    n, values = len(gains), gains.mean(axis=0)
    _, row = np.unique(order[:n], return_inverse=True)
    count = np.bincount(row)
    centre, free = values, n - 1
    if n >= 2 * len(count):
        means = np.zeros((len(count), gains.shape[1]))
        np.add.at(means, row, gains)
        centre, free = (means / count[:, None])[row], n - len(count)
    error = float(np.sqrt(((gains - centre) ** 2).sum(axis=0).max() / free / n))
    spread = float(np.ptp(values))
    if max(error, float(np.abs(values).max())) < ROUNDING:
        return 0.0  # no feature takes anything off the loss
    return error / spread if spread > 0 else 0.0 if error == 0 else float("inf")


def standard_error(gains: Floats, rows: Integers) -> Floats:
    """Over the choice of rows and of orders, ``(features,)``: what a row gives in several orders is one observation."""
    _, row = np.unique(rows, return_inverse=True)
    count = int(row.max()) + 1
    if count < 2:
        return np.asarray(gains.std(axis=0, ddof=1) / np.sqrt(len(gains)), np.float64)
    sums = np.zeros((count, gains.shape[1]))
    np.add.at(sums, row, gains - gains.mean(axis=0))
    return np.asarray(np.sqrt((sums**2).sum(axis=0) * count / (count - 1)) / len(gains), np.float64)


def _report(table: Table, params: SageParams, loss: Loss, gains: Floats, order: Integers, ends: Floats) -> Report:
    n, values, errors = len(gains), gains.mean(axis=0), standard_error(gains, order)
    found = [
        Ranked(name, float(v), (float(v - NORMAL * e), float(v + NORMAL * e)), float(e))
        for name, v, e in zip(table.names, values, errors, strict=True)
    ]
    reached = convergence(gains, order)
    measured = np.isfinite(reached)
    title = f"SAGE values: what each feature takes off the {loss.words}"
    measures = [
        Measure("loss_without_features", float(ends[:, 0].mean()), f"Mean {loss.words} without any feature", n),
        Measure("loss", float(ends[:, 1].mean()), f"Mean {loss.words} with all features", n, better="lower"),
        Measure("orders", float(n), "Orders of the features walked through", unit="orders"),
        Measure(
            "convergence", reached if measured else None, "Largest standard error over the orders, as a share of the range of the values", n,
            better="lower", reason=None if measured else "all values are equal",
        ),
        *facts("importance", f"What {{}} takes off the {loss.words} (SAGE)", found, n),
    ]  # fmt: skip
    return Report(
        tuple(measures),
        _not_converged(params, reached, n),
        (ranking(title, found),),
        {"values": values, "standard_error": errors, "feature_names": np.array(table.names)},
        (ranking_chart(title, f"fall of the {loss.words}", found),),
    )


def _not_converged(params: SageParams, reached: float, n: int) -> tuple[Finding, ...]:
    if not params.precision or reached < params.precision:
        return ()
    summary = (
        f"After {n} orders of the features the largest standard error over them is {reached:.3g} of the range of the values; "
        f"{params.precision:.3g} was asked for."
    )
    advice = ("Allow more samples, or ask for less precision.",)
    title = "sage met its budget before the precision asked for"
    return (Finding("not_converged", "warning", title, summary, "sage", ("convergence",), advice),)
