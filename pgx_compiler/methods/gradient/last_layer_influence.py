"""Influence of training rows by the last layer (Koh & Liang, 2017): https://arxiv.org/abs/1703.04730."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.evidence.summary import bootstrap_interval
from pgx_compiler.methods.declaration import (
    MODALITIES,
    Cost,
    NamesLayer,
    Need,
    Params,
    Shape,
    UnfitParams,
    global_explanation,
)
from pgx_compiler.methods.gradient._influence import CLOSE_ENOUGH, LastLayer, Said, contrast, said_of
from pgx_compiler.methods.gradient._layers import layer_called
from pgx_compiler.methods.gradient._row_ids import ids_of
from pgx_compiler.methods.precaution._significance import wilson
from pgx_compiler.methods.precaution._wording import not_measured
from pgx_compiler.modalities.data import AuditData
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, Inputs, Integers, LayerDifferentiable
from runtimes.target import ModelFacts

_LOOKED_AT = 4
"""Rows on which it is made sure that nothing but the last layer stands between the named layer and the score."""
_SUSPECT = 0.05
"""Share of the training rows, those that influence themselves most, that are looked at for wrong labels (own default)."""
_MOST_SELF = 20
"""Rows in the table of those that influence themselves most."""

_HAS_WEIGHTS = ("Dense", "MatMul", "Gemm")


def below_the_last(layers: Iterable[tuple[str, str]]) -> str | None:
    """The layer in front of the last dense one, from names and kinds in the order of computation."""
    before: str | None = None
    found: str | None = None
    for name, kind in layers:
        if kind in _HAS_WEIGHTS:
            found = before
        before = name
    return found


def layer_of_file(facts: ModelFacts) -> str | None:
    """The same, from what a file says of itself."""
    return below_the_last((layer.name, layer.kind) for layer in facts.layers if layer.used == 1)


TITLE = "Last-layer influence"


class LastLayerInfluenceParams(Params):
    """Parameters of the influence of training rows."""

    layer: Annotated[str | None, NamesLayer(layer_of_file)] = None
    """The layer that the last one reads. Left out: the one in front of the last dense layer; the plan says which it is."""
    by: Literal["influence_functions", "tracin"] = "influence_functions"
    """``influence_functions``: how much the score would fall if the last layer were fitted again without the row, by one step
    of Newton's method (Koh & Liang, 2017; Rad & Maleki, 2020). ``tracin``: what a step of training on the row does to the score, at the end of training
    (one checkpoint of TracIn; Pruthi et al., 2020); its unit means nothing."""
    damping: Annotated[float, Field(gt=0, le=100)] | Literal["auto"] = "auto"
    """Of influence functions: what is added to the curvature in every direction, as a share of its mean, so that directions in
    which the training rows say nothing count little. ``auto``: the penalty on the weights that would hold the last layer where
    training left it (own choice), and 0.01 at least."""
    rows: Annotated[int, Field(ge=20, le=50000)] = 5000
    """Training rows looked at, drawn at random."""
    shown: Annotated[int, Field(ge=1, le=20)] = 3
    """Training rows named for each explained row, in each direction."""


def cost(params: LastLayerInfluenceParams, shape: Shape) -> Cost:
    """Activations and scores of the training rows and the explained ones; a few gradients to make sure of the layer."""
    looked_at = min(params.rows, shape.train_rows)
    both = looked_at + shape.rows
    return Cost(forward=2 * both, backward=2 * min(_LOOKED_AT, looked_at), bytes=8 * looked_at * (shape.rows + 64))


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A last layer that is fitted as the formulas take it to be."""
    if facts.activation == "exp" or score == "log_value":
        return "they are worked out for classes and for squared errors of a plain sum; this last layer is fitted through a log"
    if score == "value" and shape.outputs > 1:
        return "a label of a regression is one number, and this model gives several values a row"
    return None


