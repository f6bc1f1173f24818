"""Submodular pick (SP-LIME; Ribeiro, Singh & Guestrin, 2016, section 4): https://arxiv.org/abs/1602.04938."""

from typing import Annotated

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Chart, Curve, Measure, Report, Table
from pgx_compiler.methods.declaration import NUMERIC, Cost, Params, Shape, global_explanation
from pgx_compiler.methods.perturbation import lime as local
from pgx_compiler.modalities.features import Rows
from pgx_compiler.modalities.game import game_of_row
from runtimes.capabilities import Floats, Predictor

TITLE = "Submodular pick (SP-LIME)"


class SpLimeParams(Params):
    """Parameters of submodular pick."""

    pick: Annotated[int, Field(ge=1, le=50)] = 5
    """Rows chosen to be shown."""
    features: Annotated[int, Field(ge=1, le=50)] = 5
    """Features that a reader looks at in each explanation: those of largest coefficient; others do not count as covered."""
    samples: Annotated[int, Field(ge=2)] = 1000
    """Coalitions asked of the model for each row that is explained."""


def cost(params: SpLimeParams, shape: Shape) -> Cost:
    """One LIME explanation of every explained row."""
    return local.cost(local.LimeParams(samples=params.samples), shape)


@global_explanation(
    paper="https://arxiv.org/abs/1602.04938",
    version=3,  # coalitions are drawn from 32 bits a feature: other ones than before
    cost=cost,
    laws=("repeatable", "price_is_a_ceiling"),
    modalities=NUMERIC,
    measures=("covered", "covered_by_chance", "fidelity"),
)
def sp_lime(model: Predictor, rows: Rows, params: SpLimeParams, rng: np.random.Generator) -> Report:
    """Pick the few rows whose explanations together show most of what the model uses.

    Every explained row gets a LIME explanation; rows are then chosen one by one so that the features among their largest
    coefficients cover as much of the total importance as possible.

    Reading:
        The rows named are those to look at first: together their explanations name features that carry the stated share of
        the total importance. Compare it with what as many rows drawn at random cover.

    Limits:
        Only the rows that the audit explains can be picked. The explanations are linear surrogates: read their fidelity
        first. Features count as covered however they act, so that a feature with opposite effects in two rows is shown once.
    """
    values, fidelity = _explain(model, rows, params, rng)
    shown = _largest(values, params.features)
    importance = np.sqrt(np.abs(values).sum(axis=0))
    total = float(importance.sum()) or 1.0
    picked, covered = _pick(shown, importance, min(params.pick, len(values)))
    chance = _by_chance(shown, importance, len(picked), rng) / total
    names = rows.features.names
    lines = tuple((int(row), ", ".join(_said(names, values[row], shown[row])), round(float(c) / total, 4))
                  for row, c in zip(picked, covered, strict=True))  # fmt: skip
    order = np.argsort(-importance, kind="stable")[:15]
    bars = Curve("", tuple(names[i] for i in order), tuple(float(importance[i]) for i in order))
    share = float(covered[-1]) / total if len(covered) else 0.0
    n, known = len(values), fidelity[np.isfinite(fidelity)]
    picks = f"the {len(picked)} rows picked"
    measures = (
        Measure("covered", share, f"Share of the importance that {picks} show", n, "share", better="higher"),
        Measure("covered_by_chance", chance, f"The same for {len(picked)} rows drawn at random", n, "share"),
        Measure(
            "fidelity",
            float(np.median(known)) if len(known) else None,
            "Fidelity of the surrogates, median over rows",
            n,
            better="higher",
            reason=None if len(known) else "the model gives the same score everywhere",
        ),
    )
    table = Table(
        "Rows to look at first",
        ("place among the explained rows", "features of largest coefficient", "covered so far"),
        lines,
    )
    chart = Chart("bars", "Importance over all explained rows", "feature", "√ of summed |coefficient|", (bars,))
    return Report(measures, tables=(table,), arrays={"coefficients": values}, charts=(chart,))


def _explain(model: Predictor, rows: Rows, params: SpLimeParams, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Coefficients ``(rows, features)`` and fidelities ``(rows,)``."""
    asked = local.LimeParams(samples=params.samples)
    values, fidelity = [], []
    for row, target in enumerate(rows.target):
        game = game_of_row(model, rows.inputs, row, rows.references, rows.features, int(target))
        found = local.lime(game, asked, rng)
        values.append(np.pad(found.values[:, 0], (0, len(rows.features) - game.n_features)))
        fidelity.append(float(np.asarray(found.notes["fidelity"])[0]))
    return np.stack(values), np.array(fidelity)


def _largest(values: Floats, most: int) -> Floats:
    """1 for the features of largest coefficient of each row, 0 for others and for coefficients that are zero."""
    rank = np.argsort(np.argsort(-np.abs(values), axis=1, kind="stable"), axis=1, kind="stable")
    return np.asarray((rank < most) & (values != 0), np.float64)


def _pick(shown: Floats, importance: Floats, most: int) -> tuple[list[int], list[float]]:
    """Rows by greedy choice, and the importance covered after each; greedy is within 63 % of the best choice."""
    picked: list[int] = []
    covered: list[float] = []
    seen = np.zeros(shown.shape[1], bool)
    for _ in range(most):
        gain = (shown * ~seen) @ importance
        gain[picked] = -1.0
        best = int(gain.argmax())
        picked.append(best)
        seen |= shown[best] > 0
        covered.append(float(importance[seen].sum()))
    return picked, covered


def _by_chance(shown: Floats, importance: Floats, most: int, rng: np.random.Generator) -> float:
    """Mean importance that rows drawn at random cover."""
    drawn = [rng.choice(len(shown), most, replace=False) for _ in range(200)]
    return float(np.mean([importance[shown[rows].any(axis=0)].sum() for rows in drawn]))


def _said(names: tuple[str, ...], values: Floats, shown: Floats) -> list[str]:
    order = [int(i) for i in np.argsort(-np.abs(values), kind="stable") if shown[i]]
    return [f"{names[i]} {values[i]:+.3g}" for i in order]
