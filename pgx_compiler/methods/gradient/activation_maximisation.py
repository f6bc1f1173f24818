"""Inputs that a class scores highest (Erhan et al., 2009; Olah, Mordvintsev & Schubert, 2017): https://doi.org/10.23915/distill.00007."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Chart, Curve, Matrix, Measure, Picture, Report, Table
from pgx_compiler.methods.declaration import (
    NUMERIC,
    PLACED,
    Cost,
    Need,
    Params,
    Shape,
    UnfitParams,
    global_explanation,
)
from pgx_compiler.methods.precaution._significance import wilson
from pgx_compiler.methods.precaution._wording import listing, measure_names, not_measured
from pgx_compiler.modalities import modalities
from pgx_compiler.modalities.data import AuditData
from pgx_compiler.modalities.features import FIXED
from runtimes.capabilities import Differentiable, Floats, Inputs, Integers
from runtimes.target import ModelFacts

_MOST_CLASSES = 10
_NOISE = 0.1
"""Standard deviation of a start around the mean row, in ranges (own default)."""


class ActivationMaximisationParams(Params):
    """Parameters of activation maximisation."""

    classes: tuple[str, ...] = ()
    """Classes whose score is raised. Left out: all, of many the first ten."""
    starts: Annotated[int, Field(ge=1, le=32)] = 3
    """Random starts around the mean training row for each class."""
    steps: Annotated[int, Field(ge=1, le=5000)] = 200
    """Steps up the gradient."""
    rate: Annotated[float, Field(gt=0, le=1)] = 0.02
    """How far a step moves the values (root of their mean square), as a share of the range of the training data."""
    jitter: Annotated[int, Field(ge=0, le=64)] = 1
    """Most places by which the input is shifted before each step and back after it, so that nothing is made for one place."""
    blur: Annotated[float, Field(ge=0, le=8)] = 0.5
    """Width (standard deviation, in places) of the blur after every fourth step but those of the last tenth; 0: none."""
    compared: Annotated[int, Field(ge=1, le=10000)] = 1000
    """Training rows, drawn at random, that the reached scores are held against."""


def cost(params: ActivationMaximisationParams, shape: Shape) -> Cost:
    """A gradient of each start and step; scores of the starts, of the ends and of the training rows."""
    inputs = params.starts * (len(params.classes) or min(shape.outputs, _MOST_CLASSES))
    compared = min(params.compared, shape.train_rows)
    return Cost(forward=2 * inputs + compared, backward=inputs * params.steps)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model of one input of numbers."""
    if len(facts.inputs) != 1:
        return f"the model reads {len(facts.inputs)} inputs, and this makes one"
    if not facts.inputs[0].dtype.startswith(("float", "bfloat")):
        return "the model reads no floating-point numbers, so that its input cannot be moved up the gradient"
    return None


@dataclass(frozen=True)
class _Frame:
    """What inputs are made in."""

    name: str
    axes: tuple[int, ...]
    """Of places, the row axis being 0."""
    low: Floats
    high: Floats
    """``(*feature shape)``: of the training data."""
    free: Floats
    """``(*feature shape)``: 1 where a value may be moved, 0 where it is given."""
    mean: Floats
    dtype: "np.dtype[np.floating[Any]]"

    @property
    def range(self) -> Floats:
        """How far a value may go, ``(*feature shape)``."""
        return (self.high - self.low) * self.free


@global_explanation(
    modalities=PLACED & NUMERIC,
    paper="https://doi.org/10.23915/distill.00007",
    cost=cost,
    admits=admits,
    laws=("repeatable", "climbs"),
    measures=("above_data", "resembles_class", "starts_agree", "score_{class}"),
    measures_from={"starts_agree": {"starts": 2}},
    measures_need={"resembles_class": (Need("labels"), Need("classification"))},
)
def activation_maximisation(
    model: Differentiable, data: AuditData, params: ActivationMaximisationParams, rng: np.random.Generator
) -> Report:
    """Make inputs that raise the score of a class as far as they can, step by step up the gradient.

    Each input starts near the mean of the training rows and stays within their range. It is shifted a little before every step
    and blurred now and then, so that what remains is what the score asks for in many places and not in single values.

    Reading:
        Look at what was made: it shows what the score of the class rises with. A score far above that of every training row
        says that the model knows no limit there: it calls inputs certain that look like none of the data. The resemblance
        says how often what was made for a class looks more like the mean of this class than like that of any other
        (correlation). Where the starts agree, there is one thing that the class is to the model; where they do not, several.

    Limits:
        What is made is no example of the class and need not be possible. It depends on step, shift and blur: with less of them
        it becomes noise that the model scores even higher. It shows one thing that raises the score, not all that does, and
        nothing about how the model decides between real rows.
    """
    frame = _frame(data)
    columns, names = _outputs(data, params)
    drawn = np.sort(rng.permutation(len(data.train))[: params.compared])
    train: Inputs = {frame.name: np.asarray(data.train.inputs[frame.name])[drawn]}
    known = model.predict(train)
    if not frame.range.any():
        return not_measured(
            "above_data", "Classes scored above all training rows", "no value of the input may be moved"
        )
    target = np.repeat(np.asarray(columns, np.int64), params.starts)
    noise = rng.normal(0.0, _NOISE, (len(target), *frame.mean.shape)) * frame.range
    start = np.clip(frame.mean + noise, frame.low, frame.high)
    before = _score(model, frame, start, target)
    made = _climbed(model, frame, start, target, params, rng)
    after = _score(model, frame, made, target)
    # What is blurred and shifted may end below where it began: then the start is the best that is known.
    made = np.where((after >= before).reshape(-1, *[1] * (made.ndim - 1)), made, start)
    score = np.maximum(after, before).reshape(len(columns), params.starts)
    made = made.reshape(len(columns), params.starts, *made.shape[1:])
    best = score.argmax(axis=1)
    return _report(data, frame, made, score, best, known[:, columns], _means(data, frame, columns), names, before)


