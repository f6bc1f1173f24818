"""Which setting moved which metric: main effects of a functional analysis of variance (Hutter et al., 2014).

https://proceedings.mlr.press/v32/hutter14.html. A random forest learns a metric from the settings; a setting's share is
the variance of the forest's mean prediction along it, divided by the variance over the whole space.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pgx_compiler.tuning.space import Dimension, Settings
from runtimes.capabilities import Floats

FEWEST_TRIALS = 10
"""Below this a forest says more of its seed than of the settings; our own default."""
TREES = 128
SAMPLE = 512
"""Points of the space over which the forest is averaged, each setting spread evenly (a Latin hypercube)."""
GRID = 16
"""Values of a continuous setting at which its main effect is taken."""


def importance(
    space: Mapping[str, Dimension],
    settings: Sequence[Settings],
    values: Sequence[float],
    rng: np.random.Generator,
) -> tuple[dict[str, float | None], str | None]:
    """Share of a metric's variance that each setting explains by itself, and why there is none where there is none.

    The shares add up to at most 1; what is missing is settings acting together.

    Args:
        space: address to dimension.
        settings: of the trials, each in `space` and each once.
        values: the metric of each trial, finite.
        rng: of the forest and the sample.
    """
    none: dict[str, float | None] = dict.fromkeys(space)
    if len(values) < FEWEST_TRIALS:
        return none, f"{len(values)} different trials have it; {FEWEST_TRIALS} are needed"
    target = np.asarray(values, np.float64)
    if np.ptp(target) == 0:
        return none, "every trial has the same value"
    points = np.array([[space[address].unit(one[address]) for address in space] for one in settings])
    forest = _forest(points, target, rng)
    if forest.oob_score_ <= 0:
        return none, f"the settings do not predict it in {len(values)} trials (out-of-bag R² {forest.oob_score_:.2f})"
    sample = np.column_stack([_draw(dimension, rng) for dimension in space.values()])
    effects = [_main_effect(forest, sample, column, dimension) for column, dimension in enumerate(space.values())]
    # Main effects are orthogonal, so that their sum is at most the total; a sampled total may fall short of it.
    total = max(float(forest.predict(sample).var()), sum(effects))
    if total == 0:
        return none, "the settings do not move it"
    return {**none, **{address: effect / total for address, effect in zip(space, effects, strict=True)}}, None


def _forest(points: Floats, target: Floats, rng: np.random.Generator) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(TREES, oob_score=True, random_state=int(rng.integers(2**31 - 1)), n_jobs=1)
    return forest.fit(points, target)


def _draw(dimension: Dimension, rng: np.random.Generator) -> Floats:
    even = (np.arange(SAMPLE) + 0.5) / SAMPLE if dimension.points is None else np.resize(_grid(dimension), SAMPLE)
    return rng.permutation(even)


def _grid(dimension: Dimension) -> Floats:
    if dimension.points is None:
        return (np.arange(GRID) + 0.5) / GRID
    return np.array([dimension.unit(point) for point in dimension.points], np.float64)


def _main_effect(forest: Any, sample: Floats, column: int, dimension: Dimension) -> float:
    """Variance along one setting of the prediction averaged over all others."""
    means = []
    for value in _grid(dimension):
        moved = sample.copy()
        moved[:, column] = value
        means.append(float(forest.predict(moved).mean()))
    return float(np.var(means))
