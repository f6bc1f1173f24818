"""Small changes of the input chosen against the model (Goodfellow et al. 2015; Madry et al. 2018)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.methods.declaration import PICTURED, Cost, Params, Shape, precaution
from pgx_compiler.methods.precaution._significance import binomial_tail, judge, wilson
from pgx_compiler.methods.precaution._thresholds import threshold
from pgx_compiler.methods.precaution._wording import not_measured, number, percent
from pgx_compiler.modalities.data import AuditData, Split
from runtimes.capabilities import Differentiable, Floats, Inputs, Integers


class AdversarialRobustnessParams(Params):
    """How strong the attack is, on how many rows."""

    eps: float = 0.1
    """Largest change of any input value, in `unit`."""
    unit: Literal["input", "spread"] = "input"
    """``input``: the model's own input unit. ``spread``: interquartile range of a column, or full range of an image or
    a volume."""
    steps: int = 10
    """Steps of projected gradient descent; 0 leaves the single-step attack alone."""
    curve: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    """Multiples of `eps` at which the accuracy is also measured."""
    rows: int = 200
    """Most rows attacked, drawn at random."""
    drop: float = threshold("adversarial_robustness.drop")
    """Loss of accuracy at `eps`, from which it is a warning; no pass mark is generally accepted."""


def _strengths(params: AdversarialRobustnessParams) -> list[float]:
    return sorted({float(c) * params.eps for c in params.curve if c > 0} | {params.eps})


def _cost(params: AdversarialRobustnessParams, shape: Shape) -> Cost:
    rows = min(params.rows, shape.data_rows or params.rows)
    attacks = len(_strengths(params))
    # Clean and noisy rows once; then for each strength the single step and the descent, each ended by a look.
    forward = rows * (2 + attacks * (1 + (params.steps + 1 if params.steps else 0)))
    return Cost(forward=forward, backward=2 * rows * (1 + attacks * params.steps))


@dataclass(frozen=True)
class _Attacked:
    """The rows under attack and how far each of their values may go."""

    inputs: Mapping[str, NDArray[Any]]
    labels: Integers
    low: Mapping[str, Floats]
    high: Mapping[str, Floats]
    step: Mapping[str, Floats]
    """Change of each element for a strength of 1; 0 where it is left alone."""

    def moved(self, values: Mapping[str, Floats], strength: float) -> dict[str, NDArray[Any]]:
        """Rows brought back within `strength` of the original and within the training range."""
        back: dict[str, NDArray[Any]] = {}
        for name, original in self.inputs.items():
            if name not in values:
                back[name] = original
                continue
            x, reach = original.astype(np.float64), self.step[name] * strength
            near = np.clip(values[name], x - reach, x + reach)
            inside = np.clip(near, np.minimum(self.low[name], x), np.maximum(self.high[name], x))
            back[name] = inside.astype(original.dtype)
        return back


@precaution(
    modalities=PICTURED | {"tabular"},
    tasks={"classification"},
    needs={"labels"},
    codes=("adversarial_weakness",),
    measures=(
        "accuracy_clean",
        "accuracy_noise",
        "accuracy_single_step",
        "accuracy_attacked",
        "eps_halving",
        "share_flat",
    ),
    paper="https://arxiv.org/abs/1412.6572",
    cost=_cost,
)
def adversarial_robustness(
    data: AuditData, model: Differentiable, params: AdversarialRobustnessParams, rng: np.random.Generator
) -> Report:
    """Attack the model with small changes of its inputs, and measure how much accuracy is left.

    Reading:
        The accuracy under attack is the share of rows that stay right although every input value was moved by at most
        eps in the direction that harms most. Beside it stands the accuracy under random changes of the same size: the
        gap between the two is what an adversary gains over noise. The curve shows the accuracy for weaker and
        stronger attacks.

    Limits:
        A stronger attack might find more: the figure is an upper bound of the accuracy under attack, not a guarantee.
        Rows that were wrong from the start count as wrong. In a table only single numeric columns are moved, never
        categories or columns of two values, and a moved row need not be one that could occur. Where the gradient is
        zero, this attack is blind.
    """
    split = data.test if data.test is not None and data.test.labels is not None else data.train
    title = f"Accuracy under attack (eps {params.eps:g})"
    if split.labels is None:
        return not_measured("accuracy_attacked", title, "no labels")
    attacked = _prepare(data, split, params, rng)
    if attacked is None:
        return not_measured("accuracy_attacked", title, "no input is a number that may be moved")
    clean = model.predict(attacked.inputs)
    right = clean.argmax(axis=1) == attacked.labels
    direction = _direction(model, attacked, attacked.inputs, clean)
    flat = float(np.mean([not any((g[row] != 0).any() for g in direction.values()) for row in range(len(right))]))
    noise = {name: np.where(rng.random(g.shape) < 0.5, -1.0, 1.0) for name, g in direction.items()}
    noisy = _right(model, attacked, _stepped(attacked, noise, params.eps), right)
    curve: list[tuple[float, NDArray[np.bool_], NDArray[np.bool_]]] = []
    left = right
    for strength in _strengths(params):
        single = _right(model, attacked, _stepped(attacked, direction, strength), right)
        # What a weaker attack breaks, a stronger one may break too: its reach includes the other's.
        left = left & single
        if params.steps:
            left = left & _descend(model, attacked, right, strength, params.steps, rng)
        curve.append((strength, single, left))
    return _report(data, params, right, noisy, curve, flat)


def _prepare(
    data: AuditData, split: Split, params: AdversarialRobustnessParams, rng: np.random.Generator
) -> _Attacked | None:
    assert split.labels is not None
    chosen = np.sort(rng.permutation(len(split))[: params.rows])
    low, high, step = {}, {}, {}
    for name, array in data.train.inputs.items():
        values = np.asarray(array)
        movable = _movable(data, name)
        if values.dtype.kind != "f" or not movable.any():
            continue
        per_column = data.modality == "tabular"
        low[name], high[name], middle = (
            _spread(values, quartiles=params.unit == "spread") if per_column else _ends(values)
        )
        unit = np.ones(values.shape[1:])
        if params.unit == "spread":
            unit = middle if per_column else high[name] - low[name]
        step[name] = np.where(movable, unit, 0.0)
    if not step or not len(chosen):
        return None
    inputs = {name: np.asarray(array)[chosen] for name, array in split.inputs.items()}
    return _Attacked(inputs, np.asarray(split.labels, np.int64)[chosen], low, high, step)


def _ends(values: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Least and largest value of all elements; what lies between the quartiles is not asked."""
    shape = values.shape[1:]
    return np.full(shape, float(np.nanmin(values))), np.full(shape, float(np.nanmax(values))), np.zeros(shape)


