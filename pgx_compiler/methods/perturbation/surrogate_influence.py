"""Influence of training rows by a surrogate (TREX; Brophy & Lowd, 2020): https://arxiv.org/abs/2009.05530."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pgx_compiler.evidence.results import Finding, Measure, Report, Table
from pgx_compiler.evidence.summary import bootstrap_interval, wilson_interval
from pgx_compiler.methods.declaration import Cost, Need, Params, Shape, UnfitParams, global_explanation
from pgx_compiler.methods.perturbation._effects_loss import probabilities
from pgx_compiler.methods.perturbation._effects_report import chosen
from pgx_compiler.methods.perturbation._leave_one_out import ForestKernel, KernelRegression, forest_kernel, most_like
from pgx_compiler.methods.perturbation._surrogate_columns import columns_of
from pgx_compiler.methods.perturbation._surrogate_fidelity import FIDELITY_WANTED, fidelity, same_answer
from pgx_compiler.methods.precaution._wording import not_measured
from pgx_compiler.modalities.table import Table as RealValues
from runtimes.capabilities import Floats, Integers

_PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Tried in turn; the one whose answers, each without the row itself, are nearest to the model's is kept (own choice)."""

_HELD_OUT = 5
"""Where there are no unseen rows, one in so many training rows is held out to measure the fidelity on."""

_LISTED = 20
"""Training rows in the table of those with the largest influence over all; all of them are in the evidence."""

_ROUNDING = 1e-9
"""An influence below this is what is left of sums of equal numbers."""


_TOLD = (Need("labels", ("learns", "labels")), Need("one_output", ("learns", "labels")))
"""What is needed to learn from the labels."""


class SurrogateInfluenceParams(Params):
    """Parameters of the influence of training rows by a surrogate."""

    learns: Literal["labels", "answers"] = "labels"
    """``labels``: the surrogate learns from the training labels, as the model has, so that an influence is that of a row and its label.
    ``answers``: it learns the model's own scores of the training rows, so that an influence says whose likeness to the
    explained row speaks for its score; labels are not needed."""
    rows: Annotated[int, Field(ge=20, le=3000)] = 1000
    """Most training rows looked at, drawn at random. Of fewer rows than there are, each seems to weigh more than it does."""
    smallest_leaf: Annotated[int, Field(ge=1, le=1000)] = 5
    """Training rows in a leaf of the forest at least (5: as in R's randomForest for regression)."""
    shown: Annotated[int, Field(ge=1, le=20)] = 3
    """Training rows named for each explained row, in each direction."""


def cost(params: SurrogateInfluenceParams, shape: Shape) -> Cost:
    """The training rows looked at, the unseen rows that the surrogate is judged on, and the explained rows."""
    looked_at = min(params.rows, shape.train_rows)
    return Cost(
        forward=looked_at + shape.test_rows + shape.rows,
        bytes=8 * looked_at * (4 * looked_at + 2 * shape.test_rows + 2 * shape.rows),
    )