@global_explanation(
    modalities=MODALITIES,
    needs={"labels"},
    paper="https://arxiv.org/abs/1703.04730",
    cost=cost,
    admits=admits,
    laws=("repeatable", "helps_itself"),
    codes=("not_converged",),
    measures=(
        "largest_influence",
        "rows_for_half",
        "harmful_contradicted",
        "contradicted",
        "suspects_contradicted",
        "memorised",
        "gradient_left",
    ),
    measures_from={
        "largest_influence": {"by": "influence_functions"},
        "memorised": {"by": "influence_functions"},
    },
    measures_need={
        "harmful_contradicted": (Need("classification"),),
        "contradicted": (Need("classification"),),
        "suspects_contradicted": (Need("classification"),),
        "memorised": (Need("classification"),),
    },
)
def last_layer_influence(
    model: LayerDifferentiable,
    data: AuditData,
    rows: Rows,
    params: LastLayerInfluenceParams,
    rng: np.random.Generator,
) -> Report:
    """Say which training rows raise and lower the score of each explained row most, as far as the last layer goes.

    The layers below are held still; the last one is then a regression on their activations, whose dependence on each of its
    training rows is known in closed form.

    Reading:
        An influence is how much higher the log-odds of the explained output are (of a regression, the value) because the
        training row was there: leaving it out would lower them by that much. The most harmful rows are those that speak
        against the explained output most; where the model contradicts their labels, look whether the labels are right. A row's
        influence on itself is how much its own label leans on the row itself: rows with wrong labels and odd rows stand at the
        top. "Memorised" are rows whose own label is the likelier answer only because they were in the training data.

    Limits:
        Only what the last layer learned from a row is counted, not what the layers below owe to it: the order of the rows is
        more to be trusted than the amounts. They hold at the end of training: a gradient left far above 0 says that training stopped early or was held back by penalties, and
        then another fit would move for that reason too. The training data of the audit must be what the model was trained
        on, and its loss cross-entropy (of a regression, the squared error), all rows with the same weight. Beyond 3,000 parameters
        of the last layer a row's influence on itself counts the curvature of each output alone: an order, no amount.
    """
    if data.train.labels is None:
        return not_measured(
            "largest_influence", "Largest influence of a training row", "the training data has no labels"
        )
    layer = layer_called(model, params.layer or below_the_last((one.name, one.kind) for one in model.layers)).name
    chosen = np.sort(rng.permutation(len(data.train))[: params.rows])
    labels = data.train.labels[chosen]
    seen = _looked(model, data, rows, layer, chosen)
    said, last = seen.said, seen.last.damped(None if params.damping == "auto" else params.damping, seen.weights)
    found, itself, left = _influence(last, seen, len(chosen) / len(data.train), params)
    names = [str(data.train.row_ids[place]) for place in chosen]
    explained = ids_of(rows, data)
    measures = [
        *_sizes(found, params),
        *(_labels(found, itself, said, labels, params, is_exact=last.is_exact) if said else []),
        Measure("gradient_left", last.gradient_left, "Mean gradient of the last layer by the mean size of a row's (0: at rest)",
                len(chosen), better="lower"),
    ]  # fmt: skip
    tables = (
        _per_row(found, explained, names, rows.target, data, said, labels, params),
        _itself(itself, names, data, said, labels),
    )
    arrays = {
        "influence": found,
        "self_influence": itself,
        "train_row_ids": np.array(names),
        "row_ids": np.array(explained),
    }
    return Report(tuple(measures), _unsolved(left), tables, arrays)


@dataclass(frozen=True)
class _Seen:
    """What is asked of the model."""

    last: LastLayer
    """Without damping."""
    weights: float
    """The size of its weights."""
    said: Said | None
    """Of the training rows; None of a value."""
    here: Floats
    """Activations of the explained rows."""
    slopes: Floats
    """``(rows, outputs)``: d explained score / d what the last layer sums up."""
    own_slopes: Floats
    """The same of each training row for its own label."""


