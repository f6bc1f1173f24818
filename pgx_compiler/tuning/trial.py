"""One candidate: trained, validated, explained, and its explanations compared."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from pgx_compiler.evidence.results import Attribution
from pgx_compiler.ir.trials import BASELINE
from pgx_compiler.methods.apply import attribute, compare, row_rng
from pgx_compiler.methods.declaration import Declaration, Params
from pgx_compiler.modalities.features import Rows
from pgx_compiler.tuning.question import ACCURACY, LOSS
from pgx_compiler.tuning.result import Trial, TrialResult
from pgx_compiler.tuning.space import Settings
from runtimes.capabilities import CAPABILITIES, Differentiable, Floats, Labelled, Recipe, Trainable, Trained, View

Method = tuple[Declaration, Params]

BOOTSTRAP = 500
"""Resamples of the rows for the standard error of a median."""


class BaselineError(Exception):
    """The audited settings cannot be trained and measured, so that there is nothing to compare a candidate with."""


SMALLEST_PROBABILITY = 1e-7
"""Probabilities are cut here before their logarithm, as Keras does for its own loss."""


@dataclass(frozen=True)
class Examination:
    """How every candidate of a search is explained and compared: the same rows, methods and seeds for all."""

    rows: Rows
    """The rows explained; their targets are those of the audited model."""
    view: View
    """The score explained."""
    methods: Sequence[Method]
    """Attribution methods. One: the candidate is compared with the audited model; several: with one another."""
    agreement: Sequence[Method]
    """How two attributions are compared; each gives the metric ``agreement.<name>``."""
    reference: Mapping[str, Floats] = field(default_factory=dict)
    """Method name to the audited model's own values ``(rows, features)``; needed where there is one method."""
    seed: int = 0
    """Of stochastic methods and of the bootstrap."""
    row_ids: Sequence[object] | None = None
    gives_probabilities: bool = True
    """False where the file's output cannot be read as probabilities: the accuracy is then read from the score
    explained, and the validation loss of a classifier has no standard error."""

    def __post_init__(self) -> None:
        if self.agreement and len(self.methods) == 1 and self.methods[0][0].name not in self.reference:
            name = self.methods[0][0].name
            raise ValueError(f"with `{name}` alone, the audited model's values by it must be given to compare with")


def tried(suggested: Trial, run: Callable[[], TrialResult]) -> Trial:
    """A suggested trial with its result. What cannot be built or trained is a result too: the search stays away from it.

    Args:
        suggested: what is to be tried; where it repeats an earlier trial, or is not needed, nothing is run.
        run: trains and measures it.

    Raises:
        BaselineError: where the audited settings fail.
    """
    if suggested.skipped or suggested.duplicate_of is not None:
        return suggested
    try:
        result = run()
    except Exception as error:
        if suggested.number == BASELINE:
            raise BaselineError(f"the audited settings could not be tried: {type(error).__name__}: {error}") from error
        result = TrialResult(failure=f"{type(error).__name__}: {error}")
    return replace(suggested, result=result)


def recipe_of(settings: Settings, epochs: int, batch_size: int) -> Recipe:
    """The recipe of a candidate; ``fit.epochs`` and ``fit.batch_size`` go where the recipe has them."""
    rest = {address: value for address, value in settings.items() if address not in ("fit.epochs", "fit.batch_size")}
    return Recipe(rest, int(settings.get("fit.epochs", epochs)), int(settings.get("fit.batch_size", batch_size)))