@global_explanation(
    paper="https://arxiv.org/abs/2009.05530",
    cost=cost,
    laws=("repeatable", "price_is_a_ceiling"),
    codes=("surrogate_unfaithful",),
    measures=("fidelity", "same_answer", "largest_influence", "rows_for_half", "harmful_contradicted", "contradicted"),
    measures_need={
        "fidelity": _TOLD,
        "largest_influence": _TOLD,
        "rows_for_half": _TOLD,
        "same_answer": (*_TOLD, Need("classification")),
        "contradicted": (Need("labels"), Need("classification")),
        "harmful_contradicted": (Need("labels"), Need("classification")),
    },
)
def surrogate_influence(table: RealValues, params: SurrogateInfluenceParams, rng: np.random.Generator) -> Report:
    """Say which training rows raise and lower each explained prediction most, in a surrogate that follows the model.

    A forest learns the model's scores; two rows are alike as often as its trees put them in one leaf. A kernel regression on the
    training labels, with that likeness and the penalty with which it follows the model best, stands for the model; how
    its answer changes without any one training row is known in closed form. Neither gradients nor training are needed.

    Reading:
        An influence is how much higher the surrogate's probability of the explained class (of a regression, its value; of
        `answers`, its score) is because the training row was there. It is the row's weight in the answer, which says how much the
        model treats both alike, times its surprise: its label less what would be answered without it. The most harmful
        rows speak against the explained class most; where the model contradicts their labels, look whether the labels are
        right. The fidelity is the share of the variance of the model's answers to unseen rows that the surrogate explains; the
        first table says what both answer to each explained row. Read no influence where they differ much.

    Limits:
        It is the surrogate that is fitted without a row, never the model: trained again, the model itself may move otherwise, and
        by more where it is unstable. What the forest has learned of likeness is held still. The training data of the audit
        must be what the model was trained on. Influences add up only roughly: rows that say the same stand in for each other, and
        leaving out all of them would change more than the sum. They are properties of the model and its data, no verdict on a row.
    """
    if params.learns == "labels" and table.train.labels is None:
        return not_measured("fidelity", "Fidelity of the surrogate", "the training data has no labels")
    if params.learns == "labels" and table.task == "regression" and len(table.focus) > 1:
        reason = "a label is one number, and several outputs are explained"
        return not_measured("fidelity", "Fidelity of the surrogate", reason)
    places = chosen(table.train, params.rows, rng)
    z = table.train.z[places]
    scores = table.score(z)
    answers = _answers(table, params, scores)
    lesson = _Lesson(z, scores, answers, _told(table, params, scores, places))
    surrogate = _Surrogate.fitted(table, lesson, params, rng)
    judged, held_out = _judged(table, surrogate, lesson, params, rng)
    explained = _answers(table, params, table.score(table.explained.z))
    kernel = surrogate.likeness(table.explained.z)
    # of several outputs beside which no label stands, those are not looked at
    targets = table.targets if explained.shape[1] == len(table.outputs) else np.zeros_like(table.targets)
    own = np.arange(len(explained)), targets
    weights = surrogate.regression.weights(kernel)
    found = weights * surrogate.regression.surprises[:, targets].T
    found[np.abs(found) <= _ROUNDING * max(1.0, float(np.abs(lesson.told).max()))] = 0.0
    seen = _Seen(table, params, places, answers, found, weights)
    standing = explained[own], surrogate.regression.answers(kernel)[own]
    measures = [*held_out, *_sizes(seen), *_contradicted(seen)]
    findings = () if judged is None or judged >= FIDELITY_WANTED else (_unfaithful(judged),)
    return Report(
        tuple(measures),
        findings,
        (_per_row(seen, *standing), _over_all(seen)),
        {
            "influence": found,
            "weight": weights,
            "model_answer": standing[0],
            "surrogate_answer": standing[1],
            "train_row_ids": np.array([table.train.row_ids[place] for place in places]),
            "row_ids": np.array(table.explained.row_ids),
        },
    )


def _unit(table: RealValues, params: SurrogateInfluenceParams) -> str:
    if params.learns == "answers":
        return table.score_name
    return "value" if table.task != "classification" else "probability"


def _answers(table: RealValues, params: SurrogateInfluenceParams, scores: Floats) -> Floats:
    """The model's answers in the unit of what is learned.

    Raises:
        UnfitParams: the scores are not such that a label can be compared with them.
    """
    if params.learns == "answers":
        return scores
    if table.task == "classification":
        if table.score_name == "value":
            raise UnfitParams(
                "labels stand beside probabilities, and `explain.score` is `value`; use `learns: answers`"
            )
        return probabilities(scores, table.score_name)
    scores = scores[:, table.focus[:1]]
    return np.exp(scores) if table.score_name == "log_value" else scores


def _told(table: RealValues, params: SurrogateInfluenceParams, scores: Floats, places: Integers) -> Floats:
    if params.learns == "answers":
        return scores
    assert table.train.labels is not None
    labels: NDArray[np.generic] = table.train.labels[places]
    if table.task == "classification":
        return np.asarray(labels.astype(np.int64)[:, None] == np.arange(scores.shape[1]), np.float64)
    return labels.astype(np.float64)[:, None]