def _looked(model: LayerDifferentiable, data: AuditData, rows: Rows, layer: str, chosen: Integers) -> _Seen:
    assert data.train.labels is not None
    labels = data.train.labels[chosen]
    train: Inputs = {name: np.asarray(array)[chosen] for name, array in data.train.inputs.items()}
    below = _with_bias(model.activations(train, layer), layer)
    here = _with_bias(model.activations(rows.inputs, layer), layer)
    scores = model.predict(train), model.predict(rows.inputs)
    if data.task == "classification":
        # Together, since what kind of score it is shows the better the more rows there are.
        whole = said_of(np.concatenate(scores))
        said, explained = (
            Said(part, whole.kind) for part in (whole.probabilities[: len(chosen)], whole.probabilities[len(chosen) :])
        )
        weights = _weights(model, train, layer, said)
        last = LastLayer(below, said.errors(labels), said.shares(), 0.0)
        return _Seen(last, weights, said, here, explained.slopes(rows.target), said.slopes(labels))
    weights = _weights(model, train, layer, None)
    last = LastLayer(below, _residuals(scores[0], labels), None, 0.0)
    # Leaving a row out moves its own value away from its label: the slope is that of minus the error's size.
    return _Seen(last, weights, None, here, np.ones((len(rows), 1)), -np.sign(last.errors))


def _influence(
    last: LastLayer, seen: _Seen, share: float, params: LastLayerInfluenceParams
) -> tuple[Floats, Floats, float]:
    """Of each training row on each explained one, on itself, and what is left unsolved of it.

    ``share`` of the training rows were looked at: of a sample the curvature is the mean too, but one row weighs as little as it
    does in all of them.
    """
    if params.by == "tracin":
        found = last.alignment(seen.slopes, seen.here)
        return found, last.on_themselves(seen.own_slopes, by_curvature=False), 0.0
    if last.is_too_large:
        raise UnfitParams(
            f"the last layer has {last.parameters:,} parameters, too many for influence functions; use `by: tracin`"
        )
    found, left = last.influence(seen.slopes, seen.here)
    return share * found, share * last.on_themselves(seen.own_slopes, by_curvature=True), left


def _unsolved(left: float) -> tuple[Finding, ...]:
    if left <= 10 * CLOSE_ENOUGH:
        return ()
    summary = (
        f"Conjugate gradients left {left:.2g} of the right-hand side: the influences are not those of the curvature."
    )
    title = "Influences are not solved for"
    advice = ("Raise `damping`, or use `by: tracin`.",)
    return (Finding("not_converged", "warning", title, summary, advice=advice),)


def _with_bias(activations: Floats, layer: str) -> Floats:
    if activations.ndim != 2:
        shape = " × ".join(map(str, activations.shape[1:]))
        raise UnfitParams(
            f"the layer `{layer}` gives {shape} numbers a row, but the last layer must read a plain vector"
        )
    return np.concatenate([activations, np.ones((len(activations), 1))], axis=1)


def _residuals(scores: Floats, labels: Floats) -> Floats:
    if scores.shape[1] != 1:
        raise UnfitParams(f"the model gives {scores.shape[1]} values, but the data has one label for each row")
    return scores - np.asarray(labels, np.float64)[:, None]


def _weights(model: LayerDifferentiable, train: Inputs, layer: str, said: Said | None) -> float:
    """The size of the last layer's weights, as far as the first two outputs tell.

    Raises:
        UnfitParams: the score is not affine in the layer's activations, so that more than the last layer stands above it.
    """
    few = {name: array[:_LOOKED_AT] for name, array in train.items()}
    count = len(next(iter(few.values())))
    first = model.layer_gradient(few, np.zeros(count, np.int64), layer)[1]
    if said is None:
        slope = first
    else:
        second = model.layer_gradient(few, np.ones(count, np.int64), layer)[1]
        slope = contrast(Said(said.probabilities[:count], said.kind), first, second)
    size = float(np.abs(slope).max())
    # What is certain to float32 (a probability of 1) has lost its slope: such rows cannot contradict.
    known = np.abs(slope).max(axis=1) > 1e-3 * size
    mean = slope[known].mean(axis=0) if known.any() else np.zeros(slope.shape[1])
    apart = float(np.abs(slope[known] - mean).max()) if known.any() else 0.0
    if not size or apart > 0.02 * size:
        raise UnfitParams(
            f"the layer `{layer}` is not what the last layer reads: the score is not linear in it; name the layer in front of "
            "the last dense one by `layer`"
        )
    outputs = 2 if said is None else said.probabilities.shape[1]
    # The columns of weights differ by 2 ** 0.5 of their own size, where they are independent; of two only that is known.
    return float(np.linalg.norm(mean)) * (1.0 if outputs == 2 else float(np.sqrt(outputs / 2)))