def _spread(values: NDArray[Any], *, quartiles: bool) -> tuple[Floats, Floats, Floats]:
    """Least and largest value of each element, and what lies between its quartiles; one at a time, in float64."""
    found = np.zeros((3, int(np.prod(values.shape[1:]))))
    for place, column in enumerate(values.reshape(len(values), -1).T):
        held = column.astype(np.float64)
        found[:2, place] = np.nanmin(held), np.nanmax(held)
        if quartiles:
            low, high = np.nanquantile(held, [0.25, 0.75])
            found[2, place] = high - low
    low, high, middle = found.reshape(3, *values.shape[1:])
    return low, high, middle


def _movable(data: AuditData, name: str) -> NDArray[np.bool_]:
    """Elements that may be moved: all of an image or a volume; of a table, single columns with more than two values."""
    owner = data.features.owners[name]
    if data.modality != "tabular":
        return np.ones(owner.shape, bool)
    alone = np.append(data.features.sizes() == 1, False)[owner]
    table = np.asarray(data.train.inputs[name]).reshape(len(data.train), -1)
    varied = np.array([len(np.unique(column)) > 2 for column in table.T], bool).reshape(owner.shape)
    movable: NDArray[np.bool_] = alone & varied
    return movable


def _direction(model: Differentiable, attacked: _Attacked, inputs: Inputs, scores: Floats) -> dict[str, Floats]:
    """Sign of the gradient of (strongest wrong class minus right class): the difference-of-scores loss.

    Two gradients whatever the number of classes; for two classes it is the sign of the cross-entropy's gradient.
    """
    rows = np.arange(len(scores))
    wrong = scores.copy()
    wrong[rows, attacked.labels] = -np.inf
    up = model.gradient(inputs, wrong.argmax(axis=1).astype(np.int64))
    down = model.gradient(inputs, attacked.labels)
    return {name: np.sign(up[name] - down[name]) * (attacked.step[name] > 0) for name in attacked.step}


def _stepped(attacked: _Attacked, direction: Mapping[str, Floats], strength: float) -> dict[str, NDArray[Any]]:
    moved = {name: attacked.inputs[name] + strength * attacked.step[name] * d for name, d in direction.items()}
    return attacked.moved(moved, strength)


def _right(model: Differentiable, attacked: _Attacked, inputs: Inputs, before: NDArray[np.bool_]) -> NDArray[np.bool_]:
    still: NDArray[np.bool_] = before & (model.predict(inputs).argmax(axis=1) == attacked.labels)
    return still


