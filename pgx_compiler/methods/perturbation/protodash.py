"""Weighted prototypes (ProtoDash; Gurumoorthy et al., 2019): https://arxiv.org/abs/1707.01212."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Measure, Report, Table
from pgx_compiler.methods.declaration import MODALITIES, Cost, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._prototype_kernel import median_kernel, points_of
from pgx_compiler.modalities.data import AuditData
from runtimes.capabilities import Floats, Integers, Predictor

TITLE = "Weighted prototypes (ProtoDash)"


class ProtodashParams(Params):
    """Parameters of ProtoDash."""

    prototypes: Annotated[int, Field(ge=1, le=50)] = 5
    """Training rows chosen to stand for each class that the model predicts among the unseen rows."""
    rows: Annotated[int, Field(ge=10, le=5000)] = 1000
    """Rows of either split that are looked at, drawn at random."""


def cost(params: ProtodashParams, shape: Shape) -> Cost:
    """The rows looked at, of the training data and of what stands for unseen rows."""
    forward = min(params.rows, shape.train_rows) + min(params.rows, shape.unseen_rows)
    return Cost(forward=forward, bytes=16 * params.rows * (params.rows + shape.features))


@global_explanation(
    paper="https://arxiv.org/abs/1707.01212",
    cost=cost,
    laws=("repeatable", "price_is_a_ceiling"),
    modalities=MODALITIES,
    measures=("discrepancy_left", "weight_of_first"),
)
def protodash(model: Predictor, data: AuditData, params: ProtodashParams, rng: np.random.Generator) -> Report:
    """Choose weighted training rows that stand for the unseen rows to which the model gives each class.

    Rows are chosen one by one by the gradient of the maximum mean discrepancy, and all weights are fitted again after each,
    none below zero. So the training data explains what the model meets afterwards.

    Reading:
        A prototype with a large weight stands for many of the unseen rows of its class. The weights of a class add up to
        about 1 where the training rows resemble the unseen ones; a discrepancy that stays large says that nothing in the
        training data resembles them.

    Limits:
        Resemblance is that of the raw inputs, each element by its spread (of texts that the model reads whole, that of the words
        in them, the rarer the heavier), and not of what the model sees in them: for pictures
        it is a crude measure. Prototypes say what is typical, never why the model decides as it does.
    """
    unseen = data.train if data.test is None else data.test
    source, target = (_some(split_rows, params.rows, rng) for split_rows in (len(data.train), len(unseen)))
    offered, wanted = points_of(data, data.train, source), points_of(data, unseen, target)
    answers = _classes(model.predict({n: a[target] for n, a in unseen.inputs.items()}), data.task)
    theirs = _classes(model.predict({n: a[source] for n, a in data.train.inputs.items()}), data.task)
    kernel = median_kernel(wanted, rng)
    lines: list[tuple[str | float | None, ...]] = []
    left, of, first = 0.0, 0.0, []
    for value in np.unique(answers):
        own, mine = np.flatnonzero(theirs == value), wanted[answers == value]
        if not len(own):
            continue
        similar = kernel(offered[own], offered[own])
        mean = kernel(offered[own], mine).mean(axis=1)
        within = float(kernel(mine, mine).mean())
        picked, weights = _choose(similar, mean, min(params.prototypes, len(own)))
        rest = within - 2 * float(weights @ mean[picked]) + float(weights @ similar[np.ix_(picked, picked)] @ weights)
        left, of = left + len(mine) * rest, of + len(mine) * within
        order = np.argsort(-weights, kind="stable")
        first.append(float(weights[order[0]]))
        for place in order:
            row = int(source[own[picked[place]]])
            lines.append((_name(data, int(value)), str(data.train.row_ids[row]), round(float(weights[place]), 4)))
    share = max(0.0, left / of) if of else 0.0
    measures = (
        Measure("discrepancy_left", share, "Discrepancy left by the prototypes", len(target), "share", better="lower"),
        Measure("weight_of_first", float(np.mean(first)), "Mean weight of each class's first prototype", len(first)),
    )
    table = Table(
        "Training rows that stand for what the model meets", ("class", "training row", "weight"), tuple(lines)
    )
    return Report(measures, tables=(table,))


def _some(rows: int, most: int, rng: np.random.Generator) -> Integers:
    return np.sort(rng.choice(rows, min(rows, most), replace=False)).astype(np.int64)


def _classes(scores: Floats, task: str) -> Integers:
    return np.asarray(scores.argmax(axis=1), np.int64) if task == "classification" else np.zeros(len(scores), np.int64)


def _name(data: AuditData, position: int) -> str | None:
    return data.classes[position] if data.classes else None


def _choose(similar: Floats, mean: Floats, most: int) -> tuple[Integers, Floats]:
    """Positions and weights that maximise w·mean - w·K·w / 2, w >= 0, one more row at a time."""
    from scipy.optimize import nnls

    picked: list[int] = []
    weights = np.zeros(0)
    for _ in range(most):
        gradient = mean - (similar[:, picked] @ weights if picked else 0.0)
        gradient[picked] = -np.inf
        best = int(gradient.argmax())
        if gradient[best] <= 0:
            break
        picked.append(best)
        among = similar[np.ix_(picked, picked)] + 1e-10 * np.eye(len(picked))
        root = np.linalg.cholesky(among)
        # |rootᵀ w - root⁻¹ mean|² has the same minimum as the quadratic form
        weights = np.asarray(nnls(root.T, np.linalg.solve(root, mean[picked]))[0], np.float64)
    return np.array(picked, np.int64), weights