def _sizes(found: Floats, params: LastLayerInfluenceParams) -> list[Measure]:
    """How large influences are, and on how many rows a score rests."""
    size = np.abs(found)
    ordered = -np.sort(-size, axis=1)
    whole = ordered.sum(axis=1)
    half = (np.cumsum(ordered, axis=1) < 0.5 * whole[:, None]).sum(axis=1) + 1.0
    measures = []
    if params.by == "influence_functions":
        most = size.max(axis=1)
        measures.append(
            Measure("largest_influence", float(np.median(most)), "Largest influence of one training row, median over rows",
                    len(most), "log-odds or value", bootstrap_interval(most))
        )  # fmt: skip
    title = f"Training rows (of {found.shape[1]}) that together have half of the influence on a row, median over rows"
    measures.append(
        Measure("rows_for_half", float(np.median(half)), title, len(half), "rows", bootstrap_interval(half))
    )
    return measures


def _labels(
    found: Floats, itself: Floats, said: Said, labels: Integers, params: LastLayerInfluenceParams, *, is_exact: bool
) -> list[Measure]:
    """Where influence and labels do not go together."""
    wrong = said.probabilities.argmax(axis=1) != labels
    n = len(labels)
    harmful = np.unique(np.argsort(found, axis=1, kind="stable")[:, : params.shown])
    suspects = np.argsort(-itself, kind="stable")[: max(10, round(_SUSPECT * n))]
    measures = []
    for name, which, words in (
        ("contradicted", np.arange(n), "Training rows"),
        ("harmful_contradicted", harmful, "Most harmful training rows of the explained rows"),
        ("suspects_contradicted", suspects, "Training rows that influence themselves most"),
    ):
        count = int(wrong[which].sum())
        title = f"{words} whose label the model contradicts"
        bounds = wilson(count, len(which))
        measures.append(Measure(name, count / len(which), title, len(which), "share", bounds, better="lower"))
    if params.by == "influence_functions" and is_exact:
        own = said.log_odds(labels)
        count = int(((own > 0) & (own - itself < 0)).sum())
        title = "Training rows whose label is the likelier answer only because they were in the training data"
        measures.append(Measure("memorised", count / n, title, n, "share", wilson(count, n), better="lower"))
    return measures


def _per_row(
    found: Floats,
    explained: list[str],
    names: list[str],
    target: Integers,
    data: AuditData,
    said: Said | None,
    labels: Integers,
    params: LastLayerInfluenceParams,
) -> Table:
    lines: list[tuple[str | float | int | None, ...]] = []
    for row, values in enumerate(found):
        whole = float(np.abs(values).sum())
        order = np.argsort(-values, kind="stable")
        raising = [k for k in order[: params.shown] if values[k] > 0]
        lowering = [k for k in order[::-1][: params.shown] if values[k] < 0]
        for words, places in (("raises", raising), ("lowers", lowering)):
            lines += [
                (explained[row], _class(data, target[row]), words, names[k], _label(data, labels[k]), _decided(data, said, k),
                 float(values[k]), float(abs(values[k]) / whole))
                for k in places
            ]  # fmt: skip
    columns = (
        "row",
        "explained",
        "training row",
        "its id",
        "label",
        "model says",
        "influence",
        "share of all influence",
    )
    return Table("Training rows with the largest influence on each row", columns, tuple(lines))


def _itself(itself: Floats, names: list[str], data: AuditData, said: Said | None, labels: Integers) -> Table:
    order = np.argsort(-itself, kind="stable")[:_MOST_SELF]
    usual = float(np.median(itself)) or None
    return Table(
        "Training rows that influence themselves most",
        ("training row", "label", "model says", "influence on itself", "times the median"),
        tuple(
            (
                names[k],
                _label(data, labels[k]),
                _decided(data, said, int(k)),
                float(itself[k]),
                usual and float(itself[k] / usual),
            )
            for k in order
        ),
    )


def _class(data: AuditData, position: int) -> str:
    return data.classes[int(position)] if int(position) < len(data.classes) else "value"


def _label(data: AuditData, label: float) -> str | float:
    return data.classes[int(label)] if data.classes else float(label)


def _decided(data: AuditData, said: Said | None, place: int) -> str | None:
    return None if said is None else _class(data, int(said.probabilities[place].argmax()))