@dataclass(frozen=True)
class _Lesson:
    """What is learned from."""

    z: Floats
    scores: Floats
    """The model's, by which rows are alike."""
    answers: Floats
    """The model's, in the unit of what is told."""
    told: Floats

    def of(self, rows: NDArray[np.bool_]) -> "_Lesson":
        """The same from some of the rows."""
        return _Lesson(self.z[rows], self.scores[rows], self.answers[rows], self.told[rows])


@dataclass(frozen=True)
class _Surrogate:
    """What stands for the model."""

    likeness: ForestKernel
    regression: KernelRegression

    @classmethod
    def fitted(
        cls, table: RealValues, lesson: _Lesson, params: SurrogateInfluenceParams, rng: np.random.Generator
    ) -> "_Surrogate":
        """Learn likeness from the scores of some rows, and the answers from what is told of them."""
        columns = columns_of(table.features)
        if not columns.feature:
            raise UnfitParams("every feature is a block of several numbers, of which no tree can ask")
        likeness = forest_kernel(columns, lesson.z, lesson.scores, params.smallest_leaf, int(rng.integers(2**31)))
        return cls(likeness, most_like(likeness.among, lesson.told, lesson.answers, _PENALTIES))

    def __call__(self, z: Floats) -> Floats:
        return self.regression.answers(self.likeness(z))


def _judged(
    table: RealValues,
    surrogate: _Surrogate,
    lesson: _Lesson,
    params: SurrogateInfluenceParams,
    rng: np.random.Generator,
) -> tuple[float | None, list[Measure]]:
    """How well the surrogate follows the model on rows that it has not learned from.

    Without unseen rows it is one of the same making, which has not learned from some of the rows.
    """
    if table.test is not None:
        said = surrogate(table.test.z)
        truth, where = _answers(table, params, table.score(table.test.z)), "unseen rows"
    else:
        out = rng.permutation(len(lesson.z)) % _HELD_OUT == 0
        said = _Surrogate.fitted(table, lesson.of(~out), params, rng)(lesson.z[out])
        truth, where = lesson.answers[out], "training rows held out"
    value, interval = fidelity(truth, said)
    title = f"Fidelity of the surrogate on {where} (share of the variance of the model's answers)"
    reason = None if value is not None else "the model gives every row the same answer"
    measures = [Measure("fidelity", value, title, len(truth), "share", interval, better="higher", reason=reason)]
    if table.task == "classification":
        share, bounds = same_answer(truth, said)
        title = f"Share of {where} in which the surrogate gives the model's answer"
        measures.append(Measure("same_answer", share, title, len(truth), "share", bounds, better="higher"))
    return value, measures


def _unfaithful(value: float) -> Finding:
    return Finding(
        "surrogate_unfaithful",
        "warning",
        "The surrogate behind the influences does not follow the model",
        f"On rows that it has not seen it explains {value:.0%} of the variance of the model's answers; below {FIDELITY_WANTED:.0%} "
        "its influences are those of another model.",
        "surrogate_influence",
        ("fidelity",),
        (
            "Make sure that the training data of the audit is what the model was trained on, or try another `smallest_leaf`.",
        ),
    )


@dataclass(frozen=True)
class _Seen:
    """What is reported."""

    table: RealValues
    params: SurrogateInfluenceParams
    places: Integers
    """Of the training rows looked at."""
    answers: Floats
    """The model's, to them."""
    found: Floats
    """``(explained rows, training rows)``."""
    weights: Floats

    @property
    def labels(self) -> NDArray[np.generic] | None:
        """Of the training rows looked at."""
        held = self.table.train.labels
        return None if held is None else held[self.places]

    def name(self, place: int) -> str:
        """What a training row is called."""
        return self.table.train.row_ids[int(self.places[place])]

    def label(self, place: int) -> str | float | None:
        """Its label in words."""
        if self.labels is None:
            return None
        label = self.labels[place]
        return self.table.outputs[int(label)] if self.table.task == "classification" else float(label)

    def say(self, place: int, influence: float) -> str:
        """The row with its label, whether the model contradicts it, and its influence: ``414 (bad, model: good) +0.026``."""
        label, says = self.label(place), self.says(place)
        told = "" if label is None else f" ({label})"
        if isinstance(label, str) and says != label:
            told = f" ({label}, model: {says})"
        return f"{self.name(place)}{told} {influence:+.2g}"

    def says(self, place: int) -> str | float:
        """What the model answers to it."""
        answer = self.answers[place]
        return self.table.outputs[int(answer.argmax())] if self.table.task == "classification" else float(answer[0])


