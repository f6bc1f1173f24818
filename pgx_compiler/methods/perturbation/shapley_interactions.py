"""Faithful Shapley interactions of pairs (Tsai, Yeh & Ravikumar, 2023): https://www.jmlr.org/papers/v24/22-0202.html."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from pgx_compiler.evidence.results import Matrix, RowReport, Statement
from pgx_compiler.methods.declaration import Cost, Params, Quantity, Shape, local_explanation
from pgx_compiler.methods.perturbation import _precision
from pgx_compiler.methods.perturbation._own_coalitions import worth_of_pairs
from pgx_compiler.methods.perturbation._paired_coalitions import (
    PairedCoalitions,
    StagedCoalitions,
    all_pairs,
    draw_pairs,
)
from pgx_compiler.methods.perturbation._positive_matrix import inverse_of
from pgx_compiler.methods.perturbation.kernel_shap import regress
from pgx_compiler.modalities.game import Game
from runtimes.capabilities import Floats, Integers
from runtimes.target import ModelFacts

MOST_ENUMERATED = 12
"""Features up to which all coalitions are asked: 4096 a row, about what sampling would cost."""

MOST_FEATURES = 64
"""2016 pairs of features are 2016 unknowns: a regression of seconds a row. Group features where there are more."""

COALITIONS_A_PAIR = 4
"""Asked for each pair of features, twice as many as leave the regression closed (own default)."""

MOST_DRAWN = 16
"""Features in the picture of a row: those that interact most."""


class ShapleyInteractionsParams(Params):
    """Parameters of Shapley interactions."""

    samples: Annotated[int, Field(ge=2)] | Literal["auto"] = "auto"
    """Coalitions asked of the model for each row, beside the empty and the full one; ``auto``: all up to 12 features, else 2
    for each feature and 2048, or 4 for each pair of features if that is more. Never fewer than 3 for each pair of features
    are asked: fewer leave the regression open. Where there are no more coalitions than that, all are asked, and the result is
    exact."""
    precision: _precision.Precision = None
    """Stop as soon as the largest standard error of the row's interactions is below this share of the difference between score
    and base value (or of the strongest interaction, where that is larger); ``samples`` is then the most that is asked. Not
    given: all ``samples`` are asked."""
    top: Annotated[int, Field(ge=1)] = 3
    """Pairs of features that are stated, strongest first (own default)."""


def pair_budget(params: ShapleyInteractionsParams, features: int) -> int:
    """How many pairs of coalitions are asked for each row."""
    if features < 2:
        return 0
    unknown = features * (features - 1) // 2
    if params.samples == "auto":
        enough = max(2 * features + 2048, COALITIONS_A_PAIR * unknown)
        samples = 2**features if features <= MOST_ENUMERATED else enough
    else:
        samples = max(params.samples, 3 * unknown, 4 * features)
    return min(-(-samples // 2), all_pairs(features))


def cost(params: ShapleyInteractionsParams, shape: Shape) -> Cost:
    """Two coalitions a pair and the empty one, each over all references; and the row itself."""
    pairs = pair_budget(params, shape.features)
    return Cost(
        forward=shape.rows * ((2 * pairs + 1) * shape.references + 1),
        bytes=24 * pairs * shape.features**2 + 2 * shape.features**4,
    )


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """Any model, with a number of features whose pairs can be told apart."""
    if shape.features < 2:
        return "one feature interacts with nothing"
    if shape.features > MOST_FEATURES:
        return f"{shape.features} features have too many pairs; group them into at most {MOST_FEATURES}"
    return None


@local_explanation(
    paper="https://www.jmlr.org/papers/v24/22-0202.html",
    version=3,  # coalitions are drawn from 32 bits a feature: other ones than before
    cost=cost,
    laws=("nothing_beyond_the_sum", "unread_unnamed", "price_is_a_ceiling", "repeatable"),
    admits=admits,
    quantities={
        "interaction_share": Quantity("Share of interactions in all that features and pairs do", "share"),
        "fidelity": Quantity("Variance of the scores of coalitions that features and pairs explain", "share",
                             better="higher"),
        "strongest": Quantity("Size of the strongest interaction", "score"),
        "standard_error": Quantity("Mean standard error of an interaction", "score", better="lower"),
        **_precision.QUANTITIES,
    },
)  # fmt: skip
def shapley_interactions(game: Game, params: ShapleyInteractionsParams, rng: np.random.Generator) -> RowReport:
    """Find what pairs of features do together beyond what each does alone.

    The scores of coalitions of features are fitted by features and pairs of features, weighted as in Kernel SHAP. Up to 12
    features all coalitions are asked, and the result is exact. A feature's own effect and half of each of its interactions
    add up to its Shapley value as Kernel SHAP finds it.

    Reading:
        In the score's own unit. A positive interaction: both features together raise the score by more (or lower it by
        less) than the sum of what each does alone, against the references; a negative one: by less, as where one makes the
        other redundant. The diagonal of the picture is what features do alone. Own effects and interactions add up to the
        score minus the mean score of the references. Fidelity says how much of the scores of coalitions features and pairs
        explain together; what is missing are interactions of three and more.

    Limits:
        Interactions are those of the model in this row, no causal ones, and depend on the references; correlated features
        are judged on rows that may never occur. With a low fidelity, interactions of more features are attributed to pairs.
        Only pairs beyond two standard errors are stated; among hundreds of pairs a few exceed that by chance.
    """
    features = game.n_features
    full, empty = game.full(), game.empty()
    if features < 2:
        none = {"interaction_share": 0.0, "fidelity": 1.0, "strongest": 0.0, "standard_error": 0.0}
        return RowReport({**none, **_precision.notes(0, params.precision, converged=True)})
    asked = _asked(game, params, float(full[0]), float(empty[0]), rng)
    design, worth, rest, even = asked.design, asked.worth, asked.rest, asked.even
    values, _ = regress(design, worth[:, :1], rest[:, :1], (full - empty)[:1])
    matrix = np.zeros((features, features))
    matrix[even.first, even.second] = even.interactions
    matrix += matrix.T
    own = values[:, 0] - matrix.sum(axis=1) / 2
    picture = matrix + np.diag(own)
    size, alone = np.abs(even.interactions).sum(), np.abs(own).sum()
    names = game.features.names
    numbers = {
        "interaction_share": float(size / (size + alone)) if size + alone > 0 else 0.0,
        "fidelity": _fidelity(design, (worth[:, 0] - rest[:, 0]) / 2, values[:, 0], even),
        "strongest": float(np.abs(even.interactions).max()),
        "standard_error": float(even.error.mean()),
        **_precision.notes(2.0 * len(design.masks), params.precision, asked.converged),
    }
    arrays = {"interactions": picture, "standard_error_of_pairs": _square(even, even.error, features)}
    largest = max(float(np.abs(side).max()) for side in (worth, rest, full, empty))
    # The words of a text are the row's own content; columns, patches and windows are not.
    own_words = game.features.layout.get("kind") == "words"
    said = _statements(even, names, params.top, largest, own_words)
    return RowReport(numbers, said, arrays, (_drawn(picture, names, own_words),))


@dataclass(frozen=True)
class Pairs:
    """Fitted interactions, one for each pair of features."""

    first: Integers
    second: Integers
    interactions: Floats
    error: Floats
    left: Floats
    """``(pairs of coalitions,)``: what the fit leaves of each mean, as if that pair had been left out of it."""
    response: Floats


@dataclass(frozen=True)
class _Asked:
    """What was asked of the model, and the interactions that were fitted to it."""

    design: PairedCoalitions
    worth: Floats
    rest: Floats
    even: Pairs
    converged: bool


def _asked(
    game: Game, params: ShapleyInteractionsParams, full: float, empty: float, rng: np.random.Generator
) -> _Asked:
    """Ask pairs of coalitions; with a precision more and more of one design, until it is met or the budget is spent."""
    features, budget = game.n_features, pair_budget(params, game.n_features)

    def fitted(design: PairedCoalitions, worth: Floats, rest: Floats) -> Pairs:
        return fit_pairs(design, (worth[:, 0] + rest[:, 0]) / 2 - (full + empty) / 2)

    if params.precision is None:
        design = draw_pairs(features, budget, rng)
        worth, rest = worth_of_pairs(game, design)
        return _Asked(design, worth, rest, fitted(design, worth, rest), converged=True)
    staged = StagedCoalitions(features, budget, rng)
    answers = np.full((2, len(staged.whole.masks), game.n_targets), np.nan)
    pairs = min(budget, max(_precision.FIRST_LOOK, -(-3 * features * (features - 1) // 4), 2 * features))
    while True:
        taken, design = staged.beginning(pairs)
        fresh = taken[np.isnan(answers[0, taken, 0])]
        masks = staged.whole.masks[fresh]
        answers[:, fresh] = game.value(np.concatenate([masks, ~masks])).reshape(2, len(fresh), -1)
        worth, rest = answers[:, taken]
        even = fitted(design, worth, rest)
        found, error, total = even.interactions[:, None], even.error[:, None], np.array([full - empty])
        over = _precision.excess(found, error, total, params.precision)
        if over <= 1.0 or pairs >= budget:
            return _Asked(design, worth, rest, even, over <= 1.0)
        pairs = _precision.next_look(pairs, over, budget)


def fit_pairs(design: PairedCoalitions, response: Floats) -> Pairs:
    """Fit what coalitions and complements have in common by pairs of features.

    With signs z = +1 and -1 the quadratic game is c + sum b_i z_i + sum a_ij z_i z_j. The mean of a coalition and its
    complement keeps c and a alone, and c is fixed by the empty and the full coalition, so that ``response``, the mean less
    theirs, is sum a_ij (z_i z_j - 1). In terms of presence (z = 2 x - 1) the interaction is 4 a_ij.
    """
    signs = np.where(design.masks, 1.0, -1.0)
    first, second = np.triu_indices(signs.shape[1], 1)
    columns = signs[:, first] * signs[:, second] - 1.0
    weighted = columns * design.weights[:, None]
    gram = weighted.T @ columns
    gram[np.diag_indices(len(gram))] += 1e-10 * np.trace(gram) / len(gram)
    inverse = inverse_of(gram)
    coefficients = inverse @ (weighted.T @ response)
    influence = weighted @ inverse
    leverage = np.minimum(np.einsum("pu,pu->p", influence, columns), 1 - 1e-9)
    residuals = response - columns @ coefficients
    variance = np.zeros(len(coefficients))
    for size in np.unique(design.sizes):
        drawn = design.sizes == size
        # HC2, within sizes, with the finite population correction: as for Kernel SHAP
        scores = influence[drawn] * (residuals[drawn] / np.sqrt(1 - leverage[drawn]))[:, None]
        if len(scores) > 1:
            scores = (scores - scores.mean(axis=0)) * np.sqrt(len(scores) / (len(scores) - 1))
        variance += (design.unseen[drawn, None] * scores**2).sum(axis=0)
    seen = design.unseen == 0
    left = residuals / np.where(seen, 1.0, 1 - leverage)
    error = 4 * np.sqrt(variance)
    error[error < 1e-7 * np.abs(response).max()] = 0.0  # rounding, where pairs explain all that is common
    return Pairs(first, second, 4 * coefficients, error, left, response)


def _fidelity(design: PairedCoalitions, half: Floats, values: Floats, even: Pairs) -> float:
    """Share of the weighted variance of coalitions' scores that the quadratic game explains."""
    signs = np.where(design.masks, 1.0, -1.0)
    odd_left = half - signs @ (values / 2)
    weights = design.weights / design.weights.sum()
    varied = weights @ half**2 + weights @ (even.response - weights @ even.response) ** 2
    return float(1 - (weights @ odd_left**2 + weights @ even.left**2) / varied) if varied > 0 else 1.0