def _frame(data: AuditData) -> _Frame:
    name = next(iter(data.train.inputs))
    values = np.asarray(data.train.inputs[name], np.float64)
    shape = values.shape[1:]
    channels_first = bool(data.features.layout.get("channels_first"))
    places = modalities()[data.modality].PLACES
    axes = tuple(range(1, 1 + places)) if not channels_first else tuple(range(len(shape) + 1 - places, len(shape) + 1))
    channel = tuple(axis for axis in range(1, values.ndim) if axis not in axes) if data.modality == "series" else ()
    over = tuple(axis for axis in range(values.ndim) if axis not in channel)
    low = np.broadcast_to(values.min(axis=over, keepdims=True)[0], shape)
    high = np.broadcast_to(values.max(axis=over, keepdims=True)[0], shape)
    owner = data.features.owners.get(name)
    free = np.ones(shape) if owner is None or owner.shape != shape else (owner != FIXED).astype(np.float64)
    return _Frame(name, axes, low, high, free, values.mean(axis=0), np.asarray(data.train.inputs[name]).dtype)


def _outputs(data: AuditData, params: ActivationMaximisationParams) -> tuple[list[int], list[str]]:
    if data.task == "regression" or not data.classes:
        columns, called = data.value_columns
        return list(columns), list(called)
    missing = [name for name in params.classes if name not in data.classes]
    if missing:
        raise UnfitParams(f"there are no classes {listing(missing)}; there are {listing(data.classes, 12)}")
    names = list(params.classes or data.classes[:_MOST_CLASSES])
    return [data.classes.index(name) for name in names], names


def _score(model: Differentiable, frame: _Frame, inputs: Floats, target: Integers) -> Floats:
    scores = model.predict({frame.name: inputs.astype(frame.dtype)})
    return np.asarray(scores[np.arange(len(target)), target], np.float64)


def _climbed(
    model: Differentiable,
    frame: _Frame,
    start: Floats,
    target: Integers,
    params: ActivationMaximisationParams,
    rng: np.random.Generator,
) -> Floats:
    made, inner = start, tuple(range(1, start.ndim))
    for step in range(params.steps):
        shift = [int(s) for s in rng.integers(-params.jitter, params.jitter + 1, len(frame.axes))]
        shifted = np.roll(made, shift, frame.axes).astype(frame.dtype)
        slope = model.gradient({frame.name: shifted}, target)[frame.name]
        slope = np.roll(slope, [-s for s in shift], frame.axes) * frame.range
        size = np.sqrt((slope**2).mean(axis=inner, keepdims=True))
        made = made + params.rate * frame.range * np.divide(slope, size, out=np.zeros_like(slope), where=size > 0)
        if params.blur and step % 4 == 3 and step < 0.9 * params.steps:
            made = np.where(frame.free > 0, blurred(made, params.blur, frame.axes), made)
        made = np.clip(made, frame.low, frame.high)
    return made


def blurred(values: Floats, width: float, axes: tuple[int, ...]) -> Floats:
    """A Gaussian blur along axes; beyond the edges the outermost value is continued."""
    reach = max(1, int(np.ceil(3 * width)))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    weights /= weights.sum()
    for axis in axes:
        size = values.shape[axis]
        places = np.arange(size)
        values = sum(
            (weight * np.take(values, np.clip(places + shift, 0, size - 1), axis=axis)
             for shift, weight in zip(range(-reach, reach + 1), weights, strict=True)),
            start=np.zeros_like(values),
        )  # fmt: skip
    return values


