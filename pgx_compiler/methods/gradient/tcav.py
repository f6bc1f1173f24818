"""Testing with concept activation vectors (TCAV; Kim et al., 2018): https://arxiv.org/abs/1711.11279."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Matrix, Measure, Report, Table
from pgx_compiler.methods.declaration import (
    MODALITIES,
    Cost,
    NamesLayer,
    Params,
    Shape,
    UnfitParams,
    global_explanation,
)
from pgx_compiler.methods.gradient._concepts import (
    Cloud,
    Concept,
    Directions,
    among,
    concepts_of,
    directions,
    rows_that_show,
    without,
)
from pgx_compiler.methods.gradient._neurons import find_layer, last_hidden_layer
from pgx_compiler.methods.precaution._significance import benjamini_hochberg
from pgx_compiler.methods.precaution._wording import listing, measure_names, not_measured
from pgx_compiler.modalities.data import AuditData, Split
from runtimes.capabilities import Floats, Inputs, Integers, LayerDifferentiable

TITLE = "Concepts (TCAV)"

LEAST_ROWS = 20
"""Training rows that must show a concept; fewer do not tell a direction (own default)."""
LEAST_ACCURACY = 0.7
"""Share of held-out rows that the direction must tell apart for the concept to be there at all (own default)."""
LEVEL = 0.05
"""False discovery rate (Benjamini and Hochberg, 1995)."""
MOST_CONCEPTS = 40
"""Concepts taken where none is named."""


class TcavParams(Params):
    """Parameters of TCAV."""

    layer: Annotated[str | None, NamesLayer(last_hidden_layer)] = None
    """The layer in which concepts are looked for; one in a nested model as ``outer/inner``. Left out: the last convolution,
    behind its normalisation and activation, or the last hidden dense layer; the plan says which it is."""
    concepts: Annotated[dict[str, Concept], Field(default_factory=dict)]
    """Name to the training rows that show it: ``{dark: {variable: brightness, at_most: 0.2}}``, ``{variable: purpose, value:
    car}``, ``{label: bad}`` or ``{rows: [r17, r30, ...]}``. Left out: every variable of the data."""
    classes: tuple[str, ...] = ()
    """Classes whose rows are asked. Left out: all, of many the first ten."""
    against: Literal["rest", "others"] = "rest"
    """What a concept is told from: the rest of the training rows, or the other concepts (relative concept vectors)."""
    examples: Annotated[int, Field(ge=LEAST_ROWS, le=5000)] = 100
    """Rows of each concept, at most, drawn at random."""
    runs: Annotated[int, Field(ge=2, le=500)] = 10
    """How often a concept is told from newly drawn counterparts (the paper recommends 10 at least)."""
    random_sets: Annotated[int, Field(ge=10, le=1000)] = 40
    """Sets of random rows that are treated like concepts, to know what chance gives."""
    rows: Annotated[int, Field(ge=50, le=20000)] = 1000
    """Training rows that stand for all, drawn at random: counterparts and random sets come from them."""
    rows_of_class: Annotated[int, Field(ge=5, le=5000)] = 50
    """Rows of each class that are asked, at most: unseen rows where there are some."""


def cost(params: TcavParams, shape: Shape) -> Cost:
    """At most: activations of the training rows used, predictions where rows have no labels, a gradient of each row asked."""
    concepts = len(params.concepts) or MOST_CONCEPTS
    used = min(shape.train_rows, params.rows + concepts * params.examples)
    asked = min(shape.unseen_rows, params.rows_of_class * (len(params.classes) or min(shape.outputs, 10)))
    return Cost(forward=used, backward=asked)


@dataclass(frozen=True)
class _Told:
    """What is known of one concept."""

    name: str
    rows: int
    accuracy: float
    """NaN where there are too few rows."""
    share: Floats
    """``(runs, classes)``: rows of the class whose score rises towards the concept: the TCAV score."""
    sensitivity: Floats
    """``(classes,)``: mean rise of the class's score by one standard deviation towards the concept."""
    p: Floats
    """``(classes,)``."""


