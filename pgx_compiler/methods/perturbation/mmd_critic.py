"""Prototypes and criticisms (MMD-critic; Kim, Khanna & Koyejo, 2016): https://papers.nips.cc/paper/6300."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Measure, Report, Table
from pgx_compiler.evidence.summary import wilson_interval
from pgx_compiler.methods.declaration import MODALITIES, Cost, Need, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._prototype_kernel import Kernel, median_kernel, nearest, points_of
from pgx_compiler.modalities.data import AuditData
from runtimes.capabilities import Floats, Integers, Predictor

TITLE = "Prototypes and criticisms (MMD-critic)"


class MmdCriticParams(Params):
    """Parameters of MMD-critic."""

    prototypes: Annotated[int, Field(ge=1, le=50)] = 5
    """Rows chosen to stand for each class that the model predicts (of a regression, for all rows)."""
    criticisms: Annotated[int, Field(ge=0, le=50)] = 5
    """Rows chosen where the prototypes stand least well for the data, over all classes."""
    rows: Annotated[int, Field(ge=10, le=5000)] = 1000
    """Training rows that are looked at, drawn at random."""


def cost(params: MmdCriticParams, shape: Shape) -> Cost:
    """The training rows looked at, and the test rows."""
    forward = min(params.rows, shape.train_rows) + shape.test_rows
    return Cost(forward=forward, bytes=8 * params.rows * (params.rows + shape.features))


@global_explanation(
    paper="https://papers.nips.cc/paper/6300",
    cost=cost,
    laws=("repeatable", "price_is_a_ceiling"),
    modalities=MODALITIES,
    measures=("same_as_nearest_prototype", "discrepancy_left", "errors_among_criticisms", "errors_among_rows"),
    measures_need={
        "same_as_nearest_prototype": (Need("test"), Need("classification")),
        "errors_among_criticisms": (Need("labels"), Need("classification")),
        "errors_among_rows": (Need("labels"), Need("classification")),
    },
)
def mmd_critic(model: Predictor, data: AuditData, params: MmdCriticParams, rng: np.random.Generator) -> Report:
    """Choose training rows that stand for what the model puts into each class, and rows that they leave unexplained.

    Prototypes are chosen one by one so that the maximum mean discrepancy between them and the rows of the class falls most;
    criticisms are rows where the density of the data and that of the prototypes differ most, apart from each other.

    Reading:
        Look at the prototypes to see what the model's classes look like, and at the criticisms to see what they do not cover.
        The discrepancy that is left is 0 where the prototypes stand for the data perfectly and 1 where they help no more than
        none. The share of unseen rows whose nearest prototype has the class that the model predicts says how far the classes
        can be told by resemblance.

    Limits:
        Resemblance is that of the raw inputs, each element by its spread (of texts that the model reads whole, that of the words
        in them, the rarer the heavier), and not of what the model sees in them: for pictures
        it is a crude measure. Prototypes say what is typical, never why the model decides as it does. The choice is greedy,
        and other rows may serve about as well.
    """
    chosen = np.sort(rng.choice(len(data.train), min(params.rows, len(data.train)), replace=False))
    points = points_of(data, data.train, chosen)
    predicted = _classes(model.predict({name: array[chosen] for name, array in data.train.inputs.items()}), data.task)
    kernel = median_kernel(points, rng)
    similar = kernel(points, points)
    prototypes, left = _prototypes(similar, predicted, params.prototypes)
    critics = _criticisms(similar, prototypes, params.criticisms)
    measures = [
        Measure("discrepancy_left", left, "Discrepancy left by the prototypes", len(points), "share", better="lower")
    ]
    if data.task == "classification":
        measures += _resemblance(model, data, points, predicted, prototypes, kernel)
        measures += _errors(data, chosen, predicted, critics)
    groups = (("prototype", prototypes), ("criticism", critics))
    rows = [(kind, int(place)) for kind, places in groups for place in places]
    arrays = {"prototypes": chosen[prototypes], "criticisms": chosen[critics]}
    return Report(tuple(measures), tables=_tables(data, rows, chosen, predicted), arrays=arrays)


def _tables(data: AuditData, rows: list[tuple[str, int]], chosen: Integers, predicted: Integers) -> tuple[Table, ...]:
    """Which rows they are; and, where the spec shows rows, their labels: each is a value of a single row."""
    named = [(kind, str(data.train.row_ids[chosen[i]]), _name(data, int(predicted[i]))) for kind, i in rows]
    title = "Rows that stand for the classes, and rows that they do not cover"
    first = Table(title, ("kind", "row of the training data", "predicted"), tuple(named))
    if data.train.labels is None:
        return (first,)
    labels = tuple((*line[:2], _label(data, int(chosen[i]))) for line, (_, i) in zip(named, rows, strict=True))
    return first, Table("Labels of these rows", ("kind", "row of the training data", "label"), labels, shows_rows=True)


def _classes(scores: Floats, task: str) -> Integers:
    return np.asarray(scores.argmax(axis=1), np.int64) if task == "classification" else np.zeros(len(scores), np.int64)


def _prototypes(similar: Floats, predicted: Integers, most: int) -> tuple[Integers, float]:
    """Positions of the prototypes, class by class, and the share of the discrepancy that is left, by rows."""
    found: list[int] = []
    left, of = 0.0, 0.0
    for value in np.unique(predicted):
        own = np.flatnonzero(predicted == value)
        inside = similar[np.ix_(own, own)]
        mean = inside.mean(axis=1)
        picked: list[int] = []
        for _ in range(min(most, len(own))):
            # of MMD² with one prototype more, only this part depends on which one it is
            size = len(picked) + 1
            among = (2 * inside[:, picked].sum(axis=1) + inside.diagonal()) / size**2
            worth = among - 2 * mean / size
            worth[picked] = np.inf
            picked.append(int(worth.argmin()))
        before = float(inside.mean())
        left += len(own) * _discrepancy(inside, mean, picked)
        of += len(own) * before
        found += [int(own[place]) for place in picked]
    return np.array(found, np.int64), max(0.0, left / of) if of else 0.0


def _discrepancy(inside: Floats, mean: Floats, picked: list[int]) -> float:
    """Squared maximum mean discrepancy between the rows of a class and its prototypes."""
    among = inside[np.ix_(picked, picked)].mean()
    return float(inside.mean() - 2 * mean[picked].mean() + among)


def _criticisms(similar: Floats, prototypes: Integers, most: int) -> Integers:
    """Rows of largest witness function, kept apart from each other by the log-determinant of their similarities."""
    witness = np.abs(similar.mean(axis=1) - similar[:, prototypes].mean(axis=1))
    picked: list[int] = []
    open_rows = np.ones(len(similar), bool)
    open_rows[prototypes] = False
    for _ in range(min(most, int(open_rows.sum()))):
        apart = np.zeros(len(similar))
        if picked:
            among = similar[np.ix_(picked, picked)] + 1e-9 * np.eye(len(picked))
            across = similar[:, picked]
            # log det of the enlarged matrix is log det of the old one plus this (Schur complement)
            rest = 1.0 + 1e-9 - np.einsum("ij,ij->i", across @ np.linalg.inv(among), across)
            apart = np.log(np.maximum(rest, 1e-12))
        gain = np.where(open_rows, witness + apart, -np.inf)
        best = int(gain.argmax())
        picked.append(best)
        open_rows[best] = False
    return np.array(picked, np.int64)


def _resemblance(
    model: Predictor, data: AuditData, points: Floats, predicted: Integers, prototypes: Integers, kernel: Kernel
) -> list[Measure]:
    if data.test is None:
        return []
    unseen = points_of(data, data.test)
    answers = _classes(model.predict(data.test.inputs), data.task)
    same = int((predicted[prototypes][nearest(kernel, unseen, points[prototypes])] == answers).sum())
    rows = len(answers)
    title = "Share of unseen rows whose nearest prototype has the model's answer"
    bounds = wilson_interval(same, rows)
    return [Measure("same_as_nearest_prototype", same / rows, title, rows, "share", bounds, better="higher")]


def _errors(data: AuditData, chosen: Integers, predicted: Integers, critics: Integers) -> list[Measure]:
    if data.train.labels is None:
        return []
    wrong = predicted != data.train.labels[chosen]
    found = []
    for name, rows, words in (("criticisms", critics, "the criticisms"), ("rows", np.arange(len(chosen)), "all rows")):
        if len(rows):
            count = int(wrong[rows].sum())
            title = f"Share of {words} that the model gets wrong"
            bounds = wilson_interval(count, len(rows))
            found.append(Measure(f"errors_among_{name}", count / len(rows), title, len(rows), "share", bounds))
    return found


def _name(data: AuditData, position: int) -> str | None:
    return data.classes[int(position)] if data.classes else None


def _label(data: AuditData, row: int) -> str | float | None:
    if data.train.labels is None:
        return None
    return data.classes[int(data.train.labels[row])] if data.classes else float(data.train.labels[row])
