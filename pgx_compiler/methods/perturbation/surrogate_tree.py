"""A small tree that imitates the model (TREPAN; Craven & Shavlik, 1996): https://papers.nips.cc/paper/1152."""

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.methods.declaration import Cost, Need, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._surrogate_columns import Columns, columns_of
from pgx_compiler.methods.perturbation._surrogate_fidelity import FIDELITY_WANTED, fidelity, same_answer
from pgx_compiler.modalities.table import Table as RealValues
from runtimes.capabilities import Floats


class SurrogateTreeParams(Params):
    """Parameters of the surrogate tree."""

    depth: Annotated[int, Field(ge=1, le=8)] = 4
    """Questions asked of a row, at most. Beyond four a person no longer holds the tree in mind."""
    smallest_leaf: Annotated[float, Field(gt=0, lt=0.5)] = 0.02
    """Least share of the training rows that a leaf stands for."""


def cost(params: SurrogateTreeParams, shape: Shape) -> Cost:
    """Every row of the data once: the training rows to learn from, the unseen ones to be judged on."""
    return Cost(forward=shape.data_rows, bytes=shape.data_rows * 8 * (4 * shape.features + shape.outputs))


@global_explanation(
    paper="https://papers.nips.cc/paper/1152",
    cost=cost,
    laws=("repeatable", "price_is_a_ceiling"),
    measures=("fidelity", "fidelity_{output}", "same_answer", "leaves"),
    measures_need={"same_answer": (Need("classification"),)},
    codes=("surrogate_unfaithful",),
)
def surrogate_tree(table: RealValues, params: SurrogateTreeParams) -> Report:
    """Fit a small decision tree to the model's scores of the training rows, and measure how well it stands in for it.

    The tree learns the scores that the model gives, never the labels. Its fidelity is measured on unseen rows where there are
    some: the share of the variance of the model's scores that the tree explains.

    Reading:
        Each line of the rules is a leaf: the conditions that lead to it, the share of the training rows that meet them, and
        the mean score that the model gives to those rows. A fidelity of 1 means that the tree scores unseen rows as the model
        does, 0 that it does no better than a constant. "Same answer" is the share of unseen rows in which the tree's
        highest-scoring class is that of the model.

    Limits:
        The rules are those of the tree and not of the model: what the tree leaves out the model may still use, and the fidelity
        says how much is left out. Trees that fit equally well may ask quite different questions where features are
        correlated. The fidelity holds for rows like those of the data.
    """
    from sklearn.tree import DecisionTreeRegressor

    columns = columns_of(table.features)
    train, unseen = table.train.z, table.unseen.z
    learned = table.score(train)
    truth = table.score(unseen) if table.test is not None else learned
    least = max(1, round(params.smallest_leaf * len(train)))
    tree = DecisionTreeRegressor(max_depth=params.depth, min_samples_leaf=least, random_state=0)
    tree.fit(columns.matrix(train), learned)
    told = np.asarray(tree.predict(columns.matrix(unseen)), np.float64).reshape(len(unseen), -1)
    measures = _measures(table, truth, told, int(tree.get_n_leaves()))
    overall = measures[0].value
    findings = () if overall is None or overall >= FIDELITY_WANTED else (_unfaithful(overall),)
    return Report(tuple(measures), findings, (_rules(table, tree.tree_, columns, learned),))


def _measures(table: RealValues, truth: Floats, told: Floats, leaves: int) -> list[Measure]:
    rows = len(truth)
    value, interval = fidelity(truth, told)
    where = "unseen rows" if table.test is not None else "the rows that it has learned from"
    title = f"Fidelity of the tree on {where} (share of the variance of the model's scores)"
    measures = [Measure("fidelity", value, title, rows, "share", interval, better="higher")]
    for column in table.focus if len(table.outputs) > 1 else ():
        one, bounds = fidelity(truth[:, [column]], told[:, [column]])
        name = table.outputs[column]
        title = f"Fidelity of the tree for {name}"
        measures.append(Measure(f"fidelity_{name}", one, title, rows, "share", bounds, better="higher", subject=name))
    if table.task == "classification":
        share, bounds = same_answer(truth, told)
        title = f"Share of {where} in which the tree gives the model's answer"
        measures.append(Measure("same_answer", share, title, rows, "share", bounds, better="higher"))
    measures.append(Measure("leaves", float(leaves), "Leaves of the tree", None, "rules"))
    return measures


def _unfaithful(value: float) -> Finding:
    return Finding(
        "surrogate_unfaithful",
        "warning",
        "The surrogate tree does not follow the model",
        f"On unseen rows it explains {value:.0%} of the variance of the model's scores; below {FIDELITY_WANTED:.0%} its rules "
        "describe another model.",
        "surrogate_tree",
        ("fidelity",),
        ("Allow a deeper tree, or read partial dependence and accumulated local effects instead.",),
    )


def _rules(table: RealValues, tree: Any, columns: Columns, learned: Floats) -> Table:
    """One line for each leaf, the largest first."""
    shown = [int(column) for column in table.focus]
    leaves = sorted(_leaves(tree), key=lambda leaf: -int(tree.n_node_samples[leaf[0]]))
    held: NDArray[Any] = tree.value.reshape(len(tree.value), -1)
    lines: tuple[tuple[str | float, ...], ...] = tuple(
        (
            columns.sentence(conditions) or "all rows",
            round(int(tree.n_node_samples[leaf]) / len(learned), 4),
            *(round(float(held[leaf, column]), 4) for column in shown),
        )
        for leaf, conditions in leaves
    )
    scores = tuple(f"{table.score_name} of {table.outputs[column]}" for column in shown)
    return Table("Rules of the tree", ("when", "share of training rows", *scores), lines)


def _leaves(tree: Any) -> list[tuple[int, tuple[tuple[int, float, bool], ...]]]:
    """Each leaf with the conditions that lead to it: ``(column, threshold, whether it is below)``."""
    found = []
    pending: list[tuple[int, tuple[tuple[int, float, bool], ...]]] = [(0, ())]
    while pending:
        node, met = pending.pop()
        if tree.children_left[node] == tree.children_right[node]:
            found.append((node, met))
            continue
        question = (int(tree.feature[node]), float(tree.threshold[node]))
        pending.append((int(tree.children_left[node]), (*met, (*question, True))))
        pending.append((int(tree.children_right[node]), (*met, (*question, False))))
    return found
