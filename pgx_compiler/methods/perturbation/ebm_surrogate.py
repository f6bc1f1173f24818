"""An explainable boosting machine that imitates the model (GA2M; Lou et al., 2013): https://doi.org/10.1145/2487575.2487579."""

from importlib.util import find_spec
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Chart, Curve, Finding, Matrix, Measure, Report, Table
from pgx_compiler.methods.declaration import Cost, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation._surrogate_fidelity import FIDELITY_WANTED, fidelity
from pgx_compiler.modalities.table import Table as RealValues
from pgx_compiler.modalities.table import TableFeature
from runtimes.capabilities import Floats
from runtimes.target import ModelFacts

TITLE = "Surrogate of additive terms (EBM)"
_DRAWN = 10
"""Terms that are drawn; all stand in the table."""


class EbmSurrogateParams(Params):
    """Parameters of the explainable boosting machine."""

    interactions: Annotated[int, Field(ge=0, le=50)] = 5
    """Pairs of features that get a term of their own."""
    rounds: Annotated[int, Field(ge=10, le=20000)] = 500
    """Boosting rounds, at most."""


def cost(params: EbmSurrogateParams, shape: Shape) -> Cost:
    """Every row of the data once."""
    return Cost(forward=shape.data_rows, bytes=shape.data_rows * 64 * shape.features)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """Needs the package `interpret-core`."""
    if find_spec("interpret") is None:
        return "it needs the package interpret-core: install pgx-compiler with the extra `surrogates`"
    return None


@global_explanation(
    paper="https://doi.org/10.1145/2487575.2487579",
    cost=cost,
    laws=("price_is_a_ceiling",),
    measures=("fidelity", "fidelity_without_pairs", "term_{feature}"),
    codes=("surrogate_unfaithful",),
    admits=admits,
)
def ebm_surrogate(table: RealValues, params: EbmSurrogateParams, rng: np.random.Generator) -> Report:
    """Fit an additive model with a few pairs of features to the model's score, and show its terms.

    The score is that of the first output in focus. The surrogate learns from the training rows and is judged on unseen rows
    where there are some.

    Reading:
        Each curve is what a feature adds to the score in the surrogate, on its own; the terms add up to the surrogate's score
        exactly. The fidelity is the share of the variance of the model's scores that it explains on unseen rows; how much
        less it is without the pairs says how much the model relies on features acting together.

    Limits:
        The terms are those of the surrogate: where the fidelity is low they describe another model. Correlated features share
        what they do in ways that depend on the fit. Terms at the edges of the data rest on few rows.
    """
    column = int(table.focus[0])
    train, unseen = _frame(table.train.z, table.features), _frame(table.unseen.z, table.features)
    learned = table.score(table.train.z)[:, column]
    truth = learned if table.test is None else table.score(table.unseen.z)[:, column]
    seed = int(rng.integers(2**31))
    whole = _fit(train, learned, table, params, params.interactions, seed)
    alone = _fit(train, learned, table, params, 0, seed) if params.interactions else whole
    told = np.asarray(whole.predict(unseen), np.float64)
    value, interval = fidelity(truth[:, None], told[:, None])
    without, bounds = fidelity(truth[:, None], np.asarray(alone.predict(unseen), np.float64)[:, None])
    title = f"Fidelity to {table.score_name} of {table.outputs[column]} (share of variance, unseen rows)"
    n = len(truth)
    measures = [
        Measure("fidelity", value, title, n, "share", interval, better="higher"),
        Measure("fidelity_without_pairs", without, "The same without pairs of features", n, "share", bounds),
    ]
    weights = np.asarray(whole.term_importances(), np.float64)
    names = [" × ".join(table.names[j] for j in term) for term in whole.term_features_]
    for term, weight in zip(whole.term_features_, weights, strict=True):
        if len(term) == 1:
            name = table.names[term[0]]
            title = f"Mean size of the term of {name}"
            measures.append(Measure(f"term_{name}", float(weight), title, len(learned), table.score_name, subject=name))
    order = np.argsort(-weights, kind="stable")
    lines = tuple((names[i], round(float(weights[i]), 5)) for i in order)
    terms = Table("Terms of the surrogate", ("term", f"mean size ({table.score_name})"), lines)
    charts = tuple(_drawn(table, whole, int(i)) for i in order[:_DRAWN])
    findings = () if value is None or value >= FIDELITY_WANTED else (_unfaithful(value),)
    return Report(tuple(measures), findings, (terms,), charts=charts)


def _frame(z: Floats, features: tuple[TableFeature, ...]) -> Any:
    """Rows as the library reads them: scales as numbers, categories as words."""
    columns = np.empty(z.shape, object)
    for j, feature in enumerate(features):
        if feature.is_scale:
            columns[:, j] = z[:, j]
        else:
            columns[:, j] = [str(int(value)) if value == value else "missing" for value in z[:, j]]
    return columns


def _fit(rows: Any, scores: Floats, table: RealValues, params: EbmSurrogateParams, pairs: int, seed: int) -> Any:
    from interpret.glassbox import ExplainableBoostingRegressor

    kinds = ["continuous" if feature.is_scale else "nominal" for feature in table.features]
    machine = ExplainableBoostingRegressor(
        feature_names=list(table.names),
        feature_types=kinds,
        interactions=pairs,
        max_rounds=params.rounds,
        outer_bags=2,
        n_jobs=1,
        random_state=seed,
    )
    return machine.fit(rows, scores)


def _drawn(table: RealValues, machine: Any, place: int) -> Chart | Matrix:
    """One term: a curve over a scale, bars over categories, or a grid over a pair."""
    term, scores = machine.term_features_[place], np.asarray(machine.term_scores_[place], np.float64)
    title = f"Term of {' × '.join(table.names[j] for j in term)}"
    axes = [_axis(table.features[j], machine.bins_[j][min(len(term), len(machine.bins_[j])) - 1]) for j in term]
    subject = " × ".join(table.names[j] for j in term)
    # the first cell of each axis is for missing values, the last for values never seen
    if len(term) == 2:
        inner = scores[1:-1, 1:-1]
        values = tuple(tuple(map(float, row)) for row in inner)
        rows, columns = (tuple(str(label) for label in axis) for axis in axes)
        return Matrix(
            title, rows, columns, values, table.names[term[1]], table.names[term[0]], table.score_name, subject
        )
    feature = table.features[term[0]]
    unit = f" ({feature.unit})" if feature.unit else ""
    x, y = list(axes[0]), [float(score) for score in scores[1:-1]]
    if feature.is_scale:
        x, y = [*x, feature.high], [*y, y[-1]]  # the last step has a width too
    curve = Curve("", tuple(x), tuple(y))
    return Chart(
        "steps" if feature.is_scale else "bars", title, f"{feature.name}{unit}", table.score_name, (curve,), subject
    )


def _axis(feature: TableFeature, bins: Any) -> list[float | str]:
    if isinstance(bins, dict):
        by_place = sorted(bins.items(), key=lambda pair: pair[1])
        return ["missing" if key == "missing" else feature.say(float(key)) for key, _ in by_place]
    return [feature.low, *(float(cut) for cut in bins)]


def _unfaithful(value: float) -> Finding:
    return Finding(
        "surrogate_unfaithful",
        "warning",
        "The additive surrogate does not follow the model",
        f"On unseen rows it explains {value:.0%} of the variance of the model's scores; below {FIDELITY_WANTED:.0%} its terms "
        "describe another model.",
        "ebm_surrogate",
        ("fidelity",),
        ("Allow more pairs, or read partial dependence and accumulated local effects instead.",),
    )
