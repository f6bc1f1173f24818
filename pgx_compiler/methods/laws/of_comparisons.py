"""What comparisons of explanations and checks against the model promise."""

from collections.abc import Sequence

import numpy as np

from pgx_compiler.evidence.results import Attribution
from pgx_compiler.methods.apply import judge
from pgx_compiler.methods.declaration import Declaration
from pgx_compiler.methods.laws.bench import STANDARD_ERRORS, Bench, beyond, compared, contributions, random_attributions


def identity(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """An explanation agrees with itself as well as anything can."""
    first, _ = random_attributions(seed)
    scores = compared(declaration, first, first)
    best = 1.0 if scores.range is None else scores.range[1 if scores.better == "higher" else 0]
    return beyond(np.abs(scores.values - best), 1e-12, "an explanation does not agree with itself")


def exchange(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """It does not matter which of the two explanations comes first."""
    first, second = random_attributions(seed)
    there, back = compared(declaration, first, second), compared(declaration, second, first)
    return beyond(np.abs(there.values - back.values), 1e-12, "the order of the explanations matters")


def scale(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """Multiplying an explanation by a positive number changes nothing."""
    first, second = random_attributions(seed)
    scaled = Attribution("scaled", "random", "gradient", first.values * 4.0, None, signed=True)
    there, back = compared(declaration, first, second), compared(declaration, scaled, second)
    return beyond(np.abs(there.values - back.values), 1e-12, "the scale of an explanation matters")


def chance(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """Random explanations score what is declared as chance."""
    scores = compared(declaration, *random_attributions(seed, rows=2000))
    if scores.chance is None:
        return ["no chance level is declared"]
    error = scores.values.std(ddof=1) / np.sqrt(len(scores.values))
    off = np.array([np.abs(scores.values.mean() - scores.chance)])
    return beyond(off, STANDARD_ERRORS * error, "random explanations do not score chance")


def chance_level(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str]:
    """An explanation that knows nothing scores zero on average."""
    rng = np.random.default_rng(seed)
    shape = (len(bench.rows), len(bench.rows.features))
    params = declaration.params()
    drawn = np.concatenate(
        [judge(declaration, bench.model, bench.rows, rng.normal(size=shape), params, s).values for s in range(30)]
    )
    error = drawn.std(ddof=1) / np.sqrt(len(drawn))
    return beyond(np.abs(drawn.mean(keepdims=True)), STANDARD_ERRORS * error, "random explanations do not score zero")


def oracle_order(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """Where features do not interact, what each adds beats chance, and its negative is beaten by it."""
    if not bench.additive:
        return None
    params, truth = declaration.params(), contributions(bench)
    right = judge(declaration, bench.model, bench.rows, truth, params, seed).values
    wrong = judge(declaration, bench.model, bench.rows, -truth, params, seed).values
    return [
        *beyond(-right, 0.0, "the true order does not beat chance"),
        *beyond(wrong, 0.0, "the opposite of the true order beats chance"),
    ]


def shapley_adds_up(declaration: Declaration, bench: Bench, seed: int) -> Sequence[str] | None:
    """What features add that do not interact leaves no gap; one unit too much on each leaves one for each."""
    if not bench.additive:
        return None
    params, truth = declaration.params(), contributions(bench)
    none = judge(declaration, bench.model, bench.rows, truth, params, seed).values
    some = judge(declaration, bench.model, bench.rows, truth + 1.0, params, seed).values
    return [
        *beyond(np.abs(none), 1e-7, "true contributions leave a gap"),
        *beyond(np.abs(some - truth.shape[1]), 1e-7, "a known gap is measured wrongly"),
    ]
