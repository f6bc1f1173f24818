"""The smallest changes that change the decision (DeepFool; Moosavi-Dezfooli et al., 2016): https://arxiv.org/abs/1511.04599."""

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Chart, Curve, Measure, Report, Table
from pgx_compiler.evidence.summary import bootstrap_interval
from pgx_compiler.methods.declaration import NUMERIC, Cost, Params, Shape, global_explanation
from pgx_compiler.methods.gradient._attack_space import Bools, Space
from pgx_compiler.methods.gradient._attacks import (
    HALVINGS,
    NARROWINGS,
    STRAIGHTENINGS,
    Found,
    back_to_boundary,
    deepfool,
    fast_gradient_sign,
    projected_gradient,
    straightened,
)
from pgx_compiler.methods.precaution._significance import wilson
from pgx_compiler.methods.precaution._wording import not_measured
from pgx_compiler.modalities.data import AuditData
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable, Floats, Integers
from runtimes.target import ModelFacts

NOISES = 10
"""Random changes of the same size that each change is held against."""
MOST = 0.9
"""Share of the squared change that counts as nearly all of it (own default)."""
MOST_SHOWN = 20
"""Features in the table and the chart; all are in the evidence."""

Strength = Annotated[float, Field(gt=0, le=1)]
_STRENGTHS = tuple(float(eps) for eps in (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3))


class AdversarialExamplesParams(Params):
    """How a change is looked for."""

    attack: Literal["deepfool", "pgd", "fgsm"] = "deepfool"
    """``deepfool``: steps to the nearest boundary of the linearised model, then turned to stand at right angles on the
    boundary; small in total (L2). ``pgd``: projected gradient
    descent in boxes of growing size, small everywhere (largest change; Madry et al., 2018). ``fgsm``: one step by the sign
    of the gradient (Goodfellow et al., 2015), the weakest."""
    steps: Annotated[int, Field(ge=1, le=1000)] = 50
    """Most steps of DeepFool (the paper's), or steps of projected gradient descent in each box."""
    classes: Annotated[int, Field(ge=1, le=1000)] = 10
    """Of ``deepfool``: classes that a row may be moved to, those with the highest scores (the paper's, for many classes)."""
    strengths: Annotated[tuple[Strength, ...], Field(min_length=1, max_length=32)] = _STRENGTHS
    """Of ``pgd`` and ``fgsm``: how far any value may be moved, as shares of its range; the smallest that succeeds is
    kept, and its change then shortened by halving to where the decision just differs: what is reported lies below it."""
    compared: Annotated[int, Field(ge=0, le=10000)] = 500
    """Training rows among which the nearest one with another decision is looked for, to say what a distance means."""


