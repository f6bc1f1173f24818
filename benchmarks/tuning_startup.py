"""How many trials of a search should be drawn at random before it has a model, with several trials under way?

    python benchmarks/tuning_startup.py

Prints the median over 12 seeds of the best value found in two toy spaces, for 5, 10 and 20 random trials, for 1, 4 and 8
trials under way at once, and for random search. No model is trained; about three minutes on one idle core.
"""

import math
from collections.abc import Callable, Mapping
from statistics import median
from typing import Any

import pgx_compiler.tuning.search as searching
from pgx_compiler.tuning.space import Dimension

Space = Mapping[str, Dimension]
Value = Callable[[Mapping[str, Any]], float]

MIXED = {
    "rate": Dimension.of({"loguniform": [1e-4, 1e-1]}),
    "units": Dimension.of({"quniform": [8, 64, 8]}),
    "batch": Dimension.of({"choice": [16, 32, 64]}),
    "drop": Dimension.of({"uniform": [0, 0.6]}),
}
SMOOTH = {f"x{i}": Dimension.of({"uniform": [0, 1]}) for i in range(6)}
WEIGHTS = (4, 2, 1, 1, 0.5, 0.2)


def mixed(one: Mapping[str, Any]) -> float:
    """A valley in the logarithm of a rate and a number of units, a step for the batch size, a slope for the rest."""
    valley = (math.log10(one["rate"]) + 2.5) ** 2 + ((one["units"] - 26) / 16) ** 2
    return float(valley + 0.5 * (one["batch"] != 32) + one["drop"])


def smooth(one: Mapping[str, Any]) -> float:
    """A bowl in six dimensions of unequal weight, with a ripple along the first."""
    bowl = sum(weight * (one[f"x{i}"] - 0.3) ** 2 for i, weight in enumerate(WEIGHTS))
    return float(bowl + 0.1 * math.sin(8 * one["x0"]))


def best(space: Space, value: Value, trials: int, parallel: int, seed: int, algorithm: str = "hyperopt.tpe") -> float:
    """The best value of one search in which each trial knows the results of all but the last few."""
    search = searching.Search(space, algorithm, seed)
    found: dict[int, float] = {}
    for number in range(trials):
        for earlier in range(min(number, max(1, number - parallel + 1))):
            search.tell(earlier, found[earlier])
        found[number] = value(search.ask().settings)
    return min(found.values())


def main() -> None:
    """Print the table."""
    print("space, trials, at random, under way: median best")
    for name, space, value in (("mixed", MIXED, mixed), ("smooth", SMOOTH, smooth)):
        for trials in (12, 20, 40):
            for startup in (5, 10, 20):
                vars(searching)["STARTUP"] = startup
                for parallel in (1, 4, 8):
                    found = median(best(space, value, trials, parallel, seed) for seed in range(12))
                    print(f"{name}, {trials}, {startup}, {parallel}: {found:.3f}")
            blind = median(best(space, value, trials, 1, seed, "hyperopt.rand") for seed in range(12))
            print(f"{name}, {trials}, all, any: {blind:.3f}")


if __name__ == "__main__":
    main()
