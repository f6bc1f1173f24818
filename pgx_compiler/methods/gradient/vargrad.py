"""VarGrad (Adebayo, Gilmer, Goodfellow & Kim, 2018): https://arxiv.org/abs/1810.03307."""

from collections.abc import Mapping

import numpy as np

from pgx_compiler.evidence.results import FeatureValues
from pgx_compiler.methods.declaration import NUMERIC, attribution
from pgx_compiler.methods.gradient._noise import NoisyParams, admits, averaged, cost
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Differentiable, Floats

TITLE = "VarGrad"


class VargradParams(NoisyParams):
    """Parameters of VarGrad."""


@attribution(
    modalities=NUMERIC,
    paper="https://arxiv.org/abs/1810.03307",
    version=2,  # noise is drawn with 32 bits: other copies than before
    cost=cost,
    laws=("null_feature", "symmetry", "implementation_invariance"),
    signed=False,
    unit="score² per input unit²",
    admits=admits,
)
def vargrad(model: Differentiable, rows: Rows, params: VargradParams, rng: np.random.Generator) -> FeatureValues:
    """Measure how much the gradient varies over copies of the row with noise added.

    Reading:
        The variance of the gradient, without sign: where the model bends around the row. The value of a feature is the
        sum over its elements. High: a small change of the input changes how the score depends on the element; zero: the
        score depends on it in a straight line, however steeply. The standard error says how far a value would move
        under other noise: two values whose difference is within about two standard errors must be read as equal.

    Limits:
        It is no measure of importance by itself: a model that is linear in an element gives it zero, even where it
        decides everything. What SmoothGrad averages away is what is shown here. Values do not add up to the score, have
        no direction, and cannot be compared between inputs in different units (years and euros); the strength of the
        noise is a choice that changes them. The standard error takes the gradients for normally distributed.
    """
    means: dict[int, tuple[int, dict[str, Floats]]] = {}

    def squares(part: slice, gradients: Mapping[str, Floats]) -> dict[str, Floats]:
        seen, before = means.pop(part.start, (0, {}))
        found = {name: recursive_squares(np.moveaxis(g, 1, 0), before.get(name), seen) for name, g in gradients.items()}
        count = seen + next(iter(gradients.values())).shape[1]
        means.clear()  # rows come in order: no more than one mean of each is held
        means[part.start] = count, {name: mean for name, (_, mean) in found.items()}
        return {name: np.moveaxis(square, 0, 1) for name, (square, _) in found.items()}

    return averaged(model, rows, params, rng, squares, skipped=1)  # the first gradient has none before it


def recursive_squares(samples: Floats, mean: Floats | None, seen: int) -> tuple[Floats, Floats]:
    """Each sample's squared distance from the mean of those before it, scaled to the variance; and the new mean.

    The i-th of them is (i - 1) / i · (x_i - mean of x_1 … x_{i-1})². Their sum is the sum of squared distances from the mean
    of all (Welford's recurrence), so that their mean from the second on is the sample variance; of normal samples they
    are independent. So the variance and its error are had in one pass, whatever the number of samples.

    Args:
        samples: ``(samples, …)``, further ones.
        mean: of those seen before; None: there are none.
        seen: how many those were.
    """
    total = np.zeros(samples.shape[1:]) if mean is None else mean * seen
    counts = np.arange(seen, seen + len(samples), dtype=np.float64).reshape(-1, *([1] * (samples.ndim - 1)))
    sums = total + np.cumsum(samples, axis=0)
    before = np.concatenate([total[None], sums[:-1]]) / np.maximum(counts, 1.0)
    return counts / (counts + 1.0) * (samples - before) ** 2, sums[-1] / (seen + len(samples))