@global_explanation(
    modalities=MODALITIES,
    needs={"labels"},
    paper="https://arxiv.org/abs/1711.11279",
    cost=cost,
    laws=("repeatable",),
    measures=("concepts_told", "concepts_used", "accuracy_{concept}", "score_{concept}_{class}"),
)
def tcav(model: LayerDifferentiable, data: AuditData, params: TcavParams, rng: np.random.Generator) -> Report:
    """Find the direction of each concept in a layer, and ask whether a step towards it raises the score of a class.

    A concept is given by training rows that show it. A linear classifier tells their activations from those of others; its
    normal is the concept's direction. Random sets of rows are treated in the same way, as a whole: what a concept does must be
    more than what they do.

    Reading:
        The TCAV score is the share of a class's rows whose score rises by a small step towards the concept: 1 all, 0 none. The
        sensitivity says by how much, in the score's unit for one standard deviation of the activations. "raises" and "lowers"
        are said where the sensitivity is beyond that of random rows (two-sided t-test against the random sets,
        Benjamini-Hochberg over all concepts and classes). A concept that the layer cannot tell from other rows (accuracy
        below 0.7 on rows held out) is unknown: nothing is said about it.

    Limits:
        A concept is what its rows have in common, also what nobody meant: rows of high income may be rows of high age. That a
        step towards the concept raises the score does not show that the model needs the concept. In the last layers the slope
        is nearly the same for all rows, so that scores are all 0 or 1; judge by the sensitivity there. In a layer with
        places (convolutions) the concept is looked for in the mean over the places, and the step is the same in all of them.
        Another layer may give another answer.
    """
    layer = find_layer(model, params.layer)
    named = dict(params.concepts) or concepts_of(data, LEAST_ROWS, MOST_CONCEPTS)
    if not named:
        return not_measured(
            "concepts_used", "Concepts that a score depends on", "the data has no variable to make one of"
        )
    shown = {name: rows_that_show(concept, name, data) for name, concept in named.items()}
    standing = among(np.arange(len(data.train)), params.rows, rng)
    sets = {name: among(rows, params.examples, rng) for name, rows in shown.items()}
    used = np.unique(np.concatenate([standing, *sets.values()]))
    if len(standing) < 2 * LEAST_ROWS:
        reason = f"{len(standing)} training rows are too few to know what chance gives"
        return not_measured("concepts_used", "Concepts that a score depends on", reason)
    cloud = Cloud(_per_row(model.activations(_rows(data.train, used), layer.name)), np.searchsorted(used, standing))
    classes, slopes = _slopes(model, data, layer.name, params, rng)
    place = {name: np.searchsorted(used, rows) for name, rows in sets.items()}
    showing = {name: np.flatnonzero(np.isin(used, rows)) for name, rows in shown.items()}
    pool = np.searchsorted(used, standing)
    told = _tell(place, showing, pool, cloud, slopes, params, rng)
    return _report(told, classes, layer.name, bool(params.concepts), {name: len(rows) for name, rows in shown.items()})


def _rows(split: Split, chosen: Integers) -> Inputs:
    return {name: np.asarray(array)[chosen] for name, array in split.inputs.items()}


def _per_row(activations: Floats) -> Floats:
    """The mean over a layer's places, ``(rows, channels)``."""
    return np.asarray(activations.reshape(len(activations), -1, activations.shape[-1]).mean(axis=1), np.float64)


