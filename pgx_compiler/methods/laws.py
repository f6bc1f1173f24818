"""What methods promise, as functions that can be run: a method names its laws where it is declared.

Each law takes a declaration and a bench (a small model of which something is known, with rows to explain) and returns
the violations in words; None where the bench says nothing about it. Whoever adds a method can hold it to them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pgx_compiler.evidence.results import Attribution, Scores
from pgx_compiler.methods.apply import Attributed, attribute, compare, judge
from pgx_compiler.methods.declaration import Declaration, Shape
from pgx_compiler.modalities.features import Rows
from pgx_compiler.modalities.game import game_of_row
from runtimes.capabilities import CAPABILITIES, Floats, Predictor
from runtimes.target import ModelFacts

STANDARD_ERRORS = 5.0
"""How far a sampled value may lie from what the law says."""


@dataclass(frozen=True)
class Bench:
    """A small model of which something is known, with rows to explain."""

    name: str
    modality: str
    model: Predictor
    rows: Rows
    facts: ModelFacts
    score: str = "value"
    ignored: tuple[int, ...] = ()
    """Features that the model does not read."""
    symmetric: tuple[tuple[int, int], ...] = ()
    """Pairs of features that the model treats alike, equal in every row and reference."""
    parts: tuple[tuple[float, Predictor], ...] = ()
    """Models of which this one is the weighted sum."""
    additive: bool = False
    """No feature interacts with another."""

    @property
    def shape(self) -> Shape:
        """The bench as the planner sees it."""
        outputs = self.facts.n_outputs
        return Shape(len(self.rows), len(self.rows.features), len(self.rows.references), outputs, len(self.rows))

    def suits(self, declaration: Declaration) -> bool:
        """Whether the method can be run here at all."""
        if self.modality not in declaration.modalities:
            return False
        if declaration.capability and not isinstance(self.model, CAPABILITIES[declaration.capability]):
            return False
        return declaration.admits is None or declaration.admits(self.facts, self.shape, self.score) is None


Law = Callable[[Declaration, Bench, int], Sequence[str] | None]


def completeness(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """The values of a row add up to its score minus the mean score of its references (efficiency)."""
    found = _explain(declaration, bench, seed)
    gap = np.abs(found.values.sum(axis=1) - (found.scores - found.base_values))
    return _beyond(gap, 1e-4 * _scale(found), "values do not add up to the difference")


def null_feature(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """A feature that the model does not read gets zero."""
    if not bench.ignored:
        return None
    found = _explain(declaration, bench, seed)
    ignored = list(bench.ignored)
    allowed = 1e-9 * _scale(found) + STANDARD_ERRORS * _error(found)[:, ignored]
    return _beyond(np.abs(found.values[:, ignored]), allowed, "an ignored feature has a value")


def symmetry(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Two features that the model treats alike, with equal values, get the same."""
    if not bench.symmetric:
        return None
    found = _explain(declaration, bench, seed)
    one, other = (list(side) for side in zip(*bench.symmetric, strict=True))
    error = np.hypot(_error(found)[:, one], _error(found)[:, other])
    apart = np.abs(found.values[:, one] - found.values[:, other])
    return _beyond(apart, 1e-6 * _scale(found) + STANDARD_ERRORS * error, "equal features have different values")