def cost(params: AdversarialExamplesParams, shape: Shape) -> Cost:
    """At most: rows for which a change is found early ask for less."""
    levels = len(params.strengths)
    forward, backward = {
        "deepfool": (params.steps, params.steps * (1 + min(params.classes, max(1, shape.outputs - 1)))),
        "pgd": ((levels + NARROWINGS) * (params.steps + 1), 2 * (levels + NARROWINGS) * params.steps),
        "fgsm": (levels, 2),
    }[params.attack]
    if params.attack == "deepfool":
        forward, backward = forward + STRAIGHTENINGS * (2 + HALVINGS), backward + 2 * STRAIGHTENINGS
    # The rows as they are and as they end, the way back to the boundary, noise of the same size, and one gradient at rest.
    forward = shape.rows * (2 + forward + HALVINGS + NOISES) + min(params.compared, shape.train_rows)
    return Cost(forward=forward, backward=shape.rows * (1 + backward))


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A classifier that reads numbers which can be moved a little."""
    if not any(tensor.dtype.startswith(("float", "bfloat")) for tensor in facts.inputs):
        return "the model reads no floating-point numbers, so there is nothing that can be moved a little"
    return None


@global_explanation(
    modalities=NUMERIC,
    tasks={"classification"},
    paper="https://arxiv.org/abs/1511.04599",
    cost=cost,
    admits=admits,
    laws=("adversaries_hold", "repeatable"),
    measures=(
        "found",
        "distance",
        "share_of_nearest",
        "largest_change",
        "features_for_most",
        "changed_by_noise",
        "share_flat",
    ),
    measures_from={"share_of_nearest": {"compared": 1}},
)
def adversarial_examples(
    model: Differentiable, rows: Rows, data: AuditData, params: AdversarialExamplesParams, rng: np.random.Generator
) -> Report:
    """Look for the smallest change of each explained row that changes the model's decision, and say what it changes.

    Every value is measured in its own range over the training data: 0.01 is a hundredth of the range of a column, of a
    sensor, or of all pixels. What is found is shortened until it only just changes the decision.

    Reading:
        The distance is the length (L2) of the smallest change that was found, in ranges; beside it stands what share it is of
        the way to the nearest training row that the model puts into another class: far below 1, the decision changes long
        before a row looks like one of the other class. The curve says for how many rows changes up to a size suffice. The
        features are those that the changes concentrate on: where the model's decision is easiest to move. Random changes of
        the same size seldom change a decision; where they do, the row stood on the boundary.

    Limits:
        A smaller change may exist, so that the distances are upper bounds; that none was found does not prove that there is
        none. A changed row need not be one that can occur (off the data's manifold): whole numbers become fractions,
        pixels change independently of each other. So a feature that is changed here is not advice on what to change; ask for
        counterfactuals. In a table only numeric features of one column are moved, never categories, so that what depends on
        categories looks robust. Where the gradient is zero the search is blind.
    """
    space = Space(rows, data)
    if not space.unit.any():
        return not_measured(
            "found", "Rows whose decision a change was found for", "no input is a number that may be moved"
        )
    everyone = np.arange(len(space))
    scores = model.predict(rows.inputs)
    first = scores.argmax(axis=1)
    flat: Bools = np.asarray(~space.gradient(model, np.zeros_like(space.unit), everyone, first).any(axis=1))
    attacked = _attack(model, space, scores, params, rng)
    change, found = back_to_boundary(model, space, scores, attacked), attacked[1]
    if params.attack == "deepfool":
        change = straightened(model, space, scores, change, found)
    reached = np.where(found, space.scores(model, change, everyone).argmax(axis=1), first) if found.any() else first
    noise = _by_noise(model, space, change, first, found, rng)
    chosen = np.sort(rng.permutation(len(data.train))[: params.compared])
    train = {name: array[chosen] for name, array in data.train.inputs.items()}
    nearest = space.to_nearest(model, train, first) if len(chosen) else np.full(len(space), np.inf)
    shares, signed = _onto_features(space, rows, change)
    length, largest = np.sqrt((change**2).sum(axis=1)), np.abs(change).max(axis=1)
    measures = _measures(found, length, largest, nearest, shares, noise, flat)
    arrays = {
        "found": found,
        "distance": np.where(found, length, np.nan),
        "largest_change": np.where(found, largest, np.nan),
        "nearest_other_row": nearest,
        "decision": first,
        "decision_reached": reached,
        "share_of_change": shares,
        "change_of_features": signed,
        **{f"change_{name}": values for name, values in space.maps(change * space.unit).items()},
    }
    tables = [_moves(data, first, reached, found)]
    charts = [_curve(found, largest)]
    if not rows.features.varies and found.any():
        table, chart = _features(rows, shares[found], signed[found])
        tables, charts = [table, *tables], [*charts, chart]
    return Report(measures, tables=tuple(tables), arrays=arrays, charts=tuple(charts))


def _attack(
    model: Differentiable, space: Space, scores: Floats, params: AdversarialExamplesParams, rng: np.random.Generator
) -> Found:
    strengths = sorted(params.strengths)
    if params.attack == "fgsm":
        return fast_gradient_sign(model, space, scores, strengths)
    if params.attack == "pgd":
        return projected_gradient(model, space, scores, strengths, params.steps, rng)
    return deepfool(model, space, scores, params.steps, min(params.classes, scores.shape[1] - 1))


def _by_noise(
    model: Differentiable, space: Space, change: Floats, first: Integers, found: Bools, rng: np.random.Generator
) -> Floats:
    """Of each row that was changed, the share of changes with random signs, as large everywhere, that change it too."""
    which = np.flatnonzero(found)
    changed = np.zeros(len(which))
    for _ in range(NOISES if len(which) else 0):
        signs = np.where(rng.random((len(space), change.shape[1])) < 0.5, -1.0, 1.0)[which]
        moved = space.inside(signs * change[which], which)
        changed += space.scores(model, moved, which).argmax(axis=1) != first[which]
    return changed / NOISES


def _onto_features(space: Space, rows: Rows, change: Floats) -> tuple[Floats, Floats]:
    """Each feature's share of the squared change, and its mean change in ranges, ``(rows, features)`` each."""
    squared = space.maps(change**2)
    rest = {name: np.zeros(array.shape) for name, array in rows.inputs.items() if name not in squared}
    of_features = rows.features.sum_onto({**squared, **rest})
    whole = of_features.sum(axis=1, keepdims=True)
    shares = np.divide(of_features, whole, out=np.zeros_like(of_features), where=whole > 0)
    counted = rows.features.sum_onto({**space.maps((space.unit > 0).astype(np.float64)), **rest})
    signed = rows.features.sum_onto({**space.maps(change), **rest}) / np.maximum(counted, 1.0)
    return shares, signed


def _measures(
    found: Bools, length: Floats, largest: Floats, nearest: Floats, shares: Floats, noise: Floats, flat: Bools
) -> tuple[Measure, ...]:
    n, some = len(found), int(found.sum())
    ordered = -np.sort(-shares[found], axis=1)
    carried = (np.cumsum(ordered, axis=1) < MOST - 1e-12).sum(axis=1) + 1.0
    known = found & np.isfinite(nearest) & (nearest > 0)
    of_nearest = np.divide(length, nearest, out=np.full(n, np.inf), where=known)
    no_other = None if known.any() else "no row was changed, or no training row has another decision"
    return (
        Measure("found", some / n, "Rows whose decision a change was found for", n, "share", wilson(some, n)),
        _median("distance", "Smallest change found that changes the decision (L2)", "ranges", length, found),
        _median("share_of_nearest", "The same as a share of the way to the nearest training row with another decision",
                "share", of_nearest, known, no_other),
        _median("largest_change", "Largest change of any value in it", "share of the range", largest, found),
        _plain("features_for_most", f"Features that together have {MOST:.0%} of a change", "features", carried),
        _plain("changed_by_noise", "Random changes of the same size that change the decision too", "share", noise, "mean"),
        Measure("share_flat", float(flat.mean()), "Rows on which the gradient is zero, so that the search is blind", n,
                "share", wilson(int(flat.sum()), n), better="lower"),
    )  # fmt: skip


def _median(name: str, title: str, unit: str, values: Floats, found: Bools, why: str | None = None) -> Measure:
    """The median over all rows, those without a change counting as farther than all others."""
    n = len(found)
    held = np.sort(np.where(found, values, np.inf))
    middle = 0.5 * (held[(n - 1) // 2] + held[n // 2])
    title = f"{title}, median over rows"
    if not np.isfinite(middle):
        return Measure(name, None, title, n, unit, reason=why or "for half of the rows or more no change was found")
    # Ranks that hold the median with 95 % probability, by the normal approximation of the binomial distribution.
    half = 0.98 * np.sqrt(n)
    low, high = max(0, int(np.floor(n / 2 - half))), min(n - 1, int(np.ceil(n / 2 + half)))
    bounds = (float(held[low]), float(held[high])) if n > 1 and np.isfinite(held[high]) else None
    return Measure(name, float(middle), title, n, unit, bounds, better="higher")


def _plain(
    name: str, title: str, unit: str, values: Floats, statistic: Literal["median", "mean"] = "median"
) -> Measure:
    title = f"{title}, {statistic} over rows that were changed"
    if not len(values):
        return Measure(name, None, title, 0, unit, reason="no row was changed")
    value = float(np.median(values) if statistic == "median" else values.mean())
    return Measure(name, value, title, len(values), unit, bootstrap_interval(values, statistic))


def _moves(data: AuditData, first: Integers, reached: Integers, found: Bools) -> Table:
    """Which decision each class is most easily moved to."""
    rows = []
    for own in np.unique(first):
        mine = first == own
        to, counts = np.unique(reached[mine & found], return_counts=True)
        rows += [
            (_name(data, own), _name(data, k), int(c), float(c / mine.sum())) for k, c in zip(to, counts, strict=True)
        ]
        if left := int((mine & ~found).sum()):
            rows.append((_name(data, own), "not found", left, float(left / mine.sum())))
    return Table("What decisions are moved to", ("decision", "nearest other", "rows", "share of its rows"), tuple(rows))


def _name(data: AuditData, position: int) -> str:
    return data.classes[int(position)] if int(position) < len(data.classes) else str(int(position))


def _curve(found: Bools, largest: Floats) -> Chart:
    """The share of rows that changes up to a size suffice for."""
    sizes = np.sort(largest[found])
    n = len(found)
    x = (0.0, *map(float, sizes))
    y = tuple(float(k / n) for k in range(len(sizes) + 1))
    bounds = [wilson(k, n) for k in range(len(sizes) + 1)]
    curve = Curve("changed", x, y, tuple(low for low, _ in bounds), tuple(high for _, high in bounds))
    return Chart(
        "steps",
        "Rows whose decision is changed by a change of at most this size",
        "largest change of any value (share of its range)",
        "share of rows",
        (curve,),
    )


def _features(rows: Rows, shares: Floats, signed: Floats) -> tuple[Table, Chart]:
    size = shares.mean(axis=0)
    order = [int(k) for k in np.argsort(-size, kind="stable")[:MOST_SHOWN] if size[k] > 0]
    top = shares.argmax(axis=1)
    names = rows.features.names
    table = Table(
        "Features by their share of the changes",
        (
            "feature",
            "mean share of the squared change",
            "mean size of its change (ranges)",
            "rows where it is the largest",
        ),
        tuple((names[k], float(size[k]), float(np.abs(signed[:, k]).mean()), int((top == k).sum())) for k in order),
    )
    bars = Curve("share", tuple(names[k] for k in order), tuple(float(size[k]) for k in order))
    return table, Chart("bars", "Where the changes are", "feature", "mean share of the squared change", (bars,))
