"""DeepLIFT with the rescale rule (Shrikumar, Greenside & Kundaje, 2017): https://arxiv.org/abs/1704.02685.

Averaged over several references it is Deep SHAP (Lundberg & Lee, 2017): https://arxiv.org/abs/1705.07874.
"""

import numpy as np

from pgx_compiler.methods.declaration import MODALITIES, Cost, Maps, Params, Shape, attribution
from pgx_compiler.methods.gradient._paths import no_path, path_starts
from pgx_compiler.modalities.features import Rows
from runtimes.capabilities import Floats, RulePropagating
from runtimes.target import ModelFacts

TITLE = "DeepLIFT (Deep SHAP)"


class DeepLiftParams(Params):
    """DeepLIFT has no parameters: what it compares with are the audit's references."""


def cost(params: DeepLiftParams, shape: Shape) -> Cost:
    """A forward and a backward row for each row and reference."""
    pairs = shape.rows * shape.references
    return Cost(forward=pairs, backward=pairs)


def admits(facts: ModelFacts, shape: Shape, score: str) -> str | None:
    """A model with an input that can be varied continuously, and a way back for differences."""
    if facts.without_rescaling:
        return f"nothing says how differences are shared out in {facts.without_rescaling}"
    return no_path(facts)


@attribution(
    modalities=MODALITIES,
    paper="https://arxiv.org/abs/1704.02685",
    cost=cost,
    laws=("completeness", "null_feature", "symmetry"),
    admits=admits,
)
def deep_lift(model: RulePropagating, rows: Rows, params: DeepLiftParams) -> Maps:
    """Compare the row with each reference layer by layer, every nonlinearity by its change over its input's change.

    Reading:
        In the score's own unit. The values of one row add up to its score minus the mean score of the references, the same
        difference that Shapley values and integrated gradients share out. With several references the values are their
        mean, which is what the literature calls Deep SHAP. Positive: being as it is in this row and not as in the
        references, the element has raised the score of the explained output.

    Limits:
        It is a single pass per reference in place of an integral, and depends on how the network is written: two networks
        that give the same answers may get different values. Where features interact it approximates Shapley values and
        integrated gradients and equals neither. Values depend on the references: an element equal to all references gets
        zero. Only the rescale rule is applied: positive and negative contributions that cancel within a unit stay hidden.
        Where a layer masks steps (zeros, say), a reference may be masked otherwise than the row, and what that changes is
        nobody's: the values then miss the difference, which `completeness_gap` shows.
        Of SavedModels and ONNX files, which hold operations and no layers, attention is followed product by product, where
        a Keras layer of attention is one function: both add up, and share out otherwise. Graphs with loops are refused.
    """
    references = len(rows.references)
    maps = {name: np.zeros(array.shape) for name, array in rows.inputs.items()}
    total = len(rows) * references
    for start in range(0, total, model.rows_per_call):
        row, reference = np.divmod(np.arange(start, min(start + model.rows_per_call, total)), references)
        starts = path_starts(rows, row, reference)
        ends = {name: array[row] for name, array in rows.inputs.items()}
        found = model.rescaled_contributions(ends, starts, rows.target[row])
        first = np.flatnonzero(np.diff(row, prepend=-1))
        for name, values in found.items():
            shared: Floats = np.add.reduceat(np.asarray(values, np.float64), first)
            maps[name][row[first]] += shared / references
    return maps