def _square(even: Pairs, of_pairs: Floats, features: int) -> Floats:
    square = np.zeros((features, features))
    square[even.first, even.second] = of_pairs
    return square + square.T


def _statements(
    even: Pairs, names: tuple[str, ...], top: int, largest: float, own_words: bool
) -> tuple[Statement, ...]:
    # Models score in single precision: of scores near `largest`, what is below a millionth of it is rounding.
    size = np.abs(even.interactions)
    told = size > np.maximum(2 * even.error, 1e-6 * max(largest, 1e-12))
    order = [int(pair) for pair in np.argsort(-size, kind="stable") if told[pair]][:top]
    found = []
    for pair in order:
        one, other = names[even.first[pair]], names[even.second[pair]]
        value, error = float(even.interactions[pair]), float(even.error[pair])
        more = "more" if value > 0 else "less"
        doubt = f" (standard error {error:.2g})" if error > 0 else ""
        text = f"{one} and {other} together: {value:+.3g}{doubt}, {more} than the sum of what each does alone"
        pair_of = "two features" if own_words else f"{one} and {other}"
        hidden = f"{pair_of} together: {more} than the sum of what each does alone"
        found.append(Statement(text, hidden, (one, other), {"interaction": value, "standard_error": error}))
    return tuple(found)


def _drawn(picture: Floats, names: tuple[str, ...], own_words: bool) -> Matrix:
    off = np.abs(picture - np.diag(np.diag(picture))).sum(axis=1)
    kept = np.sort(np.argsort(-off, kind="stable")[:MOST_DRAWN])
    shown = tuple(names[feature] for feature in kept)
    values = tuple(tuple(float(v) for v in picture[feature, kept]) for feature in kept)
    title = "Effects of features alone (diagonal) and of pairs together"
    if len(kept) < len(names):
        title += f", of the {len(kept)} features that interact most"
    return Matrix(title, shown, shown, values, unit="score", shows_rows=own_words)