def run_trial(
    trainable: Trainable,
    recipe: Recipe,
    train: Labelled,
    validation: Labelled,
    examination: Examination,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> TrialResult:
    """Train one candidate and measure it.

    Args:
        trainable: the audited model's declaration.
        recipe: how the candidate differs from it.
        train: rows to train on.
        validation: rows held out; the same for every candidate of a search.
        examination: how it is explained.
        seed: of training; the same for every candidate.
        progress: ``(epochs done, epochs)``.
    """
    start = time.monotonic()
    trained = trainable.train(recipe, train, validation, seed, progress)
    metrics, errors = _validate(trained, validation, examination)
    if examination.agreement:
        explained, explained_errors = explain(trained.open_view(examination.view), examination)
        metrics, errors = metrics | explained, errors | explained_errors
    return TrialResult(
        metrics=_finite(metrics),
        standard_errors=_finite(errors),
        parameters=trained.parameters,
        history=tuple(_finite(epoch) for epoch in trained.history),
        seconds=time.monotonic() - start,
    )


def explain(model: Differentiable, examination: Examination) -> tuple[dict[str, float], dict[str, float]]:
    """Compare a candidate's explanations: each metric's median over pairs and rows, and its standard error.

    Raises:
        ValueError: where a method asks for a capability that no trained candidate has.
    """
    found = [_attribution(model, declaration, params, examination) for declaration, params in examination.methods]
    pairs = list(combinations(found, 2))
    if len(found) == 1:
        only = found[0]
        audited = Attribution(
            f"{only.step} of the audited model",
            only.method,
            only.direction,
            examination.reference[only.method],
            None,
            only.signed,
            only.present,
        )
        pairs = [(only, audited)]
    metrics: dict[str, float] = {}
    errors: dict[str, float] = {}
    for declaration, params in examination.agreement:
        name = f"agreement.{declaration.name}"
        values = np.stack([compare(declaration, one, other, params).values for one, other in pairs], axis=1)
        metrics[name] = _median(values)
        errors[name] = bootstrap_error(values, row_rng(examination.seed, name))
    return metrics, errors


def bootstrap_error(values: Floats, rng: np.random.Generator) -> float:
    """Standard error of the median of ``values (rows, pairs)``, rows drawn again with their pairs; NaN values left out.

    NaN where fewer than two rows have a value: one row cannot show how rows differ.
    """
    defined = values[~np.isnan(values).all(axis=1)]
    if len(defined) < 2:
        return float("nan")
    draws = rng.integers(len(defined), size=(BOOTSTRAP, len(defined)))
    medians = np.nanmedian(defined[draws].reshape(BOOTSTRAP, -1), axis=1)
    return float(medians.std(ddof=1))


def _attribution(
    model: Differentiable, declaration: Declaration, params: Params, examination: Examination
) -> Attribution:
    if not isinstance(model, CAPABILITIES[declaration.capability]) or declaration.direction is None:
        raise ValueError(f"`{declaration.name}` cannot explain a trained candidate: it needs {declaration.capability}")
    rows = examination.rows
    found = attribute(declaration, model, rows, params, examination.seed, examination.row_ids)
    return Attribution(
        declaration.name,
        declaration.name,
        "perturbation" if declaration.direction == "perturbation" else "gradient",
        found.values,
        found.standard_error,
        declaration.signed,
        rows.features.present(len(rows)) if rows.features.varies else None,
    )


def _validate(
    trained: Trained, validation: Labelled, examination: Examination
) -> tuple[dict[str, float], dict[str, float]]:
    """The validation metrics with their standard errors over the rows.

    The loss is the trained model's own. Its standard error is that of the mean cross-entropy (squared error in a
    regression) of the same rows: a file with another loss, or with penalties, has an error of that order only.
    """
    metrics = {LOSS: float(trained.validation["loss"])}
    view = examination.view
    score = "value" if view.task != "classification" else "probability"
    score = score if examination.gives_probabilities else view.score
    scores = trained.open_view(View(score, view.task, view.output)).predict(validation.inputs)
    rows = len(scores)
    if view.task != "classification":
        squares = (scores[:, 0] - np.asarray(validation.labels, np.float64).reshape(rows)) ** 2
        return metrics, {LOSS: _mean_error(squares)}
    labels = np.asarray(validation.labels, np.int64).reshape(rows)
    right = (scores.argmax(axis=1) == labels).astype(np.float64)
    metrics[ACCURACY] = float(right.mean())
    errors = {ACCURACY: _mean_error(right)}
    if examination.gives_probabilities:
        losses = -np.log(np.clip(scores[np.arange(rows), labels], SMALLEST_PROBABILITY, 1.0))
        errors[LOSS] = _mean_error(losses)
    return metrics, errors


def _mean_error(values: Floats) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _median(values: Floats) -> float:
    return float(np.nanmedian(values)) if not np.isnan(values).all() else float("nan")


def _finite(numbers: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: float(value) if np.isfinite(value) else None for name, value in numbers.items()}