def _slopes(
    model: LayerDifferentiable, data: AuditData, layer: str, params: TcavParams, rng: np.random.Generator
) -> tuple[list[str], list[Floats]]:
    """Names of the outputs that are asked, and how the score of each changes with the channels in rows of its class."""
    split = data.test if data.test is not None and data.test.labels is not None else data.train
    if data.task == "regression" or not data.classes:
        columns, names = list(data.value_columns[0]), list(data.value_columns[1])
        chosen = [among(np.arange(len(split)), params.rows_of_class, rng) for _ in columns]
    else:
        missing = [name for name in params.classes if name not in data.classes]
        if missing:
            raise UnfitParams(f"there are no classes {listing(missing)}; there are {listing(data.classes, 12)}")
        names = list(params.classes or data.classes[:10])
        columns = [data.classes.index(name) for name in names]
        labels = np.asarray(split.labels)
        chosen = [among(np.flatnonzero(labels == column), params.rows_of_class, rng) for column in columns]
    some = [place for place, rows in enumerate(chosen) if len(rows)]
    inputs = _rows(split, np.concatenate([chosen[place] for place in some]))
    target = np.concatenate([np.full(len(chosen[place]), columns[place]) for place in some])
    _, slope = model.layer_gradient(inputs, target, layer)
    summed = slope.reshape(len(slope), -1, slope.shape[-1]).sum(axis=1)
    ends = np.cumsum([len(chosen[place]) for place in some])[:-1]
    return [names[place] for place in some], np.split(summed, ends)