def _means(data: AuditData, frame: _Frame, columns: list[int]) -> Floats | None:
    """The mean training row of each class, ``(classes, *feature shape)``; None without labels, or where a class has no rows."""
    labels = data.train.labels
    if labels is None or data.task != "classification" or not all((labels == column).any() for column in columns):
        return None
    values = np.asarray(data.train.inputs[frame.name], np.float64)
    return np.stack([values[labels == column].mean(axis=0) for column in columns])


def _correlation(one: Floats, other: Floats) -> float:
    first, second = one.reshape(-1) - one.mean(), other.reshape(-1) - other.mean()
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / size if size else 0.0


def _report(
    data: AuditData,
    frame: _Frame,
    made: Floats,
    score: Floats,
    best: Integers,
    known: Floats,
    means: Floats | None,
    names: list[str],
    before: Floats,
) -> Report:
    shown = made[np.arange(len(best)), best]
    reached, largest = score.max(axis=1), known.max(axis=0)
    classes, rows = len(names), len(known)
    above = int((reached > largest).sum())
    measures = [
        Measure("above_data", above / classes, "Classes whose score can be raised above that of every training row", classes,
                "share", wilson(above, classes)),
    ]  # fmt: skip
    like: list[float | None] = [None] * classes
    other: list[str | None] = [None] * classes
    if means is not None and classes > 1:
        # The mean of all rows is what inputs start from: it would make them all resemble each other.
        centre = means.mean(axis=0)
        alike = np.array([[_correlation(one - centre, mean - centre) for mean in means] for one in shown])
        like, other = [float(v) for v in alike.diagonal()], [names[k] for k in alike.argmax(axis=1)]
        own = int((alike.argmax(axis=1) == np.arange(classes)).sum())
        measures.append(
            Measure("resembles_class", own / classes, "Classes whose input resembles their own mean row most", classes, "share",
                    wilson(own, classes), better="higher")
        )  # fmt: skip
    pairs = [(a, b) for a in range(score.shape[1]) for b in range(a)]
    agree = [
        float(np.mean([_correlation(own[a] - frame.mean, own[b] - frame.mean) for a, b in pairs]))
        for own in made
        if pairs
    ]
    if agree:
        title = "Correlation of what is made from different starts, median over classes"
        measures.append(Measure("starts_agree", float(np.median(agree)), title, classes, better="higher"))
    called = measure_names("score", names)
    measures += [
        Measure(called[name], float(value), f"Score reached for {name}", score.shape[1], "score", subject=name)
        for name, value in zip(names, reached, strict=True)
    ]
    table = Table(
        "Scores reached, beside those of the training rows",
        ("class", "score reached", f"largest of {rows} training rows", "their mean", "resemblance to its mean row",
         "most like the mean of", "agreement of the starts"),
        tuple(
            (name, float(reached[k]), float(largest[k]), float(known[:, k].mean()), like[k], other[k], agree[k] if agree else None)
            for k, name in enumerate(names)
        ),
    )  # fmt: skip
    arrays = {"made": made, "score": score, "start_score": before.reshape(score.shape)}
    return Report(tuple(measures), tables=(table,), arrays=arrays, charts=_drawn(data, frame, shown, names))


def _drawn(data: AuditData, frame: _Frame, shown: Floats, names: list[str]) -> tuple[Chart | Matrix | Picture, ...]:
    """What was made, from 0 (the least value of the training data) to 1 (the largest)."""
    span = np.where(frame.high > frame.low, frame.high - frame.low, 1.0)
    light = (shown - frame.low) / span
    title = "Input that the class scores highest"
    if data.modality == "series":
        flat = light.reshape(*light.shape[:2], -1)
        steps = tuple(float(t) for t in range(flat.shape[1]))
        channels = list(data.features.layout.get("channels") or [f"channel {k + 1}" for k in range(flat.shape[2])])
        return tuple(
            Chart(
                "lines",
                title,
                "step",
                "share of the range",
                tuple(Curve(c, steps, tuple(map(float, flat[k, :, i]))) for i, c in enumerate(channels)),
                subject=name,
            )
            for k, name in enumerate(names)
        )
    channel = tuple(axis for axis in range(1, light.ndim) if axis not in frame.axes)
    grey = light.mean(axis=channel) if channel else light
    if grey.ndim > 3:  # of a volume its middle slice
        title, grey = f"{title}, middle slice", grey[:, grey.shape[1] // 2]
    return tuple(
        Picture(title, tuple(tuple(map(float, line)) for line in grey[k]), subject=name) for k, name in enumerate(names)
    )