def _descend(
    model: Differentiable,
    attacked: _Attacked,
    before: NDArray[np.bool_],
    strength: float,
    steps: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """Rows that stay right at every step of projected gradient descent from a random start."""
    start = {
        name: attacked.inputs[name] + strength * reach * rng.uniform(-1, 1, attacked.inputs[name].shape)
        for name, reach in attacked.step.items()
    }
    inputs = attacked.moved(start, strength)
    left = before
    length = 2.5 * strength / steps
    for _ in range(steps):
        scores = model.predict(inputs)
        left = left & (scores.argmax(axis=1) == attacked.labels)
        direction = _direction(model, attacked, inputs, scores)
        moved = {name: inputs[name] + length * attacked.step[name] * d for name, d in direction.items()}
        inputs = attacked.moved(moved, strength)
    return _right(model, attacked, inputs, left)


def _report(
    data: AuditData,
    params: AdversarialRobustnessParams,
    right: NDArray[np.bool_],
    noisy: NDArray[np.bool_],
    curve: list[tuple[float, NDArray[np.bool_], NDArray[np.bool_]]],
    flat: float,
) -> Report:
    n = len(right)
    at_eps = next(entry for entry in curve if entry[0] == params.eps)
    unit = (
        "input units" if params.unit == "input" else "ranges" if data.modality != "tabular" else "interquartile ranges"
    )
    words = f"moved by at most {params.eps:g} {unit}"

    def accuracy(name: str, title: str, held: NDArray[np.bool_]) -> Measure:
        return Measure(name, float(held.mean()), title, n, "share", wilson(int(held.sum()), n), better="higher")

    halved = _halving(right, curve)
    measures = (
        accuracy("accuracy_clean", "Accuracy on the rows as they are", right),
        accuracy("accuracy_noise", f"Accuracy with every value {words} at random", noisy),
        accuracy("accuracy_single_step", f"Accuracy under the single-step attack, {words}", at_eps[1]),
        accuracy("accuracy_attacked", f"Accuracy under the strongest attack tried, {words}", at_eps[2]),
        Measure("eps_halving", halved, "Size of the change at which accuracy falls to half", n, unit, better="higher",
                reason=None if halved is not None else "accuracy stays above half on the whole curve"),
        Measure("share_flat", flat, "Share of rows on which the gradient is zero", n, "share",
                wilson(round(flat * n), n), better="lower"),
    )  # fmt: skip
    rows = tuple(
        (strength, float(single.mean()), float(left.mean()), *wilson(int(left.sum()), n))
        for strength, single, left in [(0.0, right, right), *curve]
    )
    columns = (f"eps ({unit})", "single step", "strongest attack", "interval low", "interval high")
    table = Table("Accuracy against the size of the attack", columns, rows)
    return Report(measures, _findings(params, right, noisy, at_eps[2], flat, words), (table,))


def _halving(right: NDArray[np.bool_], curve: list[tuple[float, NDArray[np.bool_], NDArray[np.bool_]]]) -> float | None:
    """Where the curve, drawn with straight lines, crosses half of the clean accuracy."""
    half = float(right.mean()) / 2
    before = (0.0, float(right.mean()))
    for strength, _, left in curve:
        here = (strength, float(left.mean()))
        if here[1] <= half < before[1]:
            return before[0] + (before[1] - half) / (before[1] - here[1]) * (here[0] - before[0])
        before = here
    return None


def _findings(
    params: AdversarialRobustnessParams,
    right: NDArray[np.bool_],
    noisy: NDArray[np.bool_],
    left: NDArray[np.bool_],
    flat: float,
    words: str,
) -> tuple[Finding, ...]:
    n = len(right)
    drop = float(right.mean() - left.mean())
    # Sign test on the rows that only one of attack and noise breaks: an adversary must do more than noise does.
    only_attack, only_noise = int((noisy & ~left).sum()), int((left & ~noisy).sum())
    p = binomial_tail(only_attack, only_attack + only_noise, 0.5)
    verdict = judge(drop >= params.drop, p, n, threshold("adversarial_robustness.min_rows"))
    summary = (
        f"Of {n} rows {percent(float(right.mean()))} are right; {percent(float(left.mean()))} stay right when every "
        f"value is {words} against the model, {percent(float(noisy.mean()))} when it is moved at random."
    )
    measures = ("accuracy_clean", "accuracy_noise", "accuracy_attacked")
    if verdict == "finding":
        return (
            Finding(
                "adversarial_weakness",
                "warning",
                "Small changes chosen against the model make it wrong",
                summary,
                measures=measures,
                advice=(
                    "Do not rely on the model where somebody may profit from a wrong answer.",
                    "Train with noisy or attacked rows, and prefer smoothed gradient explanations.",
                ),
                effects=({"kind": "add", "what": "input_noise", "values": [0.0, params.eps / 2, params.eps]},),
            ),
        )
    if verdict == "none" and flat < threshold("adversarial_robustness.flat"):
        return ()
    blind = verdict == "none"
    return (
        Finding(
            "adversarial_weakness",
            "info",
            "The attack is blind on some rows" if blind else "Too few rows to tell how the model stands an attack",
            summary + (f" The gradient is zero on {percent(flat)} of the rows: they look safer than they may be."
                       if blind else f" {number(threshold('adversarial_robustness.min_rows'))} rows are needed."),
            measures=(*measures, "share_flat") if blind else measures,
            advice=("Explain and attack the logit, not the probability; a saturated output has no gradient.",)
            if blind else ("Attack more rows.",),
            verdict="unknown",
        ),
    )  # fmt: skip