def _tell(
    sets: Mapping[str, Integers],
    showing: Mapping[str, Integers],
    pool: Integers,
    cloud: Cloud,
    slopes: list[Floats],
    params: TcavParams,
    rng: np.random.Generator,
) -> list[_Told]:
    """Each concept beside what random sets of as many rows give."""
    chance: dict[int, Floats] = {}
    told: list[_Told] = []
    for name, own in sets.items():
        rest = without(pool, showing[name])
        if params.against == "others":
            rest = without(
                np.unique(np.concatenate([sets[other] for other in sets if other != name] or [pool])), showing[name]
            )
        if min(len(own), len(rest)) < LEAST_ROWS:
            nothing = np.full(len(slopes), np.nan)
            told.append(_Told(name, len(own), np.nan, nothing[None], nothing, nothing))
            continue
        size = min(len(own), len(rest), len(pool) // 2)
        if size not in chance:
            chance[size] = _by_chance(size, pool, cloud, slopes, params, rng)
        found = directions(among(own, size, rng), rest, cloud, params.runs, rng)
        share, rise = _asked(found, slopes)
        told.append(_Told(name, len(own), float(found.accuracy.mean()), share, rise, _p_values(rise, chance[size])))
    return told


def _asked(found: Directions, slopes: list[Floats]) -> tuple[Floats, Floats]:
    """The TCAV scores ``(runs, classes)`` and the mean sensitivities ``(classes,)`` of a set's directions."""
    rises = [slope @ found.steps.T for slope in slopes]
    share = np.stack([(rise > 0).mean(axis=0) for rise in rises], axis=1)
    return share, np.array([rise.mean() for rise in rises])


def _by_chance(
    size: int, pool: Integers, cloud: Cloud, slopes: list[Floats], params: TcavParams, rng: np.random.Generator
) -> Floats:
    """Sensitivities ``(random sets, classes)`` of sets of random rows, each treated like a concept.

    The runs of one set share its rows and are no independent draws: what is compared is one number for each set.
    """
    found = []
    for _ in range(params.random_sets):
        own = np.sort(rng.choice(pool, size, replace=False))
        found.append(_asked(directions(own, without(pool, own), cloud, params.runs, rng), slopes)[1])
    return np.stack(found)


def _p_values(rise: Floats, chance: Floats) -> Floats:
    """Two-sided t-test of one more set against the random ones, ``(classes,)``."""
    from scipy.special import stdtr

    sets = len(chance)
    spread = chance.std(axis=0, ddof=1) * np.sqrt(1 + 1 / sets)
    apart = np.abs(rise - chance.mean(axis=0))
    # Where neither rises by anything there is no difference; where only the concept does, it is beyond chance.
    t = np.divide(apart, spread, out=np.where(apart > 0, np.inf, 0.0), where=spread > 0)
    return np.asarray(2 * stdtr(sets - 1, -t), np.float64)


def _report(told: list[_Told], classes: list[str], layer: str, named: bool, shown: Mapping[str, int]) -> Report:
    known = np.array([one.accuracy >= LEAST_ACCURACY for one in told])
    p = np.stack([one.p for one in told])
    q = np.full(p.shape, np.nan)
    q[known] = benjamini_hochberg(p[known].reshape(-1)).reshape(-1, len(classes))
    used = (q < LEVEL).any(axis=1)
    tested = int(known.sum())
    measures = [
        Measure("concepts_told", float(tested), f"Concepts that `{layer}` can tell from other rows", len(told), "concepts"),
        Measure("concepts_used", float(used.sum()), f"Concepts of these that a score depends on in `{layer}`", tested,
                "concepts", reason=None if tested else "no concept can be told from other rows"),
    ]  # fmt: skip
    measures += _facts(told, classes, known) if named else []
    rise = np.stack([one.sensitivity for one in told])
    share = np.stack([one.share.mean(axis=0) for one in told])
    columns = ("concept", "rows", "accuracy", "class", "TCAV score", "± over runs", "sensitivity", "q", "verdict")
    table = Table(
        f"Concepts in `{layer}`",
        columns,
        tuple(
            _line(one, shown[one.name], k, name, float(q[place, k]))
            for place, one in enumerate(told)
            for k, name in enumerate(classes)
        ),
    )
    chart = Matrix(
        f"Sensitivity of the score to concepts in `{layer}`, where it is beyond chance",
        tuple(one.name for one in told),
        tuple(classes),
        tuple(
            tuple(float(rise[i, k]) if q[i, k] < LEVEL else None for k in range(len(classes))) for i in range(len(told))
        ),
        "class",
        "concept",
        "score for one standard deviation",
    )
    arrays = {
        "score": share,
        "sensitivity": rise,
        "p": p,
        "q": q,
        "accuracy": np.array([one.accuracy for one in told]),
        "concepts": np.array([one.name for one in told]),
        "classes": np.array(classes),
    }
    return Report(tuple(measures), tables=(table,), charts=(chart,) if used.any() else (), arrays=arrays)


def _facts(told: list[_Told], classes: list[str], known: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> list[Measure]:
    """A fact for each concept that the author has named, and each class."""
    found: list[Measure] = []
    of_accuracy = measure_names("accuracy", [one.name for one in told])
    pairs = {(one.name, name): f"{one.name} {name}" for one in told for name in classes}
    of_score = measure_names("score", list(pairs.values()))
    for one, is_known in zip(told, known, strict=True):
        value = float(one.accuracy) if np.isfinite(one.accuracy) else None
        few = None if value is not None else f"fewer than {LEAST_ROWS} training rows show it"
        title = f"Held-out rows on which `{one.name}` is told from others"
        found.append(Measure(of_accuracy[one.name], value, title, one.rows, "share", reason=few, subject=one.name))
        for k, name in enumerate(classes):
            score = float(one.share[:, k].mean()) if is_known else None
            title = f"TCAV score of `{one.name}` for {name}"
            reason = None if is_known else few or "the layer cannot tell the concept from other rows"
            measure = of_score[pairs[one.name, name]]
            found.append(Measure(measure, score, title, one.rows, "share", reason=reason, subject=one.name))
    return found


def _line(one: _Told, rows: int, k: int, name: str, q: float) -> tuple[str | float | int | None, ...]:
    if not one.accuracy >= LEAST_ACCURACY:
        accuracy = float(one.accuracy) if np.isfinite(one.accuracy) else None
        return (one.name, rows, accuracy, name, None, None, None, None, "unknown")
    rise = float(one.sensitivity[k])
    verdict = "no more than chance" if q >= LEVEL else "raises" if rise > 0 else "lowers"
    score, spread = float(one.share[:, k].mean()), float(one.share[:, k].std(ddof=1))
    return (one.name, rows, float(one.accuracy), name, score, spread, rise, q, verdict)