def _sizes(seen: _Seen) -> list[Measure]:
    size = np.abs(seen.found)
    whole, most = size.sum(axis=1), size.max(axis=1)
    ordered = -np.sort(-size, axis=1)
    half = (np.cumsum(ordered, axis=1) < 0.5 * whole[:, None]).sum(axis=1) + 1.0
    half = half[whole > 0]
    unit, n = _unit(seen.table, seen.params), len(most)
    title = "Largest influence of one training row, median over rows"
    measures = [
        Measure("largest_influence", float(np.median(most)), title, n, unit, bootstrap_interval(most)),
    ]
    title = (
        f"Training rows (of {seen.found.shape[1]}) that together have half of the influence on a row, median over rows"
    )
    if len(half):
        measures.append(
            Measure("rows_for_half", float(np.median(half)), title, len(half), "rows", bootstrap_interval(half))
        )
    return measures


def _contradicted(seen: _Seen) -> list[Measure]:
    """Where influence and labels do not go together."""
    if seen.table.task != "classification" or seen.labels is None:
        return []
    wrong = seen.answers.argmax(axis=1) != seen.labels.astype(np.int64)
    lowest = np.argsort(seen.found, axis=1, kind="stable")[:, : seen.params.shown]
    harmful = np.unique(lowest[np.take_along_axis(seen.found, lowest, axis=1) < 0])
    measures = []
    for name, which, words in (
        ("contradicted", np.arange(len(wrong)), "Training rows"),
        ("harmful_contradicted", harmful, "Most harmful training rows of the explained rows"),
    ):
        count, n = int(wrong[which].sum()), len(which)
        title = f"{words} whose label the model contradicts"
        if n:
            bounds = wilson_interval(count, n)
            measures.append(Measure(name, count / n, title, n, "share", bounds, better="lower"))
    return measures


def _per_row(seen: _Seen, model: Floats, surrogate: Floats) -> Table:
    """What model and surrogate answer to each explained row, and the training rows that move it most, either way."""
    split, outputs = seen.table.explained, seen.table.outputs
    lines = []
    for row, values in enumerate(seen.found):
        order = np.argsort(-values, kind="stable")[: seen.params.shown]
        last = np.argsort(values, kind="stable")[: seen.params.shown]
        raising = "; ".join(seen.say(int(k), values[k]) for k in order if values[k] > 0)
        lowering = "; ".join(seen.say(int(k), values[k]) for k in last if values[k] < 0)
        explained = outputs[int(seen.table.targets[row])]
        lines.append((split.row_ids[row], explained, float(model[row]), float(surrogate[row]), raising, lowering))
    title = f"Training rows with the largest influence on each row ({_unit(seen.table, seen.params)})"
    columns = ("row", "explained", "model", "surrogate", "raised most by", "lowered most by")
    return Table(title, columns, tuple(lines))


def _over_all(seen: _Seen) -> Table:
    """The training rows with the largest influence over all explained rows."""
    size = np.abs(seen.found)
    mean, whole = size.mean(axis=0), float(size.sum())
    among = np.zeros(size.shape[1], np.int64)
    for values in size:
        strongest = np.argsort(-values, kind="stable")[: 2 * seen.params.shown]
        among[strongest[values[strongest] > 0]] += 1
    order = [int(k) for k in np.argsort(-mean, kind="stable")[:_LISTED] if mean[k] > 0]
    lines = tuple(
        (seen.name(k), seen.label(k), seen.says(k), float(mean[k]), float(size[:, k].sum() / whole), int(among[k]))
        for k in order
    )
    columns = ("training row", "label", "model says", "mean size", "share of all", "rows it is among the strongest of")
    return Table("Training rows with the largest influence over all explained rows", columns, lines)