def linearity(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """The values for a weighted sum of models are the weighted sum of their values, drawn with the same generator."""
    if not bench.parts:
        return None
    whole = _explain(declaration, bench, seed)
    params = declaration.params()
    parts = [weight * attribute(declaration, model, bench.rows, params, seed).values for weight, model in bench.parts]
    return _beyond(np.abs(whole.values - np.sum(parts, axis=0)), 1e-7 * _scale(whole), "values are not linear")


def identity(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """An explanation agrees with itself as well as anything can."""
    first, _ = _random_attributions(seed)
    scores = _compare(declaration, first, first)
    best = 1.0 if scores.range is None else scores.range[1 if scores.better == "higher" else 0]
    return _beyond(np.abs(scores.values - best), 1e-12, "an explanation does not agree with itself")


def exchange(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """It does not matter which of the two explanations comes first."""
    first, second = _random_attributions(seed)
    there, back = _compare(declaration, first, second), _compare(declaration, second, first)
    return _beyond(np.abs(there.values - back.values), 1e-12, "the order of the explanations matters")


def scale(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """Multiplying an explanation by a positive number changes nothing."""
    first, second = _random_attributions(seed)
    scaled = Attribution("scaled", "random", "gradient", first.values * 4.0, None, signed=True)
    there, back = _compare(declaration, first, second), _compare(declaration, scaled, second)
    return _beyond(np.abs(there.values - back.values), 1e-12, "the scale of an explanation matters")


def chance(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """Random explanations score what is declared as chance."""
    scores = _compare(declaration, *_random_attributions(seed, rows=2000))
    if scores.chance is None:
        return ["no chance level is declared"]
    error = scores.values.std(ddof=1) / np.sqrt(len(scores.values))
    off = np.array([np.abs(scores.values.mean() - scores.chance)])
    return _beyond(off, STANDARD_ERRORS * error, "random explanations do not score chance")


def chance_level(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """An explanation that knows nothing scores zero on average."""
    rng = np.random.default_rng(seed)
    shape = (len(bench.rows), len(bench.rows.features))
    params = declaration.params()
    drawn = np.concatenate(
        [judge(declaration, bench.model, bench.rows, rng.normal(size=shape), params, s).values for s in range(30)]
    )
    error = drawn.std(ddof=1) / np.sqrt(len(drawn))
    return _beyond(np.abs(drawn.mean(keepdims=True)), STANDARD_ERRORS * error, "random explanations do not score zero")


def oracle_order(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where features do not interact, what each adds beats chance, and its negative is beaten by it."""
    if not bench.additive:
        return None
    params, truth = declaration.params(), _contributions(bench)
    right = judge(declaration, bench.model, bench.rows, truth, params, seed).values
    wrong = judge(declaration, bench.model, bench.rows, -truth, params, seed).values
    return [
        *_beyond(-right, 0.0, "the true order does not beat chance"),
        *_beyond(wrong, 0.0, "the opposite of the true order beats chance"),
    ]


def shapley_adds_up(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """What features add that do not interact leaves no gap; one unit too much on each leaves one for each."""
    if not bench.additive:
        return None
    params, truth = declaration.params(), _contributions(bench)
    none = judge(declaration, bench.model, bench.rows, truth, params, seed).values
    some = judge(declaration, bench.model, bench.rows, truth + 1.0, params, seed).values
    return [
        *_beyond(np.abs(none), 1e-7, "true contributions leave a gap"),
        *_beyond(np.abs(some - truth.shape[1]), 1e-7, "a known gap is measured wrongly"),
    ]


LAWS: dict[str, Law] = {
    law.__name__: law
    for law in (
        completeness,
        null_feature,
        symmetry,
        linearity,
        identity,
        exchange,
        scale,
        chance,
        chance_level,
        oracle_order,
        shapley_adds_up,
    )
}


def violations(declaration: Declaration, benches: Sequence[Bench], seed: int = 0) -> list[str]:
    """Hold a method to all laws that it declares, on every bench that it can be run on."""
    found: list[str] = []
    suited = [bench for bench in benches if bench.suits(declaration)]
    for name in declaration.laws:
        if name not in LAWS:
            found.append(f"{declaration.name} declares the law `{name}`, which nobody has written")
            continue
        results = {bench.name: LAWS[name](declaration, bench, seed) for bench in suited}
        if all(result is None for result in results.values()):
            found.append(f"{declaration.name}: no bench can tell whether `{name}` holds")
        found += [f"{declaration.name} on {bench}: {name}: {text}" for bench, r in results.items() for text in r or ()]
    return found


def _explain(declaration: Declaration, bench: Bench, seed: int) -> Attributed:
    return attribute(declaration, bench.model, bench.rows, declaration.params(), seed)


def _compare(declaration: Declaration, first: Attribution, second: Attribution) -> Scores:
    return compare(declaration, first, second, declaration.params())


def _scale(found: Attributed) -> float:
    """The size of what is explained: a gap is judged against it."""
    return float(max(np.abs(found.scores - found.base_values).max(), np.abs(found.values).max(), 1e-12))


def _error(found: Attributed) -> Floats:
    return np.zeros_like(found.values) if found.standard_error is None else found.standard_error


def _contributions(bench: Bench) -> Floats:
    """What each feature alone adds to the references, ``(rows, features)``."""
    rows, alone = bench.rows, np.eye(len(bench.rows.features), dtype=bool)
    games = [
        game_of_row(bench.model, rows.inputs, row, rows.references, rows.features, int(target))
        for row, target in enumerate(rows.target)
    ]
    return np.stack([(game.value(alone) - game.empty())[:, 0] for game in games])


def _random_attributions(seed: int, rows: int = 50, features: int = 12) -> tuple[Attribution, Attribution]:
    rng = np.random.default_rng(seed)
    first, second = rng.normal(size=(2, rows, features))
    return (
        Attribution("first", "random", "perturbation", first, None, signed=True),
        Attribution("second", "random", "gradient", second, None, signed=True),
    )


def _beyond(found: Floats, allowed: Floats | float, words: str) -> list[str]:
    """One sentence where anything exceeds what is allowed (NaN does)."""
    excess = ~(found <= allowed)
    if not excess.any():
        return []
    return [f"{words}: {excess.sum()} of {excess.size}, by up to {np.max(found):.3g}"]
